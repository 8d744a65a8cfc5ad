//! The rooms' logs, who may write them, and the readers' cursors.

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    EmbeddedStore,
    append::Prepared,
    engine::Engine,
    fault::{Fault, Outcome},
    keys::{self, Key, Table},
    maybe_blocking,
    rows::{self, Control},
    span,
};
use crate::{
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, RoomId, Seq, UserId},
    storage::{
        CursorStore, Direction, Durability, LogStore, MessageRef, Projection, ReactionRow, Record, Result, RoomHead,
        limits,
    },
};

impl<E: Engine> EmbeddedStore<E> {
    fn control(&self, room: RoomId) -> Outcome<Control> {
        Ok(self.get(&keys::control(room), |row| Control::decode(row))?.unwrap_or_default())
    }

    fn message_ref(&self, key: &Key) -> Outcome<Option<MessageRef>> {
        self.get(key, |row| rows::decode_message_ref(row))
    }
}

/// All rows of `room` in `table`: first key, end.
pub(super) fn of_room(table: Table, room: RoomId) -> (Key, Key) {
    let first = Key::of(table).room(room);
    let end = first.clone().end();
    (first, end)
}

/// Rooms of `table` greater than `after`: first key, end.
pub(super) fn rooms_after(table: Table, after: Option<RoomId>) -> (Key, Key) {
    let first = Key::of(table);
    let end = first.clone().end();
    (after.map_or(first, |after| Key::of(table).room(after).after()), end)
}

/// The place just behind `to`, if there is one; otherwise behind the room.
fn behind(table: Table, room: RoomId, to: Seq) -> Key {
    Key::of(table).room(room).seq(to).after()
}

#[async_trait]
impl<E: Engine> LogStore for EmbeddedStore<E> {
    async fn claim(&self, room: RoomId) -> Result<Epoch> {
        let (control, journal) = (keys::control(room).slice(), keys::journal(room).slice());
        let claim = self.write("claim", move |txn| {
            let mut row = txn.get(&control)?.map(|row| Control::decode(&row)).transpose()?.unwrap_or_default();
            row.epoch = Epoch(row.epoch.0.checked_add(1).ok_or_else(|| Fault::corrupt("epoch"))?);
            txn.put(control, row.encode());
            txn.put(journal, rows::present());
            Ok(row.epoch)
        });
        Ok(claim.await?.0)
    }

    async fn release(&self, room: RoomId, epoch: Epoch) -> Result<()> {
        let (control, journal) = (keys::control(room).slice(), keys::journal(room).slice());
        let release = self.change("release", move |txn| {
            let row = txn.get(&control)?.map(|row| Control::decode(&row)).transpose()?.unwrap_or_default();
            if row.epoch == epoch {
                txn.delete(journal);
            }
            Ok(())
        });
        release.await
    }

