//! The rows of the store contract. Bodies are opaque bytes: the store neither reads nor needs what they say, so that a
//! decorator can seal them and a cache below it holds only ciphertext. [`super::codec`] makes and reads them.

use bytes::Bytes;

pub use crate::domain::position::{Position, RoomHead};

use crate::domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId};

/// One event of a room's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Place in the log.
    pub seq: Seq,
    /// Ordinal of the message this is, or of the newest message before it.
    pub n: Ordinal,
    /// Epoch of the writer that appended it; [`super::LogStore::append`] sets it.
    pub epoch: Epoch,
    /// Number of the kind of event, see [`super::codec`].
    pub kind: u8,
    /// Who caused it.
    pub actor: UserId,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Set when the event is a message.
    pub message: Option<MessageKey>,
    /// What happened.
    pub body: Bytes,
}

/// The look-up keys of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageKey {
    /// Its id.
    pub id: MessageId,
    /// The sender's own id of it.
    pub client_id: ClientMessageId,
    /// Its twin elsewhere.
    pub external: Option<ExternalRef>,
}

/// Where a message is, found by one of its keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageRef {
    /// Its room.
    pub room: RoomId,
    /// Its place in the log.
    pub seq: Seq,
    /// Its id.
    pub id: MessageId,
}

/// A member's row in a room, and the room's row in the member's list: written and removed together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRow {
    /// The member.
    pub user: UserId,
    /// Role, rights, nickname, visibility.
    pub body: Bytes,
    /// What the member's room list says of the room.
    pub listing: Listing,
}

/// What a user's room list says of one room without reading the room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listing {
    /// Number of the room's type.
    pub room_type: u8,
    /// p2p: the other user; 0 otherwise.
    pub partner: UserId,
}

/// One room in a user's list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RoomListEntry {
    /// The room.
    pub room: RoomId,
    /// Written with the membership.
    pub listing: Listing,
    /// The user's own settings.
    pub prefs: RoomPrefs,
}

/// A user's own settings for a room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RoomPrefs {
    /// First in the list.
    pub pinned: bool,
    /// No push until then; milliseconds since the Unix epoch, 0 = not muted.
    pub muted_until_ms: i64,
    /// Hidden while the room's newest ordinal is not greater than this.
    pub hidden_at: Option<Ordinal>,
    /// Messages this user has hidden for themselves in the room.
    pub hidden_messages: u32,
}

/// One user's reaction to one message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReactionRow {
    /// The message's place.
    pub seq: Seq,
    /// Who.
    pub user: UserId,
    /// Emoji or short code, 1 to 64 bytes.
    pub reaction: String,
}

/// What an append changes besides the log. Every row of it can be derived from the log again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Projection {
    /// The room's numbers after the append.
    pub head: RoomHead,
    /// The room's settings, when they changed.
    pub room: Option<Bytes>,
    /// Members added or changed.
    pub members: Vec<MemberRow>,
    /// Members gone, with their list entries.
    pub removed: Vec<UserId>,
    /// Positions that moved; merged with what is stored ([`Position::merge`]).
    pub positions: Vec<(UserId, Position)>,
    /// Present state of messages that changed since they were sent.
    pub states: Vec<(Seq, Bytes)>,
    /// New bodies for log rows whose content must go (deletion for all).
    pub redacted: Vec<(Seq, Bytes)>,
    /// Reactions given.
    pub reacted: Vec<ReactionRow>,
    /// Reactions taken back.
    pub unreacted: Vec<ReactionRow>,
    /// Messages pinned, with the seq of the pin event.
    pub pinned: Vec<(Seq, Seq)>,
    /// Messages unpinned.
    pub unpinned: Vec<Seq>,
}

/// Which way to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Growing keys.
    Forward,
    /// Shrinking keys.
    Backward,
}

/// What an acknowledged write has survived.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Durability {
    /// In the operating system's buffers.
    Buffered,
    /// fsynced, or at the store's quorum.
    Synced,
}

/// A device token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceRow {
    /// The device.
    pub client_id: String,
    /// SHA-256 of the push token: a token belongs to one user.
    pub token_hash: [u8; 32],
    /// Token and platform.
    pub body: Bytes,
}
