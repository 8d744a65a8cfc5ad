//! Text as it is compared for finding: without case, accents and what is not seen. Search in messages, names of rooms
//! and names of participants all go through here. It owns the table of what is an accent and what is a letter; it must
//! not decide what a text may be (that is [`super::form`]).
//!
//! The steps, each from Unicode's own data:
//!
//! 1. What is not seen goes: default-ignorable characters (joiners, soft hyphen, bidi controls, variation selectors),
//!    control characters that are no white space, and the Arabic tatweel.
//! 2. Compatibility decomposition (NFKD): `ﬁ` is `fi`, `Ａ` is `A`, `½` is `1⁄2`.
//! 3. Marks go where they are accents, and stay where they are letters or parts of them:
//!
//!    | script of the letter | marks | so that |
//!    |---|---|---|
//!    | Latin, Greek, Cyrillic | go | `é` = `e`, `ή` = `η`, `ё` = `е`, `й` = `и` |
//!    | Hebrew, Arabic | go: points, harakat, and the hamza and madda over alef, waw and yeh | `שָׁלוֹם` = `שלום`, `أ` = `ا` |
//!    | none (digits, signs, emoji) | go | `1️⃣` = `1` |
//!    | every other | stay | `か` and `が`, Thai tones, vowel signs and virama of Indic scripts, Hangul are letters |
//!
//! 4. Full case folding: `Σ`, `σ` and `ς` are one letter, `ß` and `ẞ` are `ss`. The Turkic letters are not told
//!    apart, since a search does not know its language: `İ`, `I`, `ı` and `i` are all `i`.
//! 5. Letters with a stroke, which Unicode does not decompose, by the table in `stroke`: `ł` = `l`, `ø` = `o`.
//! 6. Composition (NFC), so that `か` is not found in the middle of `が`, nor `가` in `각`.
//!
//! Folding twice changes nothing more. The time is linear in the text but for runs of marks that stay, which are
//! sorted (`benches/fold.rs`).

use icu_casemap::CaseMapper;
use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup, Script},
};
use unicode_normalization::UnicodeNormalization as _;

use super::reject::{Flaw, Reject};

/// Lengthens words and has no sound.
const TATWEEL: char = '\u{640}';

/// `text` folded. The result may be longer or shorter than the text.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let (plain, other) = rest.split_at(ascii);
        out.extend(plain.chars().filter(|c| !is_silent_ascii(*c)).map(|c| c.to_ascii_lowercase()));
        // ASCII takes part in no composition, as its marks go: both kinds of runs can be folded apart. What of it is not
        // seen parts nothing: marks before and after it stand on one letter.
        let parts = |byte: u8| byte.is_ascii() && !is_silent_ascii(char::from(byte));
        let end = other.bytes().position(parts).unwrap_or(other.len());
        let (other, after) = other.split_at(end);
        fold_run(other, &mut out);
        rest = after;
    }
    out
}

/// Folds text without ASCII, but for what is not seen, that follows ASCII or nothing.
fn fold_run(run: &str, out: &mut String) {
    // Marks that go for sure are taken away before they are sorted, the others once they stand on their letters.
    let mut before = Marks { are_letters: false, judges_signs: false };
    let mut after = Marks { are_letters: false, judges_signs: true };
    let seen = run.chars().filter(|c| !is_unseen(*c)).filter(|c| before.stays(*c));
    let letters = seen.nfkd().filter(|c| after.stays(*c));
    out.extend(letters.flat_map(|c| stroke(CaseMapper::new().simple_fold(c))).nfc());
}

/// Which marks stay, told from the letters before them; a tatweel never does.
struct Marks {
    /// Of the letter passed last.
    are_letters: bool,
    /// Whether marks on signs go: a sign may still decompose into letters, as `㋿` does.
    judges_signs: bool,
}

impl Marks {
    fn stays(&mut self, c: char) -> bool {
        if c.is_ascii() {
            self.are_letters = false;
            return true;
        }
        if c == TATWEEL {
            // Marks that stand on it are Arabic, and go with it. Decomposing brings it forth too (`ﹷ`).
            self.are_letters = false;
            return false;
        }
        let script = CodePointMapData::<Script>::new().get(c);
        let category = CodePointMapData::<GeneralCategory>::new().get(c);
        let is_of_many = matches!(script, Script::Common | Script::Inherited);
        if !GeneralCategoryGroup::Mark.contains(category) {
            self.are_letters = if is_of_many { !self.judges_signs } else { !is_accented(script) };
            return true;
        }
        // A mark of many scripts belongs to the letter that it stands on.
        if is_of_many { self.are_letters } else { !is_accented(script) }
    }
}

