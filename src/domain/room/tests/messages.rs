//! Who may send what, and do what to messages, as one table per rule of the wire contract.

use super::{
    ADMIN, Command, Draft, Fixture, MEMBER, OTHER, OWNER, Role, RoomType, STRANGER, info, operator,
    permissions::{Answer, DONE, LOW, NOT_YOURS, ROOM_TYPES, UNKNOWN, answers, edit, pin, react, right, system},
    room, text, user,
};
use crate::domain::{
    ids::{Seq, UserId},
    limits,
    message::Attachment,
    reject::{Flaw, Reject},
    room::InfoPatch,
};

#[test]
fn who_may_send() {
    const NO: Answer = Err(Reject::SendNotAllowed);
    const BLOCKED: Answer = Err(Reject::PartnerBlocked);
    let table: [(RoomType, bool, bool, [Answer; 3]); 6] = [
        // members may send, blocked: OWNER, MEMBER, stranger
        (RoomType::P2p, true, false, [DONE, DONE, UNKNOWN]),
        (RoomType::P2p, true, true, [BLOCKED, BLOCKED, UNKNOWN]),
        (RoomType::Group, true, false, [DONE, DONE, UNKNOWN]),
        (RoomType::Group, false, false, [DONE, NO, UNKNOWN]),
        (RoomType::Channel, true, false, [DONE, DONE, UNKNOWN]),
        (RoomType::Channel, false, false, [DONE, NO, UNKNOWN]),
    ];
    for (room_type, members_can_send, blocked, expected) in table {
        let mut info = info(room_type);
        info.members_can_send = members_can_send;
        let mut room = Fixture::new(info, vec![(OWNER, Role::Owner), (MEMBER, Role::Member)]);
        room.state.blocked = blocked;
        let answers = [OWNER, MEMBER, STRANGER].map(|who| room.may_send(user(who), text("hi")));
        assert_eq!(answers, expected, "{room_type:?} {members_can_send} {blocked}");
    }
}

#[test]
fn the_right_to_send_overrides_the_room() {
    const NO: Answer = Err(Reject::SendNotAllowed);
    // room's rule, MEMBER's override, what the MEMBER hears
    let table = [
        (true, None, DONE),
        (true, Some(true), DONE),
        (true, Some(false), NO),
        (false, None, NO),
        (false, Some(true), DONE),
        (false, Some(false), NO),
    ];
    for (members_can_send, overridden, expected) in table {
        let mut room = room(RoomType::Group);
        let patch = InfoPatch { members_can_send: Some(members_can_send), ..InfoPatch::default() };
        room.act(user(OWNER), Command::Update(patch)).unwrap();
        room.act(user(OWNER), right(MEMBER, overridden)).unwrap();
        assert_eq!(room.may_send(user(MEMBER), text("hi")), expected, "{members_can_send} {overridden:?}");
        assert_eq!(room.may_send(user(ADMIN), text("hi")), DONE, "ADMINs need no leave");
    }
}

/// `DENY`: may not send in any case.
#[test]
fn an_admin_can_be_denied_too() {
    let mut room = room(RoomType::Group);
    room.act(user(OWNER), right(ADMIN, Some(false))).unwrap();
    assert_eq!(room.may_send(user(ADMIN), text("hi")), Err(Reject::SendNotAllowed));
    room.act(user(OWNER), right(ADMIN, None)).unwrap();
    assert_eq!(room.may_send(user(ADMIN), text("hi")), DONE);
}

#[test]
fn members_alone_are_mentioned_and_not_in_p2p() {
    for room_type in ROOM_TYPES {
        let room = room(room_type);
        let say = |mentions: Vec<UserId>| room.may_send(user(OWNER), Draft { mentions, ..text("hi") });
        let p2p = room_type == RoomType::P2p;
        let member = if p2p { Err(Reject::invalid("mentions", Flaw::NotAllowedHere)) } else { DONE };
        let stranger = if p2p { member.clone() } else { Err(Reject::MemberNotFound) };
        assert_eq!(say(vec![MEMBER]), member);
        assert_eq!(say(vec![MEMBER, STRANGER]), stranger);
    }
}

