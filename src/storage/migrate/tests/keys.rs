//! Below the encryption bodies stay as they are sealed; through it they are sealed with the destination's key.

use std::sync::Arc;

use super::{assert_equal, compared, copied, memory, town};
use crate::{
    crypto::{Keyring, KeyringOptions, MasterKeyHex},
    domain::ids::UserId,
    storage::{
        Store,
        consumers::STORE,
        layer::encrypted::{Encrypted, SealError, Sealer},
    },
};

#[derive(Debug)]
struct Keys(Keyring);

impl Sealer for Keys {
    fn seal(&self, scope: &[u8], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        self.0.seal(scope, aad, plain)
    }

    fn open(&self, scope: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.open(scope, aad, sealed).map_err(|_| SealError)
    }
}

fn key(id: u8) -> MasterKeyHex {
    MasterKeyHex { id, key: format!("{id:02x}").repeat(32).into(), iv: "00".repeat(16).into() }
}

fn keyring(current: u8, older: &[u8]) -> Arc<Keys> {
    let mut options = KeyringOptions::new(key(current));
    options.older = older.iter().map(|id| key(*id)).collect();
    Arc::new(Keys(Keyring::new(&options).unwrap()))
}

fn sealed(store: &Arc<dyn Store>, keys: Arc<Keys>) -> Arc<dyn Store> {
    Arc::new(Encrypted::new(Arc::clone(store), keys))
}

#[tokio::test]
async fn as_sealed_or_sealed_anew() {
    let plain = town().await;
    let (old, verbatim, fresh) = (memory(), memory(), memory());
    let old_keys = keyring(1, &[]);
    copied(&plain, &sealed(&old, Arc::clone(&old_keys))).await.unwrap();

    copied(&old, &verbatim).await.unwrap();
    // With which keys that is, comes along; nothing else that a store says of itself.
    let told = verbatim.sync_states(STORE).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told.first(), old.sync_states(STORE).await.unwrap().first());
    assert_equal(&compared(&old, &verbatim).await);
    assert_equal(&compared(&plain, &sealed(&verbatim, Arc::clone(&old_keys))).await);

    // As after a rotation: one keyring that reads with both and seals with the new one.
    let both = keyring(2, &[1]);
    let (from, to) = (sealed(&old, Arc::clone(&both)), sealed(&fresh, both));
    copied(&from, &to).await.unwrap();
    copied(&from, &to).await.unwrap();
    assert_equal(&compared(&from, &to).await);
    assert!(!compared(&old, &fresh).await.equal, "other bytes");

    let new_alone = sealed(&fresh, keyring(2, &[]));
    assert_equal(&compared(&plain, &new_alone).await);
    let old_alone = sealed(&fresh, old_keys);
    assert!(old_alone.profiles(&[UserId(1)]).await.is_err(), "nothing is left under the old key");
}
