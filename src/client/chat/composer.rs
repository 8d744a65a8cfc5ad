//! The line one writes in.
//!
//! Owns text and cursor; must not know what becomes of the text.

use unicode_segmentation::UnicodeSegmentation as _;

use super::text;

/// No message may be longer, in bytes.
const BYTES_MAX: usize = 65_536;

/// Text with a cursor that stands between two graphemes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Composer {
    text: String,
    /// Byte offset, on a grapheme boundary.
    cursor: usize,
}

impl Composer {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Replaces everything and stands at the end.
    pub(super) fn set(&mut self, text: impl Into<String>) {
        self.text = text.into();
        self.cursor = self.text.len();
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Writes at the cursor; false if it does not fit.
    pub(super) fn insert(&mut self, text: &str) -> bool {
        if self.text.len() + text.len() > BYTES_MAX {
            return false;
        }
        self.text.insert_str(self.cursor, text);
        self.cursor += text.len();
        true
    }

    pub(super) fn left(&mut self) {
        self.cursor = self.before();
    }

    pub(super) fn right(&mut self) {
        self.cursor = self.after();
    }

    pub(super) fn home(&mut self) {
        self.cursor = self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1);
    }

    pub(super) fn end(&mut self) {
        self.cursor = self.text[self.cursor..].find('\n').map_or(self.text.len(), |at| self.cursor + at);
    }

    pub(super) fn backspace(&mut self) {
        let from = self.before();
        self.cut(from, self.cursor);
    }

    pub(super) fn delete(&mut self) {
        let to = self.after();
        self.cut(self.cursor, to);
    }

    /// Deletes the word before the cursor.
    pub(super) fn delete_word(&mut self) {
        let head = self.text[..self.cursor].trim_end_matches(' ');
        let from = head.rfind([' ', '\n']).map_or(0, |at| at + 1);
        self.cut(from, self.cursor);
    }

    /// Deletes everything before the cursor.
    pub(super) fn delete_head(&mut self) {
        self.cut(0, self.cursor);
    }

    /// The text in lines of `columns`, and the cursor's column and line in them.
    pub(super) fn lines(&self, columns: usize) -> (Vec<String>, usize, usize) {
        let columns = columns.max(2);
        let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0);
        let mut at = (0, 0);
        for (offset, grapheme) in self.text.grapheme_indices(true) {
            let wide = text::width(grapheme);
            let breaks = grapheme == "\n";
            if !breaks && used + wide > columns {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            if offset == self.cursor {
                at = (used, lines.len());
            }
            if breaks {
                lines.push(std::mem::take(&mut line));
                used = 0;
            } else {
                line.push_str(grapheme);
                used += wide;
            }
        }
        if self.cursor == self.text.len() {
            if used >= columns {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            at = (used, lines.len());
        }
        lines.push(line);
        (lines, at.0, at.1)
    }

    fn before(&self) -> usize {
        self.text[..self.cursor].grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        self.text[self.cursor..].graphemes(true).next().map_or(self.cursor, |next| self.cursor + next.len())
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_and_deletes_by_what_one_sees() {
        let mut composer = Composer::default();
        composer.insert("a👩‍👩‍👧é");
        composer.backspace();
        composer.left();
        composer.insert("b");
        assert_eq!(composer.text(), "ab👩‍👩‍👧");
        composer.delete();
        assert_eq!(composer.text(), "ab");
    }

    #[test]
    fn words_heads_and_line_ends() {
        let mut composer = Composer::default();
        composer.insert("one two  \nthree four ");
        composer.delete_word();
        assert_eq!(composer.text(), "one two  \nthree ");
        composer.home();
        composer.insert("x");
        assert_eq!(composer.text(), "one two  \nxthree ");
        composer.end();
        composer.delete_head();
        assert!(composer.is_empty());
    }

    #[test]
    fn wraps_with_the_cursor_in_its_place() {
        let mut composer = Composer::default();
        composer.insert("abcd");
        assert_eq!(composer.lines(4), (vec!["abcd".to_owned(), String::new()], 0, 1));
        composer.left();
        assert_eq!(composer.lines(4), (vec!["abcd".to_owned()], 3, 0));
    }

    #[test]
    fn refuses_what_no_message_may_hold() {
        let mut composer = Composer::default();
        assert!(composer.insert(&"x".repeat(BYTES_MAX)));
        assert!(!composer.insert("y"));
    }
}
