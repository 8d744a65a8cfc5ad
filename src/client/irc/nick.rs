//! What IRC calls a nick: which words can be one, and when two spellings are the same person.
//!
//! Knows nothing of lines or rooms.

/// The key under which two spellings of a nick are the same.
///
/// IRC servers compare nicks without regard to ASCII case and take `[]\~` as the capitals of `{}|^` (RFC 1459).
#[must_use]
pub fn fold(nick: &str) -> String {
    nick.chars()
        .map(|c| match c {
            '[' => '{',
            ']' => '}',
            '\\' => '|',
            '~' => '^',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// Whether a bare word can be a nick: letters, digits and ``[]\`_^{|}~-``; beyond ASCII everything but white space.
///
/// Tells `=== nick does something` from `=== mode/#channel [+b ...]`.
#[must_use]
pub(crate) fn is_nick(word: &str) -> bool {
    !word.is_empty() && word.chars().all(is_nick_char)
}

fn is_nick_char(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphanumeric() || "[]\\`_^{|}~-".contains(c) } else { !c.is_whitespace() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_nick_fold_together() {
        assert_eq!(fold("BeTa"), fold("beta"));
        assert_eq!(fold("[Nor]D\\x~"), fold("{nor}d|x^"));
        assert_ne!(fold("beta"), fold("beta_"));
    }

    #[test]
    fn odd_nicks_are_nicks_and_server_words_are_not() {
        for nick in ["|fern|", "[kettle]", "assam^_", "lapsang`", "_", "cup[]", "Chai-", "Zoë"] {
            assert!(is_nick(nick), "{nick}");
        }
        for word in ["", "mode/#tea", "..[topic/#tea:Samovar]", "#tea", "a b"] {
            assert!(!is_nick(word), "{word}");
        }
    }
}
