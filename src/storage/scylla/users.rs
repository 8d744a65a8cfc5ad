//! What belongs to users: room lists, profiles, blocks, devices.
//!
//! These rows have no log. Who changes one last wins, whatever the writers' clocks say ([`super::clocks`]); where the answer
//! says whether something was changed, a lightweight transaction decides.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::{DeserializeRow, value::CqlTimestamp};

use super::{
    Core, ScyllaStore,
    clocks::{NO_DEVICE, NO_TOKEN},
    error,
    listing::{bucket, merged},
    rows::{bound, limit as sql_limit, number, room_of_key, uuid},
    session::Write,
};
use crate::{
    domain::ids::{Ordinal, RoomId, Seq, UserId},
    storage::{
        DeviceRow, Listing, Outcome, Result, RoomListEntry, RoomPrefs, StoreError, StoreErrorKind, UserStore, limits,
    },
};

/// Rows read at once.
const AT_ONCE: usize = 64;

#[derive(DeserializeRow)]
struct ListingGet {
    room_key: Vec<u8>,
    room_type: Option<i16>,
    partner: Option<i64>,
    left_stamp: Option<i64>,
    pinned: Option<bool>,
    muted_until: Option<CqlTimestamp>,
    hidden_at: Option<i64>,
    hidden_messages: Option<i64>,
    prefs_left_stamp: Option<i64>,
}

/// Whether the user is a member, when they left last, and the timestamp of their preferences.
type PrefsGet = (Option<i16>, Option<i64>, Option<i64>);

impl ListingGet {
    /// The entry; none if the user is no member any more.
    fn entry(self, op: &'static str) -> Result<Option<RoomListEntry>> {
        let Some(room_type) = self.room_type else { return Ok(None) };
        let room_type = u8::try_from(room_type).map_err(|_| error::corrupt(op, "a room's type is a byte"))?;
        // Preferences set before the user left last are not theirs any more.
        let has_prefs = self.prefs_left_stamp == Some(self.left_stamp.unwrap_or_default());
        let prefs = RoomPrefs {
            pinned: self.pinned.unwrap_or_default(),
            muted_until_ms: self.muted_until.map_or(0, |at| at.0),
            hidden_at: self.hidden_at.map(|n| Ordinal(n.cast_unsigned())),
            hidden_messages: u32::try_from(self.hidden_messages.unwrap_or_default()).unwrap_or(u32::MAX),
        };
        Ok(Some(RoomListEntry {
            room: room_of_key(op, &self.room_key)?,
            listing: Listing { room_type, partner: UserId(self.partner.unwrap_or_default()) },
            prefs: if has_prefs { prefs } else { RoomPrefs::default() },
        }))
    }
}

impl Core {
    async fn listing(&self, op: &'static str, user: UserId, room: RoomId) -> Result<Option<ListingGet>> {
        self.check_open(op)?;
        self.database.row::<ListingGet>(op, &self.statements.listing_read, (user.0, &room.0[..])).await
    }

    /// Carries out a transaction until its outcome is known. A second attempt finds what the first one did, so it can
    /// only say that something changed if the first did not happen.
    pub(super) async fn changed<F>(&self, mut transact: impl FnMut() -> F) -> Result<bool>
    where
        F: Future<Output = Result<bool>>,
    {
        let (mut failed, mut is_in_doubt) = (None, false);
        for _ in 0..4 {
            match transact().await {
                // After an attempt whose outcome is not known, "nothing changed" may be that attempt's doing.
                Ok(changed) => return Ok(changed || is_in_doubt),
                Err(error) if error.kind() == StoreErrorKind::Invalid => return Err(error),
                Err(error) => {
                    is_in_doubt |= error.outcome() == Outcome::Unknown;
                    failed = Some(error);
                }
            }
        }
        let failed = failed.map(|failed| if is_in_doubt { error::open("transaction", failed) } else { failed });
        Err(failed.unwrap_or_else(|| StoreError::new(StoreErrorKind::Timeout, "transaction")))
    }

    async fn token_owner(&self, op: &'static str, hash: [u8; 32]) -> Result<Option<Owner>> {
        self.database.row::<Owner>(op, &self.statements.token_read, (&hash[..],)).await
    }
}

/// User and client id that a token leads to, and the timestamp of that.
type Owner = ((i64, String), i64);

/// What timestamps are at a device's place.
#[derive(Debug, Default)]
struct DeviceTimes {
    /// The device's token, and its timestamp; none if it is not there.
    device: Option<([u8; 32], i64)>,
    /// No device of the user was removed with a greater one.
    floor: Option<i64>,
}

