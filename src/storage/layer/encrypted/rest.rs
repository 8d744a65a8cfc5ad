//! Rooms, users and cursors, sealed.

use async_trait::async_trait;
use bytes::Bytes;

use super::{Encrypted, Row};
use crate::{
    domain::ids::{RoomId, Seq, UserId},
    storage::{CursorStore, DeviceRow, Position, Result, RoomListEntry, RoomPrefs, RoomStore, Store, UserStore},
};

#[async_trait]
impl RoomStore for Encrypted {
    async fn room(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.open_some("room", Row::Room(room), self.inner.room(room).await?)
    }

    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        self.inner.rooms(after, limit).await
    }

    async fn members(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Bytes)>> {
        let sealed = self.inner.members(room, after, limit).await?;
        let open = |(user, body): (UserId, Bytes)| Ok((user, self.open("members", Row::Member(room, user), &body)?));
        sealed.into_iter().map(open).collect()
    }

    async fn member(&self, room: RoomId, user: UserId) -> Result<Option<Bytes>> {
        self.open_some("member", Row::Member(room, user), self.inner.member(room, user).await?)
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
        self.inner.put_sync_state(room, source, self.seal(Row::Sync(room, source), &state)).await
    }

    async fn sync_state(&self, room: RoomId, source: &str) -> Result<Option<Bytes>> {
        self.open_some("sync_state", Row::Sync(room, source), self.inner.sync_state(room, source).await?)
    }

    async fn sync_states(&self, room: RoomId) -> Result<Vec<(String, Bytes)>> {
        let sealed = self.inner.sync_states(room).await?;
        let open = |(source, body): (String, Bytes)| {
            let body = self.open("sync_states", Row::Sync(room, &source), &body)?;
            Ok((source, body))
        };
        sealed.into_iter().map(open).collect()
    }

    async fn put_join_job(&self, room: RoomId, state: Option<Bytes>) -> Result<()> {
        let sealed = state.map(|state| self.seal(Row::JoinJob(room), &state));
        self.inner.put_join_job(room, sealed).await
    }

    async fn join_job(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.open_some("join_job", Row::JoinJob(room), self.inner.join_job(room).await?)
    }

    async fn join_jobs(&self) -> Result<Vec<(RoomId, Bytes)>> {
        let sealed = self.inner.join_jobs().await?;
        let open = |(room, body): (RoomId, Bytes)| Ok((room, self.open("join_jobs", Row::JoinJob(room), &body)?));
        sealed.into_iter().map(open).collect()
    }
}

#[async_trait]
impl UserStore for Encrypted {
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
        self.inner.put_profile(user, self.seal(Row::Profile(user), &profile)).await
    }

    async fn profiles(&self, users: &[UserId]) -> Result<Vec<Option<Bytes>>> {
        let sealed = self.inner.profiles(users).await?;
        let rows = users.iter().map(|user| Row::Profile(*user));
        rows.zip(sealed).map(|(row, body)| self.open_some("profiles", row, body)).collect()
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
        let body = self.seal(Row::Device(user, &device.client_id), &device.body);
        self.inner.put_device(user, &DeviceRow { body, ..device.clone() }).await
    }

    async fn remove_device(&self, user: UserId, client_id: &str) -> Result<()> {
        self.inner.remove_device(user, client_id).await
    }

    async fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>> {
        let open = |device: DeviceRow| {
            let body = self.open("devices", Row::Device(user, &device.client_id), &device.body)?;
            Ok(DeviceRow { body, ..device })
        };
        self.inner.devices(user).await?.into_iter().map(open).collect()
    }
}

#[async_trait]
impl CursorStore for Encrypted {
    async fn put_cursor(&self, consumer: &str, room: RoomId, seq: Seq) -> Result<()> {
        self.inner.put_cursor(consumer, room, seq).await
    }

    async fn cursor(&self, consumer: &str, room: RoomId) -> Result<Seq> {
        self.inner.cursor(consumer, room).await
    }
}

#[async_trait]
impl Store for Encrypted {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
