//! The derived keys of a scope, and a bounded cache of them.
//!
//! Owns the derivation `HKDF(master key, "tertulia at rest v1" || scope)` and the eviction rule.
//! Must not grow with the number of rooms: memory follows the rooms that are in use.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aes::Aes256;
use cbc::cipher::KeyInit;
use hkdf::Hkdf;
use hmac::Hmac;
use parking_lot::RwLock;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::keyring::KEY_BYTES;

const AT_REST_INFO: &[u8] = b"tertulia at rest v1";
/// A power of two; threads that seal for different rooms rarely meet on one lock.
const SHARDS: usize = 16;
/// Longer scopes are derived each time, so that the cache is bounded in bytes as well.
const CACHED_SCOPE_BYTES_MAX: usize = 64;

/// What seals and opens the values of one scope. Both parts wipe themselves on drop.
pub(super) struct ScopeKeys {
    pub(super) aes: Aes256,
    /// Keyed and ready to be cloned, which saves two of the compressions of every MAC.
    pub(super) mac: Hmac<Sha256>,
}

impl ScopeKeys {
    fn derive(at_rest: &Hkdf<Sha256>, scope: &[u8]) -> Self {
        let mut okm = Zeroizing::new([0; 2 * KEY_BYTES]);
        at_rest
            .expand_multi_info(&[AT_REST_INFO, scope], okm.as_mut_slice())
            .expect("64 bytes are within HKDF's bound of 8,160");
        let (aes_key, mac_key) = okm.split_at(KEY_BYTES);
        Self {
            aes: Aes256::new_from_slice(aes_key).expect("AES-256 takes 32 bytes"),
            mac: Hmac::new_from_slice(mac_key).expect("HMAC takes a key of any length"),
        }
    }
}

/// Keys by scope, with second-chance eviction: a hit takes only a read lock.
pub(super) struct ScopeKeyCache {
    shards: Box<[RwLock<Shard>]>,
    hasher: foldhash::fast::RandomState,
}

impl ScopeKeyCache {
    pub(super) fn new(scopes_max: usize) -> Self {
        let shard_len_max = scopes_max.div_ceil(SHARDS).max(1);
        Self {
            shards: (0..SHARDS).map(|_| RwLock::new(Shard::new(shard_len_max))).collect(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    pub(super) fn get_or_derive(&self, at_rest: &Hkdf<Sha256>, scope: &[u8]) -> Arc<ScopeKeys> {
        if scope.len() > CACHED_SCOPE_BYTES_MAX {
            return Arc::new(ScopeKeys::derive(at_rest, scope));
        }
        let shard = self.shard(scope);
        if let Some(keys) = shard.read().get(scope) {
            return keys;
        }
        // Derived outside the lock; two threads may do it at once and get equal keys.
        let keys = Arc::new(ScopeKeys::derive(at_rest, scope));
        shard.write().insert(scope, Arc::clone(&keys));
        keys
    }

    fn shard(&self, scope: &[u8]) -> &RwLock<Shard> {
        // The top byte: the map inside the shard uses the low bits of another seed.
        let hash = self.hasher.hash_one(scope).to_be_bytes();
        &self.shards[usize::from(hash[0]) % SHARDS]
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.read().slots.len()).sum()
    }
}

struct Shard {
    index: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    slots: Vec<Slot>,
    len_max: usize,
    hand: usize,
}

struct Slot {
    scope: Box<[u8]>,
    keys: Arc<ScopeKeys>,
    used: AtomicBool,
}

impl Shard {
    fn new(len_max: usize) -> Self {
        Self { index: HashMap::default(), slots: Vec::new(), len_max, hand: 0 }
    }

    fn get(&self, scope: &[u8]) -> Option<Arc<ScopeKeys>> {
        let slot = &self.slots[*self.index.get(scope)?];
        // A load first: a store on every hit would bounce the line between cores.
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(Arc::clone(&slot.keys))
    }

    fn insert(&mut self, scope: &[u8], keys: Arc<ScopeKeys>) {
        if self.index.contains_key(scope) {
            return;
        }
        let slot = Slot { scope: scope.into(), keys, used: AtomicBool::new(false) };
        let at = if self.slots.len() < self.len_max {
            self.slots.push(slot);
            self.slots.len() - 1
        } else {
            let at = self.victim();
            self.index.remove(&self.slots[at].scope);
            self.slots[at] = slot;
            at
        };
        self.index.insert(scope.into(), at);
    }

    /// The next slot that was not used since the hand last passed it; ends within two rounds.
    fn victim(&mut self) -> usize {
        loop {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            if !std::mem::take(self.slots[at].used.get_mut()) {
                return at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let at_rest = Hkdf::<Sha256>::new(None, &[7; KEY_BYTES]);
        let cache = ScopeKeyCache::new(64);
        let hot = cache.get_or_derive(&at_rest, b"hot");
        for n in 0..10_000_u32 {
            cache.get_or_derive(&at_rest, &n.to_be_bytes());
            let again = cache.get_or_derive(&at_rest, b"hot");
            assert!(Arc::ptr_eq(&hot, &again), "hot scope evicted at {n}");
        }
        assert_eq!(cache.len(), 64);
    }

    #[test]
    fn long_scopes_are_not_kept() {
        let at_rest = Hkdf::<Sha256>::new(None, &[7; KEY_BYTES]);
        let cache = ScopeKeyCache::new(64);
        cache.get_or_derive(&at_rest, &[1; CACHED_SCOPE_BYTES_MAX + 1]);
        assert_eq!(cache.len(), 0);
        cache.get_or_derive(&at_rest, &[1; CACHED_SCOPE_BYTES_MAX]);
        assert_eq!(cache.len(), 1);
    }
}
