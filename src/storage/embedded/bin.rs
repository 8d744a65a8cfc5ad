//! Fixed binary forms: big-endian numbers, short texts behind a length byte. Reading never panics.

use super::fault::{Fault, Outcome};

/// Appends fields to a value.
#[derive(Debug)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// A value of `version`, with room for `capacity` bytes.
    pub fn versioned(version: u8, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity + 1);
        bytes.push(version);
        Self(bytes)
    }

    /// One byte.
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// Four bytes.
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Eight bytes.
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// Eight bytes, two's complement.
    pub fn i64(self, value: i64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A text of at most 255 bytes behind its length; longer ones are the caller's bug and are cut.
    pub fn short(self, text: &str) -> Self {
        let len = text.len().min(255);
        debug_assert!(len == text.len(), "texts in rows are checked before they come here");
        self.u8(u8::try_from(len).unwrap_or(u8::MAX)).bytes(&text.as_bytes()[..len])
    }

    /// Bytes as they are.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The value.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Takes fields off a value or key.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`; `what` names them in errors.
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// A reader of a value that must have `version`.
    pub fn versioned(bytes: &'a [u8], version: u8, what: &'static str) -> Outcome<Self> {
        let mut reader = Self::new(bytes, what);
        if reader.u8()? == version { Ok(reader) } else { Err(Fault::corrupt(what)) }
    }

    /// A reader of a value that has one of several versions, and which.
    pub fn of_versions(bytes: &'a [u8], versions: &[u8], what: &'static str) -> Outcome<(Self, u8)> {
        let mut reader = Self::new(bytes, what);
        let version = reader.u8()?;
        if versions.contains(&version) { Ok((reader, version)) } else { Err(Fault::corrupt(what)) }
    }

    fn fault(&self) -> Fault {
        Fault::corrupt(self.what)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.fault())?;
        self.rest = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Outcome<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A byte that is 0 or 1.
    pub fn flag(&mut self) -> Outcome<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.fault()),
        }
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Outcome<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Outcome<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Eight bytes, two's complement.
    pub fn i64(&mut self) -> Outcome<i64> {
        self.array().map(i64::from_be_bytes)
    }

    /// A text behind its length byte.
    pub fn short(&mut self) -> Outcome<&'a str> {
        let len = usize::from(self.u8()?);
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.fault())?;
        self.rest = rest;
        std::str::from_utf8(head).map_err(|_| self.fault())
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// All that is left, as text.
    pub fn text(self) -> Outcome<&'a str> {
        std::str::from_utf8(self.rest).map_err(|_| self.fault())
    }

    /// Fails if anything is left.
    pub fn end(self) -> Outcome<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.fault()) }
    }
}
