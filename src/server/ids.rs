//! Message ids that no earlier life of this node has made, also if the clock was set back over the restart.
//!
//! The store keeps up to which millisecond ids may have been made: a little ahead of the time, moved on all the while, and
//! taken along when the store's content moves. The next life begins behind it, so after a restart ids may be that much
//! ahead of the time. Within one life the generator itself never goes back. What this does not see is a clock that leaps
//! ahead, makes ids within [`EVERY`], and is set back before the next life.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    actors::Node,
    domain::{
        ids::Seq,
        snowflake::{self, Snowflakes},
    },
    error::Chain,
    storage::{Result, Store, StoreError, StoreErrorKind, consumers},
    tasks::{self, TaskKind},
};

/// How far ahead of the time ids are reserved, milliseconds: for so long the store may be away before an id is made that
/// is not.
const AHEAD_MS: i64 = 20_000;

/// How often.
const EVERY: Duration = Duration::from_secs(2);

/// What is reserved behind an id that is ahead of the time, milliseconds of 4,096 ids each.
const SPARE_MS: i64 = 100;

/// Further ahead of the time ids are worth a warning, milliseconds.
const AHEAD_WARN_MS: i64 = 60_000;

/// A generator for `worker` that begins behind all ids that may have been made before `now_ms`.
///
/// # Errors
/// What the store answers; `Invalid` if the clock, or one of an earlier life, is beyond what an id can hold.
pub(super) async fn resume(store: &dyn Store, worker: u16, now_ms: i64) -> Result<Snowflakes> {
    let (name, of) = consumers::MESSAGE_IDS;
    let reserved = store.cursor(name, of).await?.0;
    let reserved = i64::try_from(reserved).unwrap_or(i64::MAX);
    if reserved.max(now_ms) > snowflake::LAST_MS - AHEAD_MS {
        return Err(StoreError::because(
            StoreErrorKind::Invalid,
            "ids",
            "the clock is beyond what message ids can hold",
        ));
    }
    if reserved > now_ms.saturating_add(AHEAD_WARN_MS) {
        let ahead_s = (reserved - now_ms) / 1_000;
        tracing::warn!(ahead_s, "the clock was set back; message ids go on where they were");
    }
    let mut ids = Snowflakes::new(worker);
    ids.begin_after_ms(reserved);
    reserve(store, now_ms, ids.newest_ms()).await?;
    Ok(ids)
}

async fn reserve(store: &dyn Store, now_ms: i64, newest_ms: i64) -> Result<()> {
    let (name, of) = consumers::MESSAGE_IDS;
    let until_ms = now_ms.saturating_add(AHEAD_MS).max(newest_ms.saturating_add(SPARE_MS));
    store.put_cursor(name, of, Seq(until_ms.max(0).cast_unsigned())).await
}

/// Keeps ids reserved until the node stops.
pub(super) fn keep(store: Arc<dyn Store>, node: Node, stop: CancellationToken) {
    drop(tasks::spawn(TaskKind::Sweep, async move {
        while !stop.is_cancelled() {
            if let Err(failed) = reserve(&*store, node.now_ms(), node.newest_id_ms()).await {
                tracing::warn!(error = %Chain(&failed), "message ids cannot be reserved, trying again");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
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
        storage::{CursorStore as _, embedded::EmbeddedStore},
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
    }

    #[tokio::test]
    async fn lives_that_follow_each_other_quickly_do_not_run_away() {
        let store = EmbeddedStore::in_memory();
        let mut now = EPOCH_MS + 1_000_000;
        for _ in 0..1_000 {
            now += 100;
            let id = resume(&store, 3, now).await.unwrap().next(now, MessageId(0));
            assert!(made_at_ms(id) <= now + AHEAD_MS + 1);
        }
    }

    #[tokio::test]
    async fn a_clock_beyond_all_ids_is_refused() {
        let store = EmbeddedStore::in_memory();
        assert_eq!(resume(&store, 3, i64::MAX).await.unwrap_err().kind(), StoreErrorKind::Invalid);
        let (name, of) = consumers::MESSAGE_IDS;
        assert_eq!(store.cursor(name, of).await.unwrap(), Seq(0), "nothing is reserved");
        store.put_cursor(name, of, Seq(u64::MAX)).await.unwrap();
        assert_eq!(resume(&store, 3, EPOCH_MS).await.unwrap_err().kind(), StoreErrorKind::Invalid);
    }
}
