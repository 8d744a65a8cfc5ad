//! Appends that go together: each has its own end.

use std::future::Future;

use futures_util::future::join_all;
use tokio::task::JoinHandle;

use super::*;
use crate::{
    domain::ids::{Seq, UserId},
    storage::{
        LogStore as _, Outcome as Happened, Projection, Record,
        conformance::{event, external, filled, head, kind, message, room, with_external},
    },
};

/// A transaction of somebody else that holds a room's row until it is dropped.
pub(super) struct Held {
    pub(super) client: deadpool_postgres::Object,
}

impl Held {
    pub(super) async fn row_of(store: &PostgresStore, id: RoomId) -> Self {
        Self::rows_of(store, &[id]).await
    }

    pub(super) async fn rows_of(store: &PostgresStore, ids: &[RoomId]) -> Self {
        let ids: Vec<_> = ids.iter().map(|id| format!("'{}'", rows::uuid(*id))).collect();
        let select = format!("SELECT 1 FROM room_control WHERE room IN ({}) FOR UPDATE", ids.join(","));
        Self::of(store, &select, ids.len()).await
    }

    /// Holds as many rows as there are to be, which a statement locks.
    pub(super) async fn of(store: &PostgresStore, select: &str, rows: usize) -> Self {
        let client = store.db.client().await.unwrap();
        client.batch_execute("BEGIN").await.unwrap();
        assert_eq!(client.query(select, &[]).await.unwrap().len(), rows);
        Self { client }
    }

    /// Waits until somebody waits for a lock; their process.
    pub(super) async fn waiting(&self) -> i32 {
        // Not pg_stat_activity: a transaction sees that as it was at its first look.
        let sql = "SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
        wait_for(async || self.client.query_opt(sql, &[]).await.unwrap().map(|row| row.get(0))).await
    }

    pub(super) async fn release(self) {
        self.client.batch_execute("COMMIT").await.unwrap();
    }
}

pub(super) async fn wait_for<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it becomes true")
}

/// Runs until its first wait, and on.
pub(super) fn begin<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tasks::spawn(TaskKind::Append, work)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_fails_does_not_fail_the_others() {
    let Some((options, _guard)) = schema() else { return };
    let store = PostgresStore::open(&PostgresOptions { append_lanes: 1, ..options }).await.unwrap();
    let store = Arc::new(store);
    let mut epochs = Vec::new();
    for number in 0..20 {
        epochs.push(filled(&*store, room(number), 1).await.0);
    }
    let newer = store.claim(room(2)).await.unwrap();
    let taken = external("s", "c", "taken");
    let first = with_external(message(room(19), 2, 1), &taken);
    store.append(room(19), epochs[19], std::slice::from_ref(&first), &head(2)).await.unwrap();

    // While the only lane waits for room 0, all others gather.
    let held = Held::row_of(&store, room(0)).await;
    let append = |number: u32, record: Record, projection: Projection| {
        let (store, epoch) = (Arc::clone(&store), epochs[number as usize]);
        begin(async move { store.append(room(number), epoch, &[record], &projection).await })
    };
    let slow = append(0, event(2), head(2));
    held.waiting().await;
    let mut repeated = message(room(5), 2, 1);
    repeated.message.as_mut().unwrap().client_id = first.message.as_ref().unwrap().client_id.clone();
    let redacts = Projection { redacted: vec![(Seq(7), bytes::Bytes::new())], ..head(2) };
    let waiting = vec![
        append(1, event(2), head(2)),
        append(2, event(2), head(2)),
        append(3, with_external(message(room(3), 2, 1), &taken), head(2)),
        append(4, event(3), head(3)),
        append(5, repeated.clone(), head(2)),
        append(6, event(2), redacts),
        append(7, message(room(7), 1, 1), head(1)),
        append(8, message(room(8), 2, 9), head(2)),
    ];
    wait_for(async || format!("{:?}", store.appends).contains("waiting: 8").then_some(())).await;
    held.release().await;

    slow.await.unwrap().unwrap();
    let ended: Vec<_> = join_all(waiting).await.into_iter().map(|end| end.unwrap().map_err(|e| e.kind())).collect();
    use StoreErrorKind::{Conflict, Fenced};
    let synced = Ok(store.durability());
    let expected = [synced, Err(Fenced), Err(Conflict), Err(Conflict), synced, Err(Conflict), synced, synced];
    assert_eq!(ended, expected);
    let seqs: Vec<_> = store.heads(&(0..9).map(room).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(seqs.iter().map(|head| head.unwrap().seq.0).collect::<Vec<_>>(), [2, 2, 1, 1, 1, 2, 1, 1, 2]);
    // Who has the client id already keeps it.
    let key = repeated.message.unwrap();
    assert_eq!(store.find_client_message(UserId(1), &key.client_id).await.unwrap().unwrap().room, room(19));
    assert_eq!(store.find_message(key.id).await.unwrap().unwrap().room, room(5));
    store.append(room(2), newer, &[event(2)], &head(2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_goes_away_takes_nothing_back() {
    let (store, _guard) = or_skip!(open());
    let store = Arc::new(store);
    let (epoch, _) = filled(&*store, room(1), 1).await;
    let held = Held::row_of(&store, room(1)).await;
    let gone = {
        let store = Arc::clone(&store);
        begin(async move { store.append(room(1), epoch, &[event(2)], &head(2)).await })
    };
    held.waiting().await;
    gone.abort();
    held.release().await;
    wait_for(async || (store.head(room(1)).await.unwrap().unwrap().seq == Seq(2)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_when_the_store_closes_is_written() {
    let Some((options, _guard)) = schema() else { return };
    let open = async || PostgresStore::open(&PostgresOptions { append_lanes: 1, ..options.clone() }).await.unwrap();
    let (store, other) = (Arc::new(open().await), open().await);
    let mut epochs = Vec::new();
    for number in 0..5 {
        epochs.push(filled(&*store, room(number), 1).await.0);
    }
    let held = Held::row_of(&other, room(0)).await;
    let append = |number: u32| {
        let (store, epoch) = (Arc::clone(&store), epochs[number as usize]);
        begin(async move { store.append(room(number), epoch, &[event(2)], &head(2)).await })
    };
    // The only lane goes with the first alone.
    let mut appends = vec![append(0)];
    held.waiting().await;
    appends.extend((1..5).map(append));
    wait_for(async || format!("{:?}", store.appends).contains("waiting: 4").then_some(())).await;
    let closing = begin({
        let store = Arc::clone(&store);
        async move { store.close().await }
    });
    wait_for(async || store.claim(room(9)).await.is_err().then_some(())).await;
    held.release().await;
    for append in appends {
        append.await.unwrap().unwrap();
    }
    closing.await.unwrap().unwrap();
    assert_eq!(kind(store.head(room(1)).await), StoreErrorKind::Unavailable);
    assert_eq!(other.head(room(4)).await.unwrap().unwrap().seq, Seq(2));
    assert_eq!(StoreErrorKind::Unavailable.outcome(), Happened::Unknown);
}
