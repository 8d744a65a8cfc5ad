//! What is acknowledged takes effect, whatever the writers' clocks say: over restarts, and between two nodes.

use std::sync::Arc;

use bytes::Bytes;

use super::{Fixture, event, head, member, message, room};
use crate::{
    clock::{Clock, SystemClock},
    domain::ids::{Epoch, Ordinal, RoomId, Seq, UserId},
    storage::{DeviceRow, Direction, Projection, ReactionRow, RoomPrefs, Store},
};

const SECOND_MS: i64 = 1_000;
const HOUR_MS: i64 = 3_600 * SECOND_MS;

/// How far ahead of the time the clock is in each life: it is put right, goes wrong by little, and back too far.
const LIVES_MS: [i64; 6] = [HOUR_MS, 0, 5 * SECOND_MS, -HOUR_MS, 0, -2 * HOUR_MS];

/// A clock that is wrong.
#[derive(Debug)]
struct Off {
    by_ms: i64,
}

impl Clock for Off {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.by_ms
    }
}

async fn node(fixture: &Fixture, by_ms: i64) -> Arc<dyn Store> {
    fixture.node(Arc::new(Off { by_ms })).await
}

/// Each life of a node changes what the one before it has left.
pub async fn over_restarts(fixture: &Fixture) {
    let mut room = Grown::default();
    for (number, by_ms) in (1..).zip(LIVES_MS) {
        let store = node(fixture, by_ms).await;
        let all = [&*store];
        users_change_what_is_theirs(&*store, &all, number).await;
        room.grows(&*store, &all).await;
        fixture.ends(store).await;
    }
}

/// The same without an end: a process that is killed does not say goodbye, and its rooms stay claimed.
pub async fn over_kills(fixture: &Fixture) {
    let mut room = Grown { is_left: false, ..Grown::default() };
    for (number, by_ms) in (1..).zip(LIVES_MS) {
        let store = node(fixture, by_ms).await;
        room.is_left = number % 2 == 0;
        let all = [&*store];
        users_change_what_is_theirs(&*store, &all, number).await;
        room.grows(&*store, &all).await;
        drop(store);
    }
}

/// Two nodes an hour apart serve the same users in turn.
pub async fn between_two_nodes(fixture: &Fixture) {
    if !fixture.are_at_once() {
        return;
    }
    let (fast, right) = (node(fixture, HOUR_MS).await, node(fixture, 0).await);
    let all = [&*fast, &*right];
    let mut room = Grown::default();
    for number in (1..4).map(|pair| 2 * pair) {
        for (number, store) in [(number, &fast), (number + 1, &right)] {
            users_change_what_is_theirs(&**store, &all, number).await;
            room.grows(&**store, &all).await;
        }
    }
    for store in [fast, right] {
        fixture.ends(store).await;
    }
}

fn bytes(number: u32) -> Bytes {
    Bytes::from(format!("round {number}"))
}

/// Rows that have no log. `all` are the nodes that have to see it.
async fn users_change_what_is_theirs(store: &dyn Store, all: &[&dyn Store], number: u32) {
    let (user, r) = (UserId(7), room(70));
    if store.room_of(user, r).await.unwrap().is_none() {
        super::with_projection(store, r, Projection { members: vec![member(7, "m")], ..Projection::default() }).await;
    }
    for is_set in [true, false, number.is_multiple_of(2)] {
        let hidden_messages = if is_set { number } else { 0 };
        let hidden_at = is_set.then_some(Ordinal(9));
        let prefs =
            RoomPrefs { pinned: is_set, muted_until_ms: i64::from(hidden_messages), hidden_at, hidden_messages };
        store.put_prefs(user, r, prefs).await.unwrap();
        for node in all {
            assert_eq!(node.room_of(user, r).await.unwrap().unwrap().prefs, prefs, "round {number}");
        }
        store.put_block(user, UserId(8), is_set).await.unwrap();
        for node in all {
            assert_eq!(node.has_block(user, UserId(8)).await.unwrap(), is_set, "round {number}");
        }
    }
    store.put_profile(user, bytes(number)).await.unwrap();
    store.put_sync_state(r, "irc", bytes(number)).await.unwrap();
    assert!(store.hide_message(user, r, Seq(u64::from(number))).await.unwrap());
    store.put_cursor("clocks", r, Seq(u64::from(number))).await.unwrap();
    for node in all {
        assert_eq!(node.profiles(&[user]).await.unwrap(), [Some(bytes(number))]);
        assert_eq!(node.sync_state(r, "irc").await.unwrap(), Some(bytes(number)));
        assert_eq!(node.hidden_messages(user, r, Seq(u64::from(number)), Seq(u64::MAX)).await.unwrap().len(), 1);
        assert_eq!(node.cursor("clocks", r).await.unwrap(), Seq(u64::from(number)));
    }
    jobs_come_and_go(store, all, number).await;
    devices_come_and_go(store, all, number).await;
}

async fn jobs_come_and_go(store: &dyn Store, all: &[&dyn Store], number: u32) {
    let r = room(70);
    for state in [Some(bytes(number)), None, Some(Bytes::new()), Some(bytes(number)), None] {
        store.put_join_job(r, state.clone()).await.unwrap();
        for node in all {
            assert_eq!(node.join_job(r).await.unwrap(), state, "round {number}");
            let listed: Vec<_> = state.iter().map(|state| (r, state.clone())).collect();
            assert_eq!(node.join_jobs().await.unwrap(), listed, "round {number}");
        }
    }
}

