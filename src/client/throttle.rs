//! Says aloud that a server slows a tool down: a run that takes ten times as long for a rate limit looks like a slow
//! server otherwise. Waits for nobody; the retries do.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tonic::Status;

use super::wire::reason;

/// Calls of one run that were put off by a rate limit.
#[derive(Debug, Default)]
pub(crate) struct Throttle(AtomicU64);

impl Throttle {
    /// Looks at why a call failed. The first time it is a rate limit, says so on stderr.
    pub(crate) fn note(&self, status: &Status) {
        if reason(status) == Some("rate_limited") && self.0.fetch_add(1, Relaxed) == 0 {
            eprintln!(
                "the server limits how many calls a second we may make: this takes longer than it must \
                 (its setting is limits.admin_per_s)"
            );
        }
    }

    /// How many calls.
    pub(crate) fn calls(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The line of a report about them, if there were any.
pub(crate) fn throttled(f: &mut fmt::Formatter<'_>, calls: u64) -> fmt::Result {
    if calls == 0 {
        return Ok(());
    }
    writeln!(f, "{calls} calls were put off by the server's rate limit (limits.admin_per_s)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_limits_are_counted_and_nothing_else() {
        let throttle = Throttle::default();
        let with = |reason: &'static str| {
            let mut status = Status::resource_exhausted("");
            status.metadata_mut().insert("tertulia-reason", reason.parse().unwrap());
            status
        };
        throttle.note(&with("overloaded"));
        throttle.note(&Status::unavailable(""));
        assert_eq!(throttle.calls(), 0);
        throttle.note(&with("rate_limited"));
        throttle.note(&with("rate_limited"));
        assert_eq!(throttle.calls(), 2);
    }
}
