//! Planted differences, one of each kind: the comparison names each, and nothing else.

use std::{future::Future, sync::Arc};

use super::{
    ANA, BEN, EVA, Listing, MemberRow, Position, Projection, ReactionRow, RoomPrefs, bytes, compared, copied, device,
    full, memory, pair, town,
};
use crate::{
    domain::ids::{ClientMessageId, MessageId, Ordinal, RoomId, Seq, UserId},
    storage::{
        Record, Store,
        conformance::{event, external, filled, head, message, project, room, with_external},
    },
};

/// Plants something in a copy of the town; the differences then, as lines without the room's name.
async fn found<F>(plant: impl FnOnce(Arc<dyn Store>) -> F) -> Vec<String>
where
    F: Future<Output = ()>,
{
    let (from, to) = (town().await, memory());
    copied(&from, &to).await.unwrap();
    plant(Arc::clone(&to)).await;
    let there: Vec<String> = lines(&from, &to).await;
    let back: Vec<String> = lines(&to, &from).await;
    assert_eq!(there.len(), back.len(), "{there:?} {back:?}");
    there
}

async fn lines(from: &Arc<dyn Store>, to: &Arc<dyn Store>) -> Vec<String> {
    let verdict = compared(from, to).await;
    assert!(!verdict.equal && verdict.differences_total > 0);
    let line = |difference: &super::super::Difference| {
        difference.to_string().replace(&format!(", room {}", full()), "").replace(&format!(", room {}", pair()), "")
    };
    verdict.differences.iter().map(line).collect()
}

/// Applies `projection` to the full room of a copy.
async fn changed(to: Arc<dyn Store>, room: RoomId, seq: u64, projection: Projection) {
    let epoch = to.claim(room).await.unwrap();
    project(&*to, room, epoch, seq, projection).await;
    to.release(room, epoch).await.unwrap();
}

macro_rules! planted {
    ($($name:ident: |$to:ident| $plant:expr => [$($line:expr),* $(,)?];)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                let found = found(|$to| async move { $plant; }).await;
                assert_eq!(found, [$($line),*]);
            }
        )*
    };
}

fn rows(projection: impl FnOnce(&mut Projection)) -> Projection {
    let mut rows = Projection::default();
    projection(&mut rows);
    rows
}

fn reaction(seq: u64, reaction: &str) -> Vec<ReactionRow> {
    vec![ReactionRow { seq: Seq(seq), user: ANA, reaction: reaction.into() }]
}

