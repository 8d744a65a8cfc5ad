//! Who may do what, as one table per rule of the wire contract.

use super::{
    ADMIN, Command, Draft, Fixture, MEMBER, OTHER, OWNER, Role, RoomType, STRANGER, info, operator,
    room, text, user,
};
use crate::domain::{
    ids::{Seq, UserId},
    limits,
    message::{Attachment, MessageType},
    reject::{Flaw, Reject},
    room::{Author, InfoPatch, MemberPatch},
};

const ROOM_TYPES: [RoomType; 3] = [RoomType::P2p, RoomType::Group, RoomType::Channel];

type Answer = Result<(), Reject>;
const DONE: Answer = Ok(());
const LOW: Answer = Err(Reject::RoleTooLow);
const UNKNOWN: Answer = Err(Reject::RoomNotFound);
const WRONG_TYPE: Answer = Err(Reject::WrongRoomType);
const NOT_YOURS: Answer = Err(Reject::NotYourMessage);

/// OWNER, ADMIN, MEMBER, somebody else, and somebody else with the admin role.
const ASKERS: [Author; 5] = [
    user(OWNER),
    user(ADMIN),
    user(MEMBER),
    user(STRANGER),
    operator(STRANGER),
];

fn answers(room: &Fixture, command: &Command) -> Vec<Answer> {
    let answer = |author| room.decide(author, command).map(drop);
    ASKERS.into_iter().map(answer).collect()
}

fn rename() -> Command {
    Command::Update(InfoPatch {
        name: Some(String::from("new")),
        ..InfoPatch::default()
    })
}

fn change(user: UserId, patch: MemberPatch) -> Command {
    Command::ChangeMember { user, patch }
}

fn role(user: UserId, role: Role) -> Command {
    change(
        user,
        MemberPatch {
            role: Some(role),
            ..MemberPatch::default()
        },
    )
}

fn right(user: UserId, right: Option<bool>) -> Command {
    change(
        user,
        MemberPatch {
            can_send: Some(right),
            ..MemberPatch::default()
        },
    )
}

fn nickname(user: UserId, nickname: &str) -> Command {
    change(
        user,
        MemberPatch {
            nickname: Some(nickname.to_owned()),
            ..MemberPatch::default()
        },
    )
}

fn edit(message: Seq, content: &str) -> Command {
    Command::Edit {
        message,
        content: content.to_owned(),
        encrypted: false,
        mentions: Vec::new(),
    }
}

fn pin(message: Seq, pinned: bool) -> Command {
    Command::Pin { message, pinned }
}

fn react(message: Seq, reaction: &str) -> Command {
    Command::React {
        message,
        reaction: reaction.to_owned(),
        remove: false,
    }
}

fn system() -> Draft {
    Draft {
        message_type: MessageType::System,
        ..text("rain expected")
    }
}

