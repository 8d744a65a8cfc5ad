//! Members and their room lists: two sides of one membership.

use super::{kind, member, project, room, with_projection};
use crate::{
    domain::ids::{Ordinal, UserId},
    storage::{Listing, MemberRow, Projection, RoomPrefs, Store, StoreErrorKind},
};

fn added(members: Vec<MemberRow>) -> Projection {
    Projection { members, ..Projection::default() }
}

fn removed(users: &[i64]) -> Projection {
    Projection { removed: users.iter().copied().map(UserId).collect(), ..Projection::default() }
}

/// A member is in the room's members and the room in the member's list.
pub async fn are_listed_on_both_sides(store: &dyn Store) {
    let r = room(1);
    let partner = MemberRow { listing: Listing { room_type: 1, partner: UserId(8) }, ..member(7, "a") };
    let epoch = with_projection(store, r, added(vec![partner.clone(), member(8, "b")])).await;
    assert_eq!(store.member(r, UserId(7)).await.unwrap().unwrap(), "a");
    let entry = store.room_of(UserId(7), r).await.unwrap().unwrap();
    assert_eq!((entry.room, entry.listing, entry.prefs), (r, partner.listing, RoomPrefs::default()));

    project(store, r, epoch, 1, removed(&[7])).await;
    assert_eq!(store.member(r, UserId(7)).await.unwrap(), None);
    assert_eq!(store.room_of(UserId(7), r).await.unwrap(), None);
    assert_eq!(store.members(r, UserId(0), 9).await.unwrap().len(), 1);
    assert_eq!(store.rooms_of(UserId(8), None, 9).await.unwrap().len(), 1);
}

/// Members page by user id.
pub async fn pages(store: &dyn Store) {
    let r = room(1);
    let all: Vec<_> = [300, 5, 20, 1, 256].into_iter().map(|user| member(user, "m")).collect();
    with_projection(store, r, added(all)).await;
    with_projection(store, room(2), added(vec![member(2, "other")])).await;
    let page = async |after, limit| {
        let page = store.members(r, UserId(after), limit).await.unwrap();
        page.into_iter().map(|(user, _)| user.0).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 2).await, [1, 5]);
    assert_eq!(page(5, 2).await, [20, 256]);
    assert_eq!(page(256, 2).await, [300]);
    assert_eq!(page(19, 1).await, [20]);
    assert!(page(300, 2).await.is_empty());
    assert!(page(0, 0).await.is_empty());
    assert!(page(i64::MAX, 9).await.is_empty());
}

/// A membership written again has the new body and listing and the old preferences.
pub async fn preferences_survive_a_rewrite(store: &dyn Store) {
    let (r, user) = (room(1), UserId(7));
    let epoch = with_projection(store, r, added(vec![member(7, "member")])).await;
    let prefs = RoomPrefs { pinned: true, muted_until_ms: -5, hidden_at: Some(Ordinal(0)), hidden_messages: 3 };
    store.put_prefs(user, r, prefs).await.unwrap();
    assert_eq!(store.room_of(user, r).await.unwrap().unwrap().prefs, prefs);

    let promoted = MemberRow { listing: Listing { room_type: 3, partner: UserId(1) }, ..member(7, "admin") };
    project(store, r, epoch, 1, added(vec![promoted.clone()])).await;
    let entry = store.room_of(user, r).await.unwrap().unwrap();
    assert_eq!((entry.prefs, entry.listing), (prefs, promoted.listing));
    assert_eq!(store.member(r, user).await.unwrap().unwrap(), "admin");
}

/// Who leaves and comes back starts with no preferences.
pub async fn preferences_go_with_the_membership(store: &dyn Store) {
    let (r, user) = (room(1), UserId(7));
    let epoch = with_projection(store, r, added(vec![member(7, "m")])).await;
    let prefs = RoomPrefs { pinned: true, ..RoomPrefs::default() };
    store.put_prefs(user, r, prefs).await.unwrap();
    project(store, r, epoch, 1, removed(&[7])).await;
    project(store, r, epoch, 1, added(vec![member(7, "m")])).await;
    assert_eq!(store.room_of(user, r).await.unwrap().unwrap().prefs, RoomPrefs::default());

    store.put_prefs(user, r, prefs).await.unwrap();
    project(store, r, epoch, 1, Projection { removed: vec![user], ..added(vec![member(7, "m")]) }).await;
    assert_eq!(store.room_of(user, r).await.unwrap().unwrap().prefs, RoomPrefs::default(), "in one append");
}

/// There are no preferences without a list entry.
pub async fn preferences_need_a_membership(store: &dyn Store) {
    let (r, user) = (room(1), UserId(7));
    assert_eq!(kind(store.put_prefs(user, r, RoomPrefs::default()).await), StoreErrorKind::NotFound);
    let epoch = with_projection(store, r, added(vec![member(7, "m")])).await;
    project(store, r, epoch, 1, removed(&[7])).await;
    assert_eq!(kind(store.put_prefs(user, r, RoomPrefs::default()).await), StoreErrorKind::NotFound);
    assert_eq!(store.room_of(user, r).await.unwrap(), None);
}

/// Removing who is no member changes nothing.
pub async fn removing_a_stranger_changes_nothing(store: &dyn Store) {
    let r = room(1);
    let epoch = with_projection(store, r, added(vec![member(7, "m")])).await;
    with_projection(store, room(2), added(vec![member(8, "m")])).await;
    project(store, r, epoch, 1, removed(&[8, 9])).await;
    assert_eq!(store.members(r, UserId(0), 9).await.unwrap().len(), 1);
    assert_eq!(store.rooms_of(UserId(8), None, 9).await.unwrap().len(), 1);
}
