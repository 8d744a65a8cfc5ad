//! Moving stores: random histories, copies that die, planted differences, keys that change.

mod death;
mod follow;
mod histories;
mod keys;
mod order;
mod planted;
mod postgres;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Copied, MigrateError, Options, Patience, Progress, Verdict, copy, verify};
use crate::{
    domain::ids::{Ordinal, RoomId, Seq, UserId},
    storage::{
        DeviceRow, Listing, MemberRow, Position, Projection, ReactionRow, Record, RoomHead, RoomPrefs, Store,
        conformance::{external, filled, head, message, project, room, with_external},
        consumers::{MASTER_KEY, MESSAGE_IDS, STORE},
        embedded::EmbeddedStore,
    },
};

fn memory() -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::in_memory())
}

/// Small pages, so that there are several; little patience, as the clock is paused or nothing fails.
fn options() -> Options {
    let patience = Patience { tries: 40, wait_min: Duration::from_millis(1), wait_max: Duration::from_millis(20) };
    Options { parallel: 3, rows_per_s: 0, page: 7, patience }
}

async fn copied(from: &Arc<dyn Store>, to: &Arc<dyn Store>) -> Result<Copied, MigrateError> {
    copy(Arc::clone(from), Arc::clone(to), options(), Arc::default()).await
}

async fn compared(from: &Arc<dyn Store>, to: &Arc<dyn Store>) -> Verdict {
    verify(Arc::clone(from), Arc::clone(to), options(), Arc::new(Progress::default())).await.unwrap()
}

#[track_caller]
fn assert_equal(verdict: &Verdict) {
    let found: Vec<String> = verdict.differences.iter().map(ToString::to_string).collect();
    assert!(verdict.equal && found.is_empty(), "{}", found.join("\n"));
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

const ANA: UserId = UserId(1);
const BEN: UserId = UserId(2);
/// Has left all rooms.
const EVA: UserId = UserId(3);

fn member_row(user: UserId, room_type: u8, partner: UserId) -> MemberRow {
    MemberRow { user, body: Bytes::from(format!("member {user}")), listing: Listing { room_type, partner } }
}

fn device(client_id: &str, token: u8) -> DeviceRow {
    DeviceRow { client_id: client_id.into(), token_hash: [token; 32], body: Bytes::from(vec![token]) }
}

/// The room that has everything.
fn full() -> RoomId {
    room(1)
}

/// The pair's room.
fn pair() -> RoomId {
    room(2)
}

/// A store with every kind of row.
async fn town() -> Arc<dyn Store> {
    let store = memory();
    full_room(&*store).await;
    pair_room(&*store).await;
    people(&*store).await;
    store.put_join_job(full(), Some(bytes("job"))).await.unwrap();
    store.put_cursor(MESSAGE_IDS.0, MESSAGE_IDS.1, Seq(1_000)).await.unwrap();
    store.put_sync_state(STORE, &format!("{MASTER_KEY}1"), bytes("a key's")).await.unwrap();
    store.put_sync_state(STORE, "of the store itself", bytes("stays")).await.unwrap();
    for number in 10..30 {
        let (epoch, _) = filled(&*store, room(number), u64::from(number)).await;
        let settings = Projection { room: Some(bytes("settings")), ..head(u64::from(number)) };
        store.append(room(number), epoch, &[], &settings).await.unwrap();
        if number != 20 {
            store.release(room(number), epoch).await.unwrap();
        }
    }
    store
}

async fn full_room(store: &dyn Store) {
    let r = full();
    let (epoch, _) = filled(store, r, 2_500).await;
    let twin = with_external(message(r, 2_501, 1), &external("irc", "#rust", "77"));
    let projection = Projection {
        room: Some(bytes("settings")),
        members: vec![member_row(ANA, 2, UserId(0)), member_row(BEN, 2, UserId(0)), member_row(EVA, 2, UserId(0))],
        positions: vec![(ANA, Position { read_seq: Seq(5), ..Position::default() }), (EVA, Position::default())],
        states: vec![(Seq(3), bytes("state 3")), (Seq(1_900), bytes("state 1900"))],
        reacted: ["+", "x"].map(|reaction| ReactionRow { seq: Seq(3), user: ANA, reaction: reaction.into() }).into(),
        pinned: vec![(Seq(1_900), Seq(2_000))],
        ..head(2_501)
    };
    store.append(r, epoch, &[twin], &projection).await.unwrap();
    store.hide_message(EVA, r, Seq(9)).await.unwrap();
    let gone = Projection { removed: vec![EVA], ..Projection::default() };
    project(store, r, epoch, 2_501, gone).await;
    store.release(r, epoch).await.unwrap();
    store.put_sync_state(r, "irc", bytes("here")).await.unwrap();
    store.put_sync_state(r, "matrix", bytes("there")).await.unwrap();
    store.put_cursor("bus", r, Seq(2_400)).await.unwrap();
    let prefs = RoomPrefs { pinned: true, muted_until_ms: 9, hidden_at: None, hidden_messages: 2 };
    store.put_prefs(ANA, r, prefs).await.unwrap();
    for seq in [4, 1_000] {
        store.hide_message(ANA, r, Seq(seq)).await.unwrap();
    }
}

async fn pair_room(store: &dyn Store) {
    let r = store.p2p_room(ANA, BEN, pair()).await.unwrap();
    let (epoch, _) = filled(store, r, 3).await;
    let members = vec![member_row(ANA, 1, BEN), member_row(BEN, 1, ANA)];
    let projection = Projection { room: Some(bytes("pair")), members, ..Projection::default() };
    project(store, r, epoch, 3, projection).await;
    store.release(r, epoch).await.unwrap();
}

async fn people(store: &dyn Store) {
    for user in 1..=150 {
        store.put_profile(UserId(user), Bytes::from(format!("user {user}"))).await.unwrap();
    }
    store.put_block(ANA, EVA, true).await.unwrap();
    store.put_block(BEN, ANA, true).await.unwrap();
    store.put_device(ANA, &device("web", 1)).await.unwrap();
    store.put_device(ANA, &device("phone", 2)).await.unwrap();
    store.put_device(BEN, &device("phone", 3)).await.unwrap();
}

#[tokio::test]
async fn every_kind_of_row_comes_over() {
    let (from, to) = (town().await, memory());
    let copied = copied(&from, &to).await.unwrap();
    assert_eq!(copied, Copied { rooms: 22, ..Copied::default() });
    let verdict = compared(&from, &to).await;
    assert_equal(&verdict);
    assert_eq!((verdict.rooms, verdict.users), (22, 150));
    assert_eq!(to.active_rooms(None, 99).await.unwrap(), [room(20)], "the one that was awake is woken there");
    assert_eq!(to.p2p_room(BEN, ANA, room(77)).await.unwrap(), pair());
    assert_eq!(to.cursor(MESSAGE_IDS.0, MESSAGE_IDS.1).await.unwrap(), Seq(1_000), "ids go on behind those made");
    assert_equal(&compared(&to, &from).await);
}

#[tokio::test]
async fn through_disks_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| -> Arc<dyn Store> {
        Arc::new(EmbeddedStore::open(dir.path().join(name), &Default::default()).unwrap())
    };
    let (from, disk) = (town().await, open("a"));
    copied(&from, &disk).await.unwrap();
    disk.close().await.unwrap();
    let (disk, back) = (open("a"), memory());
    copied(&disk, &back).await.unwrap();
    assert_equal(&compared(&from, &back).await);
}

