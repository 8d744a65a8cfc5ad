//! Reading logs and heads.

use futures_util::future::select;

use super::{event, filled, head, message, room};
use crate::{
    domain::ids::Seq,
    storage::{Direction, Store},
};

/// Forward pages begin after `from` and grow.
pub async fn forward(store: &dyn Store) {
    let (_, stored) = filled(store, room(1), 25).await;
    let page = async |from, limit| store.read_log(room(1), Seq(from), Direction::Forward, limit).await.unwrap();
    assert_eq!(page(0, 10).await, stored[..10]);
    assert_eq!(page(10, 10).await, stored[10..20]);
    assert_eq!(page(20, 10).await, stored[20..]);
    assert!(page(25, 10).await.is_empty());
    assert!(page(u64::MAX, 10).await.is_empty());
    assert_eq!(page(0, usize::MAX).await, stored);
}

/// Backward pages begin before `from` and shrink.
pub async fn backward(store: &dyn Store) {
    let (_, mut stored) = filled(store, room(1), 25).await;
    stored.reverse();
    let page = async |from, limit| store.read_log(room(1), Seq(from), Direction::Backward, limit).await.unwrap();
    assert_eq!(page(26, 10).await, stored[..10]);
    assert_eq!(page(16, 10).await, stored[10..20]);
    assert_eq!(page(6, 10).await, stored[20..]);
    assert!(page(1, 10).await.is_empty());
    assert!(page(0, 10).await.is_empty());
    assert_eq!(page(u64::MAX, usize::MAX).await, stored);
}

/// A limit is an upper bound, also 0 and 1, and across a thousand rows.
pub async fn limits_hold(store: &dyn Store) {
    let (_, stored) = filled(store, room(1), 2_500).await;
    for direction in [Direction::Forward, Direction::Backward] {
        assert!(store.read_log(room(1), Seq(5), direction, 0).await.unwrap().is_empty());
        assert_eq!(store.read_log(room(1), Seq(5), direction, 1).await.unwrap().len(), 1);
    }
    let page = store.read_log(room(1), Seq(500), Direction::Forward, 1_500).await.unwrap();
    assert_eq!(page, stored[500..2_000]);
}

/// What nobody wrote to is empty, not an error.
pub async fn unknown_rooms_are_empty(store: &dyn Store) {
    filled(store, room(1), 1).await;
    store.claim(room(3)).await.unwrap();
    for number in [0, 2, 3] {
        for direction in [Direction::Forward, Direction::Backward] {
            assert!(store.read_log(room(number), Seq(1), direction, 9).await.unwrap().is_empty());
        }
        assert_eq!(store.head(room(number)).await.unwrap(), None, "claimed is not appended to");
        assert_eq!(store.record(room(number), Seq(1)).await.unwrap(), None);
    }
}

/// A page ends where the room ends, on both sides.
pub async fn rooms_do_not_leak_into_each_other(store: &dyn Store) {
    for number in 1..=3 {
        filled(store, room(number), 3).await;
    }
    for direction in [Direction::Forward, Direction::Backward] {
        for from in [0, 2, u64::MAX] {
            let page = store.read_log(room(2), Seq(from), direction, 99).await.unwrap();
            assert!(page.len() <= 3);
            for record in page {
                assert_eq!(store.record(room(2), record.seq).await.unwrap(), Some(record));
            }
        }
    }
}

/// Heads of many rooms come in the order asked for, with a place for those without one.
pub async fn heads_come_in_the_order_asked(store: &dyn Store) {
    for number in 1..=3 {
        filled(store, room(number), u64::from(number)).await;
    }
    let asked = [room(3), room(9), room(1), room(3)];
    let heads = store.heads(&asked).await.unwrap();
    let seqs: Vec<_> = heads.iter().map(|head| head.map(|head| head.seq.0)).collect();
    assert_eq!(seqs, [Some(3), None, Some(1), Some(3)]);
    for (room, head) in asked.iter().zip(heads) {
        assert_eq!(store.head(*room).await.unwrap(), head);
    }
    assert!(store.heads(&[]).await.unwrap().is_empty());
}

/// One record is found at its seq and nowhere else.
pub async fn one_record(store: &dyn Store) {
    let (epoch, stored) = filled(store, room(1), 2).await;
    assert_eq!(store.record(room(1), Seq(2)).await.unwrap().as_ref(), Some(&stored[1]));
    for seq in [0, 3, u64::MAX] {
        assert_eq!(store.record(room(1), Seq(seq)).await.unwrap(), None);
    }
    store.append(room(1), epoch, &[event(3)], &head(3)).await.unwrap();
    assert_eq!(store.record(room(1), Seq(3)).await.unwrap().unwrap().message, None);
}

/// Readers beside a writer see no half of a batch, and all that was acknowledged before they began.
pub async fn a_page_has_no_gap_while_written_to(store: &dyn Store) {
    const BATCH: u64 = 100;
    const BATCHES: u64 = 200;
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    let write = async {
        for batch in 0..BATCHES {
            let seqs = batch * BATCH + 1..=(batch + 1) * BATCH;
            let records: Vec<_> = seqs.clone().map(|seq| message(r, seq, 1)).collect();
            store.append(r, epoch, &records, &head(*seqs.end())).await.unwrap();
        }
    };
    let read = async {
        loop {
            let acknowledged = store.head(r).await.unwrap().unwrap_or_default().seq.0;
            for direction in [Direction::Forward, Direction::Backward] {
                let from = if direction == Direction::Forward { acknowledged } else { u64::MAX };
                let page = store.read_log(r, Seq(from), direction, 400).await.unwrap();
                let mut seqs: Vec<_> = page.iter().map(|record| record.seq.0).collect();
                seqs.sort_unstable();
                let last = seqs.last().copied().unwrap_or(acknowledged);
                let first = seqs.first().copied().unwrap_or(last + 1);
                assert_eq!(seqs, (first..=last).collect::<Vec<_>>());
                assert_eq!(last % BATCH, 0, "half a batch");
                assert!(last >= acknowledged, "{acknowledged} were acknowledged, the page ends at {last}");
            }
            tokio::task::yield_now().await;
        }
    };
    // The reader never ends by itself.
    drop(select(Box::pin(write), Box::pin(read)).await);
    assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(BATCH * BATCHES));
}
