//! The bytes of every stored form, kept in the repository.

use std::sync::Arc;

use super::ROOM;
use crate::{
    domain::{
        event::{Event, EventBody, Target},
        ids::{BodyHash, ClientMessageId, Epoch, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId},
        message::{Attachment, Draft, ForwardedFrom, Message, MessageType},
        privacy::WhoMayAdd,
        profile::{Names, Stamp, Stamped},
        room::{Member, Role, RoomInfo, RoomType},
        unread::Uncounted,
    },
    storage::{
        Record, StoreErrorKind,
        codec::{self, JoinJob, kind},
    },
};

fn message() -> Message {
    Message {
        id: MessageId(9_001),
        room: ROOM,
        seq: Seq(12),
        n: Ordinal(5),
        sender: UserId(3),
        at_ms: 1_790_000_000_123,
        client_id: ClientMessageId("c-1".into()),
        hash: BodyHash([0xab; 16]),
        draft: Arc::new(Draft {
            content: String::from("¿Qué tal?"),
            encrypted: true,
            reply_to: MessageId(8_000),
            mentions: vec![UserId(1), UserId(2)],
            forwarded_from: Some(ForwardedFrom { room: RoomId([9; 16]), message: MessageId(77), sender: UserId(4) }),
            attachments: vec![Attachment {
                url: String::from("https://example.org/a.png"),
                mime: String::from("image/png"),
                size: 1_024,
                name: String::from("a.png"),
                width: 640,
                height: 480,
            }],
            metadata: [(String::from("k"), String::from("v"))].into(),
            external: Some(ExternalRef {
                source: String::from("irc"),
                chat: String::from("#linux"),
                message: String::from("42"),
            }),
            message_type: MessageType::System,
            original_at_ms: 1_100_000_000_000,
            sender_name: String::from("Ana"),
        }),
        edited_at_ms: 0,
        edits: Vec::new(),
        deleted: false,
        reactions: Vec::new(),
        pinned: false,
        wire: Default::default(),
    }
}

fn edited() -> Message {
    Message {
        edited_at_ms: 1_790_000_000_456,
        edits: vec![Seq(14), Seq(300)],
        reactions: vec![(String::from("👍"), 2)],
        pinned: true,
        ..message()
    }
}

fn names() -> Names {
    let said = |text: &str, issued_at_ms, expires_at_ms| Stamped {
        stamp: Stamp { issued_at_ms, expires_at_ms },
        text: text.to_owned(),
    };
    Names { name: said("Ana", 1_790_000_000_000, 1_790_000_600_000), picture: said("https://example.org/p", 7, 8) }
}

fn settings() -> RoomInfo {
    RoomInfo {
        id: ROOM,
        room_type: RoomType::Channel,
        name: String::from("news"),
        description: String::from("what is new"),
        picture: String::from("https://example.org/p"),
        created_at_ms: 1_790_000_000_000,
        creator: UserId(1),
        members_can_send: true,
        join_all_users: true,
        history_visible: true,
        encryption_data: String::from("d3JhcHBlZA=="),
        deleted: true,
        denied: Vec::new(),
        creation: Default::default(),
    }
}

/// Settings that remember who was denied, and what the room was made from.
fn remembering() -> RoomInfo {
    RoomInfo { denied: vec![UserId(4), UserId(300)], creation: BodyHash([7; 16]), ..settings() }
}

fn member() -> Member {
    Member {
        role: Role::Admin,
        can_send: Some(false),
        nickname: String::from("Ana"),
        joined_at_ms: 1_790_000_000_000,
        joined_seq: Seq(1),
        floor_seq: None,
    }
}

