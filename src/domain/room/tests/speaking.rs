//! Who is silent, and that silence holds for every way of speaking.

use super::{
    ADMIN, Command, Fixture, MEMBER, OTHER, OWNER, Role, RoomType, STRANGER, operator, permissions::*, room, text, user,
};
use crate::domain::{
    ids::{Seq, UserId},
    limits,
    reject::Reject,
    room::{Author, Batch, InfoPatch, ReadTo, Referrers},
};

const SILENT: Answer = Err(Reject::SendNotAllowed);
const BLOCKED: Answer = Err(Reject::PartnerBlocked);

fn take_back(message: Seq, reaction: &str) -> Command {
    Command::React { message, reaction: reaction.to_owned(), remove: true }
}

/// What comes of every way of speaking: send, edit, words, an emoji, a reaction that is there, a nickname.
fn ways(room: &Fixture, who: UserId, own: Seq, other: Seq) -> Vec<Answer> {
    let mut answers = vec![room.may_send(user(who), text("hi"))];
    let commands = [
        edit(own, "something else"),
        react(other, "buy"),
        react(other, "👍"),
        react(other, "olé"),
        nickname(who, "Buy at example.org"),
    ];
    answers.extend(commands.iter().map(|command| room.decide(user(who), command).map(drop)));
    answers
}

/// A room in which everybody has said something, and OTHER's words have a reaction in words.
fn talkative(room_type: RoomType) -> (Fixture, Seq, Seq) {
    let mut room = room(room_type);
    let partner = if room_type == RoomType::P2p { OWNER } else { OTHER };
    if room_type == RoomType::Channel {
        room.act(user(OWNER), rename_and_open(true)).unwrap();
    }
    let other = room.say(user(partner), "one").unwrap();
    let own = room.say(user(MEMBER), "two").unwrap();
    room.act(user(OWNER), react(other, "olé")).unwrap();
    (room, own, other)
}

fn rename_and_open(members_can_send: bool) -> Command {
    Command::Update(InfoPatch { members_can_send: Some(members_can_send), ..InfoPatch::default() })
}

#[test]
fn a_block_silences_both_sides_in_every_way() {
    let (mut room, own, other) = talkative(RoomType::P2p);
    room.act(user(MEMBER), react(other, "x")).unwrap();
    room.act(user(MEMBER), pin(own, true)).unwrap();
    room.state.blocked = true;
    for (who, own, other) in [(MEMBER, own, other), (OWNER, other, own)] {
        assert_eq!(ways(&room, who, own, other), vec![BLOCKED; 6], "{who}");
        assert_eq!(room.decide(user(who), &pin(other, true)).map(drop), BLOCKED);
        assert_eq!(room.decide(user(who), &pin(own, false)).map(drop), BLOCKED);
        assert_eq!(room.decide(user(who), &Command::Delete { message: own }).map(drop), DONE, "one's own may go");
    }
    assert_eq!(room.decide(user(MEMBER), &take_back(other, "x")).map(drop), DONE, "and one's own reaction");
    assert_eq!(room.decide(user(MEMBER), &nickname(MEMBER, "")).map(drop), DONE);
}

#[test]
fn deny_silences_in_every_way() {
    for room_type in [RoomType::Group, RoomType::Channel] {
        let (mut room, own, other) = talkative(room_type);
        assert_eq!(ways(&room, MEMBER, own, other), vec![DONE; 6]);
        room.act(user(OWNER), right(MEMBER, Some(false))).unwrap();
        assert_eq!(ways(&room, MEMBER, own, other), vec![SILENT; 6]);
        assert_eq!(room.decide(user(MEMBER), &Command::Delete { message: own }).map(drop), DONE);
        room.act(user(OWNER), right(ADMIN, Some(false))).unwrap();
        assert_eq!(room.decide(user(ADMIN), &pin(other, true)).map(drop), SILENT);
        assert_eq!(room.decide(user(ADMIN), &rename()).map(drop), SILENT, "a name is said to all");
        assert_eq!(room.decide(user(ADMIN), &nickname(OTHER, "x")).map(drop), SILENT);
        assert_eq!(room.decide(user(ADMIN), &Command::Delete { message: other }).map(drop), DONE, "no words");
    }
}

#[test]
fn who_only_reads_may_nod() {
    for room_type in [RoomType::Group, RoomType::Channel] {
        let (mut room, own, other) = talkative(room_type);
        room.act(user(OWNER), rename_and_open(false)).unwrap();
        let expected = vec![SILENT, SILENT, SILENT, DONE, DONE, SILENT];
        assert_eq!(ways(&room, MEMBER, own, other), expected);
        for (who, right_to_send) in [(MEMBER, Some(true)), (MEMBER, None)] {
            room.act(user(OWNER), right(who, right_to_send)).unwrap();
            let free = right_to_send.is_some();
            assert_eq!(ways(&room, who, own, other) == vec![DONE; 6], free);
        }
        assert_eq!(room.decide(user(ADMIN), &pin(other, true)).map(drop), DONE);
        assert_eq!(room.decide(operator(STRANGER), &pin(other, true)).map(drop), DONE, "the admin role moderates");
    }
}

