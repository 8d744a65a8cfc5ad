//! Room settings, pairs, synchronisation, join jobs.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{filled, kind, project, room, with_projection};
use crate::{
    domain::ids::UserId,
    storage::{Projection, Store, StoreErrorKind},
};

fn settings(text: &'static str) -> Projection {
    Projection { room: Some(Bytes::from_static(text.as_bytes())), ..Projection::default() }
}

/// Settings change only by an append that has some.
pub async fn settings_are_those_last_written(store: &dyn Store) {
    let r = room(1);
    assert_eq!(store.room(r).await.unwrap(), None);
    let epoch = with_projection(store, r, settings("one")).await;
    project(store, r, epoch, 1, Projection::default()).await;
    assert_eq!(store.room(r).await.unwrap().unwrap(), "one");
    project(store, r, epoch, 1, settings("two")).await;
    assert_eq!(store.room(r).await.unwrap().unwrap(), "two");
    project(store, r, epoch, 1, settings("")).await;
    assert_eq!(store.room(r).await.unwrap().unwrap(), "", "empty settings are settings");
}

/// Rooms with settings page by id; a log alone makes no room.
pub async fn pages(store: &dyn Store) {
    for number in [5, 1, 3] {
        with_projection(store, room(number), settings("x")).await;
    }
    filled(store, room(2), 1).await;
    assert_eq!(store.rooms(None, 2).await.unwrap(), [room(1), room(3)]);
    assert_eq!(store.rooms(Some(room(3)), 2).await.unwrap(), [room(5)]);
    assert_eq!(store.rooms(Some(room(2)), 1).await.unwrap(), [room(3)]);
    assert!(store.rooms(Some(room(5)), 2).await.unwrap().is_empty());
}

/// A pair has one room, whoever asks and in whatever order.
pub async fn a_pair_has_one_room(store: &dyn Store) {
    let (a, b, c) = (UserId(1), UserId(2), UserId(3));
    assert_eq!(store.find_p2p_room(a, b).await.unwrap(), None);
    assert_eq!(store.p2p_room(a, b, room(1)).await.unwrap(), room(1));
    assert_eq!(store.p2p_room(b, a, room(2)).await.unwrap(), room(1));
    assert_eq!(store.p2p_room(a, b, room(3)).await.unwrap(), room(1));
    assert_eq!(store.find_p2p_room(b, a).await.unwrap(), Some(room(1)));
    assert_eq!(store.p2p_room(a, c, room(4)).await.unwrap(), room(4));
    assert_eq!(store.p2p_room(a, a, room(5)).await.unwrap(), room(5), "oneself is a pair of its own");
    assert_eq!(store.find_p2p_room(b, c).await.unwrap(), None);
}

/// Fifty callers at once, from both sides: one room.
pub async fn racing_callers_get_one_p2p_room(store: &dyn Store) {
    let call = |number: u32| {
        let (a, b) = if number.is_multiple_of(2) { (1, 2) } else { (2, 1) };
        store.p2p_room(UserId(a), UserId(b), room(number))
    };
    let rooms: Vec<_> = join_all((0..50).map(call)).await.into_iter().map(Result::unwrap).collect();
    assert!(rooms.iter().all(|room| *room == rooms[0]));
    assert_eq!(store.find_p2p_room(UserId(1), UserId(2)).await.unwrap(), Some(rooms[0]));
}

/// One state a room and source.
pub async fn sync_states(store: &dyn Store) {
    let state = Bytes::from_static;
    assert_eq!(store.sync_state(room(1), "irc").await.unwrap(), None);
    store.put_sync_state(room(1), "irc", state(b"1")).await.unwrap();
    store.put_sync_state(room(1), "ircd", state(b"2")).await.unwrap();
    store.put_sync_state(room(2), "irc", state(b"3")).await.unwrap();
    store.put_sync_state(room(1), "irc", state(b"4")).await.unwrap();
    assert_eq!(store.sync_state(room(1), "irc").await.unwrap().unwrap(), "4");
    assert_eq!(store.sync_state(room(1), "ircd").await.unwrap().unwrap(), "2");
    assert_eq!(store.sync_state(room(2), "irc").await.unwrap().unwrap(), "3");
    for source in [String::new(), "x".repeat(65)] {
        assert_eq!(kind(store.put_sync_state(room(1), &source, state(b"")).await), StoreErrorKind::Invalid);
        assert_eq!(store.sync_state(room(1), &source).await.unwrap(), None);
    }
    let longest = "x".repeat(64);
    store.put_sync_state(room(1), &longest, state(b"")).await.unwrap();
    assert_eq!(store.sync_state(room(1), &longest).await.unwrap().unwrap(), "");
}

/// All sources of a room, by name, and of no other room.
pub async fn sync_states_of_a_room(store: &dyn Store) {
    let state = Bytes::from_static;
    assert!(store.sync_states(room(1)).await.unwrap().is_empty());
    for (number, source, body) in [(1, "matrix", b"1"), (1, "irc", b"2"), (1, "irc2", b"3"), (2, "slack", b"4")] {
        store.put_sync_state(room(number), source, state(body)).await.unwrap();
    }
    store.put_sync_state(room(1), "matrix", state(b"5")).await.unwrap();
    let all = store.sync_states(room(1)).await.unwrap();
    let all: Vec<_> = all.iter().map(|(source, body)| (source.as_str(), &body[..])).collect();
    assert_eq!(all, [("irc", &b"2"[..]), ("irc2", b"3"), ("matrix", b"5")]);
    assert!(store.sync_states(room(3)).await.unwrap().is_empty());
}

/// A job is there until it ends.
pub async fn join_jobs(store: &dyn Store) {
    let state = |text: &'static [u8]| Some(Bytes::from_static(text));
    store.put_join_job(room(3), state(b"c")).await.unwrap();
    store.put_join_job(room(1), state(b"a")).await.unwrap();
    store.put_join_job(room(1), state(b"b")).await.unwrap();
    assert_eq!(store.join_job(room(1)).await.unwrap(), state(b"b"));
    let jobs = store.join_jobs().await.unwrap();
    assert_eq!(jobs, [(room(1), Bytes::from_static(b"b")), (room(3), Bytes::from_static(b"c"))]);
    store.put_join_job(room(1), None).await.unwrap();
    store.put_join_job(room(2), None).await.unwrap();
    assert_eq!(store.join_job(room(1)).await.unwrap(), None);
    assert_eq!(store.join_jobs().await.unwrap().len(), 1);
}
