//! The verifier: keys, claims and memory put together.

use std::sync::Arc;

use super::cache::TokenCache;
use super::claims::Rules;
use super::options::AuthOptions;
use super::refresh::Refresher;
use super::token::Unverified;
use super::{AuthError, Explained, Identity, KeyError, explain};

/// Verifies tokens. Cheap to clone; all clones share keys and memory.
///
/// Whoever builds one with a source that can change (anything but a secret in the configuration)
/// also runs [`Verifier::run`] as a task, else keys stay what they were at the start and the keys of
/// an address never come.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: Rules,
    keys: Refresher,
    remembered: TokenCache,
}

impl Verifier {
    /// Builds a verifier and reads the keys that are on this machine. Blocks for as long as reading
    /// the files takes; does not touch the network.
    ///
    /// # Errors
    /// [`KeyError`] for a source that cannot be read or holds no usable key.
    pub fn from_options(options: AuthOptions) -> Result<Self, KeyError> {
        Ok(Self(Arc::new(Inner {
            rules: Rules::new(&options),
            keys: Refresher::new(&options)?,
            remembered: TokenCache::new(options.cache_len_max),
        })))
    }

    /// Keeps the keys fresh; never returns. To be spawned once by whoever composes the server.
    pub async fn run(self) {
        self.0.keys.run().await;
    }

    /// Reads all sources once now. Answers whether all of them could be read; those that could not
    /// keep the keys they had.
    pub async fn refresh(&self) -> bool {
        self.0.keys.refresh().await
    }

    /// Whether every source has been read at least once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.keys.current().complete
    }

    /// Verifies a token (what follows `Bearer `) at this time, without waiting for anything.
    ///
    /// # Errors
    /// See [`AuthError`]. [`AuthError::UnknownKey`] and [`AuthError::KeysUnavailable`] mean that a
    /// refresh of the keys may help, which [`Verifier::verify`] does.
    pub fn verify_now(&self, token: &str, now_ms: i64) -> Result<Identity, AuthError> {
        let Inner { rules, keys, remembered } = &*self.0;
        let keys = keys.current();
        let hash = remembered.hash(token);
        let seen = hash.and_then(|hash| {
            remembered.with(&hash, keys.generation, |verified| {
                rules.check_time(verified, now_ms)?;
                Ok(verified.identity.clone())
            })
        });
        if let Some(answer) = seen {
            return answer;
        }
        let token = Unverified::parse(token)?;
        keys.verify(&token)?;
        let verified = rules.read(&token.claims()?)?;
        rules.check_time(&verified, now_ms)?;
        let identity = verified.identity.clone();
        if let Some(hash) = hash {
            remembered.insert(hash, keys.generation, verified);
        }
        Ok(identity)
    }

    /// What a token says, and which check it passes. Waits as [`Verifier::verify`] does.
    pub async fn explain(&self, token: &str, now_ms: i64) -> Explained {
        let verdict = self.verify(token, now_ms).await;
        explain::explain(&self.0.rules, &self.0.keys.current(), token, now_ms, verdict)
    }

    /// Verifies a token (what follows `Bearer `) at this time. Waits, bounded by
    /// `refresh_wait_max`, only if the token's key is not known and a source may have it by now.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn verify(&self, token: &str, now_ms: i64) -> Result<Identity, AuthError> {
        match self.verify_now(token, now_ms) {
            Err(AuthError::UnknownKey | AuthError::KeysUnavailable) => {}
            other => return other,
        }
        let could_be_read = self.0.keys.demand().await;
        match self.verify_now(token, now_ms) {
            Err(AuthError::UnknownKey) if !could_be_read => Err(AuthError::KeysUnavailable),
            other => other,
        }
    }
}
