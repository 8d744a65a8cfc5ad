//! Batches: one effect a client id, wherever the first one is.

use std::sync::Arc;

use super::{Fixture, MEMBER, OTHER, OWNER, next_id, room, send, text, user};
use crate::domain::{
    ids::{Epoch, MessageId, Seq, UserId},
    message::Message,
    reject::Reject,
    room::{Batch, ReadTo, RoomState, RoomType, Sent},
    snowflake::Snowflakes,
};

/// A room that keeps one message warm, and knows no more of the first one's client id (`1`).
fn evicted() -> (RoomState, Arc<Message>) {
    let mut state = RoomState::empty(super::ROOM, Epoch(1), 1);
    let created = room(RoomType::Group);
    state.head = created.state.head;
    state.info.clone_from(&created.state.info);
    state.members.clone_from(&created.state.members);
    let mut batch = Batch::new(&state, 1);
    batch.send(&send(user(OWNER), "1", text("first")), next_id).unwrap();
    for client in ["2", "3", "4", "5", "6"] {
        batch.send(&send(user(OWNER), client, text("later")), next_id).unwrap();
    }
    let change = batch.finish();
    state.apply(&change);
    (state, change.events[0].message().unwrap().clone())
}

#[test]
fn a_batch_numbers_its_messages_in_order() {
    let room = room(RoomType::Group);
    let mut batch = Batch::new(&room.state, 5);
    for (i, client) in ["a", "b", "c"].iter().enumerate() {
        let sent = batch.send(&send(user(OWNER), client, text("hi")), next_id);
        assert_eq!(sent, Ok(Sent::New(i)));
    }
    let numbers: Vec<_> = batch.events().iter().map(|e| (e.seq.0, e.n.0)).collect();
    assert_eq!(numbers, [(2, 1), (3, 2), (4, 3)]);
}

#[test]
fn the_same_client_id_in_one_batch_is_one_message() {
    let room = room(RoomType::Group);
    let mut batch = Batch::new(&room.state, 5);
    assert_eq!(batch.send(&send(user(OWNER), "a", text("hi")), next_id), Ok(Sent::New(0)));
    assert_eq!(batch.send(&send(user(OWNER), "a", text("hi")), next_id), Ok(Sent::Again(0)));
    assert_eq!(batch.send(&send(user(OWNER), "a", text("ho")), next_id), Err(Reject::ClientMessageIdReused));
    assert_eq!(batch.send(&send(user(OTHER), "a", text("ho")), next_id), Ok(Sent::New(1)), "ids are the sender's own");
    assert_eq!(batch.finish().events.len(), 2);
}

#[test]
fn the_same_client_id_in_the_tail_is_the_first_message() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(MEMBER), "hi").unwrap();
    let first = room.state.warm_message(seq).unwrap().clone();
    let again = send(user(MEMBER), &first.client_id.0, text("hi"));
    let other = send(user(MEMBER), &first.client_id.0, text("ho"));
    let mut batch = Batch::new(&room.state, 5);
    assert_eq!(batch.send(&again, next_id), Ok(Sent::Before(first)));
    assert_eq!(batch.send(&other, next_id), Err(Reject::ClientMessageIdReused));
    assert!(batch.finish().is_empty());
}

/// Whoever leaves after sending still learns what became of the send, and sends nothing new.
#[test]
fn a_retry_is_answered_whatever_happened_since() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(MEMBER), "hi").unwrap();
    let first = room.state.warm_message(seq).unwrap().clone();
    room.act(user(MEMBER), super::Command::Leave).unwrap();
    let mut batch = Batch::new(&room.state, 5);
    let retry = send(user(MEMBER), &first.client_id.0, text("hi"));
    assert_eq!(batch.send(&retry, next_id), Ok(Sent::Before(first)));
    let new = send(user(MEMBER), "new", text("hi"));
    assert_eq!(batch.send(&new, next_id), Err(Reject::RoomNotFound));
}

#[test]
fn who_looked_too_long_ago_looks_again() {
    let (state, first) = evicted();
    let mut batch = Batch::new(&state, 5);
    let mut retry = send(user(OWNER), "1", text("first"));
    retry.absent_until = Seq(first.seq.0 - 1);
    assert_eq!(batch.send(&retry, next_id), Ok(Sent::LookAgain));
    assert!(batch.events().is_empty(), "nothing was sent");
    let mut known = send(user(OWNER), "2", text("later"));
    known.absent_until = state.known_after();
    assert_eq!(batch.send(&known, next_id), Ok(Sent::LookAgain), "it is there, but not warm");
    let mut new = send(user(OWNER), "new", text("new"));
    new.absent_until = state.known_after();
    assert!(state.known_after() < state.tail_after());
    assert_eq!(batch.send(&new, next_id), Ok(Sent::New(0)), "client ids are known for longer than messages are warm");
}

