//! How often a user may call and a room may be sent to: on this node, and then in the whole cluster. A call that has
//! cost as much as many is charged for them afterwards; what the rate does not hold is owed, and paid before the next call.

use std::{hash::Hash, num::NonZeroU32, sync::Arc, time::Duration};

use dashmap::DashMap;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

use super::{adding::Adding, status::ApiError};
use crate::{
    actors::fair_share::Purse,
    domain::ids::{RoomId, UserId},
    ephemera::{Bucket, Ephemera, Rate},
    tasks::{self, TaskKind},
};

/// Calls between two clean-ups of a limiter's memory.
const CLEAN_EVERY: usize = 100_000;
/// Nobody owes more than the rate gives in so many seconds.
const OWED_S_MAX: u32 = 30;

/// Rates; 0 calls per second is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rates {
    /// Calls of one user per second.
    pub user_per_s: u32,
    /// Calls of one user at once.
    pub user_burst: u32,
    /// Calls per second of one user whose token has the admin role.
    pub admin_per_s: u32,
    /// The same at once.
    pub admin_burst: u32,
    /// Sends to one room per second.
    pub room_per_s: u32,
    /// Sends to one room at once.
    pub room_burst: u32,
    /// Users whom one user may add to rooms in an hour.
    pub adds_per_h: u32,
}

#[derive(Debug)]
struct Keyed<K: Hash + Eq + Clone + std::fmt::Debug> {
    limiter: Option<DefaultKeyedRateLimiter<K>>,
    per_s: u32,
    burst: u32,
    owed: DashMap<K, u32>,
    calls: std::sync::atomic::AtomicUsize,
}

impl<K: Hash + Eq + Clone + std::fmt::Debug> Keyed<K> {
    fn new(per_s: u32, burst: u32) -> Self {
        let burst = NonZeroU32::new(burst).or_else(|| NonZeroU32::new(per_s));
        let quota = NonZeroU32::new(per_s).zip(burst).map(|(per_s, burst)| Quota::per_second(per_s).allow_burst(burst));
        Self {
            limiter: quota.map(RateLimiter::keyed),
            per_s,
            burst: burst.map_or(0, NonZeroU32::get),
            owed: DashMap::new(),
            calls: Default::default(),
        }
    }

    fn check(&self, key: &K) -> Result<(), ApiError> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        if self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % CLEAN_EVERY == CLEAN_EVERY - 1 {
            self.clean(limiter);
        }
        let owed = self.settle(limiter, key);
        if !owed.is_zero() {
            return Err(rate_limited(owed));
        }
        limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(limiter.clock().now());
            rate_limited(wait)
        })
    }

    fn clean(&self, limiter: &DefaultKeyedRateLimiter<K>) {
        let owing: Vec<K> = self.owed.iter().map(|entry| entry.key().clone()).collect();
        for key in owing {
            self.settle(limiter, &key);
        }
        limiter.retain_recent();
    }

    /// Takes so many uses, or owes them. Returns how long until nothing is owed.
    fn charge(&self, key: &K, uses: u32) -> Duration {
        let Some(limiter) = &self.limiter else {
            return Duration::ZERO;
        };
        if uses > 0 {
            let mut owed = self.owed.entry(key.clone()).or_default();
            *owed = owed.saturating_add(uses).min(self.per_s.saturating_mul(OWED_S_MAX));
        }
        self.settle(limiter, key)
    }

    /// Pays what is owed as far as there is. Returns how long until the rest is there.
    fn settle(&self, limiter: &DefaultKeyedRateLimiter<K>, key: &K) -> Duration {
        let Some(mut owed) = self.owed.get_mut(key) else {
            return Duration::ZERO;
        };
        let mut step = (*owed).min(self.burst);
        while let Some(uses) = NonZeroU32::new(step) {
            match limiter.check_key_n(key, uses) {
                Ok(Ok(())) => {
                    *owed -= step;
                    step = step.min(*owed);
                }
                Ok(Err(_)) | Err(_) => step /= 2,
            }
        }
        let left = *owed;
        drop(owed);
        self.owed.remove_if(key, |_, owed| *owed == 0);
        Duration::from_secs_f64(f64::from(left) / f64::from(self.per_s.max(1)))
    }
}

fn rate_limited(wait: Duration) -> ApiError {
    ApiError::rate_limited(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX))
}

/// Rate limits. The node's own come first: what they refuse costs no one else anything, and they stand alone while the
/// cluster's count cannot be had.
#[derive(Debug)]
pub struct Limits {
    rates: Rates,
    cluster: Arc<dyn Ephemera>,
    users: Keyed<UserId>,
    admins: Keyed<UserId>,
    rooms: Keyed<RoomId>,
    adding: Adding,
}