#[async_trait]
impl UserStore for ScyllaStore {
    async fn rooms_of(&self, user: UserId, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomListEntry>> {
        const OP: &str = "rooms_of";
        self.core.check_open(OP)?;
        let after = after.map_or(Vec::new(), |room| room.0.to_vec());
        let row = |row: ListingGet| row.entry(OP);
        self.core.database.rows(OP, &self.core.statements.listing_page, (user.0, after), limit, row).await
    }

    async fn room_of(&self, user: UserId, room: RoomId) -> Result<Option<RoomListEntry>> {
        const OP: &str = "room_of";
        self.core.listing(OP, user, room).await?.map_or(Ok(None), |row| row.entry(OP))
    }

    async fn put_prefs(&self, user: UserId, room: RoomId, prefs: RoomPrefs) -> Result<()> {
        const OP: &str = "put_prefs";
        self.core.check_open(OP)?;
        let key = (user.0, &room.0[..]);
        let row = self.core.database.row::<PrefsGet>(OP, &self.core.statements.listing_prefs, key).await?;
        let Some((Some(_), left_stamp, seen)) = row else { return Err(StoreError::new(StoreErrorKind::NotFound, OP)) };
        let values = (
            self.core.clocks.after(key, [seen]),
            prefs.pinned,
            CqlTimestamp(prefs.muted_until_ms),
            prefs.hidden_at.map(|n| number(n.0)),
            i64::from(prefs.hidden_messages),
            left_stamp.unwrap_or_default(),
            user.0,
            &room.0[..],
        );
        self.core.database.write(OP, &self.core.statements.prefs_put, values).await
    }

    async fn hide_message(&self, user: UserId, room: RoomId, seq: Seq) -> Result<bool> {
        const OP: &str = "hide_message";
        self.core.check_open(OP)?;
        let row = (user.0, uuid(room), number(seq.0));
        self.core.changed(|| self.core.database.transact(OP, &self.core.statements.hidden_put, row)).await
    }

    async fn hidden_messages(&self, user: UserId, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Seq>> {
        const OP: &str = "hidden_messages";
        self.core.check_open(OP)?;
        if from > to {
            return Ok(Vec::new());
        }
        let key = (user.0, uuid(room), bound(from.0), bound(to.0));
        let row = |(seq,): (i64,)| Ok(Some(Seq(seq.cast_unsigned())));
        self.core.database.rows(OP, &self.core.statements.hidden_range, key, usize::MAX, row).await
    }

    async fn put_profile(&self, user: UserId, profile: Bytes) -> Result<()> {
        const OP: &str = "put_profile";
        self.core.check_open(OP)?;
        limits::check_body(&profile).map_err(|why| error::invalid(OP, why))?;
        let statements = &self.core.statements;
        let list = self.core.database.write(OP, &statements.user_put, (bucket(&user.0.to_be_bytes()), user.0));
        let put = async {
            let seen = self.core.time(OP, &statements.profile_time, (user.0,)).await?;
            let at = self.core.clocks.after(user.0, [seen]);
            self.core.database.write(OP, &statements.profile_put, (user.0, profile, at)).await
        };
        tokio::try_join!(list, put).map(drop)
    }

    async fn profiles(&self, users: &[UserId]) -> Result<Vec<Option<Bytes>>> {
        const OP: &str = "profiles";
        self.core.check_open(OP)?;
        let read = |user: UserId| self.core.opaque(OP, &self.core.statements.profile_read, (user.0,));
        stream::iter(users.to_vec()).map(read).buffered(AT_ONCE).try_collect().await
    }

    async fn known_users(&self, after: UserId, limit: usize) -> Result<Vec<UserId>> {
        const OP: &str = "known_users";
        self.core.check_open(OP)?;
        let page = |bucket| {
            let key = (bucket, after.0, sql_limit(limit));
            let row = |(user,): (i64,)| Ok(Some(UserId(user)));
            self.core.database.rows(OP, &self.core.statements.users_page, key, limit, row)
        };
        merged(limit, page).await
    }

    async fn put_block(&self, by: UserId, whom: UserId, blocked: bool) -> Result<bool> {
        const OP: &str = "put_block";
        self.core.check_open(OP)?;
        let statements = &self.core.statements;
        let statement = if blocked { &statements.block_put } else { &statements.block_remove };
        self.core.changed(|| self.core.database.transact(OP, statement, (by.0, whom.0))).await
    }

    async fn has_block(&self, by: UserId, whom: UserId) -> Result<bool> {
        const OP: &str = "has_block";
        self.core.check_open(OP)?;
        let key = (by.0, whom.0);
        Ok(self.core.database.row::<(i64,)>(OP, &self.core.statements.block_read, key).await?.is_some())
    }

    async fn blocks(&self, by: UserId, after: UserId, limit: usize) -> Result<Vec<UserId>> {
        const OP: &str = "blocks";
        self.core.check_open(OP)?;
        if limit == 0 {
            return Ok(Vec::new());
        }
        let key = (by.0, after.0, sql_limit(limit));
        let row = |(user,): (i64,)| Ok(Some(UserId(user)));
        self.core.database.rows(OP, &self.core.statements.blocks_page, key, limit, row).await
    }

    async fn put_device(&self, user: UserId, device: &DeviceRow) -> Result<()> {
        const OP: &str = "put_device";
        self.core.check_open(OP)?;
        limits::check_device(device).map_err(|why| error::invalid(OP, why))?;
        let statements = &self.core.statements;
        let hash = &device.token_hash[..];
        let before = self.core.token_owner(OP, device.token_hash);
        let (before, there) = tokio::try_join!(before, self.core.device_times(OP, user, &device.client_id))?;
        let at = self.core.clocks.after(user.0, [there.floor, there.device.map(|(_, at)| at)]);
        let row = (user.0, device.client_id.as_str(), hash, device.body.clone(), at);
        self.core.database.write(OP, &statements.device_put, row).await?;
        // From here on the token leads to this device, and the one that had it does not count.
        let owner = (user.0, device.client_id.as_str());
        let at = self.core.clocks.after(hash, [before.as_ref().map(|(_, at)| *at)]);
        self.core.database.write(OP, &statements.token_put, (hash, owner, at)).await?;
        let Some(((other, client_id), _)) = before.filter(|((user, client), _)| (*user, client.as_str()) != owner)
        else {
            return Ok(());
        };
        match self.core.device_times(OP, UserId(other), &client_id).await?.device {
            // Just what was seen: the other may have registered it again meanwhile, and been told so.
            Some((token, at)) if token == device.token_hash => {
                self.core.take_device(OP, UserId(other), &client_id, at).await
            }
            _ => Ok(()),
        }
    }

    async fn remove_device(&self, user: UserId, client_id: &str) -> Result<()> {
        const OP: &str = "remove_device";
        self.core.check_open(OP)?;
        if limits::check_id(client_id).is_err() {
            return Ok(());
        }
        let there = self.core.device_times(OP, user, client_id).await?;
        let at = self.core.clocks.after(user.0, [there.floor, there.device.map(|(_, at)| at)]);
        self.core.take_device(OP, user, client_id, at).await
    }

    async fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>> {
        const OP: &str = "devices";
        self.core.check_open(OP)?;
        let rows = self.core.devices_of(OP, user).await?;
        let hashes: Vec<[u8; 32]> = rows.iter().map(|row| row.token_hash).collect();
        let owner = |hash: [u8; 32]| self.core.token_owner(OP, hash);
        let owners: Vec<_> = stream::iter(hashes).map(owner).buffered(AT_ONCE).try_collect().await?;
        let counts = |(row, owner): (DeviceRow, Option<Owner>)| {
            let (owner, _) = owner?;
            (owner.0 == user.0 && owner.1 == row.client_id).then_some(row)
        };
        Ok(rows.into_iter().zip(owners).filter_map(counts).collect())
    }
}

impl Core {
    async fn device_times(&self, op: &'static str, user: UserId, client_id: &str) -> Result<DeviceTimes> {
        let mut found = DeviceTimes::default();
        let row = |(client, token, at): (String, Vec<u8>, i64)| {
            if client == NO_DEVICE {
                found.floor = Some(at);
            } else {
                found.device = Some((token_hash(op, token)?, at));
            }
            Ok(None::<()>)
        };
        let key = (user.0, NO_DEVICE, client_id);
        self.database.rows(op, &self.statements.device_times, key, usize::MAX, row).await?;
        Ok(found)
    }

    /// Removes a device by a timestamp, which becomes the user's floor: in one mutation.
    async fn take_device(&self, op: &'static str, user: UserId, client_id: &str, at: i64) -> Result<()> {
        let floor = (user.0, NO_DEVICE, NO_TOKEN.to_vec(), Bytes::new(), at);
        let removed = (at, user.0, client_id.to_owned());
        let statements = &self.statements;
        let writes: Vec<Write> = vec![
            (statements.device_put.clone(), Box::new(floor)),
            (statements.device_remove.clone(), Box::new(removed)),
        ];
        self.database.write_all(op, writes).await
    }

    /// A user's devices, also those whose token has gone to another.
    async fn devices_of(&self, op: &'static str, user: UserId) -> Result<Vec<DeviceRow>> {
        let row = |(client_id, hash, body): (String, Vec<u8>, Option<Vec<u8>>)| {
            if client_id == NO_DEVICE {
                return Ok(None);
            }
            let body = Bytes::from(body.unwrap_or_default());
            Ok(Some(DeviceRow { client_id, token_hash: token_hash(op, hash)?, body }))
        };
        self.database.rows(op, &self.statements.devices_all, (user.0,), usize::MAX, row).await
    }
}

fn token_hash(op: &'static str, bytes: Vec<u8>) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| error::corrupt(op, "a token's hash has 32 bytes"))
}
