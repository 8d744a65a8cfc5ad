//! Text made fit for a terminal: cleaned, wrapped, shortened; times.
//!
//! Pure; knows nothing of chats.

use prost_types::Timestamp;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// Replaces what could move the cursor, recolour the screen or reverse the reading direction of its surroundings.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => '\n',
            '\t' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Columns a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Breaks a text into lines of at most `columns`, at spaces where there are any. The first line has `first` columns
/// less. Never empty.
pub(super) fn wrap(text: &str, columns: usize, first: usize) -> Vec<String> {
    let columns = columns.max(2);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut room = columns.saturating_sub(first);
    for (i, paragraph) in text.split('\n').enumerate() {
        if i > 0 {
            lines.push(std::mem::take(&mut line));
            room = columns;
        }
        for word in paragraph.split_inclusive(' ') {
            if word.trim_end().width() > room && !line.is_empty() {
                lines.push(std::mem::take(&mut line).trim_end().to_owned());
                room = columns;
            }
            for grapheme in word.graphemes(true) {
                if grapheme.width() > room {
                    if grapheme == " " {
                        continue;
                    }
                    lines.push(std::mem::take(&mut line));
                    room = columns;
                }
                line.push_str(grapheme);
                room -= grapheme.width().min(room);
            }
        }
    }
    lines.push(line);
    lines
}

/// The text in one line of at most `columns`, with an ellipsis if something is left out.
pub(super) fn shorten(text: &str, columns: usize) -> String {
    let flat = text.replace('\n', " ");
    if flat.width() <= columns {
        return flat;
    }
    let mut short = String::new();
    let mut used = 1;
    for grapheme in flat.graphemes(true) {
        used += grapheme.width();
        if used > columns {
            break;
        }
        short.push_str(grapheme);
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

/// `HH:MM`, UTC.
pub(super) fn clock(at: Option<&Timestamp>) -> String {
    let seconds = at.map_or(0, |at| at.seconds).rem_euclid(86_400);
    format!("{:02}:{:02}", seconds / 3_600, seconds % 3_600 / 60)
}

/// Days since 1970, UTC.
pub(super) fn day(at: Option<&Timestamp>) -> i64 {
    at.map_or(0, |at| at.seconds).div_euclid(86_400)
}

/// `YYYY-MM-DD` of a day since 1970, in the Gregorian calendar carried on in both directions.
pub(super) fn date(day: i64) -> String {
    // Counts from 1 March of year 0, so that the leap day ends a year.
    let days = day + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day_of_month = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_breaks_at_spaces_and_within_long_words() {
        assert_eq!(wrap("one two three", 8, 0), ["one two", "three"]);
        assert_eq!(wrap("one two three", 8, 5), ["one", "two", "three"]);
        assert_eq!(wrap("abcdefghij", 4, 0), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("a\n\nb", 4, 0), ["a", "", "b"]);
        assert_eq!(wrap("", 4, 0), [""]);
        assert_eq!(wrap("日本語", 4, 0), ["日本", "語"]);
    }

    #[test]
    fn nothing_of_the_text_is_lost_and_no_line_is_too_wide() {
        let text = "The quick brown fox 日本語テキスト jumps über 👩‍👩‍👧 the_very_long_lazy_dog_without_spaces";
        for columns in 2..40 {
            let lines = wrap(text, columns, 0);
            assert!(lines.iter().all(|line| width(line) <= columns), "{columns}: {lines:?}");
            let squeezed = |text: &str| text.replace(' ', "");
            assert_eq!(squeezed(&lines.concat()), squeezed(text), "{columns}");
        }
    }

    #[test]
    fn shortening_keeps_within_the_columns() {
        assert_eq!(shorten("hello", 5), "hello");
        assert_eq!(shorten("hello!", 5), "hell…");
        assert_eq!(shorten("日本語", 4), "日…");
        assert_eq!(shorten("a\nb", 5), "a b");
        assert_eq!(shorten("abc", 0), "");
    }

    #[test]
    fn escape_sequences_and_overrides_are_defused() {
        assert_eq!(clean("a\u{1b}[2Jb\rc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
        assert_eq!(clean("a\nb\tc"), "a\nb c");
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(19_782), "2024-02-29");
        assert_eq!(date(20_778), "2026-11-21");
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(clock(Some(&Timestamp { seconds: 1_795_254_300, nanos: 0 })), "09:45");
    }
}
