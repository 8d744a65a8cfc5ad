//! How fast, and how far: a pace for reading the source, and numbers for whoever shows them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// How far a copy or a comparison has come. Read by others while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    rooms_total: AtomicU64,
    rooms_done: AtomicU64,
    users_done: AtomicU64,
    events: AtomicU64,
    messages: AtomicU64,
    rows: AtomicU64,
}

impl Progress {
    /// Rooms to go through; grows while they are counted.
    #[must_use]
    pub fn rooms_total(&self) -> u64 {
        self.rooms_total.load(Relaxed)
    }

    /// Rooms gone through.
    #[must_use]
    pub fn rooms_done(&self) -> u64 {
        self.rooms_done.load(Relaxed)
    }

    /// Users gone through.
    #[must_use]
    pub fn users_done(&self) -> u64 {
        self.users_done.load(Relaxed)
    }

    /// Events of logs written to the destination, or compared.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }

    /// Messages among them.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    /// Rows read from the source.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Relaxed)
    }

    pub(crate) fn add_rooms_total(&self, rooms: usize) {
        self.rooms_total.fetch_add(rooms as u64, Relaxed);
    }

    pub(crate) fn add_room(&self) {
        self.rooms_done.fetch_add(1, Relaxed);
    }

    pub(super) fn add_users(&self, users: usize) {
        self.users_done.fetch_add(users as u64, Relaxed);
    }

    pub(crate) fn add_events(&self, events: usize) {
        self.events.fetch_add(events as u64, Relaxed);
    }

    pub(crate) fn add_messages(&self, messages: usize) {
        self.messages.fetch_add(messages as u64, Relaxed);
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Relaxed);
    }
}

/// Lets at most so many rows a second through, all tasks together, in the order in which they ask.
#[derive(Debug)]
pub(crate) struct Pace {
    rows_per_s: u64,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(rows_per_s: u64) -> Self {
        Self { rows_per_s, next: Mutex::new(None) }
    }

    pub(crate) async fn rows(&self, rows: usize) {
        if self.rows_per_s == 0 || rows == 0 {
            return;
        }
        let now = Instant::now();
        let takes = Duration::from_secs(rows as u64) / u32::try_from(self.rows_per_s).unwrap_or(u32::MAX);
        let turn = {
            let mut next = self.next.lock();
            let turn = next.unwrap_or(now).max(now);
            *next = Some(turn + takes);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pace_is_kept_by_all_together() {
        let pace = Pace::new(100);
        let began = Instant::now();
        let reader = async || {
            for _ in 0..10 {
                pace.rows(50).await;
            }
        };
        tokio::join!(reader(), reader());
        // 1,000 rows; the last 50 need not be waited for.
        assert_eq!(began.elapsed().as_millis() / 100, 95);
        Pace::new(0).rows(1_000_000).await;
        assert_eq!(began.elapsed().as_millis() / 100, 95);
    }
}
