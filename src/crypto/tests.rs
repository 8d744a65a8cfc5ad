//! What must hold for any input: round trips, refusal of everything changed, rotation, no panic,
//! no key in any print.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::cipher::seal_with_iv;
use super::{
    CipherError, Keyring, KeyringError, KeyringOptions, MasterKeyHex, SEALED_OVERHEAD_BYTES_MAX, USER_DATA_SCOPE,
};

const ROOM: &[u8] = b"a room's 16 byte";
const AAD: &[u8] = b"messages:42";
const TEXT: &[u8] = b"Nos vemos a las 8, como siempre.";

/// One for all tests that need no special keys: scrypt takes its time.
static KEYRING: LazyLock<Keyring> = LazyLock::new(|| keyring(MasterKeyHex::generate(1).unwrap(), []));

pub(super) fn master(id: u8, key: &str, iv: &str) -> MasterKeyHex {
    MasterKeyHex { id, key: key.into(), iv: iv.into() }
}

pub(super) fn keyring<const N: usize>(current: MasterKeyHex, older: [MasterKeyHex; N]) -> Keyring {
    let mut options = KeyringOptions::new(current);
    options.older = older.into();
    Keyring::new(&options).unwrap()
}

#[test]
fn every_flipped_byte_is_refused() {
    let sealed = KEYRING.seal(ROOM, AAD, TEXT);
    for at in 0..sealed.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = sealed.clone();
            changed[at] ^= flip;
            let expected = match at {
                0 => CipherError::UnknownVersion(changed[0]),
                1 => CipherError::UnknownKeyId(changed[1]),
                _ => CipherError::NotAuthentic,
            };
            assert_eq!(KEYRING.open(ROOM, AAD, &changed), Err(expected), "{at}");
        }
    }
}