#[test]
fn system_messages_and_other_times_are_for_the_admin_role() {
    let elsewhere = Draft { original_at_ms: 5, ..text("old") };
    for room_type in ROOM_TYPES {
        let room = room(room_type);
        for draft in [system(), elsewhere.clone()] {
            assert_eq!(room.may_send(user(OWNER), draft.clone()), Err(Reject::AdminOnly));
            assert_eq!(room.may_send(operator(OWNER), draft), DONE);
        }
        assert_eq!(room.may_send(operator(UserId::SERVER), system()), DONE, "no membership needed");
        assert_eq!(room.may_send(operator(STRANGER), text("hi")), UNKNOWN, "a person's message needs it");
    }
}

#[test]
fn only_the_sender_edits() {
    for room_type in [RoomType::Group, RoomType::Channel] {
        let mut room = room(room_type);
        room.act(user(OWNER), right(MEMBER, Some(true))).unwrap();
        let seq = room.say(user(MEMBER), "hi").unwrap();
        assert_eq!(answers(&room, &edit(seq, "ho")), [NOT_YOURS, NOT_YOURS, DONE, UNKNOWN, NOT_YOURS]);
    }
    let mut room = room(RoomType::P2p);
    let seq = room.say(user(OWNER), "hi").unwrap();
    assert_eq!(room.decide(user(MEMBER), &edit(seq, "ho")).map(drop), NOT_YOURS);
}

#[test]
fn an_edit_is_checked_like_a_send() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(MEMBER), "hi").unwrap();
    let missing = Err(Reject::invalid("content", Flaw::Missing));
    assert_eq!(room.decide(user(MEMBER), &edit(seq, "")).map(drop).map_err(Reject::unbound), missing);
    let long = "x".repeat(limits::CONTENT_BYTES_MAX + 1);
    let too_long = Err(Reject::invalid("content", Flaw::TooLong));
    assert_eq!(room.decide(user(MEMBER), &edit(seq, &long)).map(drop).map_err(Reject::unbound), too_long);
    let mention =
        Command::Edit { message: seq, content: String::from("hi you"), encrypted: false, mentions: vec![STRANGER] };
    assert_eq!(room.decide(user(MEMBER), &mention).map(drop), Err(Reject::MemberNotFound));
    assert!(room.decide(user(MEMBER), &edit(seq, "hi")).unwrap().is_empty(), "nothing to change");
    for i in 0..limits::EDITS_MAX {
        room.act(user(MEMBER), edit(seq, &format!("hi {i}"))).unwrap();
    }
    assert_eq!(room.decide(user(MEMBER), &edit(seq, "more")).map(drop), Err(Reject::TooManyEdits));
}

#[test]
fn only_new_mentions_of_an_edit_must_be_members() {
    let mut room = room(RoomType::Group);
    let draft = Draft { mentions: vec![ADMIN, OTHER], ..text("hi al") };
    let seq = room.say_draft(user(MEMBER), draft).unwrap();
    room.act(user(OWNER), Command::Remove(vec![OTHER])).unwrap();
    let mend = |mentions: Vec<UserId>| Command::Edit {
        message: seq,
        content: String::from("hi all"),
        encrypted: false,
        mentions,
    };
    for (mentions, expected) in [
        (vec![ADMIN, OTHER], DONE),
        (vec![OTHER], DONE),
        (vec![OTHER, OWNER], DONE),
        (vec![ADMIN, OTHER, STRANGER], Err(Reject::MemberNotFound)),
    ] {
        assert_eq!(room.decide(user(MEMBER), &mend(mentions.clone())).map(drop), expected, "{mentions:?}");
    }
    room.act(user(MEMBER), mend(vec![ADMIN])).unwrap();
    let again = room.decide(user(MEMBER), &mend(vec![OTHER])).map(drop);
    assert_eq!(again, Err(Reject::MemberNotFound), "who was taken out is new again");
}

