//! Calls again what failed for a moment: a lost connection, a node that is restarting, a replica that was slow.
//!
//! What may be called again follows from whether the failed attempt may have happened ([`StoreError::outcome`]), and
//! then from the operation. After an attempt that certainly did not happen (`Overloaded`) any operation may. After one
//! that may have happened, or happen yet, only those may that do no harm when they happen twice, also when the first
//! attempt arrives *after* the second and after what followed it:
//!
//! | operation | again in doubt | why |
//! |---|---|---|
//! | every read | yes | changes nothing |
//! | `append` with records | yes | idempotent on (room, seq): records stored already, exactly alike, are a success, and write nothing, the projection neither. The bytes are the same because encryption is above |
//! | `append` without records | if it only moves positions | they are merged and only grow. Other rows written without an event could undo what came after |
//! | `claim` | yes | takes another, greater epoch. A first attempt that arrives late fences the second one's epoch: the room wakes once more, nothing is lost |
//! | `release` | yes | bound to its epoch; another claim makes it void |
//! | `put_cursor` | yes | only grows |
//! | `p2p_room` | yes | all callers get the one that was first |
//! | `hide_message`, `put_block` | no | the answer (was it new) would be another |
//! | `put_prefs`, `put_profile`, `put_sync_state`, `put_join_job`, `put_device`, `remove_device` | no | the last one wins: a late first attempt would undo a newer value |
//!
//! Once an attempt is in doubt, no later failure says that nothing happened: the doubt is what the caller is told. A call
//! refused by the circuit breaker is not made again: it would be refused again. The number of attempts is bounded, pauses
//! grow and are jittered, and no attempt begins after the call's time is over; a caller who leaves ends it all.

use std::{future::Future, sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::time::Instant;

use super::{deadline::Deadlines, prelude::*, store_around};
use crate::storage::error::{Outcome, StoreError, StoreErrorKind};

/// How often, and for how long.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryOptions {
    /// Attempts of one call, the first one included.
    pub attempts_max: usize,
    /// First pause; the second is up to twice as long, and so on.
    pub pause_min: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// No attempt begins after this. Best the same as those of the layer outside.
    pub deadlines: Deadlines,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            attempts_max: 4,
            pause_min: Duration::from_millis(20),
            pause_max: Duration::from_millis(500),
            deadlines: Deadlines::default(),
        }
    }
}

/// A store that is asked again when it fails for a moment.
#[derive(Debug)]
pub struct Retrying {
    inner: Arc<dyn Store>,
    options: RetryOptions,
}

impl Retrying {
    /// Calls `inner` again by `options`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, options: RetryOptions) -> Self {
        Self { inner, options }
    }

    async fn around<T, F>(&self, op: Op, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        self.retry(op, !op.is_write || IDEMPOTENT.contains(&op.name), call).await
    }

    async fn append_around(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        let idempotent = !records.is_empty() || moves_positions_only(projection);
        let call = || self.inner.append(room, epoch, records, projection);
        self.retry(Op::write("append"), idempotent, call).await
    }

    async fn retry<T, F>(&self, op: Op, idempotent: bool, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let began = Instant::now();
        let mut pauses = self.pauses();
        let mut doubt: Option<StoreError> = None;
        loop {
            let error = match call().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let again = may_try_again(&error, idempotent);
            let next = pauses.next().filter(|pause| again && began.elapsed() + *pause < self.allowed(op));
            let in_doubt = op.is_write && error.outcome() == Outcome::Unknown;
            let Some(pause) = next else {
                return Err(doubt.unwrap_or(error));
            };
            tracing::debug!(op = op.name, error = %crate::error::Chain(&error), ?pause, "store operation again");
            if in_doubt {
                doubt.get_or_insert(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    fn allowed(&self, op: Op) -> Duration {
        if op.is_write { self.options.deadlines.write } else { self.options.deadlines.read }
    }

    fn pauses(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        ExponentialBuilder::default()
            .with_min_delay(self.options.pause_min)
            .with_max_delay(self.options.pause_max)
            .with_max_times(self.options.attempts_max.saturating_sub(1))
            .with_jitter()
            .build()
    }
}

/// Writes that may happen twice, in any order with what follows; see the table above.
const IDEMPOTENT: &[&str] = &["claim", "release", "put_cursor", "p2p_room"];

fn may_try_again(error: &StoreError, idempotent: bool) -> bool {
    match error.kind() {
        StoreErrorKind::Overloaded => true,
        StoreErrorKind::Timeout | StoreErrorKind::Unavailable => idempotent && error.outcome() == Outcome::Unknown,
        StoreErrorKind::NotFound
        | StoreErrorKind::Conflict
        | StoreErrorKind::Fenced
        | StoreErrorKind::Invalid
        | StoreErrorKind::Corrupt => false,
    }
}

fn moves_positions_only(projection: &Projection) -> bool {
    let rest = Projection { head: projection.head, positions: projection.positions.clone(), ..Projection::default() };
    *projection == rest
}

store_around!(Retrying);

#[cfg(test)]
mod tests;
