//! The compact form of a signed token, taken apart without trusting any of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::AuthError;

/// Longest token that is looked at, in bytes.
pub(super) const TOKEN_LEN_MAX: usize = 8 * 1024;

/// The parts of a token. Nothing in it is verified.
#[derive(Debug)]
pub(super) struct Unverified<'a> {
    /// What was signed: header and payload as sent.
    pub(super) message: &'a [u8],
    payload: &'a str,
    /// The signature as sent (base64url).
    pub(super) signature: &'a str,
    pub(super) header: Header,
}

/// What is read of a header. `alg` stays a string, so that an unknown one is told from a broken header.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default)]
    pub(super) kid: Option<String>,
    /// Extensions that the receiver must understand (RFC 7515, 4.1.11): we understand none.
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

impl<'a> Unverified<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        if token.len() > TOKEN_LEN_MAX {
            return Err(AuthError::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(AuthError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(AuthError::Malformed)?;
        if payload.contains('.') {
            return Err(AuthError::Malformed);
        }
        let header: Header = decode_json(header)?;
        if header.crit.is_some() {
            return Err(AuthError::Malformed);
        }
        Ok(Self { message: message.as_bytes(), payload, signature, header })
    }

    /// The claims. To be called after the signature verified.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, AuthError> {
        decode_json(self.payload)
    }
}

fn decode_json<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, AuthError> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| AuthError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| AuthError::Malformed)
}