planted! {
    a_body: |to| changed(to, full(), 2_501, rows(|r| r.redacted = vec![(Seq(17), bytes("other"))])).await => [
        "log, seq 17: body is 10 bytes 2889f771 in the source, 5 bytes d9298a10 in the destination",
    ];
    settings: |to| changed(to, full(), 2_501, rows(|r| r.room = Some(bytes("s")))).await => [
        "room: settings is 8 bytes cde0fb0d in the source, 1 bytes 043a7187 in the destination",
    ];
    an_extra_member: |to| {
        let row = MemberRow { user: UserId(9), body: bytes("m"), listing: Listing { room_type: 2, partner: UserId(0) } };
        changed(to, full(), 2_501, rows(|r| r.members = vec![row])).await
    } => [
        "member, user 9: only in the destination",
        "room list, user 9: only in the destination",
    ];
    a_missing_member: |to| changed(to, full(), 2_501, rows(|r| r.removed = vec![BEN])).await => [
        "member, user 2: missing in the destination",
        "room list, user 2: missing in the destination",
    ];
    a_changed_member: |to| {
        let row = MemberRow { user: BEN, body: bytes("m"), listing: Listing { room_type: 3, partner: UserId(0) } };
        changed(to, full(), 2_501, rows(|r| r.members = vec![row])).await
    } => [
        "member, user 2: body is 8 bytes 31d67ffd in the source, 1 bytes 62c66a7a in the destination",
        "room list, user 2: room type is 2 in the source, 3 in the destination",
    ];
    a_position: |to| {
        let position = Position { sent_n: Ordinal(7), ..Position::default() };
        changed(to, full(), 2_501, rows(|r| r.positions = vec![(ANA, position), (BEN, position)])).await
    } => [
        "position, user 1: sent_n is 0 in the source, 7 in the destination",
        "position, user 2: only in the destination",
    ];
    states: |to| {
        let states = vec![(Seq(3), bytes("x")), (Seq(2_000), bytes("y"))];
        changed(to, full(), 2_501, rows(|r| r.states = states)).await
    } => [
        "state, seq 2000: only in the destination",
        "state, seq 3: body is 7 bytes 437248af in the source, 1 bytes 2d711642 in the destination",
    ];
    a_missing_reaction: |to| changed(to, full(), 2_501, rows(|r| r.unreacted = reaction(3, "x"))).await => [
        "reaction, user 1, seq 3, x: missing in the destination",
    ];
    an_extra_reaction: |to| changed(to, full(), 2_501, rows(|r| r.reacted = reaction(7, "x"))).await => [
        "reaction, user 1, seq 7, x: only in the destination",
    ];
    pins: |to| {
        changed(to, full(), 2_501, rows(|r| r.pinned = vec![(Seq(4), Seq(5)), (Seq(1_900), Seq(6))])).await
    } => [
        "pin, seq 1900: seq of the pin event is 2000 in the source, 6 in the destination",
        "pin, seq 4: only in the destination",
    ];
    a_missing_pin: |to| changed(to, full(), 2_501, rows(|r| r.unpinned = vec![Seq(1_900)])).await => [
        "pin, seq 1900: missing in the destination",
    ];
    an_extra_event: |to| {
        let epoch = to.claim(pair()).await.unwrap();
        to.append(pair(), epoch, &[event(4)], &Projection { head: head(3).head, ..head(4) }).await.unwrap_err();
        let projection = Projection { head: super::super::super::RoomHead { seq: Seq(4), ..head(3).head }, ..head(4) };
        to.append(pair(), epoch, &[event(4)], &projection).await.unwrap();
        to.release(pair(), epoch).await.unwrap()
    } => [
        "head: seq is 3 in the source, 4 in the destination",
        "log, seq 4: only in the destination",
    ];
    a_sync_state: |to| to.put_sync_state(full(), "irc", bytes("x")).await.unwrap() => [
        "sync state, irc: state is 4 bytes fcec9150 in the source, 1 bytes 2d711642 in the destination",
    ];
    an_extra_sync_state: |to| to.put_sync_state(full(), "slack", bytes("x")).await.unwrap() => [
        "sync state, slack: only in the destination",
    ];
    a_cursor: |to| to.put_cursor("bus", full(), Seq(2_450)).await.unwrap() => [
        "cursor, bus: seq is 2400 in the source, 2450 in the destination",
    ];
    a_missing_job: |to| to.put_join_job(full(), None).await.unwrap() => ["join job: missing in the destination"];
    a_job: |to| to.put_join_job(full(), Some(bytes("x"))).await.unwrap() => [
        "join job: state is 3 bytes 5e8c9902 in the source, 1 bytes 2d711642 in the destination",
    ];
    an_active_room: |to| assert!(to.claim(pair()).await.is_ok()) => ["journal: only in the destination"];
    preferences: |to| to.put_prefs(BEN, full(), RoomPrefs { pinned: true, ..RoomPrefs::default() }).await.unwrap() => [
        "room list, user 2: preferences is RoomPrefs { pinned: false, muted_until_ms: 0, hidden_at: None, \
         hidden_messages: 0 } in the source, RoomPrefs { pinned: true, muted_until_ms: 0, hidden_at: None, \
         hidden_messages: 0 } in the destination",
    ];
    a_members_hidden_message: |to| assert!(to.hide_message(ANA, full(), Seq(8)).await.unwrap()) => [
        "hidden message, user 1, seq 8: only in the destination",
    ];
    a_former_members_hidden_message: |to| assert!(to.hide_message(EVA, full(), Seq(8)).await.unwrap()) => [
        "hidden message, user 3, seq 8: only in the destination",
    ];
    a_profile: |to| to.put_profile(UserId(77), bytes("x")).await.unwrap() => [
        "profile, user 77: body is 7 bytes 94527f33 in the source, 1 bytes 2d711642 in the destination",
    ];
    an_extra_profile: |to| to.put_profile(UserId(777), bytes("x")).await.unwrap() => [
        "profile, user 777: only in the destination",
    ];
    blocks: |to| {
        to.put_block(ANA, EVA, false).await.unwrap();
        to.put_block(ANA, BEN, true).await.unwrap()
    } => [
        "block, user 1, of 2: only in the destination",
        "block, user 1, of 3: missing in the destination",
    ];
    devices: |to| {
        to.remove_device(ANA, "web").await.unwrap();
        to.put_device(BEN, &device("tv", 9)).await.unwrap();
        to.put_device(BEN, &device("phone", 8)).await.unwrap()
    } => [
        "device, user 1, web: missing in the destination",
        "device, user 2, phone: body is 1 bytes 084fed08 in the source, 1 bytes beead779 in the destination",
        "device, user 2, phone: token hash is 03030303 in the source, 08080808 in the destination",
        "device, user 2, tv: only in the destination",
    ];
}

