//! Attackers of a chat server, each kind as a profile, and a good client that says what they did to others.
//!
//! For servers of one's own: what runs here makes rooms, fills them and leaves them there. Everything is bounded in time
//! and number, and ends by itself. It knows the wire and nothing of the server's insides.

mod good;
mod profiles;
mod target;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

pub use good::{Good, Record};
pub use profiles::{Prepared, Profile};
pub use target::{Mint, Pace, Target, Who};

/// How much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// As it takes to show a fault of a server in its release build.
    Full,
    /// A tenth, for a server in its debug build among other work.
    Small,
}

impl Scale {
    /// One of two sizes.
    #[must_use]
    pub const fn pick(self, full: usize, small: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Small => small,
        }
    }
}

/// How long an attack goes on: until its time is up or somebody stops it.
#[derive(Clone, Debug)]
pub struct Span {
    until: Instant,
    stopped: Arc<AtomicBool>,
}

impl Span {
    /// Ends after this time.
    #[must_use]
    pub fn of(time: Duration) -> Self {
        Self { until: Instant::now() + time, stopped: Arc::default() }
    }

    /// Ends it now.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || Instant::now() >= self.until
    }

    /// Returns when it has ended.
    pub async fn end(&self) {
        while !self.is_over() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// What an attack did and saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// In words, a line each.
    pub lines: Vec<String>,
    /// What a server must not let happen, whatever the good client felt of it.
    pub exceeded: Vec<String>,
}

impl Seen {
    /// One line, and nothing wrong.
    #[must_use]
    pub fn line(text: String) -> Self {
        Self { lines: vec![text], exceeded: Vec::new() }
    }
}
