//! The running node: rooms and users as actors, and the operations the API calls.
//!
//! What is decided is decided in [`crate::domain`]; what is kept is kept by a [`crate::storage::Store`]. Here is when
//! and in which order. Nothing outside this layer sees an actor: only handles.

mod budget;
mod client_ids;
pub mod directory;
pub mod error;
pub mod fair_share;
pub mod hub;
pub mod ops;
pub mod presence;
pub mod room;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod user;
mod warmth;

use std::{fmt::Debug, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};

pub use ops::Node;

use crate::{
    clock::SharedClock,
    domain::{
        event::Event,
        ids::RoomId,
        room::{Referrers, RoomType},
        snowflake::Snowflakes,
    },
    ephemera::Ephemera,
    events::EventBus,
    storage::{Durability, Store},
};

/// Settings of the actors.
#[derive(Clone, Debug)]
pub struct Options {
    /// A room sleeps after this long without a command.
    pub room_idle: Duration,
    /// Messages a room keeps warm, at least 1.
    pub warm_messages: usize,
    /// Bytes of messages a room keeps warm, about; always the newest message.
    pub warm_room_bytes: usize,
    /// Bytes that all rooms which are awake take, about, before those that were not used for longest give some back.
    pub warm_node_bytes: usize,
    /// Commands a room takes before it answers `Overloaded`.
    pub queue_max: usize,
    /// Sends of one append.
    pub batch_max: usize,
    /// Members of a room.
    pub members_max: usize,
    /// Whether anyone may make a channel to which everyone is added; otherwise the admin role alone.
    pub anyone_joins_all: bool,
    /// Who may give messages twins in other systems.
    pub referrers: Referrers,
    /// Commands the node takes before it answers `Overloaded`.
    pub in_flight_max: usize,
    /// Streams of a user.
    pub streams_per_user_max: usize,
    /// Bytes that wait for a stream before it is served from the log.
    pub stream_queue_bytes_max: usize,
    /// Events a stream is given from the log before it is told to resynchronise.
    pub catch_up_max: u64,
    /// Pause between two `Connected`.
    pub heartbeat: Duration,
    /// A user's actor goes after this long without a stream or a call.
    pub user_idle: Duration,
    /// How long a command may take.
    pub request_timeout: Duration,
    /// What a write has survived when it is acknowledged.
    pub durability: Durability,
    /// Calls that walk many rows, of one user at once.
    pub scans_per_user: usize,
    /// Slices of such calls that run at once; about one a core.
    pub scans_at_once: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            room_idle: Duration::from_secs(120),
            warm_messages: 256,
            warm_room_bytes: 1 << 20,
            warm_node_bytes: 128 << 20,
            queue_max: 1_024,
            batch_max: 256,
            members_max: 100_000,
            anyone_joins_all: false,
            referrers: Referrers::Admin,
            in_flight_max: 65_536,
            streams_per_user_max: 32,
            stream_queue_bytes_max: 1 << 20,
            catch_up_max: 10_000,
            heartbeat: Duration::from_secs(15),
            user_idle: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10),
            durability: Durability::Synced,
            scans_per_user: 2,
            scans_at_once: 2,
        }
    }
}

/// Makes the ids of rooms, and the keys that clients encrypt with.
pub trait RoomKeys: Debug + Send + Sync + 'static {
    /// The id of a new room. Random; a simulation draws it from its seed.
    fn fresh_room_id(&self) -> RoomId {
        RoomId::from_random(rand::random())
    }

    /// A fresh key for a room, wrapped (`encryption_data`).
    fn fresh(&self, room: RoomId) -> String;

    /// The text of a message that a client encrypted under the room's key; none if it does not decrypt.
    fn decrypt(&self, encryption_data: &str, content: &str) -> Option<String>;
}

/// Is told what happens, for metrics.
pub trait Observer: Debug + Send + Sync + 'static {
    /// Events of a room of this type became durable.
    fn appended(&self, room_type: RoomType, events: &[Event]);
}

/// What all actors of a node share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn EventBus>,
    pub(crate) ephemera: Arc<dyn Ephemera>,
    pub(crate) clock: SharedClock,
    pub(crate) keys: Arc<dyn RoomKeys>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) options: Options,
    pub(crate) hubs: hub::Hubs,
    pub(crate) presence: presence::Presence,
    pub(crate) ids: Mutex<Snowflakes>,
    pub(crate) client_ids: Arc<client_ids::ClientIds>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) shares: Arc<fair_share::FairShare>,
    pub(crate) warmth: Arc<warmth::Warmth>,
    /// Rooms that read their newest messages at once: each holds about a page of them twice.
    pub(crate) tails: Semaphore,
    pub(crate) started: Instant,
}

impl Context {
    /// Milliseconds since the node started, whatever becomes of the clock: for how long ago something was.
    pub(crate) fn uptime_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}

/// See [`Context::tails`].
const TAILS_AT_ONCE: usize = 32;
