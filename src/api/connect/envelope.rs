//! The five-byte frames around messages: a flag byte, a big-endian length, the message. gRPC and Connect share them.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Bytes before each message.
pub(super) const PREFIX_LEN: usize = 5;
/// The message is compressed (both protocols).
pub(super) const COMPRESSED: u8 = 0b01;
/// The message is the JSON that ends a Connect stream.
pub(super) const END_STREAM: u8 = 0b10;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) flags: u8,
    pub(super) message: Bytes,
}

/// Appends a frame; `None` when the message is longer than a frame can say.
pub(super) fn put(buffer: &mut BytesMut, flags: u8, message: &[u8]) -> Option<()> {
    let length = u32::try_from(message.len()).ok()?;
    buffer.reserve(PREFIX_LEN + message.len());
    buffer.put_u8(flags);
    buffer.put_u32(length);
    buffer.put_slice(message);
    Some(())
}

/// Finds frames in bytes that arrive in pieces.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    buffer: BytesMut,
}

impl Splitter {
    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole frame, if it has arrived.
    pub(super) fn next(&mut self) -> Option<Envelope> {
        let (flags, length) = self.prefix()?;
        if self.buffer.len() - PREFIX_LEN < length {
            return None;
        }
        self.buffer.advance(PREFIX_LEN);
        Some(Envelope { flags, message: self.buffer.split_to(length).freeze() })
    }

    /// Whether no part of a frame is left over.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    fn prefix(&self) -> Option<(u8, usize)> {
        let (&flags, rest) = self.buffer.split_first()?;
        let length = u32::from_be_bytes(*rest.first_chunk::<4>()?);
        // A length that the machine cannot count can never arrive whole, either.
        Some((flags, usize::try_from(length).unwrap_or(usize::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let mut whole = BytesMut::new();
        for (flags, message) in [(0, &b"one"[..]), (1, b""), (2, b"three")] {
            put(&mut whole, flags, message).unwrap();
        }
        for piece in 1..whole.len() {
            let mut splitter = Splitter::default();
            let mut seen = Vec::new();
            for part in whole.chunks(piece) {
                splitter.push(part);
                while let Some(envelope) = splitter.next() {
                    seen.push((envelope.flags, envelope.message.to_vec()));
                }
            }
            assert_eq!(seen, [(0, b"one".to_vec()), (1, vec![]), (2, b"three".to_vec())], "pieces of {piece}");
            assert!(splitter.is_empty());
        }
    }

    #[test]
    fn an_incomplete_frame_is_left_over() {
        let mut splitter = Splitter::default();
        splitter.push(&[0, 0, 0, 0, 10, b'x']);
        assert_eq!(splitter.next(), None);
        assert!(!splitter.is_empty());
    }
}
