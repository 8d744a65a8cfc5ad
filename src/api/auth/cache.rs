//! Remembered verifications: most callers send the same token with every call.
//!
//! Holds a hash of the token, never the token. An entry counts only with the keys it was made with.

use std::fmt;
use std::sync::Arc;

use foldhash::fast::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};
use sha2::{Digest, Sha256};

use super::claims::Verified;

/// SHA-256 of a token.
pub(super) type TokenHash = [u8; 32];

type Entries = Cache<TokenHash, Arc<Entry>, UnitWeighter, RandomState>;

#[derive(Debug)]
struct Entry {
    generation: u64,
    verified: Verified,
}

/// A bounded map from tokens to what they say.
pub(super) struct TokenCache(Option<Entries>);

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("len", &self.0.as_ref().map_or(0, Cache::len)).finish()
    }
}

impl TokenCache {
    pub(super) fn new(len_max: usize) -> Self {
        Self((len_max > 0).then(|| {
            Cache::with(len_max, len_max as u64, UnitWeighter, RandomState::default(), DefaultLifecycle::default())
        }))
    }

    pub(super) fn hash(&self, token: &str) -> Option<TokenHash> {
        self.0.as_ref().map(|_| Sha256::digest(token).into())
    }

    /// What was verified with the keys of this generation, if it is remembered.
    pub(super) fn with<T>(&self, hash: &TokenHash, generation: u64, read: impl FnOnce(&Verified) -> T) -> Option<T> {
        let entry = self.0.as_ref()?.get(hash)?;
        (entry.generation == generation).then(|| read(&entry.verified))
    }

    pub(super) fn insert(&self, hash: TokenHash, generation: u64, verified: Verified) {
        if let Some(entries) = &self.0 {
            let entry = Entry { generation, verified };
            entries.insert(hash, Arc::new(entry));
        }
    }
}
