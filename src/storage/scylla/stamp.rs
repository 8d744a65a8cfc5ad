//! The timestamps of a room's rows: they grow along its log, whatever the clocks say.
//!
//! A row that two appends change keeps the value of the later one, also when the earlier one is carried out late, by a
//! process that was frozen. Who takes a room over goes on after the greatest stamp of its log. Clocks only keep the
//! numbers near the time, so that they can be compared with what an operator writes by hand.

use crate::domain::ids::Epoch;

/// One append uses this many stamps: removals have the first, additions the second.
const STEP: i64 = 2;

/// Rows that only ever grow are written with this one timestamp: of two values with the same timestamp the database
/// keeps the greater, compared as unsigned bytes. That is the merge of positions and cursors, without reading them.
pub(super) const GROWING: i64 = 1;

/// The stamp of an append after one that had `last`.
pub(super) fn after(last: i64, now_ms: i64) -> i64 {
    now_ms.saturating_mul(1_000).max(last.saturating_add(STEP))
}

/// The stamp of taking a room over with `epoch`, after an owner with `settled`, when `known` is the greatest stamp there.
///
/// No clock is in it: nobody can know it until the head says so, and who freezes before it has written that must not
/// overwrite later what the next owner has written. It grows with the epoch, as that is what is known of others.
pub(super) fn taking(known: i64, settled: Epoch, epoch: Epoch) -> i64 {
    let owners = i64::try_from(epoch.0.saturating_sub(settled.0)).unwrap_or(i64::MAX);
    known.saturating_add(owners.saturating_mul(STEP))
}

/// Timestamp for what an append adds: greater than [`removing`].
pub(super) fn adding(stamp: i64) -> i64 {
    stamp.saturating_add(1)
}

/// Timestamp for what an append removes.
pub(super) fn removing(stamp: i64) -> i64 {
    stamp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_froze_while_it_took_a_room_over_is_behind_who_took_it_next() {
        let known = after(0, 1_000);
        let (frozen, next) = (taking(known, Epoch(3), Epoch(4)), taking(known, Epoch(3), Epoch(5)));
        assert!(known < frozen && adding(frozen) < removing(next));
        assert!(adding(frozen) < removing(after(next, 0)), "whatever the clocks say");
    }

    #[test]
    fn stamps_grow_when_the_clock_does_not() {
        let first = after(0, 1_000);
        assert_eq!(first, 1_000_000);
        assert!(after(first, 1) > adding(first));
        assert_eq!(after(first, 2_000), 2_000_000);
        assert!(removing(first) < adding(first));
    }
}
