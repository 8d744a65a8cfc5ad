//! Comparing two rows of one table, field by field, and saying what a field holds without giving a body away.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::Place;
use crate::storage::{MessageKey, Position, Record, RoomHead, RoomListEntry};

/// A body: its length and the beginning of its SHA-256.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "one shape for all fields")]
pub(super) fn body(body: &Bytes) -> String {
    format!("{} bytes {}", body.len(), hex::encode(&Sha256::digest(body)[..4]))
}

pub(super) fn some_body(found: &Option<Bytes>) -> String {
    found.as_ref().map_or_else(|| String::from("none"), body)
}

/// Whatever shows itself.
pub(super) fn shown<T: std::fmt::Debug>(value: &T) -> String {
    format!("{value:?}")
}

pub(super) fn records(place: Place<'_>, from: &Record, to: &Record) {
    const TABLE: &str = "log";
    let key = || format!("seq {}", from.seq);
    // Cheap first: nearly all are alike.
    if (Record { epoch: to.epoch, ..from.clone() }) == *to {
        return;
    }
    place.field(TABLE, key(), "n", (&from.n, &to.n), shown);
    place.field(TABLE, key(), "kind", (&from.kind, &to.kind), shown);
    place.field(TABLE, key(), "actor", (&from.actor, &to.actor), shown);
    place.field(TABLE, key(), "at_ms", (&from.at_ms, &to.at_ms), shown);
    place.field(TABLE, key(), "body", (&from.body, &to.body), body);
    if let (Some(from), Some(to)) = (&from.message, &to.message) {
        message_keys(place, &key(), from, to);
    } else {
        let is_message = (&from.message.is_some(), &to.message.is_some());
        place.field(TABLE, key(), "is a message", is_message, shown);
    }
}

fn message_keys(place: Place<'_>, key: &str, from: &MessageKey, to: &MessageKey) {
    const TABLE: &str = "log";
    place.field(TABLE, key, "message id", (&from.id, &to.id), shown);
    place.field(TABLE, key, "client id", (&from.client_id, &to.client_id), |id| id.0.to_string());
    place.field(TABLE, key, "external reference", (&from.external, &to.external), shown);
}

pub(super) fn heads(place: Place<'_>, from: &RoomHead, to: &RoomHead) {
    const TABLE: &str = "head";
    place.field(TABLE, "", "seq", (&from.seq, &to.seq), shown);
    place.field(TABLE, "", "n", (&from.n, &to.n), shown);
    place.field(TABLE, "", "message_seq", (&from.message_seq, &to.message_seq), shown);
    place.field(TABLE, "", "message_id", (&from.message_id, &to.message_id), shown);
    place.field(TABLE, "", "activity_ms", (&from.activity_ms, &to.activity_ms), shown);
    place.field(TABLE, "", "members", (&from.members, &to.members), shown);
}

pub(super) fn positions(place: Place<'_>, from: &Position, to: &Position) {
    const TABLE: &str = "position";
    place.field(TABLE, "", "read_seq", (&from.read_seq, &to.read_seq), shown);
    place.field(TABLE, "", "read_n", (&from.read_n, &to.read_n), shown);
    place.field(TABLE, "", "delivered_seq", (&from.delivered_seq, &to.delivered_seq), shown);
    place.field(TABLE, "", "sent_n", (&from.sent_n, &to.sent_n), shown);
    place.field(TABLE, "", "floor_n", (&from.floor_n, &to.floor_n), shown);
    place.field(TABLE, "", "floor_seq", (&from.floor_seq, &to.floor_seq), shown);
}

pub(super) fn entries(place: Place<'_>, from: &RoomListEntry, to: &RoomListEntry) {
    const TABLE: &str = "room list";
    place.field(TABLE, "", "room type", (&from.listing.room_type, &to.listing.room_type), shown);
    place.field(TABLE, "", "partner", (&from.listing.partner, &to.listing.partner), shown);
    place.field(TABLE, "", "preferences", (&from.prefs, &to.prefs), shown);
}
