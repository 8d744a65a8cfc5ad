//! Where the readers of the logs stand.

use super::{kind, room};
use crate::{
    domain::ids::Seq,
    storage::{Store, StoreErrorKind},
};

/// A cursor starts at 0 and never moves back.
pub async fn start_at_zero_and_only_grow(store: &dyn Store) {
    assert_eq!(store.cursor("push", room(1)).await.unwrap(), Seq(0));
    for (put, expected) in [(0, 0), (5, 5), (3, 5), (5, 5), (6, 6), (u64::MAX, u64::MAX), (1, u64::MAX)] {
        store.put_cursor("push", room(1), Seq(put)).await.unwrap();
        assert_eq!(store.cursor("push", room(1)).await.unwrap(), Seq(expected));
    }
}

/// Consumers and rooms have cursors of their own, also when one name begins with another.
pub async fn are_each_their_own(store: &dyn Store) {
    for (consumer, number, seq) in [("push", 1, 1), ("pushy", 1, 2), ("push", 2, 3)] {
        store.put_cursor(consumer, room(number), Seq(seq)).await.unwrap();
    }
    assert_eq!(store.cursor("push", room(1)).await.unwrap(), Seq(1));
    assert_eq!(store.cursor("pushy", room(1)).await.unwrap(), Seq(2));
    assert_eq!(store.cursor("push", room(2)).await.unwrap(), Seq(3));
    assert_eq!(store.cursor("pus", room(1)).await.unwrap(), Seq(0));
}

/// A consumer's name has 1 to 64 bytes.
pub async fn names_are_bounded(store: &dyn Store) {
    for name in [String::new(), "x".repeat(65), "x".repeat(100_000)] {
        assert_eq!(kind(store.put_cursor(&name, room(1), Seq(1)).await), StoreErrorKind::Invalid);
        assert_eq!(store.cursor(&name, room(1)).await.unwrap(), Seq(0));
    }
    store.put_cursor(&"x".repeat(64), room(1), Seq(1)).await.unwrap();
}
