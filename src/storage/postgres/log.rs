//! The rooms' logs, who may write them, and the readers' cursors.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    PostgresStore,
    append::Append,
    fault::{Fault, Outcome},
    gathered::{Claim, LookUp},
    number::{bits, bound, limit as page},
    pool::Params,
    rows::{self, uuid},
    statements::{self as sql, Statement},
};
use crate::{
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, RoomId, Seq, UserId},
    storage::{
        CursorStore, Direction, Durability, LogStore, MessageRef, Projection, ReactionRow, Record, Result, RoomHead,
        limits,
    },
};

impl PostgresStore {
    async fn message_ref(&self, statement: &Statement, params: Params<'_>) -> Outcome<Option<MessageRef>> {
        self.db.read_one(statement, params).await?.as_ref().map(rows::message_ref).transpose()
    }

    async fn find_heads(&self, rooms: &[RoomId]) -> Outcome<Vec<Option<RoomHead>>> {
        let ids: Vec<_> = rooms.iter().copied().map(uuid).collect();
        let found = self.db.read(&sql::HEADS, &[&ids]).await?;
        let heads: HashMap<_, _> = found.iter().map(rows::head).collect::<Outcome<_>>()?;
        Ok(rooms.iter().map(|room| heads.get(room).copied()).collect())
    }
}

#[async_trait]
impl LogStore for PostgresStore {
    async fn claim(&self, room: RoomId) -> Result<Epoch> {
        self.claims.submit(Claim(room)).await.map_err(|fault| fault.at("claim"))
    }

    async fn release(&self, room: RoomId, epoch: Epoch) -> Result<()> {
        let release = self.db.change(&sql::RELEASE, &[&uuid(room), &bits(epoch.0)]).await;
        release.map(drop).map_err(|fault| fault.at("release"))
    }

    async fn active_rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        self.room_page(&sql::ACTIVE_ROOMS, after, limit).await.map_err(|fault| fault.at("active_rooms"))
    }

    async fn append(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        let append = Append::new(room, epoch, records, projection).map_err(|fault| fault.at("append"))?;
        self.appends.submit(append).await.map_err(|fault| fault.at("append"))
    }

    async fn read_log(&self, room: RoomId, from: Seq, direction: Direction, limit: usize) -> Result<Vec<Record>> {
        let statement = match direction {
            Direction::Forward => &sql::LOG_FORWARD,
            Direction::Backward => &sql::LOG_BACKWARD,
        };
        let found = self.list(statement, &[&uuid(room), &bound(from), &page(limit)], rows::record).await;
        found.map_err(|fault| fault.at("read_log"))
    }

    async fn record(&self, room: RoomId, seq: Seq) -> Result<Option<Record>> {
        let found = self.one(&sql::RECORD, &[&uuid(room), &bound(seq)], rows::record).await;
        found.map_err(|fault| fault.at("record"))
    }

    async fn head(&self, room: RoomId) -> Result<Option<RoomHead>> {
        let found = self.one(&sql::HEAD, &[&uuid(room)], |row| Ok(rows::head(row)?.1)).await;
        found.map_err(|fault| fault.at("head"))
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<RoomHead>>> {
        self.find_heads(rooms).await.map_err(|fault| fault.at("heads"))
    }

    async fn find_message(&self, id: MessageId) -> Result<Option<MessageRef>> {
        self.message_ref(&sql::FIND_MESSAGE, &[&id.0]).await.map_err(|fault| fault.at("find_message"))
    }

    async fn find_client_message(&self, sender: UserId, client_id: &ClientMessageId) -> Result<Option<MessageRef>> {
        let found = self.look_ups.submit(LookUp { sender, client_id: client_id.clone() }).await;
        found.map_err(|fault| fault.at("find_client_message"))
    }

    async fn find_external(&self, external: &ExternalRef) -> Result<Option<MessageRef>> {
        if limits::check_external(external).is_err() {
            return Ok(None);
        }
        let parts = [&external.source, &external.chat, &external.message].map(|part| part.as_bytes());
        let params: Params<'_> = &[&parts[0], &parts[1], &parts[2]];
        self.message_ref(&sql::FIND_EXTERNAL, params).await.map_err(|fault| fault.at("find_external"))
    }

    async fn message_states(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<(Seq, Bytes)>> {
        let params: Params<'_> = &[&uuid(room), &bound(from), &bound(to)];
        let found = self.list(&sql::MESSAGE_STATES, params, |row| Ok((rows::seq(row, 0)?, rows::body(row, 1)?))).await;
        found.map_err(|fault| fault.at("message_states"))
    }

    async fn has_reaction(&self, room: RoomId, row: &ReactionRow) -> Result<bool> {
        let params: Params<'_> = &[&uuid(room), &bound(row.seq), &row.user.0, &row.reaction.as_bytes()];
        let found = self.db.read_one(&sql::HAS_REACTION, params).await;
        found.map(|row| row.is_some()).map_err(|fault| fault.at("has_reaction"))
    }

    async fn reactions(
        &self,
        room: RoomId,
        seq: Seq,
        after: Option<(UserId, String)>,
        limit: usize,
    ) -> Result<Vec<ReactionRow>> {
        // No reaction is empty: this is before the first one.
        let (user, reaction) = after.unwrap_or((UserId(i64::MIN), String::new()));
        let params: Params<'_> = &[&uuid(room), &bound(seq), &user.0, &reaction.as_bytes(), &page(limit)];
        let decode = |row: &_| Ok(ReactionRow { seq, user: rows::user(row, 0)?, reaction: rows::text(row, 1)? });
        self.list(&sql::REACTIONS, params, decode).await.map_err(|fault| fault.at("reactions"))
    }

    async fn pins(&self, room: RoomId, limit: usize) -> Result<Vec<(Seq, Seq)>> {
        let decode = |row: &_| Ok((rows::seq(row, 0)?, rows::seq(row, 1)?));
        let found = self.list(&sql::PINS, &[&uuid(room), &page(limit)], decode).await;
        found.map_err(|fault| fault.at("pins"))
    }
}

#[async_trait]
impl CursorStore for PostgresStore {
    async fn put_cursor(&self, consumer: &str, room: RoomId, seq: Seq) -> Result<()> {
        limits::check_name(consumer).map_err(|why| Fault::invalid(why).at("put_cursor"))?;
        let params: Params<'_> = &[&uuid(room), &consumer.as_bytes(), &bits(seq.0)];
        self.db.change(&sql::PUT_CURSOR, params).await.map(drop).map_err(|fault| fault.at("put_cursor"))
    }

    async fn cursor(&self, consumer: &str, room: RoomId) -> Result<Seq> {
        let found = self.one(&sql::CURSOR, &[&uuid(room), &consumer.as_bytes()], |row| rows::seq(row, 0)).await;
        found.map(Option::unwrap_or_default).map_err(|fault| fault.at("cursor"))
    }
}
