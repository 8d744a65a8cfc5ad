//! Header blocks (RFC 7541), as far as a gRPC client needs them.
//!
//! Writing: requests repeat the same few fields, so each goes into the server's table once and is an index after
//! that, as every common client does it. Reading: this client announces an empty table, so a block stands alone;
//! only the status fields are kept.

use std::sync::LazyLock;

/// Entries of the static table.
const STATIC_LEN: usize = 61;
/// Size of the server's table that may be assumed before it says otherwise.
const TABLE_MAX: usize = 4_096;
/// What the RFC adds to the size of each entry.
const ENTRY_OVERHEAD: usize = 32;

/// Writes request headers and remembers what the server's table holds.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    entries: Vec<(&'static str, String)>,
    size: usize,
    off: Option<Off>,
}

/// The server wants no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Off {
    ToAnnounce,
    Announced,
}

impl Encoder {
    /// Follows the server's table size. Must be called before the first block.
    pub(super) fn table_size(&mut self, size: u32) {
        if (size as usize) < TABLE_MAX {
            self.off = Some(Off::ToAnnounce);
        }
    }

    /// Appends the header block of a gRPC call.
    pub(super) fn request(&mut self, out: &mut Vec<u8>, authority: &str, path: &str, token: &str) {
        if self.off == Some(Off::ToAnnounce) {
            out.push(0x20);
            self.off = Some(Off::Announced);
        }
        // :method POST and :scheme http are entries 3 and 6 of the static table.
        out.extend_from_slice(&[0x83, 0x86]);
        self.field(out, 4, ":path", path);
        self.field(out, 1, ":authority", authority);
        self.field(out, 31, "content-type", "application/grpc");
        self.field(out, 0, "te", "trailers");
        self.field(out, 23, "authorization", token);
    }

