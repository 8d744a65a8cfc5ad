//! Stored forms: every value comes back as it was, old bytes keep their meaning, and damaged bytes are an error.

mod forms;

use std::sync::Arc;

use proptest::prelude::*;

use super::{
    Record, StoreErrorKind,
    codec::{self, JoinJob, JoinStop},
};
use crate::domain::{
    event::{Event, EventBody, Target},
    ids::{BodyHash, ClientMessageId, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId},
    message::{Attachment, Draft, ForwardedFrom, Message, MessageType},
    room::{Member, Role, RoomInfo, RoomType},
};

const ROOM: RoomId = RoomId([7; 16]);

fn a_user() -> impl Strategy<Value = UserId> {
    any::<i64>().prop_map(UserId)
}

fn a_seq() -> impl Strategy<Value = Seq> {
    any::<u64>().prop_map(Seq)
}

fn a_role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Owner), Just(Role::Admin), Just(Role::Member)]
}

fn roles() -> impl Strategy<Value = Vec<(UserId, Role)>> {
    prop::collection::vec((a_user(), a_role()), 0..4)
}

prop_compose! {
    fn a_file()(url: String, mime: String, size: i64, name: String, width: i32, height: i32) -> Attachment {
        Attachment { url, mime, size, name, width, height }
    }
}

fn an_origin() -> impl Strategy<Value = ForwardedFrom> {
    (any::<[u8; 16]>(), any::<i64>(), any::<i64>()).prop_map(|(room, message, sender)| ForwardedFrom {
        room: RoomId(room),
        message: MessageId(message),
        sender: UserId(sender),
    })
}

fn a_twin() -> impl Strategy<Value = ExternalRef> {
    any::<[String; 3]>().prop_map(|[source, chat, message]| ExternalRef { source, chat, message })
}

prop_compose! {
    fn a_draft()(
        content: String,
        (encrypted, system) in any::<(bool, bool)>(),
        (reply_to, original_at_ms) in any::<(i64, i64)>(),
        mentions in prop::collection::vec(a_user(), 0..3),
        forwarded_from in prop::option::of(an_origin()),
        attachments in prop::collection::vec(a_file(), 0..3),
        metadata in prop::collection::btree_map(any::<String>(), any::<String>(), 0..3),
        external in prop::option::of(a_twin()),
        sender_name: String,
    ) -> Draft {
        Draft {
            content,
            encrypted,
            reply_to: MessageId(reply_to),
            mentions,
            forwarded_from,
            attachments,
            metadata,
            external,
            message_type: if system { MessageType::System } else { MessageType::User },
            original_at_ms,
            sender_name,
        }
    }
}

/// A message in any state.
fn a_message() -> impl Strategy<Value = Message> {
    let numbers = (any::<i64>(), any::<u64>(), any::<u64>(), any::<i64>(), any::<i64>());
    let state = (
        any::<i64>(),
        prop::collection::vec(a_seq(), 0..3),
        any::<bool>(),
        prop::collection::vec(any::<(String, u32)>(), 0..3),
        any::<bool>(),
    );
    (numbers, any::<String>(), any::<[u8; 16]>(), a_draft(), state).prop_map(
        |((id, seq, n, sender, at_ms), client_id, hash, draft, (edited_at_ms, edits, deleted, reactions, pinned))| {
            Message {
                id: MessageId(id),
                room: ROOM,
                seq: Seq(seq),
                n: Ordinal(n),
                sender: UserId(sender),
                at_ms,
                client_id: ClientMessageId(client_id.into()),
                hash: if deleted { BodyHash::default() } else { BodyHash(hash) },
                draft: Arc::new(draft),
                edited_at_ms,
                edits,
                deleted,
                reactions,
                pinned,
                wire: Default::default(),
            }
        },
    )
}

/// As it is when sent.
fn pristine(message: Message) -> Message {
    let hash = message.draft.hash(ROOM);
    Message {
        hash,
        edited_at_ms: 0,
        edits: Vec::new(),
        deleted: false,
        reactions: Vec::new(),
        pinned: false,
        ..message
    }
}

prop_compose! {
    fn an_info()(
        room_type in prop_oneof![Just(RoomType::P2p), Just(RoomType::Group), Just(RoomType::Channel)],
        [name, description, picture, encryption_data] in any::<[String; 4]>(),
        (created_at_ms, creator) in any::<(i64, i64)>(),
        [members_can_send, join_all_users, history_visible, deleted] in any::<[bool; 4]>(),
        (denied, creation) in any::<(Vec<i64>, [u8; 16])>(),
    ) -> RoomInfo {
        RoomInfo {
            id: ROOM,
            room_type,
            name,
            description,
            picture,
            created_at_ms,
            creator: UserId(creator),
            members_can_send,
            join_all_users,
            history_visible,
            encryption_data,
            deleted,
            denied: denied.into_iter().map(UserId).collect(),
            creation: BodyHash(creation),
        }
    }
}

prop_compose! {
    fn a_member()(role in a_role(), can_send: Option<bool>, nickname: String, joined_at_ms: i64, joined_seq in a_seq(), floor_seq in prop::option::of(a_seq())) -> Member {
        Member { role, can_send, nickname, joined_at_ms, joined_seq, floor_seq }
    }
}

fn a_target() -> impl Strategy<Value = Target> {
    (any::<i64>(), a_seq()).prop_map(|(id, seq)| Target { id: MessageId(id), seq })
}

