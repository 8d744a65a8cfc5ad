//! No cell keeps what was deleted, whoever wrote it and however late.

use bytes::Bytes;

use super::Keyspace;
use crate::{
    domain::ids::{Epoch, RoomId, Seq},
    storage::{
        LogStore, Projection, Record, StoreErrorKind,
        conformance::{event, head, message, room},
        scylla::{
            ScyllaStore,
            resolve::LogRow as _,
            rows::{BatchKey, LogPut, number, uuid},
            wal,
        },
    },
};

const TEXT: &str = "secretum";

fn text() -> Bytes {
    Bytes::from_static(TEXT.as_bytes())
}

async fn cells(store: &ScyllaStore) -> Vec<String> {
    super::cells_with(&store.core.database, TEXT).await
}

/// A message with the text, and an event that says it again in its projection, as an edit or a reaction does.
async fn told(store: &ScyllaStore, r: RoomId) -> Epoch {
    let epoch = store.claim(r).await.unwrap();
    let said = Record { body: text(), ..message(r, 1, 1) };
    store.append(r, epoch, &[said], &head(1)).await.unwrap();
    store.append(r, epoch, &[event(2)], &told_again()).await.unwrap();
    epoch
}

fn told_again() -> Projection {
    Projection { states: vec![(Seq(1), text())], ..head(2) }
}

async fn delete(store: &ScyllaStore, r: RoomId, epoch: Epoch, seq: u64) {
    let gone = Bytes::from_static(b"gone");
    let projection = Projection { states: vec![(Seq(1), gone.clone())], redacted: vec![(Seq(1), gone)], ..head(seq) };
    store.append(r, epoch, &[event(seq)], &projection).await.unwrap();
}

/// An epoch whose owner does not come to anything.
async fn frozen(store: &ScyllaStore, r: RoomId) -> Epoch {
    let (epoch, generation) = store.core.claim_of("test", r).await.unwrap().unwrap();
    let next = Epoch(epoch.0 + 1);
    assert!(
        store.core.swap_claim(r, (epoch, generation), (next, store.core.present.load().generation())).await.unwrap()
    );
    next
}

/// What a frozen owner has read of an event before it froze, and writes back now.
async fn writes_back(store: &ScyllaStore, r: RoomId, record: Record, projection: &Projection, by: Epoch, stamp: i64) {
    let key = BatchKey { room: r, first: record.seq, last: record.seq, stamp };
    let row = LogPut::new(&key, &record, record.body.clone(), by, Some(wal::encode(projection)), stamp);
    store.core.put_rows("test", vec![row]).await.unwrap();
}

async fn stamp_of(store: &ScyllaStore, r: RoomId, seq: u64) -> i64 {
    let rows = store.core.raw("test", r, 0, Seq(seq), Seq(seq)).await.unwrap();
    rows[0].stamp()
}

#[tokio::test]
async fn what_an_append_was_to_do_is_forgotten_when_it_is_done() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    let epoch = told(&a, r).await;
    assert_eq!(cells(&a).await.len(), 2, "the message, and its present state");
    // Without an event of its own.
    a.append(r, epoch, &[], &told_again()).await.unwrap();
    assert_eq!(cells(&a).await.len(), 2);
    // The next owner carries out again what is left to say of it.
    let epoch = b.claim(r).await.unwrap();
    assert_eq!(b.message_states(r, Seq(1), Seq(1)).await.unwrap(), [(Seq(1), text())]);
    delete(&b, r, epoch, 3).await;
    assert_eq!(cells(&b).await, Vec::<String>::new());
    assert_eq!(b.message_states(r, Seq(1), Seq(1)).await.unwrap(), [(Seq(1), Bytes::from_static(b"gone"))]);
}

