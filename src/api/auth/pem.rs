//! Public keys in PEM form.

use jsonwebtoken::{Algorithm, DecodingKey};

use super::keys::{KEYS_PER_SOURCE_MAX, VerificationKey};

/// Least length of the DER form of an RSA public key of 2048 bits.
const RSA_DER_LEN_MIN: usize = 256;

/// Length of an uncompressed P-256 point.
const P256_POINT_LEN: usize = 65;

const BEGIN: &str = "-----BEGIN ";

/// Reads every public key of a file: the old and the new one while a key is being changed.
pub(super) fn parse(content: &[u8]) -> Result<Vec<VerificationKey>, String> {
    let text = str::from_utf8(content).map_err(|_| "it is no text".to_owned())?;
    let mut keys = Vec::new();
    for (start, _) in text.match_indices(BEGIN) {
        let rest = &text[start..];
        let end = rest[BEGIN.len()..].find(BEGIN).map_or(rest.len(), |next| next + BEGIN.len());
        keys.push(parse_block(&rest[..end])?);
        if keys.len() > KEYS_PER_SOURCE_MAX {
            return Err(format!("it has more than {KEYS_PER_SOURCE_MAX} keys"));
        }
    }
    if keys.is_empty() {
        return Err("it has no PEM block".to_owned());
    }
    Ok(keys)
}

fn parse_block(block: &str) -> Result<VerificationKey, String> {
    let label = block[BEGIN.len()..].split("-----").next().unwrap_or("");
    if label.ends_with("PRIVATE KEY") {
        return Err("it is a private key; this server needs the public one only".to_owned());
    }
    if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") {
        return Err("a PEM block is neither PUBLIC KEY nor RSA PUBLIC KEY".to_owned());
    }
    let pem = block.as_bytes();
    let (algorithm, key) = if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        (Algorithm::EdDSA, key)
    } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
        if len_of(&key) != P256_POINT_LEN {
            return Err("an elliptic curve key is not on P-256".to_owned());
        }
        (Algorithm::ES256, key)
    } else if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        if len_of(&key) < RSA_DER_LEN_MIN {
            return Err("an RSA key has less than 2048 bits".to_owned());
        }
        (Algorithm::RS256, key)
    } else {
        return Err("a PEM block is no RSA, P-256 or Ed25519 public key".to_owned());
    };
    Ok(VerificationKey::new(None, algorithm, key))
}

fn len_of(key: &DecodingKey) -> usize {
    key.try_get_as_bytes().map_or(0, <[u8]>::len)
}
