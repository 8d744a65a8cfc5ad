//! What single commands write: one event each, complete in itself, and nothing when nothing changes.

use std::sync::Arc;

use super::{Command, MEMBER, OTHER, OWNER, Role, RoomType, STRANGER, info, room, user};
use crate::domain::{
    event::{EventBody, Target},
    ids::{BodyHash, Seq},
};

#[test]
fn making_a_room_twice_finds_it_made() {
    let mut room = room(RoomType::P2p);
    let other = Command::Create {
        info: Arc::new(info(RoomType::P2p)),
        members: vec![(MEMBER, Role::Owner), (OWNER, Role::Member)],
    };
    let change = room.act(user(MEMBER), other).unwrap();
    assert!(change.is_empty());
    assert_eq!(room.role(OWNER), Some(Role::Owner), "the first one made it");
}

#[test]
fn joins_and_removals_name_each_user_once_in_order() {
    let mut room = room(RoomType::Group);
    let twice = vec![STRANGER, crate::domain::ids::UserId(5), STRANGER, OTHER];
    let change = room.act(user(OWNER), Command::Join(twice.clone())).unwrap();
    let joined = vec![(crate::domain::ids::UserId(5), Role::Member), (STRANGER, Role::Member)];
    assert_eq!(change.events[0].body, EventBody::Joined { members: joined });
    let change = room.act(user(OWNER), Command::Remove(twice)).unwrap();
    let users = vec![OTHER, crate::domain::ids::UserId(5), STRANGER];
    assert_eq!(change.events[0].body, EventBody::Left { users, removed: true, heir: None });
    assert_eq!(room.state.head.members, 3);
}

#[test]
fn nothing_to_change_writes_nothing() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(OWNER), "hi").unwrap();
    let same = Command::ChangeMember { user: MEMBER, patch: Default::default() };
    for command in [
        same,
        Command::Update(Default::default()),
        Command::Join(vec![MEMBER]),
        Command::Remove(vec![STRANGER]),
        Command::Pin { message: seq, pinned: false },
        Command::React { message: seq, reaction: String::from("+1"), remove: true },
    ] {
        assert!(room.decide(user(OWNER), &command).unwrap().is_empty(), "{command:?}");
    }
}

/// Text, edits and reactions go; what tells a retry from a new message stays.
#[test]
fn a_deletion_leaves_no_text() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(MEMBER), "the first secret").unwrap();
    let sent = room.message(seq).clone();
    let edit = |content: &str| Command::Edit {
        message: seq,
        content: content.to_owned(),
        encrypted: false,
        mentions: vec![OTHER],
    };
    room.act(user(MEMBER), edit("the second secret")).unwrap();
    room.say(user(OTHER), "in between").unwrap();
    room.act(user(MEMBER), edit("the third secret")).unwrap();
    let react = Command::React { message: seq, reaction: String::from("secret"), remove: false };
    room.act(user(OTHER), react).unwrap();
    room.act(user(OWNER), Command::Pin { message: seq, pinned: true }).unwrap();
    let change = room.act(user(MEMBER), Command::Delete { message: seq }).unwrap();

    assert_eq!(change.events[0].body, EventBody::Deleted(Target { id: sent.id, seq }));
    assert_eq!(change.redacted, [seq, Seq(seq.0 + 1), Seq(seq.0 + 3)]);
    let left = room.message(seq);
    assert!(left.deleted && !left.pinned && left.edits.is_empty() && left.reactions.is_empty());
    assert!(!format!("{left:?} {change:?}").contains("secret"));
    assert_eq!((left.id, left.seq, left.n), (sent.id, sent.seq, sent.n));
    assert_eq!(left.hash, BodyHash::default(), "nothing by which it could be guessed");
    assert_eq!(left.client_id, sent.client_id);
    assert_eq!(left.draft.message_type, sent.draft.message_type);
    assert!(room.state.pins.is_empty());
    assert_eq!(room.state.warm_message(seq).unwrap().as_ref(), left);
}

#[test]
fn an_edit_event_is_the_message_as_it_is_now() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(MEMBER), "hi").unwrap();
    let edit = Command::Edit { message: seq, content: String::from("ho"), encrypted: true, mentions: vec![OTHER] };
    let change = room.act(user(MEMBER), edit).unwrap();
    let EventBody::Edited(message) = &change.events[0].body else {
        panic!("{change:?}");
    };
    assert_eq!(Some(message), change.touched.as_ref());
    assert_eq!((message.draft.content.as_str(), message.draft.encrypted), ("ho", true));
    assert_eq!(message.edits, [change.events[0].seq]);
    assert_eq!(message.edited_at_ms, change.events[0].at_ms);
    assert_eq!(change.events[0].n, room.state.head.n, "an edit is no new message");
}

#[test]
fn a_room_keeps_so_many_messages_warm() {
    let mut room = room(RoomType::Group);
    room.state = {
        let mut small = super::RoomState::empty(room.state.id, room.state.epoch, 2);
        small.head = room.state.head;
        small.info.clone_from(&room.state.info);
        small.members.clone_from(&room.state.members);
        small
    };
    let seqs: Vec<Seq> = (0..4).map(|_| room.say(user(OWNER), "hi").unwrap()).collect();
    let warm: Vec<Seq> = room.state.tail().iter().map(|m| m.seq).collect();
    assert_eq!(warm, seqs[2..]);
    assert_eq!(room.state.tail_after(), seqs[1]);
    assert!(room.state.warm_message(seqs[1]).is_none());
    assert!(room.state.warm_message(seqs[3]).is_some());
}
