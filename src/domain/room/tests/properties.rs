//! What holds in every room after every step of every life.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use proptest::prelude::*;

use super::{
    life::{a_command, a_draft, a_life, an_author},
    world::{Done, Step, World},
};
use crate::domain::{
    event::{Event, EventBody},
    ids::{MessageId, Seq, UserId},
    message::MessageType,
    position::Position,
    room::{Author, Batch, Change, Role, RoomInfo, RoomState, RoomType, Send, Sent, Subject},
    unread::Uncounted,
};

fn lives() -> ProptestConfig {
    ProptestConfig::with_cases(256)
}

/// Numbers have no gaps, ids grow, and no client id is in the log twice.
fn check_log(log: &[Event]) {
    let (mut n, mut id) = (0, MessageId(0));
    let mut sent = HashSet::new();
    for (event, seq) in log.iter().zip(1..) {
        assert_eq!(event.seq, Seq(seq));
        if let Some(message) = event.message() {
            n += 1;
            assert_eq!((message.seq, message.n.0), (event.seq, n));
            assert!(message.id > id, "ids of a room grow, whatever the clock does");
            id = message.id;
            let key = (message.sender, message.client_id.clone());
            assert!(sent.insert(key), "{} has two effects", message.client_id);
        }
        assert_eq!(event.n.0, n);
    }
}

fn check_members(world: &World) {
    let state = &world.state;
    let info = state.info.as_ref().unwrap();
    let owners = state.members.values().filter(|m| m.role == Role::Owner).count();
    assert!(state.members.is_empty() || owners > 0, "members without an owner");
    assert!(state.members.len() <= super::MEMBERS_MAX);
    if info.room_type == RoomType::P2p {
        assert_eq!(state.members.len(), 2, "a p2p room has two sides for ever");
    }
}

fn check_positions(world: &World, before: &BTreeMap<UserId, Position>) {
    for (user, position) in before {
        assert_eq!(world.position(*user).merge(*position), world.position(*user), "a position moved back");
    }
    for user in world.state.members.keys() {
        assert_eq!(world.state.unread(*user), world.naive_unread(*user), "unread of {user}");
        let position = world.position(*user);
        assert!(position.delivered_seq >= position.read_seq);
        assert!(position.seen() <= world.state.head.n);
    }
}

fn check_messages(world: &World) {
    let mut pins = Vec::new();
    for message in world.messages.values() {
        let mut given: BTreeMap<&str, u32> = BTreeMap::new();
        for (_, _, reaction) in world.reactions.iter().filter(|(seq, ..)| *seq == message.seq) {
            *given.entry(reaction).or_default() += 1;
        }
        let counted: BTreeMap<&str, u32> = message.reactions.iter().map(|(r, c)| (r.as_str(), *c)).collect();
        assert_eq!(counted, given, "reactions of {}", message.seq);
        if message.pinned {
            pins.push(message.seq);
        }
        if message.deleted {
            assert!(message.draft.content.is_empty() && message.draft.attachments.is_empty());
            assert!(!message.pinned);
        }
    }
    let mut kept: Vec<Seq> = world.state.pins.iter().map(|(seq, _)| *seq).collect();
    kept.sort_unstable();
    assert_eq!(kept, pins);
    for message in world.state.tail() {
        assert_eq!(message, &world.messages[&message.seq], "the warm view shows the present state");
    }
    let newer = world.messages.range(world.state.tail_after().next()..);
    assert_eq!(newer.count(), world.state.tail().len(), "the tail is complete after `tail_after`");
}

/// Of a deletion, every place in the log that holds the text is named.
fn check_redacted(log: &[Event], change: &Change) {
    for event in &change.events {
        let EventBody::Deleted(target) = &event.body else {
            assert!(change.redacted.is_empty());
            continue;
        };
        let mut holding = vec![target.seq];
        holding.extend(log.iter().filter_map(|event| match &event.body {
            EventBody::Edited(message) if message.seq == target.seq => Some(event.seq),
            _ => None,
        }));
        assert_eq!(change.redacted, holding);
    }
}

