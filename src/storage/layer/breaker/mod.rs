//! Stops asking a backend that does not answer, so that callers are told at once instead of waiting in a crowd, and the
//! backend comes back to a few trials instead of that crowd.
//!
//! A refused call was not made: `Unavailable`, with the outcome that nothing happened. Errors that say something about
//! the call and not about the backend (`Conflict`, `Fenced`, `NotFound`, `Invalid`, `Corrupt`) are answers, and count as
//! such; `Overloaded` counts as nothing: a backend that refuses quickly needs no breaker. It retries nothing.

use std::{future::Future, sync::Arc};

use tokio::time::Instant;

use super::{prelude::*, store_around};
use crate::{
    circuit::{Circuit, CircuitOptions, Verdict},
    storage::error::{StoreError, StoreErrorKind},
};

#[cfg(test)]
mod tests;

/// A store that is left alone while it does not answer.
#[derive(Debug)]
pub struct Breaker {
    inner: Arc<dyn Store>,
    circuit: Arc<Circuit>,
}

impl Breaker {
    /// Puts a circuit before `inner`. Closing the store is let through always.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, options: CircuitOptions) -> Self {
        let circuit = Arc::new(Circuit::new(inner.name(), options));
        Self { inner, circuit }
    }

    /// The circuit, for health and metrics.
    #[must_use]
    pub fn circuit(&self) -> Arc<Circuit> {
        Arc::clone(&self.circuit)
    }

    async fn around<T, F>(&self, op: Op, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let leave = self.circuit.enter(Instant::now()).map_err(|open| StoreError::not_tried(op.name, open))?;
        let result = call().await;
        leave.end(result.as_ref().map_or_else(|error| verdict(error.kind()), |_| Verdict::Good), Instant::now());
        result
    }

    async fn append_around(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        self.around(Op::write("append"), || self.inner.append(room, epoch, records, projection)).await
    }
}

/// What an error says about the backend.
const fn verdict(kind: StoreErrorKind) -> Verdict {
    match kind {
        StoreErrorKind::NotFound
        | StoreErrorKind::Conflict
        | StoreErrorKind::Fenced
        | StoreErrorKind::Invalid
        | StoreErrorKind::Corrupt => Verdict::Good,
        StoreErrorKind::Overloaded => Verdict::Unclear,
        StoreErrorKind::Timeout | StoreErrorKind::Unavailable => Verdict::Bad,
    }
}

store_around!(Breaker);
