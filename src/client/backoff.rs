//! How long to wait between two tries.
//!
//! Pure but for the random numbers; must not sleep.

use std::time::Duration;

use rand::Rng as _;

/// Exponential waits with jitter, so that the clients of a restarted server do not come back all at once.
#[derive(Debug, Clone)]
pub struct Backoff {
    /// Longest first wait.
    base: Duration,
    /// Longest wait ever.
    cap: Duration,
    /// Tries since the last reset.
    attempt: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }
}

impl Backoff {
    /// Waits of at most `base`, then twice that, and so on up to `cap`.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempt: 0 }
    }

    /// The next wait: between half of the step and all of it, never more than the cap unless `hint` (what the
    /// server asked for) is longer.
    pub fn next_wait(&mut self, hint: Option<Duration>) -> Duration {
        let step = self.base.saturating_mul(2_u32.saturating_pow(self.attempt.min(16))).min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        let jittered = step.mul_f64(rand::rng().random_range(0.5..=1.0));
        hint.map_or(jittered, |hint| jittered.max(hint))
    }

    /// Longest wait, in the absence of a hint.
    #[must_use]
    pub const fn cap(&self) -> Duration {
        self.cap
    }

    /// Starts over with the shortest wait.
    pub const fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_cap_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        for attempt in 0..40_u32 {
            let step = Duration::from_millis(100 * (1 << attempt.min(10))).min(Duration::from_secs(5));
            let wait = backoff.next_wait(None);
            assert!(wait >= step / 2 && wait <= step, "attempt {attempt}: {wait:?} of {step:?}");
        }
        backoff.reset();
        assert!(backoff.next_wait(None) <= Duration::from_millis(100));
    }

    #[test]
    fn a_longer_hint_of_the_server_wins() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next_wait(Some(Duration::from_secs(9))), Duration::from_secs(9));
    }
}
