//! Errors of the driver as errors of the contract: what the caller may conclude about a write.

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

use crate::storage::{Outcome, StoreError, StoreErrorKind};

/// What an error of the driver says about a write.
///
/// `Overloaded` says that nothing was written: the coordinator refused before it asked a replica. Everything that left
/// this process and did not come back is unknown. `DbError::Overloaded` is unknown too: a coordinator may notice its
/// backlog of hints after the first replica was asked.
pub(super) fn kind(error: &ExecutionError) -> StoreErrorKind {
    match error {
        ExecutionError::BadQuery(_) | ExecutionError::PrepareError(_) => StoreErrorKind::Invalid,
        ExecutionError::LastAttemptError(attempt) => attempt_kind(attempt),
        ExecutionError::RequestTimeout(_) => StoreErrorKind::Timeout,
        _ => StoreErrorKind::Unavailable,
    }
}

fn attempt_kind(error: &RequestAttemptError) -> StoreErrorKind {
    match error {
        RequestAttemptError::SerializationError(_) | RequestAttemptError::CqlRequestSerialization(_) => {
            StoreErrorKind::Invalid
        }
        RequestAttemptError::UnableToAllocStreamId => StoreErrorKind::Overloaded,
        RequestAttemptError::DbError(error, _) => db_kind(error),
        _ => StoreErrorKind::Unavailable,
    }
}

fn db_kind(error: &DbError) -> StoreErrorKind {
    match error {
        DbError::Unavailable { .. }
        | DbError::IsBootstrapping
        | DbError::RateLimitReached { rejected_by_coordinator: true, .. } => StoreErrorKind::Overloaded,
        DbError::SyntaxError
        | DbError::Invalid
        | DbError::AlreadyExists { .. }
        | DbError::AuthenticationError
        | DbError::Unauthorized
        | DbError::ConfigError => StoreErrorKind::Invalid,
        DbError::ReadTimeout { .. } | DbError::WriteTimeout { .. } => StoreErrorKind::Timeout,
        _ => StoreErrorKind::Unavailable,
    }
}

/// The driver's error in operation `op`.
pub(super) fn driver(op: &'static str, error: ExecutionError) -> StoreError {
    StoreError::because(kind(&error), op, error)
}

/// Stored rows that contradict each other or do not decode.
pub(super) fn corrupt(op: &'static str, what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::because(StoreErrorKind::Corrupt, op, what)
}

/// Arguments that can never succeed.
pub(super) fn invalid(op: &'static str, why: &'static str) -> StoreError {
    StoreError::because(StoreErrorKind::Invalid, op, why)
}

/// A write that contradicts what is stored.
pub(super) fn conflict(op: &'static str, why: &'static str) -> StoreError {
    StoreError::because(StoreErrorKind::Conflict, op, why)
}

/// The same error, with the outcome left open.
pub(super) fn open(op: &'static str, failed: StoreError) -> StoreError {
    if failed.outcome() == Outcome::Unknown {
        return failed;
    }
    StoreError::because(StoreErrorKind::Unavailable, op, failed)
}

/// Someone else may write the room now.
pub(super) fn fenced(op: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Fenced, op)
}

/// The task that carried out the operation is gone: the process is going down.
pub(super) fn stopped(op: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, op)
}
