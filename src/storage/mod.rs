//! The store contract: what a backend keeps, what it promises, how it fails.
//!
//! A store holds rows; it decides nothing but order and fencing. Each sentence in the documentation of a method here is
//! a test of the module `conformance`, which every backend and every decorator runs. Bodies are opaque (see [`types`]).
//!
//! Common rules: an error's [`StoreError::outcome`] says whether a write may have happened. Pages are bounded by the
//! caller's `limit` and come in key order. A read begun after a write was acknowledged sees
//! it. Arguments have the bounds of [`limits`]; a write beyond them is `Invalid`, a read finds nothing. Dropping a future
//! does not take a write back: its outcome is unknown then.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

pub mod codec;
#[cfg(test)]
mod codec_tests;
#[cfg(any(test, feature = "testkit"))]
#[allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "each function is a test")]
pub mod conformance;
pub mod consumers;
pub mod embedded;
pub mod error;
pub mod layer;
pub mod limits;
pub mod migrate;
pub mod ordinals;
pub mod postgres;
pub mod project;
#[cfg(test)]
mod project_tests;
pub mod pulse;
pub mod scylla;
pub mod types;
pub mod url;

pub use error::{Outcome, StoreError, StoreErrorKind};
pub use types::*;

use crate::domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, RoomId, Seq, UserId};

/// Result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The rooms' logs and who may write them.
#[async_trait]
pub trait LogStore {
    /// Makes the caller the room's only writer and puts the room into the journal of active rooms, in one durable step.
    /// The epoch returned is greater than every earlier one of the room. The room need not exist yet.
    async fn claim(&self, room: RoomId) -> Result<Epoch>;

    /// Takes the room out of the journal if `epoch` is still the claimed one; otherwise changes nothing. The claim
    /// stands: its writer may append on, until another claim.
    async fn release(&self, room: RoomId, epoch: Epoch) -> Result<()>;

    /// Rooms claimed and not released, by id, greater than `after`.
    async fn active_rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>>;

