//! What the nodes of a cluster tell each other and may forget: who types, who is online where, how much of a rate is
//! used up.
//!
//! None of it is truth. Whatever keeps it may be slow, emptied or gone at any time; then a node goes on with what it
//! knows by itself: its own streams, its own rates. No method fails, and none takes longer than a moment. Must not be
//! asked who may do what.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;

use crate::domain::ids::{RoomId, UserId};

mod alone;
mod over_redis;
#[cfg(test)]
mod tests;

pub use alone::Alone;
pub use over_redis::OverRedis;

/// Someone who typed is forgotten after this time, if they do not type on.
pub const TYPING_FOR: Duration = Duration::from_secs(10);

/// What a rate is counted for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bucket {
    /// Calls of a user.
    User(UserId),
    /// Calls of a user with the admin role.
    Admin(UserId),
    /// Commands to a room.
    Room(RoomId),
}

/// How much of something is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Per second, at least 1.
    pub per_s: u32,
    /// At once after a pause, at least 1.
    pub burst: u32,
}

/// How a user stands on the other nodes, or on all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Presence {
    /// Has an open stream.
    pub online: bool,
    /// When the last one closed, milliseconds since the Unix epoch, if known.
    pub last_seen_ms: Option<i64>,
}

/// See the module.
#[async_trait]
pub trait Ephemera: Debug + Send + Sync + 'static {
    /// Counts one use of `bucket` in the whole cluster. Over the rate it is not counted, and the time to wait is said.
    async fn take(&self, bucket: Bucket, rate: Rate) -> Result<(), Duration>;

    /// Counts uses of `bucket` that have happened already; those that the rate does not hold are forgotten.
    async fn spent(&self, bucket: Bucket, rate: Rate, uses: u32);

    /// A user types in a room, or stopped.
    async fn set_typing(&self, room: RoomId, user: UserId, typing: bool);

    /// Who has typed in a room within [`TYPING_FOR`], by id.
    async fn typing(&self, room: RoomId) -> Vec<UserId>;

    /// A stream of the user opens under this client id. False: on all nodes together there are `max` others already.
    /// One with the same client id does not count, as it will be replaced.
    async fn stream_opens(&self, user: UserId, client_id: &str, max: usize) -> bool;

    /// It closed, or did not open after all. Once for each that was let in.
    fn stream_closed(&self, user: UserId, client_id: &str, now_ms: i64);

    /// How users stand in the whole cluster, in their order, as far as it is known here.
    async fn presence(&self, users: &[UserId]) -> Vec<Presence>;
}