#[test]
fn deny_comes_back_with_the_member() {
    let mut room = room(RoomType::Group);
    room.act(user(OWNER), right(MEMBER, Some(false))).unwrap();
    room.act(user(MEMBER), Command::Leave).unwrap();
    assert_eq!(room.state.info.as_ref().unwrap().denied, [MEMBER]);
    room.act(user(OWNER), Command::Join(vec![MEMBER, STRANGER])).unwrap();
    assert_eq!(room.may_send(user(MEMBER), text("hi")), SILENT);
    assert_eq!(room.may_send(user(STRANGER), text("hi")), DONE);
    assert!(room.state.info.as_ref().unwrap().denied.is_empty(), "their own row says it again");
    room.act(user(OWNER), Command::Remove(vec![MEMBER])).unwrap();
    room.act(user(OWNER), Command::Join(vec![MEMBER])).unwrap();
    assert_eq!(room.may_send(user(MEMBER), text("hi")), SILENT, "also for who was removed");
    room.act(user(OWNER), right(MEMBER, None)).unwrap();
    room.act(user(MEMBER), Command::Leave).unwrap();
    room.act(user(OWNER), Command::Join(vec![MEMBER])).unwrap();
    assert_eq!(room.may_send(user(MEMBER), text("hi")), DONE, "taken back is taken back");
}

#[test]
fn so_many_denials_are_remembered() {
    let mut room = room(RoomType::Group);
    for n in 0..=i64::try_from(limits::DENIED_MAX).unwrap() {
        let who = UserId(100 + n);
        room.act(user(OWNER), Command::Join(vec![who])).unwrap();
        room.act(user(OWNER), right(who, Some(false))).unwrap();
        room.act(user(who), Command::Leave).unwrap();
    }
    let denied = &room.state.info.as_ref().unwrap().denied;
    assert_eq!((denied.len(), denied[0]), (limits::DENIED_MAX, UserId(101)), "the oldest is forgotten");
}

#[test]
fn who_left_can_take_back_their_words_and_no_more() {
    let (mut room, own, other) = talkative(RoomType::Group);
    room.act(user(MEMBER), Command::Leave).unwrap();
    let delete = |message| Command::Delete { message };
    assert_eq!(room.decide(user(MEMBER), &delete(other)).map(drop), UNKNOWN);
    assert_eq!(room.decide(user(MEMBER), &edit(own, "x")).map(drop), UNKNOWN);
    assert_eq!(room.decide(user(STRANGER), &delete(own)).map(drop), UNKNOWN);
    let mut back = room.clone();
    back.act(user(OWNER), Command::Join(vec![MEMBER])).unwrap();
    assert!(back.state.floor(MEMBER) > own);
    assert_eq!(back.decide(user(MEMBER), &delete(own)).map(drop), DONE, "also from behind the floor");
    assert_eq!(back.decide(user(MEMBER), &delete(other)).map(drop), Err(Reject::MessageNotFound));
    room.act(user(MEMBER), delete(own)).unwrap();
    assert!(room.message(own).deleted);
}

/// While one side has blocked the other nobody is shown how far the other one reads; one's own badge goes all the same.
#[test]
fn reading_is_not_shown_across_a_block() {
    let (mut room, _, _) = talkative(RoomType::P2p);
    room.state.blocked = true;
    let before = room.state.position(OWNER);
    assert_eq!(room.state.unread(OWNER), 1);
    let mut batch = Batch::new(&room.state, 0);
    batch.read(user(OWNER), ReadTo::Head, true).unwrap();
    let after = batch.read(user(OWNER), ReadTo::Head, false).unwrap();
    assert_eq!((after.read_seq, after.delivered_seq), (before.read_seq, before.delivered_seq));
    let change = batch.finish();
    room.apply(&change);
    assert_eq!(room.state.unread(OWNER), 0);
    room.state.blocked = false;
    let mut batch = Batch::new(&room.state, 0);
    let after = batch.read(user(OWNER), ReadTo::Head, false).unwrap();
    assert_eq!((after.read_seq, after.delivered_seq), (room.state.head.seq, room.state.head.seq));
}

#[test]
fn references_are_for_bridges() {
    let low = LOW;
    let only: Answer = Err(Reject::AdminOnly);
    let table: [(Author, Option<Role>, Answer, Answer); 5] = [
        (user(OWNER), Some(Role::Owner), only.clone(), DONE),
        (user(ADMIN), Some(Role::Admin), only.clone(), DONE),
        (user(MEMBER), Some(Role::Member), only.clone(), low.clone()),
        (user(STRANGER), None, only, low),
        (operator(STRANGER), None, DONE, DONE),
    ];
    for (author, role, admin, room_admins) in table {
        assert_eq!(Referrers::Admin.may_refer(author, role), admin);
        assert_eq!(Referrers::RoomAdmins.may_refer(author, role), room_admins);
    }
}
