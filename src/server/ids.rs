//! Message ids that no earlier life of this node has made, also if the clock was set back over the restart.
//!
//! The store keeps up to which millisecond this worker may have made ids: a little ahead of the time, moved on all the
//! while. The next life begins behind it. Within one life the generator itself never goes back.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    actors::Node,
    domain::{
        ids::{RoomId, Seq},
        snowflake::Snowflakes,
    },
    error::Chain,
    storage::{Result, Store, consumers},
    tasks::{self, TaskKind},
};

/// How far ahead of the time ids are reserved: as long may the store be away before an id is made that is not.
const AHEAD: Duration = Duration::from_secs(10);

/// How often.
const EVERY: Duration = Duration::from_secs(2);

/// No room: the cursor belongs to the store.
const STORE: RoomId = RoomId([0; 16]);

/// A generator for `worker` that begins behind all ids that it may have made before `now_ms`.
///
/// # Errors
/// What the store answers.
pub(super) async fn resume(store: &dyn Store, worker: u16, now_ms: i64) -> Result<Snowflakes> {
    let name = consumers::message_ids(worker);
    let reserved = store.cursor(&name, STORE).await?.0;
    let mut ids = Snowflakes::new(worker);
    if reserved > 0 {
        ids.begin_after_ms(reserved.cast_signed());
    }
    reserve(store, &name, now_ms.max(ids.newest_ms())).await?;
    Ok(ids)
}

async fn reserve(store: &dyn Store, name: &str, from_ms: i64) -> Result<()> {
    let ahead_ms = i64::try_from(AHEAD.as_millis()).unwrap_or(i64::MAX);
    store.put_cursor(name, STORE, Seq(from_ms.saturating_add(ahead_ms).max(0).cast_unsigned())).await
}

/// Keeps ids reserved until the node stops.
pub(super) fn keep(store: Arc<dyn Store>, node: Node, stop: CancellationToken) {
    drop(tasks::spawn(TaskKind::Sweep, async move {
        let name = consumers::message_ids(node.options().worker_id);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(failed) = reserve(&*store, &name, node.now_ms().max(node.newest_id_ms())).await {
                tracing::debug!(error = %Chain(&failed), "message ids cannot be reserved, trying again");
            }
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{
            ids::MessageId,
            snowflake::{EPOCH_MS, made_at_ms},
        },
        storage::embedded::EmbeddedStore,
    };

    #[tokio::test]
    async fn a_clock_that_was_set_back_yields_no_id_again() {
        let store = EmbeddedStore::in_memory();
        let (now, none) = (EPOCH_MS + 1_000_000, MessageId(0));
        let mut first = resume(&store, 3, now).await.unwrap();
        let made = first.next(now, none);
        assert_eq!(made_at_ms(made), now, "nothing was reserved before");
        let last = (0..5_000).map(|_| first.next(now + 5_000, none)).last().unwrap();
        let mut second = resume(&store, 3, now - 500_000).await.unwrap();
        let next = second.next(now - 500_000, none);
        assert!(next > last, "{next} after {last}");
        // A third life, before the second one reserved anything but at its start.
        let last = (0..5_000).map(|_| second.next(now - 500_000, none)).last().unwrap();
        let mut third = resume(&store, 3, now - 500_000).await.unwrap();
        assert!(third.next(now - 500_000, none) > last);
        let mut other = resume(&store, 4, now - 500_000).await.unwrap();
        assert_eq!(made_at_ms(other.next(now - 500_000, none)), now - 500_000, "another worker's are its own");
    }
}
