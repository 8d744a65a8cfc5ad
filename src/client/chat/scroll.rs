//! The window over a history: which lines are in it, and how it moves.
//!
//! Pure; works from the bottom up, so that its cost follows the window and not the history.

use ratatui::text::Line;

use super::{
    layout::{entry_lines, pending_lines},
    room::{Anchor, RoomState},
};

/// Size of the window, and who looks through it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) me: i64,
}

/// A line in the window, and the entry it belongs to (none: not yet in the log).
pub(super) type Shown = (Option<i64>, Line<'static>);

impl Window {
    /// The lines to show, top first; fewer than the rows if there is no more.
    pub(super) fn lines(&self, room: &RoomState) -> Vec<Shown> {
        let mut shown: Vec<Shown> = Vec::new();
        if room.anchor.is_none() {
            for pending in room.timeline.pending.iter().rev() {
                let lines = pending_lines(room, self.me, pending, self.columns);
                shown.extend(lines.into_iter().rev().map(|line| (None, line)));
            }
        }
        let (newest, mut cut) = match room.anchor {
            Some(anchor) => (anchor.seq, anchor.cut),
            None => (i64::MAX, 0),
        };
        for (seq, entry) in room.timeline.entries().range(..=newest).rev() {
            if shown.len() >= self.rows {
                break;
            }
            let lines = entry_lines(room, self.me, *seq, entry, self.columns);
            shown.extend(lines.into_iter().rev().skip(cut).map(|line| (Some(*seq), line)));
            cut = 0;
        }
        shown.truncate(self.rows);
        shown.reverse();
        shown
    }

    /// Moves the window towards older lines, not beyond the oldest; true if it can go no further.
    pub(super) fn up(&self, room: &mut RoomState, lines: usize) -> bool {
        let Some(start) = room.anchor.or_else(|| room.timeline.newest_seq().map(|seq| Anchor { seq, cut: 0 })) else {
            return true;
        };
        // What lies above the window decides how far it may move.
        let (mut above, mut seq) = (0, start.seq);
        let mut heights = Vec::new();
        loop {
            let height = self.height(room, seq);
            heights.push((seq, height));
            above += height;
            if above >= start.cut + self.rows + lines {
                break;
            }
            match room.neighbour(seq, false) {
                Some((older, _)) => seq = older,
                None => break,
            }
        }
        let free = above.saturating_sub(start.cut + self.rows);
        let mut cut = start.cut + lines.min(free);
        if free > 0 {
            for (seq, height) in heights {
                if cut < height {
                    room.anchor = Some(Anchor { seq, cut });
                    break;
                }
                cut -= height;
            }
        }
        free <= lines
    }

    /// Moves the window towards newer lines; at the newest it follows what comes.
    pub(super) fn down(&self, room: &mut RoomState, lines: usize) {
        let Some(mut anchor) = room.anchor else {
            return;
        };
        let mut lines = lines;
        while lines > anchor.cut {
            lines -= anchor.cut;
            match room.neighbour(anchor.seq, true) {
                Some((seq, _)) => anchor = Anchor { seq, cut: self.height(room, seq) },
                None => {
                    room.anchor = None;
                    return;
                }
            }
        }
        anchor.cut -= lines;
        let at_newest = anchor.cut == 0 && room.neighbour(anchor.seq, true).is_none();
        room.anchor = (!at_newest).then_some(anchor);
    }

    /// Moves the window as little as it takes to show an entry.
    pub(super) fn reveal(&self, room: &mut RoomState, seq: i64) {
        let shown = self.lines(room);
        let mut seqs = shown.iter().filter_map(|(seq, _)| *seq);
        let (Some(first), last) = (seqs.next(), seqs.next_back()) else {
            return;
        };
        let last = last.unwrap_or(first);
        if seq > last {
            let at_newest = room.neighbour(seq, true).is_none();
            room.anchor = (!at_newest).then_some(Anchor { seq, cut: 0 });
        } else if seq <= first {
            self.top_at(room, seq);
        }
    }

    /// Puts an entry at the top of the window, as far as there are lines below it.
    fn top_at(&self, room: &mut RoomState, top: i64) {
        let (mut seq, mut below) = (top, self.height(room, top));
        while below < self.rows {
            match room.neighbour(seq, true) {
                Some((later, _)) => seq = later,
                None => {
                    room.anchor = None;
                    return;
                }
            }
            below += self.height(room, seq);
        }
        room.anchor = Some(Anchor { seq, cut: below - self.rows });
    }

    fn height(&self, room: &RoomState, seq: i64) -> usize {
        let entry = room.timeline.entries().get(&seq);
        entry.map_or(0, |entry| entry_lines(room, self.me, seq, entry, self.columns).len())
    }
}
