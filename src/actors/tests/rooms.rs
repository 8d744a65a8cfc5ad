//! A room's actor: one append at a time, what queued goes next, bounds, failures, sleep.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use super::*;
use crate::{clock::Clock, domain::room::MemberPatch};

#[tokio::test(start_paused = true)]
async fn one_append_at_a_time_and_what_queued_goes_as_the_next_batch() {
    let town = Town::new().await;
    let room = town.group().await;
    let gate = town.store.hold();
    let first = town.saying(ANA, room, "first");
    settle().await;
    let mut queued = Vec::new();
    for i in 0..10 {
        queued.push(town.saying(BEN, room, &format!("queued {i}")));
        settle().await;
    }
    settle().await;
    assert_eq!(town.store.batches(), [1, 1], "the creation, and the first send");
    let observed = town.node.rooms().awake(room).unwrap().observe().await.unwrap();
    assert_eq!((observed.queued, observed.in_flight), (10, 1));
    gate.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap().message.seq, Seq(2));
    let mut acked = Vec::new();
    for send in queued {
        acked.push(send.await.unwrap().unwrap().message.seq.0);
    }
    assert_eq!(acked, (3..=12).collect::<Vec<_>>(), "in the order they came");
    assert_eq!(town.store.batches(), [1, 1, 10]);
    assert_eq!(town.store.most_running(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_bound_and_stops_before_a_command() {
    let town = Town::with(|o| o.batch_max = 4).await;
    let room = town.group().await;
    let gate = town.store.hold();
    let mut sends = vec![town.saying(ANA, room, "first")];
    settle().await;
    sends.extend((0..6).map(|i| town.saying(ANA, room, &i.to_string())));
    settle().await;
    let node = town.node.clone();
    let joined = spawn(async move { node.add_members(ANA, room, vec![UserId(7)]).await });
    settle().await;
    sends.extend((6..9).map(|i| town.saying(ANA, room, &i.to_string())));
    settle().await;
    gate.add_permits(1);
    for send in sends {
        send.await.unwrap().unwrap();
    }
    assert_eq!(joined.await.unwrap().unwrap(), [UserId(7)]);
    assert_eq!(town.store.batches(), [1, 1, 4, 2, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_durable_is_seen_nowhere() {
    let town = Town::new().await;
    let room = town.group().await;
    let mut stream = town.listen(BEN).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    town.store.script([Fate::WritesAndWaits(Arc::clone(&gate))]);
    let send = town.saying(ANA, room, "hi");
    settle().await;
    assert!(!send.is_finished());
    let page = town.node.history(BEN, room, crate::actors::ops::PageAt::Newest, 10).await.unwrap();
    assert!(page.messages.is_empty());
    assert!(is_quiet(&mut stream).await);
    gate.add_permits(1);
    assert_eq!(send.await.unwrap().unwrap().message.seq, Seq(2));
    assert_eq!(seqs(&events(&mut stream, 1).await), [2]);
}

#[tokio::test(start_paused = true)]
async fn over_the_bound_the_answer_comes_at_once_and_nothing_accepted_is_lost() {
    let town = Town::with(|o| o.queue_max = 5).await;
    let room = town.group().await;
    let gate = town.store.hold();
    let mut accepted = Vec::new();
    for i in 0..5 {
        accepted.push(town.saying(ANA, room, &i.to_string()));
        settle().await;
    }
    settle().await;
    let refused = town.try_say(ANA, room, "one more", "x").await;
    assert!(matches!(refused, Err(CallError::Overloaded)));
    gate.add_permits(1);
    for send in accepted {
        send.await.unwrap().unwrap();
    }
    assert_eq!(town.texts(room).await, ["0", "1", "2", "3", "4"]);
    town.say(ANA, room, "room again").await;
}

#[tokio::test(start_paused = true)]
async fn the_node_has_a_bound_over_all_rooms() {
    let town = Town::with(|o| o.in_flight_max = 2).await;
    let (one, other) = (town.group().await, town.group().await);
    let gate = town.store.hold();
    let accepted = [town.saying(ANA, one, "0"), town.saying(ANA, one, "1")];
    settle().await;
    let refused = town.try_say(ANA, other, "2", "2").await;
    assert!(matches!(refused, Err(CallError::Overloaded)));
    gate.add_permits(1);
    for send in accepted {
        send.await.unwrap().unwrap();
    }
    town.say(ANA, other, "2").await;
}

/// More callers than a room keeps messages warm: each of them is answered, at the first try or a later one.
#[tokio::test(start_paused = true)]
async fn a_full_queue_of_busy_senders_is_served() {
    let town = Town::with(|o| {
        o.queue_max = 256;
        o.batch_max = 32;
        o.warm_messages = 64;
    })
    .await;
    let room = town.group().await;
    town.store.delay(Duration::from_millis(2));
    let sender = |who: usize| {
        let node = town.node.clone();
        spawn(async move {
            for i in 0..20 {
                let answer = node.send(ANA, room, text("x"), id(&format!("{who} {i}"))).await;
                assert!(answer.is_ok(), "send {i} of {who}: {answer:?}");
            }
        })
    };
    let senders: Vec<_> = (0..250).map(sender).collect();
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(town.texts(room).await.len(), 250 * 20);
}

#[tokio::test(start_paused = true)]
async fn sending_again_is_answered_as_before() {
    let town = Town::with(|o| o.warm_messages = 2).await;
    let room = town.group().await;
    let first = town.say(ANA, room, "first").await;
    assert!(!first.duplicate);
    for i in 0..5 {
        town.say(BEN, room, &i.to_string()).await;
    }
    for _ in 0..2 {
        let again = town.say(ANA, room, "first").await;
        assert!(again.duplicate);
        assert_eq!(again.message.id, first.message.id);
        town.sleep(room).await;
    }
    let other = town.try_say(ANA, room, "first", "other").await;
    assert_eq!(rejected(other), Reject::ClientMessageIdReused);
    assert_eq!(town.texts(room).await.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_client_id_counts_in_all_rooms() {
    let town = Town::new().await;
    let (one, other) = (town.group().await, town.group().await);
    town.try_say(ANA, one, "c", "hi").await.unwrap();
    let elsewhere = town.try_say(ANA, other, "c", "hi").await;
    assert_eq!(rejected(elsewhere), Reject::ClientMessageIdReused);
}

/// Neither is durable when the other one comes, and nobody waits for the first one any more.
#[tokio::test(start_paused = true)]
async fn a_client_id_counts_in_all_rooms_at_once() {
    let town = Town::new().await;
    let (one, other) = (town.group().await, town.group().await);
    let gate = town.store.hold();
    let first = town.saying(ANA, one, "c");
    settle().await;
    first.abort();
    assert_eq!(rejected(town.try_say(ANA, other, "c", "c").await), Reject::ClientMessageIdReused);
    gate.add_permits(1_000);
    settle().await;
    assert_eq!(town.texts(one).await, ["c"]);
    assert!(town.try_say(ANA, one, "c", "c").await.unwrap().duplicate);
    assert_eq!(rejected(town.try_say(ANA, other, "c", "c").await), Reject::ClientMessageIdReused);
    assert!(town.texts(other).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_same_send_at_once_is_one_message() {
    let town = Town::new().await;
    let room = town.group().await;
    let sends: Vec<_> = (0..20).map(|_| town.saying(ANA, room, "same")).collect();
    let mut fresh = 0;
    for send in sends {
        fresh += usize::from(!send.await.unwrap().unwrap().duplicate);
    }
    assert_eq!(fresh, 1);
    assert_eq!(town.texts(room).await, ["same"]);
}

#[tokio::test(start_paused = true)]
async fn an_external_reference_is_taken_once() {
    let town = Town::new().await;
    let room = town.group().await;
    let twin = |n: &str| crate::domain::ids::ExternalRef {
        source: String::from("irc"),
        chat: String::from("#c"),
        message: n.to_owned(),
    };
    let send = |client: &'static str, n: &'static str| {
        let node = town.node.clone();
        let draft = Draft { external: Some(twin(n)), ..text(client) };
        spawn(async move { node.send(ANA, room, draft, id(client)).await })
    };
    let plain = town.saying(BEN, room, "plain");
    let twins = [send("a", "1"), send("b", "1"), send("c", "2")];
    plain.await.unwrap().unwrap();
    let mut answers = Vec::new();
    for send in twins {
        answers.push(send.await.unwrap());
    }
    let taken: Vec<_> = answers.into_iter().filter(Result::is_err).map(rejected).collect();
    assert_eq!(taken, [Reject::ExternalRefTaken], "and nobody else suffers");
    let found = town.node.message_by_external(ANA, &twin("2")).await.unwrap();
    assert_eq!(found.messages[0].draft.content, "c");
}

#[tokio::test(start_paused = true)]
async fn an_idle_room_sleeps_and_wakes_as_it_was() {
    let town = Town::new().await;
    let room = town.group().await;
    town.say(ANA, room, "before").await;
    assert_eq!(town.store.active_rooms(None, 10).await.unwrap(), [room]);
    tokio::time::sleep(Duration::from_secs(180)).await;
    settle().await;
    assert!(town.node.rooms().awake(room).is_none());
    assert!(town.store.active_rooms(None, 10).await.unwrap().is_empty(), "out of the journal");
    let ack = town.say(BEN, room, "after").await;
    assert_eq!((ack.message.seq, ack.message.n.0), (Seq(3), 2));
    assert!(ack.epoch.0 > 1, "a new incarnation, a new epoch");
    assert_eq!(town.texts(room).await, ["before", "after"]);
}

/// Says what it is told to.
#[derive(Debug)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_keeps_no_room_awake() {
    let town = Town::new().await;
    let clock = Arc::new(SetClock(NOW_MS.into()));
    let shared: SharedClock = Arc::clone(&clock) as _;
    let node = start(&town.store, &town.bus, &shared, &town.options).await;
    let (summary, _) = node.create_room(ANA, new_room(RoomType::Group, "g", &[BEN.user])).await.unwrap();
    clock.0.store(NOW_MS - 3_600_000, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(180)).await;
    settle().await;
    assert!(node.rooms().awake(summary.info.id).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_busy_room_does_not_sleep() {
    let town = Town::new().await;
    let room = town.group().await;
    let gate = town.store.hold();
    let send = town.saying(ANA, room, "hi");
    settle().await;
    assert!(!town.node.rooms().passivate(room).await);
    gate.add_permits(1);
    send.await.unwrap().unwrap();
    town.sleep(room).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_over_many_sleeps() {
    let town = Town::new().await;
    let room = town.group().await;
    town.store.delay(Duration::from_millis(1));
    let sender = |who: usize| {
        let node = town.node.clone();
        spawn(async move {
            for i in 0..40 {
                let client = format!("{who} {i}");
                node.send(ANA, room, text(&client), id(&client)).await.unwrap();
                tokio::time::sleep(Duration::from_millis(u64::try_from(who % 5).unwrap())).await;
            }
        })
    };
    let senders: Vec<_> = (0..8).map(sender).collect();
    let mut sleeps = 0;
    while !senders.iter().all(tokio::task::JoinHandle::is_finished) {
        sleeps += usize::from(town.node.rooms().passivate(room).await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    assert!(sleeps > 5, "only {sleeps}");
    let mut texts = town.texts(room).await;
    texts.sort_unstable();
    let mut expected: Vec<String> = (0..8).flat_map(|who| (0..40).map(move |i| format!("{who} {i}"))).collect();
    expected.sort_unstable();
    assert_eq!(texts, expected);
}

#[tokio::test(start_paused = true)]
async fn a_drained_node_finishes_and_takes_no_more() {
    let town = Town::new().await;
    let (room, sleeping) = (town.group().await, town.group().await);
    town.sleep(sleeping).await;
    let gate = town.store.hold();
    let send = town.saying(ANA, room, "last");
    settle().await;
    let node = town.node.clone();
    let drained = spawn(async move { node.drain(Duration::from_secs(5)).await });
    settle().await;
    assert!(matches!(town.try_say(ANA, sleeping, "late", "late").await, Err(CallError::Draining)));
    gate.add_permits(1);
    send.await.unwrap().unwrap();
    assert!(drained.await.unwrap());
    assert!(town.store.active_rooms(None, 10).await.unwrap().is_empty());
    assert_eq!(town.texts(room).await, ["last"]);
}

/// A room that is being woken when the node goes down sleeps as soon as it is awake.
#[tokio::test(start_paused = true)]
async fn a_drained_node_waits_for_a_waking_room() {
    let town = Town::new().await;
    let room = town.group().await;
    town.sleep(room).await;
    let node = town.node.clone();
    let waking = spawn(async move { node.rooms().wake(room, false).await });
    while town.store.active_rooms(None, 10).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(town.node.drain(Duration::from_secs(5)).await);
    waking.await.unwrap().unwrap();
    assert!(town.store.active_rooms(None, 10).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_creators_of_a_pair_get_one_room() {
    let town = Town::new().await;
    let make = |who: Author, other: Author| {
        let node = town.node.clone();
        spawn(async move { node.create_room(who, new_room(RoomType::P2p, "", &[other.user])).await })
    };
    let calls = [make(ANA, BEN), make(BEN, ANA), make(ANA, BEN)];
    let mut answers = Vec::new();
    for call in calls {
        let (summary, made) = call.await.unwrap().unwrap();
        answers.push((summary.info.id, made));
    }
    assert!(answers.iter().all(|(id, _)| *id == answers[0].0));
    assert_eq!(answers.iter().filter(|(_, made)| *made).count(), 1);
    assert_eq!(town.log(answers[0].0).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_changed_member_is_answered_as_it_is() {
    let town = Town::new().await;
    let room = town.group().await;
    let patch = MemberPatch { nickname: Some(String::from("Benito")), ..MemberPatch::default() };
    let person = town.node.change_member(BEN, room, BEN.user, patch).await.unwrap();
    assert_eq!(person.member.unwrap().nickname, "Benito");
}