/// One event of each kind.
fn events() -> Vec<(&'static str, Event)> {
    let target = Target { id: MessageId(9_001), seq: Seq(12) };
    let members = vec![(UserId(1), Role::Owner), (UserId(2), Role::Member)];
    let info = Arc::new(settings());
    let bodies = vec![
        ("created", EventBody::Created { info: Arc::clone(&info), members: members.clone() }),
        ("message", EventBody::Message(Arc::new(message()))),
        ("edited", EventBody::Edited(Arc::new(edited()))),
        ("deleted", EventBody::Deleted(target)),
        ("reacted", EventBody::Reacted { target, reaction: String::from("👍"), removed: true }),
        ("pinned", EventBody::Pinned { target, pinned: true }),
        ("joined", EventBody::Joined { members }),
        ("left", EventBody::Left { users: vec![UserId(1), UserId(5)], removed: true, heir: Some(UserId(2)) }),
        ("member_changed", EventBody::MemberChanged { user: UserId(2), member: member() }),
        ("info_changed", EventBody::InfoChanged(info)),
        ("closed", EventBody::Closed),
    ];
    let event =
        |body| Event { room: ROOM, seq: Seq(12), n: Ordinal(5), at_ms: 1_790_000_000_123, actor: UserId(3), body };
    bodies.into_iter().map(|(name, body)| (name, event(body))).collect()
}

/// Every stored form, one line each: name, kind (events) and bytes.
fn stored_forms() -> String {
    let mut lines = Vec::new();
    for (name, event) in events() {
        let record = codec::encode_event(&event);
        lines.push(format!("event.{name} {} {}", record.kind, hex::encode(&record.body)));
    }
    let job = JoinJob { after: UserId(7), processed: 3, done: true, stop: None };
    let stopped = JoinJob { done: false, stop: Some(codec::JoinStop::RoomFull), ..job };
    let profile = codec::encode_profile("Ana", "https://example.org/p");
    let private = codec::with_privacy(&profile, WhoMayAdd::Nobody).unwrap();
    let values = [
        ("message.erased", codec::message_body(&message().erased())),
        ("edit.erased", codec::edit_body(&edited().erased())),
        ("state", codec::encode_state(&edited())),
        ("state.erased", codec::encode_state(&edited().erased())),
        ("info", codec::encode_info(&settings())),
        ("room", codec::encode_room(&settings(), &Uncounted::from_runs([(3, 3), (7, 9)]))),
        ("member", codec::encode_member(&member())),
        ("profile", codec::encode_profile("Ana", "https://example.org/p")),
        ("profile.stamped", codec::with_names(&[], &names()).unwrap()),
        ("device", codec::encode_device("token", 2, 1_790_000_000_000)),
        ("sync", codec::encode_sync("offset 9", 1_790_000_000_000)),
        ("join_job", codec::encode_join_job(&job)),
        ("join_job.stopped", codec::encode_join_job(&stopped)),
        ("info.made_by_id", codec::encode_info(&remembering())),
        ("member.joined", codec::encode_member(&Member { floor_seq: Some(Seq(8)), ..member() })),
        ("profile.private", private),
    ];
    for (name, bytes) in values {
        lines.push(format!("{name} {}", hex::encode(bytes)));
    }
    lines.join("\n") + "\n"
}

/// A difference means that data written before is read otherwise now. New lines may be added, old ones never change.
#[test]
fn stored_forms_never_change() {
    let kept = include_str!("../testdata/stored_forms.txt");
    assert_eq!(stored_forms(), kept, "\n{}", stored_forms());
}

