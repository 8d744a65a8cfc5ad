//! Rooms whose rows somebody else's transaction holds: they wait, and nobody else does.

use std::future::Future;

use super::{
    groups::{Held, begin, wait_for},
    *,
};
use crate::{
    domain::ids::{Epoch, Seq, UserId},
    storage::{
        LogStore as _, Outcome as Happened,
        conformance::{event, filled, head, kind, room},
    },
};

/// As the product does it, but that held rooms have all the time.
async fn open_hasty() -> Option<(Arc<PostgresStore>, DropSchema)> {
    let (options, guard) = schema()?;
    let options = PostgresOptions { append_lanes: 2, lock_timeout: Duration::from_millis(100), ..options };
    Some((Arc::new(PostgresStore::open(&options).await.expect("open")), guard))
}

async fn fill(store: &PostgresStore, rooms: u32) -> Vec<Epoch> {
    let mut epochs = Vec::new();
    for number in 0..rooms {
        epochs.push(filled(store, room(number), 1).await.0);
    }
    epochs
}

fn append(
    store: &Arc<PostgresStore>,
    number: u32,
    epoch: Epoch,
    seq: u64,
) -> tokio::task::JoinHandle<Result<Durability>> {
    let store = Arc::clone(store);
    begin(async move { store.append(room(number), epoch, &[event(seq)], &head(seq)).await })
}

/// Work that nobody holds up.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE / 4, work).await.expect("it waits for nobody's lock")
}

async fn seq(store: &PostgresStore, number: u32) -> Seq {
    store.head(room(number)).await.unwrap().unwrap().seq
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_stuck_rooms_than_lanes_keep_nobody_else_waiting() {
    let (store, _guard) = or_skip!(open_hasty());
    let epochs = fill(&store, 20).await;
    let held = Held::rows_of(&store, &[0, 1, 2, 3, 4].map(room)).await;
    let mut stuck = Vec::new();
    for (number, epoch) in (0..5).zip(&epochs) {
        // Of one room, two: they keep their order.
        stuck.push(append(&store, number, *epoch, 2));
        wait_for(async || format!("{:?}", store.appends).contains(&format!("aside: {}", stuck.len())).then_some(()))
            .await;
        stuck.push(append(&store, number, *epoch, 3));
    }
    // Claims of stuck rooms, and of others.
    let claim = |number| {
        let store = Arc::clone(&store);
        begin(async move { store.claim(room(number)).await })
    };
    let stuck_claims: Vec<_> = (1..5).map(claim).collect();
    for number in 5..20 {
        for seq in 2..6 {
            soon(append(&store, number, epochs[number as usize], seq)).await.unwrap().unwrap();
        }
        soon(claim(number)).await.unwrap().unwrap();
    }
    assert!(stuck.iter().all(|append| !append.is_finished()), "{:?}", store.appends);
    assert!(stuck_claims.iter().all(|claim| !claim.is_finished()), "{:?}", store.claims);
    assert_eq!(seq(&store, 0).await, Seq(1));

    held.release().await;
    for append in &mut stuck[..2] {
        append.await.unwrap().unwrap();
    }
    for claim in stuck_claims {
        claim.await.unwrap().unwrap();
    }
    // The other rooms were claimed in the meantime, before or after what was appended.
    for append in stuck.drain(2..) {
        let ended = append.await.unwrap();
        assert!(ended.is_ok() || kind(ended) == StoreErrorKind::Fenced);
    }
    assert_eq!(seq(&store, 0).await, Seq(3));
    soon(wait_for(async || (store.appends.is_idle() && store.claims.is_idle()).then_some(()))).await;
    soon(store.close()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_held_too_long_is_refused_for_certain() {
    let Some((options, _guard)) = schema() else { return };
    let [lock_timeout, statement_timeout] = [50, 400].map(Duration::from_millis);
    let options = PostgresOptions { lock_timeout, statement_timeout, ..options };
    let store = Arc::new(PostgresStore::open(&options).await.unwrap());
    let epochs = fill(&store, 2).await;
    let held = Held::rows_of(&store, &[room(0)]).await;
    held.client.batch_execute("SET idle_in_transaction_session_timeout = 0").await.unwrap();
    for _ in 0..2 {
        let error = append(&store, 0, epochs[0], 2).await.unwrap().unwrap_err();
        assert_eq!((error.kind(), error.outcome()), (StoreErrorKind::Overloaded, Happened::NotApplied), "{error:?}");
        assert_eq!(kind(store.claim(room(0)).await), StoreErrorKind::Overloaded);
        soon(append(&store, 1, epochs[1], seq(&store, 1).await.0 + 1)).await.unwrap().unwrap();
    }
    held.release().await;
    assert_eq!(seq(&store, 0).await, Seq(1));
    append(&store, 0, epochs[0], 2).await.unwrap().unwrap();
}

/// Whatever holds them up: rows of another table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_row_of_a_member_holds_up_steps_aside_too() {
    let (store, _guard) = or_skip!(open_hasty());
    let epochs = fill(&store, 8).await;
    let member = |seq| crate::storage::Projection {
        positions: vec![(UserId(7), crate::storage::Position { read_seq: Seq(1), ..Default::default() })],
        ..head(seq)
    };
    for number in 0..4 {
        store.append(room(number), epochs[number as usize], &[event(2)], &member(2)).await.unwrap();
    }
    let held = Held::of(&store, "SELECT 1 FROM room_position FOR UPDATE", 4).await;
    let stuck: Vec<_> = (0..4)
        .map(|number| {
            let (store, epoch, projection) = (Arc::clone(&store), epochs[number as usize], member(3));
            begin(async move { store.append(room(number), epoch, &[event(3)], &projection).await })
        })
        .collect();
    wait_for(async || format!("{:?}", store.appends).contains("aside: 4").then_some(())).await;
    for number in 4..8 {
        soon(append(&store, number, epochs[number as usize], 2)).await.unwrap().unwrap();
    }
    assert!(stuck.iter().all(|append| !append.is_finished()));
    held.release().await;
    for append in stuck {
        append.await.unwrap().unwrap();
    }
}