impl Limits {
    /// Limits with these rates.
    #[must_use]
    pub fn new(rates: Rates, cluster: Arc<dyn Ephemera>) -> Self {
        Self {
            rates,
            cluster,
            users: Keyed::new(rates.user_per_s, rates.user_burst),
            admins: Keyed::new(rates.admin_per_s, rates.admin_burst),
            rooms: Keyed::new(rates.room_per_s, rates.room_burst),
            adding: Adding::new(rates.adds_per_h),
        }
    }

    /// Counts a call of a user. Who has the admin role has another rate, and a count apart: bridges and importers speak
    /// for many.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub async fn call(&self, user: UserId, admin: bool) -> Result<(), ApiError> {
        if admin {
            self.admins.check(&user)?;
            return self.in_cluster(Bucket::Admin(user), self.rates.admin_per_s, self.rates.admin_burst).await;
        }
        self.users.check(&user)?;
        self.in_cluster(Bucket::User(user), self.rates.user_per_s, self.rates.user_burst).await
    }

    /// Counts a send to a room.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub async fn room(&self, room: RoomId) -> Result<(), ApiError> {
        self.rooms.check(&room)?;
        self.in_cluster(Bucket::Room(room), self.rates.room_per_s, self.rates.room_burst).await
    }

    /// Counts users whom a user is about to add to rooms: all of them, or none.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub fn adding(&self, user: UserId, count: usize) -> Result<(), ApiError> {
        self.adding.take(user, count).map_err(rate_limited)
    }

    async fn in_cluster(&self, bucket: Bucket, per_s: u32, burst: u32) -> Result<(), ApiError> {
        if per_s == 0 {
            return Ok(());
        }
        self.cluster.take(bucket, Rate { per_s, burst }).await.map_err(rate_limited)
    }
}

impl Purse for Limits {
    fn pay(&self, user: UserId, calls: u32) -> Duration {
        let (per_s, burst) = (self.rates.user_per_s, self.rates.user_burst);
        if calls > 0 && per_s > 0 {
            let cluster = Arc::clone(&self.cluster);
            tasks::spawn(TaskKind::Ephemera, async move {
                cluster.spent(Bucket::User(user), Rate { per_s, burst }, calls).await;
            });
        }
        self.users.charge(&user, calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ephemera::Alone;

    fn limits(user_per_s: u32, user_burst: u32) -> Limits {
        Limits::new(
            Rates {
                user_per_s,
                user_burst,
                admin_per_s: 5,
                admin_burst: 30,
                room_per_s: 0,
                room_burst: 1,
                adds_per_h: 0,
            },
            Arc::new(Alone::default()),
        )
    }

    #[tokio::test]
    async fn what_a_call_has_cost_is_taken_from_the_rate() {
        let limits = limits(1, 20);
        let user = UserId(1);
        limits.call(user, false).await.unwrap();
        assert_eq!(limits.pay(user, 15), Duration::ZERO);
        for _ in 0..4 {
            limits.call(user, false).await.unwrap();
        }
        let refused = limits.call(user, false).await.unwrap_err();
        assert_eq!(refused.info().reason, "rate_limited");
        limits.call(UserId(2), false).await.unwrap();
    }

    #[tokio::test]
    async fn what_the_rate_does_not_hold_is_owed() {
        let limits = limits(1, 20);
        let user = UserId(1);
        let wait = limits.pay(user, 25);
        assert!(wait > Duration::from_secs(3) && wait <= Duration::from_secs(5), "{wait:?}");
        let refused = limits.call(user, false).await.unwrap_err();
        assert_eq!(refused.info().reason, "rate_limited");
        assert!(refused.info().retry_after_ms > 3_000, "{refused:?}");
        assert!(limits.pay(user, u32::MAX) <= Duration::from_secs(30), "nobody is locked out for long");
        limits.call(UserId(2), false).await.unwrap();
    }

    #[tokio::test]
    async fn without_a_rate_nothing_is_owed() {
        let limits = limits(0, 1);
        assert_eq!(limits.pay(UserId(1), 1_000_000), Duration::ZERO);
        limits.call(UserId(1), false).await.unwrap();
    }

    #[tokio::test]
    async fn the_admin_role_has_a_rate_of_its_own() {
        let limits = limits(1, 2);
        let user = UserId(1);
        for _ in 0..30 {
            limits.call(user, true).await.unwrap();
        }
        assert_eq!(limits.call(user, true).await.unwrap_err().info().reason, "rate_limited");
        limits.call(user, false).await.expect("the user's own rate is untouched");
    }
}
