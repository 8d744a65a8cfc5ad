//! Who may do what, as one table per rule of the wire contract.

use std::sync::Arc;

use super::{
    ADMIN, Command, Draft, Fixture, MEMBER, OTHER, OWNER, Role, RoomType, STRANGER, operator, room, text, user,
};
use crate::domain::{
    ids::{Epoch, Seq, UserId},
    limits,
    message::MessageType,
    reject::{Flaw, Reject},
    room::{Author, InfoPatch, MemberPatch, RoomState, Subject},
};

pub(super) const ROOM_TYPES: [RoomType; 3] = [RoomType::P2p, RoomType::Group, RoomType::Channel];

pub(super) type Answer = Result<(), Reject>;
pub(super) const DONE: Answer = Ok(());
pub(super) const LOW: Answer = Err(Reject::RoleTooLow);
pub(super) const UNKNOWN: Answer = Err(Reject::RoomNotFound);
pub(super) const WRONG_TYPE: Answer = Err(Reject::WrongRoomType);
pub(super) const NOT_YOURS: Answer = Err(Reject::NotYourMessage);

/// OWNER, ADMIN, MEMBER, somebody else, and somebody else with the admin role.
pub(super) const ASKERS: [Author; 5] = [user(OWNER), user(ADMIN), user(MEMBER), user(STRANGER), operator(STRANGER)];

pub(super) fn answers(room: &Fixture, command: &Command) -> Vec<Answer> {
    let answer = |author| room.decide(author, command).map(drop);
    ASKERS.into_iter().map(answer).collect()
}

pub(super) fn rename() -> Command {
    Command::Update(InfoPatch { name: Some(String::from("new")), ..InfoPatch::default() })
}

pub(super) fn change(user: UserId, patch: MemberPatch) -> Command {
    Command::ChangeMember { user, patch }
}

pub(super) fn role(user: UserId, role: Role) -> Command {
    change(user, MemberPatch { role: Some(role), ..MemberPatch::default() })
}

pub(super) fn right(user: UserId, right: Option<bool>) -> Command {
    change(user, MemberPatch { can_send: Some(right), ..MemberPatch::default() })
}

pub(super) fn nickname(user: UserId, nickname: &str) -> Command {
    change(user, MemberPatch { nickname: Some(nickname.to_owned()), ..MemberPatch::default() })
}

pub(super) fn edit(message: Seq, content: &str) -> Command {
    Command::Edit { message, content: content.to_owned(), encrypted: false, mentions: Vec::new() }
}

pub(super) fn pin(message: Seq, pinned: bool) -> Command {
    Command::Pin { message, pinned }
}

pub(super) fn react(message: Seq, reaction: &str) -> Command {
    Command::React { message, reaction: reaction.to_owned(), remove: false }
}

pub(super) fn system() -> Draft {
    Draft { message_type: MessageType::System, ..text("rain expected") }
}

#[test]
fn room_commands_by_role() {
    let table: [(Command, [Answer; 5]); 9] = [
        (rename(), [DONE, DONE, LOW, UNKNOWN, DONE]),
        (Command::Close, [DONE, LOW, LOW, UNKNOWN, DONE]),
        (Command::Join(vec![STRANGER]), [DONE, DONE, LOW, UNKNOWN, DONE]),
        (Command::Remove(vec![OTHER]), [DONE, DONE, LOW, UNKNOWN, DONE]),
        (Command::Leave, [DONE, DONE, DONE, UNKNOWN, UNKNOWN]),
        (role(OTHER, Role::Admin), [DONE, DONE, LOW, UNKNOWN, DONE]),
        (role(OTHER, Role::Owner), [DONE, LOW, LOW, UNKNOWN, DONE]),
        (right(OTHER, Some(false)), [DONE, DONE, LOW, UNKNOWN, DONE]),
        (nickname(OTHER, "Oth"), [DONE, DONE, LOW, UNKNOWN, DONE]),
    ];
    for room_type in [RoomType::Group, RoomType::Channel] {
        let room = room(room_type);
        for (command, expected) in &table {
            assert_eq!(answers(&room, command), expected, "{room_type:?} {command:?}");
        }
    }
}

/// An ADMIN stands above MEMBERs, not above other ADMINs or the OWNER.
#[test]
fn admins_change_members_alone() {
    let mut room = room(RoomType::Group);
    room.act(user(OWNER), role(OTHER, Role::Admin)).unwrap();
    for target in [OWNER, OTHER] {
        for command in [
            Command::Remove(vec![target]),
            Command::Remove(vec![MEMBER, target]),
            role(target, Role::Member),
            right(target, Some(false)),
        ] {
            assert_eq!(room.decide(user(ADMIN), &command).map(drop), LOW, "{command:?}");
        }
    }
}

