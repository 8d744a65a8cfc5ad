//! Why a caller was not let in, and why keys could not be loaded.

use std::io;
use std::path::PathBuf;

/// Why a token was refused. Nothing in it comes from the token or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There is no token.
    #[error("no token was sent")]
    Missing,
    /// It is no signed token in the compact form, or it is too long.
    #[error("token is malformed")]
    Malformed,
    /// Its `exp` is in the past by more than the leeway.
    #[error("token has expired")]
    Expired,
    /// Its `nbf` is in the future by more than the leeway.
    #[error("token is not valid yet")]
    NotYetValid,
    /// No configured key has its `kid`.
    #[error("token names a key that is not known")]
    UnknownKey,
    /// No key that it may be signed with made its signature.
    #[error("token signature does not verify")]
    BadSignature,
    /// Its header names another algorithm than the key's.
    #[error("token names another algorithm than its key has")]
    WrongAlgorithm,
    /// A claim is absent, has the wrong type, or does not have the required value.
    #[error("token claim `{claim}` is absent or not acceptable")]
    BadClaim {
        /// The claim's name as configured.
        claim: String,
    },
    /// The key that may have signed it could not be fetched; the token may be good.
    #[error("verification keys are not available")]
    KeysUnavailable,
}

impl AuthError {
    /// The stable reason that clients are given.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Expired => "token_expired",
            Self::KeysUnavailable => "auth_unavailable",
            Self::Malformed
            | Self::NotYetValid
            | Self::UnknownKey
            | Self::BadSignature
            | Self::WrongAlgorithm
            | Self::BadClaim { .. } => "token_invalid",
        }
    }

    /// What it is called where refusals are counted: finer than what clients are told.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UnknownKey => "unknown_key",
            Self::BadSignature => "bad_signature",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::BadClaim { .. } => "bad_claim",
            Self::KeysUnavailable => "keys_unavailable",
        }
    }

    pub(super) fn bad_claim(claim: &str) -> Self {
        Self::BadClaim { claim: claim.to_owned() }
    }
}

/// Why verification keys could not be loaded. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No source of keys is configured: nobody could ever be let in.
    #[error("no source of verification keys is configured")]
    NoSource,
    /// A key file could not be read or created.
    #[error("key file {} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the file system answered.
        #[source]
        source: io::Error,
    },
    /// The system's random number generator failed.
    #[error("no random bytes for a new key")]
    Random(#[source] getrandom::Error),
    /// The key server did not answer with a key set.
    #[error("key set at {url} cannot be fetched")]
    Fetch {
        /// The configured address, without user information and query.
        url: String,
        /// What the HTTP client answered.
        #[source]
        source: reqwest::Error,
    },
    /// The key server answered, but not with `200` and a bounded body.
    #[error("key set at {url} cannot be used: {problem}")]
    Answer {
        /// The configured address, without user information and query.
        url: String,
        /// What is wrong with the answer.
        problem: String,
    },
    /// What was read is no usable key.
    #[error("{origin} holds no usable key: {problem}")]
    Invalid {
        /// The file or address it came from, or the configuration key.
        origin: String,
        /// What is wrong with it.
        problem: String,
    },
}