#[test]
fn every_cut_and_every_extension_is_refused() {
    let sealed = KEYRING.seal(ROOM, AAD, TEXT);
    let shortest = KEYRING.seal(ROOM, AAD, b"").len();
    for len in 0..sealed.len() {
        let expected = if len < shortest { CipherError::TooShort } else { CipherError::NotAuthentic };
        let opened = KEYRING.open(ROOM, AAD, &sealed[..len]);
        assert_eq!(opened, Err(expected), "{len}");
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    let opened = KEYRING.open(ROOM, AAD, &longer);
    assert_eq!(opened, Err(CipherError::NotAuthentic));
}

#[test]
fn a_value_opens_only_in_its_scope_and_place() {
    let sealed = KEYRING.seal(ROOM, AAD, TEXT);
    for (scope, aad) in
        [(b"another room's 1".as_slice(), AAD), (USER_DATA_SCOPE, AAD), (b"", AAD), (ROOM, b"messages:43"), (ROOM, b"")]
    {
        let opened = KEYRING.open(scope, aad, &sealed);
        assert_eq!(opened, Err(CipherError::NotAuthentic));
    }
}

/// Without the length in front of the MAC, this moved value would open as the plaintext's tail: an
/// IV that ends like a header, and the first ciphertext block as the IV of the rest.
#[test]
fn bytes_cannot_move_between_the_value_and_its_aad() {
    let mut iv = [9; 16];
    iv[14..].copy_from_slice(&[1, KEYRING.current_key_id()]);
    let sealed = seal_with_iv(KEYRING.current(), ROOM, b"", TEXT, &iv);
    let opened = KEYRING.open(ROOM, &sealed[..16], &sealed[16..]);
    assert_eq!(opened, Err(CipherError::NotAuthentic));
}

#[test]
fn equal_plaintexts_seal_to_different_values() {
    let one = KEYRING.seal(ROOM, AAD, TEXT);
    let two = KEYRING.seal(ROOM, AAD, TEXT);
    assert_ne!(one[2..18], two[2..18], "IV");
    assert_ne!(one[18..34], two[18..34], "first block");
}

#[test]
fn a_key_of_the_same_id_but_other_bytes_is_refused() {
    let sealed = KEYRING.seal(ROOM, AAD, TEXT);
    let stranger = keyring(MasterKeyHex::generate(1).unwrap(), []);
    let opened = stranger.open(ROOM, AAD, &sealed);
    assert_eq!(opened, Err(CipherError::NotAuthentic));
}

#[test]
fn rotation_by_restart_and_online() {
    let old = MasterKeyHex::generate(1).unwrap();
    let new = MasterKeyHex::generate(2).unwrap();
    let before = keyring(old.clone(), []);
    let sealed = before.seal(ROOM, AAD, TEXT);
    let room_key = before.new_room_key(ROOM);
    let wrapped = before.wrap(&room_key);

    let restarted = keyring(new.clone(), [old]);
    let online = before.with_current(&new).unwrap();
    let after_all = keyring(new, []);
    for rotated in [restarted, online] {
        assert_eq!(rotated.current_key_id(), 2);
        assert_eq!(rotated.key_ids().collect::<Vec<_>>(), [2, 1]);
        assert_eq!(rotated.open(ROOM, AAD, &sealed).unwrap(), TEXT);
        assert_eq!(rotated.unwrap_room_key(&wrapped).unwrap(), room_key);

        assert!(rotated.needs_reseal(&sealed));
        let resealed = rotated.reseal(ROOM, AAD, &sealed).unwrap().unwrap();
        assert!(!rotated.needs_reseal(&resealed));
        assert_eq!(rotated.reseal(ROOM, AAD, &resealed), Ok(None));
        let rewrapped = rotated.rewrap(&wrapped).unwrap().unwrap();
        assert_eq!(rotated.rewrap(&rewrapped), Ok(None));

        // Now the old master key can be taken out of the configuration.
        assert_eq!(after_all.open(ROOM, AAD, &resealed).unwrap(), TEXT);
        assert_eq!(after_all.unwrap_room_key(&rewrapped).unwrap(), room_key);
    }
    let opened = after_all.open(ROOM, AAD, &sealed);
    assert_eq!(opened, Err(CipherError::UnknownKeyId(1)));
    let unwrapped = after_all.unwrap_room_key(&wrapped);
    assert_eq!(unwrapped, Err(CipherError::EncryptionData));
}

#[test]
fn reseal_refuses_what_is_not_authentic() {
    let mut sealed = KEYRING.seal(ROOM, AAD, TEXT);
    sealed[20] ^= 1;
    let resealed = KEYRING.reseal(ROOM, AAD, &sealed);
    assert_eq!(resealed, Err(CipherError::NotAuthentic));
}

#[test]
fn room_keys_are_fresh_each_time() {
    let one = KEYRING.new_room_key(ROOM);
    let two = KEYRING.new_room_key(ROOM);
    assert_ne!(one, two);
    // With equal keys the other's IV would garble the first block only.
    let crossed = two.decrypt(&one.encrypt(TEXT));
    assert!(!crossed.is_ok_and(|plain| plain.ends_with(&TEXT[16..])));
    assert_eq!(KEYRING.wrap(&one).len(), 172);
}

#[test]
fn encryption_data_of_another_shape_is_refused() {
    let room_key = KEYRING.new_room_key(ROOM);
    let wrapped = KEYRING.wrap(&room_key);
    let long = BASE64.encode([0; 4_096]);
    let cut = &wrapped[..wrapped.len() - 4];
    // An `encryption_data` that decrypts, but to the client form of some other content.
    let not_json = room_key.encrypt(b"{}");
    for bad in ["", "=", "no base64!", &long, cut, &not_json] {
        let unwrapped = KEYRING.unwrap_room_key(bad);
        assert_eq!(unwrapped, Err(CipherError::EncryptionData), "{bad:.40}");
    }
}

#[test]
fn wrong_keys_are_named_without_their_content() {
    let good = MasterKeyHex::generate(3).unwrap();
    let (key, iv) = (good.key.expose_secret(), good.iv.expose_secret());
    let bad_digit = format!("zz{}", &key[2..]);
    let cases = [
        (master(3, &key[2..], iv), KeyringError::WrongLength { key_id: 3, field: "key", expected: 64, found: 62 }),
        (master(3, key, key), KeyringError::WrongLength { key_id: 3, field: "iv", expected: 32, found: 64 }),
        (master(3, &bad_digit, iv), KeyringError::NotHex { key_id: 3, field: "key" }),
    ];
    for (bad, expected) in cases {
        let error = Keyring::new(&KeyringOptions::new(bad)).unwrap_err();
        assert_eq!(error, expected);
        assert!(!error.to_string().contains(&key[8..16]));
    }
    let mut twice = KeyringOptions::new(good.clone());
    twice.older = vec![good.clone()];
    let error = Keyring::new(&twice).unwrap_err();
    assert_eq!(error, KeyringError::DuplicateKeyId(3));
    let error = keyring(good.clone(), []).with_current(&good).unwrap_err();
    assert_eq!(error, KeyringError::DuplicateKeyId(3));
}

#[test]
fn debug_shows_no_key() {
    let text = MasterKeyHex::generate(9).unwrap();
    let options = KeyringOptions::new(text.clone());
    let keyring = Keyring::new(&options).unwrap();
    let room_key = keyring.new_room_key(ROOM);
    let shown = format!("{text:?} {options:?} {keyring:?} {room_key:?}");
    let key_start = &text.key.expose_secret()[..8];
    assert!(!shown.contains(key_start), "{shown}");
    assert!(!shown.contains(&text.iv.expose_secret()[..8]), "{shown}");
    assert!(shown.ends_with("Keyring { key_ids: [9], .. } RoomKey { .. }"), "{shown}");
}

proptest! {
    #[test]
    fn sealed_values_come_back(scope: Vec<u8>, aad: Vec<u8>, plain: Vec<u8>) {
        let sealed = KEYRING.seal(&scope, &aad, &plain);
        prop_assert!(sealed.len() <= plain.len() + SEALED_OVERHEAD_BYTES_MAX);
        prop_assert_eq!(sealed.capacity(), sealed.len());
        prop_assert_eq!(KEYRING.open(&scope, &aad, &sealed), Ok(plain));
    }

    #[test]
    fn client_content_comes_back(plain: Vec<u8>) {
        let room_key = KEYRING.new_room_key(ROOM);
        prop_assert_eq!(room_key.decrypt(&room_key.encrypt(&plain)), Ok(plain));
    }

    #[test]
    fn room_keys_come_back(room_id: Vec<u8>) {
        let room_key = KEYRING.new_room_key(&room_id);
        let wrapped = KEYRING.wrap(&room_key);
        prop_assert_eq!(KEYRING.unwrap_room_key(&wrapped), Ok(room_key));
    }

    #[test]
    fn open_takes_any_bytes(sealed: Vec<u8>, known_header: bool) {
        let mut sealed = sealed;
        if known_header && sealed.len() >= 2 {
            sealed[..2].copy_from_slice(&[1, 1]);
        }
        prop_assert!(KEYRING.open(ROOM, AAD, &sealed).is_err());
        prop_assert!(KEYRING.reseal(ROOM, AAD, &sealed).is_err());
    }

    #[test]
    fn unwrap_takes_any_text(text: String, bytes: Vec<u8>) {
        prop_assert!(KEYRING.unwrap_room_key(&text).is_err());
        prop_assert!(KEYRING.unwrap_room_key(&BASE64.encode(&bytes)).is_err());
        let room_key = KEYRING.new_room_key(ROOM);
        // May decrypt to something, for want of a tag; must not panic.
        let _ = room_key.decrypt(&text);
        let _ = room_key.decrypt(&BASE64.encode(&bytes));
    }

    /// Text that decrypts under the master key, so that the JSON behind it is what is arbitrary.
    #[test]
    fn unwrap_takes_any_plaintext(key in "[0-9a-f\\\\\"]{0,70}", iv in "[0-9a-f\\\\\"]{0,40}") {
        let json = format!(r#"{{"key":"{key}","iv":"{iv}"}}"#);
        let wrapped = super::envelope::wrap_bytes(KEYRING.current(), json.as_bytes());
        let is_key = |text: &str, digits| text.len() == digits && hex::decode(text).is_ok();
        let expected = is_key(&key, 64) && is_key(&iv, 32);
        prop_assert_eq!(KEYRING.unwrap_room_key(&wrapped).is_ok(), expected);
    }
}
