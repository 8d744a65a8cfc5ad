//! The forms of texts, addresses and ciphertexts that come in: what is refused, what counts as nothing. Whoever takes
//! something from outside asks here; what is stored already is not asked again. It must not know of lengths (those are
//! [`super::limits`]).

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use url::Url;

use super::{
    fold::is_unseen,
    limits,
    reject::{Flaw, Reject},
};

/// Bytes that clients' ciphertext comes in: blocks of AES.
const CIPHER_BLOCK_BYTES: usize = 16;

/// Whether nothing of a text is seen: white space, and what is not seen by itself.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_unseen(c) || c == '\u{2800}')
}

/// What a message says. A text of which nothing is seen counts as none; everything else stays as it is, also marks of
/// direction, which belong to right-to-left text: who shows a message isolates it.
///
/// # Errors
/// [`Flaw::Malformed`] for NUL, and for `encrypted` content that is no ciphertext: standard base64 of whole blocks.
pub fn content(text: String, encrypted: bool) -> Result<String, Reject> {
    let malformed = Reject::invalid("content", Flaw::Malformed);
    if text.as_bytes().contains(&0) {
        return Err(malformed);
    }
    if encrypted && !text.is_empty() && !is_ciphertext(&text) {
        return Err(malformed);
    }
    Ok(if is_blank(&text) { String::new() } else { text })
}

/// Not too long for a message: what is longer is refused by its length, and not worth reading.
fn is_ciphertext(text: &str) -> bool {
    text.len() > limits::CONTENT_BYTES_MAX
        || BASE64.decode(text).is_ok_and(|bytes| !bytes.is_empty() && bytes.len().is_multiple_of(CIPHER_BLOCK_BYTES))
}

/// A text of one line that names something: a room, a member, a file, a reaction. Joiners, variation selectors, tags and
/// the marks of direction that do not reach beyond their place (as in emoji, Persian names, Hebrew names with digits)
/// may be in it; nothing else may that is not seen, breaks the line or turns the direction of what follows.
///
/// # Errors
/// [`Flaw::Malformed`], naming `field`, for such characters, and for a text of which nothing is seen. An empty one passes.
pub fn name(field: &'static str, text: &str) -> Result<(), Reject> {
    if text.is_empty() || (text.chars().all(|c| !is_odd(c)) && !is_blank(text)) {
        return Ok(());
    }
    Err(Reject::invalid(field, Flaw::Malformed))
}

/// A text of several lines about something: as [`name`], but for line breaks and tabs; it may be blank.
///
/// # Errors
/// [`Flaw::Malformed`], naming `field`.
pub fn description(field: &'static str, text: &str) -> Result<(), Reject> {
    let odd = |c: char| is_odd(c) && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(odd) { Err(Reject::invalid(field, Flaw::Malformed)) } else { Ok(()) }
}

/// A reaction: a name without white space.
///
/// # Errors
/// [`Flaw::Malformed`].
pub fn reaction(text: &str) -> Result<(), Reject> {
    name("reaction", text)?;
    if text.contains(char::is_whitespace) { Err(Reject::invalid("reaction", Flaw::Malformed)) } else { Ok(()) }
}

/// A name from elsewhere that is taken as far as it can be: without what [`name`] refuses, without white space around
/// it, at most [`limits::NAME_BYTES_MAX`]; empty if nothing of it is seen.
#[must_use]
pub fn cleaned_name(text: &str) -> String {
    let mut clean: String = text.chars().filter(|c| !is_odd(*c)).collect();
    while clean.len() > limits::NAME_BYTES_MAX {
        clean.pop();
    }
    if is_blank(&clean) { String::new() } else { clean.trim().to_owned() }
}

/// Whether a character has no place in a name.
fn is_odd(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let is_of_emoji_or_script = matches!(c,
        '\u{200c}'..='\u{200f}' | '\u{61c}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0020}'..='\u{e007f}'
        | '\u{e0100}'..='\u{e01ef}' | '\u{34f}' | '\u{180b}'..='\u{180f}');
    let breaks_line = matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}');
    !is_of_emoji_or_script && (breaks_line || c.is_control() || is_unseen(c))
}

/// The schemes that addresses may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UrlSchemes(Vec<String>);

/// Schemes that run what they hold, or read what is on the reader's machine: never allowed.
const NEVER: &[&str] = &["javascript", "vbscript", "data", "file", "blob", "filesystem", "about", "view-source"];

impl Default for UrlSchemes {
    fn default() -> Self {
        Self(vec![String::from("https"), String::from("http")])
    }
}

