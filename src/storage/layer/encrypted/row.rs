//! What a body is bound to: the row it stands in.

use super::USER_SCOPE;
use crate::{
    domain::ids::{RoomId, Seq, UserId},
    storage::Record,
};

/// One row that holds a body; what the body is bound to. The first byte of each form is part of what is stored: it must
/// never change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Row<'a> {
    /// An event as older programs sealed it, bound to its place alone. Only read.
    Log(RoomId, Seq),
    /// An event with everything that its row says in clear, but for the epoch: that is the store's.
    Event(RoomId, &'a Record),
    State(RoomId, Seq),
    Room(RoomId),
    Member(RoomId, UserId),
    Sync(RoomId, &'a str),
    JoinJob(RoomId),
    Profile(UserId),
    Device(UserId, &'a str),
}

impl Row<'_> {
    /// What is authenticated with the body, and not stored.
    pub(super) fn aad(&self) -> Vec<u8> {
        let of_room = |tag: u8, room: &RoomId, rest: &[u8]| [&[tag], &room.0[..], rest].concat();
        match self {
            Self::Log(room, seq) => of_room(1, room, &seq.0.to_be_bytes()),
            Self::Event(room, record) => of_room(9, room, &columns(record)),
            Self::State(room, seq) => of_room(2, room, &seq.0.to_be_bytes()),
            Self::Room(room) => of_room(3, room, &[]),
            Self::Member(room, user) => of_room(4, room, &user.0.to_be_bytes()),
            Self::Sync(room, source) => of_room(5, room, source.as_bytes()),
            Self::JoinJob(room) => of_room(6, room, &[]),
            Self::Profile(user) => [&[7], &user.0.to_be_bytes()[..]].concat(),
            Self::Device(user, client_id) => [&[8], &user.0.to_be_bytes()[..], client_id.as_bytes()].concat(),
        }
    }

    /// Rooms have keys of their own, users share one.
    pub(super) fn scope(&self) -> &[u8] {
        match self {
            Self::Log(room, _)
            | Self::Event(room, _)
            | Self::State(room, _)
            | Self::Room(room)
            | Self::Member(room, _)
            | Self::Sync(room, _)
            | Self::JoinJob(room) => &room.0,
            Self::Profile(_) | Self::Device(..) => USER_SCOPE,
        }
    }
}

/// What an event's row says in clear: numbers in eight bytes, texts behind their length in four.
fn columns(record: &Record) -> Vec<u8> {
    let mut all = Vec::with_capacity(128);
    for number in [record.seq.0, record.n.0, record.actor.0.cast_unsigned(), record.at_ms.cast_unsigned()] {
        all.extend(number.to_be_bytes());
    }
    all.push(record.kind);
    let Some(message) = &record.message else {
        all.push(0);
        return all;
    };
    all.push(if message.external.is_some() { 2 } else { 1 });
    all.extend(message.id.0.to_be_bytes());
    let mut text = |text: &str| {
        all.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        all.extend(text.as_bytes());
    };
    text(&message.client_id.0);
    for part in message.external.iter().flat_map(|external| [&external.source, &external.chat, &external.message]) {
        text(part);
    }
    all
}
