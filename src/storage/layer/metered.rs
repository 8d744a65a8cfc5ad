//! Tells an observer about every call. What is made of it (counters, histograms) stays outside.

use std::{fmt::Debug, future::Future, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{prelude::*, store_around};
use crate::storage::error::StoreErrorKind;

/// Someone who wants to know what a store does. Called on the caller's task: must be quick.
pub trait StoreObserver: Debug + Send + Sync + 'static {
    /// A call came back after `took`. A call whose future was dropped is not told.
    fn observe(&self, op: Op, took: Duration, result: std::result::Result<(), StoreErrorKind>);
}

/// Nobody.
impl StoreObserver for () {
    fn observe(&self, _: Op, _: Duration, _: std::result::Result<(), StoreErrorKind>) {}
}

/// A store that is observed.
#[derive(Debug)]
pub struct Metered {
    inner: Arc<dyn Store>,
    observer: Arc<dyn StoreObserver>,
}

impl Metered {
    /// Tells `observer` about the calls to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, observer: Arc<dyn StoreObserver>) -> Self {
        Self { inner, observer }
    }

    async fn around<T, F>(&self, op: Op, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        let began = Instant::now();
        let result = call().await;
        self.observer.observe(op, began.elapsed(), result.as_ref().map(drop).map_err(|error| error.kind()));
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

store_around!(Metered);

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::storage::{
        conformance::{event, head, room},
        embedded::EmbeddedStore,
    };

    #[derive(Debug, Default)]
    struct Seen(Mutex<Vec<(Op, std::result::Result<(), StoreErrorKind>)>>);

    impl StoreObserver for Seen {
        fn observe(&self, op: Op, _: Duration, result: std::result::Result<(), StoreErrorKind>) {
            self.0.lock().push((op, result));
        }
    }

    #[tokio::test]
    async fn every_call_is_told_with_its_result() {
        let seen = Arc::new(Seen::default());
        let store = Metered::new(Arc::new(EmbeddedStore::in_memory()), Arc::clone(&seen) as _);
        let epoch = store.claim(room(1)).await.unwrap();
        let _ = store.append(room(1), epoch, &[event(2)], &head(2)).await;
        store.head(room(1)).await.unwrap();
        let expected = [
            (Op::write("claim"), Ok(())),
            (Op::write("append"), Err(StoreErrorKind::Conflict)),
            (Op::read("head"), Ok(())),
        ];
        assert_eq!(*seen.0.lock(), expected);
    }
}
