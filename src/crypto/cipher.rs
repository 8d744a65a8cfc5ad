//! Sealing of everything that is stored: AES-256-CBC, then HMAC-SHA-256 over all of it.
//!
//! Owns the sealed form, version 1:
//! `version (1) || key id (1) || IV (16) || ciphertext (16 n) || tag (32)`.
//! Must not decrypt a byte before the tag is checked, nor tell one failure of authentication from
//! another: CBC with PKCS#7 would otherwise answer a padding oracle.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, InnerIvInit};
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;

use super::keyring::{IV_BYTES, Keyring, Master};
use super::scope_keys::ScopeKeys;

/// Scope of values that belong to users, not to a room. Not 16 bytes long, so no room id equals it.
pub const USER_DATA_SCOPE: &[u8] = b"tertulia user data";

/// A sealed value is at most this many bytes longer than its plaintext (and at least 51 longer).
pub const SEALED_OVERHEAD_BYTES_MAX: usize = HEADER_BYTES + BLOCK_BYTES + TAG_BYTES;

const VERSION: u8 = 1;
const BLOCK_BYTES: usize = 16;
const TAG_BYTES: usize = 32;
const HEADER_BYTES: usize = 2 + IV_BYTES;
const SEALED_BYTES_MIN: usize = HEADER_BYTES + BLOCK_BYTES + TAG_BYTES;

/// Why something does not decrypt. Says nothing about the content or the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CipherError {
    /// Shorter than any sealed value of its version.
    #[error("sealed value is too short")]
    TooShort,
    /// Sealed by a newer program, or no sealed value at all.
    #[error("sealed value has unknown version {0}")]
    UnknownVersion(u8),
    /// The keyring has no master key of this id: an older key is missing in the configuration.
    #[error("sealed value needs master key {0}, which is not configured")]
    UnknownKeyId(u8),
    /// Changed, cut, moved to another scope or associated data, or sealed under another key.
    #[error("sealed value is not authentic")]
    NotAuthentic,
    /// No configured master key unwraps this `encryption_data`.
    #[error("encryption_data opens under no configured master key")]
    EncryptionData,
    /// Not base64 of something that was encrypted with this room's key.
    #[error("content does not decrypt with the room's key")]
    ClientContent,
}

/// Number of the master key that a value says it is sealed under; none for what is no sealed value of this version.
/// Nothing vouches for it: it is for telling an operator which key to look for.
#[must_use]
pub fn sealed_under(sealed: &[u8]) -> Option<u8> {
    let is_sealed = sealed.len() >= SEALED_BYTES_MIN && sealed.first() == Some(&VERSION);
    sealed.get(1).copied().filter(|_| is_sealed)
}

impl Keyring {
    /// Encrypts and authenticates `plain` under the current master key.
    ///
    /// `scope` chooses the derived keys: the 16 bytes of a room id, or [`USER_DATA_SCOPE`]. `aad`
    /// is authenticated but not stored: give what says where the value lives (table, key columns),
    /// so that it does not open in another place. Scope and `aad` must be the same in
    /// [`Keyring::open`].
    ///
    /// # Panics
    /// When `aad` is 4 GiB or longer.
    #[must_use]
    pub fn seal(&self, scope: &[u8], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut iv = [0; IV_BYTES];
        rand::rng().fill_bytes(&mut iv);
        seal_with_iv(self.current(), scope, aad, plain, &iv)
    }

    /// [`Keyring::seal`] under the master key of this id; under the current one if there is none of it.
    ///
    /// # Panics
    /// As [`Keyring::seal`].
    #[must_use]
    pub fn seal_under(&self, key_id: u8, scope: &[u8], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut iv = [0; IV_BYTES];
        rand::rng().fill_bytes(&mut iv);
        seal_with_iv(self.master(key_id).unwrap_or_else(|| self.current()), scope, aad, plain, &iv)
    }

