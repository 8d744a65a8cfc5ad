//! Whether the configured master keys are those that a store was written with. Without this, a server with a wrong key, or
//! without a former one, would start, serve, and seal what is new so that the right key does not open it.
//!
//! A store keeps something sealed with each key that was current on it. One of an older program has nothing of the kind:
//! there the first room and the first user are asked.

use std::sync::Arc;

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

/// Compares, and notes the current key if the store does not know it.
///
/// # Errors
/// When a key is missing or is another one, by its number; or when the store fails.
pub(super) async fn check(store: &Arc<dyn Store>, keys: &Arc<Keys>) -> anyhow::Result<()> {
    let sealed: Arc<dyn Store> = Arc::new(Encrypted::new(Arc::clone(store), Arc::clone(keys) as _));
    let current = format!("{MASTER_KEY}{}", keys.current_id());
    let noted = store.sync_states(STORE).await.context("read what the store was sealed with")?;
    let noted: Vec<_> = noted.into_iter().filter(|(name, _)| name.starts_with(MASTER_KEY)).collect();
    for (name, raw) in &noted {
        judge(keys, raw, sealed.sync_state(STORE, name).await)?;
    }
    if noted.is_empty() {
        if let Some(room) = store.rooms(None, 1).await?.pop()
            && let Some(raw) = store.room(room).await?
        {
            judge(keys, &raw, sealed.room(room).await)?;
        }
        if let Some(user) = store.known_users(UserId(0), 1).await?.pop()
            && let Some(raw) = store.profiles(&[user]).await?.pop().flatten()
        {
            judge(keys, &raw, sealed.profiles(&[user]).await)?;
        }
    }
    if noted.iter().all(|(name, _)| *name != current) {
        sealed.put_sync_state(STORE, &current, CONTENT.into()).await.context("note the master key")?;
    }
    Ok(())
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
