//! Whether the configured master keys are those that a store was written with. Without this, a server with a wrong key, or
//! without a former one, would start, serve, and seal what is new so that the right key does not open it.
//!
//! A store keeps something sealed with each key that was current on it. One of an older program has nothing of the kind:
//! there the first rooms and users are asked, and what they are sealed with is noted.

use std::{collections::BTreeSet, sync::Arc};

use anyhow::{Context as _, bail};

use super::keys::Keys;
use crate::{
    crypto::sealed_under,
    domain::ids::UserId,
    storage::{
        Store, StoreError, StoreErrorKind,
        consumers::{MASTER_KEY, STORE},
        layer::encrypted::Encrypted,
    },
};

/// What is sealed.
const CONTENT: &[u8] = b"tertulia";
/// Rooms, and users, that are asked.
const SAMPLE: usize = 256;

/// Compares, and notes the current key if the store does not know it.
///
/// # Errors
/// When a key is missing or is another one, by its number; or when the store fails.
pub(super) async fn check(store: &Arc<dyn Store>, keys: &Arc<Keys>) -> anyhow::Result<()> {
    let sealed: Arc<dyn Store> = Arc::new(Encrypted::new(Arc::clone(store), Arc::clone(keys) as _));
    let noted = store.sync_states(STORE).await.context("read what the store was sealed with")?;
    let noted: Vec<_> = noted.into_iter().filter(|(name, _)| name.starts_with(MASTER_KEY)).collect();
    for (name, raw) in &noted {
        judge(keys, raw, sealed.sync_state(STORE, name).await)?;
    }
    let mut used = BTreeSet::from([keys.current_id()]);
    if noted.is_empty() {
        used.extend(sampled(store, &*sealed, keys).await?);
    }
    for id in used {
        let name = format!("{MASTER_KEY}{id}");
        if noted.iter().all(|(known, _)| *known != name) {
            let under: Arc<dyn Store> = Arc::new(Encrypted::new(Arc::clone(store), Arc::new(keys.under(id)) as _));
            under.put_sync_state(STORE, &name, CONTENT.into()).await.context("note a master key")?;
            // Another node may have noted another key at the same time.
            let raw = store.sync_state(STORE, &name).await?.unwrap_or_default();
            judge(keys, &raw, sealed.sync_state(STORE, &name).await)?;
        }
    }
    Ok(())
}

/// Numbers of the keys that some of the first rooms and users are sealed with.
async fn sampled(store: &Arc<dyn Store>, sealed: &dyn Store, keys: &Keys) -> anyhow::Result<BTreeSet<u8>> {
    let mut used = BTreeSet::new();
    for room in store.rooms(None, SAMPLE).await? {
        if let Some(raw) = store.room(room).await? {
            judge(keys, &raw, sealed.room(room).await)?;
            used.extend(sealed_under(&raw));
        }
    }
    let users = store.known_users(UserId(0), SAMPLE).await?;
    for (user, raw) in users.iter().zip(store.profiles(&users).await?) {
        if let Some(raw) = raw {
            judge(keys, &raw, sealed.profiles(&[*user]).await)?;
            used.extend(sealed_under(&raw));
        }
    }
    Ok(used)
}

/// What became of opening `raw`.
fn judge<T>(keys: &Keys, raw: &[u8], opened: Result<T, StoreError>) -> anyhow::Result<()> {
    let Err(error) = opened else { return Ok(()) };
    match sealed_under(raw) {
        _ if error.kind() != StoreErrorKind::Corrupt => Err(error.into()),
        Some(id) if !keys.has(id) => bail!(
            "the store holds what was sealed with master key {id}, and the configuration has no key of this number: add it to \
             `encryption.old_keys`, or make it the current one"
        ),
        Some(id) => bail!(
            "the store was written with another master key {id} than the configured one: look at `encryption.key` (`CHAT_KEY`), \
             `encryption.key_id`, `encryption.old_keys` and the data directory's `dev-chat.key`"
        ),
        None => Err(error.into()),
    }
}
