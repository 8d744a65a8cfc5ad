//! Message ids that no earlier life of this node has made, also if the clock was set back over the restart.
//!
//! The store keeps up to which millisecond ids may have been made: a little ahead of the time, moved on all the while, and
//! taken along when the store's content moves. Since that is a write that comes all the time, it also tells whether the
//! store takes writes ([`Pulse`]), and whether it is still the one of before. The next life begins behind it, so after a restart ids may be that much
//! ahead of the time. Within one life the generator itself never goes back. What this does not see is a clock that leaps
//! ahead, makes ids within [`EVERY`], and is set back before the next life.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{
    actors::Node,
    domain::{
        ids::Seq,
        snowflake::{self, Snowflakes},
    },
    error::Chain,
    storage::{
        Outcome, Result, Store, StoreError, StoreErrorKind, consumers,
        pulse::{Pulse, Trouble},
    },
    tasks::{self, TaskKind},
};

/// How far ahead of the time ids are reserved, milliseconds: for so long the store may be away before an id is made that
/// is not.
const AHEAD_MS: i64 = 20_000;

/// How often.
const EVERY: Duration = Duration::from_secs(2);

/// How often when it fails: whoever waits for the store to come back asks readiness.
const AGAIN: Duration = Duration::from_millis(500);

/// A store that lacks more than this of what was reserved is not the one of before, milliseconds. One that has taken the
/// place of a primary that died may lack the last seconds; it is reserved again.
const LOST_MS: u64 = 60_000;

/// How long a reservation may take.
const BEAT_MAX: Duration = Duration::from_secs(3);

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

/// Returns what is reserved now, at least.
async fn reserve(store: &dyn Store, now_ms: i64, newest_ms: i64) -> Result<Seq> {
    let (name, of) = consumers::MESSAGE_IDS;
    let until_ms = now_ms.saturating_add(AHEAD_MS).max(newest_ms.saturating_add(SPARE_MS));
    let until = Seq(until_ms.max(0).cast_unsigned());
    store.put_cursor(name, of, until).await?;
    Ok(until)
}

/// Keeps ids reserved until the node stops, and says by `pulse` whether that is possible.
pub(super) fn keep(store: Arc<dyn Store>, node: Node, pulse: Pulse, stop: CancellationToken) {
    drop(tasks::spawn(TaskKind::Sweep, async move {
        let (mut reserved, mut failed) = (Seq(0), 0);
        while !stop.is_cancelled() {
            let why = beat(&*store, node.now_ms(), node.newest_id_ms(), &mut reserved).await;
            failed = if why.is_some() { failed + 1 } else { 0 };
            if counts(why.as_ref(), failed) {
                feel(&pulse, why);
            }
            let pause = if failed > 0 { AGAIN } else { EVERY };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }));
}

/// Why ids could not be reserved, with the error if there is one.
type Why = Option<(Trouble, Option<StoreError>)>;

/// Reserves ids once. `reserved` is what was reserved before: a store that does not know of it is another one, and is
/// left as it is.
async fn beat(store: &dyn Store, now_ms: i64, newest_ms: i64, reserved: &mut Seq) -> Why {
    let (name, of) = consumers::MESSAGE_IDS;
    let beat = async {
        if store.cursor(name, of).await?.0.saturating_add(LOST_MS) < reserved.0 {
            return Ok(Some((Trouble::NotTheSame, None)));
        }
        *reserved = reserve(store, now_ms, newest_ms).await?.max(*reserved);
        Ok(None)
    };
    match timeout(BEAT_MAX, beat).await {
        Ok(Ok(trouble)) => trouble,
        Ok(Err(error)) => Some((Trouble::of(&error), Some(error))),
        Err(_) => Some((Trouble::Silent, None)),
    }
}

/// Whether it tells how the store stands, after so many failures in a row. One failure may be anything, and a store with
/// much to do is not in trouble; what says that it has no room, or refuses, is believed at once.
fn counts(why: Option<&(Trouble, Option<StoreError>)>, failed: u32) -> bool {
    match why {
        None => true,
        Some((_, Some(error))) if error.kind() == StoreErrorKind::Overloaded => false,
        Some((Trouble::NoRoom | Trouble::NotTheSame, _)) => true,
        Some((_, Some(error))) if error.outcome() == Outcome::NotApplied => true,
        Some(_) => failed > 1,
    }
}

/// Notes it, and says so when it is new.
fn feel(pulse: &Pulse, why: Why) {
    let is_news = pulse.felt(why.as_ref().map(|(trouble, _)| *trouble));
    match why {
        _ if !is_news => {}
        None => tracing::info!("the store takes writes again"),
        Some((trouble, Some(error))) => {
            tracing::error!(error = %Chain(&error), "the store {}", trouble.as_str());
        }
        Some((trouble, None)) => tracing::error!("the store {}", trouble.as_str()),
    }
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
    async fn an_emptied_store_is_noticed_and_left_as_it_is() {
        let (store, mut reserved) = (EmbeddedStore::in_memory(), Seq(0));
        for now in [EPOCH_MS, EPOCH_MS + 2_000, EPOCH_MS - 50_000, EPOCH_MS + 4_000] {
            assert!(beat(&store, now, 0, &mut reserved).await.is_none());
        }
        let behind = EmbeddedStore::in_memory();
        let (name, of) = consumers::MESSAGE_IDS;
        behind.put_cursor(name, of, Seq(reserved.0 - 5_000)).await.unwrap();
        assert!(
            beat(&behind, EPOCH_MS + 4_000, 0, &mut reserved).await.is_none(),
            "a standby without the last seconds"
        );
        let emptied = EmbeddedStore::in_memory();
        for _ in 0..2 {
            let why = beat(&emptied, EPOCH_MS + 6_000, 0, &mut reserved).await.unwrap();
            assert_eq!(why.0, Trouble::NotTheSame);
        }
        assert_eq!(emptied.cursor(name, of).await.unwrap(), Seq(0));
    }

    #[test]
    fn one_failure_or_much_to_do_is_no_trouble() {
        let failed = |kind| (Trouble::Refused, Some(StoreError::new(kind, "x")));
        assert!(!counts(Some(&failed(StoreErrorKind::Overloaded)), 9));
        assert!(
            !counts(Some(&failed(StoreErrorKind::Timeout)), 1) && counts(Some(&failed(StoreErrorKind::Timeout)), 2)
        );
        assert!(!counts(Some(&(Trouble::Silent, None)), 1) && counts(Some(&(Trouble::Silent, None)), 2));
        assert!(counts(Some(&(Trouble::Refused, Some(StoreError::not_tried("x", "paused")))), 1));
        assert!(counts(None, 0));
    }

    #[tokio::test]
    async fn a_closed_store_takes_no_writes() {
        let store = EmbeddedStore::in_memory();
        store.close().await.unwrap();
        let why = beat(&store, EPOCH_MS, 0, &mut Seq(0)).await.unwrap();
        assert_eq!(why.0, Trouble::Refused);
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
