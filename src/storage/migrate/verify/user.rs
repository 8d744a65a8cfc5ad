//! Users: profiles, blocks, devices, room lists.

use std::sync::Arc;

use futures_util::TryStreamExt as _;

use super::{Found, Place, What, compare, joined};
use crate::{
    domain::ids::UserId,
    storage::{
        DeviceRow,
        migrate::{
            Result, Work,
            pages::{Join, Pair, at_hand},
            rooms::each,
            users::{all_blocks, all_entries, all_users},
        },
    },
};

/// Users of one task.
const USERS: usize = 64;

/// Users that either store knows, some at a time.
pub(super) async fn compare_all(work: &Arc<Work>, found: &Arc<Found>, mut done: impl FnMut(u64)) -> Result<()> {
    let users = joined(all_users(&work.from), all_users(&work.to));
    let users = users.map_ok(|pair| match pair {
        Pair::From(user) | Pair::To(user) | Pair::Both(user, _) => user,
    });
    let chunks = Box::pin(users.try_chunks(USERS).map_err(|error| error.1));
    let compare = |users: Vec<UserId>| {
        let (work, found) = (Arc::clone(work), Arc::clone(found));
        async move {
            let place = Place { found: &found, room: None, user: None };
            profiles(&work, place, &users).await?;
            for user in &users {
                compare(&work, place.of(*user), *user).await?;
            }
            Ok(users.len())
        }
    };
    let count = |users: usize| {
        work.progress.add_users(users);
        done(users as u64);
    };
    each(work.options.parallel, chunks, compare, count).await
}

async fn profiles(work: &Work, place: Place<'_>, users: &[UserId]) -> Result<()> {
    let from = work.from.ask(|s| s.profiles(users)).await?;
    let to = work.to.ask(|s| s.profiles(users)).await?;
    work.rows(users.len()).await;
    for ((user, from), to) in users.iter().zip(from).zip(to) {
        let place = place.of(*user);
        match (from, to) {
            (None, None) => {}
            (Some(_), None) => place.differs("profile", "", What::Missing),
            (None, Some(_)) => place.differs("profile", "", What::Extra),
            (Some(from), Some(to)) => place.field("profile", "", "body", (&from, &to), compare::body),
        }
    }
    Ok(())
}

async fn compare(work: &Work, place: Place<'_>, user: UserId) -> Result<()> {
    let mut blocks = Join::new(all_blocks(work, &work.from, user), all_blocks(work, &work.to, user), |whom| *whom);
    while let Some(pair) = blocks.next().await? {
        match pair {
            Pair::From(whom) => place.differs("block", format!("of {whom}"), What::Missing),
            Pair::To(whom) => place.differs("block", format!("of {whom}"), What::Extra),
            Pair::Both(..) => {}
        }
    }
    devices(work, place, user).await?;
    let mut lists = Join::new(all_entries(work, &work.from, user), all_entries(work, &work.to, user), |e| e.room);
    while let Some(pair) = lists.next().await? {
        work.rows(1).await;
        let at = |room| Place { room: Some(room), ..place };
        match pair {
            Pair::From(entry) => at(entry.room).differs("room list", "", What::Missing),
            Pair::To(entry) => at(entry.room).differs("room list", "", What::Extra),
            Pair::Both(from, to) => compare::entries(at(from.room), &from, &to),
        }
    }
    Ok(())
}

async fn devices(work: &Work, place: Place<'_>, user: UserId) -> Result<()> {
    const TABLE: &str = "device";
    let from = work.from.ask(|s| s.devices(user)).await?;
    let to = work.to.ask(|s| s.devices(user)).await?;
    let mut join = Join::new(at_hand(from), at_hand(to), |device: &DeviceRow| device.client_id.clone());
    while let Some(pair) = join.next().await? {
        match pair {
            Pair::From(device) => place.differs(TABLE, device.client_id, What::Missing),
            Pair::To(device) => place.differs(TABLE, device.client_id, What::Extra),
            Pair::Both(from, to) => {
                let hash = |hash: &[u8; 32]| hex::encode(&hash[..4]);
                place.field(TABLE, &from.client_id, "token hash", (&from.token_hash, &to.token_hash), hash);
                place.field(TABLE, &from.client_id, "body", (&from.body, &to.body), compare::body);
            }
        }
    }
    Ok(())
}