    /// Appends `records` (perhaps none) and applies `projection`, all or nothing, durable when it returns.
    ///
    /// - `epoch` older than the claimed one: `Fenced`, nothing written, also when the call was made before the claim
    ///   and arrives after it. This comes before any `Conflict`. An epoch that no claim has returned: `Invalid`. A
    ///   release does not end a claim.
    /// - The first record's seq must follow the stored head's. Records that are stored already, exactly alike (epoch
    ///   aside): success again, nothing written, the projection neither. Any other seq, a gap in `records`, different
    ///   records at a stored seq, or records of which some are stored: `Conflict`.
    /// - The projection's head is at the last record's seq; otherwise `Invalid`. With no records it is at the stored
    ///   head's seq (0 if there is none); otherwise `Conflict`.
    /// - An external reference that another message has: `Conflict`, nothing written.
    /// - Messages become findable by id, by (sender, client id) and by external reference. Ids are unique by the
    ///   caller's care. If another message of the sender has the client id already, that one stays the one found.
    /// - What a projection removes or takes back is removed before it adds: who is in both is a new member.
    /// - A redaction replaces the body of the log row, of this append's own records too; at a seq with no event it is a
    ///   `Conflict`.
    /// - Who sees the new head can read all that was appended with it: caches rely on it.
    /// - Positions are merged and never move back, also when their member goes and comes back.
    /// - Arguments beyond [`limits`]: `Invalid`.
    ///
    /// Bodies are compared as they are given. A decorator that gives the same body other bytes each time (encryption)
    /// has to give a stored record's stored bytes when it is appended again.
    async fn append(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability>;

    /// Events with seq greater (`Forward`) or smaller (`Backward`) than `from`, at most `limit`, in that direction's
    /// order. An unknown room has none. A page has no gap, also while the room is written to.
    async fn read_log(&self, room: RoomId, from: Seq, direction: Direction, limit: usize) -> Result<Vec<Record>>;

    /// The event at `seq`.
    async fn record(&self, room: RoomId, seq: Seq) -> Result<Option<Record>>;

    /// The room's newest numbers; none for a room that was never appended to.
    async fn head(&self, room: RoomId) -> Result<Option<RoomHead>>;

    /// [`LogStore::head`] of many rooms, in their order.
    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<RoomHead>>>;

    /// Where a message is.
    async fn find_message(&self, id: MessageId) -> Result<Option<MessageRef>>;

    /// The message that `sender` sent with this client id, in whatever room.
    async fn find_client_message(&self, sender: UserId, client_id: &ClientMessageId) -> Result<Option<MessageRef>>;

    /// The message with this external reference.
    async fn find_external(&self, external: &ExternalRef) -> Result<Option<MessageRef>>;

    /// Present states of the messages in `from..=to` that changed since they were sent, in seq order.
    async fn message_states(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<(Seq, Bytes)>>;

    /// Whether the user has given this reaction.
    async fn has_reaction(&self, room: RoomId, row: &ReactionRow) -> Result<bool>;

    /// Reactions to a message after `after` (user, reaction), by user.
    async fn reactions(
        &self,
        room: RoomId,
        seq: Seq,
        after: Option<(UserId, String)>,
        limit: usize,
    ) -> Result<Vec<ReactionRow>>;

    /// Pinned messages: (message seq, seq of the pin event), by message seq; at most `limit`.
    async fn pins(&self, room: RoomId, limit: usize) -> Result<Vec<(Seq, Seq)>>;
}

/// Rooms, their members and positions.
#[async_trait]
pub trait RoomStore {
    /// The room's settings as last written by an append.
    async fn room(&self, room: RoomId) -> Result<Option<Bytes>>;

    /// All rooms that have settings, by id, greater than `after`.
    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>>;

    /// Members with a user id greater than `after`, by user id.
    async fn members(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Bytes)>>;

    /// One member.
    async fn member(&self, room: RoomId, user: UserId) -> Result<Option<Bytes>>;

    /// Positions with a user id greater than `after`, by user id.
    async fn positions(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Position)>>;

    /// One position; zero if there is none.
    async fn position(&self, room: RoomId, user: UserId) -> Result<Position>;

    /// The p2p room of a pair, reserving `fresh` for it if there is none yet. The pair has no order; all callers, also
    /// at once, get the same room.
    async fn p2p_room(&self, a: UserId, b: UserId, fresh: RoomId) -> Result<RoomId>;

    /// The p2p room of a pair if it has one.
    async fn find_p2p_room(&self, a: UserId, b: UserId) -> Result<Option<RoomId>>;

    /// Sets how far a room is synchronised with `source` (1 to 64 bytes).
    async fn put_sync_state(&self, room: RoomId, source: &str, state: Bytes) -> Result<()>;

    /// Reads it.
    async fn sync_state(&self, room: RoomId, source: &str) -> Result<Option<Bytes>>;

    /// How far the room is synchronised with each source, by the source's name as bytes. Sources of a room are few.
    async fn sync_states(&self, room: RoomId) -> Result<Vec<(String, Bytes)>>;

    /// Sets the state of the background job that adds everyone to a room; `None` ends the job.
    async fn put_join_job(&self, room: RoomId, state: Option<Bytes>) -> Result<()>;

    /// One join job.
    async fn join_job(&self, room: RoomId) -> Result<Option<Bytes>>;

    /// All join jobs, by room id.
    async fn join_jobs(&self) -> Result<Vec<(RoomId, Bytes)>>;
}

/// What belongs to users.
#[async_trait]
pub trait UserStore {
    /// The user's rooms, by room id, greater than `after`.
    async fn rooms_of(&self, user: UserId, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomListEntry>>;

    /// One room in the user's list.
    async fn room_of(&self, user: UserId, room: RoomId) -> Result<Option<RoomListEntry>>;

    /// Sets the user's settings for a room in their list; `NotFound` if it is not there. A membership written again
    /// keeps them, a membership removed takes them with it. All fields are stored as given: counting hidden messages is
    /// the caller's.
    async fn put_prefs(&self, user: UserId, room: RoomId, prefs: RoomPrefs) -> Result<()>;

    /// Hides one message for the user alone. Hiding it again changes nothing. Returns whether it was new.
    async fn hide_message(&self, user: UserId, room: RoomId, seq: Seq) -> Result<bool>;

    /// Messages the user has hidden in `from..=to`, in seq order.
    async fn hidden_messages(&self, user: UserId, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Seq>>;

    /// Sets a user's profile.
    async fn put_profile(&self, user: UserId, profile: Bytes) -> Result<()>;

    /// Profiles of many users, in their order.
    async fn profiles(&self, users: &[UserId]) -> Result<Vec<Option<Bytes>>>;

    /// Ids of all users that have a profile, greater than `after`.
    async fn known_users(&self, after: UserId, limit: usize) -> Result<Vec<UserId>>;

    /// Sets or takes back `by`'s block of `whom`. Returns whether that changed anything.
    async fn put_block(&self, by: UserId, whom: UserId, blocked: bool) -> Result<bool>;

    /// Whether `by` has blocked `whom`.
    async fn has_block(&self, by: UserId, whom: UserId) -> Result<bool>;

    /// Whom `by` has blocked, by id, greater than `after`.
    async fn blocks(&self, by: UserId, after: UserId, limit: usize) -> Result<Vec<UserId>>;

    /// Registers a device of the user, replacing the one with the same client id. A token hash that another user or
    /// device has is taken from it.
    async fn put_device(&self, user: UserId, device: &DeviceRow) -> Result<()>;

    /// Removes a device; one that is not there changes nothing.
    async fn remove_device(&self, user: UserId, client_id: &str) -> Result<()>;

    /// The user's devices, by client id.
    async fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>>;
}

/// Where the readers of the logs stand.
#[async_trait]
pub trait CursorStore {
    /// Moves `consumer`'s cursor in a room forward; moving it back changes nothing.
    async fn put_cursor(&self, consumer: &str, room: RoomId, seq: Seq) -> Result<()>;

    /// `consumer`'s cursor in a room; 0 if it has none.
    async fn cursor(&self, consumer: &str, room: RoomId) -> Result<Seq>;
}

/// A complete store.
#[async_trait]
pub trait Store: LogStore + RoomStore + UserStore + CursorStore + Debug + Send + Sync + 'static {
    /// Name for people and metrics, such as `embedded`.
    fn name(&self) -> &'static str;

    /// Makes all that was acknowledged durable and stops; later calls fail with `Unavailable`.
    async fn close(&self) -> Result<()>;
}
