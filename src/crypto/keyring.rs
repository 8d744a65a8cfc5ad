//! The master keys of a process and the secret its room keys come from.
//!
//! Owns parsing and validation of the configured keys, the one scrypt run of a process, and
//! rotation to another current key. Must not encrypt anything itself (see `cipher` and
//! `envelope`) and must never show key material.

use std::fmt;
use std::sync::Arc;

use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::scope_keys::ScopeKeyCache;

/// Bytes of an AES-256 key.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes of a CBC initialization vector, one AES block.
pub(super) const IV_BYTES: usize = 16;

const SALT_BYTES: usize = 16;
const SCRYPT_LOG2_N: u8 = 14;
const SCRYPT_R: u32 = 8;
const SCRYPT_P: u32 = 1;

/// One master key as it is configured: an id, and key and IV in hexadecimal.
#[derive(Debug, Clone)]
pub struct MasterKeyHex {
    /// Number written into every sealed value; must never be given to another key.
    pub id: u8,
    /// 64 hexadecimal digits (32 bytes); `CHAT_KEY` for the current master.
    pub key: SecretString,
    /// 32 hexadecimal digits (16 bytes); `CHAT_IV` for the current master. Only wraps room keys.
    pub iv: SecretString,
}

impl MasterKeyHex {
    /// Makes a random master key, for a first start without configuration.
    ///
    /// # Errors
    /// [`KeyringError::Entropy`] when the operating system gives no random bytes.
    pub fn generate(id: u8) -> Result<Self, KeyringError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let mut iv = Zeroizing::new([0; IV_BYTES]);
        fill_random(key.as_mut_slice())?;
        fill_random(iv.as_mut_slice())?;
        Ok(Self { id, key: hex::encode(key.as_slice()).into(), iv: hex::encode(iv.as_slice()).into() })
    }
}

/// What a [`Keyring`] is made from.
#[derive(Debug, Clone)]
pub struct KeyringOptions {
    /// Seals and wraps everything new.
    pub current: MasterKeyHex,
    /// Only read with, so that values of before a rotation stay readable.
    pub older: Vec<MasterKeyHex>,
    /// How many scopes keep their derived keys ready, per master key (about 1 KiB each). Rounded
    /// up to a multiple of 16; a value of a scope beyond it costs half a microsecond more.
    pub cached_scopes_max: usize,
}

impl KeyringOptions {
    /// 4,096 scopes: 4 MiB at most per master key.
    pub const CACHED_SCOPES_MAX_DEFAULT: usize = 4_096;

    /// Options with one master key and the default cache.
    #[must_use]
    pub fn new(current: MasterKeyHex) -> Self {
        Self { current, older: Vec::new(), cached_scopes_max: Self::CACHED_SCOPES_MAX_DEFAULT }
    }
}

/// Why a keyring cannot be made. Names the key and the field, never their content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyringError {
    /// A key or IV has another length than its algorithm needs.
    #[error("master key {key_id}: {field} has {found} characters, needs {expected} hex digits")]
    WrongLength {
        /// The configured id.
        key_id: u8,
        /// `key` or `iv`.
        field: &'static str,
        /// Hexadecimal digits needed.
        expected: usize,
        /// Bytes of the configured text.
        found: usize,
    },
    /// A key or IV holds something that is no hexadecimal digit.
    #[error("master key {key_id}: {field} is not hexadecimal")]
    NotHex {
        /// The configured id.
        key_id: u8,
        /// `key` or `iv`.
        field: &'static str,
    },
    /// Two master keys have the same id, so a sealed value could not tell which one it needs.
    #[error("master key id {0} is given twice")]
    DuplicateKeyId(u8),
    /// The operating system gives no random bytes.
    #[error("no random bytes from the operating system")]
    Entropy,
}

/// All keys of a process. Cheap to share in an `Arc`; every method may be called from any thread.
///
/// Sealing is in [`Keyring::seal`] and [`Keyring::open`], room keys in [`Keyring::new_room_key`]
/// and its neighbours. Key material is wiped from memory on drop, as far as moves of values in
/// Rust allow.
pub struct Keyring {
    /// The current master first, then the older ones, newest rotation first.
    masters: Vec<Arc<Master>>,
    /// Expands to room keys; comes from scrypt over the current key and a salt of this process.
    pub(super) process_secret: Hkdf<Sha256>,
    cached_scopes_max: usize,
}

impl Keyring {
    /// Parses the keys and derives the process secret.
    ///
    /// **Blocks for about 42 ms of CPU and takes 16 MiB** (scrypt with N=16384, r=8, p=1). Call it
    /// once a process; from async code through `spawn_blocking`.
    ///
    /// # Errors
    /// Every [`KeyringError`], see there.
    pub fn new(options: &KeyringOptions) -> Result<Self, KeyringError> {
        let mut salt = [0; SALT_BYTES];
        fill_random(&mut salt)?;
        let mut masters = Vec::with_capacity(1 + options.older.len());
        for text in std::iter::once(&options.current).chain(&options.older) {
            push_master(&mut masters, text, options.cached_scopes_max)?;
        }
        let process_secret = stretch(&masters[0].wrap_key, &salt);
        Ok(Self {
            masters,
            process_secret: Hkdf::new(None, process_secret.as_slice()),
            cached_scopes_max: options.cached_scopes_max,
        })
    }

