//! The backend's inner error: what went wrong, before it is known in which operation.

use std::{error::Error, fmt};

use crate::storage::error::{self, StoreError, StoreErrorKind};

/// Result inside the backend.
pub type Outcome<T> = Result<T, Fault>;

/// An error that does not know yet which operation it belongs to.
#[derive(Debug)]
pub struct Fault {
    kind: StoreErrorKind,
    /// Whether the write was refused before anything of it was done.
    is_untried: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault of `kind` that says why.
    pub fn because(kind: StoreErrorKind, why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, is_untried: false, source: Some(why.into()) }
    }

    /// A write that the store did not begin: it cannot write just now.
    pub fn not_tried(why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { is_untried: true, ..Self::because(StoreErrorKind::Unavailable, why) }
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
            Some(source) if self.is_untried => StoreError::not_tried(op, source),
            Some(source) => StoreError::because(self.kind, op, source),
            None => StoreError::new(self.kind, op),
        }
    }

    /// Whether it was for want of room on the disk.
    #[must_use]
    pub fn is_for_want_of_room(&self) -> bool {
        self.source.as_deref().is_some_and(|source| error::is_for_want_of_room(source))
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl From<StoreErrorKind> for Fault {
    fn from(kind: StoreErrorKind) -> Self {
        Self { kind, is_untried: false, source: None }
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
