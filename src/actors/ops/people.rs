//! What belongs to users: blocks, devices, preferences, presence; and a room's synchronisation state.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

use super::{Node, profiles::UserProfile};
use crate::{
    actors::{error::Call, fair_share::Spent, room::RoomMsg, stream::MomentBody},
    domain::{
        ids::{Ordinal, RoomId, UserId},
        limits,
        reject::{Bounds, Flaw, Reject, text},
        room::{Author, Role},
    },
    ephemera::Presence,
    storage::{DeviceRow, Result as StoreResult, RoomPrefs, codec},
};

/// Blocked users that are told of.
const BLOCKED_MAX: usize = 10_000;

/// A device that wants push requests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The device.
    pub client_id: String,
    /// The push service's token.
    pub token: String,
    /// Number of the platform, at least 1.
    pub platform: u8,
    /// Milliseconds since the Unix epoch; set by the server.
    pub registered_at_ms: i64,
}

/// How far a room is synchronised with another system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SyncState {
    /// The caller's own position.
    pub position: String,
    /// Milliseconds since the Unix epoch.
    pub updated_at_ms: i64,
}

impl Node {
    /// Blocks or unblocks a user.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn block(&self, author: Author, whom: UserId, blocked: bool) -> Call<()> {
        if whom.0 < 1 {
            return Err(Reject::out_of("user_id", Bounds::From(1)).into());
        }
        if whom == author.user {
            return Err(Reject::invalid("user_id", Flaw::NotAllowedHere).into());
        }
        {
            // What the author's devices are told last must be what holds.
            let _lock = self.user_lock(author.user.min(whom)).lock().await;
            self.context.store.put_block(author.user, whom, blocked).await?;
            self.users.tell_own(author.user, None, MomentBody::Block { whom, blocked });
        }
        let Some(room) = self.context.store.find_p2p_room(author.user, whom).await? else {
            return Ok(());
        };
        // A room that is being woken may have read the blocks before this one: only an awake one can be told.
        if self.context.store.head(room).await?.is_some() {
            self.tell_blocks(author.user, whom, room).await?;
        }
        Ok(())
    }

    /// Tells the p2p room of a pair whether either side blocks the other.
    pub(super) async fn tell_blocks(&self, a: UserId, b: UserId, room: RoomId) -> Call<()> {
        // Others have the same lock: nobody waits for it while a room is woken.
        let handle = self.rooms.wake(room, false).await?;
        // One for both sides, and asked again within it: what the room is told last must be what holds.
        let _lock = self.user_lock(a.min(b)).lock().await;
        let blocked = self.either_blocks(a, b).await?;
        // A room that has just gone reads the blocks when it comes back.
        let _ = handle.tell(RoomMsg::Blocked(blocked));
        Ok(())
    }

    pub(super) async fn either_blocks(&self, a: UserId, b: UserId) -> StoreResult<bool> {
        Ok(self.context.store.has_block(a, b).await? || self.context.store.has_block(b, a).await?)
    }

    /// Whom the author has blocked, with their profiles.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn blocked_users(&self, author: Author) -> Call<Vec<(UserId, UserProfile)>> {
        let mut share = self.share(author.user).await?;
        let node = self.clone();
        let blocked = async move {
            let users = node.context.store.blocks(author.user, UserId(0), BLOCKED_MAX).await?;
            let profiles = node.profiles(&users).await?;
            let sharing: HashSet<UserId> =
                if author.admin { users.iter().copied().collect() } else { node.sharing(author, &users).await? };
            // To block somebody is not to learn their name.
            let named =
                |(user, profile)| (user, if sharing.contains(&user) { profile } else { UserProfile::default() });
            let spent = Spent::rows(users.len());
            Ok((users.into_iter().zip(profiles).map(named).collect(), spent))
        };
        share.run(blocked).await
    }

    /// Registers a device.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn register_device(&self, author: Author, device: Device) -> Call<()> {
        text("token.token", &device.token, 1, limits::DEVICE_TOKEN_BYTES_MAX)?;
        text("token.client_id", &device.client_id, 1, limits::CLIENT_ID_BYTES_MAX)?;
        let _lock = self.user_lock(author.user).lock().await;
        let devices = self.context.store.devices(author.user).await?;
        let known = devices.iter().any(|known| known.client_id == device.client_id);
        if !known && devices.len() >= limits::DEVICES_MAX {
            return Err(Reject::too_many("token", limits::DEVICES_MAX).into());
        }
        let row = DeviceRow {
            token_hash: Sha256::digest(device.token.as_bytes()).into(),
            body: codec::encode_device(&device.token, device.platform, self.now_ms()),
            client_id: device.client_id,
        };
        Ok(self.context.store.put_device(author.user, &row).await?)
    }

    /// Removes a device.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn remove_device(&self, author: Author, client_id: &str) -> Call<()> {
        text("client_id", client_id, 1, limits::CLIENT_ID_BYTES_MAX)?;
        Ok(self.context.store.remove_device(author.user, client_id).await?)
    }

    /// The author's devices.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn devices(&self, author: Author) -> Call<Vec<Device>> {
        let rows = self.context.store.devices(author.user).await?;
        let device = |row: DeviceRow| {
            let (token, platform, registered_at_ms) = codec::decode_device(&row.body)?;
            Ok(Device { client_id: row.client_id, token, platform, registered_at_ms })
        };
        rows.into_iter().map(device).collect()
    }

    /// Sets the author's own settings for a room; `None` leaves as it is. Returns them and whether the room is hidden.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn set_prefs(
        &self,
        author: Author,
        room: RoomId,
        pinned: Option<bool>,
        muted_until_ms: Option<i64>,
        hidden: Option<bool>,
    ) -> Call<(RoomPrefs, bool)> {
        let access = self.access(author, room).await?;
        access.member.ok_or(Reject::RoomNotFound)?;
        if pinned == Some(true) {
            let shared = self.users.warm(author.user).await?;
            let others = shared.list.lock().rooms.iter().filter(|(id, l)| **id != room && l.prefs.pinned).count();
            if others >= limits::PINNED_ROOMS_MAX {
                return Err(Reject::too_many("pinned", limits::PINNED_ROOMS_MAX).into());
            }
        }
        let now = self.now_ms();
        let prefs = self
            .change_prefs(author.user, room, access.head.n, |prefs| {
                prefs.pinned = pinned.unwrap_or(prefs.pinned);
                prefs.muted_until_ms =
                    muted_until_ms.map_or(prefs.muted_until_ms, |until| if until > now { until } else { 0 });
                match hidden {
                    Some(true) => prefs.hidden_at = Some(access.head.n),
                    Some(false) => prefs.hidden_at = None,
                    None => {}
                }
            })
            .await?;
        Ok((prefs, prefs.hidden_at.is_some_and(|n| access.head.n <= n)))
    }

    async fn change_prefs(
        &self,
        user: UserId,
        room: RoomId,
        newest: Ordinal,
        change: impl FnOnce(&mut RoomPrefs),
    ) -> Call<RoomPrefs> {
        let _lock = self.user_lock(user).lock().await;
        let entry = self.context.store.room_of(user, room).await?.ok_or(Reject::RoomNotFound)?;
        let mut prefs = entry.prefs;
        change(&mut prefs);
        if prefs != entry.prefs {
            self.context.store.put_prefs(user, room, prefs).await?;
            self.users.prefs_changed(user, room, prefs);
            let hidden = prefs.hidden_at.is_some_and(|n| newest <= n);
            self.users.tell_own(user, Some(room), MomentBody::Preferences { prefs, hidden });
        }
        Ok(prefs)
    }

    pub(super) async fn hide_room(&self, author: Author, room: RoomId) -> Call<()> {
        self.set_prefs(author, room, None, None, Some(true)).await.map(drop)
    }

    pub(super) async fn unhide(&self, user: UserId, room: RoomId) -> Call<()> {
        self.change_prefs(user, room, Ordinal(0), |prefs| prefs.hidden_at = None).await.map(drop)
    }

    /// [`Node::presence`] as far as the author is told of it; the others as if they were never seen.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn presence_for(&self, author: Author, users: &[UserId]) -> Call<Vec<(UserId, bool, Option<i64>)>> {
        let mut presence = self.presence(users).await;
        let seen = |(_, online, last_seen): &&(UserId, bool, Option<i64>)| *online || last_seen.is_some();
        // Of who was never seen there is nothing to tell, and nothing to look up.
        let seen: Vec<UserId> = presence.iter().filter(seen).map(|(user, ..)| *user).collect();
        let told: HashSet<UserId> = self.watchable(author, &seen).await?.into_iter().collect();
        for (user, online, last_seen) in &mut presence {
            if !told.contains(user) {
                (*online, *last_seen) = (false, None);
            }
        }
        Ok(presence)
    }

    /// Who is online on any node, and since when those who are not are gone (milliseconds since the Unix epoch, if
    /// known).
    pub async fn presence(&self, users: &[UserId]) -> Vec<(UserId, bool, Option<i64>)> {
        let elsewhere = self.context.ephemera.presence(users).await;
        let of = |(user, elsewhere): (&UserId, Presence)| {
            let (here, last_seen) = self.context.presence.of(*user);
            let online = here || elsewhere.online;
            (*user, online, last_seen.max(elsewhere.last_seen_ms).filter(|_| !online))
        };
        users.iter().zip(elsewhere).map(of).collect()
    }

    /// Sets how far a room is synchronised with another system; OWNER, ADMIN, or the admin role.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn set_sync_state(&self, author: Author, room: RoomId, source: &str, position: &str) -> Call<()> {
        text("source", source, 1, limits::SOURCE_BYTES_MAX)?;
        text("position", position, 0, limits::SYNC_POSITION_BYTES_MAX)?;
        let access = self.access(author, room).await?;
        let allowed = author.admin || access.member.is_some_and(|m| m.role <= Role::Admin);
        if !allowed {
            return Err(Reject::RoleTooLow.into());
        }
        let state = codec::encode_sync(position, self.now_ms());
        Ok(self.context.store.put_sync_state(room, source, state).await?)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn sync_state(&self, author: Author, room: RoomId, source: &str) -> Call<Option<SyncState>> {
        text("source", source, 1, limits::SOURCE_BYTES_MAX)?;
        self.access(author, room).await?;
        let state = self.context.store.sync_state(room, source).await?;
        let state = state.map(|body| codec::decode_sync(&body)).transpose()?;
        Ok(state.map(|(position, updated_at_ms)| SyncState { position, updated_at_ms }))
    }
}