impl UrlSchemes {
    /// Reads a list with commas between; none if it holds what is no scheme, or one that is never allowed.
    #[must_use]
    pub fn parse(list: &str) -> Option<Self> {
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|c: char| c.is_ascii_lowercase())
                && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
                && !NEVER.contains(&scheme)
        };
        let schemes: Vec<String> = list.split(',').map(|scheme| scheme.trim().to_owned()).collect();
        schemes.iter().all(|scheme| is_scheme(scheme)).then_some(Self(schemes))
    }

    /// Whether `text` is an absolute address with one of these schemes. Readers of addresses forgive much (white space,
    /// backslashes, missing slashes); what another program could read in another way is none.
    #[must_use]
    pub fn allow(&self, text: &str) -> bool {
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\' || is_unseen(c)) {
            return false;
        }
        let Ok(url) = Url::parse(text) else { return false };
        let is_web = matches!(url.scheme(), "https" | "http");
        let after_scheme = text.get(url.scheme().len()..).unwrap_or_default();
        self.0.iter().any(|scheme| scheme == url.scheme())
            && (!is_web || (after_scheme.starts_with("://") && !after_scheme.starts_with(":///")))
    }

    /// An address that may be left out. One that is too long is refused by its length.
    ///
    /// # Errors
    /// [`Flaw::Malformed`], naming `field`.
    pub fn check(&self, field: &'static str, text: &str) -> Result<(), Reject> {
        if text.is_empty() || text.len() > limits::URL_BYTES_MAX || self.allow(text) {
            return Ok(());
        }
        Err(Reject::invalid(field, Flaw::Malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn malformed(field: &'static str) -> Result<(), Reject> {
        Err(Reject::invalid(field, Flaw::Malformed))
    }

    #[test]
    fn names_show_what_they_are() {
        let good = [
            "",
            "Ana",
            "José 🙈",
            "میخواهم\u{200c}ها",
            "👨‍👩‍👧",
            "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}",
            "❤\u{fe0f}",
            "דוד\u{200e} 3",
            " a ",
        ];
        for text in good {
            assert_eq!(name("name", text), Ok(()), "{text:?}");
        }
        let bad = [
            " ",
            "\u{a0}\u{3000}",
            "\u{200d}",
            "\u{200b}",
            "An\u{200b}a",
            "\0",
            "a\0",
            "a\nb",
            "a\tb",
            "\u{7f}",
            "a\u{85}",
            "a\u{2028}b",
            "\u{202e}gpj.exe",
            "a\u{2066}b\u{2069}",
            "\u{ad}",
            "a\u{feff}",
            "\u{3164}",
            "\u{115f}",
            "\u{2800}",
        ];
        for text in bad {
            assert_eq!(name("name", text), malformed("name"), "{text:?}");
        }
        for text in ["+1", "👩‍🚀", ":sí:"] {
            assert_eq!(reaction(text), Ok(()), "{text}");
        }
        for text in ["a b", " ", "\u{200b}", "\u{202e}x", "x\0"] {
            assert_eq!(reaction(text), malformed("reaction"), "{text:?}");
        }
    }

    #[test]
    fn descriptions_have_lines() {
        assert_eq!(description("description", "uno\r\n\tdos 👨‍👩‍👧 "), Ok(()));
        for text in ["\0", "a\u{1b}[31m", "\u{202e}a", "a\u{2067}b", "\u{200b}"] {
            assert_eq!(description("description", text), malformed("description"), "{text:?}");
        }
    }

    #[test]
    fn content_is_kept_as_it_is_or_is_none() {
        for text in ["hola", " a ", "\u{2067}שלום\u{2069} hi", "\u{202e}odd, but said", "\u{2}bold", "a\u{200b}"] {
            assert_eq!(content(text.to_owned(), false).as_deref(), Ok(text));
        }
        for blank in ["", " ", "\n\n", "\u{200b}\u{200d}", "\u{3164}", "\u{202e}\u{202c}", "\u{2800}"] {
            assert_eq!(content(blank.to_owned(), false).as_deref(), Ok(""), "{blank:?}");
        }
        for nul in ["\0", "a\0b"] {
            assert_eq!(content(nul.to_owned(), false).map(drop), malformed("content"));
        }
    }

    #[test]
    fn ciphertext_is_base64_of_whole_blocks() {
        let encoded = |len: usize| BASE64.encode(vec![0xa5; len]);
        for len in [16, 32, 4_096] {
            assert!(content(encoded(len), true).is_ok());
        }
        let spaced = format!("{}\n", encoded(16));
        let bare = encoded(16).trim_end_matches('=').to_owned();
        for text in ["hola", "????", " ", "AAAA", &encoded(15), &encoded(17), &spaced, &bare] {
            assert_eq!(content(text.to_owned(), true).map(drop), malformed("content"), "{text:?}");
        }
        let long = "x".repeat(limits::CONTENT_BYTES_MAX + 1);
        assert!(content(long, true).is_ok(), "its length is the better reason");
    }

    #[test]
    fn addresses_are_absolute_and_of_an_allowed_scheme() {
        let schemes = UrlSchemes::default();
        for url in [
            "https://e.org",
            "http://e.org/a.png?x[]=1#y",
            "HTTPS://E.ORG/",
            "https://e.org/ñandú",
            "https://[::1]:8443/a",
            "https://user@e.org/a",
        ] {
            assert!(schemes.allow(url), "{url}");
        }
        for url in [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\nscript:alert(1)",
            " javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "vbscript:x",
            "blob:https://e.org/1",
            "//e.org/a",
            "/a",
            "a.png",
            "e.org",
            "https:e.org",
            "https:/e.org",
            "https:///e.org",
            "https://",
            "https:\\\\e.org",
            "https://e.org/a b",
            "ht\ntps://e.org",
            "https://e.org/\u{202e}gnp",
            "https://e.org/\0",
            "ftp://e.org",
            "mxc://e.org/1",
            "https://e.org:99999/",
        ] {
            assert!(!schemes.allow(url), "{url:?}");
            assert_eq!(schemes.check("picture", url), malformed("picture"));
        }
        assert_eq!(schemes.check("picture", ""), Ok(()));
    }

    #[test]
    fn schemes_are_a_list_without_the_dangerous() {
        let own = UrlSchemes::parse("https, mxc,s3").unwrap();
        assert!(own.allow("mxc://e.org/1") && own.allow("s3://b/k") && !own.allow("http://e.org"));
        for list in ["", "https,", "javascript", "https,data", "https,file", "HTTPS", "1a", "a b", "https://"] {
            assert_eq!(UrlSchemes::parse(list), None, "{list:?}");
        }
    }

    #[test]
    fn a_name_from_a_token_is_cleaned() {
        assert_eq!(cleaned_name("  Ana\u{202e}\0\n "), "Ana");
        assert_eq!(cleaned_name("\u{200b} \u{3164}"), "");
        assert_eq!(cleaned_name(&"é".repeat(200)).len(), 254);
    }
}
