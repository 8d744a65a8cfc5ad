//! Rooms, their members and positions.

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    PostgresStore,
    fault::{Fault, Outcome},
    number::limit as page,
    pool::Params,
    rows::{self, uuid},
    statements as sql,
};
use crate::{
    domain::ids::{RoomId, UserId},
    storage::{Position, Result, RoomStore, limits},
};

/// A pair has no order; its row has.
const fn pair(a: UserId, b: UserId) -> (i64, i64) {
    if a.0 < b.0 { (a.0, b.0) } else { (b.0, a.0) }
}

fn only_body(row: &tokio_postgres::Row) -> Outcome<Bytes> {
    rows::body(row, 0)
}

#[async_trait]
impl RoomStore for PostgresStore {
    async fn room(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.one(&sql::ROOM, &[&uuid(room)], only_body).await.map_err(|fault| fault.at("room"))
    }

    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        self.room_page(&sql::ROOMS, after, limit).await.map_err(|fault| fault.at("rooms"))
    }

    async fn members(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Bytes)>> {
        let decode = |row: &_| Ok((rows::user(row, 0)?, rows::body(row, 1)?));
        let found = self.list(&sql::MEMBERS, &[&uuid(room), &after.0, &page(limit)], decode).await;
        found.map_err(|fault| fault.at("members"))
    }

    async fn member(&self, room: RoomId, user: UserId) -> Result<Option<Bytes>> {
        self.one(&sql::MEMBER, &[&uuid(room), &user.0], only_body).await.map_err(|fault| fault.at("member"))
    }

    async fn positions(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Position)>> {
        let found = self.list(&sql::POSITIONS, &[&uuid(room), &after.0, &page(limit)], rows::position).await;
        found.map_err(|fault| fault.at("positions"))
    }

    async fn position(&self, room: RoomId, user: UserId) -> Result<Position> {
        let found = self.one(&sql::POSITION, &[&uuid(room), &user.0], |row| Ok(rows::position(row)?.1)).await;
        found.map(Option::unwrap_or_default).map_err(|fault| fault.at("position"))
    }

    async fn p2p_room(&self, a: UserId, b: UserId, fresh: RoomId) -> Result<RoomId> {
        // Most pairs have their room: a read is cheaper than an update that changes nothing.
        if let Some(room) = self.find_p2p_room(a, b).await? {
            return Ok(room);
        }
        let (low, high) = pair(a, b);
        let reserved = self.db.write(&sql::P2P_ROOM, &[&low, &high, &uuid(fresh)]).await;
        let room = reserved.and_then(|found| match found.first() {
            Some(row) => rows::room(row, 0),
            None => Err(Fault::corrupt("a pair without a room")),
        });
        room.map_err(|fault| fault.at("p2p_room"))
    }

    async fn find_p2p_room(&self, a: UserId, b: UserId) -> Result<Option<RoomId>> {
        let (low, high) = pair(a, b);
        let found = self.one(&sql::FIND_P2P_ROOM, &[&low, &high], |row| rows::room(row, 0)).await;
        found.map_err(|fault| fault.at("find_p2p_room"))
    }

    async fn put_sync_state(&self, room: RoomId, source: &str, state: Bytes) -> Result<()> {
        limits::check_name(source)
            .and_then(|()| limits::check_body(&state))
            .map_err(|why| Fault::invalid(why).at("put_sync_state"))?;
        let params: Params<'_> = &[&uuid(room), &source.as_bytes(), &&state[..]];
        self.db.change(&sql::PUT_SYNC_STATE, params).await.map(drop).map_err(|fault| fault.at("put_sync_state"))
    }

    async fn sync_state(&self, room: RoomId, source: &str) -> Result<Option<Bytes>> {
        let found = self.one(&sql::SYNC_STATE, &[&uuid(room), &source.as_bytes()], only_body).await;
        found.map_err(|fault| fault.at("sync_state"))
    }

    async fn sync_states(&self, room: RoomId) -> Result<Vec<(String, Bytes)>> {
        let decode = |row: &_| {
            let source: Vec<u8> = rows::column(row, 0)?;
            Ok((String::from_utf8(source).map_err(|_| Fault::corrupt("the name of a source"))?, rows::body(row, 1)?))
        };
        self.list(&sql::SYNC_STATES, &[&uuid(room)], decode).await.map_err(|fault| fault.at("sync_states"))
    }

    async fn put_join_job(&self, room: RoomId, state: Option<Bytes>) -> Result<()> {
        let put = match &state {
            None => self.db.change(&sql::END_JOIN_JOB, &[&uuid(room)]).await,
            Some(state) => {
                limits::check_body(state).map_err(|why| Fault::invalid(why).at("put_join_job"))?;
                self.db.change(&sql::PUT_JOIN_JOB, &[&uuid(room), &&state[..]]).await
            }
        };
        put.map(drop).map_err(|fault| fault.at("put_join_job"))
    }

    async fn join_job(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.one(&sql::JOIN_JOB, &[&uuid(room)], only_body).await.map_err(|fault| fault.at("join_job"))
    }

    async fn join_jobs(&self) -> Result<Vec<(RoomId, Bytes)>> {
        let decode = |row: &_| Ok((rows::room(row, 0)?, rows::body(row, 1)?));
        self.list(&sql::JOIN_JOBS, &[], decode).await.map_err(|fault| fault.at("join_jobs"))
    }
}
