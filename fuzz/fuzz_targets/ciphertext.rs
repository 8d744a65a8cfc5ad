//! Ciphertext: forged bytes never open, honest ones do, and nothing panics.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tertulia::crypto::{Keyring, KeyringOptions, MasterKeyHex};

const SCOPE: &[u8] = b"a room's 16 byte";

static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    let master = MasterKeyHex::generate(1).expect("the system gives random bytes");
    Keyring::new(&KeyringOptions::new(master)).expect("a generated key is valid")
});

fuzz_target!(|bytes: &[u8]| {
    let keyring = &*KEYRING;
    // The keys are made anew for every run: no input can be authentic.
    assert!(keyring.open(SCOPE, b"aad", bytes).is_err());
    let mut forged = vec![1, 1];
    forged.extend_from_slice(bytes);
    assert!(keyring.open(SCOPE, b"aad", &forged).is_err());

    let sealed = keyring.seal(SCOPE, bytes, bytes);
    let opened = keyring.open(SCOPE, bytes, &sealed);
    assert_eq!(opened.expect("what was sealed opens"), bytes);
    if let Some(at) = bytes.first() {
        let mut damaged = sealed;
        let at = usize::from(*at) % damaged.len();
        damaged[at] ^= 1;
        assert!(keyring.open(SCOPE, bytes, &damaged).is_err());
    }

    let text = String::from_utf8_lossy(bytes);
    let _ = keyring.rewrap(&text);
    if let Ok(room_key) = keyring.unwrap_room_key(&text) {
        let _ = room_key.decrypt(&text);
    }
    let room_key = keyring.new_room_key(SCOPE);
    let _ = room_key.decrypt(&text);
    let content = room_key.encrypt(bytes);
    assert_eq!(
        room_key
            .decrypt(&content)
            .expect("what was encrypted decrypts"),
        bytes
    );
});
