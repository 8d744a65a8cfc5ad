//! Users' names and pictures: what tokens say of them, kept in the store and remembered here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    time::Duration,
};

use dashmap::DashMap;
use tokio::time::timeout;

use super::Node;
#[cfg(any(test, feature = "testkit"))]
use crate::domain::profile::Stamp;
use crate::{
    domain::{
        ids::UserId,
        profile::{Names, Said},
    },
    storage::{Result as StoreResult, StoreError, codec},
};

/// Profiles remembered; beyond, the memory is cleared.
const PROFILES_MAX: usize = 100_000;
/// How long what the store says of a caller's name is believed.
const HEARD_FOR_MS: i64 = 60_000;
/// How long a call waits for what its token says of its user to be stored.
const NOTING_MAX: Duration = Duration::from_secs(1);
/// When that is tried again for the same user, if it failed.
const NOTED_AGAIN_MS: i64 = 5_000;
/// When it is tried again at all.
const PAUSE_MS: i64 = 3_000;

/// A user's name and picture, from the product's tokens.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserProfile {
    /// Display name, empty if unknown.
    pub name: String,
    /// Picture URL, empty if unknown.
    pub picture: String,
}

/// Profiles read or written lately.
#[derive(Debug, Default)]
pub(super) struct ProfileCache {
    known: DashMap<UserId, Arc<UserProfile>>,
    /// A profile is read and written again under its user's lock: what a token says of it and what the user sets.
    locks: [tokio::sync::Mutex<()>; 32],
    heard: DashMap<UserId, Heard>,
    pause: Pause,
}

/// A pause of the node's in writing what tokens say, while the store does not take it.
#[derive(Debug, Default)]
struct Pause {
    /// When it ends; 0 for none.
    until_ms: AtomicI64,
}

impl Pause {
    /// The right to try. When a pause has been, one caller has it, and the next one only after another pause.
    fn attempt(&self, now_ms: i64) -> Option<Attempt<'_>> {
        let until_ms = self.until_ms.load(SeqCst);
        if until_ms == 0 {
            return Some(Attempt(self));
        }
        // A clock that was put back makes no pause longer.
        if (1..=PAUSE_MS).contains(&(until_ms - now_ms)) {
            return None;
        }
        let is_first = self.until_ms.compare_exchange(until_ms, now_ms + PAUSE_MS, SeqCst, SeqCst).is_ok();
        is_first.then_some(Attempt(self))
    }
}

/// See [`Pause::attempt`].
#[derive(Debug)]
struct Attempt<'a>(&'a Pause);

impl Attempt<'_> {
    fn ends(self, well: bool, now_ms: i64) {
        self.0.until_ms.store(if well { 0 } else { now_ms + PAUSE_MS }, SeqCst);
    }
}

/// What tokens have said of a user, as of when the store was asked.
#[derive(Clone, Debug)]
struct Heard {
    names: Names,
    read_at_ms: i64,
}

impl ProfileCache {
    /// The lock for the profile of `user`.
    pub(super) fn lock(&self, user: UserId) -> &tokio::sync::Mutex<()> {
        &self.locks[usize::try_from(user.0.unsigned_abs()).unwrap_or(0) % self.locks.len()]
    }

    fn put(&self, user: UserId, profile: Arc<UserProfile>) {
        if self.known.len() >= PROFILES_MAX {
            self.known.clear();
        }
        self.known.insert(user, profile);
    }

    fn heard(&self, user: UserId) -> Option<Heard> {
        self.heard.get(&user).map(|heard| heard.clone())
    }

    /// Keeps what was heard, with what others have heard meanwhile; returns the name by all of it.
    fn put_heard(&self, user: UserId, heard: Heard) -> String {
        if self.heard.len() >= PROFILES_MAX {
            self.heard.clear();
        }
        let names = {
            let mut kept = self.heard.entry(user).or_insert_with(|| heard.clone());
            let names = heard.names.clone().merge(kept.names.clone());
            // Somebody knew more: then the earlier one asks again.
            let is_all = names == heard.names;
            kept.read_at_ms = if is_all { heard.read_at_ms } else { heard.read_at_ms.min(kept.read_at_ms) };
            kept.names = names.clone();
            names
        };
        let profile = UserProfile { name: names.name.text.clone(), picture: names.picture.text };
        self.put(user, Arc::new(profile));
        names.name.text
    }
}