#[test]
fn a_p2p_room_has_nothing_to_change() {
    let mut room = room(RoomType::P2p);
    for author in [user(OWNER), user(MEMBER), operator(STRANGER)] {
        for command in [
            rename(),
            Command::Close,
            Command::Join(vec![STRANGER]),
            Command::Remove(vec![OWNER]),
            Command::Remove(vec![MEMBER]),
            Command::Leave,
            role(MEMBER, Role::Admin),
            right(MEMBER, Some(false)),
        ] {
            assert_eq!(room.decide(author, &command).map(drop), WRONG_TYPE, "{command:?}");
        }
    }
    assert_eq!(room.decide(user(STRANGER), &rename()).map(drop), UNKNOWN);
    room.act(user(MEMBER), nickname(MEMBER, "Em")).unwrap();
    assert_eq!(room.state.members[&MEMBER].nickname, "Em");
    assert_eq!(room.state.members.len(), 2);
}

#[test]
fn everyone_names_themselves() {
    let room = room(RoomType::Group);
    for who in [OWNER, ADMIN, MEMBER] {
        assert_eq!(room.decide(user(who), &nickname(who, "N")).map(drop), DONE);
    }
    let long = "n".repeat(limits::NAME_BYTES_MAX + 1);
    let too_long = Err(Reject::invalid("nickname", Flaw::TooLong));
    assert_eq!(room.decide(user(MEMBER), &nickname(MEMBER, &long)).map(drop).map_err(Reject::unbound), too_long);
    assert_eq!(room.decide(user(OWNER), &nickname(STRANGER, "N")).map(drop), Err(Reject::MemberNotFound));
}

#[test]
fn the_last_owner_hands_over_by_leaving_alone() {
    let last = Err(Reject::LastOwner);
    let mut room = room(RoomType::Group);
    assert_eq!(room.decide(user(OWNER), &role(OWNER, Role::Member)).map(drop), last);
    assert_eq!(room.decide(operator(STRANGER), &role(OWNER, Role::Admin)).map(drop), last);
    assert_eq!(room.decide(user(OWNER), &Command::Remove(vec![OWNER])).map(drop), last);
    room.act(user(OWNER), role(MEMBER, Role::Owner)).unwrap();
    room.act(user(OWNER), role(OWNER, Role::Member)).unwrap();
    assert_eq!((room.role(OWNER), room.role(MEMBER)), (Some(Role::Member), Some(Role::Owner)));
}

#[test]
fn the_heir_is_the_oldest_admin_else_the_oldest_member() {
    let mut room = room(RoomType::Group);
    room.act(user(OWNER), Command::Join(vec![UserId(20)])).unwrap();
    room.act(user(OWNER), Command::Join(vec![UserId(10)])).unwrap();
    room.act(user(OWNER), role(UserId(10), Role::Admin)).unwrap();
    let expected = [
        (OWNER, Some(ADMIN)),
        (ADMIN, Some(UserId(10))),
        (UserId(10), Some(MEMBER)),
        (MEMBER, Some(OTHER)),
        (OTHER, Some(UserId(20))),
        (UserId(20), None),
    ];
    for (leaving, heir) in expected {
        room.act(user(leaving), Command::Leave).unwrap();
        if let Some(heir) = heir {
            assert_eq!(room.role(heir), Some(Role::Owner), "after {leaving}");
        }
    }
    assert!(room.state.members.is_empty());
}

#[test]
fn removing_all_owners_from_above_leaves_an_heir() {
    let mut room = room(RoomType::Group);
    room.act(operator(STRANGER), Command::Remove(vec![OWNER])).unwrap();
    assert_eq!(room.role(ADMIN), Some(Role::Owner));
}

/// An emptied room is the first one's who is brought back.
#[test]
fn a_room_that_all_have_left_gets_an_owner_with_its_first_member() {
    let mut room = room(RoomType::Group);
    for who in [OWNER, ADMIN, MEMBER, OTHER] {
        room.act(user(who), Command::Leave).unwrap();
    }
    room.act(operator(STRANGER), Command::Join(vec![UserId(20), UserId(10)])).unwrap();
    assert_eq!((room.role(UserId(20)), room.role(UserId(10))), (Some(Role::Owner), Some(Role::Member)));
    room.act(operator(STRANGER), Command::Join(vec![UserId(11)])).unwrap();
    assert_eq!(room.role(UserId(11)), Some(Role::Member));
}

