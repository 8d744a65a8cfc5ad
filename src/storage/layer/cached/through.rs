//! The contract, call by call: what the cache has an answer for, and what goes straight through.

use async_trait::async_trait;
use bytes::Bytes;

use super::{Cached, PAGE_MIN, by_head::Kind, form};
use crate::{
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, RoomId, Seq, UserId},
    storage::{
        CursorStore, DeviceRow, Direction, Durability, LogStore, MessageRef, Position, Projection, ReactionRow, Record,
        Result, RoomHead, RoomListEntry, RoomPrefs, RoomStore, Store, UserStore,
    },
};

pub(super) const LOG: Kind<Vec<Record>> =
    Kind { name: "log", encode: form::encode_records, decode: form::decode_records };
const STATES: Kind<Vec<(Seq, Bytes)>> =
    Kind { name: "states", encode: form::encode_states, decode: form::decode_states };
const MEMBERS: Kind<Vec<(UserId, Bytes)>> =
    Kind { name: "members", encode: form::encode_members, decode: form::decode_members };
const PINS: Kind<Vec<(Seq, Seq)>> = Kind { name: "pins", encode: form::encode_pins, decode: form::decode_pins };

#[async_trait]
impl CursorStore for Cached {
    async fn put_cursor(&self, consumer: &str, room: RoomId, seq: Seq) -> Result<()> {
        self.inner.put_cursor(consumer, room, seq).await
    }

    async fn cursor(&self, consumer: &str, room: RoomId) -> Result<Seq> {
        self.inner.cursor(consumer, room).await
    }
}

#[async_trait]
impl RoomStore for Cached {
    async fn room(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.inner.room(room).await
    }

    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        self.inner.rooms(after, limit).await
    }

    async fn members(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Bytes)>> {
        let read = || self.inner.members(room, after, limit);
        if limit < PAGE_MIN {
            return read().await;
        }
        self.of_head(MEMBERS, room, format!("members:{}:{limit}", after.0), read).await
    }

    async fn member(&self, room: RoomId, user: UserId) -> Result<Option<Bytes>> {
        self.inner.member(room, user).await
    }

    async fn positions(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Position)>> {
        self.inner.positions(room, after, limit).await
    }

    async fn position(&self, room: RoomId, user: UserId) -> Result<Position> {
        self.inner.position(room, user).await
    }

    async fn p2p_room(&self, a: UserId, b: UserId, fresh: RoomId) -> Result<RoomId> {
        self.inner.p2p_room(a, b, fresh).await
    }

    async fn find_p2p_room(&self, a: UserId, b: UserId) -> Result<Option<RoomId>> {
        self.inner.find_p2p_room(a, b).await
    }

    async fn put_sync_state(&self, room: RoomId, source: &str, state: Bytes) -> Result<()> {
        self.inner.put_sync_state(room, source, state).await
    }

    async fn sync_state(&self, room: RoomId, source: &str) -> Result<Option<Bytes>> {
        self.inner.sync_state(room, source).await
    }

    async fn sync_states(&self, room: RoomId) -> Result<Vec<(String, Bytes)>> {
        self.inner.sync_states(room).await
    }

    async fn put_join_job(&self, room: RoomId, state: Option<Bytes>) -> Result<()> {
        self.inner.put_join_job(room, state).await
    }

    async fn join_job(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.inner.join_job(room).await
    }

    async fn join_jobs(&self) -> Result<Vec<(RoomId, Bytes)>> {
        self.inner.join_jobs().await
    }
}

