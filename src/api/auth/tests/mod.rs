//! What the tests of this module share: keys, tokens, a key server.

mod claims;
mod confusion;
mod dev_key;
mod explain;
mod keys;
mod rotation;

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;

/// 2026-11-21, in ms.
const NOW_MS: i64 = 1_795_219_200_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api/auth/testdata").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(testdata(name)).unwrap()
}

fn verifier(source: KeySource) -> Verifier {
    Verifier::from_options(AuthOptions::new(vec![source])).unwrap()
}

fn hmac() -> KeySource {
    KeySource::HmacSecret(SecretString::from(SECRET))
}

fn pem(name: &str) -> KeySource {
    KeySource::PublicKeyFile(testdata(name))
}

/// A good token's claims.
fn good() -> Value {
    json!({"sub": "42", "name": "Ada", "exp": NOW_MS / 1000 + 60})
}

/// The private key that tokens of this algorithm are signed with here.
fn signing_key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::HS256 => EncodingKey::from_secret(SECRET.as_bytes()),
        Algorithm::RS256 => EncodingKey::from_rsa_pem(&bytes("rs256.private.pem")).unwrap(),
        Algorithm::ES256 => EncodingKey::from_ec_pem(&bytes("es256.private.pem")).unwrap(),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(&bytes("eddsa.private.pem")).unwrap(),
        other => panic!("no key for {other:?}"),
    }
}

fn sign(algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    sign_with(algorithm, kid, claims, &signing_key(algorithm))
}

fn sign_with(algorithm: Algorithm, kid: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

/// A token with any header at all, signed as HS256 with these bytes.
fn sign_by_hand(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}
