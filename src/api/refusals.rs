//! Tokens that were refused: a counter by cause, and a log line that says why. A thousand refusals a second are a few
//! lines: what is left out is counted and said by the next one.
//!
//! Must not hold anything of a token: a refused one may be somebody's good one with a mistake.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::auth::AuthError;
use crate::telemetry::metrics::Metrics;

/// Lines in one [`SPAN`].
const LINES_MAX: u32 = 5;
const SPAN: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Refusals(Mutex<Window>);

#[derive(Debug)]
struct Window {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Window { since: None, lines: 0, left_out: 0 }))
    }

    /// A token was refused.
    pub(super) fn note(&self, error: &AuthError, metrics: &Metrics) {
        metrics.token_refused(error.cause());
        if let Some(left_out) = self.line(Instant::now()) {
            tracing::warn!(cause = error.cause(), why = %error, left_out, "token refused");
        }
    }

    /// Whether there is a line for one more, and how many had none before it.
    fn line(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock();
        if window.since.is_none_or(|since| now.duration_since(since) >= SPAN) {
            (window.since, window.lines) = (Some(now), 0);
        }
        if window.lines == LINES_MAX {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_are_bounded_and_what_is_left_out_is_said() {
        let refusals = Refusals::new();
        let now = Instant::now();
        let lines: Vec<_> = (0..1_000).filter_map(|_| refusals.line(now)).collect();
        assert_eq!(lines, [0; LINES_MAX as usize]);
        let later = now + SPAN;
        assert_eq!(refusals.line(later), Some(1_000 - u64::from(LINES_MAX)));
        assert_eq!(refusals.line(later), Some(0), "said once");
    }

    #[tokio::test]
    async fn each_refusal_is_counted_by_its_cause() {
        let metrics = Metrics::new("embedded");
        let refusals = Refusals::new();
        for _ in 0..20 {
            refusals.note(&AuthError::BadSignature, &metrics);
        }
        refusals.note(&AuthError::BadClaim { claim: "sub".to_owned() }, &metrics);
        assert_eq!(metrics.tokens_refused("bad_signature"), 20);
        assert_eq!(metrics.tokens_refused("bad_claim"), 1);
        assert_eq!(metrics.tokens_refused("expired"), 0);
    }
}