fn check(world: &World, done: &Done) {
    check_log(&world.log);
    assert_eq!(world.state.head, world.recounted_head());
    check_members(world);
    check_positions(world, &done.before.positions);
    check_messages(world);
    check_redacted(&world.log, &done.change);
    check_silence(done);
    assert!(done.change.events.iter().all(|e| e.room == world.state.id));
}

/// Whoever looked a client id up as far as the room says is told of a message behind that, or to look again.
fn check_known(world: &World) {
    for message in world.messages.values().filter(|m| m.seq > world.state.known_after()) {
        assert_eq!(world.state.recent(message.sender, &message.client_id), Some(message.seq));
        let mut batch = Batch::new(&world.state, 0);
        let again = Send {
            author: Author { user: message.sender, admin: true },
            draft: Arc::clone(&message.draft),
            client_id: message.client_id.clone(),
            hash: message.hash,
            absent_until: world.state.known_after(),
        };
        match batch.send(&again, |id| id) {
            Ok(Sent::Before(found)) => assert_eq!(&found, message),
            Ok(Sent::LookAgain) => assert!(message.seq <= world.state.tail_after()),
            other => panic!("{} is sent again: {other:?}", message.client_id),
        }
    }
}

/// Whether the user is silent in this room, said once more in other words than the rule's; and whether they may nod.
fn silent(state: &RoomState, user: UserId) -> Option<bool> {
    let (info, member) = (state.live_info()?, state.members.get(&user)?);
    if info.room_type == RoomType::P2p {
        return state.blocked.then_some(false);
    }
    match (member.can_send, info.members_can_send, member.role) {
        (Some(false), ..) => Some(false),
        (None, false, Role::Member) => Some(true),
        _ => None,
    }
}

/// Nothing that a silent author does can be noticed by others, but that they took something back, went, or moderate.
fn check_silence(done: &Done) {
    let before = &done.before;
    for event in &done.change.events {
        let Some(may_nod) = silent(before, event.actor) else { continue };
        let quiet = match &event.body {
            EventBody::Message(message) => message.draft.message_type == MessageType::System,
            EventBody::Edited(_) | EventBody::Pinned { .. } => false,
            EventBody::Reacted { removed: true, .. } | EventBody::Deleted(_) => true,
            EventBody::Reacted { target, reaction, .. } => {
                let there =
                    || before.warm_message(target.seq).is_none_or(|m| m.reactions.iter().any(|(r, _)| r == reaction));
                may_nod && (reaction == "👍" || there())
            }
            EventBody::MemberChanged { user, member } => {
                member.nickname.is_empty() || member.nickname == before.members[user].nickname
            }
            EventBody::InfoChanged(info) => {
                let texts = |info: &RoomInfo| [info.name.clone(), info.description.clone(), info.picture.clone()];
                texts(info) == texts(before.info.as_deref().unwrap())
            }
            EventBody::Created { .. } | EventBody::Joined { .. } | EventBody::Left { .. } | EventBody::Closed => true,
        };
        assert!(quiet, "heard of {}: {event:?}", event.actor);
    }
    for (user, after) in &done.change.positions {
        if before.blocked && before.live_info().is_some_and(|info| info.room_type == RoomType::P2p) {
            let now = before.position(*user);
            let shown = now.merge(*after);
            assert_eq!((shown.read_seq, shown.delivered_seq), (now.read_seq, now.delivered_seq));
        }
    }
}

/// The room as the log alone tells it, with the messages' present states beside it.
fn replayed(world: &World) -> RoomState {
    let mut state = RoomState::empty(world.state.id, world.state.epoch, usize::MAX);
    for event in &world.log {
        state.apply_event(event);
    }
    state.warm(Seq(0), world.messages.values().cloned());
    state
}