    async fn active_rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        let (first, end) = rooms_after(Table::Journal, after);
        self.page(&first, &end, Direction::Forward, limit, |key, _| {
            keys::parse(key, Table::Journal, "journal key")?.room()
        })
        .map_err(|fault| fault.at("active_rooms"))
    }

    async fn append(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        let prepared = Prepared::new(room, epoch, records, projection).map_err(|fault| fault.at("append"))?;
        Ok(self.write("append", move |txn| prepared.apply(txn)).await?.1)
    }

    async fn read_log(&self, room: RoomId, from: Seq, direction: Direction, limit: usize) -> Result<Vec<Record>> {
        let (first, end) = of_room(Table::Log, room);
        let (first, end) = match direction {
            Direction::Forward => (keys::log(room, from).after(), end),
            Direction::Backward => (first, keys::log(room, from)),
        };
        self.page(&first, &end, direction, limit, |key, value| {
            let mut key = keys::parse(key, Table::Log, "log key")?;
            key.room()?;
            rows::decode_record(key.seq()?, value)
        })
        .map_err(|fault| fault.at("read_log"))
    }

    async fn record(&self, room: RoomId, seq: Seq) -> Result<Option<Record>> {
        self.get(&keys::log(room, seq), |row| rows::decode_record(seq, row)).map_err(|fault| fault.at("record"))
    }

    async fn head(&self, room: RoomId) -> Result<Option<RoomHead>> {
        self.control(room).map(|control| control.head).map_err(|fault| fault.at("head"))
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<RoomHead>>> {
        maybe_blocking(rooms.len(), || {
            rooms.iter().map(|room| self.control(*room).map(|control| control.head)).collect::<Outcome<_>>()
        })
        .map_err(|fault| fault.at("heads"))
    }

    async fn find_message(&self, id: MessageId) -> Result<Option<MessageRef>> {
        self.message_ref(&keys::message(id)).map_err(|fault| fault.at("find_message"))
    }

    async fn find_client_message(&self, sender: UserId, client_id: &ClientMessageId) -> Result<Option<MessageRef>> {
        self.message_ref(&keys::client_message(sender, client_id)).map_err(|fault| fault.at("find_client_message"))
    }

    async fn find_external(&self, external: &ExternalRef) -> Result<Option<MessageRef>> {
        if limits::check_external(external).is_err() {
            return Ok(None);
        }
        self.message_ref(&keys::external(external)).map_err(|fault| fault.at("find_external"))
    }

    async fn message_states(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<(Seq, Bytes)>> {
        let first = Key::of(Table::State).room(room).seq(from);
        self.page(&first, &behind(Table::State, room, to), Direction::Forward, span(from, to), |key, value| {
            let mut key = keys::parse(key, Table::State, "state key")?;
            key.room()?;
            Ok((key.seq()?, Bytes::copy_from_slice(value)))
        })
        .map_err(|fault| fault.at("message_states"))
    }

    async fn has_reaction(&self, room: RoomId, row: &ReactionRow) -> Result<bool> {
        self.get(&keys::reaction(room, row.seq, row.user, &row.reaction), |_| Ok(()))
            .map(|found| found.is_some())
            .map_err(|fault| fault.at("has_reaction"))
    }

    async fn reactions(
        &self,
        room: RoomId,
        seq: Seq,
        after: Option<(UserId, String)>,
        limit: usize,
    ) -> Result<Vec<ReactionRow>> {
        let all = Key::of(Table::Reaction).room(room).seq(seq);
        let end = all.clone().end();
        let first = after.map_or(all, |(user, reaction)| keys::reaction(room, seq, user, &reaction).after());
        self.page(&first, &end, Direction::Forward, limit, |key, _| {
            let mut key = keys::parse(key, Table::Reaction, "reaction key")?;
            key.room()?;
            Ok(ReactionRow { seq: key.seq()?, user: key.user()?, reaction: key.text()?.to_owned() })
        })
        .map_err(|fault| fault.at("reactions"))
    }

    async fn pins(&self, room: RoomId, limit: usize) -> Result<Vec<(Seq, Seq)>> {
        let (first, end) = of_room(Table::Pin, room);
        self.page(&first, &end, Direction::Forward, limit, |key, value| {
            let mut key = keys::parse(key, Table::Pin, "pin key")?;
            key.room()?;
            Ok((key.seq()?, Seq(rows::decode_number(value)?)))
        })
        .map_err(|fault| fault.at("pins"))
    }
}

#[async_trait]
impl<E: Engine> CursorStore for EmbeddedStore<E> {
    async fn put_cursor(&self, consumer: &str, room: RoomId, seq: Seq) -> Result<()> {
        limits::check_name(consumer).map_err(|why| Fault::invalid(why).at("put_cursor"))?;
        let key = Key::of(Table::Cursor).room(room).bytes(consumer.as_bytes()).slice();
        let put = self.change("put_cursor", move |txn| {
            let stored = txn.get(&key)?.map(|row| rows::decode_number(&row)).transpose()?.unwrap_or_default();
            if seq.0 > stored {
                txn.put(key, rows::encode_number(seq.0));
            }
            Ok(())
        });
        put.await
    }

    async fn cursor(&self, consumer: &str, room: RoomId) -> Result<Seq> {
        self.get(&Key::of(Table::Cursor).room(room).bytes(consumer.as_bytes()), |row| rows::decode_number(row))
            .map(|seq| Seq(seq.unwrap_or_default()))
            .map_err(|fault| fault.at("cursor"))
    }
}
