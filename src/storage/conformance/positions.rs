//! How far members have come.

use super::{filled, member, project, room, with_projection};
use crate::{
    domain::ids::{Ordinal, Seq, UserId},
    storage::{Position, Projection, Store},
};

fn at(user: i64, position: Position) -> Projection {
    Projection { positions: vec![(UserId(user), position)], ..Projection::default() }
}

/// Who never moved is at zero.
pub async fn are_zero_at_first(store: &dyn Store) {
    filled(store, room(1), 1).await;
    assert_eq!(store.position(room(1), UserId(1)).await.unwrap(), Position::default());
    assert_eq!(store.position(room(2), UserId(1)).await.unwrap(), Position::default());
    assert!(store.positions(room(1), UserId(0), 9).await.unwrap().is_empty());
}

/// An older position changes nothing.
pub async fn never_move_back(store: &dyn Store) {
    let r = room(1);
    let far = Position {
        read_seq: Seq(10),
        read_n: Ordinal(9),
        delivered_seq: Seq(12),
        sent_n: Ordinal(3),
        floor_n: Ordinal(2),
        floor_seq: Seq(1),
    };
    let epoch = with_projection(store, r, at(7, far)).await;
    for old in [Position::default(), Position { read_seq: Seq(9), ..far }, Position { floor_seq: Seq(0), ..far }] {
        project(store, r, epoch, 1, at(7, old)).await;
        assert_eq!(store.position(r, UserId(7)).await.unwrap(), far);
    }
}

/// Every field moves alone, also when one append names a user twice.
pub async fn merge_field_by_field(store: &dyn Store) {
    let r = room(1);
    let fields: [fn(u64) -> Position; 6] = [
        |n| Position { read_seq: Seq(n), ..Position::default() },
        |n| Position { read_n: Ordinal(n), ..Position::default() },
        |n| Position { delivered_seq: Seq(n), ..Position::default() },
        |n| Position { sent_n: Ordinal(n), ..Position::default() },
        |n| Position { floor_n: Ordinal(n), ..Position::default() },
        |n| Position { floor_seq: Seq(n), ..Position::default() },
    ];
    let epoch = with_projection(store, r, Projection::default()).await;
    let mut expected = Position::default();
    for (n, field) in (1..).zip(fields) {
        project(store, r, epoch, 1, at(7, field(n))).await;
        expected = expected.merge(field(n));
        assert_eq!(store.position(r, UserId(7)).await.unwrap(), expected);
    }
    let twice = vec![(UserId(8), fields[0](5)), (UserId(8), fields[1](6)), (UserId(8), fields[0](4))];
    project(store, r, epoch, 1, Projection { positions: twice, ..Projection::default() }).await;
    assert_eq!(store.position(r, UserId(8)).await.unwrap(), fields[0](5).merge(fields[1](6)));
}

/// Positions page by user id.
pub async fn pages(store: &dyn Store) {
    let r = room(1);
    let of = |user: i64| Position { read_seq: Seq(user.unsigned_abs()), ..Position::default() };
    let positions = [256, 1, 30].map(|user| (UserId(user), of(user))).to_vec();
    with_projection(store, r, Projection { positions, ..Projection::default() }).await;
    let page = store.positions(r, UserId(0), 2).await.unwrap();
    assert_eq!(page, [(UserId(1), of(1)), (UserId(30), of(30))]);
    assert_eq!(store.positions(r, UserId(30), 2).await.unwrap(), [(UserId(256), of(256))]);
    assert!(store.positions(r, UserId(256), 2).await.unwrap().is_empty());
}

/// A position stays when its member goes, so that coming back does not move it back.
pub async fn outlive_a_membership(store: &dyn Store) {
    let r = room(1);
    let position = Position { read_seq: Seq(1), ..Position::default() };
    let epoch = with_projection(store, r, Projection { members: vec![member(7, "m")], ..at(7, position) }).await;
    project(store, r, epoch, 1, Projection { removed: vec![UserId(7)], ..Projection::default() }).await;
    assert_eq!(store.position(r, UserId(7)).await.unwrap(), position);
}
