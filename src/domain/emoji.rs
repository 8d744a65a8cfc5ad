//! Whether a text is one emoji, so that a reaction says no more than a face does.
//!
//! Owns the shape of emoji as far as that question needs it; does not know which ones exist.

/// Parts joined into one picture at most (`👩‍👩‍👧‍👦` has four).
const PARTS_MAX: usize = 6;
/// Letters of a flag's subdivision at most (`gbeng`).
const TAGS_MAX: usize = 6;

const JOINER: char = '\u{200d}';
const AS_PICTURE: char = '\u{fe0f}';
const KEYCAP: char = '\u{20e3}';
const BLACK_FLAG: char = '\u{1f3f4}';
const LAST_TAG: char = '\u{e007f}';

/// Whether `text` is exactly one emoji: a picture, perhaps with a skin tone, several joined into one, a flag, or a
/// keycap. Letters and digits of any script are not, nor are two emoji beside each other.
#[must_use]
pub fn is_one(text: &str) -> bool {
    let mut parts = text.split(JOINER);
    let (Some(first), None) = (parts.next(), parts.next()) else {
        return text.split(JOINER).count() <= PARTS_MAX && text.split(JOINER).all(is_picture);
    };
    is_picture(first) || is_flag(first) || is_keycap(first) || is_sign(first)
}

/// A picture with what may follow it.
fn is_picture(part: &str) -> bool {
    let mut chars = part.chars();
    let Some(base) = chars.next().filter(|c| is_base(*c)) else {
        return false;
    };
    let rest = chars.as_str().trim_start_matches(AS_PICTURE);
    let rest = rest.strip_prefix(is_skin_tone).unwrap_or(rest);
    let rest = rest.strip_prefix(AS_PICTURE).unwrap_or(rest);
    rest.is_empty() || (base == BLACK_FLAG && is_subdivision(rest))
}

/// The invisible letters that make a black flag the flag of a part of a country.
fn is_subdivision(tags: &str) -> bool {
    let Some(letters) = tags.strip_suffix(LAST_TAG) else {
        return false;
    };
    (1..=TAGS_MAX).contains(&letters.chars().count())
        && letters.chars().all(|c| matches!(c, '\u{e0030}'..='\u{e0039}' | '\u{e0061}'..='\u{e007a}'))
}

fn is_flag(text: &str) -> bool {
    text.chars().count() == 2 && text.chars().all(|c| matches!(c, '\u{1f1e6}'..='\u{1f1ff}'))
}

fn is_keycap(text: &str) -> bool {
    let key = text.strip_suffix(KEYCAP).map(|key| key.strip_suffix(AS_PICTURE).unwrap_or(key));
    key.is_some_and(|key| key.len() == 1 && key.chars().all(|c| matches!(c, '0'..='9' | '#' | '*')))
}

/// Signs that hold letters (`🆗`, `🅰`): alone they are emoji, joined they would spell words.
fn is_sign(text: &str) -> bool {
    let mut chars = text.chars();
    let sign = chars.next().is_some_and(|c| matches!(c, '\u{1f100}'..='\u{1f1e5}' | '\u{1f200}'..='\u{1f2ff}'));
    sign && chars.as_str().trim_start_matches(AS_PICTURE).is_empty()
}

const fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1f3fb}'..='\u{1f3ff}')
}

const fn is_base(c: char) -> bool {
    !is_skin_tone(c)
        && matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
        | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{25a0}'..='\u{27bf}' | '\u{2934}'..='\u{2935}'
        | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
        | '\u{1f000}'..='\u{1f0ff}' | '\u{1f300}'..='\u{1faff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn emoji_are() {
        for text in
            ["👍", "❤", "❤️", "👍🏽", "☝🏿", "👩‍👩‍👧‍👦", "👩🏽‍🚀", "🏳️‍🌈", "❤️‍🔥", "🇪🇸", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "1️⃣", "#⃣", "🆗", "🅰️", "©", "™️", "✅"]
        {
            assert!(is_one(text), "{text}");
        }
    }

    #[test]
    fn texts_are_not() {
        for text in [
            "",
            " ",
            "x",
            "ok",
            ":+1:",
            "compra",
            "1",
            "👍👍",
            "👍x",
            "x👍",
            "👍 ",
            "🇪",
            "🇧🇺🇾",
            "🅱\u{200d}🅰",
            "\u{200d}",
            "👍\u{200d}",
            "\u{fe0f}",
            "🏽",
            "好",
            "1️",
            "👍\u{e0062}\u{e007f}",
            "🏴\u{e007f}",
            "é",
        ] {
            assert!(!is_one(text), "{text:?}");
        }
        assert!(!is_one(&["👍"; 9].join("\u{200d}")), "a row of pictures");
    }

    proptest! {
        /// Whatever holds a letter of an alphabet is no emoji.
        #[test]
        fn no_letters(before in ".{0,3}", letter in "[\\p{Latin}\\p{Cyrillic}\\p{Han}\\p{Arabic}]", after in ".{0,3}") {
            prop_assert!(!is_one(&[before, letter, after].concat()));
        }
    }
}
