//! Bytes of a log line to text, losing nothing.
//!
//! The rule: what is UTF-8 is read as UTF-8; every byte that is not part of a valid sequence is read as Windows-1252,
//! which is what IRC clients of the time sent when they did not send UTF-8. The five bytes that Windows-1252 leaves
//! open (81, 8D, 8F, 90, 9D) become the control characters of the same number, as in Latin-1 and in browsers. Every
//! byte thus has a character, and a line that needed the rule says so.

use std::borrow::Cow;

/// How the bytes of a line became text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// The line was valid UTF-8.
    #[default]
    Utf8,
    /// At least one byte was read as Windows-1252.
    Windows1252,
}

impl Encoding {
    /// The name that goes into a message's metadata; none for plain UTF-8.
    #[must_use]
    pub fn label(self) -> Option<&'static str> {
        match self {
            Self::Utf8 => None,
            Self::Windows1252 => Some("windows-1252"),
        }
    }
}

/// Windows-1252 from 0x80 to 0x9F; above that it is Latin-1, where the byte is the code point.
const HIGH_CONTROLS: [char; 32] = [
    '\u{20AC}', '\u{81}', '\u{201A}', '\u{0192}', '\u{201E}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{02C6}',
    '\u{2030}', '\u{0160}', '\u{2039}', '\u{0152}', '\u{8D}', '\u{017D}', '\u{8F}', '\u{90}', '\u{2018}', '\u{2019}',
    '\u{201C}', '\u{201D}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{02DC}', '\u{2122}', '\u{0161}', '\u{203A}',
    '\u{0153}', '\u{9D}', '\u{017E}', '\u{0178}',
];

/// Reads one line's bytes by the rule above.
#[must_use]
pub fn decode(bytes: &[u8]) -> (Cow<'_, str>, Encoding) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return (Cow::Borrowed(text), Encoding::Utf8);
    }
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 4);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| windows_1252(*byte)));
    }
    (Cow::Owned(text), Encoding::Windows1252)
}

fn windows_1252(byte: u8) -> char {
    match byte {
        0x80..=0x9F => HIGH_CONTROLS[usize::from(byte - 0x80)],
        other => char::from(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_text_stays_as_it_is() {
        assert_eq!(decode("naïve – 😀".as_bytes()), ("naïve – 😀".into(), Encoding::Utf8));
        assert_eq!(decode(b""), ("".into(), Encoding::Utf8));
    }

    #[test]
    fn invalid_bytes_become_windows_1252_beside_valid_text() {
        let (text, encoding) = decode(b"caf\xe9 \x80 5 \xe2\x82\xac \x93q\x94");
        assert_eq!(text, "café € 5 € “q”");
        assert_eq!(encoding, Encoding::Windows1252);
    }

    #[test]
    fn every_byte_has_a_character_of_its_own() {
        let text: Vec<char> = (0x80..=0xFF_u8).map(windows_1252).collect();
        let distinct: std::collections::HashSet<_> = text.iter().collect();
        assert_eq!(distinct.len(), 128);
        // A sequence cut short keeps each of its bytes.
        assert_eq!(decode(b"\xe2\x82").0, "â‚");
    }
}
