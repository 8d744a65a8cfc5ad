//! Room keys: how they are made, how they travel as `encryption_data`, and the content form of
//! clients that encrypt with them.
//!
//! Owns the forms that existing clients read and write; every byte of them is fixed by those
//! clients. Must not be what protects stored data: neither form is authenticated, and both use a
//! fixed IV (`CHAT_IV` for all rooms, the room's IV for all of its messages), so equal beginnings
//! of two contents give equal beginnings of ciphertext, and a changed ciphertext may decrypt to
//! something else. Whatever comes in these forms is sealed again before it is stored.

use std::fmt;

use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hkdf::Hkdf;
use rand::RngCore;
use serde::Deserialize;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::cipher::CipherError;
use super::keyring::{IV_BYTES, KEY_BYTES, Keyring, Master};

/// Random bytes that make two keys of one room differ.
const FRESH_BYTES: usize = 16;
/// Ours has 172; room is left for clients that write their JSON with blanks.
const ENCRYPTION_DATA_BYTES_MAX: usize = 1_024;

/// Key and IV that all clients of one room share. Wiped on drop; never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RoomKey {
    key: [u8; KEY_BYTES],
    iv: [u8; IV_BYTES],
}

impl RoomKey {
    /// Encrypts content as the clients do: AES-256-CBC with the room's fixed IV, PKCS#7, standard
    /// base64.
    ///
    /// Weaker than [`Keyring::seal`], by the clients' form: equal contents give equal ciphertexts,
    /// and nothing is authenticated.
    #[must_use]
    pub fn encrypt(&self, plain: &[u8]) -> String {
        BASE64.encode(cbc_encrypt(&self.key, &self.iv, plain))
    }

    /// Decrypts content in the form of [`RoomKey::encrypt`].
    ///
    /// Not authenticated: a changed ciphertext can come out as other bytes, and about 1 of 256
    /// random ciphertexts decrypts to something. Never tell a client whether this failed (that is
    /// a padding oracle), and never guess by it whether content is encrypted.
    ///
    /// # Errors
    /// [`CipherError::ClientContent`] for every fault.
    pub fn decrypt(&self, content: &str) -> Result<Vec<u8>, CipherError> {
        let ciphertext = BASE64.decode(content).map_err(|_| CipherError::ClientContent)?;
        cbc_decrypt(&self.key, &self.iv, &ciphertext).ok_or(CipherError::ClientContent)
    }
}

impl fmt::Debug for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomKey").finish_non_exhaustive()
    }
}

/// In constant time.
impl PartialEq for RoomKey {
    fn eq(&self, other: &Self) -> bool {
        (self.key.ct_eq(&other.key) & self.iv.ct_eq(&other.iv)).into()
    }
}

impl Eq for RoomKey {}

impl Keyring {
    /// Makes a key for a room; every call gives another one. About a microsecond: scrypt already
    /// ran in [`Keyring::new`].
    #[must_use]
    pub fn new_room_key(&self, room_id: &[u8]) -> RoomKey {
        let mut fresh = [0; FRESH_BYTES];
        let mut iv = [0; IV_BYTES];
        let mut rng = rand::rng();
        rng.fill_bytes(&mut fresh);
        rng.fill_bytes(&mut iv);
        RoomKey { key: derive_room_key(&self.process_secret, room_id, &fresh), iv }
    }

    /// The `encryption_data` of a room key under the current master key: 172 characters.
    #[must_use]
    pub fn wrap(&self, room_key: &RoomKey) -> String {
        wrap_under(self.current(), room_key)
    }

    /// Reads an `encryption_data`, with the current master key first, then with the older ones.
    ///
    /// The form has no tag; what vouches for the right master key is that the plaintext is JSON
    /// with a key and an IV of the right length in hexadecimal. Takes any text.
    ///
    /// # Errors
    /// [`CipherError::EncryptionData`] for every fault.
    pub fn unwrap_room_key(&self, encryption_data: &str) -> Result<RoomKey, CipherError> {
        let (_, room_key) = self.unwrap_with_master(encryption_data)?;
        Ok(room_key)
    }

    /// The same room key under the current master key; `None` when it already is.
    ///
    /// # Errors
    /// [`CipherError::EncryptionData`] when no configured master key reads it.
    pub fn rewrap(&self, encryption_data: &str) -> Result<Option<String>, CipherError> {
        let (master, room_key) = self.unwrap_with_master(encryption_data)?;
        Ok((master.id != self.current_key_id()).then(|| self.wrap(&room_key)))
    }

    fn unwrap_with_master(&self, encryption_data: &str) -> Result<(&Master, RoomKey), CipherError> {
        if encryption_data.len() > ENCRYPTION_DATA_BYTES_MAX {
            return Err(CipherError::EncryptionData);
        }
        let wrapped = BASE64.decode(encryption_data).map_err(|_| CipherError::EncryptionData)?;
        self.masters()
            .find_map(|master| Some((master, unwrap_under(master, &wrapped)?)))
            .ok_or(CipherError::EncryptionData)
    }
}

/// `HKDF(process secret, room id || fresh)`.
pub(super) fn derive_room_key(
    process_secret: &Hkdf<Sha256>,
    room_id: &[u8],
    fresh: &[u8; FRESH_BYTES],
) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    process_secret.expand_multi_info(&[room_id, fresh], &mut key).expect("32 bytes are within HKDF's bound of 8,160");
    key
}

fn wrap_under(master: &Master, room_key: &RoomKey) -> String {
    // The key first: its random digits are in the first block, so that under the one `CHAT_IV` no
    // two rooms share a first block of ciphertext.
    let key = Zeroizing::new(hex::encode(room_key.key));
    let iv = Zeroizing::new(hex::encode(room_key.iv));
    let json = Zeroizing::new(format!(r#"{{"key":"{}","iv":"{}"}}"#, *key, *iv));
    wrap_bytes(master, json.as_bytes())
}

pub(super) fn wrap_bytes(master: &Master, plain: &[u8]) -> String {
    BASE64.encode(cbc_encrypt(&master.wrap_key, &master.wrap_iv, plain))
}

fn unwrap_under(master: &Master, wrapped: &[u8]) -> Option<RoomKey> {
    #[derive(Deserialize)]
    struct Json<'a> {
        key: &'a str,
        iv: &'a str,
    }
    let plain = Zeroizing::new(cbc_decrypt(&master.wrap_key, &master.wrap_iv, wrapped)?);
    let json: Json<'_> = serde_json::from_slice(&plain).ok()?;
    let mut room_key = RoomKey { key: [0; KEY_BYTES], iv: [0; IV_BYTES] };
    hex::decode_to_slice(json.key, &mut room_key.key).ok()?;
    hex::decode_to_slice(json.iv, &mut room_key.iv).ok()?;
    Some(room_key)
}

fn cbc_encrypt(key: &[u8; KEY_BYTES], iv: &[u8; IV_BYTES], plain: &[u8]) -> Vec<u8> {
    cbc::Encryptor::<Aes256>::new(key.into(), iv.into()).encrypt_padded_vec::<Pkcs7>(plain)
}

fn cbc_decrypt(key: &[u8; KEY_BYTES], iv: &[u8; IV_BYTES], ciphertext: &[u8]) -> Option<Vec<u8>> {
    cbc::Decryptor::<Aes256>::new(key.into(), iv.into()).decrypt_padded_vec::<Pkcs7>(ciphertext).ok()
}
