//! What can go wrong between a program and a server, reduced to what a caller decides on.
//!
//! Owns the translation of gRPC statuses; must not retry anything itself.

use std::time::Duration;

use tertulia_proto::chat::v1::{ErrorInfo, SessionError};
use tonic::{Code, Status, metadata::MetadataMap};

/// Trailer that carries the stable reason of an error.
const REASON: &str = "tertulia-reason";
/// Trailer that says whether the write may have happened.
const OUTCOME: &str = "tertulia-outcome";
/// Trailer that carries the number of milliseconds to wait before another try.
const RETRY_AFTER: &str = "tertulia-retry-after-ms";

/// Reasons that no other try of the same request changes, whatever the code: some codes are also those of what passes.
const FINAL_REASONS: [&str; 3] = ["too_long", "malformed", "unknown_command"];

/// Whether a request that was refused for this reason is refused again.
pub(crate) fn is_final_reason(reason: &str) -> bool {
    FINAL_REASONS.contains(&reason)
}

/// A call or a stream failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's address is none.
    #[error("invalid server address {url:?}")]
    Address {
        /// As given.
        url: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The address asks for TLS, which this client does not speak.
    #[error("{url} needs TLS, which this client does not speak")]
    Tls {
        /// As given.
        url: String,
    },
    /// The token holds characters that no header may carry.
    #[error("the token cannot be sent in a header")]
    Token,
    /// The server could not be reached.
    #[error("cannot connect to {url}")]
    Connect {
        /// As given.
        url: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The server answered with an error, or the transport failed under way and said so with a status.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No answer came in time; the server may have done the work.
    #[error("no answer within {after:?}")]
    Deadline {
        /// How long was waited.
        after: Duration,
    },
    /// The stream the command was to travel on is gone.
    #[error("the stream was lost")]
    Lost {
        /// Whether the command may have reached the server.
        sent: bool,
    },
    /// The server answered something that the contract does not allow.
    #[error("unexpected answer from the server: {what}")]
    Unexpected {
        /// What was wrong with it.
        what: &'static str,
    },
}

/// An error as the server states it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({reason})")]
pub struct Refusal {
    /// gRPC code.
    pub code: Code,
    /// Stable reason, such as `not_a_member`; the name of the code if the server gave none.
    pub reason: String,
    /// For people.
    pub message: String,
    /// How long the server asks to wait before another try.
    pub retry_after: Option<Duration>,
    /// Whether the write may have happened all the same.
    pub outcome_unknown: bool,
}

impl ClientError {
    /// Whether the same request may succeed later; with a client message id it is then safe to send it again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Address { .. } | Self::Tls { .. } | Self::Token | Self::Unexpected { .. } => false,
            Self::Connect { .. } | Self::Deadline { .. } | Self::Lost { .. } => true,
            Self::Refused(refusal) => refusal.is_transient(),
        }
    }

    /// How long the server asks to wait before another try.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// The server's stable reason; empty if the error is not the server's.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.reason,
            _ => "",
        }
    }
}

impl Refusal {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        let may_pass = matches!(
            self.code,
            Code::Unavailable
                | Code::DeadlineExceeded
                | Code::ResourceExhausted
                | Code::Aborted
                | Code::Cancelled
                | Code::Internal
                | Code::Unknown
        );
        self.outcome_unknown || (may_pass && !is_final_reason(&self.reason))
    }

    /// What a session answered instead of a result.
    #[must_use]
    pub(crate) fn from_session(error: SessionError) -> Self {
        let code = Code::from_i32(error.code);
        Self::new(code, error.message, error.info.unwrap_or_default())
    }

    fn new(code: Code, message: String, info: ErrorInfo) -> Self {
        let reason = if info.reason.is_empty() { format!("{code:?}").to_lowercase() } else { info.reason };
        let retry_after_ms = u64::try_from(info.retry_after_ms).unwrap_or(0);
        Self {
            code,
            reason,
            message,
            retry_after: (retry_after_ms > 0).then(|| Duration::from_millis(retry_after_ms)),
            outcome_unknown: info.outcome_unknown,
        }
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let info = error_info(status.metadata());
        Self::new(status.code(), status.message().to_owned(), info)
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Refused(Refusal::from(status))
    }
}

/// What the trailers tell.
fn error_info(metadata: &MetadataMap) -> ErrorInfo {
    ErrorInfo {
        reason: text(metadata, REASON).unwrap_or_default().to_owned(),
        retry_after_ms: text(metadata, RETRY_AFTER).and_then(|value| value.parse().ok()).unwrap_or(0),
        outcome_unknown: text(metadata, OUTCOME) == Some("unknown"),
        field: String::new(),
    }
}

fn text<'a>(metadata: &'a MetadataMap, key: &str) -> Option<&'a str> {
    metadata.get(key).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_and_hint_come_from_trailers() {
        let mut status = Status::resource_exhausted("slow down");
        status.metadata_mut().insert(REASON, "rate_limited".parse().unwrap());
        status.metadata_mut().insert(RETRY_AFTER, "250".parse().unwrap());
        let error = ClientError::from(status);
        assert_eq!(error.reason(), "rate_limited");
        assert_eq!(error.retry_after(), Some(Duration::from_millis(250)));
        assert!(error.is_transient());
    }

    #[test]
    fn a_request_that_is_too_large_stays_so() {
        for (code, reason) in [(Code::ResourceExhausted, "too_long"), (Code::Internal, "malformed")] {
            let mut status = Status::new(code, "no");
            status.metadata_mut().insert(REASON, reason.parse().unwrap());
            assert!(!ClientError::from(status).is_transient(), "{reason}");
        }
    }

    #[test]
    fn a_refusal_for_good_is_not_transient() {
        let error = ClientError::from(Status::permission_denied("no"));
        assert_eq!(error.reason(), "permissiondenied");
        assert!(!error.is_transient());
    }
}
