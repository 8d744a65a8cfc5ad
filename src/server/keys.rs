//! The configured master keys, as the store and the actors want them.

use std::sync::Arc;

use anyhow::Context as _;

use crate::{
    actors::RoomKeys,
    config::{Config, MasterKey, MasterKeys},
    crypto::{Keyring, KeyringOptions, MasterKeyHex},
    domain::ids::RoomId,
    storage::layer::encrypted::{SealError, Sealer},
};

/// What seals and opens bodies with the configured keys.
///
/// # Errors
/// When a key is unusable.
pub async fn sealer(config: &Config) -> anyhow::Result<Arc<dyn Sealer>> {
    let keys = config.encryption.resolve(&config.server.data_dir)?;
    Ok(keyring(keys).await?)
}

/// The keyring as the store and the actors want it.
#[derive(Debug)]
pub(super) struct Keys(Keyring);

pub(super) async fn keyring(keys: MasterKeys) -> anyhow::Result<Arc<Keys>> {
    let hex = |key: MasterKey| MasterKeyHex { id: key.key_id, key: key.key, iv: key.iv };
    let mut options = KeyringOptions::new(hex(keys.current));
    options.older = keys.old.into_iter().map(hex).collect();
    // Key derivation takes tens of milliseconds of one core.
    let made = tokio::task::spawn_blocking(move || Keyring::new(&options)).await?;
    Ok(Arc::new(Keys(made.context("encryption keys")?)))
}

impl Keys {
    /// Number of the key that seals.
    pub(super) fn current_id(&self) -> u8 {
        self.0.current_key_id()
    }

    /// What seals with the key of this number, which there must be.
    pub(super) fn under(self: &Arc<Self>, id: u8) -> Under {
        Under { keys: Arc::clone(self), id }
    }

    /// Whether there is a key of this number.
    pub(super) fn has(&self, id: u8) -> bool {
        self.0.key_ids().any(|known| known == id)
    }

    /// Whether a master key opens a room's key.
    pub(super) fn opens_room(&self, encryption_data: &str) -> bool {
        self.0.unwrap_room_key(encryption_data).is_ok()
    }
}

/// Seals with one of the keys.
#[derive(Debug)]
pub(super) struct Under {
    keys: Arc<Keys>,
    id: u8,
}

impl Sealer for Under {
    fn seal(&self, scope: &[u8], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        self.keys.0.seal_under(self.id, scope, aad, plain)
    }

    fn open(&self, scope: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.keys.open(scope, aad, sealed)
    }
}

impl Sealer for Keys {
    fn seal(&self, scope: &[u8], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        self.0.seal(scope, aad, plain)
    }

    fn open(&self, scope: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.open(scope, aad, sealed).map_err(|_| SealError)
    }
}

impl RoomKeys for Keys {
    fn fresh(&self, room: RoomId) -> String {
        self.0.wrap(&self.0.new_room_key(&room.0))
    }

    fn decrypt(&self, encryption_data: &str, content: &str) -> Option<String> {
        let plain = self.0.unwrap_room_key(encryption_data).ok()?.decrypt(content).ok()?;
        String::from_utf8(plain).ok()
    }
}