#[test]
fn the_sender_and_moderators_delete() {
    for room_type in [RoomType::Group, RoomType::Channel] {
        let mut room = room(room_type);
        room.act(user(OWNER), right(OTHER, Some(true))).unwrap();
        let seq = room.say(user(OTHER), "hi").unwrap();
        let delete = Command::Delete { message: seq };
        assert_eq!(answers(&room, &delete), [DONE, DONE, NOT_YOURS, UNKNOWN, DONE]);
        assert_eq!(room.decide(user(OTHER), &delete).map(drop), DONE);
    }
    let mut room = room(RoomType::P2p);
    let seq = room.say(user(MEMBER), "hi").unwrap();
    let delete = Command::Delete { message: seq };
    assert_eq!(room.decide(user(OWNER), &delete).map(drop), NOT_YOURS, "nobody moderates a p2p room");
    assert_eq!(room.decide(user(MEMBER), &delete).map(drop), DONE);
}

#[test]
fn a_deleted_message_stays_as_it_is() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(MEMBER), "hi").unwrap();
    room.act(user(MEMBER), Command::Delete { message: seq }).unwrap();
    let gone = Err(Reject::MessageDeleted);
    assert_eq!(room.decide(user(MEMBER), &edit(seq, "ho")).map(drop), gone);
    assert_eq!(room.decide(user(MEMBER), &react(seq, "+1")).map(drop), gone);
    assert_eq!(room.decide(user(OWNER), &pin(seq, true)).map(drop), gone);
    assert!(room.decide(user(MEMBER), &Command::Delete { message: seq }).unwrap().is_empty());
}

#[test]
fn anyone_pins_in_p2p_and_moderators_elsewhere() {
    for room_type in [RoomType::Group, RoomType::Channel] {
        let mut room = room(room_type);
        let seq = room.say(user(OWNER), "hi").unwrap();
        let expected = [DONE, DONE, LOW, UNKNOWN, DONE];
        assert_eq!(answers(&room, &pin(seq, true)), expected);
        room.act(user(OWNER), pin(seq, true)).unwrap();
        assert_eq!(answers(&room, &pin(seq, false)), expected);
    }
    let mut room = room(RoomType::P2p);
    let seq = room.say(user(OWNER), "hi").unwrap();
    room.act(user(MEMBER), pin(seq, true)).unwrap();
    assert!(room.decide(user(OWNER), &pin(seq, true)).unwrap().is_empty(), "pinned already");
    room.act(user(OWNER), pin(seq, false)).unwrap();
    assert!(room.state.pins.is_empty());
}

#[test]
fn a_room_has_so_many_pins() {
    let mut room = room(RoomType::Group);
    let seqs: Vec<Seq> = (0..=limits::PINS_MAX).map(|_| room.say(user(OWNER), "x").unwrap()).collect();
    for seq in &seqs[..limits::PINS_MAX] {
        room.act(user(OWNER), pin(*seq, true)).unwrap();
    }
    let last = seqs[limits::PINS_MAX];
    let give_way = |message| Command::GiveWay { message };
    assert_eq!(answers(&room, &give_way(seqs[0])), [DONE, DONE, LOW, UNKNOWN, DONE], "who may pin");
    assert!(room.decide(user(OWNER), &give_way(last)).unwrap().is_empty(), "not pinned");
    assert_eq!(room.decide(user(OWNER), &pin(last, true)).map(drop), Err(Reject::TooManyPins));
    room.act(user(OWNER), Command::Delete { message: seqs[0] }).unwrap();
    assert_eq!(room.decide(user(OWNER), &pin(last, true)).map(drop), DONE, "a deletion makes room");
    assert!(room.decide(user(OWNER), &give_way(seqs[1])).unwrap().is_empty(), "there is room");
}

