//! What each row says, as bytes. Every value begins with the version of its form; old versions keep decoding, and bytes
//! that do not decode are `Corrupt`, never a panic. Opaque bodies are stored as they are, with no version of ours.

use bytes::Bytes;
use fjall::Slice;

use super::{
    bin::{Reader, Writer},
    fault::{Fault, Outcome},
};
use crate::{
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId},
    storage::types::{
        DeviceRow, Listing, MessageKey, MessageRef, Position, Record, RoomHead, RoomListEntry, RoomPrefs,
    },
};

const V1: u8 = 1;
/// Log rows and message references without the hash of what was sent: it stood beside the sealed text.
const V2: u8 = 2;

/// A room's writer and newest numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Control {
    /// The claimed epoch; 0 if the room was never claimed.
    pub epoch: Epoch,
    /// None before the first append.
    pub head: Option<RoomHead>,
}

impl Control {
    /// As stored.
    pub fn encode(&self) -> Slice {
        let row = Writer::versioned(V1, 64).u64(self.epoch.0).u8(u8::from(self.head.is_some()));
        let row = match &self.head {
            Some(head) => row
                .u64(head.seq.0)
                .u64(head.n.0)
                .u64(head.message_seq.0)
                .i64(head.message_id.0)
                .i64(head.activity_ms)
                .u32(head.members),
            None => row,
        };
        row.finish().into()
    }

    /// As read.
    pub fn decode(bytes: &[u8]) -> Outcome<Self> {
        let mut row = Reader::versioned(bytes, V1, "control row")?;
        let epoch = Epoch(row.u64()?);
        let head = if row.flag()? {
            Some(RoomHead {
                seq: Seq(row.u64()?),
                n: Ordinal(row.u64()?),
                message_seq: Seq(row.u64()?),
                message_id: MessageId(row.i64()?),
                activity_ms: row.i64()?,
                members: row.u32()?,
            })
        } else {
            None
        };
        row.end()?;
        Ok(Self { epoch, head })
    }
}

/// An event, without its seq (that is in the key), written by `epoch`.
pub fn encode_record(record: &Record, epoch: Epoch) -> Slice {
    let row = Writer::versioned(V2, 96 + record.body.len())
        .u64(record.n.0)
        .u64(epoch.0)
        .u8(record.kind)
        .i64(record.actor.0)
        .i64(record.at_ms);
    let row = match &record.message {
        None => row.u8(0),
        Some(message) => {
            let row =
                row.u8(if message.external.is_some() { 2 } else { 1 }).i64(message.id.0).short(&message.client_id.0);
            match &message.external {
                Some(external) => row.short(&external.source).short(&external.chat).short(&external.message),
                None => row,
            }
        }
    };
    row.bytes(&record.body).finish().into()
}

/// The event at `seq`.
pub fn decode_record(seq: Seq, bytes: &[u8]) -> Outcome<Record> {
    let (mut row, version) = Reader::of_versions(bytes, &[V1, V2], "log row")?;
    let n = Ordinal(row.u64()?);
    let epoch = Epoch(row.u64()?);
    let kind = row.u8()?;
    let actor = UserId(row.i64()?);
    let at_ms = row.i64()?;
    let form = row.u8()?;
    let message = if form == 0 { None } else { Some(decode_message_key(&mut row, form, version)?) };
    Ok(Record { seq, n, epoch, kind, actor, at_ms, message, body: Bytes::copy_from_slice(row.rest()) })
}

/// What older programs kept there is passed over.
fn skip_hash(row: &mut Reader<'_>, version: u8) -> Outcome<()> {
    if version == V1 {
        row.array::<16>()?;
    }
    Ok(())
}

fn decode_message_key(row: &mut Reader<'_>, form: u8, version: u8) -> Outcome<MessageKey> {
    let id = MessageId(row.i64()?);
    skip_hash(row, version)?;
    let client_id = ClientMessageId(row.short()?.into());
    let external = match form {
        1 => None,
        2 => Some(ExternalRef {
            source: row.short()?.to_owned(),
            chat: row.short()?.to_owned(),
            message: row.short()?.to_owned(),
        }),
        _ => return Err(Fault::corrupt("log row")),
    };
    Ok(MessageKey { id, client_id, external })
}

/// Where a message is.
pub fn encode_message_ref(found: &MessageRef) -> Slice {
    Writer::versioned(V2, 32).bytes(&found.room.0).u64(found.seq.0).i64(found.id.0).finish().into()
}

