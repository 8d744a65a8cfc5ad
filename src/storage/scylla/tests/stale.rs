//! What owners that were frozen, or have lost their room, may not do to those that came after them.

use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering};

use super::Keyspace;
use crate::{
    clock::{Clock, SystemClock},
    domain::ids::{Epoch, Ordinal, Seq, UserId},
    storage::{
        Direction, LogStore, Position, Projection, RoomStore, StoreError, StoreErrorKind,
        conformance::{event, external, filled, head, kind, message, room, with_external},
        scylla::{ScyllaStore, rows::uuid, seats::Seat, stamp},
    },
};

/// A clock an hour ahead.
#[derive(Debug)]
struct Ahead;

impl Clock for Ahead {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + 3_600_000
    }
}

async fn fast(keyspace: &Keyspace) -> ScyllaStore {
    ScyllaStore::open(&keyspace.options, Arc::new(Ahead)).await.expect("open")
}

#[tokio::test]
async fn a_late_end_of_a_take_over_by_a_fast_clock_changes_no_head() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b, c) = (fast(&keyspace).await, keyspace.open().await, keyspace.open().await);
    let r = room(1);
    filled(&b, r, 2).await;
    b.core.trails.caught_up("test", r).await.unwrap();
    let (epoch, generation) = a.core.claim_of("test", r).await.unwrap().unwrap();
    let (gate, late) = (a.core.present.load_full(), Epoch(epoch.0 + 1));
    assert!(a.core.swap_claim(r, (epoch, generation), (late, gate.generation())).await.unwrap());
    // It has read the room and passed its gate, and freezes.
    let marker = a.core.marker("test", r).await.unwrap();
    let stamp = stamp::taking(marker.stamp, marker.epoch, late);
    let seat = Seat { head: marker.head, first: marker.first, stamp, ..Seat::fresh(late, gate) };
    let newest = c.claim(r).await.unwrap();
    c.append(r, newest, &[event(3)], &head(3)).await.unwrap();
    a.core.put_marker("test", r, &seat).await.unwrap();
    for node in [&a, &b, &c] {
        assert_eq!(node.head(r).await.unwrap().unwrap().seq, Seq(3));
        assert_eq!(node.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap().len(), 3);
    }
    assert_eq!(a.core.marker("test", r).await.unwrap().epoch, newest);
}

#[tokio::test]
async fn moving_positions_leaves_the_head_as_it_is() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let a = fast(&keyspace).await;
    let r = room(1);
    let (epoch, _) = filled(&a, r, 2).await;
    a.core.trails.caught_up("test", r).await.unwrap();
    let time = async || {
        let select = "SELECT WRITETIME(head_seq) FROM room_progress WHERE room_id = ? LIMIT 1";
        let rows = a.core.database.session().query_unpaged(select, (uuid(r),)).await.unwrap();
        rows.into_rows_result().unwrap().first_row::<(i64,)>().unwrap().0
    };
    let before = time().await;
    let read = Position { read_seq: Seq(2), read_n: Ordinal(2), ..Position::default() };
    a.append(r, epoch, &[], &Projection { positions: vec![(UserId(7), read)], ..head(2) }).await.unwrap();
    assert_eq!(a.position(r, UserId(7)).await.unwrap(), read);
    assert_eq!(time().await, before, "no next owner could know the stamp");
}

#[tokio::test]
async fn a_refusal_that_is_certain_leaves_no_doubt() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let a = keyspace.open().await;
    let after = async |first: StoreErrorKind, then: bool| {
        let calls = AtomicUsize::new(0);
        let transact = || {
            let number = calls.fetch_add(1, Ordering::Relaxed);
            async move { if number == 0 { Err(StoreError::new(first, "test")) } else { Ok(then) } }
        };
        a.core.changed(transact).await.unwrap()
    };
    assert!(!after(StoreErrorKind::Overloaded, false).await, "nothing was done by either attempt");
    assert!(after(StoreErrorKind::Overloaded, true).await);
    assert!(after(StoreErrorKind::Timeout, false).await, "perhaps the first one's doing");
    let never = || async { Err(StoreError::new(StoreErrorKind::Overloaded, "test")) };
    assert_eq!(kind(a.core.changed(never).await), StoreErrorKind::Overloaded);
}

#[tokio::test]
async fn a_stale_owner_takes_no_reservation_of_a_newer_one() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    let (old, _) = filled(&a, r, 1).await;
    let newer = b.claim(r).await.unwrap();
    let twin = external("tg", "chat", "1");
    let (mine, theirs) = (with_external(message(r, 2, 1), &twin), with_external(message(r, 3, 2), &twin));
    let reserve = async |store: &ScyllaStore, epoch: Epoch, record| {
        let mut seat = Seat::fresh(epoch, store.core.present.load_full());
        store.core.reserve(r, &mut seat, &[record]).await.map(drop)
    };
    reserve(&b, newer, mine.clone()).await.unwrap();
    assert_eq!(kind(reserve(&a, old, theirs).await), StoreErrorKind::Fenced);
    b.append(r, newer, &[mine], &head(2)).await.unwrap();
    assert_eq!(a.find_external(&twin).await.unwrap().unwrap().seq, Seq(2));
}
