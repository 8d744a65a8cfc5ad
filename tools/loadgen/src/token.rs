//! Tokens for the generator's users, signed with the server's development key.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, bail};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

/// Longer than any run.
const LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// Signs tokens.
pub(crate) struct Minter {
    key: EncodingKey,
    exp: u64,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    name: &'a str,
    role: &'a str,
    exp: u64,
}

impl Minter {
    /// Takes the secret as the server does: the characters themselves, without white space around them.
    ///
    /// # Errors
    /// When there are none.
    pub(crate) fn from_text(secret: &str) -> Result<Self> {
        let secret = secret.trim();
        if secret.is_empty() {
            bail!("the secret is empty");
        }
        Ok(Self {
            key: EncodingKey::from_secret(secret.as_bytes()),
            exp: jsonwebtoken::get_current_timestamp() + LIFETIME.as_secs(),
        })
    }

    /// Takes the secret from a file.
    ///
    /// # Errors
    /// When it cannot be read or is empty.
    pub(crate) fn from_file(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| {
            format!("cannot read {}: name the server's dev-jwt.key with --dev-key, or give --secret", path.display())
        })?;
        Self::from_text(&text).with_context(|| format!("in {}", path.display()))
    }

    /// The value of a user's `authorization` header.
    ///
    /// # Errors
    /// When signing fails.
    pub(crate) fn bearer(&self, user: i64) -> Result<String> {
        self.sign(user, "user")
    }

    /// The same with the admin role, for making rooms: how many others a user may add is limited.
    ///
    /// # Errors
    /// When signing fails.
    pub(crate) fn admin_bearer(&self, user: i64) -> Result<String> {
        self.sign(user, "admin")
    }

    fn sign(&self, user: i64, role: &str) -> Result<String> {
        let claims = Claims { sub: &user.to_string(), name: &format!("loadgen {user}"), role, exp: self.exp };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)?;
        Ok(format!("Bearer {token}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_white_space_is_none() {
        assert!(Minter::from_text(" \n").is_err());
        assert!(Minter::from_text("s").is_ok());
    }
}
