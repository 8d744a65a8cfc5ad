//! What belongs to users: profiles, blocks, devices, and their own settings and hidden messages of rooms.
//!
//! Users are those that have a profile: everyone who ever called has one.

use std::sync::Arc;

use futures_util::TryStreamExt as _;

use super::{
    Result, Work,
    end::End,
    overlay::NOBODY,
    pages::{Join, Pair, Rows, at_hand, pages},
    rooms::each,
};
use crate::{
    domain::ids::{RoomId, Seq, UserId},
    storage::{DeviceRow, RoomListEntry, RoomPrefs, StoreErrorKind},
};

/// Users of one task.
const USERS: usize = 64;

/// All users that have a profile.
pub(super) fn all_users(end: &End) -> Rows<'_, UserId> {
    pages(1_000, NOBODY, |user: &UserId| *user, |after| end.ask(move |s| s.known_users(after, 1_000)))
}

/// All users of the source, some at a time.
pub(super) fn chunks(end: &End) -> Rows<'_, Vec<UserId>> {
    Box::pin(all_users(end).try_chunks(USERS).map_err(|error| error.1))
}

/// Copies all users. Rooms come first: settings for a room need its membership.
pub(super) async fn copy(work: &Arc<Work>) -> Result<()> {
    let bring = |users: Vec<UserId>| {
        let work = Arc::clone(work);
        async move {
            bring_these(&work, &users).await?;
            Ok(users.len())
        }
    };
    each(work.options.parallel, chunks(&work.from), bring, |users| work.progress.add_users(users)).await
}

/// Brings everything of some users.
pub(super) async fn bring_these(work: &Work, users: &[UserId]) -> Result<()> {
    profiles(work, users).await?;
    for user in users {
        bring(work, *user).await?;
    }
    Ok(())
}

async fn profiles(work: &Work, users: &[UserId]) -> Result<()> {
    let from = work.from.ask(|s| s.profiles(users)).await?;
    let to = work.to.ask(|s| s.profiles(users)).await?;
    work.rows(users.len()).await;
    for ((user, from), to) in users.iter().zip(from).zip(to) {
        if let Some(profile) = from.filter(|profile| Some(profile) != to.as_ref()) {
            work.to.ask(|s| s.put_profile(*user, profile.clone())).await?;
        }
    }
    Ok(())
}

/// Everything of one user but the profile.
async fn bring(work: &Work, user: UserId) -> Result<()> {
    blocks(work, user).await?;
    devices(work, user).await?;
    let mut join =
        Join::new(all_entries(work, &work.from, user), all_entries(work, &work.to, user), |entry| entry.room);
    while let Some(pair) = join.next().await? {
        work.rows(1).await;
        let (room, prefs) = match pair {
            Pair::From(entry) => (entry.room, Some(entry.prefs).filter(|prefs| *prefs != RoomPrefs::default())),
            Pair::Both(from, to) => (from.room, Some(from.prefs).filter(|prefs| *prefs != to.prefs)),
            Pair::To(_) => continue,
        };
        if let Some(prefs) = prefs {
            put_prefs(work, user, room, prefs).await?;
        }
        hidden(work, user, room).await?;
    }
    Ok(())
}

async fn put_prefs(work: &Work, user: UserId, room: RoomId, prefs: RoomPrefs) -> Result<()> {
    match work.to.store().put_prefs(user, room, prefs).await {
        // The membership is newer than the room's turn: both come the next time.
        Err(error) if error.kind() == StoreErrorKind::NotFound => Ok(()),
        Ok(()) => Ok(()),
        Err(_) => work.to.ask(|s| s.put_prefs(user, room, prefs)).await,
    }
}

/// What a user has hidden in a room.
pub(super) async fn hidden(work: &Work, user: UserId, room: RoomId) -> Result<()> {
    let from = work.from.ask(|s| s.hidden_messages(user, room, Seq(0), Seq(u64::MAX))).await?;
    if from.is_empty() {
        return Ok(());
    }
    let to = work.to.ask(|s| s.hidden_messages(user, room, Seq(0), Seq(u64::MAX))).await?;
    for seq in from.into_iter().filter(|seq| to.binary_search(seq).is_err()) {
        work.to.ask(|s| s.hide_message(user, room, seq)).await?;
    }
    Ok(())
}

async fn blocks(work: &Work, by: UserId) -> Result<()> {
    let mut join = Join::new(all_blocks(work, &work.from, by), all_blocks(work, &work.to, by), |whom| *whom);
    while let Some(pair) = join.next().await? {
        match pair {
            Pair::From(whom) => work.to.ask(|s| s.put_block(by, whom, true)).await.map(drop)?,
            Pair::To(whom) => work.to.ask(|s| s.put_block(by, whom, false)).await.map(drop)?,
            Pair::Both(..) => {}
        }
    }
    Ok(())
}

async fn devices(work: &Work, user: UserId) -> Result<()> {
    let from = work.from.ask(|s| s.devices(user)).await?;
    let to = work.to.ask(|s| s.devices(user)).await?;
    let mut join = Join::new(at_hand(from), at_hand(to), |device: &DeviceRow| device.client_id.clone());
    while let Some(pair) = join.next().await? {
        match pair {
            Pair::From(device) => work.to.ask(|s| s.put_device(user, &device)).await?,
            Pair::Both(device, old) if device != old => work.to.ask(|s| s.put_device(user, &device)).await?,
            Pair::Both(..) => {}
            Pair::To(old) => work.to.ask(|s| s.remove_device(user, &old.client_id)).await?,
        }
    }
    Ok(())
}

pub(super) fn all_blocks<'a>(work: &'a Work, end: &'a End, by: UserId) -> Rows<'a, UserId> {
    let limit = work.options.page;
    pages(limit, NOBODY, |whom: &UserId| *whom, move |after| end.ask(move |s| s.blocks(by, after, limit)))
}

pub(super) fn all_entries<'a>(work: &'a Work, end: &'a End, user: UserId) -> Rows<'a, RoomListEntry> {
    let limit = work.options.page;
    let page = move |after: Option<RoomId>| end.ask(move |s| s.rooms_of(user, after, limit));
    pages(limit, None, |entry: &RoomListEntry| Some(entry.room), page)
}
