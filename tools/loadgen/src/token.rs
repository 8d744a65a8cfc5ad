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
    exp: u64,
}

impl Minter {
    /// Takes the secret as hex digits.
    ///
    /// # Errors
    /// When they are none.
    pub(crate) fn from_hex(secret: &str) -> Result<Self> {
        let secret =
            unhex(secret.trim()).context("the secret must be hex digits, two for each byte")?;
        if secret.is_empty() {
            bail!("the secret is empty");
        }
        Ok(Self {
            key: EncodingKey::from_secret(&secret),
            exp: jsonwebtoken::get_current_timestamp() + LIFETIME.as_secs(),
        })
    }

    /// Takes the secret from a file of hex digits.
    ///
    /// # Errors
    /// When it cannot be read or holds no hex digits.
    pub(crate) fn from_file(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read {}: name the server's dev-jwt.key with --dev-key, or give --secret",
                path.display()
            )
        })?;
        Self::from_hex(&text).with_context(|| format!("in {}", path.display()))
    }

    /// The value of a user's `authorization` header.
    ///
    /// # Errors
    /// When signing fails.
    pub(crate) fn bearer(&self, user: i64) -> Result<String> {
        let claims = Claims {
            sub: &user.to_string(),
            name: &format!("loadgen {user}"),
            exp: self.exp,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)?;
        Ok(format!("Bearer {token}"))
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex() {
        assert_eq!(unhex("00ff7A"), Some(vec![0, 255, 122]));
        assert_eq!(unhex("0"), None);
        assert_eq!(unhex("zz"), None);
        assert!(Minter::from_hex(" \n").is_err());
    }
}
