//! What the opaque bodies of the store contract say: domain values as protobuf, decoded without trust.
//!
//! The messages here are the stored form, not the wire form: tags are never reused and old bytes keep decoding. Nothing
//! outside the storage layer sees them.

mod event;
mod jobs;
mod message;
mod room;
mod stored;
mod user;

use bytes::Bytes;

pub use event::{decode_event, edit_body, encode_event};
pub use jobs::{JoinJob, JoinStop, decode_join_job, decode_sync, encode_join_job, encode_sync};
pub use message::{decode_message, decode_state, encode_state, message_body};
pub use room::{decode_info, decode_member, decode_room, encode_info, encode_member, encode_room};
pub use user::{
    decode_device, decode_names, decode_privacy, decode_profile, encode_device, encode_profile, with_names,
    with_privacy,
};

use super::{Result, StoreError, StoreErrorKind};

/// Kinds of events as stored in [`crate::storage::Record::kind`]. Numbers are never reused.
pub mod kind {
    /// The room was made.
    pub const CREATED: u8 = 1;
    /// A message.
    pub const MESSAGE: u8 = 2;
    /// A message was edited.
    pub const EDITED: u8 = 3;
    /// A message was deleted for all.
    pub const DELETED: u8 = 4;
    /// A reaction.
    pub const REACTED: u8 = 5;
    /// A pin.
    pub const PINNED: u8 = 6;
    /// Members joined.
    pub const JOINED: u8 = 7;
    /// Members left.
    pub const LEFT: u8 = 8;
    /// A member changed.
    pub const MEMBER_CHANGED: u8 = 9;
    /// The settings changed.
    pub const INFO_CHANGED: u8 = 10;
    /// The room was deleted.
    pub const CLOSED: u8 = 11;
}

fn corrupt(what: &'static str) -> StoreError {
    StoreError::because(StoreErrorKind::Corrupt, "decode", what)
}

fn parse<M: prost::Message + Default>(bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|e| StoreError::because(StoreErrorKind::Corrupt, "decode", e))
}

fn bytes_of(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}

fn small(number: u32) -> Option<u8> {
    u8::try_from(number).ok()
}
