//! Who knows whom: who shares a room with the caller, who may be added by them, and whose presence they are told.
//! Gathers the facts; the rules are [`crate::domain::privacy`]'s.

use std::collections::HashSet;

use dashmap::DashMap;
use futures_util::future::try_join_all;

use super::Node;
use crate::{
    actors::{error::Call, fair_share::Spent, user::ListFilter},
    domain::{
        ids::{RoomId, UserId},
        privacy::{Standing, WhoMayAdd},
        room::Author,
    },
    storage::{Result as StoreResult, codec},
};

/// Pairs remembered; beyond, the memory is cleared.
const PAIRS_MAX: usize = 100_000;
/// How long what was found in the store counts, in milliseconds: to leave a room is not to vanish at once.
const PAIRS_MS: i64 = 10_000;
/// Looks into the members of awake rooms for one call.
const LOOKS_MAX: usize = 100_000;
/// Rooms of another user's list that are gone through.
const ROOMS_MAX: usize = 10_000;
/// Rows read at a time.
const PAGE: usize = 1_000;
/// What it costs to look a user up, in rows, besides the rows that are read.
const ROWS_PER_LOOK: usize = 10;
/// Users looked up in the store at a time.
const AT_ONCE: usize = 32;

/// Who was found to share a room, or not to, lately.
#[derive(Debug, Default)]
pub(super) struct Acquaintances {
    pairs: DashMap<(UserId, UserId), (bool, i64)>,
}

impl Acquaintances {
    fn get(&self, pair: (UserId, UserId), now_ms: i64) -> Option<bool> {
        let (shares, at_ms) = *self.pairs.get(&pair)?;
        (at_ms..at_ms.saturating_add(PAIRS_MS)).contains(&now_ms).then_some(shares)
    }

    fn put(&self, pair: (UserId, UserId), shares: bool, now_ms: i64) {
        if self.pairs.len() >= PAIRS_MAX {
            self.pairs.clear();
        }
        self.pairs.insert(pair, (shares, now_ms));
    }
}

impl Node {
    /// Those of `others` who share a room with the author, or are the author.
    pub(super) async fn sharing(&self, author: Author, others: &[UserId]) -> Call<HashSet<UserId>> {
        let mut sharing: HashSet<UserId> = others.iter().copied().filter(|user| *user == author.user).collect();
        let shared = self.users.warm(author.user).await?;
        // Rooms that were deleted are not shared any more.
        let filter = ListFilter { include_hidden: true, ..ListFilter::default() };
        let rooms: Vec<(RoomId, UserId)> =
            shared.list.lock().filtered(&filter).map(|listed| (listed.hub.id(), listed.listing.partner)).collect();
        let partners: HashSet<UserId> = rooms.iter().map(|(_, partner)| *partner).collect();
        sharing.extend(others.iter().filter(|user| partners.contains(user)));
        let mut open: Vec<UserId> = others.iter().copied().filter(|user| !sharing.contains(user)).collect();
        let now = self.now_ms();
        open.retain(|user| match self.acquaintances.get((author.user, *user), now) {
            Some(shares) => {
                if shares {
                    sharing.insert(*user);
                }
                false
            }
            None => true,
        });
        let looks = LOOKS_MAX / open.len().max(1);
        let awake = rooms.iter().filter_map(|(room, _)| self.rooms.awake(*room)).take(looks);
        for handle in awake {
            if open.is_empty() {
                break;
            }
            handle.read(|state| sharing.extend(open.iter().filter(|user| state.members.contains_key(user))));
            open.retain(|user| !sharing.contains(user));
        }
        let own: HashSet<RoomId> = rooms.into_iter().map(|(room, _)| room).collect();
        let mut spent = Spent::default();
        for users in open.chunks(AT_ONCE) {
            let found = try_join_all(users.iter().map(|user| self.is_in_any(*user, &own))).await?;
            for (user, (shares, rows)) in users.iter().zip(found) {
                spent.add(Spent::rows(ROWS_PER_LOOK + rows));
                self.acquaintances.put((author.user, *user), shares, now);
                if shares {
                    sharing.insert(*user);
                }
            }
        }
        self.context.shares.charge(author.user, spent);
        Ok(sharing)
    }