#[tokio::test]
async fn rooms() {
    let (from, to) = (town().await, memory());
    copied(&from, &to).await.unwrap();
    let (epoch, _) = filled(&*to, room(99), 1).await;
    let settings = Projection { room: Some(bytes("x")), ..head(1) };
    to.append(room(99), epoch, &[], &settings).await.unwrap();
    to.release(room(99), epoch).await.unwrap();
    assert_eq!(lines(&from, &to).await, [format!("room, room {}: only in the destination", room(99))]);
    assert_eq!(lines(&to, &from).await, [format!("room, room {}: missing in the destination", room(99))]);
}

/// Every field of a log row, and the look-ups that follow from it.
#[tokio::test]
async fn every_field_of_an_event() {
    let r = room(1);
    let base = || with_external(message(r, 2, 1), &external("irc", "c", "m"));
    let key = |change: &dyn Fn(&mut super::super::super::MessageKey)| {
        let mut record = base();
        change(record.message.as_mut().unwrap());
        record
    };
    let cases: Vec<(Record, &str)> = vec![
        (Record { n: Ordinal(9), ..base() }, "log, seq 2: n is 2 in the source, 9 in the destination"),
        (Record { kind: 9, ..base() }, "log, seq 2: kind is 1 in the source, 9 in the destination"),
        (Record { actor: UserId(9), ..base() }, "log, seq 2: actor is 1 in the source, 9 in the destination"),
        (Record { at_ms: 9, ..base() }, "log, seq 2: at_ms is 1700000000000 in the source, 9 in the destination"),
        (
            Record { message: None, ..base() },
            "log, seq 2: is a message is true in the source, false in the destination",
        ),
        (key(&|k| k.id = MessageId(5)), "log, seq 2: message id is 1000002 in the source, 5 in the destination"),
        (
            key(&|k| k.client_id = ClientMessageId("x".into())),
            "log, seq 2: client id is c1000002 in the source, x in the destination",
        ),
        (key(&|k| k.external = None), "external reference, irc/c/m: missing in the destination"),
    ];
    let store = async |second: &Record| {
        let store = memory();
        let epoch = store.claim(r).await.unwrap();
        let projection = Projection { room: Some(bytes("x")), ..head(2) };
        store.append(r, epoch, &[message(r, 1, 1), second.clone()], &projection).await.unwrap();
        store
    };
    let from = store(&base()).await;
    for (other, expected) in cases {
        let to = store(&other).await;
        let found = lines(&from, &to).await;
        assert!(found.iter().any(|line| line == expected), "{expected}\n{}", found.join("\n"));
    }
}

/// The list is bounded, the count is not, and the first one is the same every time.
#[tokio::test]
async fn of_many_the_first_ones_are_named() {
    let (from, to) = (town().await, memory());
    let verdict = compared(&from, &to).await;
    assert_eq!(verdict.differences_total, 22 + 150 + 2 * 2 + 3 + 2 + 1 + 1, "{:?}", verdict.differences);
    assert_eq!(verdict.differences.len(), 100);
    assert_eq!(verdict.differences, compared(&from, &to).await.differences);
}