    /// Checks and decrypts what [`Keyring::seal`] made, under any configured master key.
    ///
    /// Takes any bytes. Returns only content that was sealed for this scope and `aad`.
    ///
    /// # Errors
    /// [`CipherError::UnknownVersion`], [`CipherError::TooShort`], [`CipherError::UnknownKeyId`]
    /// say what they mean; every other fault is [`CipherError::NotAuthentic`].
    pub fn open(&self, scope: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, CipherError> {
        let &version = sealed.first().ok_or(CipherError::TooShort)?;
        if version != VERSION {
            return Err(CipherError::UnknownVersion(version));
        }
        if sealed.len() < SEALED_BYTES_MIN {
            return Err(CipherError::TooShort);
        }
        let key_id = sealed[1];
        let master = self.master(key_id).ok_or(CipherError::UnknownKeyId(key_id))?;
        let keys = master.scope_keys(scope);
        let (authenticated, tag) = sealed.split_at(sealed.len() - TAG_BYTES);
        keys.verify(aad, authenticated, tag)?;
        let (header, ciphertext) = authenticated.split_at(HEADER_BYTES);
        keys.decrypt(&header[2..], ciphertext)
    }

    /// Whether `sealed` is of another master key than the current one, so that a rotation has to
    /// [`Keyring::reseal`] it. Looks only at the header, checks nothing.
    #[must_use]
    pub fn needs_reseal(&self, sealed: &[u8]) -> bool {
        sealed.get(1).copied() != Some(self.current_key_id())
    }

    /// Opens a value and seals it under the current master key; `None` when it already is.
    ///
    /// # Errors
    /// Those of [`Keyring::open`].
    pub fn reseal(&self, scope: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Option<Vec<u8>>, CipherError> {
        let plain = zeroize::Zeroizing::new(self.open(scope, aad, sealed)?);
        Ok(self.needs_reseal(sealed).then(|| self.seal(scope, aad, &plain)))
    }
}

pub(super) fn seal_with_iv(master: &Master, scope: &[u8], aad: &[u8], plain: &[u8], iv: &[u8; IV_BYTES]) -> Vec<u8> {
    let keys = master.scope_keys(scope);
    let padded_len = (plain.len() / BLOCK_BYTES + 1) * BLOCK_BYTES;
    let end = HEADER_BYTES + padded_len;
    // One allocation, exactly as long as the result.
    let mut sealed = Vec::with_capacity(end + TAG_BYTES);
    sealed.extend_from_slice(&[VERSION, master.id]);
    sealed.extend_from_slice(iv);
    sealed.extend_from_slice(plain);
    sealed.resize(end, 0);
    cbc::Encryptor::inner_iv_init(&keys.aes, iv.into())
        .encrypt_padded::<Pkcs7>(&mut sealed[HEADER_BYTES..], plain.len())
        .expect("the buffer has room for the padding");
    let tag = keys.mac_over(aad, &sealed).finalize().into_bytes();
    sealed.extend_from_slice(&tag);
    sealed
}

impl ScopeKeys {
    /// The MAC of `aad length (u32, big endian) || aad || body`.
    fn mac_over(&self, aad: &[u8], body: &[u8]) -> Hmac<Sha256> {
        let aad_len = u32::try_from(aad.len()).expect("documented: aad is shorter than 4 GiB");
        let mut mac = self.mac.clone();
        mac.update(&aad_len.to_be_bytes());
        mac.update(aad);
        mac.update(body);
        mac
    }

    /// Compares in constant time.
    fn verify(&self, aad: &[u8], body: &[u8], tag: &[u8]) -> Result<(), CipherError> {
        self.mac_over(aad, body).verify_slice(tag).map_err(|_| CipherError::NotAuthentic)
    }

    fn decrypt(&self, iv: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, CipherError> {
        cbc::Decryptor::inner_iv_slice_init(&self.aes, iv)
            .map_err(|_| CipherError::NotAuthentic)?
            .decrypt_padded_vec::<Pkcs7>(ciphertext)
            .map_err(|_| CipherError::NotAuthentic)
    }
}