#[test]
fn room_commands_by_role() {
    let table: [(Command, [Answer; 5]); 9] = [
        (rename(), [DONE, DONE, LOW, UNKNOWN, DONE]),
        (Command::Close, [DONE, LOW, LOW, UNKNOWN, DONE]),
        (
            Command::Join(vec![STRANGER]),
            [DONE, DONE, LOW, UNKNOWN, DONE],
        ),
        (
            Command::Remove(vec![OTHER]),
            [DONE, DONE, LOW, UNKNOWN, DONE],
        ),
        (Command::Leave, [DONE, DONE, DONE, UNKNOWN, UNKNOWN]),
        (role(OTHER, Role::Admin), [DONE, DONE, LOW, UNKNOWN, DONE]),
        (role(OTHER, Role::Owner), [DONE, LOW, LOW, UNKNOWN, DONE]),
        (right(OTHER, Some(false)), [DONE, DONE, LOW, UNKNOWN, DONE]),
        (nickname(OTHER, "Oth"), [DONE, DONE, LOW, UNKNOWN, DONE]),
    ];
    for room_type in [RoomType::Group, RoomType::Channel] {
        let room = room(room_type);
        for (command, expected) in &table {
            assert_eq!(
                answers(&room, command),
                expected,
                "{room_type:?} {command:?}"
            );
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
            assert_eq!(
                room.decide(user(ADMIN), &command).map(drop),
                LOW,
                "{command:?}"
            );
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
            assert_eq!(
                room.decide(author, &command).map(drop),
                WRONG_TYPE,
                "{command:?}"
            );
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
    assert_eq!(
        room.decide(user(MEMBER), &nickname(MEMBER, &long))
            .map(drop),
        too_long
    );
    assert_eq!(
        room.decide(user(OWNER), &nickname(STRANGER, "N")).map(drop),
        Err(Reject::MemberNotFound)
    );
}

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
        assert_eq!(
            answers, expected,
            "{room_type:?} {members_can_send} {blocked}"
        );
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
        let patch = InfoPatch {
            members_can_send: Some(members_can_send),
            ..InfoPatch::default()
        };
        room.act(user(OWNER), Command::Update(patch)).unwrap();
        room.act(user(OWNER), right(MEMBER, overridden)).unwrap();
        assert_eq!(
            room.may_send(user(MEMBER), text("hi")),
            expected,
            "{members_can_send} {overridden:?}"
        );
        assert_eq!(
            room.may_send(user(ADMIN), text("hi")),
            DONE,
            "ADMINs need no leave"
        );
    }
}

/// `DENY`: may not send in any case.
#[test]
fn an_admin_can_be_denied_too() {
    let mut room = room(RoomType::Group);
    room.act(user(OWNER), right(ADMIN, Some(false))).unwrap();
    assert_eq!(
        room.may_send(user(ADMIN), text("hi")),
        Err(Reject::SendNotAllowed)
    );
    room.act(user(OWNER), right(ADMIN, None)).unwrap();
    assert_eq!(room.may_send(user(ADMIN), text("hi")), DONE);
}

#[test]
fn members_alone_are_mentioned_and_not_in_p2p() {
    for room_type in ROOM_TYPES {
        let room = room(room_type);
        let say = |mentions: Vec<UserId>| {
            room.may_send(
                user(OWNER),
                Draft {
                    mentions,
                    ..text("hi")
                },
            )
        };
        let p2p = room_type == RoomType::P2p;
        let member = if p2p {
            Err(Reject::invalid("mentions", Flaw::NotAllowedHere))
        } else {
            DONE
        };
        let stranger = if p2p {
            member.clone()
        } else {
            Err(Reject::MemberNotFound)
        };
        assert_eq!(say(vec![MEMBER]), member);
        assert_eq!(say(vec![MEMBER, STRANGER]), stranger);
    }
}

#[test]
fn system_messages_and_other_times_are_for_the_admin_role() {
    let elsewhere = Draft {
        original_at_ms: 5,
        ..text("old")
    };
    for room_type in ROOM_TYPES {
        let room = room(room_type);
        for draft in [system(), elsewhere.clone()] {
            assert_eq!(
                room.may_send(user(OWNER), draft.clone()),
                Err(Reject::AdminOnly)
            );
            assert_eq!(room.may_send(operator(OWNER), draft), DONE);
        }
        assert_eq!(
            room.may_send(operator(UserId::SERVER), system()),
            DONE,
            "no membership needed"
        );
        assert_eq!(
            room.may_send(operator(STRANGER), text("hi")),
            UNKNOWN,
            "a person's message needs it"
        );
    }
}

#[test]
fn only_the_sender_edits() {
    for room_type in [RoomType::Group, RoomType::Channel] {
        let mut room = room(room_type);
        room.act(user(OWNER), right(MEMBER, Some(true))).unwrap();
        let seq = room.say(user(MEMBER), "hi").unwrap();
        assert_eq!(
            answers(&room, &edit(seq, "ho")),
            [NOT_YOURS, NOT_YOURS, DONE, UNKNOWN, NOT_YOURS]
        );
    }
    let mut room = room(RoomType::P2p);
    let seq = room.say(user(OWNER), "hi").unwrap();
    assert_eq!(
        room.decide(user(MEMBER), &edit(seq, "ho")).map(drop),
        NOT_YOURS
    );
}

