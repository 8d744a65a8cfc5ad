//! How often a user may call and a room may be sent to: on this node, and then in the whole cluster.

use std::{hash::Hash, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

use super::status::ApiError;
use crate::{
    domain::ids::{RoomId, UserId},
    ephemera::{Bucket, Ephemera, Rate},
};

/// Calls between two clean-ups of a limiter's memory.
const CLEAN_EVERY: usize = 100_000;

/// Rates; 0 calls per second is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rates {
    /// Calls of one user per second.
    pub user_per_s: u32,
    /// Calls of one user at once.
    pub user_burst: u32,
    /// Sends to one room per second.
    pub room_per_s: u32,
    /// Sends to one room at once.
    pub room_burst: u32,
}

#[derive(Debug)]
struct Keyed<K: Hash + Eq + Clone + std::fmt::Debug> {
    limiter: Option<DefaultKeyedRateLimiter<K>>,
    calls: std::sync::atomic::AtomicUsize,
}

impl<K: Hash + Eq + Clone + std::fmt::Debug> Keyed<K> {
    fn new(per_s: u32, burst: u32) -> Self {
        let quota = NonZeroU32::new(per_s)
            .map(|per_s| Quota::per_second(per_s).allow_burst(NonZeroU32::new(burst).unwrap_or(per_s)));
        Self { limiter: quota.map(RateLimiter::keyed), calls: Default::default() }
    }

    fn check(&self, key: &K) -> Result<(), ApiError> {
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        if self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % CLEAN_EVERY == CLEAN_EVERY - 1 {
            limiter.retain_recent();
        }
        limiter.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(limiter.clock().now());
            rate_limited(wait)
        })
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
    rooms: Keyed<RoomId>,
}

impl Limits {
    /// Limits with these rates.
    #[must_use]
    pub fn new(rates: Rates, cluster: Arc<dyn Ephemera>) -> Self {
        Self {
            rates,
            cluster,
            users: Keyed::new(rates.user_per_s, rates.user_burst),
            rooms: Keyed::new(rates.room_per_s, rates.room_burst),
        }
    }

    /// Counts a call of a user.
    ///
    /// # Errors
    /// `rate_limited`, with the time to wait.
    pub async fn user(&self, user: UserId) -> Result<(), ApiError> {
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

    async fn in_cluster(&self, bucket: Bucket, per_s: u32, burst: u32) -> Result<(), ApiError> {
        if per_s == 0 {
            return Ok(());
        }
        self.cluster.take(bucket, Rate { per_s, burst }).await.map_err(rate_limited)
    }
}
