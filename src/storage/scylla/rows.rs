//! Rows of the log as the driver reads and writes them.

use bytes::Bytes;
use scylla::{
    DeserializeRow, SerializeRow,
    value::{CqlTimestamp, MaybeUnset},
};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::{error, resolve::LogRow};
use crate::{
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId},
    storage::{MessageKey, MessageRef, Record, Result},
};

/// Events of one partition of the log.
pub(super) const BLOCK: u64 = 1_000;

/// Message ids of one partition of their index, as a power of two: the sequence of a Snowflake.
const SLICE_BITS: u32 = 12;

/// Partitions of one sender's client ids. Stored: never changed. A sender's share of one is what bounds it: 100 MB are
/// some 20 million messages of one sender.
const SENDER_BUCKETS: u64 = 16;

/// The partition of the index that a message's id is in.
pub(super) fn slice(id: MessageId) -> i64 {
    id.0 >> SLICE_BITS
}

/// The partition of a sender's index that a client id is in.
pub(super) fn sender_bucket(client_id: &ClientMessageId) -> i32 {
    i32::try_from(xxh3_64(client_id.0.as_bytes()) % SENDER_BUCKETS).unwrap_or_default()
}

/// The partition of the log that `seq` is in.
pub(super) fn block(seq: Seq) -> i64 {
    number(seq.0 / BLOCK)
}

/// A room's id as the database has it.
pub(super) fn uuid(room: RoomId) -> Uuid {
    Uuid::from_bytes(room.0)
}

/// A number as the database has it: the same bits, so that unsigned order is kept among rows that only grow.
pub(super) fn number(value: u64) -> i64 {
    value.cast_signed()
}

/// An end of a range: what is greater than the database's greatest number is not stored there.
pub(super) fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A page's limit as the database has it.
pub(super) fn limit(limit: usize) -> i32 {
    i32::try_from(limit).unwrap_or(i32::MAX)
}

/// A room's id from its bytes.
pub(super) fn room_of_key(op: &'static str, key: &[u8]) -> Result<RoomId> {
    key.try_into().map(RoomId).map_err(|_| error::corrupt(op, "a room's id has 16 bytes"))
}

/// A row of the log, to be written.
#[derive(Clone, Debug, SerializeRow)]
pub(super) struct LogPut {
    pub(super) room_id: Uuid,
    pub(super) block: i64,
    pub(super) seq: i64,
    pub(super) epoch: i64,
    pub(super) origin_epoch: MaybeUnset<i64>,
    pub(super) batch_last: i64,
    pub(super) stamp: i64,
    pub(super) n: i64,
    pub(super) kind: i16,
    pub(super) actor: i64,
    pub(super) at: CqlTimestamp,
    pub(super) message_id: MaybeUnset<i64>,
    pub(super) client_message_id: MaybeUnset<String>,
    pub(super) external_source: MaybeUnset<String>,
    pub(super) external_chat: MaybeUnset<String>,
    pub(super) external_message: MaybeUnset<String>,
    pub(super) body: Bytes,
    pub(super) projection: MaybeUnset<Vec<u8>>,
    pub(super) ts: i64,
}

impl LogPut {
    /// About how many bytes the row takes in a mutation.
    pub(super) fn size(&self) -> usize {
        let projection = if let MaybeUnset::Set(bytes) = &self.projection { bytes.len() } else { 0 };
        self.body.len() + projection + ROW_BYTES
    }
}

/// Bytes of a row of the log without its body, about.
const ROW_BYTES: usize = 512;

fn set<T>(value: Option<T>) -> MaybeUnset<T> {
    value.map_or(MaybeUnset::Unset, MaybeUnset::Set)
}

/// What the rows of one batch have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchKey {
    pub(super) room: RoomId,
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) stamp: i64,
}

impl LogPut {
    /// The row of `record`, written first by its own epoch, under the fence `fence`, at the database's time `ts`.
    pub(super) fn new(
        batch: &BatchKey,
        record: &Record,
        body: Bytes,
        fence: Epoch,
        projection: Option<Vec<u8>>,
        ts: i64,
    ) -> Self {
        let message = record.message.as_ref();
        let external = message.and_then(|message| message.external.as_ref());
        Self {
            room_id: uuid(batch.room),
            block: block(record.seq),
            seq: number(record.seq.0),
            epoch: number(fence.0),
            origin_epoch: set((record.epoch != fence).then(|| number(record.epoch.0))),
            batch_last: number(batch.last.0),
            stamp: batch.stamp,
            n: number(record.n.0),
            kind: i16::from(record.kind),
            actor: record.actor.0,
            at: CqlTimestamp(record.at_ms),
            message_id: set(message.map(|message| message.id.0)),
            client_message_id: set(message.map(|message| message.client_id.0.to_string())),
            external_source: set(external.map(|external| external.source.clone())),
            external_chat: set(external.map(|external| external.chat.clone())),
            external_message: set(external.map(|external| external.message.clone())),
            body,
            projection: set(projection),
            ts,
        }
    }
}

