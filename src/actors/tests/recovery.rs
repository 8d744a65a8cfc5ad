//! What happens when appends fail and rooms die: every send ends in one message, and nobody misses it.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::*;
use crate::{
    actors::ops::JoinProgress,
    domain::room::{MemberPatch, Role},
    storage::{Outcome, RoomStore as _, UserStore as _, conformance},
};

#[tokio::test(start_paused = true)]
async fn a_killed_room_is_retried_exactly_once() {
    let town = Town::new().await;
    let room = town.group().await;
    let gate = town.store.hold();
    let sends: Vec<_> = (0..5).map(|i| town.saying(ANA, room, &i.to_string())).collect();
    settle().await;
    town.node.rooms().kill(room);
    settle().await;
    gate.add_permits(1);
    for send in sends {
        send.await.unwrap().unwrap();
    }
    let mut texts = town.texts(room).await;
    texts.sort_unstable();
    assert_eq!(texts, ["0", "1", "2", "3", "4"]);
}

/// The write was durable before the room died: the retry finds it.
#[tokio::test(start_paused = true)]
async fn a_room_killed_after_its_write_answers_with_it() {
    let town = Town::new().await;
    let room = town.group().await;
    let gate = Arc::new(Semaphore::new(0));
    town.store.script([Fate::WritesAndWaits(Arc::clone(&gate))]);
    let send = town.saying(ANA, room, "hi");
    settle().await;
    town.node.rooms().kill(room);
    settle().await;
    gate.add_permits(1);
    let ack = send.await.unwrap().unwrap();
    assert!(ack.duplicate);
    assert_eq!(town.texts(room).await, ["hi"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_certainly_not_written_is_answered_and_the_room_lives() {
    let town = Town::new().await;
    let room = town.group().await;
    let epoch = town.say(ANA, room, "before").await.epoch;
    for kind in [StoreErrorKind::Overloaded, StoreErrorKind::Invalid] {
        town.store.script([Fate::Fails(kind)]);
        let error = town.try_say(ANA, room, "c", "refused").await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(matches!(error, CallError::Store(e) if e.kind() == kind));
    }
    let after = town.say(ANA, room, "after").await;
    assert_eq!((after.epoch, after.message.seq), (epoch, Seq(3)), "the same incarnation, no gap");
}

#[tokio::test(start_paused = true)]
async fn what_may_be_written_is_answered_so_and_the_room_reads_the_truth() {
    for (fate, written) in
        [(Fate::WritesAndFails(StoreErrorKind::Timeout), true), (Fate::Fails(StoreErrorKind::Unavailable), false)]
    {
        let town = Town::new().await;
        let room = town.group().await;
        let epoch = town.say(ANA, room, "before").await.epoch;
        town.store.script([fate]);
        let error = town.try_say(ANA, room, "c", "perhaps").await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown);
        let again = town.try_say(ANA, room, "c", "perhaps").await.unwrap();
        assert_eq!(again.duplicate, written);
        assert!(again.epoch > epoch);
        assert_eq!(town.texts(room).await, ["before", "perhaps"]);
    }
}

/// Nobody knows what a call has done that panicked: the room reads the truth again.
#[tokio::test(start_paused = true)]
async fn an_append_that_panics_is_in_doubt_and_the_room_goes_on() {
    let town = Town::new().await;
    let room = town.group().await;
    town.store.script([Fate::Panics]);
    let error = town.try_say(ANA, room, "c", "hi").await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(!town.try_say(ANA, room, "c", "hi").await.unwrap().duplicate);
    assert_eq!(town.texts(room).await, ["hi"]);
}

/// A message whose write failed and happened all the same reaches those who listen without anybody writing again.
#[tokio::test(start_paused = true)]
async fn a_stream_hears_what_was_written_by_a_room_that_failed() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut stream = town.listen(BEN).await;
    town.store.script([Fate::WritesAndFails(StoreErrorKind::Timeout)]);
    town.try_say(ANA, room, "c", "perhaps").await.unwrap_err();
    assert_eq!(seqs(&events(&mut stream, 1).await), [2]);
    town.say(ANA, room, "next").await;
    assert_eq!(seqs(&events(&mut stream, 1).await), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_hears_what_was_written_by_a_room_that_was_killed() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut stream = town.listen(BEN).await;
    let gate = Arc::new(Semaphore::new(0));
    town.store.script([Fate::WritesAndWaits(Arc::clone(&gate))]);
    let send = town.saying(ANA, room, "hi");
    settle().await;
    town.node.rooms().kill(room);
    gate.add_permits(1);
    send.await.unwrap().unwrap();
    assert_eq!(seqs(&events(&mut stream, 1).await), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_fenced_room_is_retried_on_the_next_incarnation() {
    let town = Town::new().await;
    let room = town.group().await;
    let epoch = town.say(ANA, room, "before").await.epoch;
    let newer = town.store.claim(room).await.unwrap();
    let sends: Vec<_> = (0..5).map(|i| town.saying(ANA, room, &i.to_string())).collect();
    for send in sends {
        assert!(send.await.unwrap().unwrap().epoch > newer);
    }
    assert!(newer > epoch);
    assert_eq!(town.texts(room).await.len(), 6);
    let added = town.node.add_members(ANA, room, vec![UserId(7)]).await.unwrap();
    assert_eq!(added, [UserId(7)]);
    town.store.claim(room).await.unwrap();
    let added = town.node.add_members(ANA, room, vec![UserId(8)]).await.unwrap();
    assert_eq!(added, [UserId(8)], "commands too");
    town.store.claim(room).await.unwrap();
    let patch = MemberPatch { role: Some(Role::Admin), ..MemberPatch::default() };
    let ben = town.node.change_member(ANA, room, BEN.user, patch).await.unwrap();
    assert_eq!(ben.member.unwrap().role, Role::Admin, "the answer comes from the incarnation that did it");
}

#[tokio::test(start_paused = true)]
async fn a_fenced_send_with_an_external_reference_is_retried_too() {
    let town = Town::new().await;
    let room = town.group().await;
    town.store.claim(room).await.unwrap();
    let external = crate::domain::ids::ExternalRef {
        source: String::from("irc"),
        chat: String::from("#c"),
        message: String::from("1"),
    };
    let draft = Draft { external: Some(external), ..text("twin") };
    town.node.send(ANA, room, draft, id("c")).await.unwrap();
}

/// Two nodes that both believe to own a room: the log stays one.
#[tokio::test(start_paused = true)]
async fn two_nodes_take_a_room_from_each_other_and_lose_nothing() {
    let town = Town::new().await;
    let room = town.group().await;
    let other = town.another_node().await;
    for i in 0..10 {
        let node = if i % 2 == 0 { &town.node } else { &other };
        let client = i.to_string();
        node.send(ANA, room, text(&client), id(&client)).await.unwrap();
    }
    let expected: Vec<String> = (0..10).map(|i| i.to_string()).collect();
    assert_eq!(town.texts(room).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_keeps_failing_is_left_alone_for_a_while() {
    let town = Town::new().await;
    let room = town.group().await;
    town.store.script(vec![Fate::Fails(StoreErrorKind::Unavailable); 5]);
    for i in 0..5 {
        let answer = town.try_say(ANA, room, "c", "hi").await;
        assert!(matches!(answer, Err(CallError::Store(_))), "{i}: {answer:?}");
        settle().await;
    }
    let answer = town.try_say(ANA, room, "c", "hi").await;
    let Err(CallError::Failed { retry_after_ms, is_of_store: true }) = answer else {
        panic!("{answer:?}");
    };
    assert!(retry_after_ms > 0 && retry_after_ms <= 5_000);
    tokio::time::sleep(Duration::from_millis(retry_after_ms + 1)).await;
    town.try_say(ANA, room, "c", "hi").await.unwrap();
    assert_eq!(town.texts(room).await, ["hi"]);
}

#[tokio::test(start_paused = true)]
async fn rooms_that_were_awake_are_woken_after_a_crash() {
    let town = Town::new().await;
    let (room, asleep) = (town.group().await, town.group().await);
    town.say(ANA, room, "unpublished").await;
    town.sleep(asleep).await;
    let mut bus = town.bus.subscribe();
    let node = town.another_node().await;
    assert_eq!(node.recover().await.unwrap(), 1);
    let mut published = Vec::new();
    while published.len() < 2 {
        let heard = timeout(PATIENCE, bus.recv()).await.unwrap().unwrap();
        published.push(heard.id());
    }
    assert_eq!(published, [format!("{room}:1"), format!("{room}:2")]);
}

#[tokio::test(start_paused = true)]
async fn rooms_that_cannot_be_woken_hold_up_no_other() {
    let town = Town::new().await;
    for number in 1..=40 {
        // Bodies that are no events.
        conformance::filled(&*town.store, conformance::room(number), 1).await;
    }
    let room = town.group().await;
    let node = town.another_node().await;
    let found = timeout(PATIENCE, node.recover()).await.expect("a start waits for no room");
    assert_eq!(found.unwrap(), 41);
    settle().await;
    timeout(PATIENCE, async {
        while node.rooms().awake(room).is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("it is woken, whatever came before it");
}

#[tokio::test(start_paused = true)]
async fn the_bus_goes_on_where_it_was() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut bus = town.bus.subscribe();
    town.say(ANA, room, "one").await;
    assert_eq!(bus.recv().await.unwrap().id(), format!("{room}:2"));
    town.sleep(room).await;
    town.say(ANA, room, "two").await;
    assert_eq!(bus.recv().await.unwrap().id(), format!("{room}:3"), "and not from the beginning");
}

#[tokio::test(start_paused = true)]
async fn everyone_is_added_and_the_job_goes_on_after_a_crash() {
    let town = Town::new().await;
    for user in 1..=1_200 {
        town.store.put_profile(UserId(user), codec::encode_profile("x", "")).await.unwrap();
    }
    let new = NewRoom { join_all_users: true, ..new_room(RoomType::Channel, "all", &[]) };
    let (summary, _) = town.node.create_room(ANA, new).await.unwrap();
    let room = summary.info.id;
    let done = |node: Node| async move {
        while !node.join_progress(ANA, room).await.unwrap().done {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        node.join_progress(ANA, room).await.unwrap()
    };
    let all = JoinProgress { processed: 1_200, total: 1_200, done: true, stopped: None };
    assert_eq!(done(town.node.clone()).await, all);
    assert_eq!(town.node.room(ANA, room).await.unwrap().head.members, 1_200);
    assert_eq!(town.log(room).await.len(), 1 + 3);

    // The first half was done when the process died.
    town.node.remove_members(ANA, room, (700..=1_200).map(UserId).collect()).await.unwrap();
    let job = codec::JoinJob { after: UserId(500), processed: 500, ..Default::default() };
    town.store.put_join_job(room, Some(codec::encode_join_job(&job))).await.unwrap();
    let node = town.another_node().await;
    node.recover().await.unwrap();
    assert_eq!(done(node.clone()).await, all);
    assert_eq!(node.room(ANA, room).await.unwrap().head.members, 1_200);
}

/// A room that cannot take everyone is filled and says so, and goes on when it can take more.
#[tokio::test(start_paused = true)]
async fn adding_everyone_stops_at_a_full_room_and_says_so() {
    let mut town = Town::with(|o| o.members_max = 700).await;
    for user in 1..=1_200 {
        town.store.put_profile(UserId(user), codec::encode_profile("x", "")).await.unwrap();
    }
    let new = NewRoom { join_all_users: true, ..new_room(RoomType::Channel, "all", &[]) };
    let room = town.node.create_room(ANA, new).await.unwrap().0.info.id;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let stopped = town.node.join_progress(ANA, room).await.unwrap();
    assert_eq!(town.node.room(ANA, room).await.unwrap().head.members, 700, "every place is taken");
    let full = JoinProgress { processed: 700, total: 1_200, done: false, stopped: Some(Reject::TooManyMembers) };
    assert_eq!(stopped, full);

    town.options.members_max = 10_000;
    let node = town.another_node().await;
    node.recover().await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let all = JoinProgress { processed: 1_200, total: 1_200, done: true, stopped: None };
    assert_eq!(node.join_progress(ANA, room).await.unwrap(), all);
}

/// A creation whose answer was lost with the process is found by its maker's own id.
#[tokio::test(start_paused = true)]
async fn a_creation_is_repeated_after_a_crash() {
    let town = Town::new().await;
    let new = || NewRoom { client_room_id: String::from("g"), ..new_room(RoomType::Group, "g", &[BEN.user]) };
    let (first, made) = town.node.create_room(ANA, new()).await.unwrap();
    assert!(made);
    town.node.kill();
    let node = town.another_node().await;
    let (again, made) = node.create_room(ANA, new()).await.unwrap();
    assert_eq!((again.info.id, made), (first.info.id, false));
    let other = NewRoom { description: String::from("x"), ..new() };
    assert_eq!(rejected(node.create_room(ANA, other).await), Reject::ClientRoomIdReused);
    let theirs = NewRoom { participants: vec![ANA.user], ..new() };
    let theirs = node.create_room(BEN, theirs).await.unwrap().0;
    assert_ne!(theirs.info.id, first.info.id);
}