    /// Whether one of these rooms is among the first [`ROOMS_MAX`] of a user; and how many rows that took.
    async fn is_in_any(&self, user: UserId, rooms: &HashSet<RoomId>) -> StoreResult<(bool, usize)> {
        let (mut after, mut read) = (None, 0);
        while read < ROOMS_MAX && !rooms.is_empty() {
            let page = self.context.store.rooms_of(user, after, PAGE).await?;
            if page.iter().any(|entry| rooms.contains(&entry.room)) {
                return Ok((true, read + page.len()));
            }
            read += page.len();
            after = page.last().map(|entry| entry.room);
            if page.len() < PAGE {
                break;
            }
        }
        Ok((false, read))
    }

    /// Those of `others` who have blocked the author.
    async fn blocking(&self, author: Author, others: &[UserId]) -> StoreResult<HashSet<UserId>> {
        let mut blocking = HashSet::new();
        for users in others.chunks(AT_ONCE) {
            let found = try_join_all(users.iter().map(|user| self.context.store.has_block(*user, author.user))).await?;
            blocking.extend(users.iter().zip(found).filter(|(_, blocks)| *blocks).map(|(user, _)| *user));
        }
        Ok(blocking)
    }

    /// Parts users whom the author may add to a room from those who do not want it.
    pub(super) async fn addable(&self, author: Author, others: Vec<UserId>) -> Call<(Vec<UserId>, Vec<UserId>)> {
        if author.admin {
            return Ok((others, Vec::new()));
        }
        let bodies = self.context.store.profiles(&others).await?;
        let setting = |body: Option<bytes::Bytes>| body.map(|body| codec::decode_privacy(&body)).transpose();
        let settings: Vec<WhoMayAdd> =
            bodies.into_iter().map(|body| setting(body).map(Option::unwrap_or_default)).collect::<StoreResult<_>>()?;
        let asking = others.iter().zip(&settings).filter(|(_, who)| **who == WhoMayAdd::SharingARoom);
        let asking: Vec<UserId> = asking.map(|(user, _)| *user).collect();
        let sharing = if asking.is_empty() { HashSet::new() } else { self.sharing(author, &asking).await? };
        let blocking = self.blocking(author, &others).await?;
        let mut parted = (Vec::with_capacity(others.len()), Vec::new());
        for (user, who) in others.into_iter().zip(settings) {
            let standing = Standing { has_blocked: blocking.contains(&user), shares_a_room: sharing.contains(&user) };
            if standing.may_be_added(author.admin, who) { parted.0.push(user) } else { parted.1.push(user) }
        }
        Ok(parted)
    }

    /// Those of `others` whose presence the author is told, in their order.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn watchable(&self, author: Author, others: &[UserId]) -> Call<Vec<UserId>> {
        if author.admin || others.is_empty() {
            return Ok(others.to_vec());
        }
        let sharing = self.sharing(author, others).await?;
        let known: Vec<UserId> = others.iter().copied().filter(|user| sharing.contains(user)).collect();
        let blocking = self.blocking(author, &known).await?;
        let told = |user: &UserId| {
            let standing = Standing { has_blocked: blocking.contains(user), shares_a_room: true };
            standing.presence_is_told(author.admin)
        };
        Ok(known.into_iter().filter(told).collect())
    }

    /// Who may add the author to rooms.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn privacy(&self, author: Author) -> Call<WhoMayAdd> {
        let body = self.context.store.profiles(&[author.user]).await?.pop().flatten();
        Ok(body.map(|body| codec::decode_privacy(&body)).transpose()?.unwrap_or_default())
    }

    /// Sets it.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn set_privacy(&self, author: Author, who: WhoMayAdd) -> Call<()> {
        let _lock = self.profiles.lock(author.user).lock().await;
        let body = self.context.store.profiles(&[author.user]).await?.pop().flatten().unwrap_or_default();
        if codec::decode_privacy(&body)? != who {
            self.context.store.put_profile(author.user, codec::with_privacy(&body, who)?).await?;
        }
        Ok(())
    }
}
