//! How often a room may fail before it is left alone for a while.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::error::CallError;

/// Failures allowed within [`WINDOW`].
const FAILURES_MAX: usize = 5;
/// See above.
const WINDOW: Duration = Duration::from_secs(10);
/// How long a room is left alone when its budget is used up.
const PAUSE: Duration = Duration::from_secs(5);

/// A room's failures of late.
#[derive(Debug, Default)]
pub(crate) struct RestartBudget {
    failures: VecDeque<Instant>,
    /// Whether the last failure was the store's, not the room's own.
    is_of_store: bool,
}

impl RestartBudget {
    /// Notes a failure, and whether the store was to blame.
    pub(crate) fn failed(&mut self, is_of_store: bool) {
        self.is_of_store = is_of_store;
        self.failures.push_back(Instant::now());
        while self.failures.len() > FAILURES_MAX {
            self.failures.pop_front();
        }
    }

    /// Why and for how long the room must not be woken yet; none if it may be.
    pub(crate) fn refusal(&self) -> Option<CallError> {
        let retry_after_ms = u64::try_from(self.pause()?.as_millis()).unwrap_or(u64::MAX);
        Some(CallError::Failed { retry_after_ms, is_of_store: self.is_of_store })
    }

    /// How long the room must not be woken yet; none if it may be.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let first = self.failures.front().filter(|_| self.failures.len() == FAILURES_MAX)?;
        let last = self.failures.back()?;
        if last.duration_since(*first) > WINDOW {
            return None;
        }
        PAUSE.checked_sub(last.elapsed()).filter(|pause| !pause.is_zero())
    }

    /// Whether nothing worth remembering is in it.
    pub(crate) fn is_clear(&self) -> bool {
        self.failures.back().is_none_or(|last| last.elapsed() > WINDOW)
    }
}
