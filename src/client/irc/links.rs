//! Which line answers which: the annotation files beside the logs.
//!
//! A line `a b -` says that line b answers the earlier line a; `a a -` that line a starts a conversation. Knows
//! nothing of what the lines say.

use std::collections::BTreeMap;

/// What became of every line of an annotation file. The counts add up to `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounts {
    /// Lines of the file that are not empty.
    pub total: usize,
    /// Links that became a `reply_to`.
    pub replies: usize,
    /// Lines that answer nothing (`a a -`).
    pub starts: usize,
    /// Links of a line that has a nearer one; a message answers one message only.
    pub farther: usize,
    /// Links from or to a line that is no message, such as a join.
    pub not_messages: usize,
    /// Links to lines that the log does not have.
    pub out_of_range: usize,
    /// Lines that are not of the form `a b -`.
    pub malformed: usize,
}

/// The links of one log, judged against it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    /// Answering line to answered line.
    pub(crate) replies: BTreeMap<usize, usize>,
    /// Lines that start a conversation.
    pub(crate) starts: Vec<usize>,
    pub(crate) counts: LinkCounts,
}

/// Reads an annotation file for a log of `lines` lines, of which `is_message` tells the messages.
pub(crate) fn resolve(annotation: &[u8], lines: usize, is_message: impl Fn(usize) -> bool) -> Links {
    let mut links = Links::default();
    let rows = annotation.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    for row in rows.filter(|row| !row.is_empty()) {
        links.counts.total += 1;
        match parse(row) {
            None => links.counts.malformed += 1,
            Some((earlier, later)) if later >= lines || earlier >= lines => links.counts.out_of_range += 1,
            Some((earlier, later)) if earlier == later => {
                links.counts.starts += 1;
                links.starts.push(later);
            }
            Some((earlier, later)) if is_message(earlier) && is_message(later) => links.keep_nearest(earlier, later),
            Some(_) => links.counts.not_messages += 1,
        }
    }
    links
}

impl Links {
    fn keep_nearest(&mut self, earlier: usize, later: usize) {
        match self.replies.get_mut(&later) {
            None => {
                self.replies.insert(later, earlier);
                self.counts.replies += 1;
            }
            Some(kept) => {
                *kept = (*kept).max(earlier);
                self.counts.farther += 1;
            }
        }
    }
}

/// `a b -`, in either order: the smaller number is the earlier line.
fn parse(row: &[u8]) -> Option<(usize, usize)> {
    let row = std::str::from_utf8(row).ok()?;
    let mut words = row.split_ascii_whitespace();
    let (a, b) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next() == Some("-") && words.next().is_none()).then_some((std::cmp::min(a, b), std::cmp::max(a, b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_accounted_for_and_the_nearest_message_wins() {
        let rows = b"0 4 -\n2 4 -\n1 4 -\n3 4 -\n3 3 -\n5 2 -\n9 9 -\n1 9 -\nnonsense\n1 2\n\n";
        // Line 3 is no message.
        let links = resolve(rows, 6, |line| line != 3);
        assert_eq!(links.replies, BTreeMap::from([(4, 2), (5, 2)]));
        assert_eq!(links.starts, [3]);
        let counts = links.counts;
        assert_eq!(
            counts,
            LinkCounts { total: 10, replies: 2, starts: 1, farther: 2, not_messages: 1, out_of_range: 2, malformed: 2 }
        );
    }
}
