//! What a caller is told when the server, or the way to it, fails.

use super::{super::pool::Retries, groups::Held, *};
use crate::{
    domain::ids::Seq,
    storage::{
        LogStore as _, Outcome as Happened,
        conformance::{event, filled, head, kind, room},
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_connection_is_lost_has_an_unknown_outcome() {
    let (store, _guard) = or_skip!(open());
    let store = Arc::new(store);
    let (epoch, _) = filled(&*store, room(1), 1).await;
    let held = Held::row_of(&store, room(1)).await;
    let append = {
        let store = Arc::clone(&store);
        tasks::spawn(TaskKind::Append, async move { store.append(room(1), epoch, &[event(2)], &head(2)).await })
    };
    let process = held.waiting().await;
    held.client.query("SELECT pg_terminate_backend($1)", &[&process]).await.unwrap();
    let error = append.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (StoreErrorKind::Unavailable, Happened::Unknown), "{error:?}");
    held.release().await;
    // This one was not written, and the store goes on.
    store.append(room(1), epoch, &[event(2)], &head(2)).await.unwrap();
    assert_eq!(store.head(room(1)).await.unwrap().unwrap().seq, Seq(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_and_writes_go_on_after_all_connections_were_lost() {
    let (store, _guard) = or_skip!(open());
    let (epoch, _) = filled(&store, room(1), 1).await;
    for seq in 2..12 {
        // Connections that have ended go back to the pool.
        let all = [store.db.client().await.unwrap(), store.db.client().await.unwrap()];
        for client in &all {
            let end = "SELECT pg_terminate_backend(pg_backend_pid())";
            assert!(client.query(end, &[]).await.is_err());
        }
        drop(all);
        assert_eq!(store.head(room(1)).await.unwrap().unwrap().seq, Seq(seq - 1));
        store.append(room(1), epoch, &[event(seq)], &head(seq)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_not_applied() {
    let Some((options, _guard)) = schema() else { return };
    let options = PostgresOptions { statement_timeout: Duration::from_millis(300), ..options };
    let store = Arc::new(PostgresStore::open(&options).await.unwrap());
    let (epoch, _) = filled(&*store, room(1), 1).await;
    let held = Held::row_of(&store, room(1)).await;
    held.client.batch_execute("SET idle_in_transaction_session_timeout = 0").await.unwrap();
    let error = store.append(room(1), epoch, &[event(2)], &head(2)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (StoreErrorKind::Overloaded, Happened::NotApplied), "{error:?}");
    held.release().await;
    assert_eq!(store.head(room(1)).await.unwrap().unwrap().seq, Seq(1));
    store.append(room(1), epoch, &[event(2)], &head(2)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_connection_nothing_is_sent() {
    let Some((options, _guard)) = schema() else { return };
    let options =
        PostgresOptions { pool_size: 2, append_lanes: 1, connect_timeout: Duration::from_millis(500), ..options };
    let store = PostgresStore::open(&options).await.unwrap();
    let all = [store.db.client().await.unwrap(), store.db.client().await.unwrap()];
    assert_eq!(kind(store.claim(room(1)).await), StoreErrorKind::Overloaded);
    assert_eq!(kind(store.head(room(1)).await), StoreErrorKind::Overloaded);
    drop(all);
    store.claim(room(1)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    // Nobody listens on the discard port.
    let options =
        PostgresOptions { port: 9, connect_timeout: Duration::from_millis(200), ..PostgresOptions::default() };
    let error = PostgresStore::open(&options).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let Some((options, _guard)) = schema() else { return };
    let wrong = PostgresOptions { password: Some("wrong".into()), ..options.clone() };
    assert_eq!(PostgresStore::open(&wrong).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    let missing = PostgresOptions { database: "not_there".into(), ..options };
    assert_eq!(PostgresStore::open(&missing).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn what_was_rolled_back_is_tried_again_and_not_for_ever() {
    let tries = async |what: Again, fault: &Fault| {
        let mut retries = Retries::of(what);
        let mut tries = 1;
        while retries.after(fault).await {
            tries += 1;
        }
        tries
    };
    let final_one = Fault::conflict("taken");
    assert_eq!(tries(Again::Everything, &final_one.clone().worth_a_try()).await, 6);
    assert_eq!(tries(Again::Reads, &final_one.clone().worth_a_try()).await, 6);
    assert_eq!(tries(Again::Everything, &final_one).await, 1);
    let lost = Fault::from(tokio_postgres::Error::__private_api_timeout());
    assert_eq!((lost.again(), lost.is_certain()), (Again::Reads, false));
    assert_eq!((tries(Again::Reads, &lost).await, tries(Again::Everything, &lost).await), (6, 1));
}
