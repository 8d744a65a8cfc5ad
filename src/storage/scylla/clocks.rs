//! Timestamps of rows that have no log: what users and operators set directly.
//!
//! The database keeps the value with the greater timestamp, and writers' clocks go back: over a restart, and from one
//! node to another. So nobody writes such a row by its clock alone: it reads the timestamp that is there first, from a
//! quorum, and goes behind it. Whoever was told of a write before this one began is overwritten by it; two writes at once
//! may end either way, but never as a mixture of both. ADR 0012 lists the tables, and
//! why each one is safe.
//!
//! What is removed leaves no timestamp to be read, so a removal says its own in a row beside it, the floor
//! ([`NO_DEVICE`], [`JOB_FLOOR`]). It must be written before the removal, or with it.

use std::{
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::atomic::{AtomicI64, Ordering},
};

use crate::clock::SharedClock;

/// Timestamps of one process are this far apart at one place, microseconds: between them are those of other processes.
const APART: i64 = 1_024;

/// Writers that go behind each other in this process; more only keep them nearer to the clock.
const PLACES: usize = 64;

/// Stands for the floor among a user's devices: no device has an empty client id.
pub(super) const NO_DEVICE: &str = "";

/// The token hash of that row: that of no token, so that the row counts for no device.
pub(super) const NO_TOKEN: [u8; 32] = [0; 32];

/// Partition of the floor of all jobs, which no list of jobs reads.
pub(super) const JOB_FLOOR: i32 = 1;

/// Gives out timestamps.
#[derive(Debug)]
pub(super) struct Clocks {
    clock: SharedClock,
    /// The newest timestamp given out, by place.
    last: [AtomicI64; PLACES],
    /// The part of every timestamp that no other process has, as a rule: or two that read the same one would write the
    /// same, and the database would choose column by column.
    own: i64,
}

impl Clocks {
    pub(super) fn new(clock: SharedClock, seed: u128) -> Self {
        let own = i64::try_from(seed % u128::from(APART.unsigned_abs())).unwrap_or_default();
        Self { clock, last: [const { AtomicI64::new(0) }; PLACES], own }
    }

    /// The time, milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The time as a timestamp, for rows where nothing depends on it.
    pub(super) fn now(&self) -> i64 {
        self.clock.now_ms().saturating_mul(1_000)
    }

    /// A timestamp for the row at `place`: greater than all that were `seen` there, and than all that were given out for
    /// it before.
    pub(super) fn after(&self, place: impl Hash, seen: impl IntoIterator<Item = Option<i64>>) -> i64 {
        let seen = seen.into_iter().flatten().max().unwrap_or(i64::MIN);
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(place);
        let last = &self.last[usize::try_from(hash % PLACES as u64).unwrap_or_default()];
        let least = self.now().max(seen.saturating_add(1));
        let next = |last: i64| next_of(self.own, least.max(last.saturating_add(1)));
        let before = last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(next(last)));
        next(before.unwrap_or_else(|last| last))
    }
}

/// The least timestamp of the process with `own` that is `least` or greater.
fn next_of(own: i64, least: i64) -> i64 {
    least.saturating_add((own - least).rem_euclid(APART))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;

    #[derive(Debug)]
    struct At(AtomicI64);

    impl Clock for At {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_timestamp_is_behind_what_was_seen_and_what_was_given_out() {
        let clock = Arc::new(At(AtomicI64::new(5_000)));
        let clocks = Clocks::new(clock.clone(), 7);
        let first = clocks.after("row", [None]);
        assert!((5_000_000..5_000_000 + APART).contains(&first), "{first} is near the time");
        clock.0.store(1, Ordering::Relaxed);
        let second = clocks.after("row", [Some(first), None]);
        assert!(second > first);
        assert!(clocks.after("row", [None]) > second, "also if nobody has read it yet");
        assert!(clocks.after("row", [Some(9_000_000), Some(1)]) > 9_000_000);
        assert!(clocks.after("row", [Some(i64::MAX)]) > 0, "no overflow");
    }

    #[test]
    fn two_processes_that_read_the_same_write_different_timestamps() {
        let clocks = |seed| Clocks::new(Arc::new(At(AtomicI64::new(1))), seed);
        let (one, other) = (clocks(3), clocks(4));
        for seen in 1_000_000..1_000_000 + 2 * APART {
            assert_ne!(one.after(seen, [Some(seen)]), other.after(seen, [Some(seen)]));
        }
    }
}
