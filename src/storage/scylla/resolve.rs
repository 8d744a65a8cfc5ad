//! The readers' rule of the log: which of the rows that several writers left at the same places count.
//!
//! This is rule 4 of the fencing protocol, and pure: the model checker in `tests/model.rs` explores the whole protocol over this
//! very function. It must know no database.

use crate::domain::ids::{Epoch, Seq};

/// A row of the log as the rule sees it.
pub trait LogRow {
    /// Its place.
    fn seq(&self) -> Seq;
    /// The fence under which it was written: the second part of its key.
    fn epoch(&self) -> Epoch;
    /// Last place of the batch that it was written with.
    fn batch_last(&self) -> Seq;
}

/// The log from `from` on, out of all rows found at `from` and later, in whatever order they come.
///
/// The highest epoch at a place counts. A row is void when a row before it has a higher epoch: its writer had lost the
/// room. The log ends at the first gap, and before a batch that is not there to its end.
pub fn resolve<R: LogRow>(rows: impl IntoIterator<Item = R>, from: Seq) -> Vec<R> {
    let mut rows: Vec<R> = rows.into_iter().filter(|row| row.seq() >= from).collect();
    rows.sort_by_key(|row| (row.seq(), std::cmp::Reverse(row.epoch())));
    rows.dedup_by_key(|row| row.seq());
    let mut top = Epoch(0);
    let mut next = from;
    let mut whole = 0;
    let mut open = None;
    let mut log = Vec::with_capacity(rows.len());
    for row in rows {
        if row.seq() != next || row.epoch() < top || open.is_some_and(|last| last != row.batch_last()) {
            break;
        }
        top = row.epoch();
        next = Seq(next.0.saturating_add(1));
        open = Some(row.batch_last()).filter(|last| *last > row.seq());
        log.push(row);
        if open.is_none() {
            whole = log.len();
        }
    }
    log.truncate(whole);
    log
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (u64, u64, u64);

    impl LogRow for Row {
        fn seq(&self) -> Seq {
            Seq(self.0)
        }
        fn epoch(&self) -> Epoch {
            Epoch(self.1)
        }
        fn batch_last(&self) -> Seq {
            Seq(self.2)
        }
    }

    fn log(rows: &[Row], from: u64) -> Vec<Row> {
        resolve(rows.iter().copied(), Seq(from))
    }

    #[test]
    fn the_highest_epoch_counts() {
        assert_eq!(log(&[(1, 1, 1), (1, 3, 1), (1, 2, 1)], 1), [(1, 3, 1)]);
    }

    #[test]
    fn rows_behind_a_higher_epoch_are_void() {
        assert_eq!(log(&[(3, 1, 3), (1, 1, 1), (2, 2, 2)], 1), [(1, 1, 1), (2, 2, 2)]);
        assert_eq!(log(&[(1, 1, 1), (2, 2, 2), (3, 2, 3)], 1), [(1, 1, 1), (2, 2, 2), (3, 2, 3)]);
    }

    #[test]
    fn the_log_ends_at_a_gap() {
        assert_eq!(log(&[(1, 1, 1), (3, 1, 3)], 1), [(1, 1, 1)]);
        assert_eq!(log(&[(2, 1, 2)], 1), []);
        assert_eq!(log(&[(5, 1, 5), (7, 1, 7), (6, 1, 6)], 6), [(6, 1, 6), (7, 1, 7)]);
    }

    #[test]
    fn half_a_batch_is_none() {
        assert_eq!(log(&[(1, 1, 1), (2, 1, 4), (3, 1, 4)], 1), [(1, 1, 1)]);
        assert_eq!(log(&[(1, 1, 1), (2, 1, 3), (3, 1, 3)], 1).len(), 3);
        // The rest of it was written back by the next owner.
        assert_eq!(log(&[(1, 1, 2), (2, 2, 2)], 1).len(), 2);
        // What follows is another batch.
        assert_eq!(log(&[(1, 1, 1), (2, 1, 3), (3, 2, 4), (4, 2, 4)], 1), [(1, 1, 1)]);
    }
}
