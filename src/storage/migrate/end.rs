//! One end of a migration: a store, asked again while it fails in a way that may pass.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder, Retryable as _};

use super::Result;
use crate::{
    domain::ids::RoomId,
    storage::{Store, StoreError, StoreErrorKind},
};

/// Which of the two stores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The one that is read.
    From,
    /// The one that is written.
    To,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::From => "source",
            Self::To => "destination",
        })
    }
}

/// A migration stopped. Making it again goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// A store failed for longer than the patience, or in a way that does not pass.
    #[error("the {side} store failed")]
    Store {
        /// Which.
        side: Side,
        /// What it said.
        #[source]
        source: StoreError,
    },
    /// A room could not be brought over.
    #[error("room {room}")]
    Room {
        /// Which.
        room: RoomId,
        /// Why.
        #[source]
        source: Box<MigrateError>,
    },
    /// The destination holds something that did not come from the source.
    #[error("the destination has another history: {what}")]
    Diverged {
        /// Where.
        what: String,
    },
    /// A part of the work died.
    #[error("a task of the migration failed")]
    Task(#[source] tokio::task::JoinError),
}

/// How long to try again what may succeed later (`Timeout`, `Unavailable`, `Overloaded`): each wait is twice the one
/// before, from 50 ms to 5 s, with jitter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// Tries after the first one.
    pub tries: usize,
    /// First wait.
    pub wait_min: Duration,
    /// Longest wait.
    pub wait_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 12, wait_min: Duration::from_millis(50), wait_max: Duration::from_secs(5) }
    }
}

impl Patience {
    fn builder(self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.wait_min)
            .with_max_delay(self.wait_max)
            .with_max_times(self.tries)
            .with_jitter()
    }

    /// The waits, one by one.
    pub(super) fn waits(self) -> impl Iterator<Item = Duration> + Send {
        self.builder().build()
    }
}

/// Whether it may go well the next time.
pub(super) fn may_pass(error: &StoreError) -> bool {
    matches!(error.kind(), StoreErrorKind::Timeout | StoreErrorKind::Unavailable | StoreErrorKind::Overloaded)
}

/// A store and the patience with it.
#[derive(Clone, Debug)]
pub(super) struct End {
    side: Side,
    store: Arc<dyn Store>,
    patience: Patience,
}

impl End {
    pub(super) fn new(side: Side, store: Arc<dyn Store>, patience: Patience) -> Self {
        Self { side, store, patience }
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    /// An error of this end.
    pub(super) fn failed(&self, source: StoreError) -> MigrateError {
        MigrateError::Store { side: self.side, source }
    }

    /// Reads, or makes a write that may be made again.
    pub(super) async fn ask<'a, T, F>(&'a self, call: impl Fn(&'a dyn Store) -> F + Send) -> Result<T>
    where
        F: Future<Output = crate::storage::Result<T>> + Send + 'a,
    {
        let asked = (|| call(self.store())).retry(self.patience.builder()).when(may_pass);
        asked.await.map_err(|source| self.failed(source))
    }
}