/// A row of the log, as it is read: without its batch's projection. One without an end of its batch is what a removal
/// has left of a row (`erase`).
#[derive(Clone, Debug, DeserializeRow)]
pub(super) struct LogGet {
    pub(super) seq: i64,
    pub(super) epoch: i64,
    origin_epoch: Option<i64>,
    batch_last: Option<i64>,
    stamp: Option<i64>,
    n: Option<i64>,
    kind: Option<i16>,
    actor: Option<i64>,
    at: Option<CqlTimestamp>,
    message_id: Option<i64>,
    client_message_id: Option<String>,
    external_source: Option<String>,
    external_chat: Option<String>,
    external_message: Option<String>,
    body: Option<Vec<u8>>,
}

impl LogRow for LogGet {
    fn seq(&self) -> Seq {
        Seq(self.seq.cast_unsigned())
    }

    fn epoch(&self) -> Epoch {
        Epoch(self.epoch.cast_unsigned())
    }

    fn batch_last(&self) -> Seq {
        Seq(self.batch_last.unwrap_or_default().cast_unsigned())
    }
}

/// Place, epoch and end of batch alone, for the rule.
pub(super) type Place = (Seq, Epoch, Seq);

impl LogRow for Place {
    fn seq(&self) -> Seq {
        self.0
    }

    fn epoch(&self) -> Epoch {
        self.1
    }

    fn batch_last(&self) -> Seq {
        self.2
    }
}

impl LogGet {
    /// What the rule looks at.
    pub(super) fn place(&self) -> Place {
        (self.seq(), self.epoch(), self.batch_last())
    }

    /// Last place of its batch.
    pub(super) fn reach(&self) -> Seq {
        self.batch_last()
    }

    /// The stamp of its batch.
    pub(super) fn stamp(&self) -> i64 {
        self.stamp.unwrap_or_default()
    }

    /// The row, if it is one.
    pub(super) fn whole(self) -> Option<Self> {
        self.batch_last.is_some().then_some(self)
    }

    /// Takes the row for a batch of its own.
    pub(super) fn forget_batch(&mut self) {
        self.batch_last = Some(self.seq);
    }

    /// The event.
    pub(super) fn record(self, op: &'static str) -> Result<Record> {
        let external = match (self.external_source, self.external_chat, self.external_message) {
            (Some(source), Some(chat), Some(message)) => Some(ExternalRef { source, chat, message }),
            _ => None,
        };
        let message = match (self.message_id, self.client_message_id) {
            (Some(id), Some(client_id)) => {
                Some(MessageKey { id: MessageId(id), client_id: ClientMessageId(client_id.into()), external })
            }
            (None, None) => None,
            _ => return Err(error::corrupt(op, "a message has an id and a client id")),
        };
        Ok(Record {
            seq: Seq(self.seq.cast_unsigned()),
            n: Ordinal(self.n.unwrap_or_default().cast_unsigned()),
            epoch: Epoch(self.origin_epoch.unwrap_or(self.epoch).cast_unsigned()),
            kind: u8::try_from(self.kind.unwrap_or(-1)).map_err(|_| error::corrupt(op, "a kind of event is a byte"))?,
            actor: UserId(self.actor.unwrap_or_default()),
            at_ms: self.at.map_or(0, |at| at.0),
            message,
            body: Bytes::from(self.body.unwrap_or_default()),
        })
    }
}

/// Where a message is: room, seq, id.
pub(super) type RefRow = (Uuid, i64, i64);

/// Where a message is.
pub(super) fn message_ref((room, seq, id): RefRow) -> MessageRef {
    MessageRef { room: RoomId(room.into_bytes()), seq: Seq(seq.cast_unsigned()), id: MessageId(id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_hold_a_thousand_places() {
        assert_eq!([0, 1, 999, 1_000, 1_001, 1_999, 2_000].map(|seq| block(Seq(seq))), [0, 0, 0, 1, 1, 1, 2]);
        assert!(block(Seq(u64::MAX)) > 0);
    }

    #[test]
    fn bounds_stay_in_range() {
        assert_eq!(bound(u64::MAX), i64::MAX);
        assert_eq!(limit(usize::MAX), i32::MAX);
    }
}
