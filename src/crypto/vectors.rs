//! Known answers: our bytes against those of openssl's command line (`testdata/make_vectors.sh`),
//! and our `encryption_data` read by another language (`examples/read_encryption_data.py`).

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

use super::cipher::seal_with_iv;
use super::envelope::derive_room_key;
use super::keyring::stretch;
use super::tests::{keyring, master};
use super::{Keyring, USER_DATA_SCOPE};

const VECTORS: &str = include_str!("testdata/vectors.txt");

fn text(name: &str) -> &'static str {
    VECTORS
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
        .unwrap_or_else(|| panic!("vectors.txt has no {name}"))
}

fn bytes(name: &str) -> Vec<u8> {
    hex::decode(text(name)).unwrap()
}

fn array<const N: usize>(name: &str) -> [u8; N] {
    bytes(name).try_into().unwrap()
}

/// The keyring of the vectors: key id 7.
fn vector_keyring() -> Keyring {
    keyring(master(7, text("chat_key"), text("chat_iv")), [])
}

/// Runs a program of this repository and gives its standard output.
fn run(command: &mut Command) -> Vec<u8> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().unwrap_or_else(|error| {
        if error.kind() == ErrorKind::NotFound {
            panic!("{program} is not installed; this test needs {program} and openssl");
        }
        panic!("{program} does not start: {error}");
    });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} (which needs the openssl command, 3.0 or newer) failed: {errors}");
    output.stdout
}

fn in_repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_committed_vectors_are_what_openssl_prints() {
    let script = in_repository("src/crypto/testdata/make_vectors.sh");
    let printed = run(Command::new("bash").arg(script));
    assert_eq!(String::from_utf8(printed).unwrap(), VECTORS);
}

#[test]
fn sealed_values_are_byte_for_byte_those_of_openssl() {
    let keyring = vector_keyring();
    for name in ["seal_empty", "seal_text", "seal_block", "seal_user"] {
        let part = |suffix: &str| bytes(&format!("{name}_{suffix}"));
        let (scope, aad, plain) = (part("scope"), part("aad"), part("plain"));
        let iv = array(&format!("{name}_iv"));
        let sealed = seal_with_iv(keyring.current(), &scope, &aad, &plain, &iv);
        assert_eq!(sealed, part("sealed"), "{name}");
        assert_eq!(keyring.open(&scope, &aad, &part("sealed")), Ok(plain), "{name}");
    }
    assert_eq!(USER_DATA_SCOPE, bytes("seal_user_scope"));
}

/// The MAC is over exactly the documented bytes; the vectors' keys make it without our code.
#[test]
fn the_tag_covers_length_aad_and_all_before_it() {
    let (sealed, aad) = (bytes("seal_text_sealed"), bytes("seal_text_aad"));
    let (body, tag) = sealed.split_at(sealed.len() - 32);
    let mut mac = Hmac::<Sha256>::new_from_slice(&bytes("seal_text_keys")[32..]).unwrap();
    mac.update(&[0, 0, 0, 11]);
    mac.update(&aad);
    mac.update(body);
    assert_eq!(mac.finalize().into_bytes().as_slice(), tag);
}

#[test]
fn room_keys_come_from_scrypt_and_hkdf() {
    let secret = stretch(&array("chat_key"), &bytes("scrypt_salt"));
    assert_eq!(secret.as_slice(), bytes("process_secret"));
    let process_secret = Hkdf::<Sha256>::new(None, secret.as_slice());
    let key = derive_room_key(&process_secret, &bytes("room_id"), &array("fresh"));
    assert_eq!(key.as_slice(), bytes("room_key"));
}

#[test]
fn encryption_data_is_that_of_openssl() {
    let keyring = vector_keyring();
    let wrapped = text("encryption_data_base64");
    let room_key = keyring.unwrap_room_key(wrapped).unwrap();
    assert_eq!(keyring.wrap(&room_key), wrapped);
    let sorted = text("encryption_data_sorted_base64");
    assert_eq!(keyring.unwrap_room_key(sorted), Ok(room_key));
}

#[test]
fn client_content_is_that_of_openssl() {
    let room_key = vector_keyring().unwrap_room_key(text("encryption_data_base64")).unwrap();
    for (plain, name) in [(bytes("content"), "content_base64"), (Vec::new(), "content_empty_base64")] {
        assert_eq!(room_key.encrypt(&plain), text(name));
        assert_eq!(room_key.decrypt(text(name)), Ok(plain));
    }
}

#[test]
fn python_reads_encryption_data_and_content() {
    let master = super::MasterKeyHex::generate(1).unwrap();
    let keyring = keyring(master.clone(), []);
    let room_key = keyring.new_room_key(b"any room");
    let plain = "¡Hola! Nos vemos a las 8 ☕\n";
    let read = run(Command::new("python3")
        .arg(in_repository("examples/read_encryption_data.py"))
        .arg(keyring.wrap(&room_key))
        .arg(room_key.encrypt(plain.as_bytes()))
        .env("CHAT_KEY", master.key.expose_secret())
        .env("CHAT_IV", master.iv.expose_secret()));
    assert_eq!(String::from_utf8(read).unwrap(), plain);
}
