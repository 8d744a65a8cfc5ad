//! The key of a server that nobody configured: made at the first start, kept in the data directory.
//!
//! It is an HS256 secret like any other: the file's text is the secret, so any JWT tool can sign
//! with it, and `auth.hmac_secret_file` can name it.

use std::io;
use std::path::Path;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tracing::warn;
use zeroize::Zeroizing;

use super::KeyError;
use super::options::{AuthOptions, KeySource};
use crate::secret_file;

/// The key's file in the data directory.
pub const FILE_NAME: &str = "dev-jwt.key";

/// Length of the random part, in bytes; the file holds twice as many hexadecimal digits.
const SECRET_LEN: usize = 32;

/// A secret that signs and verifies tokens of a development server.
#[derive(Clone, Debug)]
pub struct DevKey {
    secret: SecretString,
}

/// What a development token is to say.
#[derive(Clone, Copy, Debug)]
pub struct TokenSpec<'a> {
    /// The user, at least 1.
    pub user_id: i64,
    /// The name to show; empty for none.
    pub name: &'a str,
    /// Address of a picture; empty for none.
    pub picture: &'a str,
    /// Whether the user is an admin.
    pub admin: bool,
    /// How long the token is valid.
    pub ttl: Duration,
    /// The time now, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// Reads `dev-jwt.key` in the data directory; none if it is not there. Makes nothing.
///
/// # Errors
/// [`KeyError`] if the file cannot be read, or does not hold 64 hexadecimal digits.
pub fn load(data_dir: &Path) -> Result<Option<DevKey>, KeyError> {
    let path = data_dir.join(FILE_NAME);
    match secret_file::read(&path).map(Zeroizing::new) {
        Ok(content) => key_in(&path, &content).map(Some),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeyError::File { path, source }),
    }
}

/// Reads `dev-jwt.key` in the data directory, or makes both. For the server alone: a key that somebody else makes is
/// none that a server takes.
///
/// # Errors
/// [`KeyError`] if the file cannot be read or made, or does not hold 64 hexadecimal digits.
pub fn load_or_create(data_dir: &Path) -> Result<DevKey, KeyError> {
    let path = data_dir.join(FILE_NAME);
    let mut random = Zeroizing::new([0_u8; SECRET_LEN]);
    getrandom::fill(random.as_mut_slice()).map_err(KeyError::Random)?;
    let content =
        secret_file::read_or_create(&path, || Ok(format!("{}\n", hex::encode(random.as_slice())).into_bytes()))
            .map(Zeroizing::new)
            .map_err(|source| KeyError::File { path: path.clone(), source })?;
    key_in(&path, &content)
}

fn key_in(path: &Path, content: &[u8]) -> Result<DevKey, KeyError> {
    if secret_file::is_open_to_others(path).unwrap_or(false) {
        warn!(path = %path.display(), "development key can be read by others: chmod 600");
    }
    let secret = str::from_utf8(content).unwrap_or("").trim_end();
    if hex::decode(secret).map(Zeroizing::new).map_or(0, |bytes| bytes.len()) != SECRET_LEN {
        return Err(KeyError::Invalid {
            origin: path.display().to_string(),
            problem: "it does not hold 64 hexadecimal digits".to_owned(),
        });
    }
    Ok(DevKey { secret: SecretString::from(secret) })
}

impl DevKey {
    /// The source of keys that makes a [`Verifier`](super::Verifier) accept this key's tokens.
    #[must_use]
    pub fn source(&self) -> KeySource {
        KeySource::HmacSecret(self.secret.clone())
    }

    /// Signs a token that a verifier with these options (and [`DevKey::source`]) accepts.
    ///
    /// # Panics
    /// Never: signing a JSON object with a secret has no way to fail.
    #[must_use]
    pub fn mint(&self, spec: &TokenSpec<'_>, options: &AuthOptions) -> String {
        let names = &options.claims;
        let now = spec.now_ms.div_euclid(1000);
        let ttl = i64::try_from(spec.ttl.as_secs()).unwrap_or(i64::MAX);
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        put("iat", now.into());
        put("exp", now.saturating_add(ttl).into());
        put(&names.user_id, spec.user_id.to_string().into());
        let texts = [
            (names.name.as_str(), Some(spec.name)),
            (names.picture.as_str(), Some(spec.picture)),
            ("iss", options.issuer.as_deref()),
            ("aud", options.audience.as_deref()),
            (names.admin.as_str(), spec.admin.then_some(names.admin_value.as_str())),
        ];
        for (name, text) in texts {
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                put(name, text.into());
            }
        }
        let key = EncodingKey::from_secret(self.secret.expose_secret().as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)
            .expect("a map of strings and integers serializes, and HMAC takes any key")
    }
}
