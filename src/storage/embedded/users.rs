//! What belongs to users: room lists, profiles, blocks, devices.

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    EmbeddedStore,
    engine::{Engine, Txn},
    fault::{Fault, Outcome},
    keys::{self, Key, Table},
    maybe_blocking,
    rooms::opaque,
    rows, span,
};
use crate::{
    domain::ids::{RoomId, Seq, UserId},
    storage::{DeviceRow, Direction, Result, RoomListEntry, RoomPrefs, StoreErrorKind, UserStore, limits},
};

fn hidden(user: UserId, room: RoomId, seq: Seq) -> Key {
    Key::of(Table::Hidden).user(user).room(room).seq(seq)
}

fn profile(user: UserId) -> Key {
    Key::of(Table::Profile).user(user)
}

fn block(by: UserId, whom: UserId) -> Key {
    Key::of(Table::Block).user(by).user(whom)
}

/// Puts or deletes a row that says all in its key; returns whether that changed anything.
fn set_present(txn: &mut Txn<'_>, key: fjall::Slice, is_there: bool) -> Outcome<bool> {
    let was_there = txn.get(&key)?.is_some();
    match (was_there, is_there) {
        (false, true) => txn.put(key, rows::present()),
        (true, false) => txn.delete(key),
        (false, false) | (true, true) => {}
    }
    Ok(was_there != is_there)
}

/// Forgets a device's token row, if the device is there.
fn forget_token(txn: &mut Txn<'_>, user: UserId, client_id: &str) -> Outcome<()> {
    if let Some(row) = txn.get(keys::device(user, client_id).as_ref())? {
        let device = rows::decode_device(client_id, &row)?;
        txn.delete(keys::token(&device.token_hash).slice());
    }
    Ok(())
}

fn put_device(txn: &mut Txn<'_>, user: UserId, device: &DeviceRow) -> Outcome<()> {
    forget_token(txn, user, &device.client_id)?;
    let token = keys::token(&device.token_hash);
    if let Some(row) = txn.get(token.as_ref())? {
        let (owner, client_id) = rows::decode_token_owner(&row)?;
        txn.delete(keys::device(owner, client_id).slice());
    }
    txn.put(token.slice(), rows::encode_token_owner(user, &device.client_id));
    txn.put(keys::device(user, &device.client_id).slice(), rows::encode_device(device));
    Ok(())
}

#[async_trait]
impl<E: Engine> UserStore for EmbeddedStore<E> {
    async fn rooms_of(&self, user: UserId, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomListEntry>> {
        let all = Key::of(Table::RoomList).user(user);
        let end = all.clone().end();
        let first = after.map_or(all, |after| keys::room_list(user, after).after());
        self.page(&first, &end, Direction::Forward, limit, |key, value| {
            let mut key = keys::parse(key, Table::RoomList, "room list key")?;
            key.user()?;
            rows::decode_listing(key.room()?, value)
        })
        .map_err(|fault| fault.at("rooms_of"))
    }

    async fn room_of(&self, user: UserId, room: RoomId) -> Result<Option<RoomListEntry>> {
        self.get(&keys::room_list(user, room), |row| rows::decode_listing(room, row))
            .map_err(|fault| fault.at("room_of"))
    }

    async fn put_prefs(&self, user: UserId, room: RoomId, prefs: RoomPrefs) -> Result<()> {
        let key = keys::room_list(user, room).slice();
        let put = self.change("put_prefs", move |txn| {
            let row = txn.get(&key)?.ok_or(StoreErrorKind::NotFound)?;
            let listing = rows::decode_listing(room, &row)?.listing;
            txn.put(key, rows::encode_listing(&listing, &prefs));
            Ok(())
        });
        put.await
    }

    async fn hide_message(&self, user: UserId, room: RoomId, seq: Seq) -> Result<bool> {
        let key = hidden(user, room, seq).slice();
        Ok(self.write("hide_message", move |txn| set_present(txn, key, true)).await?.0)
    }

    async fn hidden_messages(&self, user: UserId, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Seq>> {
        let (first, end) = (hidden(user, room, from), hidden(user, room, to).after());
        self.page(&first, &end, Direction::Forward, span(from, to), |key, _| {
            let mut key = keys::parse(key, Table::Hidden, "hidden message key")?;
            key.user()?;
            key.room()?;
            key.seq()
        })
        .map_err(|fault| fault.at("hidden_messages"))
    }

    async fn put_profile(&self, user: UserId, body: Bytes) -> Result<()> {
        self.put_opaque("put_profile", profile(user), body).await
    }

    async fn profiles(&self, users: &[UserId]) -> Result<Vec<Option<Bytes>>> {
        maybe_blocking(users.len(), || {
            users.iter().map(|user| self.get(&profile(*user), opaque)).collect::<Outcome<_>>()
        })
        .map_err(|fault| fault.at("profiles"))
    }

    async fn known_users(&self, after: UserId, limit: usize) -> Result<Vec<UserId>> {
        let end = Key::of(Table::Profile).end();
        self.page(&profile(after).after(), &end, Direction::Forward, limit, |key, _| {
            keys::parse(key, Table::Profile, "profile key")?.user()
        })
        .map_err(|fault| fault.at("known_users"))
    }

    async fn put_block(&self, by: UserId, whom: UserId, blocked: bool) -> Result<bool> {
        let key = block(by, whom).slice();
        Ok(self.write("put_block", move |txn| set_present(txn, key, blocked)).await?.0)
    }

    async fn has_block(&self, by: UserId, whom: UserId) -> Result<bool> {
        self.get(&block(by, whom), |_| Ok(())).map(|row| row.is_some()).map_err(|fault| fault.at("has_block"))
    }

    async fn blocks(&self, by: UserId, after: UserId, limit: usize) -> Result<Vec<UserId>> {
        let end = Key::of(Table::Block).user(by).end();
        self.page(&block(by, after).after(), &end, Direction::Forward, limit, |key, _| {
            let mut key = keys::parse(key, Table::Block, "block key")?;
            key.user()?;
            key.user()
        })
        .map_err(|fault| fault.at("blocks"))
    }

    async fn put_device(&self, user: UserId, device: &DeviceRow) -> Result<()> {
        limits::check_device(device).map_err(|why| Fault::invalid(why).at("put_device"))?;
        let device = device.clone();
        self.change("put_device", move |txn| put_device(txn, user, &device)).await
    }

    async fn remove_device(&self, user: UserId, client_id: &str) -> Result<()> {
        if limits::check_id(client_id).is_err() {
            return Ok(());
        }
        let client_id = client_id.to_owned();
        let remove = self.change("remove_device", move |txn| {
            forget_token(txn, user, &client_id)?;
            txn.delete(keys::device(user, &client_id).slice());
            Ok(())
        });
        remove.await
    }

    async fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>> {
        let all = Key::of(Table::Device).user(user);
        let end = all.clone().end();
        self.page(&all, &end, Direction::Forward, usize::MAX, |key, value| {
            let mut key = keys::parse(key, Table::Device, "device key")?;
            key.user()?;
            rows::decode_device(key.text()?, value)
        })
        .map_err(|fault| fault.at("devices"))
    }
}
