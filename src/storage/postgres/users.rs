//! What belongs to users.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    PostgresStore,
    fault::{Again, Fault, Outcome},
    number::{bits, bound, limit as page, room_after},
    pool::{Params, Retries, change_within},
    rows::{self, uuid},
    statements as sql,
};
use crate::{
    domain::ids::{RoomId, Seq, UserId},
    storage::{DeviceRow, Result, RoomListEntry, RoomPrefs, StoreErrorKind, UserStore, limits},
};

impl PostgresStore {
    /// Registers a device, in one transaction.
    async fn register(&self, user: UserId, device: &DeviceRow) -> Outcome<()> {
        let (client_id, token): (&[u8], &[u8]) = (device.client_id.as_bytes(), &device.token_hash);
        let mut client = self.db.client().await?;
        let txn = client.transaction().await?;
        change_within(&txn, &sql::TAKE_TOKEN, &[&user.0, &client_id, &token]).await?;
        change_within(&txn, &sql::PUT_DEVICE, &[&user.0, &client_id, &token, &&device.body[..]]).await?;
        Ok(txn.commit().await?)
    }

    async fn find_profiles(&self, users: &[UserId]) -> Outcome<Vec<Option<Bytes>>> {
        let ids: Vec<i64> = users.iter().map(|user| user.0).collect();
        let found = self.db.read(&sql::PROFILES, &[&ids]).await?;
        let decode = |row| Ok((rows::user(row, 0)?, rows::body(row, 1)?));
        let profiles: HashMap<_, _> = found.iter().map(decode).collect::<Outcome<_>>()?;
        Ok(users.iter().map(|user| profiles.get(user).cloned()).collect())
    }
}

#[async_trait]
impl UserStore for PostgresStore {
    async fn rooms_of(&self, user: UserId, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomListEntry>> {
        let Some(first) = room_after(after) else {
            return Ok(Vec::new());
        };
        let found = self.list(&sql::ROOMS_OF, &[&user.0, &uuid(first), &page(limit)], rows::list_entry).await;
        found.map_err(|fault| fault.at("rooms_of"))
    }

    async fn room_of(&self, user: UserId, room: RoomId) -> Result<Option<RoomListEntry>> {
        let found = self.one(&sql::ROOM_OF, &[&user.0, &uuid(room)], rows::list_entry).await;
        found.map_err(|fault| fault.at("room_of"))
    }

    async fn put_prefs(&self, user: UserId, room: RoomId, prefs: RoomPrefs) -> Result<()> {
        let hidden_at = prefs.hidden_at.map(|n| bits(n.0));
        let hidden_messages = i64::from(prefs.hidden_messages);
        let params: Params<'_> =
            &[&uuid(room), &user.0, &prefs.pinned, &prefs.muted_until_ms, &hidden_at, &hidden_messages];
        match self.db.change(&sql::PUT_PREFS, params).await {
            Ok(0) => Err(Fault::because(StoreErrorKind::NotFound, "no such membership")),
            other => other.map(drop),
        }
        .map_err(|fault| fault.at("put_prefs"))
    }

    async fn hide_message(&self, user: UserId, room: RoomId, seq: Seq) -> Result<bool> {
        if bits(seq.0) < 0 {
            return Err(Fault::invalid("no log reaches this seq").at("hide_message"));
        }
        let hidden = self.db.change(&sql::HIDE_MESSAGE, &[&user.0, &uuid(room), &bits(seq.0)]).await;
        hidden.map(|rows| rows > 0).map_err(|fault| fault.at("hide_message"))
    }

    async fn hidden_messages(&self, user: UserId, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Seq>> {
        let params: Params<'_> = &[&user.0, &uuid(room), &bound(from), &bound(to)];
        let found = self.list(&sql::HIDDEN_MESSAGES, params, |row| rows::seq(row, 0)).await;
        found.map_err(|fault| fault.at("hidden_messages"))
    }

    async fn put_profile(&self, user: UserId, profile: Bytes) -> Result<()> {
        limits::check_body(&profile).map_err(|why| Fault::invalid(why).at("put_profile"))?;
        let put = self.db.change(&sql::PUT_PROFILE, &[&user.0, &&profile[..]]).await;
        put.map(drop).map_err(|fault| fault.at("put_profile"))
    }

    async fn profiles(&self, users: &[UserId]) -> Result<Vec<Option<Bytes>>> {
        self.find_profiles(users).await.map_err(|fault| fault.at("profiles"))
    }

    async fn known_users(&self, after: UserId, limit: usize) -> Result<Vec<UserId>> {
        let found = self.list(&sql::KNOWN_USERS, &[&after.0, &page(limit)], |row| rows::user(row, 0)).await;
        found.map_err(|fault| fault.at("known_users"))
    }

    async fn put_block(&self, by: UserId, whom: UserId, blocked: bool) -> Result<bool> {
        let statement = if blocked { &sql::BLOCK } else { &sql::UNBLOCK };
        let put = self.db.change(statement, &[&by.0, &whom.0]).await;
        put.map(|rows| rows > 0).map_err(|fault| fault.at("put_block"))
    }

    async fn has_block(&self, by: UserId, whom: UserId) -> Result<bool> {
        let found = self.db.read_one(&sql::HAS_BLOCK, &[&by.0, &whom.0]).await;
        found.map(|row| row.is_some()).map_err(|fault| fault.at("has_block"))
    }

    async fn blocks(&self, by: UserId, after: UserId, limit: usize) -> Result<Vec<UserId>> {
        let found = self.list(&sql::BLOCKS, &[&by.0, &after.0, &page(limit)], |row| rows::user(row, 0)).await;
        found.map_err(|fault| fault.at("blocks"))
    }

    async fn put_device(&self, user: UserId, device: &DeviceRow) -> Result<()> {
        limits::check_device(device).map_err(|why| Fault::invalid(why).at("put_device"))?;
        let mut retries = Retries::of(Again::Everything);
        loop {
            // Two who register one token at once: the second one takes it from the first in its next try.
            let registered = self.register(user, device).await.map_err(|fault| match fault.constraint() {
                Some("device_token") => fault.worth_a_try(),
                _ => fault,
            });
            match registered {
                Err(fault) if retries.after(&fault).await => {}
                ended => return ended.map_err(|fault| fault.at("put_device")),
            }
        }
    }

    async fn remove_device(&self, user: UserId, client_id: &str) -> Result<()> {
        let removed = self.db.change(&sql::REMOVE_DEVICE, &[&user.0, &client_id.as_bytes()]).await;
        removed.map(drop).map_err(|fault| fault.at("remove_device"))
    }

    async fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>> {
        self.list(&sql::DEVICES, &[&user.0], rows::device).await.map_err(|fault| fault.at("devices"))
    }
}