#[async_trait]
impl UserStore for Cached {
    async fn rooms_of(&self, user: UserId, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomListEntry>> {
        self.inner.rooms_of(user, after, limit).await
    }

    async fn room_of(&self, user: UserId, room: RoomId) -> Result<Option<RoomListEntry>> {
        self.inner.room_of(user, room).await
    }

    async fn put_prefs(&self, user: UserId, room: RoomId, prefs: RoomPrefs) -> Result<()> {
        self.inner.put_prefs(user, room, prefs).await
    }

    async fn hide_message(&self, user: UserId, room: RoomId, seq: Seq) -> Result<bool> {
        self.inner.hide_message(user, room, seq).await
    }

    async fn hidden_messages(&self, user: UserId, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Seq>> {
        self.inner.hidden_messages(user, room, from, to).await
    }

    async fn put_profile(&self, user: UserId, profile: Bytes) -> Result<()> {
        self.inner.put_profile(user, profile).await
    }

    async fn profiles(&self, users: &[UserId]) -> Result<Vec<Option<Bytes>>> {
        self.inner.profiles(users).await
    }

    async fn known_users(&self, after: UserId, limit: usize) -> Result<Vec<UserId>> {
        self.inner.known_users(after, limit).await
    }

    async fn put_block(&self, by: UserId, whom: UserId, blocked: bool) -> Result<bool> {
        self.inner.put_block(by, whom, blocked).await
    }

    async fn has_block(&self, by: UserId, whom: UserId) -> Result<bool> {
        self.inner.has_block(by, whom).await
    }

    async fn blocks(&self, by: UserId, after: UserId, limit: usize) -> Result<Vec<UserId>> {
        self.inner.blocks(by, after, limit).await
    }

    async fn put_device(&self, user: UserId, device: &DeviceRow) -> Result<()> {
        self.inner.put_device(user, device).await
    }

    async fn remove_device(&self, user: UserId, client_id: &str) -> Result<()> {
        self.inner.remove_device(user, client_id).await
    }

    async fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>> {
        self.inner.devices(user).await
    }
}

#[async_trait]
impl LogStore for Cached {
    async fn claim(&self, room: RoomId) -> Result<Epoch> {
        self.inner.claim(room).await
    }

    async fn release(&self, room: RoomId, epoch: Epoch) -> Result<()> {
        self.inner.release(room, epoch).await
    }

    async fn active_rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        self.inner.active_rooms(after, limit).await
    }

    async fn read_log(&self, room: RoomId, from: Seq, direction: Direction, limit: usize) -> Result<Vec<Record>> {
        let read = || self.inner.read_log(room, from, direction, limit);
        if limit < PAGE_MIN {
            return read().await;
        }
        self.of_head(LOG, room, format!("log:{}:{direction:?}:{limit}", from.0), read).await
    }

    async fn record(&self, room: RoomId, seq: Seq) -> Result<Option<Record>> {
        self.inner.record(room, seq).await
    }

    async fn head(&self, room: RoomId) -> Result<Option<RoomHead>> {
        self.inner.head(room).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<RoomHead>>> {
        self.inner.heads(rooms).await
    }

    async fn find_message(&self, id: MessageId) -> Result<Option<MessageRef>> {
        self.locate(id).await
    }

    async fn find_client_message(&self, sender: UserId, client_id: &ClientMessageId) -> Result<Option<MessageRef>> {
        self.inner.find_client_message(sender, client_id).await
    }

    async fn find_external(&self, external: &ExternalRef) -> Result<Option<MessageRef>> {
        self.inner.find_external(external).await
    }

    async fn message_states(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<(Seq, Bytes)>> {
        let read = || self.inner.message_states(room, from, to);
        if to.0.saturating_sub(from.0) < PAGE_MIN as u64 {
            return read().await;
        }
        self.of_head(STATES, room, format!("states:{}:{}", from.0, to.0), read).await
    }

    async fn has_reaction(&self, room: RoomId, row: &ReactionRow) -> Result<bool> {
        self.inner.has_reaction(room, row).await
    }

    async fn reactions(
        &self,
        room: RoomId,
        seq: Seq,
        after: Option<(UserId, String)>,
        limit: usize,
    ) -> Result<Vec<ReactionRow>> {
        self.inner.reactions(room, seq, after, limit).await
    }

    async fn pins(&self, room: RoomId, limit: usize) -> Result<Vec<(Seq, Seq)>> {
        self.of_head(PINS, room, format!("pins:{limit}"), || self.inner.pins(room, limit)).await
    }

    async fn append(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        let result = self.inner.append(room, epoch, records, projection).await;
        self.appended(room, records, projection, &result).await;
        result
    }
}

#[async_trait]
impl Store for Cached {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
