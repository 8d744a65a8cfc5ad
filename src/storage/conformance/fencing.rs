//! One writer a room: claims, and what happens to those who lost theirs.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::future::{join, join_all};

use super::{event, filled, head, kind, message, room, written_by};
use crate::{
    domain::ids::{Epoch, Seq, UserId},
    storage::{Direction, Position, Projection, Record, Store, StoreErrorKind},
};

/// Each claim's epoch is greater than all before it.
pub async fn epochs_grow(store: &dyn Store) {
    let r = room(1);
    let mut last = Epoch(0);
    for _ in 0..10 {
        let epoch = store.claim(r).await.unwrap();
        assert!(epoch > last);
        last = epoch;
        store.release(r, epoch).await.unwrap();
    }
}

/// A writer whose room was claimed by another writes nothing more, not even a projection.
pub async fn a_stale_writer_is_refused(store: &dyn Store) {
    let r = room(1);
    let (first, stored) = filled(store, r, 2).await;
    let second = store.claim(r).await.unwrap();
    let moved = Position { read_seq: Seq(2), ..Position::default() };
    let projection = Projection { positions: vec![(UserId(1), moved)], room: Some(Bytes::new()), ..head(3) };
    assert_eq!(kind(store.append(r, first, &[event(3)], &projection).await), StoreErrorKind::Fenced);
    let projection = Projection { head: head(2).head, ..projection };
    assert_eq!(kind(store.append(r, first, &[], &projection).await), StoreErrorKind::Fenced);
    // Fenced says more than Conflict, and comes first.
    assert_eq!(kind(store.append(r, first, &[event(9)], &head(9)).await), StoreErrorKind::Fenced);
    assert_eq!(store.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap(), stored);
    assert_eq!(store.position(r, UserId(1)).await.unwrap(), Position::default());
    assert_eq!(store.room(r).await.unwrap(), None);
    store.append(r, second, &[event(3)], &head(3)).await.unwrap();
}

/// An append that was made before a claim and arrives after it is refused.
pub async fn an_append_delayed_past_a_claim_is_refused(store: &dyn Store) {
    let r = room(1);
    let first = store.claim(r).await.unwrap();
    let records = [event(1)];
    let projection = head(1);
    // Made, and polled only once the claim is through.
    let late = store.append(r, first, &records, &projection);
    let second = store.claim(r).await.unwrap();
    assert_eq!(kind(late.await), StoreErrorKind::Fenced);
    assert_eq!(store.head(r).await.unwrap(), None);

    // At once, in whatever order they come through: never a write of the old epoch on top of one of the new.
    let old = [message(r, 1, 1)];
    let new = [message(r, 1, 2)];
    let (third, appended) = join(store.claim(r), store.append(r, second, &old, &projection)).await;
    let third = third.unwrap();
    let result = store.append(r, third, &new, &projection).await;
    let stored = store.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap();
    match appended {
        Ok(_) => {
            assert_eq!(kind(result), StoreErrorKind::Conflict);
            assert_eq!(stored, written_by(second, &old));
        }
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Fenced);
            result.unwrap();
            assert_eq!(stored, written_by(third, &new));
        }
    }
}

/// Only a claim makes an epoch.
pub async fn an_epoch_never_claimed_is_invalid(store: &dyn Store) {
    let r = room(1);
    for epoch in [0, 1, u64::MAX] {
        let result = store.append(r, Epoch(epoch), &[event(1)], &head(1)).await;
        assert_eq!(kind(result), StoreErrorKind::Invalid, "epoch {epoch}");
    }
    let epoch = store.claim(r).await.unwrap();
    let ahead = Epoch(epoch.0 + 1);
    assert_eq!(kind(store.append(r, ahead, &[event(1)], &head(1)).await), StoreErrorKind::Invalid);
    assert_eq!(kind(store.append(r, Epoch(0), &[event(1)], &head(1)).await), StoreErrorKind::Fenced);
    assert_eq!(store.head(r).await.unwrap(), None);
}

/// A claim of one room says nothing about another.
pub async fn rooms_are_claimed_alone(store: &dyn Store) {
    let (a, _) = filled(store, room(1), 1).await;
    for _ in 0..5 {
        store.claim(room(2)).await.unwrap();
    }
    store.append(room(1), a, &[event(2)], &head(2)).await.unwrap();
}

/// Writers that keep taking a room from each other: each seq is written once, by one of them, and what was acknowledged
/// stays.
pub async fn racing_writers_write_each_seq_once(store: &dyn Store) {
    let r = room(1);
    let writer = async |number: i64| {
        let mut acknowledged: Vec<Record> = Vec::new();
        for _ in 0..10 {
            let epoch = store.claim(r).await.unwrap();
            loop {
                let seq = store.head(r).await.unwrap().unwrap_or_default().seq.next();
                let mut record = message(r, seq.0, number);
                record.body = Bytes::from(format!("{number} {epoch}"));
                match store.append(r, epoch, std::slice::from_ref(&record), &head(seq.0)).await {
                    Ok(_) => acknowledged.push(Record { epoch, ..record }),
                    // Someone else's append came between reading the head and this.
                    Err(error) if error.kind() == StoreErrorKind::Conflict => {}
                    Err(error) => {
                        assert_eq!(error.kind(), StoreErrorKind::Fenced);
                        break;
                    }
                }
                if acknowledged.len().is_multiple_of(7) {
                    break;
                }
            }
        }
        acknowledged
    };
    let acknowledged: Vec<_> = join_all((1..=8).map(writer)).await.concat();
    let stored = store.read_log(r, Seq(0), Direction::Forward, usize::MAX).await.unwrap();
    let seqs: Vec<_> = stored.iter().map(|record| record.seq.0).collect();
    assert_eq!(seqs, (1..=u64::try_from(stored.len()).unwrap()).collect::<Vec<_>>());
    assert!(stored.is_sorted_by_key(|record| record.epoch), "epochs never go back in the log");
    for record in &acknowledged {
        assert_eq!(&stored[usize::try_from(record.seq.0).unwrap() - 1], record);
    }
    assert_eq!(stored.len(), acknowledged.len());
}

/// Claims made at once get different epochs, and only the greatest may write.
pub async fn claims_at_once_all_differ(store: &dyn Store) {
    let r = room(1);
    let epochs: Vec<_> = join_all((0..50).map(|_| store.claim(r))).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(epochs.iter().collect::<HashSet<_>>().len(), 50);
    let newest = *epochs.iter().max().unwrap();
    let records = [event(1)];
    let projection = head(1);
    let append = |epoch: &Epoch| store.append(r, *epoch, &records, &projection);
    let results = join_all(epochs.iter().map(append)).await;
    for (epoch, result) in epochs.iter().zip(results) {
        if *epoch == newest {
            result.unwrap();
        } else {
            assert_eq!(kind(result), StoreErrorKind::Fenced);
        }
    }
}
