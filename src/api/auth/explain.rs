//! What a token says, and which check it passes: for people who ask why it is refused.
//!
//! Goes on where the verifier stops, so it must decide nothing: the last word is the verifier's own.

use serde_json::{Map, Value};

use super::claims::Rules;
use super::keys::KeySet;
use super::token::Unverified;
use super::{AuthError, Identity};

/// A token, taken apart.
#[derive(Debug)]
pub struct Explained {
    /// The header's `alg`, if there is a header.
    pub algorithm: Option<String>,
    /// The header's `kid`, if it names one.
    pub key_id: Option<String>,
    /// What it claims; nothing of it is true before the signature is.
    pub claims: Option<Map<String, Value>>,
    /// Each check that could be made, in order, and what it found.
    pub checks: Vec<(&'static str, Result<(), AuthError>)>,
    /// What a server with these settings says of it.
    pub verdict: Result<Identity, AuthError>,
}

pub(super) fn explain(
    rules: &Rules,
    keys: &KeySet,
    token: &str,
    now_ms: i64,
    verdict: Result<Identity, AuthError>,
) -> Explained {
    let mut told = Explained { algorithm: None, key_id: None, claims: None, checks: Vec::new(), verdict };
    let parsed = match Unverified::parse(token) {
        Ok(parsed) => parsed,
        Err(error) => {
            told.checks.push(("form", Err(error)));
            return told;
        }
    };
    told.algorithm = Some(parsed.header.alg.clone());
    told.key_id.clone_from(&parsed.header.kid);
    let claims = parsed.claims();
    told.checks.push(("form", claims.as_ref().map(|_| ()).map_err(Clone::clone)));
    told.checks.push(("signature", keys.verify(&parsed)));
    if let Ok(claims) = claims {
        told.checks.extend(rules.each(&claims, now_ms));
        told.claims = Some(claims);
    }
    told
}
