//! Why a call to an actor failed.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;
use thiserror::Error;

use crate::{
    domain::reject::Reject,
    storage::{Outcome, Result as StoreResult, StoreError, StoreErrorKind},
};

/// A call to a room or a user failed.
#[derive(Debug, Error)]
pub enum CallError {
    /// The rules do not allow it; nothing happened.
    #[error(transparent)]
    Rejected(#[from] Reject),
    /// A queue is full; nothing happened.
    #[error("too much to do")]
    Overloaded,
    /// The user's earlier calls have cost more than their rate allows; nothing happened.
    #[error("too many rows read")]
    RateLimited {
        /// When to try again, milliseconds from now.
        retry_after_ms: u64,
    },
    /// The actor went to sleep or was replaced before it took the command up; nothing happened.
    #[error("the actor is gone")]
    Gone,
    /// The actor died with the command in hand; it may have happened.
    #[error("the actor died")]
    Dropped,
    /// No answer in time; it may happen yet.
    #[error("no answer in time")]
    Deadline,
    /// The room failed too often lately; nothing happened.
    #[error("the room failed, try again later")]
    Failed {
        /// When to try again, milliseconds from now.
        retry_after_ms: u64,
        /// Whether it was the store that failed, so that other rooms fare the same.
        is_of_store: bool,
    },
    /// The user has as many streams as they may have; nothing happened.
    #[error("too many streams")]
    TooManyStreams,
    /// The client has opened a newer stream meanwhile; nothing happened.
    #[error("a newer stream of this client is open")]
    Overtaken,
    /// The node is going down; nothing happened.
    #[error("the node is draining")]
    Draining,
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl CallError {
    /// Whether the command may have happened all the same.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Rejected(_)
            | Self::Overloaded
            | Self::RateLimited { .. }
            | Self::Gone
            | Self::Failed { .. }
            | Self::TooManyStreams
            | Self::Overtaken
            | Self::Draining => Outcome::NotApplied,
            Self::Dropped | Self::Deadline => Outcome::Unknown,
            Self::Store(error) => error.outcome(),
        }
    }
}

/// Result of a call to an actor.
pub type Call<T> = Result<T, CallError>;

/// A call panicked; what it was to do may have happened.
#[derive(Clone, Copy, Debug, Error)]
#[error("the call panicked")]
pub(crate) struct Panicked;

/// A call that ends in a result, also when it panics. For tasks whose end an actor waits for.
pub(crate) async fn caught<T>(call: impl Future<Output = T>) -> Result<T, Panicked> {
    // Nobody looks again at what the call was about: it is given up, or read anew.
    AssertUnwindSafe(call).catch_unwind().await.map_err(|_| Panicked)
}

/// [`caught`] for calls of the store: the outcome of one that panics is unknown.
pub(crate) async fn outliving<T>(op: &'static str, call: impl Future<Output = StoreResult<T>>) -> StoreResult<T> {
    let panicked = |error| Err(StoreError::because(StoreErrorKind::Unavailable, op, error));
    caught(call).await.unwrap_or_else(panicked)
}