#[test]
fn an_edit_is_checked_like_a_send() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(MEMBER), "hi").unwrap();
    let missing = Err(Reject::invalid("content", Flaw::Missing));
    assert_eq!(room.decide(user(MEMBER), &edit(seq, "")).map(drop), missing);
    let long = "x".repeat(limits::CONTENT_BYTES_MAX + 1);
    let too_long = Err(Reject::invalid("content", Flaw::TooLong));
    assert_eq!(
        room.decide(user(MEMBER), &edit(seq, &long)).map(drop),
        too_long
    );
    let mention = Command::Edit {
        message: seq,
        content: String::from("hi you"),
        encrypted: false,
        mentions: vec![STRANGER],
    };
    assert_eq!(
        room.decide(user(MEMBER), &mention).map(drop),
        Err(Reject::MemberNotFound)
    );
    assert!(
        room.decide(user(MEMBER), &edit(seq, "hi"))
            .unwrap()
            .is_empty(),
        "nothing to change"
    );
    for i in 0..limits::EDITS_MAX {
        room.act(user(MEMBER), edit(seq, &format!("hi {i}")))
            .unwrap();
    }
    assert_eq!(
        room.decide(user(MEMBER), &edit(seq, "more")).map(drop),
        Err(Reject::TooManyEdits)
    );
}

#[test]
fn the_sender_and_moderators_delete() {
    for room_type in [RoomType::Group, RoomType::Channel] {
        let mut room = room(room_type);
        room.act(user(OWNER), right(OTHER, Some(true))).unwrap();
        let seq = room.say(user(OTHER), "hi").unwrap();
        let delete = Command::Delete { message: seq };
        assert_eq!(
            answers(&room, &delete),
            [DONE, DONE, NOT_YOURS, UNKNOWN, DONE]
        );
        assert_eq!(room.decide(user(OTHER), &delete).map(drop), DONE);
    }
    let mut room = room(RoomType::P2p);
    let seq = room.say(user(MEMBER), "hi").unwrap();
    let delete = Command::Delete { message: seq };
    assert_eq!(
        room.decide(user(OWNER), &delete).map(drop),
        NOT_YOURS,
        "nobody moderates a p2p room"
    );
    assert_eq!(room.decide(user(MEMBER), &delete).map(drop), DONE);
}

#[test]
fn a_deleted_message_stays_as_it_is() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(MEMBER), "hi").unwrap();
    room.act(user(MEMBER), Command::Delete { message: seq })
        .unwrap();
    let gone = Err(Reject::MessageDeleted);
    assert_eq!(room.decide(user(MEMBER), &edit(seq, "ho")).map(drop), gone);
    assert_eq!(room.decide(user(MEMBER), &react(seq, "+1")).map(drop), gone);
    assert_eq!(room.decide(user(OWNER), &pin(seq, true)).map(drop), gone);
    assert!(
        room.decide(user(MEMBER), &Command::Delete { message: seq })
            .unwrap()
            .is_empty()
    );
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
    assert!(
        room.decide(user(OWNER), &pin(seq, true))
            .unwrap()
            .is_empty(),
        "pinned already"
    );
    room.act(user(OWNER), pin(seq, false)).unwrap();
    assert!(room.state.pins.is_empty());
}

#[test]
fn a_room_has_so_many_pins() {
    let mut room = room(RoomType::Group);
    let seqs: Vec<Seq> = (0..=limits::PINS_MAX)
        .map(|_| room.say(user(OWNER), "x").unwrap())
        .collect();
    for seq in &seqs[..limits::PINS_MAX] {
        room.act(user(OWNER), pin(*seq, true)).unwrap();
    }
    let last = seqs[limits::PINS_MAX];
    assert_eq!(
        room.decide(user(OWNER), &pin(last, true)).map(drop),
        Err(Reject::TooManyPins)
    );
    room.act(user(OWNER), Command::Delete { message: seqs[0] })
        .unwrap();
    assert_eq!(
        room.decide(user(OWNER), &pin(last, true)).map(drop),
        DONE,
        "a deletion makes room"
    );
}