    /// A keyring whose current master is `next`, and which still reads with all of this one's.
    ///
    /// Does not run scrypt again, so a serving process can swap its keyring in microseconds; the
    /// process secret stays, which is sound because its salt is random and never stored.
    ///
    /// # Errors
    /// Those of [`Keyring::new`]; `DuplicateKeyId` when `next.id` was ever used here.
    pub fn with_current(&self, next: &MasterKeyHex) -> Result<Self, KeyringError> {
        let mut masters = self.masters.clone();
        push_master(&mut masters, next, self.cached_scopes_max)?;
        masters.rotate_right(1);
        Ok(Self { masters, process_secret: self.process_secret.clone(), cached_scopes_max: self.cached_scopes_max })
    }

    /// The id that new sealed values carry.
    #[must_use]
    pub fn current_key_id(&self) -> u8 {
        self.current().id
    }

    /// Ids of all master keys, the current one first.
    pub fn key_ids(&self) -> impl Iterator<Item = u8> {
        self.masters.iter().map(|master| master.id)
    }

    pub(super) fn current(&self) -> &Master {
        &self.masters[0]
    }

    pub(super) fn master(&self, key_id: u8) -> Option<&Master> {
        let found = self.masters.iter().find(|master| master.id == key_id)?;
        Some(found)
    }

    pub(super) fn masters(&self) -> impl Iterator<Item = &Master> {
        self.masters.iter().map(Arc::as_ref)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("key_ids", &self.key_ids().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

/// One master key, ready to use. Has no `Debug`, so that it cannot be printed by accident.
pub(super) struct Master {
    pub(super) id: u8,
    pub(super) wrap_key: [u8; KEY_BYTES],
    pub(super) wrap_iv: [u8; IV_BYTES],
    /// HKDF over the master key, extracted once; expands to the keys of each scope.
    at_rest: Hkdf<Sha256>,
    cache: ScopeKeyCache,
}

impl Master {
    fn parse(text: &MasterKeyHex, cached_scopes_max: usize) -> Result<Self, KeyringError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let mut iv = Zeroizing::new([0; IV_BYTES]);
        decode(text.id, "key", &text.key, key.as_mut_slice())?;
        decode(text.id, "iv", &text.iv, iv.as_mut_slice())?;
        Ok(Self {
            id: text.id,
            wrap_key: *key,
            wrap_iv: *iv,
            at_rest: Hkdf::new(None, key.as_slice()),
            cache: ScopeKeyCache::new(cached_scopes_max),
        })
    }

    /// The at-rest keys of a scope, from the cache or derived.
    pub(super) fn scope_keys(&self, scope: &[u8]) -> Arc<super::scope_keys::ScopeKeys> {
        self.cache.get_or_derive(&self.at_rest, scope)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // The HKDF state and the cached keys wipe themselves.
        self.wrap_key.zeroize();
        self.wrap_iv.zeroize();
    }
}

fn push_master(
    masters: &mut Vec<Arc<Master>>,
    text: &MasterKeyHex,
    cached_scopes_max: usize,
) -> Result<(), KeyringError> {
    if masters.iter().any(|known| known.id == text.id) {
        return Err(KeyringError::DuplicateKeyId(text.id));
    }
    masters.push(Arc::new(Master::parse(text, cached_scopes_max)?));
    Ok(())
}

fn decode(key_id: u8, field: &'static str, text: &SecretString, out: &mut [u8]) -> Result<(), KeyringError> {
    let text = text.expose_secret();
    let expected = out.len() * 2;
    if text.len() != expected {
        let found = text.len();
        return Err(KeyringError::WrongLength { key_id, field, expected, found });
    }
    // The decoder's own error would quote a character of the key.
    hex::decode_to_slice(text, out).map_err(|_| KeyringError::NotHex { key_id, field })
}

/// scrypt over a master key: 42 ms and 16 MiB, by intent.
pub(super) fn stretch(master_key: &[u8; KEY_BYTES], salt: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    let params =
        scrypt::Params::new(SCRYPT_LOG2_N, SCRYPT_R, SCRYPT_P).expect("N=2^14, r=8, p=1 are within scrypt's bounds");
    let mut secret = Zeroizing::new([0; KEY_BYTES]);
    scrypt::scrypt(master_key, salt, &params, secret.as_mut_slice())
        .expect("32 bytes are within scrypt's output bounds");
    secret
}

fn fill_random(out: &mut [u8]) -> Result<(), KeyringError> {
    getrandom::fill(out).map_err(|_| KeyringError::Entropy)
}
