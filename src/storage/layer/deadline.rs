//! Bounds how long a call may take.

use std::{future::Future, sync::Arc, time::Duration};

use super::{prelude::*, store_around};
use crate::storage::error::{StoreError, StoreErrorKind};

/// How long calls may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadlines {
    /// A call that changes nothing.
    pub read: Duration,
    /// A call that changes something.
    pub write: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { read: Duration::from_secs(5), write: Duration::from_secs(10) }
    }
}

/// A store that answers in time: with `Timeout` if there is no other answer. A write that timed out may happen yet.
#[derive(Debug)]
pub struct Deadline {
    inner: Arc<dyn Store>,
    deadlines: Deadlines,
}

impl Deadline {
    /// Bounds the calls to `inner`. Closing is not bounded: it must not leave something undone.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, deadlines: Deadlines) -> Self {
        Self { inner, deadlines }
    }

    async fn around<T, F>(&self, op: Op, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let deadline = if op.is_write { self.deadlines.write } else { self.deadlines.read };
        match tokio::time::timeout(deadline, call()).await {
            Ok(result) => result,
            Err(elapsed) => Err(StoreError::because(StoreErrorKind::Timeout, op.name, elapsed)),
        }
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

store_around!(Deadline);

#[cfg(test)]
mod tests {
    use super::{
        super::faulty::{FaultPlan, Faults, Faulty},
        *,
    };
    use crate::storage::{
        conformance::{event, head, kind, room},
        embedded::EmbeddedStore,
    };

    #[tokio::test(start_paused = true)]
    async fn a_slow_call_times_out_and_a_fast_one_does_not() {
        let plan = FaultPlan::default();
        let slow = Faulty::new(Arc::new(EmbeddedStore::in_memory()), 1, plan.clone());
        let deadlines = Deadlines { read: Duration::from_millis(20), write: Duration::from_millis(50) };
        let store = Deadline::new(Arc::new(slow), deadlines);
        let epoch = store.claim(room(1)).await.unwrap();

        let delay = Duration::from_secs(1);
        plan.set(Faults {
            delay_before: 1.0,
            delay_min: delay,
            delay_max: delay,
            read_delay: 1.0,
            ..Faults::default()
        });
        let began = tokio::time::Instant::now();
        assert_eq!(kind(store.append(room(1), epoch, &[event(1)], &head(1)).await), StoreErrorKind::Timeout);
        assert_eq!(began.elapsed(), deadlines.write);
        assert_eq!(kind(store.head(room(1)).await), StoreErrorKind::Timeout);
        assert_eq!(began.elapsed(), deadlines.write + deadlines.read);

        plan.set(Faults::default());
        store.append(room(1), epoch, &[event(1)], &head(1)).await.unwrap();
    }
}
