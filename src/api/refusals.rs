//! Tokens that were refused: a counter by cause, and a log line that says why. A thousand refusals a second are a few
//! lines: what is left out is counted and said by the next one.
//!
//! Must not hold anything of a token: a refused one may be somebody's good one with a mistake.

use super::auth::AuthError;
use crate::{line_pace::LinePace, telemetry::metrics::Metrics};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals(LinePace);

impl Refusals {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// A token was refused.
    pub(super) fn note(&self, error: &AuthError, metrics: &Metrics) {
        metrics.token_refused(error.cause());
        if let Some(left_out) = self.0.line() {
            tracing::warn!(cause = error.cause(), why = %error, left_out, "token refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_refusal_is_counted_by_its_cause() {
        let metrics = Metrics::new("embedded");
        let refusals = Refusals::new();
        for _ in 0..20 {
            refusals.note(&AuthError::BadSignature, &metrics);
        }
        refusals.note(&AuthError::BadClaim { claim: "sub".to_owned() }, &metrics);
        assert_eq!(metrics.tokens_refused("bad_signature"), 20);
        assert_eq!(metrics.tokens_refused("bad_claim"), 1);
        assert_eq!(metrics.tokens_refused("expired"), 0);
    }
}
