//! Look-up rows that appends which did not come to be have left.

use uuid::Uuid;

use super::Keyspace;
use crate::{
    domain::ids::{RoomId, Seq, UserId},
    storage::{
        LogStore, StoreErrorKind,
        conformance::{filled, kind, room},
        scylla::{
            ScyllaStore,
            rows::{sender_bucket, slice, uuid},
        },
    },
};

const SENDER: UserId = UserId(1);

/// Leaves rows by which a message of SENDER's is looked for and not found, all before the real one.
async fn leave_behind(store: &ScyllaStore, r: RoomId, seq: u64, count: i64) {
    let record = store.record(r, Seq(seq)).await.unwrap().unwrap();
    let message = record.message.unwrap();
    let (database, statements) = (&store.core.database, &store.core.statements);
    let elsewhere = Uuid::from_bytes([0; 16]);
    for n in 0..count {
        // In a room that nobody made, where another message is by now, and twice at one place.
        let places = [(elsewhere, n + 1), (uuid(r), 1 + n % 2), (uuid(r), 1)];
        for (stamp, (of, at)) in (-3 * count - 3 + 3 * n..).zip(places) {
            let row = (SENDER.0, sender_bucket(&message.client_id), &*message.client_id.0, stamp, of, at);
            database.write("test", &statements.sender_put, row).await.unwrap();
        }
        let row = (slice(message.id), message.id.0, elsewhere, n + 1);
        database.write("test", &statements.message_put, row).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_appends_do_not_hide_the_message_that_came_to_be() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    let r = room(1);
    let (_, records) = filled(&store, r, 5).await;
    let message = records[4].message.clone().unwrap();
    leave_behind(&store, r, 5, 200).await;
    assert_eq!(store.find_message(message.id).await.unwrap().unwrap().seq, Seq(5));
    let found = store.find_client_message(SENDER, &message.client_id).await.unwrap().unwrap();
    assert_eq!((found.room, found.seq), (r, Seq(5)));
}

/// What was not looked at to the end is not said to be missing: it would be written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_is_given_up_is_an_error() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    let r = room(1);
    let (_, records) = filled(&store, r, 5).await;
    let message = records[4].message.clone().unwrap();
    leave_behind(&store, r, 5, 2_100).await;
    let given_up = store.find_client_message(SENDER, &message.client_id).await;
    assert_eq!(kind(given_up), StoreErrorKind::Overloaded);
}
