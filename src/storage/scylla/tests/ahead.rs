//! What is acknowledged and not yet in the head row: other processes see it, and so does the next owner.

use std::sync::atomic::Ordering;

use super::Keyspace;
use crate::{
    domain::ids::{Epoch, Ordinal, RoomId, Seq, UserId},
    storage::{
        Direction, Listing, LogStore, MemberRow, Position, Projection, RoomStore, Store, StoreErrorKind,
        conformance::{event, head, message, room},
        scylla::ScyllaStore,
    },
};

const SENDER: UserId = UserId(7);

/// A room with a member and, behind it, messages up to `last` whose head is not written.
async fn with_trail(store: &ScyllaStore, r: RoomId, last: u64) -> Epoch {
    let epoch = store.claim(r).await.unwrap();
    let listing = Listing { room_type: 2, partner: UserId(0) };
    let member = MemberRow { user: SENDER, body: bytes::Bytes::new(), listing };
    store.append(r, epoch, &[event(1)], &Projection { members: vec![member], ..head(1) }).await.unwrap();
    store.core.trails.held.store(true, Ordering::Relaxed);
    for seq in 2..=last {
        append(store, r, epoch, seq).await.unwrap();
    }
    epoch
}

async fn append(store: &ScyllaStore, r: RoomId, epoch: Epoch, seq: u64) -> crate::storage::Result<()> {
    let sent = Position { sent_n: Ordinal(seq), ..Position::default() };
    let projection = Projection { positions: vec![(SENDER, sent)], ..head(seq) };
    store.append(r, epoch, &[message(r, seq, SENDER.0)], &projection).await.map(drop)
}