impl Node {
    /// Notes what a token says of its user, and returns the user's name by all tokens so far. Written only when it is
    /// new. Another node may have written what an older token said at the same time: so the store is asked again now
    /// and then, and what is newer here put right.
    ///
    /// # Errors
    /// When the store cannot be read. What cannot be written is tried again a little later.
    pub async fn heard(&self, user: UserId, said: &Said) -> StoreResult<String> {
        let now_ms = self.now_ms();
        let is_fresh = |heard: &Heard| (0..HEARD_FOR_MS).contains(&(now_ms - heard.read_at_ms));
        let before = self.profiles.heard(user);
        if let Some(heard) = before.as_ref().filter(|heard| is_fresh(heard) && heard.names.knows(said)) {
            return Ok(heard.names.name.text.clone());
        }
        let body = self.context.store.profiles(&[user]).await?.pop().flatten();
        let stored = body.as_deref().map(codec::decode_names).transpose()?;
        let before = before.map(|heard| heard.names).unwrap_or_default();
        let names = stored.clone().unwrap_or_default().merge(before).after(said);
        let mut read_at_ms = now_ms;
        if stored.as_ref() != Some(&names) && !self.note(user, &names).await {
            tracing::debug!(%user, "what a token says of its user cannot be stored, and will be later");
            read_at_ms = now_ms - HEARD_FOR_MS + NOTED_AGAIN_MS;
        }
        Ok(self.profiles.put_heard(user, Heard { names, read_at_ms }))
    }

    /// Has the store know what tokens say of a user; returns whether it does. Whoever only reads needs no name in the
    /// store: nobody waits for that for long, and while it fails only one caller now and then waits at all.
    async fn note(&self, user: UserId, names: &Names) -> bool {
        let Some(attempt) = self.profiles.pause.attempt(self.now_ms()) else {
            return false;
        };
        let noting = async {
            let _lock = self.profiles.lock(user).lock().await;
            // Again, within the lock: what is written is all of the profile.
            let body = self.context.store.profiles(&[user]).await?.pop().flatten();
            let stored = body.as_deref().map(codec::decode_names).transpose()?;
            let names = stored.clone().unwrap_or_default().merge(names.clone());
            if stored.as_ref() != Some(&names) {
                let body = codec::with_names(body.as_deref().unwrap_or_default(), &names)?;
                self.context.store.put_profile(user, body).await?;
            }
            Ok::<_, StoreError>(())
        };
        let is_noted = matches!(timeout(NOTING_MAX, noting).await, Ok(Ok(())));
        attempt.ends(is_noted, self.now_ms());
        is_noted
    }

    /// [`Node::heard`] of a token that was issued just now.
    ///
    /// # Errors
    /// When the store fails.
    #[cfg(any(test, feature = "testkit"))]
    pub async fn seen(&self, user: UserId, name: &str, picture: &str) -> StoreResult<()> {
        let now_ms = self.now_ms();
        let stamp = Stamp { issued_at_ms: now_ms, expires_at_ms: now_ms };
        let said = Said { name: Some(name.to_owned()), picture: Some(picture.to_owned()), stamp };
        self.heard(user, &said).await.map(drop)
    }

    async fn profiles_from_store(&self, users: &[UserId]) -> StoreResult<Vec<Option<UserProfile>>> {
        let bodies = self.context.store.profiles(users).await?;
        let decode = |body: Option<bytes::Bytes>| {
            let decoded = body.map(|body| codec::decode_profile(&body)).transpose()?;
            Ok(decoded.map(|(name, picture)| UserProfile { name, picture }))
        };
        bodies.into_iter().map(decode).collect()
    }

    /// Profiles of users, in their order; empty where nothing is known.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn profiles(&self, users: &[UserId]) -> StoreResult<Vec<UserProfile>> {
        let mut profiles: Vec<Option<UserProfile>> = users
            .iter()
            .map(|user| self.profiles.known.get(user).map(|profile| UserProfile::clone(&profile)))
            .collect();
        let unknown: Vec<UserId> =
            users.iter().zip(&profiles).filter(|(_, p)| p.is_none()).map(|(user, _)| *user).collect();
        if !unknown.is_empty() {
            let mut read = self.profiles_from_store(&unknown).await?.into_iter();
            for (user, slot) in users.iter().zip(&mut profiles).filter(|(_, slot)| slot.is_none()) {
                *slot = read.next().flatten();
                if let Some(profile) = slot {
                    self.profiles.put(*user, Arc::new(profile.clone()));
                }
            }
        }
        Ok(profiles.into_iter().map(Option::unwrap_or_default).collect())
    }
}