#[tokio::test]
async fn what_a_dead_owner_did_not_come_to_is_forgotten_by_the_next() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    let epoch = a.claim(r).await.unwrap();
    a.append(r, epoch, &[Record { body: text(), ..message(r, 1, 1) }], &head(1)).await.unwrap();
    a.core.trails.caught_up("test", r).await.unwrap();
    // The log is written, and nothing else; and a change without an event is written down.
    let stamp = stamp_of(&a, r, 1).await + 10;
    writes_back(&a, r, Record { epoch, ..event(2) }, &told_again(), epoch, stamp).await;
    let row = (uuid(r), number(epoch.0), stamp + 10, wal::encode(&told_again()), stamp + 10);
    a.core.database.write("test", &a.core.statements.amendment_put, row).await.unwrap();
    let epoch = b.claim(r).await.unwrap();
    assert_eq!(b.message_states(r, Seq(1), Seq(1)).await.unwrap(), [(Seq(1), text())], "it is carried out");
    delete(&b, r, epoch, 3).await;
    assert_eq!(cells(&b).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_frozen_owner_writes_back_late_is_not_kept() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b, c) = (keyspace.open().await, keyspace.open().await, keyspace.open().await);
    // The newest event is the message, or what tells of it again.
    for (number, is_told_again) in [(1, false), (2, true)] {
        let r = room(number);
        let said = Record { body: text(), ..message(r, 1, 1) };
        let epoch = a.claim(r).await.unwrap();
        a.append(r, epoch, std::slice::from_ref(&said), &head(1)).await.unwrap();
        if is_told_again {
            a.append(r, epoch, &[event(2)], &told_again()).await.unwrap();
        }
        a.core.trails.caught_up("test", r).await.unwrap();
        let next = 2 + u64::from(is_told_again);
        let (late, stamp) = (frozen(&b, r).await, stamp_of(&a, r, next - 1).await);
        let newest = c.claim(r).await.unwrap();
        assert_eq!(newest, Epoch(late.0 + 1));
        delete(&c, r, newest, next).await;
        assert_eq!(cells(&c).await, Vec::<String>::new());

        let (record, projection) = if is_told_again { (event(2), told_again()) } else { (said, head(1)) };
        writes_back(&b, r, Record { epoch, ..record }, &projection, late, stamp).await;
        assert_eq!(cells(&c).await, Vec::<String>::new(), "written back late");
        let log = c.read_log(r, Seq(0), crate::storage::Direction::Forward, 9).await.unwrap();
        assert_eq!(log.len(), usize::try_from(next).unwrap());
        assert_eq!(log[0].body, "gone");
        a.claim(r).await.unwrap();
        assert_eq!(a.head(r).await.unwrap().unwrap().seq, Seq(next));
    }
}

/// What is left of a row when a removal was older than what was changed about it.
#[tokio::test]
async fn a_part_of_a_row_is_no_row() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let a = keyspace.open().await;
    let r = room(1);
    told(&a, r).await;
    let part = (i64::MAX / 4, text(), uuid(r), 0_i64, 1_i64, 99_i64);
    a.core.database.write("test", &a.core.statements.log_redact, part).await.unwrap();
    assert_eq!(a.record(r, Seq(1)).await.unwrap().unwrap().epoch, Epoch(1));
    assert_eq!(a.read_log(r, Seq(0), crate::storage::Direction::Forward, 9).await.unwrap().len(), 2);
}

/// It would keep what the newer owner forgets in rows of its own alone.
#[tokio::test]
async fn who_lost_the_room_before_it_has_read_writes_nothing_back() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    let old = a.claim(r).await.unwrap();
    let late = frozen(&b, r).await;
    let newest = told(&a, r).await;
    a.core.trails.caught_up("test", r).await.unwrap();
    let failed = b.core.recover(r, old, late, b.core.present.load_full()).await.unwrap_err();
    assert_eq!(failed.kind(), StoreErrorKind::Fenced);
    let rows = b.core.raw("test", r, 0, Seq(1), Seq(2)).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.epoch()).collect::<Vec<_>>(), [newest, newest]);
}

/// The next owner has read a projection that is forgotten already; then the row of a frozen one lands, who read it before.
#[tokio::test]
async fn what_has_come_while_the_next_owner_reads_is_forgotten() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let (a, b) = (keyspace.open().await, keyspace.open().await);
    let r = room(1);
    let epoch = told(&a, r).await;
    let (late, stamp) = (frozen(&b, r).await, stamp_of(&a, r, 2).await);
    writes_back(&b, r, Record { epoch, ..event(2) }, &told_again(), late, stamp).await;
    b.core.settle_batch("test", r, (Seq(2), stamp), &head(2), Epoch(late.0 + 1)).await.unwrap();
    assert_eq!(cells(&b).await.len(), 2, "the message, and its present state");
}
