//! Rooms, their members and positions.

use async_trait::async_trait;
use bytes::Bytes;
use fjall::Slice;

use super::{
    EmbeddedStore,
    engine::Engine,
    fault::{Fault, Outcome},
    keys::{self, Key, Table},
    log::{of_room, rooms_after},
    rows,
};
use crate::{
    domain::ids::{RoomId, UserId},
    storage::{Direction, Position, Result, RoomStore, limits},
};

/// An opaque value, as read.
#[allow(clippy::unnecessary_wraps, reason = "a decoder among others")]
pub(super) fn opaque(value: &Slice) -> Outcome<Bytes> {
    Ok(Bytes::copy_from_slice(value))
}

fn sync_key(room: RoomId, source: &str) -> Key {
    Key::of(Table::Sync).room(room).bytes(source.as_bytes())
}

impl<E: Engine> EmbeddedStore<E> {
    /// Rows of `table` in `room` with a user id greater than `after`.
    fn members_of<T>(
        &self,
        table: Table,
        room: RoomId,
        after: UserId,
        limit: usize,
        mut decode: impl FnMut(&[u8]) -> Outcome<T>,
    ) -> Outcome<Vec<(UserId, T)>> {
        let first = keys::of_member(table, room, after).after();
        let (_, end) = of_room(table, room);
        self.page(&first, &end, Direction::Forward, limit, |key, value| {
            let mut key = keys::parse(key, table, "member key")?;
            key.room()?;
            Ok((key.user()?, decode(value)?))
        })
    }

    /// Sets one opaque row.
    pub(super) async fn put_opaque(&self, op: &'static str, key: Key, value: Bytes) -> Result<()> {
        limits::check_body(&value).map_err(|why| Fault::invalid(why).at(op))?;
        let (key, value) = (key.slice(), Slice::from(&value[..]));
        let put = self.change(op, move |txn| {
            txn.put(key, value);
            Ok(())
        });
        put.await
    }
}

#[async_trait]
impl<E: Engine> RoomStore for EmbeddedStore<E> {
    async fn room(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.get(&Key::of(Table::Room).room(room), opaque).map_err(|fault| fault.at("room"))
    }

    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        let (first, end) = rooms_after(Table::Room, after);
        self.page(&first, &end, Direction::Forward, limit, |key, _| keys::parse(key, Table::Room, "room key")?.room())
            .map_err(|fault| fault.at("rooms"))
    }

    async fn members(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Bytes)>> {
        self.members_of(Table::Member, room, after, limit, |value| Ok(Bytes::copy_from_slice(value)))
            .map_err(|fault| fault.at("members"))
    }

    async fn member(&self, room: RoomId, user: UserId) -> Result<Option<Bytes>> {
        self.get(&keys::of_member(Table::Member, room, user), opaque).map_err(|fault| fault.at("member"))
    }

    async fn positions(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Position)>> {
        self.members_of(Table::Position, room, after, limit, rows::decode_position)
            .map_err(|fault| fault.at("positions"))
    }

    async fn position(&self, room: RoomId, user: UserId) -> Result<Position> {
        self.get(&keys::of_member(Table::Position, room, user), |row| rows::decode_position(row))
            .map(Option::unwrap_or_default)
            .map_err(|fault| fault.at("position"))
    }

    async fn p2p_room(&self, a: UserId, b: UserId, fresh: RoomId) -> Result<RoomId> {
        let key = keys::p2p(a, b).slice();
        let reserve = self.write("p2p_room", move |txn| {
            if let Some(row) = txn.get(&key)? {
                return rows::decode_room_id(&row);
            }
            txn.put(key, rows::encode_room_id(fresh));
            Ok(fresh)
        });
        Ok(reserve.await?.0)
    }

    async fn find_p2p_room(&self, a: UserId, b: UserId) -> Result<Option<RoomId>> {
        self.get(&keys::p2p(a, b), |row| rows::decode_room_id(row)).map_err(|fault| fault.at("find_p2p_room"))
    }

    async fn put_sync_state(&self, room: RoomId, source: &str, state: Bytes) -> Result<()> {
        limits::check_name(source).map_err(|why| Fault::invalid(why).at("put_sync_state"))?;
        self.put_opaque("put_sync_state", sync_key(room, source), state).await
    }

    async fn sync_state(&self, room: RoomId, source: &str) -> Result<Option<Bytes>> {
        self.get(&sync_key(room, source), opaque).map_err(|fault| fault.at("sync_state"))
    }

    async fn sync_states(&self, room: RoomId) -> Result<Vec<(String, Bytes)>> {
        let (first, end) = of_room(Table::Sync, room);
        self.page(&first, &end, Direction::Forward, usize::MAX, |key, value| {
            let mut key = keys::parse(key, Table::Sync, "sync state key")?;
            key.room()?;
            Ok((key.text()?.to_owned(), Bytes::copy_from_slice(value)))
        })
        .map_err(|fault| fault.at("sync_states"))
    }

    async fn put_join_job(&self, room: RoomId, state: Option<Bytes>) -> Result<()> {
        let key = Key::of(Table::JoinJob).room(room);
        let Some(state) = state else {
            let key = key.slice();
            let end = self.change("put_join_job", move |txn| {
                txn.delete(key);
                Ok(())
            });
            return end.await;
        };
        self.put_opaque("put_join_job", key, state).await
    }

    async fn join_job(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.get(&Key::of(Table::JoinJob).room(room), opaque).map_err(|fault| fault.at("join_job"))
    }

    async fn join_jobs(&self) -> Result<Vec<(RoomId, Bytes)>> {
        let (first, end) = rooms_after(Table::JoinJob, None);
        self.page(&first, &end, Direction::Forward, usize::MAX, |key, value| {
            Ok((keys::parse(key, Table::JoinJob, "join job key")?.room()?, Bytes::copy_from_slice(value)))
        })
        .map_err(|fault| fault.at("join_jobs"))
    }
}
