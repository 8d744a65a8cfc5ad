//! What a message costs: the same few writes in a room of two and in a large one, and none per member.

use std::sync::atomic::Ordering;

use super::Keyspace;
use crate::{
    domain::ids::{Ordinal, RoomId, UserId},
    storage::{
        Listing, LogStore, MemberRow, Position, Projection,
        conformance::{event, head, message, room},
        scylla::ScyllaStore,
    },
};

/// Rows written and transactions made by one plain message, in a room of so many members.
async fn of_one_message(store: &ScyllaStore, r: RoomId, members: i64) -> (u64, u64) {
    let epoch = store.claim(r).await.unwrap();
    let member = |user: i64| MemberRow {
        user: UserId(user),
        body: bytes::Bytes::new(),
        listing: Listing { room_type: 2, partner: UserId(0) },
    };
    let members = Projection { members: (1..=members).map(member).collect(), ..head(1) };
    store.append(r, epoch, &[event(1)], &members).await.unwrap();
    let counts = &store.core.database.counts;
    let before = (counts.writes.load(Ordering::Relaxed), counts.transactions.load(Ordering::Relaxed));
    let sent = Position { sent_n: Ordinal(2), ..Position::default() };
    let projection = Projection { positions: vec![(UserId(1), sent)], ..head(2) };
    store.append(r, epoch, &[message(r, 2, 1)], &projection).await.unwrap();
    let after = (counts.writes.load(Ordering::Relaxed), counts.transactions.load(Ordering::Relaxed));
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test]
async fn a_message_costs_the_same_in_every_room() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    let small = of_one_message(&store, room(1), 2).await;
    let large = of_one_message(&store, room(2), 2_000).await;
    // The log; the message by its id; by its sender's id; head and the sender's position, one mutation.
    assert_eq!(small, (4, 0));
    assert_eq!(large, small);
}
