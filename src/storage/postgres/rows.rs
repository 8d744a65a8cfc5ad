//! Rows as values. A row that cannot be is `Corrupt`, never a panic.

use bytes::Bytes;
use tokio_postgres::{Row, types::FromSql};
use uuid::Uuid;

use super::{
    fault::{Fault, Outcome},
    number::unsigned,
};
use crate::{
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId},
    storage::types::{
        DeviceRow, Listing, MessageKey, MessageRef, Position, Record, RoomHead, RoomListEntry, RoomPrefs,
    },
};

/// One column.
pub(super) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Outcome<T> {
    row.try_get(index).map_err(|error| Fault::because(crate::storage::StoreErrorKind::Corrupt, error))
}

/// A room's id.
pub(super) fn room(row: &Row, index: usize) -> Outcome<RoomId> {
    Ok(RoomId(column::<Uuid>(row, index)?.into_bytes()))
}

/// A room's id as a parameter.
pub(super) const fn uuid(room: RoomId) -> Uuid {
    Uuid::from_bytes(room.0)
}

/// A seq.
pub(super) fn seq(row: &Row, index: usize) -> Outcome<Seq> {
    Ok(Seq(unsigned(column(row, index)?)))
}

/// A user's id.
pub(super) fn user(row: &Row, index: usize) -> Outcome<UserId> {
    Ok(UserId(column(row, index)?))
}

/// An opaque body.
pub(super) fn body(row: &Row, index: usize) -> Outcome<Bytes> {
    Ok(Bytes::copy_from_slice(column(row, index)?))
}

/// A text that is kept as bytes.
pub(super) fn text(row: &Row, index: usize) -> Outcome<String> {
    let bytes: &[u8] = column(row, index)?;
    let text = std::str::from_utf8(bytes).map_err(|_| Fault::corrupt("a text is not UTF-8"))?;
    Ok(text.to_owned())
}

fn ordinal(row: &Row, index: usize) -> Outcome<Ordinal> {
    Ok(Ordinal(unsigned(column(row, index)?)))
}

fn array<const N: usize>(row: &Row, index: usize) -> Outcome<[u8; N]> {
    let bytes: &[u8] = column(row, index)?;
    bytes.try_into().map_err(|_| Fault::corrupt("a hash of another length"))
}

fn small(row: &Row, index: usize) -> Outcome<u8> {
    u8::try_from(column::<i16>(row, index)?).map_err(|_| Fault::corrupt("a kind beyond a byte"))
}

fn count(row: &Row, index: usize) -> Outcome<u32> {
    u32::try_from(column::<i64>(row, index)?).map_err(|_| Fault::corrupt("a count beyond 32 bits"))
}

/// A room and its head.
pub(super) fn head(row: &Row) -> Outcome<(RoomId, RoomHead)> {
    let head = RoomHead {
        seq: seq(row, 1)?,
        n: ordinal(row, 2)?,
        message_seq: seq(row, 3)?,
        message_id: MessageId(column(row, 4)?),
        activity_ms: column(row, 5)?,
        members: count(row, 6)?,
    };
    Ok((room(row, 0)?, head))
}

/// An event of a log.
pub(super) fn record(row: &Row) -> Outcome<Record> {
    Ok(Record {
        seq: seq(row, 0)?,
        n: ordinal(row, 1)?,
        epoch: Epoch(unsigned(column(row, 2)?)),
        kind: small(row, 3)?,
        actor: user(row, 4)?,
        at_ms: column(row, 5)?,
        body: body(row, 6)?,
        message: match column::<Option<i64>>(row, 7)? {
            Some(id) => Some(message_key(row, MessageId(id))?),
            None => None,
        },
    })
}

fn message_key(row: &Row, id: MessageId) -> Outcome<MessageKey> {
    let external = match column::<Option<&[u8]>>(row, 9)? {
        Some(_) => Some(ExternalRef { source: text(row, 9)?, chat: text(row, 10)?, message: text(row, 11)? }),
        None => None,
    };
    let client_id = ClientMessageId(text(row, 8)?.into());
    Ok(MessageKey { id, client_id, external })
}

/// Where a message is.
pub(super) fn message_ref(row: &Row) -> Outcome<MessageRef> {
    Ok(MessageRef { room: room(row, 0)?, seq: seq(row, 1)?, id: MessageId(column(row, 2)?) })
}

/// A user and how far they have come.
pub(super) fn position(row: &Row) -> Outcome<(UserId, Position)> {
    let position = Position {
        read_seq: seq(row, 1)?,
        read_n: ordinal(row, 2)?,
        delivered_seq: seq(row, 3)?,
        sent_n: ordinal(row, 4)?,
        floor_n: ordinal(row, 5)?,
        floor_seq: seq(row, 6)?,
    };
    Ok((user(row, 0)?, position))
}

/// A room in a user's list.
pub(super) fn list_entry(row: &Row) -> Outcome<RoomListEntry> {
    Ok(RoomListEntry {
        room: room(row, 0)?,
        listing: Listing { room_type: small(row, 1)?, partner: user(row, 2)? },
        prefs: RoomPrefs {
            pinned: column(row, 3)?,
            muted_until_ms: column(row, 4)?,
            hidden_at: column::<Option<i64>>(row, 5)?.map(|n| Ordinal(unsigned(n))),
            hidden_messages: count(row, 6)?,
        },
    })
}

/// A device.
pub(super) fn device(row: &Row) -> Outcome<DeviceRow> {
    Ok(DeviceRow { client_id: text(row, 0)?, token_hash: array(row, 1)?, body: body(row, 2)? })
}
