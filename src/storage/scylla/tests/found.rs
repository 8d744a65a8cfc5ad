//! Histories that the models have found, on the real store.

use bytes::Bytes;

use super::Keyspace;
use crate::{
    domain::ids::Seq,
    storage::{
        Direction, LogStore, Projection, Record, StoreErrorKind,
        conformance::{event, external, head, kind, message, room, with_external},
        scylla::{
            rows::{BatchKey, LogPut},
            seats::Seat,
            wal,
        },
    },
};

/// Who finds itself fenced takes back what it wrote.
#[tokio::test]
async fn a_void_row_does_not_keep_what_was_deleted() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let (r, gone) = (room(1), Bytes::from_static(b"gone"));
    let said = Record { body: Bytes::from_static(b"secretum"), ..message(r, 1, 1) };
    let (old, epoch) = (a.claim(r).await.unwrap(), b.claim(r).await.unwrap());
    b.append(r, epoch, std::slice::from_ref(&said), &head(1)).await.unwrap();
    let deleted = Projection { redacted: vec![(Seq(1), gone)], ..head(2) };
    b.append(r, epoch, &[event(2)], &deleted).await.unwrap();
    assert_eq!(kind(a.append(r, old, &[said], &head(1)).await), StoreErrorKind::Fenced);
    assert_eq!(super::cells_with(&b.core.database, "secretum").await, Vec::<String>::new());
}

/// The next owner of an empty room has no row to write back, so what comes late counts.
#[tokio::test]
async fn a_reference_of_an_empty_room_is_not_taken_too_early() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let (r, other, twin) = (room(1), room(2), external("s", "c", "m"));
    let old = a.claim(r).await.unwrap();
    let record = Record { epoch: old, ..with_external(message(r, 1, 1), &twin) };
    let mut seat = Seat::fresh(old, a.core.present.load_full());
    a.core.reserve(r, &mut seat, std::slice::from_ref(&record)).await.unwrap();
    // It freezes, and others take room and reference.
    b.claim(r).await.unwrap();
    let epoch = b.claim(other).await.unwrap();
    let taken = b.append(other, epoch, &[with_external(message(other, 1, 2), &twin)], &head(1)).await;
    let key = BatchKey { room: r, first: Seq(1), last: Seq(1), stamp: 10 };
    let row = LogPut::new(&key, &record, record.body.clone(), old, Some(wal::encode(&head(1))), 10);
    a.core.put_rows("test", vec![row]).await.unwrap();
    b.claim(r).await.unwrap();
    let log = b.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap();
    assert!(taken.is_err() || log.is_empty(), "two messages have the reference");
}
