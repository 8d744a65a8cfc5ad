//! Carrying out a projection: rows of other tables that follow from the log.
//!
//! Every row is written with the append's stamp, so that doing it twice, late, or in another order changes nothing.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::value::{CqlTimestamp, MaybeUnset};

use super::{
    Core,
    listing::bucket,
    rows::{block, number, sender_bucket, slice, uuid},
    seats::Seat,
    session::Write,
    stamp::{self, adding, removing},
};
use crate::{
    domain::ids::{Epoch, RoomId, Seq, UserId},
    storage::{Position, Projection, Record, Result, RoomHead},
};

/// Writes under way at once for one append.
const AT_ONCE: usize = 64;

/// Rows of one batch of one partition.
const ROWS: usize = 100;

/// The last row of each key: rows with one stamp would be told apart by their bytes.
fn last_of<T, K: Ord>(rows: &[T], key: impl Fn(&T) -> K) -> impl Iterator<Item = &T> {
    let last: BTreeMap<K, &T> = rows.iter().map(|row| (key(row), row)).collect();
    last.into_values()
}

/// How an append is known to the next owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) first: Seq,
    pub(super) epoch: Epoch,
    pub(super) stamp: i64,
    /// Who carries it out: the owner, or the next one.
    pub(super) owner: Epoch,
}

impl Core {
    /// Runs writes, a bounded number at once.
    pub(super) async fn each<F: Future<Output = Result<()>>>(&self, writes: impl Iterator<Item = F>) -> Result<()> {
        stream::iter(writes).map(Ok).try_for_each_concurrent(AT_ONCE, |write| write).await
    }

    /// Writes rows of many partitions.
    pub(super) async fn put_each(&self, op: &'static str, writes: Vec<Write>) -> Result<()> {
        self.each(writes.into_iter().map(|write| self.database.write_all(op, vec![write]))).await
    }

    /// Writes rows of one partition, a bounded number in one mutation.
    async fn put_chunks(&self, op: &'static str, mut writes: Vec<Write>) -> Result<()> {
        let mut chunks = Vec::with_capacity(writes.len() / ROWS + 1);
        while writes.len() > ROWS {
            let rest = writes.split_off(ROWS);
            chunks.push(std::mem::replace(&mut writes, rest));
        }
        chunks.push(writes);
        self.each(chunks.into_iter().map(|chunk| self.database.write_all(op, chunk))).await
    }

    /// Carries out a projection, and then says so with the head: who sees the head finds all that came with it.
    pub(super) async fn apply(
        &self,
        op: &'static str,
        room: RoomId,
        (records, projection): (&[Record], &Projection),
        mark: Mark,
    ) -> Result<()> {
        self.apply_rows(op, room, (records, projection), mark).await?;
        self.apply_head(op, room, projection, mark).await
    }

    /// All but the head and positions.
    pub(super) async fn apply_rows(
        &self,
        op: &'static str,
        room: RoomId,
        (records, projection): (&[Record], &Projection),
        mark: Mark,
    ) -> Result<()> {
        let at = mark.stamp;
        let mut single = self.overlay_rows(room, projection, at);
        single.extend(self.list_rows(room, projection, at));
        single.extend(self.external_rows(room, records, at));
        let is_plain = single.is_empty() && projection.members.is_empty() && projection.redacted.is_empty();
        if is_plain {
            return Ok(());
        }
        let members = self.member_rows(room, projection, at);
        let redacted = last_of(&projection.redacted, |(seq, _)| *seq);
        let redact = self.each(redacted.map(|(seq, body)| self.redact(op, room, (*seq, body), mark)));
        let void =
            async { if projection.redacted.is_empty() { Ok(()) } else { self.void_amendments(op, room, mark).await } };
        let rest =
            async { tokio::try_join!(self.put_each(op, single), self.put_chunks(op, members), redact, void).map(drop) };
        Box::pin(rest).await
    }

