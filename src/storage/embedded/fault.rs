//! The backend's inner error: what went wrong, before it is known in which operation.

use std::{error::Error, fmt};

use crate::storage::error::{StoreError, StoreErrorKind};

/// Result inside the backend.
pub type Outcome<T> = Result<T, Fault>;

/// An error that does not know yet which operation it belongs to.
#[derive(Debug)]
pub struct Fault {
    kind: StoreErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of `kind` that says why.
    pub fn because(kind: StoreErrorKind, why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: Some(why.into()) }
    }

    /// Stored bytes that do not decode.
    pub fn corrupt(what: &'static str) -> Self {
        Self::because(StoreErrorKind::Corrupt, what)
    }

    /// Arguments that can never succeed.
    pub fn invalid(what: &'static str) -> Self {
        Self::because(StoreErrorKind::Invalid, what)
    }

    /// A write that contradicts what is stored.
    pub fn conflict(what: &'static str) -> Self {
        Self::because(StoreErrorKind::Conflict, what)
    }

    /// The store is closed or has failed.
    pub fn closed() -> Self {
        Self::because(StoreErrorKind::Unavailable, "the store is closed")
    }

    /// The error of operation `op`.
    pub fn at(self, op: &'static str) -> StoreError {
        match self.source {
            Some(source) => StoreError::because(self.kind, op, source),
            None => StoreError::new(self.kind, op),
        }
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl From<StoreErrorKind> for Fault {
    fn from(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{:?}: {source}", self.kind),
            None => write!(f, "{:?}", self.kind),
        }
    }
}