/// Everything by which a reader could tell that the room ends at `last`.
async fn assert_seen(store: &ScyllaStore, r: RoomId, last: u64) {
    let seqs = |records: Vec<crate::storage::Record>| records.iter().map(|record| record.seq.0).collect::<Vec<_>>();
    assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(last));
    assert_eq!(store.heads(&[r]).await.unwrap()[0].unwrap().seq, Seq(last));
    let forward = store.read_log(r, Seq(0), Direction::Forward, 50).await.unwrap();
    assert_eq!(seqs(forward), (1..=last).collect::<Vec<_>>());
    let backward = store.read_log(r, Seq(u64::MAX), Direction::Backward, 1).await.unwrap();
    assert_eq!(seqs(backward), [last]);
    let key = message(r, last, SENDER.0).message.unwrap();
    assert_eq!(store.record(r, Seq(last)).await.unwrap().unwrap().seq, Seq(last));
    assert_eq!(store.find_message(key.id).await.unwrap().unwrap().seq, Seq(last));
    assert_eq!(store.find_client_message(SENDER, &key.client_id).await.unwrap().unwrap().seq, Seq(last));
    assert_eq!(store.position(r, SENDER).await.unwrap().sent_n, Ordinal(last));
    assert_eq!(store.positions(r, UserId(0), 5).await.unwrap()[0].1.sent_n, Ordinal(last));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_process_acknowledged_is_read_and_recovered() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (dead, store) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    let old = with_trail(&dead, r, 5).await;
    assert_eq!(store.core.marker("test", r).await.unwrap().head.unwrap().seq, Seq(1), "the head is behind");
    assert_seen(&store, r, 5).await;
    let epoch = store.claim(r).await.unwrap();
    assert_eq!(store.core.marker("test", r).await.unwrap().head.unwrap().seq, Seq(5));
    assert_seen(&store, r, 5).await;
    append(&store, r, epoch, 6).await.unwrap();
    assert_seen(&store, r, 6).await;
    // Not dead after all: what it had still to write changes nothing.
    dead.core.trails.held.store(false, Ordering::Relaxed);
    dead.core.trails.end().await;
    assert_eq!(append(&dead, r, old, 6).await.unwrap_err().kind(), StoreErrorKind::Fenced);
    assert_seen(&store, r, 6).await;
    assert_seen(&dead, r, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_message_of_a_room_without_a_head() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (dead, store) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    dead.core.trails.held.store(true, Ordering::Relaxed);
    let epoch = dead.claim(r).await.unwrap();
    append(&dead, r, epoch, 1).await.unwrap();
    assert_eq!(store.core.marker("test", r).await.unwrap().head, None);
    assert_seen(&store, r, 1).await;
    store.claim(r).await.unwrap();
    assert_seen(&store, r, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_head_follows_and_covers_all_when_the_room_is_left() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (store, other) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    let epoch = with_trail(&store, r, 3).await;
    store.core.trails.held.store(false, Ordering::Relaxed);
    append(&store, r, epoch, 4).await.unwrap();
    store.release(r, epoch).await.unwrap();
    let marker = other.core.marker("test", r).await.unwrap();
    assert_eq!((marker.head.unwrap().seq, marker.epoch, marker.closed), (Seq(4), epoch, epoch));
    assert_seen(&other, r, 4).await;
    // The claim stands; nobody looks ahead any more, so the head comes first.
    append(&store, r, epoch, 5).await.unwrap();
    assert_eq!(other.core.marker("test", r).await.unwrap().head.unwrap().seq, Seq(5));
    let epoch = other.claim(r).await.unwrap();
    append(&other, r, epoch, 6).await.unwrap();
    other.close().await.unwrap();
    assert_eq!(store.core.marker("test", r).await.unwrap().head.unwrap().seq, Seq(6), "closing waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_more_than_positions_comes_after_what_was_before_it() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    let r = room(1);
    let epoch = with_trail(&store, r, 3).await;
    let pin = Projection { pinned: vec![(Seq(2), Seq(4))], ..head(4) };
    let events = [event(4)];
    let pinning = store.append(r, epoch, &events, &pin);
    let waits = tokio::time::timeout(std::time::Duration::from_millis(300), pinning).await;
    assert!(waits.is_err(), "the trail is held");
    store.core.trails.held.store(false, Ordering::Relaxed);
    // It goes on without its caller.
    while store.head(r).await.unwrap().unwrap().seq < Seq(4) {
        tokio::task::yield_now().await;
    }
    assert_eq!(store.position(r, SENDER).await.unwrap().sent_n, Ordinal(3));
    assert_eq!(store.pins(r, 5).await.unwrap(), [(Seq(2), Seq(4))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_nobody_finishes_taking_over_is_finished_by_its_readers() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (dead, taker, reader) = (keyspace.open().await, keyspace.open().await, keyspace.open().await);
    let (r, fenced) = (room(1), room(2));
    let epoch = with_trail(&dead, r, 3).await;
    let (old, new) = (dead.core.present.load().generation(), taker.core.present.load().generation());
    taker.core.fence(old).await.unwrap();
    assert!(taker.core.swap_claim(r, (epoch, old), (Epoch(epoch.0 + 1), new)).await.unwrap());
    assert!(reader.core.ahead("test", r, &reader.core.marker("test", r).await.unwrap()).await.unwrap().is_none());
    assert_seen(&reader, r, 3).await;
    let marker = reader.core.marker("test", r).await.unwrap();
    assert_eq!((marker.head.unwrap().seq, marker.epoch, marker.closed), (Seq(3), Epoch(3), Epoch(3)));
    assert_eq!(reader.active_rooms(None, 5).await.unwrap(), [r], "its events may not have gone out");
    assert_eq!(append(&taker, r, Epoch(2), 4).await.unwrap_err().kind(), StoreErrorKind::Fenced);
    let epoch = taker.claim(r).await.unwrap();
    append(&taker, r, epoch, 4).await.unwrap();
    assert_seen(&reader, r, 4).await;
    // A fence that no claim followed.
    with_trail(&dead, fenced, 3).await;
    taker.core.fence(dead.core.present.load().generation()).await.unwrap();
    assert_seen(&reader, fenced, 3).await;
}