/// Whether marks are accents in a script: the table above.
fn is_accented(script: Script) -> bool {
    matches!(script, Script::Latin | Script::Greek | Script::Cyrillic | Script::Hebrew | Script::Arabic)
}

/// Whether a character is not seen by itself: default-ignorable, or a control character that is no white space.
#[must_use]
pub fn is_unseen(c: char) -> bool {
    if c.is_ascii() {
        return is_silent_ascii(c);
    }
    (c.is_control() && !c.is_whitespace()) || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

const fn is_silent_ascii(c: char) -> bool {
    c.is_ascii_control() && !matches!(c, '\t'..='\r')
}

/// A letter that is in lower case, without the stroke or hook that Unicode takes for a part of it.
fn stroke(c: char) -> impl Iterator<Item = char> {
    let (first, second) = match c {
        'ß' => ('s', Some('s')),
        'ł' => ('l', None),
        'đ' | 'ð' => ('d', None),
        'ø' => ('o', None),
        'æ' => ('a', Some('e')),
        'œ' => ('o', Some('e')),
        'þ' => ('t', Some('h')),
        'ħ' => ('h', None),
        'ı' => ('i', None),
        'ŧ' => ('t', None),
        c => (c, None),
    };
    std::iter::once(first).chain(second)
}

/// What is looked for, folded. A query of which nothing is left (marks alone, or what is not seen) would be in every
/// text.
///
/// # Errors
/// [`Reject::Invalid`] with [`Flaw::Malformed`], naming `field`, for such a query.
pub fn needle(field: &'static str, query: &str) -> Result<String, Reject> {
    let folded = fold(query);
    if folded.trim().is_empty() { Err(Reject::invalid(field, Flaw::Malformed)) } else { Ok(folded) }
}

/// Whether `text` contains `needle`, which is folded already.
#[must_use]
pub fn contains(text: &str, folded_needle: &str) -> bool {
    fold(text).contains(folded_needle)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Texts that find each other.
    const SAME: &[(&str, &str)] = &[
        ("Canción", "cancion"),
        ("ÑANDÚ", "nandu"),
        ("Łódź", "lodz"),
        ("Ærøskøbing", "aeroskobing"),
        // Full case folding.
        ("Straße", "STRASSE"),
        ("GROẞ", "groß"),
        ("İstanbul", "istanbul"),
        ("ISPARTA", "ısparta"),
        ("ﬁn", "fin"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσεύς"),
        ("Σίσυφος", "ΣΙΣΥΦΟΣ"),
        ("ᾠδή", "ωδη"),
        ("Ёлка", "ЕЛКА"),
        ("ПРИВЕТ", "привет"),
        ("ԵՐԵՒԱՆ", "երևան"),
        // Points and harakat.
        ("שָׁלוֹם", "שלום"),
        ("مُحَمَّد", "محمد"),
        ("أحمد", "احمد"),
        ("محـــمد", "محمد"),
        // What is not seen.
        ("می\u{200c}خواهم", "میخواهم"),
        ("Donau\u{ad}dampf", "donaudampf"),
        ("a\u{200b}b\u{2066}c\u{2069}d", "abcd"),
        ("\u{202e}abc", "abc"),
        ("❤\u{fe0f}", "❤"),
        ("1\u{fe0f}\u{20e3}", "1"),
        ("\u{2}bold\u{f}", "bold"),
        ("か\u{339}\u{e}\u{9bc}", "か\u{9bc}\u{339}"),
        ("か\u{1}\u{3099}", "が"),
        ("\u{fe77}ا", "ا"),
        ("か\u{fe77}\u{301}", "か\u{640}\u{64e}\u{301}"),
        // One form of what can be written in several.
        ("が", "か\u{3099}"),
        ("ガ", "ｶﾞ"),
        ("각", "\u{1100}\u{1161}\u{11a8}"),
        ("Ａｂｃ", "abc"),
        ("é", "e\u{301}"),
    ];

    #[test]
    fn what_is_the_same_to_who_searches_finds_each_other() {
        for (one, other) in SAME {
            assert_eq!(fold(one), fold(other), "{one} {other}");
            assert!(contains(&format!("x {one} y"), &fold(other)) && contains(other, &fold(one)), "{one} {other}");
        }
        assert_eq!(fold("La Tertulia de José"), "la tertulia de jose");
    }

    #[test]
    fn what_are_letters_is_told_apart() {
        for (text, query) in [
            ("がか", "がが"),
            ("ばら", "はら"),
            ("が", "か"),
            ("각", "가"),
            ("มา", "ม้า"),
            ("ใกล้", "ใกล่"),
            ("किताब", "कताब"),
            ("कल", "कि"),
            ("বাংলা", "বংলা"),
            ("பால்", "பால"),
        ] {
            assert_ne!(fold(text), fold(query), "{text} {query}");
        }
        assert!(!contains("ばら", &fold("は")) && !contains("が", &fold("か")) && !contains("각", &fold("가")));
        assert!(!contains("कताब", &fold("कि")) && !contains("มา", &fold("ม้า")));
        assert!(contains("देवनागरी लिपि", &fold("नागरी")) && contains("ภาษาไทยง่าย", &fold("ง่าย")));
    }

    #[test]
    fn a_query_of_nothing_is_refused() {
        for query in [
            "",
            "\u{301}",
            "\u{301}\u{308}\u{327}",
            "\u{200b}\u{200d}",
            "  ",
            "\u{a0}\u{ad}",
            "\u{640}",
            "\u{5b0}",
            "\0\u{7}",
        ] {
            assert_eq!(needle("query", query), Err(Reject::invalid("query", Flaw::Malformed)), "{query:?}");
        }
        for query in ["e\u{301}", "ั่", "か", "1", ".", "👍", "ي"] {
            assert!(needle("query", query).is_ok(), "{query:?}");
        }
    }

    /// Chance meets few characters; the odd ones are odd alone, or between a letter that keeps its marks and a mark.
    #[test]
    fn every_character_folds_once_and_in_all_its_forms_alike() {
        let mut text = String::new();
        // The planes between and above have no characters.
        for c in ('\u{80}'..'\u{34000}').chain('\u{e0000}'..'\u{e0200}') {
            for (before, after) in [("", ""), ("か", "\u{3099}\u{301}")] {
                text.clear();
                text.extend([before, c.encode_utf8(&mut [0; 4]), after]);
                let once = fold(&text);
                assert_eq!(fold(&once), once, "{text:?} once more");
                if !unicode_normalization::is_nfd(&text) || !unicode_normalization::is_nfkc(&text) {
                    assert_eq!(fold(&text.nfd().collect::<String>()), once, "{text:?} in NFD");
                    assert_eq!(fold(&text.nfc().collect::<String>()), once, "{text:?} in NFC");
                    assert_eq!(fold(&text.nfkc().collect::<String>()), once, "{text:?} in NFKC");
                }
            }
        }
    }

    /// Text of letters and marks of many scripts, and of what is not seen.
    fn texts() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            any::<char>().prop_map(String::from),
            proptest::sample::select(SAME).prop_map(|(one, _)| one.to_owned()),
            proptest::char::range('\u{300}', '\u{36f}').prop_map(String::from),
            proptest::sample::select(
                &["\u{3099}", "\u{309a}", "\u{9bc}", "\u{200c}", "\u{e48}", "か", "क", "ก", "ﾊ", "A"][..]
            )
            .prop_map(str::to_owned),
        ];
        proptest::collection::vec(parts, 0..12).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn folding_again_changes_nothing(text in texts()) {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn forms_of_one_text_fold_alike(text in texts()) {
            let folded = fold(&text);
            prop_assert_eq!(&fold(&text.nfd().collect::<String>()), &folded);
            prop_assert_eq!(&fold(&text.nfc().collect::<String>()), &folded);
            prop_assert_eq!(&fold(&text.nfkc().collect::<String>()), &folded);
        }

        #[test]
        fn a_text_contains_itself(text in texts()) {
            prop_assert!(contains(&text, &fold(&text)));
        }
    }
}
