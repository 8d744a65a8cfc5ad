//! When a token ends: the one rule for calls, streams and sessions. Knows no clock: the time is passed in.

use std::time::Duration;

/// The moment from which on a token counts no more: its `exp` and the leeway for clocks that differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expiry {
    at_ms: i64,
}

impl Expiry {
    /// Of a token whose `exp` is `exp_ms`, where clocks may be `leeway_ms` apart.
    #[must_use]
    pub const fn new(exp_ms: i64, leeway_ms: i64) -> Self {
        Self { at_ms: exp_ms.saturating_add(leeway_ms) }
    }

    /// That moment, in milliseconds since the Unix epoch.
    #[must_use]
    pub const fn at_ms(self) -> i64 {
        self.at_ms
    }

    /// Whether the token has ended.
    #[must_use]
    pub const fn has_passed(self, now_ms: i64) -> bool {
        now_ms >= self.at_ms
    }

    /// How long the token counts yet.
    #[must_use]
    pub fn left(self, now_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(self.at_ms.saturating_sub(now_ms)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_counts_until_the_leeway_is_over() {
        let expiry = Expiry::new(1_000, 30);
        assert!(!expiry.has_passed(1_029));
        assert!(expiry.has_passed(1_030));
        assert_eq!(expiry.left(1_029), Duration::from_millis(1));
        assert_eq!(expiry.left(2_000), Duration::ZERO);
        assert!(!Expiry::new(i64::MAX, 30).has_passed(i64::MAX - 1));
    }
}
