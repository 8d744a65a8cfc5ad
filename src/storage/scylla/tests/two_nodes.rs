//! Two nodes on one keyspace: the fencing protocol for real.

use futures_util::future::{join, join_all};

use super::Keyspace;
use crate::{
    domain::ids::{ClientMessageId, Ordinal, Seq, UserId},
    storage::{
        Direction, LogStore, Outcome, Position, Projection, Record, RoomStore, StoreErrorKind,
        conformance::{event, external, filled, head, kind, member, message, room, with_external, written_by},
    },
};

#[tokio::test]
async fn a_room_taken_by_another_node() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let (r, other) = (room(1), room(2));
    let (first, mut stored) = filled(&a, r, 2).await;
    let (beside, _) = filled(&a, other, 1).await;

    let second = b.claim(r).await.unwrap();
    assert!(second > first);
    assert_eq!(kind(a.append(r, first, &[event(3)], &head(3)).await), StoreErrorKind::Fenced);
    assert_eq!(kind(a.append(r, first, &[event(9)], &head(9)).await), StoreErrorKind::Fenced);
    assert_eq!(kind(a.append(r, first, &[], &head(2)).await), StoreErrorKind::Fenced);
    assert_eq!(kind(a.append(r, second, &[event(3)], &head(3)).await), StoreErrorKind::Fenced, "not its claim");
    a.release(r, first).await.unwrap();
    assert_eq!(a.active_rooms(None, 9).await.unwrap(), [r, other]);

    let records = [message(r, 3, 1), message(r, 4, 1)];
    b.append(r, second, &records, &head(4)).await.unwrap();
    stored.extend(written_by(second, &records));
    for node in [&a, &b] {
        assert_eq!(node.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap(), stored);
    }
    // The rooms that were not taken go on, under the same epochs, and can be given up and found again.
    a.append(other, beside, &[event(2)], &head(2)).await.unwrap();
    a.release(other, beside).await.unwrap();
    a.append(other, beside, &[event(3)], &head(3)).await.unwrap();
    // And back.
    let third = a.claim(r).await.unwrap();
    assert_eq!(kind(b.append(r, second, &[event(5)], &head(5)).await), StoreErrorKind::Fenced);
    a.append(r, third, &[event(5)], &head(5)).await.unwrap();
}

/// What an owner wrote and could not acknowledge any more: in the log of the next one, or never anywhere.
#[tokio::test]
async fn a_write_that_lands_behind_a_claim() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    let (first, stored) = filled(&a, r, 2).await;
    // Written by `a` before the claim, and landing after it: `put_rows` is what an append does before its gate.
    let late = Record { epoch: first, ..message(r, 3, 1) };
    let row = crate::storage::scylla::rows::LogPut::new(
        &crate::storage::scylla::rows::BatchKey { room: r, first: Seq(3), last: Seq(3), stamp: i64::MAX / 4 },
        &late,
        late.body.clone(),
        first,
        Some(crate::storage::scylla::wal::encode(&head(3))),
        i64::MAX / 4,
    );
    let second = b.claim(r).await.unwrap();
    a.core.put_rows("test", vec![row]).await.unwrap();
    assert_eq!(b.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap(), stored);
    // Nor does the next owner take it for part of the log.
    let c = keyspace.open().await;
    let third = c.claim(r).await.unwrap();
    assert_eq!(c.head(r).await.unwrap().unwrap().seq, Seq(2));
    assert_eq!(kind(b.append(r, second, &[event(3)], &head(3)).await), StoreErrorKind::Fenced);
    c.append(r, third, &[event(3)], &head(3)).await.unwrap();
    assert_eq!(c.record(r, Seq(3)).await.unwrap().unwrap(), Record { epoch: third, ..event(3) });
    assert_eq!(c.record(r, Seq(3)).await.unwrap(), a.record(r, Seq(3)).await.unwrap());
}

