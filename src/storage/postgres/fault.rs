//! What goes wrong between here and the server, before it is known in which operation: its kind for the caller, and
//! whether trying again is safe.

use std::{error::Error, fmt, io, sync::Arc};

use deadpool_postgres::{HookError, PoolError, TimeoutType};
use tokio_postgres::error::{DbError, SqlState};

use crate::storage::error::{Outcome as Happened, StoreError, StoreErrorKind};

/// Result inside the backend.
pub(super) type Outcome<T> = Result<T, Fault>;

/// What may be tried again after a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Again {
    /// Nothing: it would fail the same way, or must not be hidden.
    Nothing,
    /// What only reads: the connection was lost, a write may have happened.
    Reads,
    /// Everything, when somebody else's lock is gone: the server rolled it back.
    Unlocked,
    /// Everything: nothing was sent, or the server rolled it back and says that it may succeed next time.
    Everything,
}

/// An error that does not know yet which operation it belongs to. Cheap to clone: a group that fails has many callers.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    kind: StoreErrorKind,
    again: Again,
    /// The server says that it does nothing of the kind at present.
    refusal: Option<Refusal>,
    constraint: Option<Arc<str>>,
    source: Arc<dyn Error + Send + Sync>,
}

/// Why a server does nothing at present. Nothing of the statement was done, and the next one fares the same; a commit is
/// never answered like this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    /// Its disk has no room.
    Full,
    /// It is read-only, or lets nobody in.
    Closed,
}

impl Refusal {
    fn of(code: &SqlState) -> Option<Self> {
        let closed = [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::INVALID_PASSWORD,
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
            SqlState::INVALID_CATALOG_NAME,
            SqlState::CANNOT_CONNECT_NOW,
        ];
        let closed = closed.contains(code).then_some(Self::Closed);
        if *code == SqlState::DISK_FULL { Some(Self::Full) } else { closed }
    }
}

impl Fault {
    /// A fault of `kind` that says why and is final.
    pub(super) fn because(kind: StoreErrorKind, why: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, again: Again::Nothing, refusal: None, constraint: None, source: Arc::from(why.into()) }
    }

    /// Stored values that cannot be.
    pub(super) fn corrupt(what: &'static str) -> Self {
        Self::because(StoreErrorKind::Corrupt, what)
    }

    /// Arguments that can never succeed.
    pub(super) fn invalid(what: &'static str) -> Self {
        Self::because(StoreErrorKind::Invalid, what)
    }

    /// A write that contradicts what is stored.
    pub(super) fn conflict(what: &'static str) -> Self {
        Self::because(StoreErrorKind::Conflict, what)
    }

    /// The store is closed.
    pub(super) fn closed() -> Self {
        Self::because(StoreErrorKind::Unavailable, "the store is closed")
    }

    /// The error of operation `op`.
    pub(super) fn at(self, op: &'static str) -> StoreError {
        let source: Box<dyn Error + Send + Sync> = Box::new(self.source);
        match self.refusal {
            None => StoreError::because(self.kind, op, source),
            Some(Refusal::Full) => StoreError::not_tried(op, io::Error::new(io::ErrorKind::StorageFull, source)),
            Some(Refusal::Closed) => StoreError::not_tried(op, source),
        }
    }

    /// What went wrong.
    pub(super) const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// What may be tried again.
    pub(super) const fn again(&self) -> Again {
        self.again
    }

    /// Whether nothing was written, certainly.
    pub(super) fn is_certain(&self) -> bool {
        self.refusal.is_some() || self.kind.outcome() == Happened::NotApplied
    }

    /// Whether the server does nothing of the kind at present.
    pub(super) const fn is_refusal(&self) -> bool {
        self.refusal.is_some()
    }

    /// Whether somebody else's lock was in the way.
    pub(super) fn is_held_up(&self) -> bool {
        self.again == Again::Unlocked
    }

    /// The unique index that refused the write.
    pub(super) fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    /// The same, when the next try meets other circumstances.
    pub(super) fn worth_a_try(self) -> Self {
        Self { again: Again::Everything, ..self }
    }

    /// The same, known to have come before anything was sent.
    fn before_sending(mut self) -> Self {
        if self.again == Again::Reads {
            self.again = Again::Everything;
        }
        self
    }

    fn of_server(error: &DbError) -> (StoreErrorKind, Again) {
        let code = error.code();
        if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) {
            return (StoreErrorKind::Overloaded, Again::Everything);
        }
        // Starting up: a connection was refused, nothing was sent.
        if *code == SqlState::CANNOT_CONNECT_NOW {
            return (StoreErrorKind::Unavailable, Again::Everything);
        }
        // Both time-outs roll the whole transaction back.
        if *code == SqlState::QUERY_CANCELED {
            return (StoreErrorKind::Overloaded, Again::Nothing);
        }
        if *code == SqlState::LOCK_NOT_AVAILABLE {
            return (StoreErrorKind::Overloaded, Again::Unlocked);
        }
        if *code == SqlState::DISK_FULL {
            return (StoreErrorKind::Unavailable, Again::Nothing);
        }
        // The first two characters are the class (PostgreSQL manual, appendix A).
        match &code.code()[..2] {
            "23" => (StoreErrorKind::Conflict, Again::Nothing),
            "22" => (StoreErrorKind::Invalid, Again::Nothing),
            "53" => (StoreErrorKind::Overloaded, Again::Nothing),
            // Lost connections, shutdown, crash of another backend: a commit may have come before them. A server that
            // has become a standby (25006): another one is the primary now.
            "08" | "25" | "57" => (StoreErrorKind::Unavailable, Again::Reads),
            "28" | "3D" => (StoreErrorKind::Unavailable, Again::Nothing),
            _ => (StoreErrorKind::Corrupt, Again::Nothing),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        let (kind, again) = match error.as_db_error() {
            Some(db) => Self::of_server(db),
            // The connection broke, or was broken when it was used: what was sent may have been done.
            None => (StoreErrorKind::Unavailable, Again::Reads),
        };
        let refusal = error.as_db_error().and_then(|error| Refusal::of(error.code()));
        let constraint = error.as_db_error().and_then(DbError::constraint).map(Arc::from);
        Self { kind, again, refusal, constraint, source: Arc::new(error) }
    }
}

impl From<PoolError> for Fault {
    fn from(error: PoolError) -> Self {
        let unavailable = StoreErrorKind::Unavailable;
        match error {
            PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
                Self::from(error).before_sending()
            }
            // Every connection has work: nothing was sent.
            PoolError::Timeout(TimeoutType::Wait) => Self::because(StoreErrorKind::Overloaded, error),
            PoolError::Timeout(_) => Self { again: Again::Everything, ..Self::because(unavailable, error) },
            PoolError::Closed => Self::closed(),
            other => Self::because(unavailable, other),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.source)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