#[test]
fn members_react_within_bounds() {
    let mut room = room(RoomType::Channel);
    let seq = room.say(user(OWNER), "hi").unwrap();
    assert_eq!(
        answers(&room, &react(seq, "+1")),
        [DONE, DONE, DONE, UNKNOWN, UNKNOWN]
    );
    let missing = Err(Reject::invalid("reaction", Flaw::Missing));
    assert_eq!(
        room.decide(user(MEMBER), &react(seq, "")).map(drop),
        missing
    );
    let long = "x".repeat(limits::REACTION_BYTES_MAX + 1);
    let too_long = Err(Reject::invalid("reaction", Flaw::TooLong));
    assert_eq!(
        room.decide(user(MEMBER), &react(seq, &long)).map(drop),
        too_long
    );
    for i in 0..limits::REACTIONS_MAX {
        room.act(user(MEMBER), react(seq, &i.to_string())).unwrap();
    }
    assert_eq!(
        room.decide(user(MEMBER), &react(seq, "one more")).map(drop),
        Err(Reject::TooManyReactions)
    );
    assert_eq!(
        room.decide(user(OWNER), &react(seq, "0")).map(drop),
        DONE,
        "one that is there"
    );
}

#[test]
fn the_last_owner_hands_over_by_leaving_alone() {
    let last = Err(Reject::LastOwner);
    let mut room = room(RoomType::Group);
    assert_eq!(
        room.decide(user(OWNER), &role(OWNER, Role::Member))
            .map(drop),
        last
    );
    assert_eq!(
        room.decide(operator(STRANGER), &role(OWNER, Role::Admin))
            .map(drop),
        last
    );
    assert_eq!(
        room.decide(user(OWNER), &Command::Remove(vec![OWNER]))
            .map(drop),
        last
    );
    room.act(user(OWNER), role(MEMBER, Role::Owner)).unwrap();
    room.act(user(OWNER), role(OWNER, Role::Member)).unwrap();
    assert_eq!(
        (room.role(OWNER), room.role(MEMBER)),
        (Some(Role::Member), Some(Role::Owner))
    );
}

#[test]
fn the_heir_is_the_oldest_admin_else_the_oldest_member() {
    let mut room = room(RoomType::Group);
    room.act(user(OWNER), Command::Join(vec![UserId(20)]))
        .unwrap();
    room.act(user(OWNER), Command::Join(vec![UserId(10)]))
        .unwrap();
    room.act(user(OWNER), role(UserId(10), Role::Admin))
        .unwrap();
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
    room.act(operator(STRANGER), Command::Remove(vec![OWNER]))
        .unwrap();
    assert_eq!(room.role(ADMIN), Some(Role::Owner));
}

#[test]
fn a_full_room_takes_nobody_in() {
    let mut room = room(RoomType::Group);
    let all: Vec<UserId> = (10..14).map(UserId).collect();
    let one_too_many = (10..15).map(UserId).collect();
    assert_eq!(
        room.decide(user(OWNER), &Command::Join(one_too_many))
            .map(drop),
        Err(Reject::TooManyMembers)
    );
    room.act(user(OWNER), Command::Join(all)).unwrap();
    let again = room
        .act(user(OWNER), Command::Join(vec![OTHER, UserId(10)]))
        .unwrap();
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
            room.decide(user(OWNER), &Command::Join(users.clone()))
                .map(drop),
            expected
        );
        assert_eq!(
            room.decide(user(OWNER), &Command::Remove(users)).map(drop),
            expected
        );
    }
}

