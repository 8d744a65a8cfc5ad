//! The rooms' logs and cursors, as the contract has them.

use std::{collections::HashSet, pin::pin, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::{serialize::row::SerializeRow, statement::prepared::PreparedStatement};
use uuid::Uuid;

use super::{
    Core, ScyllaStore,
    ahead::Seen,
    error,
    listing::merged,
    rows::{RefRow, block, bound, limit as sql_limit, message_ref, number, room_of_key, sender_bucket, slice, uuid},
    seats::Seat,
    stamp,
};
use crate::{
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, RoomId, Seq, UserId},
    storage::{
        CursorStore, Direction, Durability, LogStore, MessageKey, MessageRef, Projection, ReactionRow, Record, Result,
        RoomHead, StoreError, StoreErrorKind, limits,
    },
    tasks::{self, TaskKind},
};

/// Heads read at once.
const HEADS_AT_ONCE: usize = 64;

/// Places looked at for one key: one, but for those of appends that did not come to be.
const LEFT_BEHIND_MAX: usize = 2_000;

/// Of these, looked at at once.
const PLACES_AT_ONCE: usize = 8;

/// Blocks of states read at once.
const BLOCKS_AT_ONCE: usize = 4;

/// A range of so many blocks is read without asking first which of them have states.
const BLOCKS_UNASKED: i64 = 4;

impl Core {
    /// The first message that `is` the one, among those that look-up rows lead to. A row whose message is not in the
    /// log was left by an append that did not come to be.
    ///
    /// # Errors
    /// `Overloaded` if it is not among very many: that it is not there cannot be said.
    async fn found(
        self: &Arc<Self>,
        op: &'static str,
        statement: &PreparedStatement,
        key: impl SerializeRow + Send + Sync,
        is: impl Fn(&Record, &MessageKey) -> bool,
    ) -> Result<Option<MessageRef>> {
        let mut known: HashSet<(Uuid, i64)> = HashSet::new();
        let place = |(room, seq): (Uuid, i64)| {
            // A batch that is tried again leaves rows that lead to the same place.
            Ok(known.insert((room, seq)).then(|| (RoomId(room.into_bytes()), Seq(seq.cast_unsigned()))))
        };
        let mut places = self.database.rows(op, statement, key, LEFT_BEHIND_MAX + 1, place).await?;
        let is_more = places.len() > LEFT_BEHIND_MAX;
        places.truncate(LEFT_BEHIND_MAX);
        let look = |(room, seq)| async move { self.record(op, room, seq).await.map(|record| (room, seq, record)) };
        let mut looks = pin!(stream::iter(places).map(look).buffered(PLACES_AT_ONCE));
        while let Some((room, seq, record)) = looks.try_next().await? {
            let Some(record) = record else { continue };
            if let Some(message) = record.message.as_ref().filter(|message| is(&record, message)) {
                return Ok(Some(MessageRef { room, seq, id: message.id }));
            }
        }
        if is_more { Err(StoreError::new(StoreErrorKind::Overloaded, op)) } else { Ok(None) }
    }

    async fn record(self: &Arc<Self>, op: &'static str, room: RoomId, seq: Seq) -> Result<Option<Record>> {
        if seq.0 == 0 || i64::try_from(seq.0).is_err() {
            return Ok(None);
        }
        // In this order: a row that was read before it was known to count may have been void.
        if self.seen_to(op, room, seq).await?.head.unwrap_or_default().seq < seq {
            return Ok(None);
        }
        Ok(self.committed(op, room, seq, seq).await?.into_iter().next())
    }
}

#[async_trait]
impl LogStore for ScyllaStore {
    async fn claim(&self, room: RoomId) -> Result<Epoch> {
        self.core.check_open("claim")?;
        let core = self.core.clone();
        // In a task: a claim that its caller no longer waits for still leaves the seat in order.
        let claim = tasks::spawn(TaskKind::Append, async move {
            let mut seat = core.seats.lock(room).await;
            let result = match core.take(room).await {
                Ok(taken) => {
                    core.seats.claimed(room, taken.epoch);
                    Ok(seat.insert(taken).epoch)
                }
                Err(failed) => {
                    // Rows may have been written back under an epoch that nobody was told: older ones are void now.
                    let lost = Seat { is_lost: true, ..Seat::fresh(Epoch(0), core.present.load_full()) };
                    *seat = Some(lost);
                    Err(failed)
                }
            };
            core.seats.unlock(seat);
            result
        });
        claim.await.map_err(|_| error::stopped("claim"))?
    }