async fn devices_come_and_go(store: &dyn Store, all: &[&dyn Store], number: u32) {
    let (ann, ben) = (UserId(7), UserId(8));
    let device =
        |client: &str, token: u8| DeviceRow { client_id: client.into(), token_hash: [token; 32], body: bytes(number) };
    let are = async |of: UserId, expected: &[DeviceRow]| {
        for node in all {
            assert_eq!(node.devices(of).await.unwrap(), expected, "round {number}, {of}");
        }
    };
    store.put_device(ann, &device("phone", 1)).await.unwrap();
    are(ann, &[device("phone", 1)]).await;
    // Another user takes the token over, and it is taken back.
    store.put_device(ben, &device("tablet", 1)).await.unwrap();
    are(ann, &[]).await;
    are(ben, &[device("tablet", 1)]).await;
    store.put_device(ann, &device("phone", 1)).await.unwrap();
    are(ann, &[device("phone", 1)]).await;
    are(ben, &[]).await;
    // Another token for the device, and none.
    store.put_device(ann, &device("phone", 2)).await.unwrap();
    are(ann, &[device("phone", 2)]).await;
    store.remove_device(ann, "phone").await.unwrap();
    are(ann, &[]).await;
    store.put_device(ann, &device("phone", 2)).await.unwrap();
    are(ann, &[device("phone", 2)]).await;
    store.remove_device(ann, "phone").await.unwrap();
    are(ann, &[]).await;
}

/// A room that is written by one node after the other.
struct Grown {
    seq: u64,
    /// Whether its owner leaves it when it has written.
    is_left: bool,
}

impl Default for Grown {
    fn default() -> Self {
        Self { seq: 0, is_left: true }
    }
}

const ROOM: u32 = 71;

impl Grown {
    /// Claims it and changes what follows from its log, back and forth.
    async fn grows(&mut self, store: &dyn Store, all: &[&dyn Store]) {
        let r = room(ROOM);
        let unwritten = store.claim(room(72)).await.unwrap();
        let epoch = store.claim(r).await.unwrap();
        let first = self.seq + 1;
        store.append(r, epoch, &[message(r, first, 1)], &head(first)).await.unwrap();
        self.seq = first;
        let (user, at) = (UserId(9), Seq(first));
        let reaction = ReactionRow { seq: at, user, reaction: "+1".into() };
        for is_set in [true, false, true] {
            let changes = Projection {
                room: Some(bytes(u32::from(is_set))),
                members: if is_set { vec![member(9, "m")] } else { Vec::new() },
                removed: if is_set { Vec::new() } else { vec![user] },
                states: vec![(at, bytes(u32::from(is_set)))],
                reacted: if is_set { vec![reaction.clone()] } else { Vec::new() },
                unreacted: if is_set { Vec::new() } else { vec![reaction.clone()] },
                pinned: if is_set { vec![(at, at)] } else { Vec::new() },
                unpinned: if is_set { Vec::new() } else { vec![at] },
                ..Projection::default()
            };
            self.change(store, epoch, changes, true).await;
            for node in all {
                assert_eq!(node.head(r).await.unwrap().unwrap().seq, Seq(self.seq));
                assert_eq!(node.room(r).await.unwrap(), Some(bytes(u32::from(is_set))));
                assert_eq!(node.member(r, user).await.unwrap().is_some(), is_set);
                assert_eq!(node.room_of(user, r).await.unwrap().is_some(), is_set);
                assert_eq!(node.has_reaction(r, &reaction).await.unwrap(), is_set);
                assert_eq!(node.message_states(r, at, at).await.unwrap(), [(at, bytes(u32::from(is_set)))]);
                assert_eq!(node.pins(r, 99).await.unwrap().contains(&(at, at)), is_set);
            }
        }
        let undone = Projection { unpinned: vec![at], redacted: vec![(at, Bytes::new())], ..Projection::default() };
        self.change(store, epoch, undone, true).await;
        let settings = Some(bytes(2));
        let quiet = Projection { room: settings.clone(), unreacted: vec![reaction.clone()], ..Projection::default() };
        self.change(store, epoch, quiet, false).await;
        for node in all {
            assert_eq!(node.room(r).await.unwrap(), settings);
            assert!(!node.has_reaction(r, &reaction).await.unwrap());
            assert_eq!(node.record(r, at).await.unwrap().unwrap().body, Bytes::new());
            let log = node.read_log(r, Seq(0), Direction::Forward, 999).await.unwrap();
            assert_eq!(log.len(), usize::try_from(self.seq).unwrap());
        }
        self.leave(store, all, [(r, epoch), (room(72), unwritten)]).await;
    }

    /// With an event of its own, or without one.
    async fn change(&mut self, store: &dyn Store, epoch: Epoch, changes: Projection, has_event: bool) {
        let (r, next) = (room(ROOM), self.seq + u64::from(has_event));
        let records = if has_event { vec![event(next)] } else { Vec::new() };
        self.seq = next;
        store.append(r, epoch, &records, &Projection { head: head(next).head, ..changes }).await.unwrap();
    }

    async fn leave(&self, store: &dyn Store, all: &[&dyn Store], claimed: [(RoomId, Epoch); 2]) {
        for (r, epoch) in claimed.into_iter().filter(|_| self.is_left) {
            store.release(r, epoch).await.unwrap();
            for node in all {
                assert!(!node.active_rooms(None, 99).await.unwrap().contains(&r), "a room that was left is not active");
            }
        }
        if !self.is_left {
            let active = store.active_rooms(None, 99).await.unwrap();
            assert!(claimed.iter().all(|(r, _)| active.contains(r)), "{active:?}");
        }
    }
}
