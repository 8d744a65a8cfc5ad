//! JSON Web Key Sets (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tracing::debug;

use super::keys::{KEYS_PER_SOURCE_MAX, VerificationKey};

/// Least length of an RSA modulus, in bytes (2048 bits).
const RSA_MODULUS_LEN_MIN: usize = 256;

/// Whether a set may hold shared secrets (`oct`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secrets {
    /// A local file may.
    Allowed,
    /// A set that is served to whoever asks must not: its secret would be public.
    Refused,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// Reads the keys that can verify tokens here; others (encryption keys, kinds and curves that are
/// not supported) are skipped, as RFC 7517 section 5 asks. A set without a usable key is an error,
/// so that a broken answer never replaces working keys.
pub(super) fn parse(content: &[u8], secrets: Secrets) -> Result<Vec<VerificationKey>, String> {
    // The parser's own message could quote a secret, so only its place is told.
    let set: Set = serde_json::from_slice(content)
        .map_err(|err| format!("it is no JSON Web Key Set (line {}, column {})", err.line(), err.column()))?;
    if set.keys.len() > KEYS_PER_SOURCE_MAX {
        return Err(format!("it has more than {KEYS_PER_SOURCE_MAX} keys"));
    }
    let mut keys = Vec::new();
    let mut skipped = None;
    for (index, value) in set.keys.into_iter().enumerate() {
        match parse_key(value, secrets) {
            Ok(key) => keys.push(key),
            Err(problem) => {
                debug!(index, problem, "key of a key set skipped");
                skipped = Some(problem);
            }
        }
    }
    match (keys.is_empty(), skipped) {
        (false, _) => Ok(keys),
        (true, Some(problem)) => Err(format!("none of its keys can be used ({problem})")),
        (true, None) => Err("it has no keys".to_owned()),
    }
}

fn parse_key(value: Value, secrets: Secrets) -> Result<VerificationKey, &'static str> {
    let jwk: Jwk = serde_json::from_value(value).map_err(|_| "not a key")?;
    if !is_for_signatures(&jwk) {
        return Err("not for signatures");
    }
    let algorithm = algorithm_of(&jwk.algorithm)?;
    let declared = jwk.common.key_algorithm;
    if declared.is_some_and(|declared| declared != KeyAlgorithm::from(algorithm)) {
        return Err("its algorithm is not supported for its kind");
    }
    let kid = jwk.common.key_id.clone();
    if let AlgorithmParameters::OctetKey(octets) = &jwk.algorithm {
        if secrets == Secrets::Refused {
            return Err("a shared secret in a served key set");
        }
        let secret = URL_SAFE_NO_PAD.decode(&octets.value).map_err(|_| "not base64url")?;
        return VerificationKey::from_secret(kid, &secret).map_err(|_| "its secret is too short");
    }
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| "not base64url")?;
    Ok(VerificationKey::new(kid, algorithm, key))
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let by_use = match &jwk.common.public_key_use {
        None | Some(PublicKeyUse::Signature) => true,
        Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => false,
    };
    let by_operation =
        jwk.common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    by_use && by_operation
}

/// The one algorithm that a key of this kind may verify.
fn algorithm_of(parameters: &AlgorithmParameters) -> Result<Algorithm, &'static str> {
    match parameters {
        AlgorithmParameters::RSA(rsa) => {
            let modulus = URL_SAFE_NO_PAD.decode(&rsa.n).map_err(|_| "not base64url")?;
            let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
            if significant < RSA_MODULUS_LEN_MIN {
                return Err("an RSA key of less than 2048 bits");
            }
            Ok(Algorithm::RS256)
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => Ok(Algorithm::ES256),
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Ok(Algorithm::EdDSA),
        AlgorithmParameters::OctetKey(_) => Ok(Algorithm::HS256),
        _ => Err("a kind or curve that is not supported"),
    }
}
