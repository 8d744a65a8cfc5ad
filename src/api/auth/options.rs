//! Settings of the verifier. Parsing them is the configuration's job.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::domain::form::UrlSchemes;

/// Where verification keys come from. Several sources may be used at once: a key of any of them counts.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// An HS256 secret of at least 32 bytes; the bytes of the string as they are.
    HmacSecret(SecretString),
    /// A file with an HS256 secret of at least 32 bytes; one line break at its end is ignored.
    HmacSecretFile(PathBuf),
    /// A file with one or more PEM public keys (RSA from 2048 bits, P-256 or Ed25519).
    PublicKeyFile(PathBuf),
    /// A file with a JSON Web Key Set.
    JwksFile(PathBuf),
    /// An `http` or `https` address of a JSON Web Key Set.
    JwksUrl(String),
}

/// Which claims say who the caller is. A name is looked up as it stands first (so that namespaced
/// claims such as `https://example.com/role` work), then as a path with dots (`realm.roles`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimNames {
    /// The user id: an integer or a string of decimal digits, at least 1.
    pub user_id: String,
    /// The name to show, a string; may be absent. What a name may not hold is left out of it.
    pub name: String,
    /// The address of a picture, a string; may be absent.
    pub picture: String,
    /// The claim that makes an admin.
    pub admin: String,
    /// The value that makes an admin: the claim is that string, `true` if this is `"true"`, or a
    /// list that holds it.
    pub admin_value: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            user_id: "sub".to_owned(),
            name: "name".to_owned(),
            picture: "picture".to_owned(),
            admin: "role".to_owned(),
            admin_value: "admin".to_owned(),
        }
    }
}

/// Settings of a [`Verifier`](super::Verifier).
#[derive(Clone, Debug)]
pub struct AuthOptions {
    /// Where keys come from; at least one.
    pub sources: Vec<KeySource>,
    /// How often files and addresses are read again.
    pub refresh_every: Duration,
    /// Least time between two refreshes asked for by tokens with an unknown `kid`.
    pub refresh_on_demand_every: Duration,
    /// Longest wait of a caller for such a refresh.
    pub refresh_wait_max: Duration,
    /// Longest time that one address may take to answer.
    pub fetch_timeout: Duration,
    /// Required `iss`, if any.
    pub issuer: Option<String>,
    /// Required `aud`, if any: the claim is that string or a list that holds it.
    pub audience: Option<String>,
    /// Claims mapping.
    pub claims: ClaimNames,
    /// How far the clocks of the issuer and of this server may be apart, for `exp` and `nbf`, in ms.
    pub leeway_ms: i64,
    /// Schemes of pictures; a picture of another one counts as none.
    pub url_schemes: UrlSchemes,
    /// How many verified tokens are remembered (about 250 bytes each); 0 remembers none.
    pub cache_len_max: usize,
}

impl AuthOptions {
    /// The defaults for these sources.
    #[must_use]
    pub fn new(sources: Vec<KeySource>) -> Self {
        Self {
            sources,
            refresh_every: Duration::from_secs(300),
            refresh_on_demand_every: Duration::from_secs(10),
            refresh_wait_max: Duration::from_secs(3),
            fetch_timeout: Duration::from_secs(5),
            issuer: None,
            audience: None,
            claims: ClaimNames::default(),
            leeway_ms: 30_000,
            url_schemes: UrlSchemes::default(),
            cache_len_max: 16_384,
        }
    }
}
