//! Rooms, their members and positions, as the contract has them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use scylla::{DeserializeRow, serialize::row::SerializeRow, statement::prepared::PreparedStatement};

use super::{
    Core, ScyllaStore,
    clocks::JOB_FLOOR,
    error,
    listing::merged,
    rows::{limit as sql_limit, room_of_key, uuid},
};
use crate::{
    domain::ids::{Epoch, Ordinal, RoomId, Seq, UserId},
    storage::{Position, Result, RoomStore, StoreError, StoreErrorKind, limits},
};

/// All join jobs are in one partition: there are few.
const JOBS: i32 = 0;

#[derive(DeserializeRow)]
struct PositionGet {
    user_id: i64,
    read_seq: Option<i64>,
    read_n: Option<i64>,
    delivered_seq: Option<i64>,
    sent_n: Option<i64>,
    floor_n: Option<i64>,
    floor_seq: Option<i64>,
    head_epoch: Option<i64>,
    head_closed: Option<i64>,
}

impl PositionGet {
    /// The room's newest owner, and the newest that has left it.
    fn owners(&self) -> (Epoch, Epoch) {
        let of = |value: Option<i64>| Epoch(value.unwrap_or_default().cast_unsigned());
        (of(self.head_epoch), of(self.head_closed))
    }

    fn position(&self) -> (UserId, Position) {
        let of = |value: Option<i64>| value.unwrap_or_default().cast_unsigned();
        let position = Position {
            read_seq: Seq(of(self.read_seq)),
            read_n: Ordinal(of(self.read_n)),
            delivered_seq: Seq(of(self.delivered_seq)),
            sent_n: Ordinal(of(self.sent_n)),
            floor_n: Ordinal(of(self.floor_n)),
            floor_seq: Seq(of(self.floor_seq)),
        };
        (UserId(self.user_id), position)
    }
}

/// The pair, smaller id first.
fn pair(a: UserId, b: UserId) -> (i64, i64) {
    (a.0.min(b.0), a.0.max(b.0))
}

impl Core {
    /// One opaque value. A row without one has an empty one: the database has no other way to store it.
    pub(super) async fn opaque(
        &self,
        op: &'static str,
        statement: &PreparedStatement,
        key: impl SerializeRow + Send + Sync,
    ) -> Result<Option<Bytes>> {
        self.check_open(op)?;
        let row = self.database.row::<(Option<Vec<u8>>,)>(op, statement, key).await?;
        Ok(row.map(|(value,)| Bytes::from(value.unwrap_or_default())))
    }

    /// The timestamp of one value; none if it is not there.
    pub(super) async fn time(
        &self,
        op: &'static str,
        statement: &PreparedStatement,
        key: impl SerializeRow + Send + Sync,
    ) -> Result<Option<i64>> {
        self.check_open(op)?;
        Ok(self.database.row::<(Option<i64>,)>(op, statement, key).await?.and_then(|(at,)| at))
    }

    async fn p2p(&self, op: &'static str, pair: (i64, i64)) -> Result<Option<RoomId>> {
        let row = self.database.row::<(uuid::Uuid,)>(op, &self.statements.p2p_read, pair).await?;
        Ok(row.map(|(room,)| RoomId(room.into_bytes())))
    }
}