fn a_body() -> impl Strategy<Value = EventBody> {
    prop_oneof![
        (an_info(), roles()).prop_map(|(info, members)| EventBody::Created { info: Arc::new(info), members }),
        a_message().prop_map(|m| EventBody::Message(Arc::new(pristine(m)))),
        a_message().prop_map(|m| EventBody::Edited(Arc::new(m))),
        a_target().prop_map(EventBody::Deleted),
        (a_target(), any::<String>(), any::<bool>())
            .prop_map(|(target, reaction, removed)| { EventBody::Reacted { target, reaction, removed } }),
        (a_target(), any::<bool>()).prop_map(|(target, pinned)| EventBody::Pinned { target, pinned }),
        roles().prop_map(|members| EventBody::Joined { members }),
        (prop::collection::vec(a_user(), 0..4), any::<bool>(), prop::option::of(1i64..))
            .prop_map(|(users, removed, heir)| EventBody::Left { users, removed, heir: heir.map(UserId) }),
        (a_user(), a_member()).prop_map(|(user, member)| EventBody::MemberChanged { user, member }),
        an_info().prop_map(|info| EventBody::InfoChanged(Arc::new(info))),
        Just(EventBody::Closed),
    ]
}

fn an_event() -> impl Strategy<Value = Event> {
    (any::<(u64, u64)>(), any::<(i64, i64)>(), a_body()).prop_map(|((seq, n), (at_ms, actor), body)| {
        let mut event = Event { room: ROOM, seq: Seq(seq), n: Ordinal(n), at_ms, actor: UserId(actor), body };
        if let EventBody::Message(message) = &event.body {
            // A message's row says these once.
            let (seq, n, at_ms, actor) = (message.seq, message.n, message.at_ms, message.sender);
            event = Event { seq, n, at_ms, actor, ..event };
        }
        event
    })
}

proptest! {
    #[test]
    fn events_come_back(event in an_event()) {
        let record = codec::encode_event(&event);
        prop_assert_eq!(record.message.is_some(), event.message().is_some());
        prop_assert_eq!(codec::decode_event(ROOM, &record).unwrap(), event);
    }

    #[test]
    fn values_come_back(
        message in a_message(),
        info in an_info(),
        member in a_member(),
        texts: [String; 2],
        platform: u8,
        at_ms: i64,
        job: (i64, u64, bool),
        stop in prop::sample::select(vec![None, Some(JoinStop::RoomFull), Some(JoinStop::RoomClosed)]),
    ) {
        let [a, b] = texts;
        prop_assert_eq!(codec::decode_state(ROOM, &codec::encode_state(&message)).unwrap(), message);
        prop_assert_eq!(codec::decode_info(ROOM, &codec::encode_info(&info)).unwrap(), info);
        prop_assert_eq!(codec::decode_member(&codec::encode_member(&member)).unwrap(), member);
        prop_assert_eq!(codec::decode_profile(&codec::encode_profile(&a, &b)).unwrap(), (a.clone(), b));
        prop_assert_eq!(codec::decode_device(&codec::encode_device(&a, platform, at_ms)).unwrap(), (a.clone(), platform, at_ms));
        prop_assert_eq!(codec::decode_sync(&codec::encode_sync(&a, at_ms)).unwrap(), (a, at_ms));
        let job = JoinJob { after: UserId(job.0), processed: job.1, done: job.2, stop };
        prop_assert_eq!(codec::decode_join_job(&codec::encode_join_job(&job)).unwrap(), job);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes: Vec<u8>, record in a_record()) {
        let _ = decode_all(&bytes);
        let _ = codec::decode_event(ROOM, &Record { body: bytes.into(), ..record.clone() });
        let _ = codec::decode_event(ROOM, &record);
    }

    /// Nearly right bytes reach deeper than random ones.
    #[test]
    fn no_damaged_byte_makes_a_decoder_panic(event in an_event(), at: prop::sample::Index, byte: u8, kind in 0u8..14) {
        let mut record = codec::encode_event(&event);
        let mut body = record.body.to_vec();
        if !body.is_empty() {
            *at.get_mut(&mut body) = byte;
        }
        let _ = decode_all(&body);
        record.kind = kind;
        record.body = body.into();
        let _ = codec::decode_event(ROOM, &record);
    }

    #[test]
    fn a_cut_event_is_an_error_or_another_event(event in an_event(), at: prop::sample::Index) {
        let mut record = codec::encode_event(&event);
        let cut = at.index(record.body.len() + 1);
        record.body.truncate(cut);
        if let Err(error) = codec::decode_event(ROOM, &record) {
            prop_assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        }
    }
}

fn a_record() -> impl Strategy<Value = Record> {
    (an_event(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..40), any::<bool>()).prop_map(
        |(event, kind, body, bare)| {
            let mut record = codec::encode_event(&event);
            record.kind = kind;
            record.body = body.into();
            record.message = record.message.filter(|_| !bare);
            record
        },
    )
}

/// Everything that can be read from a body alone.
fn decode_all(bytes: &[u8]) -> [bool; 7] {
    [
        codec::decode_state(ROOM, bytes).is_ok(),
        codec::decode_info(ROOM, bytes).is_ok(),
        codec::decode_member(bytes).is_ok(),
        codec::decode_profile(bytes).is_ok(),
        codec::decode_device(bytes).is_ok(),
        codec::decode_sync(bytes).is_ok(),
        codec::decode_join_job(bytes).is_ok(),
    ]
}