    async fn release(&self, room: RoomId, epoch: Epoch) -> Result<()> {
        self.core.check_open("release")?;
        let core = self.core.clone();
        let release = async move {
            let mut seat = core.seats.lock(room).await;
            // Given up with nothing open, it can be found again; otherwise it keeps a mixed row from being written.
            let is_settled =
                seat.as_ref().is_some_and(|seat| seat.epoch == epoch && seat.pending.is_none() && !seat.is_lost);
            if let Some(seat) = seat.as_mut().filter(|_| is_settled) {
                // Whatever becomes of the release: it may have been said that the head is exact.
                seat.may_trail = false;
            }
            let result = core.leave(room, epoch, is_settled).await;
            if is_settled && result.is_ok() {
                *seat = None;
            }
            core.seats.unlock(seat);
            result
        };
        tasks::spawn(TaskKind::Release, release).await.map_err(|_| error::stopped("release"))?
    }

    async fn active_rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        const OP: &str = "active_rooms";
        self.core.check_open(OP)?;
        let statement = &self.core.statements.active_page;
        merged(limit, |bucket| self.core.room_keys(OP, statement, bucket, after, limit)).await
    }

    async fn append(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        self.core.check_open("append")?;
        let (core, records, projection) = (self.core.clone(), records.to_vec(), projection.clone());
        // In a task: an append that its caller no longer waits for is still finished, and its outcome known.
        let append = async move { core.append(room, epoch, records, projection).await };
        tasks::spawn(TaskKind::Append, append).await.map_err(|_| error::stopped("append"))??;
        Ok(self.durability)
    }

    async fn read_log(&self, room: RoomId, from: Seq, direction: Direction, limit: usize) -> Result<Vec<Record>> {
        const OP: &str = "read_log";
        self.core.check_open(OP)?;
        let span = u64::try_from(limit).unwrap_or(u64::MAX);
        if span == 0 {
            return Ok(Vec::new());
        }
        let newest = match direction {
            Direction::Forward => from.0.saturating_add(span),
            Direction::Backward => from.0.saturating_sub(1),
        };
        let head = self.core.seen_to(OP, room, Seq(newest)).await?.head.unwrap_or_default().seq.0;
        match direction {
            Direction::Forward => {
                let first = from.0.saturating_add(1);
                let last = from.0.saturating_add(span).min(head);
                self.core.committed(OP, room, Seq(first), Seq(last)).await
            }
            Direction::Backward => {
                let last = from.0.saturating_sub(1).min(head);
                let first = last.saturating_add(1).saturating_sub(span).max(1);
                let mut page = self.core.committed(OP, room, Seq(first), Seq(last)).await?;
                page.reverse();
                Ok(page)
            }
        }
    }

    async fn record(&self, room: RoomId, seq: Seq) -> Result<Option<Record>> {
        self.core.check_open("record")?;
        self.core.record("record", room, seq).await
    }

    async fn head(&self, room: RoomId) -> Result<Option<RoomHead>> {
        self.core.check_open("head")?;
        Ok(self.core.seen("head", room).await?.head)
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<RoomHead>>> {
        self.core.check_open("heads")?;
        let head = |room: RoomId| self.core.seen("heads", room);
        stream::iter(rooms.to_vec())
            .map(head)
            .buffered(HEADS_AT_ONCE)
            .map_ok(|seen: Seen| seen.head)
            .try_collect()
            .await
    }

    async fn find_message(&self, id: MessageId) -> Result<Option<MessageRef>> {
        self.core.check_open("find_message")?;
        let key = (slice(id), id.0);
        let is = |_: &Record, message: &MessageKey| message.id == id;
        self.core.found("find_message", &self.core.statements.message_read, key, is).await
    }

    async fn find_client_message(&self, sender: UserId, client_id: &ClientMessageId) -> Result<Option<MessageRef>> {
        const OP: &str = "find_client_message";
        self.core.check_open(OP)?;
        if limits::check_id(&client_id.0).is_err() {
            return Ok(None);
        }
        let key = (sender.0, sender_bucket(client_id), &*client_id.0);
        let is = |record: &Record, message: &MessageKey| record.actor == sender && message.client_id == *client_id;
        self.core.found(OP, &self.core.statements.sender_read, key, is).await
    }

    async fn find_external(&self, external: &ExternalRef) -> Result<Option<MessageRef>> {
        const OP: &str = "find_external";
        self.core.check_open(OP)?;
        if limits::check_external(external).is_err() {
            return Ok(None);
        }
        let key = (&external.source, &external.chat, &external.message);
        let row = self.core.database.row::<RefRow>(OP, &self.core.statements.external_read, key).await?;
        Ok(row.map(message_ref))
    }

    async fn message_states(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<(Seq, Bytes)>> {
        const OP: &str = "message_states";
        self.core.check_open(OP)?;
        if from > to {
            return Ok(Vec::new());
        }
        let (first, last) = (block(from), block(to));
        let blocks = if last - first < BLOCKS_UNASKED {
            (first..=last).collect()
        } else {
            let key = (uuid(room), first, last);
            let statement = &self.core.statements.state_blocks;
            self.core.database.rows(OP, statement, key, usize::MAX, |(of,): (i64,)| Ok(Some(of))).await?
        };
        let read = |of: i64| {
            let key = (uuid(room), of, bound(from.0), bound(to.0));
            self.core.database.rows(OP, &self.core.statements.states_range, key, usize::MAX, state)
        };
        let pages: Vec<Vec<_>> = stream::iter(blocks).map(read).buffered(BLOCKS_AT_ONCE).try_collect().await?;
        Ok(pages.concat())
    }

    async fn has_reaction(&self, room: RoomId, row: &ReactionRow) -> Result<bool> {
        const OP: &str = "has_reaction";
        self.core.check_open(OP)?;
        if limits::check_reaction(row).is_err() {
            return Ok(false);
        }
        let key = (uuid(room), number(row.seq.0), row.user.0, row.reaction.as_str());
        let statement = &self.core.statements.reaction_read;
        Ok(self.core.database.row::<(i64, String)>(OP, statement, key).await?.is_some())
    }

    async fn reactions(
        &self,
        room: RoomId,
        seq: Seq,
        after: Option<(UserId, String)>,
        limit: usize,
    ) -> Result<Vec<ReactionRow>> {
        const OP: &str = "reactions";
        self.core.check_open(OP)?;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let statements = &self.core.statements;
        let row = |(user, reaction): (i64, String)| Ok(Some(ReactionRow { seq, user: UserId(user), reaction }));
        let message = (uuid(room), number(seq.0));
        match after {
            None => {
                let key = (message.0, message.1, sql_limit(limit));
                self.core.database.rows(OP, &statements.reactions_all, key, limit, row).await
            }
            Some((user, mut reaction)) => {
                // Longer than any that is stored, and than the database takes: its beginning has the same place.
                truncate(&mut reaction, limits::ID_BYTES_MAX);
                let key = (message.0, message.1, user.0, reaction, sql_limit(limit));
                self.core.database.rows(OP, &statements.reactions_after, key, limit, row).await
            }
        }
    }

    async fn pins(&self, room: RoomId, limit: usize) -> Result<Vec<(Seq, Seq)>> {
        const OP: &str = "pins";
        self.core.check_open(OP)?;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let row = |(seq, pin): (i64, i64)| Ok(Some((Seq(seq.cast_unsigned()), Seq(pin.cast_unsigned()))));
        let key = (uuid(room), sql_limit(limit));
        self.core.database.rows(OP, &self.core.statements.pins_page, key, limit, row).await
    }
}

#[allow(clippy::unnecessary_wraps, reason = "a decoder among others")]
fn state((seq, state): (i64, Option<Vec<u8>>)) -> Result<Option<(Seq, Bytes)>> {
    Ok(Some((Seq(seq.cast_unsigned()), Bytes::from(state.unwrap_or_default()))))
}

/// Cuts a text after at most `len` bytes, at a character.
fn truncate(text: &mut String, len: usize) {
    let end = (0..=len.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text.truncate(end);
}

impl Core {
    /// A page of one bucket of a list of rooms.
    pub(super) async fn room_keys(
        &self,
        op: &'static str,
        statement: &PreparedStatement,
        bucket: i32,
        after: Option<RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>> {
        let after = after.map_or(Vec::new(), |room| room.0.to_vec());
        let key = (bucket, after, sql_limit(limit));
        let room = |(key,): (Vec<u8>,)| room_of_key(op, &key).map(Some);
        self.database.rows(op, statement, key, limit, room).await
    }
}

#[async_trait]
impl CursorStore for ScyllaStore {
    async fn put_cursor(&self, consumer: &str, room: RoomId, seq: Seq) -> Result<()> {
        const OP: &str = "put_cursor";
        self.core.check_open(OP)?;
        limits::check_name(consumer).map_err(|why| error::invalid(OP, why))?;
        let row = (uuid(room), consumer, number(seq.0), stamp::GROWING);
        self.core.database.write(OP, &self.core.statements.cursor_put, row).await
    }

    async fn cursor(&self, consumer: &str, room: RoomId) -> Result<Seq> {
        const OP: &str = "cursor";
        self.core.check_open(OP)?;
        if limits::check_name(consumer).is_err() {
            return Ok(Seq(0));
        }
        let key = (uuid(room), consumer);
        let row = self.core.database.row::<(i64,)>(OP, &self.core.statements.cursor_read, key).await?;
        Ok(Seq(row.map_or(0, |(seq,)| seq.cast_unsigned())))
    }
}
