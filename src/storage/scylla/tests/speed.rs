//! Appends beside plain prepared inserts, in one run on one database: `cargo test --release -F testkit --lib
//! storage::scylla::tests::speed -- --ignored --nocapture`.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::Keyspace;
use crate::{
    domain::ids::{Epoch, Ordinal, RoomId, UserId},
    storage::{
        LogStore, Position, Projection, Record,
        conformance::{head, message, room},
        scylla::{
            ScyllaStore,
            rows::{BatchKey, LogPut},
        },
    },
};

const COUNT: u64 = 4_000;

/// Rate and median of `COUNT` calls by so many callers, each of which waits for its last one.
async fn timed<F: Future<Output = ()>>(callers: u64, call: impl Fn(u64, u64) -> F) -> (f64, Duration) {
    let call = &call;
    let started = Instant::now();
    let caller = |caller: u64| async move {
        let mut times = Vec::new();
        for number in 0..COUNT / callers {
            let started = Instant::now();
            call(caller, number).await;
            times.push(started.elapsed());
        }
        times
    };
    let mut times: Vec<Duration> = join_all((0..callers).map(caller)).await.concat();
    let seconds = started.elapsed().as_secs_f64();
    times.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "a small number")]
    let rate = times.len() as f64 / seconds;
    (rate, times[times.len() / 2])
}

async fn insert(store: &ScyllaStore, r: RoomId, number: u64) {
    let record = message(r, number + 1, 1);
    let key = BatchKey { room: r, first: record.seq, last: record.seq, stamp: 1 };
    let row = LogPut::new(&key, &record, record.body.clone(), Epoch(1), None, 1);
    store.core.database.write("test", &store.core.statements.log_put, row).await.unwrap();
}

async fn append(store: &ScyllaStore, r: RoomId, epoch: Epoch, seq: u64) {
    let sent = Position { sent_n: Ordinal(seq), ..Position::default() };
    let projection = Projection { positions: vec![(UserId(1), sent)], ..head(seq) };
    let records: [Record; 1] = [message(r, seq, 1)];
    store.append(r, epoch, &records, &projection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn appends_beside_plain_inserts() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    for callers in [1_u64, 64, 1, 64] {
        let plain =
            timed(callers, |caller, number| insert(&store, room(u32::try_from(1_000 + caller).unwrap()), number)).await;
        let mut claimed = Vec::new();
        for number in 0..callers {
            let r = room(u32::try_from(number).unwrap());
            let epoch = store.claim(r).await.unwrap();
            claimed.push((r, epoch, store.head(r).await.unwrap().unwrap_or_default().seq.0));
        }
        let call = |caller: u64, number: u64| {
            let (r, epoch, from) = claimed[usize::try_from(caller).unwrap()];
            append(&store, r, epoch, from + number + 1)
        };
        let appends = timed(callers, call).await;
        println!(
            "{callers} callers: inserts {plain:?}, appends {appends:?}; rate {:.2}, p50 {:.2}",
            appends.0 / plain.0,
            appends.1.as_secs_f64() / plain.1.as_secs_f64()
        );
    }
}