    /// Head and positions.
    pub(super) async fn apply_head(
        &self,
        op: &'static str,
        room: RoomId,
        projection: &Projection,
        mark: Mark,
    ) -> Result<()> {
        let mut progress = self.position_rows(room, projection);
        let head = self.head_row(room, &projection.head, mark);
        if progress.len() >= ROWS {
            self.put_chunks(op, progress).await?;
            progress = Vec::new();
        }
        progress.insert(0, head);
        self.database.write_all(op, progress).await
    }

    /// Positions alone.
    pub(super) async fn put_positions(&self, op: &'static str, room: RoomId, projection: &Projection) -> Result<()> {
        self.put_chunks(op, self.position_rows(room, projection)).await
    }

    fn position_rows(&self, room: RoomId, projection: &Projection) -> Vec<Write> {
        projection.positions.iter().map(|(user, position)| self.position_row(room, *user, position)).collect()
    }

    fn head_row(&self, room: RoomId, head: &RoomHead, mark: Mark) -> Write {
        let row = (
            adding(mark.stamp),
            number(head.seq.0),
            number(head.n.0),
            number(head.message_seq.0),
            head.message_id.0,
            CqlTimestamp(head.activity_ms),
            i64::from(head.members),
            number(mark.first.0),
            number(mark.epoch.0),
            mark.stamp,
            uuid(room),
        );
        (self.statements.head_put.clone(), Box::new(row))
    }

    /// Says that the seat's owner has taken the room over.
    pub(super) async fn put_marker(&self, op: &'static str, room: RoomId, seat: &Seat) -> Result<()> {
        let mark = Mark { first: seat.first, epoch: seat.epoch, stamp: seat.stamp, owner: seat.epoch };
        let (statement, values) = match &seat.head {
            Some(head) => self.head_row(room, head, mark),
            None => {
                let row = (adding(mark.stamp), number(mark.first.0), number(mark.epoch.0), mark.stamp, uuid(room));
                (self.statements.owner_put.clone(), Box::new(row) as _)
            }
        };
        self.database.write(op, &statement, values).await
    }

    /// Says that the owner of this epoch leaves nothing behind that the head does not cover.
    pub(super) async fn put_closed(&self, op: &'static str, room: RoomId, epoch: Epoch) -> Result<()> {
        let row = (stamp::GROWING, number(epoch.0), uuid(room));
        self.database.write(op, &self.statements.closed_put, row).await
    }

    /// Every field of the row only grows, see [`stamp::GROWING`]; a field that says nothing is not written.
    fn position_row(&self, room: RoomId, user: UserId, position: &Position) -> Write {
        let field = |value: u64| if value == 0 { MaybeUnset::Unset } else { MaybeUnset::Set(number(value)) };
        let row = (
            uuid(room),
            user.0,
            field(position.read_seq.0),
            field(position.read_n.0),
            field(position.delivered_seq.0),
            field(position.sent_n.0),
            field(position.floor_n.0),
            field(position.floor_seq.0),
            stamp::GROWING,
        );
        (self.statements.position_put.clone(), Box::new(row))
    }

    fn member_rows(&self, room: RoomId, projection: &Projection, at: i64) -> Vec<Write> {
        let removed = projection.removed.iter().map(|user| -> Write {
            (self.statements.member_remove.clone(), Box::new((removing(at), uuid(room), user.0)))
        });
        let added = last_of(&projection.members, |member| member.user).map(|member| -> Write {
            let row = (uuid(room), member.user.0, member.body.clone(), adding(at));
            (self.statements.member_put.clone(), Box::new(row))
        });
        removed.chain(added).collect()
    }

