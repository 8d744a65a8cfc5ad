//! What can go wrong in a store, and whether the write may have happened.

use std::{error::Error, fmt, io};

/// What went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum StoreErrorKind {
    /// The thing asked for is not there.
    NotFound,
    /// The write contradicts what is stored (another event at this seq, an external id that is taken).
    Conflict,
    /// A newer epoch has claimed the room: the caller is no longer its writer.
    Fenced,
    /// The arguments can never succeed.
    Invalid,
    /// Stored bytes do not decode or do not authenticate.
    Corrupt,
    /// The store has too much to do; nothing was written.
    Overloaded,
    /// No answer in time; the write may happen yet.
    Timeout,
    /// The store cannot be reached or is closed; the write may have happened.
    Unavailable,
}

/// Whether a failed write may have happened. This alone decides between an answer and a reload.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Outcome {
    /// Certainly not.
    NotApplied,
    /// Perhaps, now or later.
    Unknown,
}

impl StoreErrorKind {
    /// Whether a write that failed like this may have happened, if nothing better is known ([`StoreError::not_tried`]).
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::NotFound | Self::Conflict | Self::Fenced | Self::Invalid | Self::Corrupt | Self::Overloaded => {
                Outcome::NotApplied
            }
            Self::Timeout | Self::Unavailable => Outcome::Unknown,
        }
    }
}

/// Whether the disk had no room: the error or one of its causes says so.
#[must_use]
pub fn is_for_want_of_room(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io: Option<&io::Error> = error.downcast_ref();
        if io.is_some_and(|io| matches!(io.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An operation of the store failed.
pub struct StoreError {
    kind: StoreErrorKind,
    outcome: Outcome,
    op: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error of `kind` in operation `op`, with no deeper cause.
    #[must_use]
    pub const fn new(kind: StoreErrorKind, op: &'static str) -> Self {
        Self { kind, outcome: kind.outcome(), op, source: None }
    }

    /// An error of `kind` in operation `op`, because of `source`.
    #[must_use]
    pub fn because(kind: StoreErrorKind, op: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, outcome: kind.outcome(), op, source: Some(source.into()) }
    }

    /// `Unavailable`, but certainly without effect: the call was not made at all, or refused for a reason that lies in the
    /// store and not in the call (no room, read-only).
    #[must_use]
    pub fn not_tried(op: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let kind = StoreErrorKind::Unavailable;
        Self { kind, outcome: Outcome::NotApplied, op, source: Some(source.into()) }
    }

    /// The same error without its cause, for one more who waits for the call.
    #[must_use]
    pub const fn twin(&self) -> Self {
        Self { kind: self.kind, outcome: self.outcome, op: self.op, source: None }
    }

    /// The same error without its cause, for a call that was not begun because of it.
    #[must_use]
    pub const fn before_the_call(&self) -> Self {
        Self { kind: self.kind, outcome: Outcome::NotApplied, op: self.op, source: None }
    }

    /// Whether the store as a whole is in trouble, as far as this error tells; otherwise it is about what was asked for.
    #[must_use]
    pub const fn is_of_store(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Overloaded | StoreErrorKind::Timeout | StoreErrorKind::Unavailable)
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The operation that failed.
    #[must_use]
    pub const fn op(&self) -> &'static str {
        self.op
    }

    /// Whether the write may have happened.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.outcome
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store operation {} failed ({:?})", self.op, self.kind)
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("kind", &self.kind)
            .field("op", &self.op)
            .field("source", &self.source)
            .finish()
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|e| &**e as &(dyn Error + 'static))
    }
}