/// Where a message is.
pub fn decode_message_ref(bytes: &[u8]) -> Outcome<MessageRef> {
    let (mut row, version) = Reader::of_versions(bytes, &[V1, V2], "message reference row")?;
    let found = MessageRef { room: RoomId(row.array()?), seq: Seq(row.u64()?), id: MessageId(row.i64()?) };
    skip_hash(&mut row, version)?;
    row.end()?;
    Ok(found)
}

/// How far a member has come.
pub fn encode_position(position: &Position) -> Slice {
    Writer::versioned(V1, 48)
        .u64(position.read_seq.0)
        .u64(position.read_n.0)
        .u64(position.delivered_seq.0)
        .u64(position.sent_n.0)
        .u64(position.floor_n.0)
        .u64(position.floor_seq.0)
        .finish()
        .into()
}

/// How far a member has come.
pub fn decode_position(bytes: &[u8]) -> Outcome<Position> {
    let mut row = Reader::versioned(bytes, V1, "position row")?;
    let position = Position {
        read_seq: Seq(row.u64()?),
        read_n: Ordinal(row.u64()?),
        delivered_seq: Seq(row.u64()?),
        sent_n: Ordinal(row.u64()?),
        floor_n: Ordinal(row.u64()?),
        floor_seq: Seq(row.u64()?),
    };
    row.end()?;
    Ok(position)
}

/// A room in a user's list.
pub fn encode_listing(listing: &Listing, prefs: &RoomPrefs) -> Slice {
    Writer::versioned(V1, 40)
        .u8(listing.room_type)
        .i64(listing.partner.0)
        .u8(u8::from(prefs.pinned))
        .i64(prefs.muted_until_ms)
        .u8(u8::from(prefs.hidden_at.is_some()))
        .u64(prefs.hidden_at.unwrap_or_default().0)
        .u32(prefs.hidden_messages)
        .finish()
        .into()
}

/// A room in a user's list.
pub fn decode_listing(room: RoomId, bytes: &[u8]) -> Outcome<RoomListEntry> {
    let mut row = Reader::versioned(bytes, V1, "room list row")?;
    let listing = Listing { room_type: row.u8()?, partner: UserId(row.i64()?) };
    let pinned = row.flag()?;
    let muted_until_ms = row.i64()?;
    let is_hidden = row.flag()?;
    let hidden_at = Some(Ordinal(row.u64()?)).filter(|_| is_hidden);
    let hidden_messages = row.u32()?;
    row.end()?;
    Ok(RoomListEntry { room, listing, prefs: RoomPrefs { pinned, muted_until_ms, hidden_at, hidden_messages } })
}

/// A device, without its client id (that is in the key).
pub fn encode_device(device: &DeviceRow) -> Slice {
    Writer::versioned(V1, 32 + device.body.len()).bytes(&device.token_hash).bytes(&device.body).finish().into()
}

/// The device with `client_id`.
pub fn decode_device(client_id: &str, bytes: &[u8]) -> Outcome<DeviceRow> {
    let mut row = Reader::versioned(bytes, V1, "device row")?;
    let token_hash = row.array()?;
    Ok(DeviceRow { client_id: client_id.to_owned(), token_hash, body: Bytes::copy_from_slice(row.rest()) })
}

/// Whose a device token is.
pub fn encode_token_owner(user: UserId, client_id: &str) -> Slice {
    Writer::versioned(V1, 8 + client_id.len()).i64(user.0).bytes(client_id.as_bytes()).finish().into()
}

/// Whose a device token is.
pub fn decode_token_owner(bytes: &[u8]) -> Outcome<(UserId, &str)> {
    let mut row = Reader::versioned(bytes, V1, "device token row")?;
    Ok((UserId(row.i64()?), row.text()?))
}

/// A room's id.
pub fn encode_room_id(room: RoomId) -> Slice {
    Writer::versioned(V1, 16).bytes(&room.0).finish().into()
}

/// A room's id.
pub fn decode_room_id(bytes: &[u8]) -> Outcome<RoomId> {
    let mut row = Reader::versioned(bytes, V1, "p2p row")?;
    let room = RoomId(row.array()?);
    row.end()?;
    Ok(room)
}

/// A number: a cursor, the seq of a pin event, a meta row.
pub fn encode_number(number: u64) -> Slice {
    Writer::versioned(V1, 8).u64(number).finish().into()
}

/// A number.
pub fn decode_number(bytes: &[u8]) -> Outcome<u64> {
    let mut row = Reader::versioned(bytes, V1, "number row")?;
    let number = row.u64()?;
    row.end()?;
    Ok(number)
}

/// A row that says all in its key.
pub fn present() -> Slice {
    Writer::versioned(V1, 0).finish().into()
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