    /// Settings, and the room in its members' lists: each in a partition of its own.
    fn list_rows(&self, room: RoomId, projection: &Projection, at: i64) -> Vec<Write> {
        let key = Bytes::copy_from_slice(&room.0);
        let mut rows: Vec<Write> = Vec::new();
        if let Some(settings) = &projection.room {
            let row = (uuid(room), settings.clone(), adding(at));
            rows.push((self.statements.details_put.clone(), Box::new(row)));
            rows.push((self.statements.listed_put.clone(), Box::new((bucket(&room.0), key.clone(), adding(at)))));
        }
        for user in &projection.removed {
            let row = (removing(at), at, user.0, key.clone());
            rows.push((self.statements.listing_remove.clone(), Box::new(row)));
        }
        for member in last_of(&projection.members, |member| member.user) {
            let listing = member.listing;
            let row = (adding(at), i16::from(listing.room_type), listing.partner.0, member.user.0, key.clone());
            rows.push((self.statements.listing_put.clone(), Box::new(row)));
        }
        rows
    }

    /// States, reactions, pins.
    fn overlay_rows(&self, room: RoomId, projection: &Projection, at: i64) -> Vec<Write> {
        let id = uuid(room);
        let mut rows: Vec<Write> = Vec::new();
        for (seq, state) in last_of(&projection.states, |(seq, _)| *seq) {
            let row = (id, block(*seq), number(seq.0), state.clone(), adding(at));
            rows.push((self.statements.state_put.clone(), Box::new(row)));
        }
        let mut blocks: Vec<i64> = projection.states.iter().map(|(seq, _)| block(*seq)).collect();
        blocks.dedup();
        for of in blocks {
            rows.push((self.statements.state_block_put.clone(), Box::new((id, of, adding(at)))));
        }
        for row in &projection.unreacted {
            let row = (removing(at), id, number(row.seq.0), row.user.0, row.reaction.clone());
            rows.push((self.statements.reaction_remove.clone(), Box::new(row)));
        }
        for row in &projection.reacted {
            let row = (id, number(row.seq.0), row.user.0, row.reaction.clone(), adding(at));
            rows.push((self.statements.reaction_put.clone(), Box::new(row)));
        }
        for seq in &projection.unpinned {
            rows.push((self.statements.pin_remove.clone(), Box::new((removing(at), id, number(seq.0)))));
        }
        for (seq, pin) in last_of(&projection.pinned, |(seq, _)| *seq) {
            rows.push((self.statements.pin_put.clone(), Box::new((id, number(seq.0), number(pin.0), adding(at)))));
        }
        rows
    }

    /// Writes the rows by which messages are found, those of one partition as one mutation. They are written before it
    /// is certain that the messages will be there, so who finds one looks whether its message is.
    pub(super) async fn put_lookups(&self, op: &'static str, room: RoomId, records: &[Record], at: i64) -> Result<()> {
        let id = uuid(room);
        let mut slices: BTreeMap<i64, Vec<Write>> = BTreeMap::new();
        let mut senders: BTreeMap<(i64, i32), Vec<Write>> = BTreeMap::new();
        for record in records {
            let Some(message) = &record.message else { continue };
            let (of, seq) = (slice(message.id), number(record.seq.0));
            let row = (of, message.id.0, id, seq);
            slices.entry(of).or_default().push((self.statements.message_put.clone(), Box::new(row)));
            let of = (record.actor.0, sender_bucket(&message.client_id));
            let row = (of.0, of.1, message.client_id.0.to_string(), at, id, seq);
            senders.entry(of).or_default().push((self.statements.sender_put.clone(), Box::new(row)));
        }
        let partitions = slices.into_values().chain(senders.into_values());
        self.each(partitions.map(|rows| self.put_chunks(op, rows))).await
    }

    /// The rows by which messages with a twin elsewhere are found.
    pub(super) fn external_rows(&self, room: RoomId, records: &[Record], at: i64) -> Vec<Write> {
        let mut rows: Vec<Write> = Vec::new();
        for record in records {
            let Some((message, external)) = record.message.as_ref().and_then(|m| Some((m, m.external.as_ref()?)))
            else {
                continue;
            };
            let twin = (external.source.clone(), external.chat.clone(), external.message.clone());
            let found = (uuid(room), number(record.seq.0), message.id.0);
            let row = (twin.0, twin.1, twin.2, found.0, found.1, found.2, adding(at));
            rows.push((self.statements.external_put.clone(), Box::new(row)));
        }
        rows
    }
}
