//! Verification keys and the choice among them.
//!
//! A key carries its one algorithm. A token's header narrows the choice, and never decides how a
//! key is used.

use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey};

use super::AuthError;
use super::token::Unverified;

/// Most keys of one source. A set beyond that is a mistake or an attack.
pub(super) const KEYS_PER_SOURCE_MAX: usize = 64;

/// Shortest HS256 secret, in bytes (RFC 7518, 3.2).
pub(super) const HMAC_SECRET_LEN_MIN: usize = 32;

/// A key that can verify tokens of exactly one algorithm.
#[derive(Clone)]
pub(super) struct VerificationKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// Never shows the key, which may be a secret.
impl fmt::Debug for VerificationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerificationKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl VerificationKey {
    pub(super) fn new(kid: Option<String>, algorithm: Algorithm, key: DecodingKey) -> Self {
        Self { kid, algorithm, key }
    }

    /// An HS256 key.
    pub(super) fn from_secret(kid: Option<String>, secret: &[u8]) -> Result<Self, String> {
        if secret.len() < HMAC_SECRET_LEN_MIN {
            return Err(format!(
                "an HS256 secret has at least {HMAC_SECRET_LEN_MIN} bytes, this one has {}",
                secret.len()
            ));
        }
        Ok(Self::new(kid, Algorithm::HS256, DecodingKey::from_secret(secret)))
    }

    fn has_name_of(&self, header_alg: &str) -> bool {
        algorithm_name(self.algorithm) == Some(header_alg)
    }

    fn verifies(&self, token: &Unverified<'_>) -> bool {
        jsonwebtoken::crypto::verify(token.signature, token.message, &self.key, self.algorithm).unwrap_or(false)
    }
}

/// The `alg` of the algorithms that are supported.
fn algorithm_name(algorithm: Algorithm) -> Option<&'static str> {
    match algorithm {
        Algorithm::HS256 => Some("HS256"),
        Algorithm::RS256 => Some("RS256"),
        Algorithm::ES256 => Some("ES256"),
        Algorithm::EdDSA => Some("EdDSA"),
        _ => None,
    }
}

/// All keys of one moment.
#[derive(Debug)]
pub(super) struct KeySet {
    /// Grows whenever the keys change; tells whether a remembered verification still counts.
    pub(super) generation: u64,
    /// Every source has been read at least once.
    pub(super) complete: bool,
    /// Some source can hold keys with a `kid`.
    pub(super) named: bool,
    /// The keys, in the order of the sources.
    pub(super) keys: Vec<Arc<VerificationKey>>,
}

impl KeySet {
    /// Checks the token's signature.
    ///
    /// A token with a `kid` is checked with the keys of that name, or, if there is none, with the
    /// keys that have no name (a secret or a PEM file); a token without one with every key.
    pub(super) fn verify(&self, token: &Unverified<'_>) -> Result<(), AuthError> {
        self.check(token).map_err(|err| if self.complete { err } else { AuthError::KeysUnavailable })
    }

    fn check(&self, token: &Unverified<'_>) -> Result<(), AuthError> {
        let all = || self.keys.iter().map(AsRef::as_ref);
        let Some(kid) = token.header.kid.as_deref().filter(|_| self.named) else {
            return try_keys(all(), token);
        };
        let is_meant = |key: &&VerificationKey| key.kid.as_deref() == Some(kid);
        if all().any(|key| is_meant(&key)) {
            return try_keys(all().filter(is_meant), token);
        }
        // That a key without a name does not verify it says nothing about the key the token means.
        try_keys(all().filter(|key| key.kid.is_none()), token).map_err(|_| AuthError::UnknownKey)
    }
}

fn try_keys<'a>(keys: impl Iterator<Item = &'a VerificationKey>, token: &Unverified<'_>) -> Result<(), AuthError> {
    let mut error = AuthError::WrongAlgorithm;
    for key in keys.filter(|key| key.has_name_of(&token.header.alg)) {
        if key.verifies(token) {
            return Ok(());
        }
        error = AuthError::BadSignature;
    }
    Err(error)
}