    /// Appends one field; `name_index` is the name's place in the static table, 0 if it has none.
    fn field(&mut self, out: &mut Vec<u8>, name_index: usize, name: &'static str, value: &str) {
        if let Some(at) = self.entries.iter().position(|(n, v)| *n == name && v == value) {
            put_int(out, 0x80, 7, STATIC_LEN + self.entries.len() - at);
            return;
        }
        let size = name.len() + value.len() + ENTRY_OVERHEAD;
        if self.off.is_none() && self.size + size <= TABLE_MAX {
            self.size += size;
            self.entries.push((name, value.to_owned()));
            put_int(out, 0x40, 6, name_index);
        } else {
            put_int(out, 0x00, 4, name_index);
        }
        if name_index == 0 {
            put_string(out, name);
        }
        put_string(out, value);
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    put_int(out, 0x00, 7, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_int(out: &mut Vec<u8>, pattern: u8, bits: u32, value: usize) {
    let full = (1usize << bits) - 1;
    if value < full {
        out.push(pattern | low_byte(value));
        return;
    }
    out.push(pattern | low_byte(full));
    let mut rest = value - full;
    while rest >= 0x80 {
        out.push(low_byte(rest) | 0x80);
        rest >>= 7;
    }
    out.push(low_byte(rest));
}

fn low_byte(value: usize) -> u8 {
    u8::try_from(value & 0xff).unwrap_or(u8::MAX)
}

/// How a call ended, as the server's headers or trailers say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// HTTP status; 0 in trailers.
    pub(crate) http: u16,
    /// `grpc-status`; `None` if the block has none.
    pub(crate) grpc: Option<u16>,
    /// `grpc-message`.
    pub(crate) message: String,
    /// `tertulia-reason`; empty if there is none.
    pub(crate) reason: String,
}

/// Reads a block; `None` if it is malformed or needs a table.
pub(super) fn status(mut block: &[u8]) -> Option<Status> {
    let mut status = Status::default();
    while let Some(first) = block.first().copied() {
        if first & 0x80 != 0 {
            let index = take_int(&mut block, 7)?;
            if let Some(code) = static_status(index)? {
                status.http = code;
            }
        } else if first & 0xe0 == 0x20 {
            take_int(&mut block, 5)?;
        } else {
            let bits = if first & 0x40 != 0 { 6 } else { 4 };
            let index = take_int(&mut block, bits)?;
            let name = if index == 0 { take_string(&mut block)? } else { String::new() };
            let value = take_string(&mut block)?;
            match name.as_str() {
                "" if (8..=14).contains(&index) => status.http = value.parse().ok()?,
                "grpc-status" => status.grpc = Some(value.parse().ok()?),
                "grpc-message" => status.message = unpercent(&value),
                "tertulia-reason" => status.reason = value,
                _ => {}
            }
        }
    }
    Some(status)
}

/// gRPC sends messages percent-encoded; what is not a valid escape stays as it is.
fn unpercent(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        match digits.and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &more[2..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The HTTP status that a static entry is, `Some(None)` for another field, `None` beyond the static table.
fn static_status(index: usize) -> Option<Option<u16>> {
    const STATUS: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match index {
        8..=14 => Some(Some(STATUS[index - 8])),
        1..=STATIC_LEN => Some(None),
        _ => None,
    }
}

fn take_int(block: &mut &[u8], bits: u32) -> Option<usize> {
    let full = (1usize << bits) - 1;
    let (first, mut rest) = block.split_first()?;
    let mut value = usize::from(*first) & full;
    if value == full {
        let mut shift = 0;
        loop {
            let (byte, more) = rest.split_first()?;
            rest = more;
            value = value.checked_add((usize::from(*byte) & 0x7f) << shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 28 {
                return None;
            }
        }
    }
    *block = rest;
    Some(value)
}

fn take_string(block: &mut &[u8]) -> Option<String> {
    let huffman = block.first()? & 0x80 != 0;
    let len = take_int(block, 7)?;
    let raw = block.get(..len)?;
    *block = &block[len..];
    let bytes = if huffman { unhuffman(raw)? } else { raw.to_vec() };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Symbols of the HPACK code in canonical order, by code length. Lengths over 15 are characters that no status
/// field of gRPC holds.
const SYMBOLS: [(u32, &[u8]); 10] = [
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
];

/// For each length: its number of bits, the first code of that length, its symbols.
static CODE: LazyLock<Vec<(u32, u32, &'static [u8])>> = LazyLock::new(|| {
    let mut next = 0u32;
    let mut before = 0u32;
    SYMBOLS
        .iter()
        .map(|(len, symbols)| {
            next <<= len - before;
            before = *len;
            let first = next;
            next += u32::try_from(symbols.len()).unwrap_or(u32::MAX);
            (*len, first, *symbols)
        })
        .collect()
});

fn unhuffman(raw: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(raw.len() * 2);
    let (mut code, mut len) = (0u32, 0u32);
    for byte in raw {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            len += 1;
            if let Some(symbol) = symbol(code, len) {
                text.push(symbol);
                (code, len) = (0, 0);
            } else if len > 15 {
                return None;
            }
        }
    }
    // What is left is padding: fewer than 8 bits, all ones.
    (len < 8 && code == (1 << len) - 1).then_some(text)
}

fn symbol(code: u32, len: u32) -> Option<u8> {
    let (_, first, symbols) = CODE.iter().find(|(bits, ..)| *bits == len)?;
    symbols.get(usize::try_from(code.checked_sub(*first)?).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Examples of RFC 7541, C.4.1, C.4.3 and C.6.1.
    #[test]
    fn huffman_known_answers() {
        let cases: [(&[u8], &str); 4] = [
            (&[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff], "www.example.com"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0x64, 0x02], "302"),
            (
                &[
                    0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81, 0x66,
                    0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
                ],
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
        ];
        for (raw, text) in cases {
            assert_eq!(unhuffman(raw).unwrap(), text.as_bytes());
        }
        assert!(unhuffman(&[0xff, 0xff, 0xff]).is_none());
    }

    #[test]
    fn integers_of_the_rfc() {
        let mut out = Vec::new();
        put_int(&mut out, 0, 5, 1_337);
        assert_eq!(out, [31, 154, 10]);
        let mut block = &out[..];
        assert_eq!(take_int(&mut block, 5), Some(1_337));
        assert!(block.is_empty());
        assert_eq!(take_int(&mut &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1][..], 7), None);
    }

    #[test]
    fn a_second_request_is_indices_only() {
        let mut encoder = Encoder::default();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        encoder.request(&mut first, "localhost:1", "/chat.v1.ChatService/SendMessage", "Bearer x");
        encoder.request(&mut second, "localhost:1", "/chat.v1.ChatService/SendMessage", "Bearer x");
        assert_eq!(second, [0x83, 0x86, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62]);
        assert!(first.len() > 60);
    }

    #[test]
    fn without_a_table_nothing_is_indexed() {
        let mut encoder = Encoder::default();
        encoder.table_size(0);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        encoder.request(&mut first, "a", "/b", "c");
        encoder.request(&mut second, "a", "/b", "c");
        assert_eq!(first[0], 0x20);
        assert_eq!(first[1..], second);
    }

    #[test]
    fn messages_are_decoded() {
        assert_eq!(unpercent("slow%20down%2C%C3%A9 100%"), "slow down,\u{e9} 100%");
    }

    #[test]
    fn status_of_trailers() {
        let mut block = vec![0x88];
        for (name, value) in [("grpc-status", "8"), ("tertulia-reason", "rate_limited")] {
            block.push(0);
            put_string(&mut block, name);
            put_string(&mut block, value);
        }
        let status = status(&block).unwrap();
        assert_eq!((status.http, status.grpc, status.reason.as_str()), (200, Some(8), "rate_limited"));
        assert_eq!(super::status(&[0xff, 0x00]), None);
    }
}
