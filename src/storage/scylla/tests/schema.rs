//! The schema: whole, by steps, and by several nodes at once.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;

use super::Keyspace;
use crate::{
    clock::SystemClock,
    domain::ids::Seq,
    storage::{
        Direction, LogStore as _, StoreErrorKind,
        conformance::{filled, room},
        scylla::{Options, Replication, ScyllaStore, StoreConsistency, keyspace, migrate, rows::uuid, session},
    },
};

/// What the database says of a keyspace's tables: columns with kind, place, order and type; table options that we set.
async fn described(database: &session::Database, keyspace: &str) -> BTreeMap<String, String> {
    let select = "SELECT table_name, column_name, kind, position, clustering_order, type FROM system_schema.columns \
        WHERE keyspace_name = ?";
    let result = database.session().query_unpaged(select, (keyspace,)).await.unwrap().into_rows_result().unwrap();
    let mut found = BTreeMap::new();
    for row in result.rows::<(String, String, String, i32, String, String)>().unwrap() {
        let (table, column, kind, position, order, of) = row.unwrap();
        found.insert(format!("{table}.{column}"), format!("{kind} {position} {order} {of}"));
    }
    let select = "SELECT table_name, gc_grace_seconds, default_time_to_live FROM system_schema.tables \
        WHERE keyspace_name = ?";
    let result = database.session().query_unpaged(select, (keyspace,)).await.unwrap().into_rows_result().unwrap();
    for row in result.rows::<(String, i32, i32)>().unwrap() {
        let (table, grace, ttl) = row.unwrap();
        found.insert(table, format!("{grace} {ttl}"));
    }
    found
}

#[tokio::test]
async fn migrations_lead_to_the_whole_schema() {
    let (Some(by_steps), Some(whole)) = (Keyspace::alone(), Keyspace::alone()) else { return };
    by_steps.open().await;
    let database = session::connect(&whole.options).await.unwrap();
    keyspace::prepare(&database, &whole.options).await.unwrap();
    for statement in migrate::statements(include_str!("../../../../schema.cql")) {
        migrate::change(&database, statement).await.unwrap();
    }
    let whole = described(&database, &whole.options.keyspace).await;
    assert!(whole.len() > 100, "{whole:?}");
    assert_eq!(described(&database, &by_steps.options.keyspace).await, whole);
}

#[tokio::test]
async fn nodes_that_start_at_once_migrate_once() {
    let Some(keyspace) = Keyspace::alone() else { return };
    let opened = join_all((0..4).map(|_| ScyllaStore::open(&keyspace.options, Arc::new(SystemClock)))).await;
    for store in &opened {
        assert!(store.is_ok(), "{store:?}");
    }
    let again = keyspace.open().await;
    let select = "SELECT number FROM schema_migrations WHERE part = 0";
    let rows = again.core.database.session().query_unpaged(select, ()).await.unwrap().into_rows_result().unwrap();
    assert_eq!(rows.rows_num(), migrate::MIGRATIONS.len());
}

/// Also when the one who did it died half-way.
#[tokio::test]
async fn hashes_of_texts_go_and_their_messages_stay() {
    let Some(keyspace) = Keyspace::alone() else { return };
    for is_half_done in [false, true] {
        let store = keyspace.open().await;
        let r = room(1 + u32::from(is_half_done));
        let (_, records) = filled(&store, r, 3).await;
        let database = &store.core.database;
        let mut tables = vec!["messages_by_room", "message_by_external_ref"];
        for table in &tables {
            migrate::change(database, format!("ALTER TABLE {table} ADD hash blob")).await.unwrap();
        }
        let hash = "UPDATE messages_by_room SET hash = 0x00112233445566778899aabbccddeeff \
            WHERE room_id = ? AND block = 0 AND seq = 1 AND epoch = 1";
        database.session().query_unpaged(hash, (uuid(r),)).await.unwrap();
        if is_half_done {
            migrate::change(database, format!("ALTER TABLE {} DROP hash", tables.remove(0))).await.unwrap();
        }
        let undone = "DELETE FROM schema_migrations WHERE part = 0 AND number = 5";
        database.session().query_unpaged(undone, ()).await.unwrap();
        let upgraded = keyspace.open().await;
        assert_eq!(upgraded.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap(), records);
        let described = described(&upgraded.core.database, &keyspace.options.keyspace).await;
        assert!(!described.keys().any(|column| column.ends_with(".hash")), "{described:?}");
    }
}

#[tokio::test]
async fn a_lock_is_kept_while_it_is_renewed_and_never_taken_back() {
    let Some(keyspace) = Keyspace::alone() else { return };
    let store = keyspace.open().await;
    let database = &store.core.database;
    let lock = migrate::Lock::take(database).await.unwrap();
    lock.renew(database).await.unwrap();
    lock.renew(database).await.unwrap();
    // As if it had expired.
    database.session().query_unpaged("DELETE FROM schema_lock WHERE part = 0 IF EXISTS", ()).await.unwrap();
    let lost = lock.renew(database).await;
    assert_eq!(lost.unwrap_err().kind(), StoreErrorKind::Unavailable);
    migrate::Lock::take(database).await.unwrap();
    assert!(lock.renew(database).await.is_err(), "somebody else has it");
}

#[tokio::test]
async fn another_migration_under_a_known_number_is_refused() {
    let Some(keyspace) = Keyspace::alone() else { return };
    let store = keyspace.open().await;
    let change = "UPDATE schema_migrations SET checksum = 'x' WHERE part = 0 AND number = 2";
    store.core.database.session().query_unpaged(change, ()).await.unwrap();
    let refused = ScyllaStore::open(&keyspace.options, Arc::new(SystemClock)).await;
    assert_eq!(refused.unwrap_err().kind(), StoreErrorKind::Invalid);
}

#[tokio::test]
async fn a_keyspace_that_cannot_keep_promises_is_refused() {
    let Some(mut keyspace) = Keyspace::alone() else { return };
    let open = async |options: &Options| {
        let options = options.clone();
        ScyllaStore::open(&options, Arc::new(SystemClock)).await.unwrap_err()
    };
    let options = &mut keyspace.options;
    options.create_keyspace = None;
    assert_eq!(open(options).await.kind(), StoreErrorKind::Invalid, "it is not there");
    options.create_keyspace = Some(Replication::Simple(3));
    options.consistency = StoreConsistency::One;
    let refused = open(options).await;
    assert_eq!(refused.kind(), StoreErrorKind::Invalid, "one of three is not enough");
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("ONE"));
}
