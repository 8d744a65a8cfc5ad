//! Who is calling: verification of the product's JSON Web Tokens.
//!
//! Owns the verification keys, their refresh, the claims mapping and the development key. Must not
//! know gRPC: it takes the value of an `authorization` header and answers an [`Identity`] or an
//! [`AuthError`]; what the client is told is decided where statuses are made.
//!
//! Rules that hold here:
//! - the algorithm belongs to the key; the token's header may only agree with it;
//! - a signature is checked before any claim is looked at;
//! - time is passed in, so that tests and the simulation own it;
//! - a slow or dead key server delays only callers whose key is not known yet.

mod cache;
mod claims;
pub mod dev_key;
mod error;
mod expiry;
mod explain;
mod jwks;
mod keys;
mod options;
mod pem;
mod refresh;
mod source;
mod token;
mod verifier;

#[cfg(test)]
mod tests;

pub use dev_key::DevKey;
pub use error::{AuthError, KeyError};
pub use expiry::Expiry;
pub use explain::Explained;
pub use options::{AuthOptions, ClaimNames, KeySource};
pub use verifier::Verifier;

use std::fmt;

/// A verified caller.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The product's own id of the user, at least 1.
    pub user_id: i64,
    /// The name to show; none if the token does not say.
    pub name: Option<String>,
    /// Address of the user's picture; none if the token does not say.
    pub picture: Option<String>,
    /// When the token was issued, in milliseconds since the Unix epoch; none if it does not say. Of several tokens the
    /// newest decides on name and picture.
    pub issued_at_ms: Option<i64>,
    /// Whether the token carries the configured admin role.
    pub admin: bool,
    /// When the token ends. Long streams end then.
    pub expiry: Expiry,
}

/// Names and pictures are personal data: they stay out of logs.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("user_id", &self.user_id)
            .field("admin", &self.admin)
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}

/// The token in the value of an `authorization` header (`Bearer <token>`, the scheme in any case).
///
/// # Errors
/// [`AuthError::Missing`] without a header or with an empty one, [`AuthError::Malformed`] for any
/// other scheme, for bytes that are no ASCII, and for more than one word after the scheme.
pub fn bearer_token(authorization: Option<&[u8]>) -> Result<&str, AuthError> {
    let value = authorization.ok_or(AuthError::Missing)?;
    let value = str::from_utf8(value).map_err(|_| AuthError::Malformed)?.trim_matches([' ', '\t']);
    if value.is_empty() {
        return Err(AuthError::Missing);
    }
    let (scheme, token) = value.split_once([' ', '\t']).unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(AuthError::Malformed);
    }
    let token = token.trim_start_matches([' ', '\t']);
    if token.is_empty() {
        return Err(AuthError::Missing);
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(AuthError::Malformed);
    }
    Ok(token)
}
