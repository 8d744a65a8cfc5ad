//! How many others a user may add to rooms in an hour, on this node. Owns the counting; who may add whom is a rule of the
//! domain.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

use crate::domain::ids::UserId;

const HOUR: Duration = Duration::from_secs(3_600);
/// Calls between two clean-ups of the memory.
const CLEAN_EVERY: usize = 10_000;

/// The count.
#[derive(Debug)]
pub(super) struct Adding {
    limiter: Option<DefaultKeyedRateLimiter<UserId>>,
    calls: AtomicUsize,
}

impl Adding {
    /// So many in an hour, and so many at once after a pause; 0 is without limit.
    pub(super) fn new(per_h: u32) -> Self {
        let quota =
            NonZeroU32::new(per_h).and_then(|per_h| Some(Quota::with_period(HOUR / per_h.get())?.allow_burst(per_h)));
        Self { limiter: quota.map(RateLimiter::keyed), calls: AtomicUsize::new(0) }
    }

    /// Counts `count` at once, or none of them and says how long to wait.
    pub(super) fn take(&self, user: UserId, count: usize) -> Result<(), Duration> {
        let count = NonZeroU32::new(u32::try_from(count).unwrap_or(u32::MAX));
        let (Some(limiter), Some(count)) = (&self.limiter, count) else {
            return Ok(());
        };
        if self.calls.fetch_add(1, Ordering::Relaxed) % CLEAN_EVERY == CLEAN_EVERY - 1 {
            limiter.retain_recent();
        }
        match limiter.check_key_n(&user, count) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(until.wait_time_from(limiter.clock().now())),
            // More than there ever is at once.
            Err(_) => Err(HOUR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_an_hour() {
        let adding = Adding::new(10);
        adding.take(UserId(1), 9).unwrap();
        let wait = adding.take(UserId(1), 2).unwrap_err();
        assert!(wait > Duration::from_secs(300) && wait <= Duration::from_secs(360), "{wait:?}");
        adding.take(UserId(1), 1).unwrap();
        adding.take(UserId(1), 0).unwrap();
        adding.take(UserId(2), 10).unwrap();
        assert_eq!(adding.take(UserId(3), 11), Err(HOUR));
        Adding::new(0).take(UserId(1), 1_000_000).unwrap();
    }
}