#[async_trait]
impl RoomStore for ScyllaStore {
    async fn room(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.core.opaque("room", &self.core.statements.details_read, (uuid(room),)).await
    }

    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        self.core.check_open("rooms")?;
        let statement = &self.core.statements.listed_page;
        merged(limit, |bucket| self.core.room_keys("rooms", statement, bucket, after, limit)).await
    }

    async fn members(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Bytes)>> {
        const OP: &str = "members";
        self.core.check_open(OP)?;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let row =
            |(user, body): (i64, Option<Vec<u8>>)| Ok(Some((UserId(user), Bytes::from(body.unwrap_or_default()))));
        let key = (uuid(room), after.0, sql_limit(limit));
        self.core.database.rows(OP, &self.core.statements.members_page, key, limit, row).await
    }

    async fn member(&self, room: RoomId, user: UserId) -> Result<Option<Bytes>> {
        self.core.opaque("member", &self.core.statements.member_read, (uuid(room), user.0)).await
    }

    async fn positions(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Position)>> {
        const OP: &str = "positions";
        self.core.check_open(OP)?;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let ahead = self.core.seen(OP, room).await?.positions;
        let key = (uuid(room), after.0, sql_limit(limit));
        let row = |row: PositionGet| Ok(Some(row.position()));
        let page = self.core.database.rows(OP, &self.core.statements.positions_page, key, limit, row).await?;
        if ahead.is_empty() {
            return Ok(page);
        }
        let mut merged: BTreeMap<UserId, Position> = page.into_iter().collect();
        for (user, position) in ahead.into_iter().filter(|(user, _)| *user > after) {
            let known = merged.entry(user).or_default();
            *known = known.merge(position);
        }
        Ok(merged.into_iter().take(limit).collect())
    }

    async fn position(&self, room: RoomId, user: UserId) -> Result<Position> {
        const OP: &str = "position";
        self.core.check_open(OP)?;
        let key = (uuid(room), user.0);
        let read = || self.core.database.row::<PositionGet>(OP, &self.core.statements.position_read, key);
        self.core.trails.caught_up(OP, room).await?;
        // The row says whether it is all there is. Without one, the room has to be asked.
        if let Some(row) = read().await? {
            let (owner, closed) = row.owners();
            if self.core.is_exact(room, owner, closed) {
                return Ok(row.position().1);
            }
        }
        let ahead = self.core.seen(OP, room).await?.positions;
        let stored = read().await?.map(|row| row.position().1).unwrap_or_default();
        let ahead = ahead.into_iter().filter(|(of, _)| *of == user);
        Ok(ahead.fold(stored, |known, (_, position)| known.merge(position)))
    }

    async fn p2p_room(&self, a: UserId, b: UserId, fresh: RoomId) -> Result<RoomId> {
        const OP: &str = "p2p_room";
        self.core.check_open(OP)?;
        let pair = pair(a, b);
        for _ in 0..8 {
            if let Some(room) = self.core.p2p(OP, pair).await? {
                return Ok(room);
            }
            let put = self.core.database.transact(OP, &self.core.statements.p2p_put, (pair.0, pair.1, uuid(fresh)));
            match put.await {
                Ok(true) => return Ok(fresh),
                // Somebody else's, or not known: the next round reads it.
                Ok(false) => {}
                Err(failed) if failed.kind() == StoreErrorKind::Invalid => return Err(failed),
                Err(failed) => tracing::debug!(error = %failed, "the outcome of a reservation is not known"),
            }
        }
        Err(StoreError::new(StoreErrorKind::Timeout, OP))
    }

    async fn find_p2p_room(&self, a: UserId, b: UserId) -> Result<Option<RoomId>> {
        self.core.check_open("find_p2p_room")?;
        self.core.p2p("find_p2p_room", pair(a, b)).await
    }

    async fn put_sync_state(&self, room: RoomId, source: &str, state: Bytes) -> Result<()> {
        const OP: &str = "put_sync_state";
        self.core.check_open(OP)?;
        limits::check_name(source).and_then(|()| limits::check_body(&state)).map_err(|why| error::invalid(OP, why))?;
        let seen = self.core.time(OP, &self.core.statements.sync_time, (uuid(room), source)).await?;
        let at = self.core.clocks.after((room, source), [seen]);
        self.core.database.write(OP, &self.core.statements.sync_put, (uuid(room), source, state, at)).await
    }

    async fn sync_state(&self, room: RoomId, source: &str) -> Result<Option<Bytes>> {
        self.core.check_open("sync_state")?;
        if limits::check_name(source).is_err() {
            return Ok(None);
        }
        self.core.opaque("sync_state", &self.core.statements.sync_read, (uuid(room), source)).await
    }

    async fn sync_states(&self, room: RoomId) -> Result<Vec<(String, Bytes)>> {
        const OP: &str = "sync_states";
        self.core.check_open(OP)?;
        let row =
            |(source, state): (String, Option<Vec<u8>>)| Ok(Some((source, Bytes::from(state.unwrap_or_default()))));
        self.core.database.rows(OP, &self.core.statements.syncs_of, (uuid(room),), usize::MAX, row).await
    }

    async fn put_join_job(&self, room: RoomId, state: Option<Bytes>) -> Result<()> {
        const OP: &str = "put_join_job";
        self.core.check_open(OP)?;
        state.as_ref().map_or(Ok(()), |state| limits::check_body(state)).map_err(|why| error::invalid(OP, why))?;
        let (database, statements) = (&self.core.database, &self.core.statements);
        let (job, no_job): (&[u8], &[u8]) = (&room.0, &[]);
        let seen = self.core.time(OP, &statements.job_time, (JOBS, job));
        let floor = self.core.time(OP, &statements.job_time, (JOB_FLOOR, no_job));
        let at = self.core.clocks.after(JOBS, <[_; 2]>::from(tokio::try_join!(seen, floor)?));
        if let Some(state) = state {
            return database.write(OP, &statements.job_put, (JOBS, job, state, at)).await;
        }
        database.write(OP, &statements.job_put, (JOB_FLOOR, no_job, Bytes::new(), at)).await?;
        database.write(OP, &statements.job_remove, (at, JOBS, job)).await
    }

    async fn join_job(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.core.opaque("join_job", &self.core.statements.job_read, (JOBS, &room.0[..])).await
    }

    async fn join_jobs(&self) -> Result<Vec<(RoomId, Bytes)>> {
        const OP: &str = "join_jobs";
        self.core.check_open(OP)?;
        let row = |(key, state): (Vec<u8>, Option<Vec<u8>>)| {
            Ok(Some((room_of_key(OP, &key)?, Bytes::from(state.unwrap_or_default()))))
        };
        self.core.database.rows(OP, &self.core.statements.jobs_all, (JOBS,), usize::MAX, row).await
    }
}