#[test]
fn bytes_of_former_versions_are_read() {
    let kept = include_str!("../testdata/stored_forms.txt");
    for (name, event) in events() {
        let prefix = format!("event.{name} ");
        let line = kept.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap();
        let (kind, body) = line.split_once(' ').unwrap();
        let record = Record {
            kind: kind.parse().unwrap(),
            body: hex::decode(body).unwrap().into(),
            epoch: Epoch(3),
            ..codec::encode_event(&event)
        };
        assert_eq!(codec::decode_event(ROOM, &record).unwrap(), event);
    }
    let bytes = |name: &str| {
        let line = kept.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        hex::decode(line.rsplit(' ').next().unwrap()).unwrap()
    };
    assert_eq!(codec::decode_state(ROOM, &bytes("state")).unwrap(), edited());
    assert_eq!(codec::decode_state(ROOM, &bytes("state.erased")).unwrap(), edited().erased());
    assert_eq!(codec::decode_info(ROOM, &bytes("info")).unwrap(), settings());
    assert_eq!(codec::decode_info(ROOM, &bytes("room")).unwrap(), settings());
    assert_eq!(codec::decode_room(ROOM, &bytes("info")).unwrap(), (settings(), Uncounted::default()));
    let uncounted = Uncounted::from_runs([(3, 3), (7, 9)]);
    assert_eq!(codec::decode_room(ROOM, &bytes("room")).unwrap(), (settings(), uncounted));
    assert_eq!(codec::decode_member(&bytes("member")).unwrap(), member());
    assert_eq!(codec::decode_info(ROOM, &bytes("info.made_by_id")).unwrap(), remembering());
    assert_eq!(codec::decode_member(&bytes("member.joined")).unwrap().floor_seq, Some(Seq(8)));
    assert_eq!(codec::decode_privacy(&bytes("profile")).unwrap(), WhoMayAdd::Everyone);
    let private = bytes("profile.private");
    assert_eq!(codec::decode_privacy(&private).unwrap(), WhoMayAdd::Nobody);
    let renamed = codec::with_names(&private, &names()).unwrap();
    assert_eq!(codec::decode_names(&renamed).unwrap(), names());
    assert_eq!(codec::decode_privacy(&renamed).unwrap(), WhoMayAdd::Nobody, "a new name changes nothing else");
    assert_eq!(codec::decode_names(&bytes("profile.stamped")).unwrap(), names());
    assert_eq!(
        codec::decode_names(&bytes("profile")).unwrap().name,
        Stamped { text: String::from("Ana"), ..Stamped::default() }
    );
    assert_eq!(codec::decode_device(&bytes("device")).unwrap(), (String::from("token"), 2, 1_790_000_000_000));
}

/// The hash of what was sent stood beside the body of a message, and stayed in that of a deleted one.
#[test]
fn bytes_from_before_hashes_were_sealed_are_read() {
    let kept = include_str!("../testdata/former_forms.txt");
    let bytes = |name: &str| {
        let line = kept.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        hex::decode(line.rsplit(' ').next().unwrap()).unwrap()
    };
    let (_, event) = events().into_iter().find(|(name, _)| *name == "message").unwrap();
    let record = Record { body: bytes("event.message").into(), ..codec::encode_event(&event) };
    let expected = Message { hash: message().draft.hash(ROOM), ..message() };
    assert_eq!(codec::decode_message(ROOM, &record).unwrap(), expected);
    assert_eq!(codec::decode_state(ROOM, &bytes("state.erased")).unwrap(), edited().erased());
    let record = Record { kind: kind::EDITED, body: bytes("edit.erased").into(), message: None, ..record };
    let EventBody::Edited(erased) = codec::decode_event(ROOM, &record).unwrap().body else { panic!("{record:?}") };
    assert_eq!(*erased, edited().erased());
}

/// A redacted row reads as a deleted message that says nothing, under its old keys.
#[test]
fn a_redacted_row_is_a_deleted_message() {
    let sent = message();
    let event = Event {
        room: ROOM,
        seq: sent.seq,
        n: sent.n,
        at_ms: sent.at_ms,
        actor: sent.sender,
        body: EventBody::Message(Arc::new(sent.clone())),
    };
    let record = Record { body: codec::message_body(&sent.erased()), ..codec::encode_event(&event) };
    assert_eq!(codec::decode_message(ROOM, &record).unwrap(), sent.erased());
}

#[test]
fn what_cannot_be_is_corrupt() {
    let record = |name: &str| {
        let (_, event) = events().into_iter().find(|(n, _)| *n == name).unwrap();
        codec::encode_event(&event)
    };
    let keyless = Record { message: None, ..record("message") };
    let unknown = Record { kind: 99, ..record("closed") };
    let empty = |kind| Record { kind, body: Default::default(), ..record("closed") };
    let cases = [
        keyless,
        unknown,
        empty(kind::CREATED),
        empty(kind::EDITED),
        empty(kind::MEMBER_CHANGED),
        empty(kind::INFO_CHANGED),
    ];
    for record in cases {
        let error = codec::decode_event(ROOM, &record).unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{record:?}");
    }
    assert!(codec::decode_member(&[8, 9]).is_err(), "no such role");
    assert!(codec::decode_info(ROOM, &[8, 0]).is_err(), "no such type of room");
    assert!(codec::decode_device(&[16, 0x80, 2]).is_err(), "a platform is one byte");
}
