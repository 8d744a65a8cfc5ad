//! About how much memory the rooms that are awake take, and when that is too much. Owns the sum; the directory says who
//! gives something back.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

/// The rooms of a node.
#[derive(Debug)]
pub(crate) struct Warmth {
    bytes: AtomicUsize,
    bytes_max: usize,
    /// The directory has been told that it is too much, and has not looked yet.
    told: AtomicBool,
}

impl Warmth {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), bytes_max, told: AtomicBool::new(false) }
    }

    /// What all rooms take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How much has to be given back, now that somebody looks: somewhat more than what is too much, so that the next
    /// message is not too much again.
    pub(crate) fn excess(&self) -> usize {
        self.told.store(false, Ordering::Relaxed);
        let bytes = self.bytes();
        if bytes <= self.bytes_max { 0 } else { bytes - (self.bytes_max - self.bytes_max / 8) }
    }

    /// One room's part in it.
    pub(crate) fn part(self: &Arc<Self>) -> WarmRoom {
        WarmRoom { of: Arc::clone(self), bytes: AtomicUsize::new(0), tail_bytes: AtomicUsize::new(0) }
    }
}

/// One room's part, until it is dropped.
#[derive(Debug)]
pub(crate) struct WarmRoom {
    of: Arc<Warmth>,
    bytes: AtomicUsize,
    tail_bytes: AtomicUsize,
}

impl WarmRoom {
    /// Says what the room takes now. Whoever is returned true must tell the directory that all take too much.
    #[must_use]
    pub(crate) fn set(&self, bytes: usize, tail_bytes: usize) -> bool {
        self.tail_bytes.store(tail_bytes, Ordering::Relaxed);
        let before = self.bytes.swap(bytes, Ordering::Relaxed);
        let all = if bytes >= before {
            self.of.bytes.fetch_add(bytes - before, Ordering::Relaxed) + (bytes - before)
        } else {
            self.of.bytes.fetch_sub(before - bytes, Ordering::Relaxed) - (before - bytes)
        };
        all > self.of.bytes_max && !self.of.told.swap(true, Ordering::Relaxed)
    }

    /// What the room takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What it would give back with its warm messages.
    pub(crate) fn tail_bytes(&self) -> usize {
        self.tail_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for WarmRoom {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_follows_the_rooms_and_is_told_once() {
        let all = Arc::new(Warmth::new(1_000));
        let (a, b) = (all.part(), all.part());
        assert!(!a.set(600, 500));
        assert!(!b.set(400, 0));
        assert_eq!((all.bytes(), all.excess()), (1_000, 0));
        assert!(a.set(700, 600));
        assert!(!b.set(500, 100), "told already");
        assert_eq!(all.excess(), 1_200 - 875);
        assert!(b.set(600, 100), "it was looked at, and is too much again");
        drop(a);
        assert_eq!((all.bytes(), all.excess()), (600, 0));
        assert!(!b.set(10, 0));
        drop(b);
        assert_eq!(all.bytes(), 0);
    }
}