/// The rows are there, and only whether they count could not be asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_whose_gate_is_not_answered_may_have_happened() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let (kept, taken) = (room(1), room(2));
    let (first, _) = filled(&a, kept, 1).await;
    let (other, _) = filled(&a, taken, 1).await;
    let unanswered = |are: bool| a.core.present.load().unanswered.store(are, std::sync::atomic::Ordering::Relaxed);
    unanswered(true);
    for (r, epoch) in [(kept, first), (taken, other)] {
        let failed = a.append(r, epoch, &[message(r, 2, 1)], &head(2)).await.unwrap_err();
        assert_eq!(failed.outcome(), Outcome::Unknown, "{failed}");
    }
    // What is not known to have failed keeps its place.
    assert_eq!(kind(a.append(taken, other, &[event(2)], &head(2)).await), StoreErrorKind::Fenced);
    let second = b.claim(taken).await.unwrap();
    assert_eq!(b.head(taken).await.unwrap().unwrap().seq, Seq(2), "found by the next owner");
    b.append(taken, second, &[event(3)], &head(3)).await.unwrap();
    unanswered(false);
    assert_eq!(kind(a.append(taken, other, &[event(3)], &head(3)).await), StoreErrorKind::Fenced);
    a.append(kept, first, &[message(kept, 2, 1)], &head(2)).await.unwrap();
    a.append(kept, first, &[event(3)], &head(3)).await.unwrap();
    for (r, by) in [(kept, first), (taken, second)] {
        let log = b.read_log(r, Seq(1), Direction::Forward, 9).await.unwrap();
        let found: Vec<_> = log.iter().map(|record| (record.seq, record.epoch)).collect();
        assert_eq!(found.last(), Some(&(Seq(3), by)));
        assert_eq!(log[0].message, message(r, 2, 1).message);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_race_write_each_seq_once() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let r = room(1);
    let nodes = join_all((0..3).map(|_| keyspace.open())).await;
    let writer = async |number: i64| {
        let node = &nodes[usize::try_from(number).unwrap()];
        let mut acknowledged: Vec<Record> = Vec::new();
        for round in 0..12 {
            let Ok(epoch) = node.claim(r).await else { continue };
            for _ in 0..round % 4 {
                let seq = node.head(r).await.unwrap().unwrap_or_default().seq.next();
                let mut record = message(r, seq.0, number);
                record.message.as_mut().unwrap().client_id = ClientMessageId(format!("{number} {epoch} {seq}").into());
                match node.append(r, epoch, std::slice::from_ref(&record), &head(seq.0)).await {
                    Ok(_) => acknowledged.push(Record { epoch, ..record }),
                    Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                    Err(error) => {
                        let is_fenced = error.kind() == StoreErrorKind::Fenced || error.outcome() == Outcome::Unknown;
                        assert!(is_fenced, "{error:?}");
                        break;
                    }
                }
            }
        }
        acknowledged
    };
    let (one, (two, three)) = join(writer(0), join(writer(1), writer(2))).await;
    let acknowledged = [one, two, three].concat();
    // A last owner settles what is open.
    nodes[0].claim(r).await.unwrap();
    let stored = nodes[1].read_log(r, Seq(0), Direction::Forward, usize::MAX).await.unwrap();
    assert!(!acknowledged.is_empty());
    for record in &acknowledged {
        assert_eq!(&stored[usize::try_from(record.seq.0).unwrap() - 1], record);
    }
    assert!(stored.is_sorted_by_key(|record| record.epoch));
}

#[tokio::test]
async fn a_projection_that_its_writer_did_not_come_to() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    let (first, _) = filled(&a, r, 1).await;
    // An amendment written down and not carried out: what a process leaves that dies between the two.
    let moved = Position { read_seq: Seq(1), read_n: Ordinal(1), ..Position::default() };
    let projection = Projection { members: vec![member(7, "m")], positions: vec![(UserId(7), moved)], ..head(1) };
    let row = (
        crate::storage::scylla::rows::uuid(r),
        crate::storage::scylla::rows::number(first.0),
        i64::MAX / 4,
        crate::storage::scylla::wal::encode(&projection),
        i64::MAX / 4,
    );
    a.core.database.write("test", &a.core.statements.amendment_put, row).await.unwrap();
    assert_eq!(a.member(r, UserId(7)).await.unwrap(), None);
    let second = b.claim(r).await.unwrap();
    assert_eq!(b.member(r, UserId(7)).await.unwrap().unwrap(), "m");
    assert_eq!(b.position(r, UserId(7)).await.unwrap(), moved);
    // Stamps go on behind the greatest that was seen, so that what comes later counts.
    let removed = Projection { removed: vec![UserId(7)], ..head(1) };
    b.append(r, second, &[], &removed).await.unwrap();
    assert_eq!(b.member(r, UserId(7)).await.unwrap(), None);
    a.claim(r).await.unwrap();
    assert_eq!(a.member(r, UserId(7)).await.unwrap(), None, "and an older amendment stays void");
}

#[tokio::test]
async fn a_redaction_that_its_writer_did_not_come_to() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    let (first, _) = filled(&a, r, 2).await;
    let gone = bytes::Bytes::from_static(b"gone");
    let projection = Projection { redacted: vec![(Seq(2), gone.clone())], ..head(2) };
    a.core.trails.caught_up("test", r).await.unwrap();
    let stamp = a.core.marker("test", r).await.unwrap().stamp + 10;
    let row = (
        crate::storage::scylla::rows::uuid(r),
        crate::storage::scylla::rows::number(first.0),
        stamp,
        crate::storage::scylla::wal::encode(&projection),
        stamp,
    );
    a.core.database.write("test", &a.core.statements.amendment_put, row).await.unwrap();
    b.claim(r).await.unwrap();
    assert_eq!(b.record(r, Seq(2)).await.unwrap().unwrap().body, gone, "in the row written back as well");
}

#[tokio::test]
async fn a_reservation_left_behind_is_taken_over() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    let (a, b) = (room(1), room(2));
    let twin = external("s", "c", "m");
    // An empty room would prove nothing.
    let (first, _) = filled(&store, a, 1).await;
    let row =
        ("s", "c", "m", 77_i64, crate::storage::scylla::rows::uuid(a), crate::storage::scylla::rows::number(first.0));
    assert!(store.core.database.transact("test", &store.core.statements.reservation_put, row).await.unwrap());
    let second = store.claim(b).await.unwrap();
    let records = [with_external(message(b, 1, 1), &twin)];
    assert_eq!(store.find_external(&twin).await.unwrap(), None);
    // Its append may still be under way.
    assert_eq!(kind(store.append(b, second, &records, &head(1)).await), StoreErrorKind::Overloaded);
    store.claim(a).await.unwrap();
    store.append(b, second, &records, &head(1)).await.unwrap();
    assert_eq!(store.find_external(&twin).await.unwrap().unwrap().room, b);
}
