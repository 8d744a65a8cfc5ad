//! Migrations: once, in order, by whoever comes first, and never in another form.

use futures_util::future::join_all;

use super::*;
use crate::{
    domain::ids::{ClientMessageId, MessageId, Seq, UserId},
    storage::{
        LogStore as _, Store as _,
        conformance::room,
        postgres::migrate::{self, MIGRATIONS, Migration},
    },
};

/// All columns, indexes and functions of the schema, as the server describes them.
async fn described(options: &PostgresOptions) -> Vec<String> {
    let (client, connection) = options.driver().connect(NoTls).await.unwrap();
    tasks::spawn(TaskKind::Connection, connection);
    let sql = "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
                   || coalesce(' ' || column_default, '')
               FROM information_schema.columns WHERE table_schema = $1
               UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = $1
               UNION ALL SELECT proname || ' ' || prosrc FROM pg_proc
                   WHERE pronamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
               ORDER BY 1";
    client.query(sql, &[&options.schema]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twice_is_the_same_as_once() {
    let Some((options, _guard)) = schema() else { return };
    migrate::run(&options).await.unwrap();
    let once = described(&options).await;
    migrate::run(&options).await.unwrap();
    assert_eq!(described(&options).await, once);
    assert!(once.len() > 100, "{once:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_start_at_once_do_not_disturb_each_other() {
    let Some((options, _guard)) = schema() else { return };
    let stores = join_all((0..8).map(|_| PostgresStore::open(&options))).await;
    for store in stores {
        store.unwrap().close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_that_fails_leaves_nothing() {
    let Some((options, _guard)) = schema() else { return };
    migrate::run(&options).await.unwrap();
    let before = described(&options).await;
    let bad = Migration { name: "9999-bad", sql: "CREATE TABLE half (x int); SELECT 1 / 0;", left: "" };
    let all: Vec<Migration> = MIGRATIONS.iter().copied().chain([bad]).collect();
    assert!(migrate::run_all(&options, &all).await.is_err());
    assert_eq!(described(&options).await, before);
    let good = Migration { name: "9999-good", sql: "CREATE TABLE whole (x int)", left: "" };
    let all: Vec<Migration> = MIGRATIONS.iter().copied().chain([good]).collect();
    migrate::run_all(&options, &all).await.unwrap();
    assert!(described(&options).await.iter().any(|line| line.starts_with("whole.x")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_history_is_refused() {
    let Some((options, _guard)) = schema() else { return };
    let step = Migration { name: "0001-a", sql: "CREATE TABLE a (x int)", left: "" };
    let newer = Migration { name: "0002-b", sql: "CREATE TABLE b (x int)", left: "" };
    migrate::run_all(&options, &[step, newer]).await.unwrap();
    let refused = async |migrations: &[Migration]| {
        let fault = migrate::run_all(&options, migrations).await.unwrap_err();
        assert_eq!(fault.kind(), StoreErrorKind::Invalid);
        fault.to_string()
    };
    assert!(refused(&[step]).await.contains("newer version"));
    let changed = Migration { sql: "CREATE TABLE a (x bigint)", ..step };
    assert!(refused(&[changed, newer]).await.contains("another form"));
    assert!(PostgresStore::open(&options).await.unwrap_err().to_string().contains("open"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hashes_of_texts_go_and_their_messages_stay() {
    let Some((options, _guard)) = schema() else { return };
    migrate::run_all(&options, &MIGRATIONS[..1]).await.unwrap();
    let (client, connection) = options.driver().connect(NoTls).await.unwrap();
    tasks::spawn(TaskKind::Connection, connection);
    let r = room(1);
    let old = format!(
        "INSERT INTO {}.room_log (room, seq, n, epoch, kind, actor, at_ms, message_id, client_id, client_first,
                                  body_hash, body)
         VALUES ($1, 1, 1, 1, 1, 7, 5, 9, 'c', true, 'sixteen bytes...', 'sealed')",
        options.schema
    );
    client.execute(&old, &[&rows::uuid(r)]).await.unwrap();
    let store = PostgresStore::open(&options).await.unwrap();
    let record = store.record(r, Seq(1)).await.unwrap().unwrap();
    assert_eq!((record.message.unwrap().id, &*record.body), (MessageId(9), &b"sealed"[..]));
    let found = store.find_client_message(UserId(7), &ClientMessageId("c".into())).await.unwrap();
    assert_eq!(found.unwrap().id, MessageId(9));
    assert!(!described(&options).await.iter().any(|line| line.contains("body_hash")));
    store.close().await.unwrap();
}