#[test]
fn everyone_may_step_down_but_the_last_owner() {
    let mut room = room(RoomType::Group);
    room.act(user(ADMIN), role(ADMIN, Role::Member)).unwrap();
    assert_eq!(room.role(ADMIN), Some(Role::Member));
    assert_eq!(room.decide(user(ADMIN), &role(ADMIN, Role::Admin)).map(drop), LOW, "and not up again");
    assert_eq!(room.decide(user(OWNER), &role(OWNER, Role::Admin)).map(drop), Err(Reject::LastOwner));
    room.act(user(OWNER), role(MEMBER, Role::Owner)).unwrap();
    room.act(user(OWNER), role(OWNER, Role::Admin)).unwrap();
    assert_eq!(room.role(OWNER), Some(Role::Admin));
}

#[test]
fn a_room_is_not_made_too_large() {
    let state = RoomState::empty(super::ROOM, Epoch(1), 1);
    let members = (1..=9).map(|n| (UserId(n), Role::Member)).collect();
    let command = Command::Create { info: Arc::new(super::info(RoomType::Group)), members };
    let made = state.decide(user(OWNER), &command, &Subject::default(), 0, super::MEMBERS_MAX);
    assert_eq!(made.map(drop), Err(Reject::TooManyMembers));
}

#[test]
fn a_full_room_takes_nobody_in() {
    let mut room = room(RoomType::Group);
    let all: Vec<UserId> = (10..14).map(UserId).collect();
    let one_too_many = (10..15).map(UserId).collect();
    assert_eq!(room.decide(user(OWNER), &Command::Join(one_too_many)).map(drop), Err(Reject::TooManyMembers));
    room.act(user(OWNER), Command::Join(all)).unwrap();
    let again = room.act(user(OWNER), Command::Join(vec![OTHER, UserId(10)])).unwrap();
    assert!(again.is_empty(), "who is there already stays as they are");
    assert_eq!(room.state.head.members, 8);
}

#[test]
fn users_of_a_call_are_checked() {
    let room = room(RoomType::Group);
    let cases = [
        (vec![], Flaw::Missing),
        (vec![UserId(0)], Flaw::OutOfRange),
        (vec![UserId(5), UserId(-1)], Flaw::OutOfRange),
        ((1..=1_001).map(UserId).collect(), Flaw::TooMany),
    ];
    for (users, flaw) in cases {
        let expected = Err(Reject::invalid("user_ids", flaw));
        assert_eq!(
            room.decide(user(OWNER), &Command::Join(users.clone())).map(drop).map_err(Reject::unbound),
            expected
        );
        assert_eq!(room.decide(user(OWNER), &Command::Remove(users)).map(drop).map_err(Reject::unbound), expected);
    }
}

#[test]
fn settings_are_checked() {
    let room = room(RoomType::Group);
    let long = |bytes: usize| Some("x".repeat(bytes + 1));
    let none = InfoPatch::default();
    let cases = [
        (InfoPatch { name: Some(String::new()), ..none.clone() }, "name", Flaw::Missing),
        (InfoPatch { name: long(limits::NAME_BYTES_MAX), ..none.clone() }, "name", Flaw::TooLong),
        (InfoPatch { description: long(limits::DESCRIPTION_BYTES_MAX), ..none.clone() }, "description", Flaw::TooLong),
        (InfoPatch { picture: long(limits::URL_BYTES_MAX), ..none.clone() }, "picture", Flaw::TooLong),
    ];
    for (patch, field, flaw) in cases {
        let answer = room.decide(user(OWNER), &Command::Update(patch)).map(drop).map_err(Reject::unbound);
        assert_eq!(answer, Err(Reject::invalid(field, flaw)));
    }
    assert!(room.decide(user(OWNER), &Command::Update(none)).unwrap().is_empty());
}

#[test]
fn a_deleted_room_takes_nothing() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(OWNER), "hi").unwrap();
    room.act(user(OWNER), Command::Close).unwrap();
    let commands = [
        rename(),
        Command::Close,
        Command::Leave,
        Command::Join(vec![STRANGER]),
        edit(seq, "ho"),
        pin(seq, true),
        Command::Delete { message: seq },
    ];
    for command in commands {
        assert_eq!(room.decide(user(OWNER), &command).map(drop), Err(Reject::RoomDeleted));
        assert_eq!(room.decide(user(STRANGER), &command).map(drop), UNKNOWN);
    }
    assert_eq!(room.may_send(user(OWNER), text("hi")), Err(Reject::RoomDeleted));
    assert_eq!(room.may_send(user(STRANGER), text("hi")), UNKNOWN);
    assert_eq!(room.may_send(operator(UserId::SERVER), system()), UNKNOWN);
}
