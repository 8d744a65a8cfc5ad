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

/// Rows written and transactions made by so many plain messages, in a room of so many members.
async fn of_messages(store: &ScyllaStore, r: RoomId, members: i64, messages: u64) -> (u64, u64) {
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
    for seq in 2..2 + messages {
        let sent = Position { sent_n: Ordinal(seq), ..Position::default() };
        let projection = Projection { positions: vec![(UserId(1), sent)], ..head(seq) };
        store.append(r, epoch, &[message(r, seq, 1)], &projection).await.unwrap();
    }
    store.core.trails.caught_up("test", r).await.unwrap();
    let after = (counts.writes.load(Ordering::Relaxed), counts.transactions.load(Ordering::Relaxed));
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test]
async fn a_message_costs_the_same_in_every_room() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    let small = of_messages(&store, room(1), 2, 1).await;
    let large = of_messages(&store, room(2), 2_000, 1).await;
    // The log; the message by its id; by its sender's id; head and the sender's position, one mutation.
    assert_eq!(small, (4, 0));
    assert_eq!(large, small);
    // The last of these is written once for messages that follow each other.
    let (writes, transactions) = of_messages(&store, room(3), 2, 40).await;
    assert!((3 * 40 + 1..4 * 40).contains(&writes), "{writes}");
    assert_eq!(transactions, 0);
}
