//! HTTP/2 frames as bytes (RFC 9113): heads, the settings this client announces, and what it answers.
//!
//! Knows nothing of streams, windows or gRPC.

/// What every HTTP/2 client says first.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame's head.
pub(super) const HEAD_LEN: usize = 9;
/// Greatest payload this client sends or accepts: the protocol's default.
pub(super) const PAYLOAD_MAX: usize = 16_384;
/// Window granted to the server for a stream and for the connection. Great, so that updates are rare and the
/// measured server never waits for this client's permission; small in debug builds, so that tests use it up often.
pub(super) const WINDOW: u32 = if cfg!(debug_assertions) { 128 << 10 } else { 16 << 20 };

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The connection's own window is not a setting; this is where it starts.
const WINDOW_INITIAL: u32 = 65_535;

/// A frame's head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    /// Bytes of payload.
    pub(super) len: usize,
    /// Type of the frame.
    pub(super) kind: u8,
    /// Flags; their meaning depends on the type.
    pub(super) flags: u8,
    /// Stream, 0 for the connection.
    pub(super) stream: u32,
}

impl Head {
    /// Reads a head, if all of it is there.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk::<HEAD_LEN>()?;
        Some(Self {
            len: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        })
    }

    /// The payload without padding and priority; `None` if they exceed it.
    pub(super) fn strip<'a>(&self, payload: &'a [u8]) -> Option<&'a [u8]> {
        let mut body = payload;
        if self.flags & PADDED != 0 && (self.kind == DATA || self.kind == HEADERS) {
            let (pad, rest) = body.split_first()?;
            body = rest.get(..rest.len().checked_sub(usize::from(*pad))?)?;
        }
        if self.flags & PRIORITY != 0 && self.kind == HEADERS {
            body = body.get(5..)?;
        }
        Some(body)
    }
}

/// Appends a frame's head. `len` must not exceed [`PAYLOAD_MAX`].
pub(super) fn put_head(out: &mut Vec<u8>, len: usize, kind: u8, flags: u8, stream: u32) {
    debug_assert!(len <= PAYLOAD_MAX);
    let len = u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&[len[1], len[2], len[3], kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// Appends preface, settings and the connection's window: what a connection starts with.
pub(super) fn put_hello(out: &mut Vec<u8>) {
    out.extend_from_slice(PREFACE);
    // No header table: each header block can then be read without a connection's state.
    let settings: [(u16, u32); 3] = [(1, 0), (2, 0), (4, WINDOW)];
    put_head(out, settings.len() * 6, SETTINGS, 0, 0);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    put_window_update(out, 0, WINDOW - WINDOW_INITIAL);
}

/// Appends a grant of `more` bytes (at least 1).
pub(super) fn put_window_update(out: &mut Vec<u8>, stream: u32, more: u32) {
    put_head(out, 4, WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&more.to_be_bytes());
}

/// The settings of a SETTINGS payload as (id, value).
pub(super) fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload.chunks_exact(6).map(|s| (u16::from_be_bytes([s[0], s[1]]), u32::from_be_bytes([s[2], s[3], s[4], s[5]])))
}

/// A big-endian number at the payload's start; 0 if it is too short.
pub(super) fn number(payload: &[u8]) -> u32 {
    payload.first_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_round_trip() {
        let mut out = Vec::new();
        put_head(&mut out, 16_384, HEADERS, END_HEADERS, 7);
        let head = Head::parse(&out).unwrap();
        assert_eq!((head.len, head.kind, head.flags, head.stream), (16_384, HEADERS, END_HEADERS, 7));
        assert!(Head::parse(&out[..8]).is_none());
    }

    #[test]
    fn padding_is_taken_off_and_must_fit() {
        let padded = Head { len: 5, kind: DATA, flags: PADDED, stream: 1 };
        assert_eq!(padded.strip(&[2, b'a', b'b', 0, 0]), Some(&b"ab"[..]));
        assert_eq!(padded.strip(&[9, b'a']), None);
        let priority = Head { len: 6, kind: HEADERS, flags: PRIORITY, stream: 1 };
        assert_eq!(priority.strip(&[0, 0, 0, 0, 0, b'x']), Some(&b"x"[..]));
    }
}
