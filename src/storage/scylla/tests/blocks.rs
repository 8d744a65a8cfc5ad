//! Batches over the edges of blocks, and too large for one mutation: all or nothing.

use bytes::Bytes;

use super::Keyspace;
use crate::{
    domain::ids::{Epoch, Seq},
    storage::{
        Direction, LogStore, Record, StoreErrorKind,
        conformance::{filled, head, kind, message, room, written_by},
        scylla::{
            ScyllaStore,
            rows::{BatchKey, LogPut},
            wal,
        },
    },
};

/// The rows of an append as its writer makes them.
fn rows(records: &[Record], epoch: Epoch, stamp: i64) -> Vec<LogPut> {
    let (first, last) = (records[0].seq, records[records.len() - 1].seq);
    let key = BatchKey { room: room(1), first, last, stamp };
    let put = |record: &Record| {
        let projection = (record.seq == last).then(|| wal::encode(&head(last.0)));
        LogPut::new(&key, &Record { epoch, ..record.clone() }, record.body.clone(), epoch, projection, stamp)
    };
    records.iter().map(put).collect()
}

async fn put(store: &ScyllaStore, rows: &[LogPut]) {
    for row in rows {
        store.core.database.write("test", &store.core.statements.log_put, row.clone()).await.unwrap();
    }
}

#[tokio::test]
async fn half_a_batch_over_an_edge_is_none() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    let r = room(1);
    let (epoch, mut stored) = filled(&store, r, 995).await;
    let records: Vec<_> = (996..=1_010).map(|seq| message(r, seq, 2)).collect();
    let rows = rows(&records, epoch, i64::MAX / 4);

    // Only what is in the first block lands. Its writer dies: no new owner takes it for a part of the log.
    put(&store, &rows[..4]).await;
    let next = keyspace.open().await;
    next.claim(r).await.unwrap();
    assert_eq!(next.head(r).await.unwrap().unwrap().seq, Seq(995));

    // The other half lands late: the batch is whole now, and void.
    put(&next, &rows[4..]).await;
    let third = keyspace.open().await;
    let epoch_now = third.claim(r).await.unwrap();
    assert_eq!(third.head(r).await.unwrap().unwrap().seq, Seq(995), "its epoch is older than the row before it");

    // And the seqs are free for others, on both sides of the edge.
    let more: Vec<_> = (996..=1_005).map(|seq| message(r, seq, 3)).collect();
    third.append(r, epoch_now, &more, &head(1_005)).await.unwrap();
    stored.extend(written_by(epoch_now, &more));
    assert_eq!(third.read_log(r, Seq(0), Direction::Forward, usize::MAX).await.unwrap(), stored);
}

#[tokio::test]
async fn a_whole_batch_that_was_not_acknowledged_is_taken_over() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    let r = room(1);
    let (epoch, mut stored) = filled(&store, r, 995).await;
    let records: Vec<_> = (996..=1_010).map(|seq| message(r, seq, 2)).collect();
    put(&store, &rows(&records, epoch, store.core.marker("test", r).await.unwrap().stamp + 9)).await;

    let next = keyspace.open().await;
    let epoch_now = next.claim(r).await.unwrap();
    stored.extend(written_by(epoch, &records));
    assert_eq!(next.read_log(r, Seq(0), Direction::Forward, usize::MAX).await.unwrap(), stored);
    assert_eq!(next.head(r).await.unwrap().unwrap().seq, Seq(1_010));
    let id = records[0].message.as_ref().unwrap().id;
    assert_eq!(next.find_message(id).await.unwrap().unwrap().seq, Seq(996), "its projection was carried out");
    next.append(r, epoch_now, &[message(r, 1_011, 2)], &head(1_011)).await.unwrap();
}

#[tokio::test]
async fn a_batch_larger_than_a_mutation() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    let body = Bytes::from(vec![7; 3 << 20]);
    let records: Vec<_> = (1..=8).map(|seq| Record { body: body.clone(), ..message(r, seq, 1) }).collect();
    store.append(r, epoch, &records, &head(8)).await.unwrap();
    assert_eq!(store.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap(), written_by(epoch, &records));
    let huge = Record { body: Bytes::from(vec![0; 16 << 20]), ..message(r, 9, 1) };
    assert_eq!(kind(store.append(r, epoch, &[huge], &head(9)).await), StoreErrorKind::Invalid);
}