proptest! {
    #![proptest_config(lives())]

    #[test]
    fn invariants_hold_after_every_step((room_type, tail_max, steps) in a_life()) {
        let (mut world, done) = World::new(room_type, tail_max);
        check(&world, &done);
        for step in steps {
            if let Some(done) = world.step(step) {
                check(&world, &done);
            }
        }
    }

    #[test]
    fn the_log_alone_tells_the_room((room_type, tail_max, steps) in a_life()) {
        let (mut world, _) = World::new(room_type, tail_max);
        for step in steps {
            world.step(step);
        }
        let replayed = replayed(&world);
        prop_assert_eq!(&replayed.head, &world.state.head);
        prop_assert_eq!(&replayed.info, &world.state.info);
        prop_assert_eq!(&replayed.members, &world.state.members);
        prop_assert_eq!(&replayed.pins, &world.state.pins);
        prop_assert_eq!(Uncounted::of_log(&world.log), Uncounted::clone(&world.state.uncounted));
        let tail: Vec<_> = replayed.tail().iter().rev().take(world.state.tail().len()).collect();
        prop_assert_eq!(tail, world.state.tail().iter().rev().collect::<Vec<_>>());
        for (user, position) in &replayed.positions {
            let live = world.position(*user);
            prop_assert_eq!(position.sent_n, live.sent_n);
            prop_assert_eq!(live.merge(*position), live);
        }
    }

    /// A room that keeps few bytes warm, and lets all of them go now and then, does what a room does that keeps all.
    #[test]
    fn a_budget_of_bytes_changes_no_answer(
        (room_type, tail_max, steps) in a_life(),
        bytes in 0usize..6_000,
        cool_every in 1usize..8,
    ) {
        let (mut all, _) = World::new(room_type, usize::MAX);
        let (few, _) = World::new(room_type, tail_max);
        let mut few = few.with_tail_bytes(bytes);
        for (i, step) in steps.into_iter().enumerate() {
            // What the one that keeps all would forget by sleeping is not compared.
            if !matches!(step, Step::Reload(_)) {
                all.step(step.clone());
            }
            few.step(step);
            check_messages(&few);
            let tail = few.state.tail();
            prop_assert!(few.state.tail_bytes() <= bytes || tail.len() == 1, "{} of {bytes}", few.state.tail_bytes());
            prop_assert!(few.state.bytes() > few.state.tail_bytes());
            check_known(&few);
            if i % cool_every == 0 {
                few.state.cool();
                prop_assert_eq!(few.state.tail_bytes(), 0);
                prop_assert_eq!(few.state.tail_after(), few.state.head.message_seq);
                check_known(&few);
            }
        }
        prop_assert_eq!(&all.log, &few.log);
        prop_assert_eq!(&all.messages, &few.messages);
        prop_assert_eq!(&all.state.positions, &few.state.positions);
    }

    /// Also with a subject that has nothing to do with the command, and before the room was made.
    #[test]
    fn deciding_never_panics(
        (room_type, tail_max, steps) in a_life(),
        author in an_author(),
        command in a_command(),
        draft in a_draft(),
        has_reaction: bool,
        now_ms: i64,
        members_max in 0usize..10,
        born: bool,
    ) {
        let (mut world, _) = World::new(room_type, tail_max);
        for step in steps {
            world.step(step);
        }
        let state = if born { world.state.clone() } else { RoomState::empty(world.state.id, world.state.epoch, 1) };
        let message = world.messages.values().next_back().cloned();
        let subject = Subject { message, has_reaction };
        let _ = state.decide(author, &command, &subject, now_ms, members_max);
        let _ = state.decide(author, &command, &Subject::default(), now_ms, members_max);
        let mut batch = Batch::new(&state, now_ms);
        let _ = batch.send(&super::send(author, "any", draft), |id| id);
        let _ = batch.clear(author);
    }
}