/// The second copy writes nothing that is there already, and brings what changed without an event.
#[tokio::test]
async fn again_brings_what_changed() {
    let (from, to) = (town().await, memory());
    copied(&from, &to).await.unwrap();
    let heads = to.heads(&[full(), pair()]).await.unwrap();
    let progress = Arc::new(Progress::default());
    copy(Arc::clone(&from), Arc::clone(&to), options(), Arc::clone(&progress)).await.unwrap();
    assert_eq!(progress.events(), 0);
    assert_eq!(to.heads(&[full(), pair()]).await.unwrap(), heads);

    let epoch = from.claim(full()).await.unwrap();
    let moved = vec![(ANA, Position { read_seq: Seq(9), ..Position::default() })];
    project(&*from, full(), epoch, 2_501, Projection { positions: moved, ..Projection::default() }).await;
    from.release(full(), epoch).await.unwrap();
    from.put_block(ANA, EVA, false).await.unwrap();
    from.remove_device(ANA, "web").await.unwrap();
    from.put_device(BEN, &device("web", 2)).await.unwrap();
    from.put_sync_state(full(), "irc", bytes("further")).await.unwrap();
    from.put_join_job(full(), None).await.unwrap();
    from.put_prefs(ANA, full(), RoomPrefs::default()).await.unwrap();
    from.hide_message(ANA, full(), Seq(6)).await.unwrap();
    assert!(!compared(&from, &to).await.equal);
    copied(&from, &to).await.unwrap();
    assert_equal(&compared(&from, &to).await);
}

#[tokio::test]
async fn events_and_messages_are_counted_apart() {
    let (from, to) = (memory(), memory());
    let epoch = from.claim(full()).await.unwrap();
    let joined = Record { message: None, ..message(full(), 1, 1) };
    let records = [joined, message(full(), 2, 1), message(full(), 3, 1)];
    let room = Some(bytes("settings"));
    let end = Projection { room, head: RoomHead { seq: Seq(3), n: Ordinal(2), ..RoomHead::default() }, ..head(3) };
    from.append(full(), epoch, &records, &end).await.unwrap();
    from.release(full(), epoch).await.unwrap();
    let progress = Arc::new(Progress::default());
    copy(Arc::clone(&from), Arc::clone(&to), options(), Arc::clone(&progress)).await.unwrap();
    assert_eq!((progress.events(), progress.messages()), (3, 2));
    let verdict = compared(&from, &to).await;
    assert_equal(&verdict);
    assert_eq!((verdict.events, verdict.messages), (3, 2));
}

#[tokio::test]
async fn a_destination_with_another_history_is_refused() {
    let (from, to) = (town().await, memory());
    filled(&*to, full(), 9).await;
    let epoch = to.claim(full()).await.unwrap();
    to.append(full(), epoch, &[message(full(), 10, 77)], &head(10)).await.unwrap();
    let error = copied(&from, &to).await.unwrap_err();
    let text = crate::error::Chain(&error).to_string();
    assert!(text.contains("another history: event 10 is another one"), "{text}");
    assert!(text.contains(&full().to_string()), "{text}");

    let (from, to) = (town().await, memory());
    filled(&*to, pair(), 4).await;
    let error = copied(&from, &to).await.unwrap_err();
    let text = crate::error::Chain(&error).to_string();
    assert!(text.contains("it has event 4, the source ends at 3"), "{text}");
}
