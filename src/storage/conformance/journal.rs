//! The journal of active rooms.

use super::{event, filled, head, room};
use crate::{domain::ids::Epoch, storage::Store};

/// A room is in the journal from its claim to its release.
pub async fn claimed_rooms_are_active(store: &dyn Store) {
    assert!(store.active_rooms(None, 10).await.unwrap().is_empty());
    let one = store.claim(room(1)).await.unwrap();
    let two = store.claim(room(2)).await.unwrap();
    assert_eq!(store.active_rooms(None, 10).await.unwrap(), [room(1), room(2)]);
    store.release(room(1), one).await.unwrap();
    assert_eq!(store.active_rooms(None, 10).await.unwrap(), [room(2)]);
    store.release(room(1), one).await.unwrap();
    store.claim(room(1)).await.unwrap();
    store.release(room(2), two).await.unwrap();
    assert_eq!(store.active_rooms(None, 10).await.unwrap(), [room(1)]);
}

/// Who lost the room cannot take it out of the journal.
pub async fn a_stale_release_changes_nothing(store: &dyn Store) {
    let first = store.claim(room(1)).await.unwrap();
    let second = store.claim(room(1)).await.unwrap();
    for epoch in [Epoch(0), first, Epoch(second.0 + 1)] {
        store.release(room(1), epoch).await.unwrap();
        assert_eq!(store.active_rooms(None, 10).await.unwrap(), [room(1)]);
    }
    store.release(room(7), Epoch(1)).await.unwrap();
    store.release(room(1), second).await.unwrap();
    assert!(store.active_rooms(None, 10).await.unwrap().is_empty());
}

/// Pages by id, after the one given, whether or not that is still there.
pub async fn pages(store: &dyn Store) {
    for number in [5, 1, 3, 4, 2] {
        store.claim(room(number)).await.unwrap();
    }
    assert_eq!(store.active_rooms(None, 2).await.unwrap(), [room(1), room(2)]);
    assert_eq!(store.active_rooms(Some(room(2)), 2).await.unwrap(), [room(3), room(4)]);
    assert_eq!(store.active_rooms(Some(room(4)), 2).await.unwrap(), [room(5)]);
    assert!(store.active_rooms(Some(room(5)), 2).await.unwrap().is_empty());
    assert!(store.active_rooms(None, 0).await.unwrap().is_empty());
}

/// A release does not end the claim: only another claim does.
pub async fn appending_after_a_release(store: &dyn Store) {
    let (epoch, _) = filled(store, room(1), 1).await;
    store.release(room(1), epoch).await.unwrap();
    store.append(room(1), epoch, &[event(2)], &head(2)).await.unwrap();
    assert!(store.active_rooms(None, 10).await.unwrap().is_empty());
}