#[test]
fn ids_grow_when_the_clock_goes_back() {
    let room = room(RoomType::Group);
    let mut ids = Snowflakes::new(1);
    let mut last = MessageId(0);
    let mut batch = Batch::new(&room.state, 5);
    for (i, now_ms) in [super::NOW_MS, super::NOW_MS - 60_000, 0, super::NOW_MS].into_iter().enumerate() {
        let made = send(user(OWNER), &i.to_string(), text("tick"));
        batch.send(&made, |floor| ids.next(now_ms, floor)).unwrap();
        let id = batch.events()[i].message().unwrap().id;
        assert!(id > last);
        last = id;
    }
}

/// Another worker wrote the newest message, with a clock ahead of ours.
#[test]
fn ids_grow_past_those_of_the_writer_before() {
    let ahead = Snowflakes::new(900).next(super::NOW_MS + 60_000, MessageId(0));
    let mut fixture = room(RoomType::Group);
    fixture.state.head.message_id = ahead;
    let mut batch = Batch::new(&fixture.state, super::NOW_MS);
    let mut ids = Snowflakes::new(3);
    for client in ["a", "b"] {
        batch.send(&send(user(OWNER), client, text("hi")), |floor| ids.next(super::NOW_MS, floor)).unwrap();
    }
    let made: Vec<_> = batch.events().iter().map(|e| e.message().unwrap().id).collect();
    assert!(ahead < made[0] && made[0] < made[1]);
}

#[test]
fn refused_sends_leave_no_gap() {
    let room = room(RoomType::Group);
    let mut batch = Batch::new(&room.state, 5);
    batch.send(&send(user(OWNER), "a", text("hi")), next_id).unwrap();
    assert!(batch.send(&send(user(UserId(77)), "b", text("hi")), next_id).is_err());
    batch.send(&send(user(OWNER), "c", text("hi")), next_id).unwrap();
    let seqs: Vec<_> = batch.events().iter().map(|e| e.seq.0).collect();
    assert_eq!(seqs, [2, 3]);
}

#[test]
fn everything_a_sender_says_makes_another_message() {
    let plain = text("hi");
    let hash = plain.hash(super::ROOM);
    let others = [
        super::Draft { encrypted: true, ..plain.clone() },
        super::Draft { reply_to: MessageId(1), ..plain.clone() },
        super::Draft { mentions: vec![OWNER], ..plain.clone() },
        super::Draft { original_at_ms: 1, ..plain.clone() },
        super::Draft { attachments: vec![Default::default()], ..plain.clone() },
        super::Draft { metadata: [(String::from("k"), String::new())].into(), ..plain.clone() },
        super::Draft { message_type: crate::domain::message::MessageType::System, ..plain.clone() },
    ];
    let mut hashes: Vec<_> = others.iter().map(|draft| draft.hash(super::ROOM).0).collect();
    hashes.push(hash.0);
    hashes.push(plain.hash(super::RoomId([8; 16])).0);
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), others.len() + 2);
    let renamed = super::Draft { sender_name: String::from("Ana"), ..plain };
    assert_eq!(renamed.hash(super::ROOM), hash, "a new name does not make a retry another message");
}

#[test]
fn reads_of_one_batch_add_up() {
    let mut fixture: Fixture = room(RoomType::Group);
    let first = fixture.say(user(OWNER), "one").unwrap();
    fixture.say(user(OWNER), "two").unwrap();
    let mut batch = Batch::new(&fixture.state, 5);
    let at = |seq: Seq, n| ReadTo::At { seq, n: crate::domain::ids::Ordinal(n) };
    batch.read(user(MEMBER), ReadTo::Head, true).unwrap();
    let position = batch.read(user(MEMBER), at(first, 1), false).unwrap();
    assert_eq!((position.read_seq, position.delivered_seq), (first, fixture.state.head.seq));
    let change = batch.finish();
    assert_eq!(change.positions, [(MEMBER, position)]);
    fixture.apply(&change);
    assert_eq!(fixture.state.unread(MEMBER), 1);
}