#[test]
fn settings_are_checked() {
    let room = room(RoomType::Group);
    let long = |bytes: usize| Some("x".repeat(bytes + 1));
    let none = InfoPatch::default();
    let cases = [
        (
            InfoPatch {
                name: Some(String::new()),
                ..none.clone()
            },
            "name",
            Flaw::Missing,
        ),
        (
            InfoPatch {
                name: long(limits::NAME_BYTES_MAX),
                ..none.clone()
            },
            "name",
            Flaw::TooLong,
        ),
        (
            InfoPatch {
                description: long(limits::DESCRIPTION_BYTES_MAX),
                ..none.clone()
            },
            "description",
            Flaw::TooLong,
        ),
        (
            InfoPatch {
                picture: long(limits::URL_BYTES_MAX),
                ..none.clone()
            },
            "picture",
            Flaw::TooLong,
        ),
    ];
    for (patch, field, flaw) in cases {
        let answer = room.decide(user(OWNER), &Command::Update(patch)).map(drop);
        assert_eq!(answer, Err(Reject::invalid(field, flaw)));
    }
    assert!(
        room.decide(user(OWNER), &Command::Update(none))
            .unwrap()
            .is_empty()
    );
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
        assert_eq!(
            room.decide(user(OWNER), &command).map(drop),
            Err(Reject::RoomDeleted)
        );
        assert_eq!(room.decide(user(STRANGER), &command).map(drop), UNKNOWN);
    }
    assert_eq!(
        room.may_send(user(OWNER), text("hi")),
        Err(Reject::RoomDeleted)
    );
    assert_eq!(room.may_send(user(STRANGER), text("hi")), UNKNOWN);
    assert_eq!(room.may_send(operator(UserId::SERVER), system()), UNKNOWN);
}

#[test]
fn what_is_before_the_floor_does_not_exist() {
    let mut room = room(RoomType::Group);
    let before = room.say(user(OWNER), "before").unwrap();
    room.act(user(OWNER), Command::Join(vec![STRANGER]))
        .unwrap();
    let after = room.say(user(OWNER), "after").unwrap();
    assert_eq!(
        room.decide(user(STRANGER), &react(before, "+1")).map(drop),
        Err(Reject::MessageNotFound)
    );
    assert_eq!(
        room.decide(user(STRANGER), &react(after, "+1")).map(drop),
        DONE
    );
    assert_eq!(
        room.decide(user(OWNER), &react(Seq(999), "+1")).map(drop),
        Err(Reject::MessageNotFound)
    );
}

#[test]
fn drafts_are_bounded() {
    let files = |file: Attachment, len| Draft {
        attachments: vec![file; len],
        ..text("x")
    };
    let file = || Attachment {
        url: String::from("u"),
        ..Attachment::default()
    };
    let metadata = |key: usize, value: usize| Draft {
        metadata: [("k".repeat(key), "v".repeat(value))].into(),
        ..text("x")
    };
    let cases = [
        (Draft::default(), "content", Flaw::Missing),
        (
            text(&"x".repeat(limits::CONTENT_BYTES_MAX + 1)),
            "content",
            Flaw::TooLong,
        ),
        (
            Draft {
                mentions: vec![OWNER; limits::MENTIONS_MAX + 1],
                ..text("x")
            },
            "mentions",
            Flaw::TooMany,
        ),
        (
            Draft {
                reply_to: crate::domain::ids::MessageId(-1),
                ..text("x")
            },
            "reply_to",
            Flaw::OutOfRange,
        ),
        (
            files(file(), limits::ATTACHMENTS_MAX + 1),
            "attachments",
            Flaw::TooMany,
        ),
        (
            files(Attachment::default(), 1),
            "attachments.url",
            Flaw::Missing,
        ),
        (
            files(Attachment { size: -1, ..file() }, 1),
            "attachments",
            Flaw::OutOfRange,
        ),
        (metadata(0, 1), "metadata", Flaw::Missing),
        (
            metadata(limits::METADATA_KEY_BYTES_MAX + 1, 1),
            "metadata",
            Flaw::TooLong,
        ),
        (
            metadata(1, limits::METADATA_VALUE_BYTES_MAX + 1),
            "metadata",
            Flaw::TooLong,
        ),
    ];
    for (draft, field, flaw) in cases {
        assert_eq!(draft.validate(), Err(Reject::invalid(field, flaw)));
    }
    let files_alone = Draft {
        content: String::new(),
        ..files(file(), limits::ATTACHMENTS_MAX)
    };
    assert_eq!(files_alone.validate(), DONE);
    assert_eq!(
        text(&"x".repeat(limits::CONTENT_BYTES_MAX)).validate(),
        DONE
    );
}