#[test]
fn members_react_within_bounds() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(OWNER), "hi").unwrap();
    assert_eq!(answers(&room, &react(seq, "+1")), [DONE, DONE, DONE, UNKNOWN, UNKNOWN]);
    let missing = Err(Reject::invalid("reaction", Flaw::Missing));
    assert_eq!(room.decide(user(MEMBER), &react(seq, "")).map(drop).map_err(Reject::unbound), missing);
    let long = "x".repeat(limits::REACTION_BYTES_MAX + 1);
    let too_long = Err(Reject::invalid("reaction", Flaw::TooLong));
    assert_eq!(room.decide(user(MEMBER), &react(seq, &long)).map(drop).map_err(Reject::unbound), too_long);
    for i in 0..limits::REACTIONS_MAX {
        room.act(user(MEMBER), react(seq, &i.to_string())).unwrap();
    }
    assert_eq!(room.decide(user(MEMBER), &react(seq, "one more")).map(drop), Err(Reject::TooManyReactions));
    assert_eq!(room.decide(user(OWNER), &react(seq, "0")).map(drop), DONE, "one that is there");
}

#[test]
fn what_is_before_the_floor_does_not_exist() {
    let mut room = room(RoomType::Group);
    let before = room.say(user(OWNER), "before").unwrap();
    room.act(user(OWNER), Command::Join(vec![STRANGER])).unwrap();
    let after = room.say(user(OWNER), "after").unwrap();
    assert_eq!(room.decide(user(STRANGER), &react(before, "+1")).map(drop), Err(Reject::MessageNotFound));
    assert_eq!(room.decide(user(STRANGER), &react(after, "+1")).map(drop), DONE);
    assert_eq!(room.decide(user(OWNER), &react(Seq(999), "+1")).map(drop), Err(Reject::MessageNotFound));
}

#[test]
fn drafts_are_bounded() {
    let files = |file: Attachment, len| Draft { attachments: vec![file; len], ..text("x") };
    let file = || Attachment { url: String::from("u"), ..Attachment::default() };
    let metadata =
        |key: usize, value: usize| Draft { metadata: [("k".repeat(key), "v".repeat(value))].into(), ..text("x") };
    let cases = [
        (Draft::default(), "content", Flaw::Missing),
        (text(&"x".repeat(limits::CONTENT_BYTES_MAX + 1)), "content", Flaw::TooLong),
        (Draft { mentions: vec![OWNER; limits::MENTIONS_MAX + 1], ..text("x") }, "mentions", Flaw::TooMany),
        (Draft { reply_to: crate::domain::ids::MessageId(-1), ..text("x") }, "reply_to", Flaw::OutOfRange),
        (files(file(), limits::ATTACHMENTS_MAX + 1), "attachments", Flaw::TooMany),
        (files(Attachment::default(), 1), "attachments.url", Flaw::Missing),
        (files(Attachment { size: -1, ..file() }, 1), "attachments", Flaw::OutOfRange),
        (metadata(0, 1), "metadata", Flaw::Missing),
        (metadata(limits::METADATA_KEY_BYTES_MAX + 1, 1), "metadata", Flaw::TooLong),
        (metadata(1, limits::METADATA_VALUE_BYTES_MAX + 1), "metadata", Flaw::TooLong),
    ];
    for (draft, field, flaw) in cases {
        assert_eq!(draft.validate().map_err(Reject::unbound), Err(Reject::invalid(field, flaw)));
    }
    let files_alone = Draft { content: String::new(), ..files(file(), limits::ATTACHMENTS_MAX) };
    assert_eq!(files_alone.validate(), DONE);
    assert_eq!(text(&"x".repeat(limits::CONTENT_BYTES_MAX)).validate(), DONE);
}
