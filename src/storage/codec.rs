//! What the opaque bodies of the store contract say: domain values as protobuf, decoded without trust.
//!
//! The messages here are the stored form, not the wire form: tags are never reused and old bytes keep decoding. Nothing
//! outside the storage layer sees them.

use std::sync::Arc;

use bytes::Bytes;

use super::{Record, Result, StoreError, StoreErrorKind, types::MessageKey};
use crate::domain::{
    event::{Event, EventBody, Target},
    ids::{BodyHash, ClientMessageId, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId},
    message::{Attachment, Draft, ForwardedFrom, Message, MessageType},
    room::{Member, Role, RoomInfo, RoomType},
};

mod stored {
    //! The stored forms.

    use std::collections::BTreeMap;

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Draft {
        #[prost(string, tag = "1")]
        pub(super) content: String,
        #[prost(bool, tag = "2")]
        pub(super) encrypted: bool,
        #[prost(int64, tag = "3")]
        pub(super) reply_to: i64,
        #[prost(int64, repeated, tag = "4")]
        pub(super) mentions: Vec<i64>,
        #[prost(message, optional, tag = "5")]
        pub(super) forwarded: Option<Forwarded>,
        #[prost(message, repeated, tag = "6")]
        pub(super) attachments: Vec<Attachment>,
        #[prost(btree_map = "string, string", tag = "7")]
        pub(super) metadata: BTreeMap<String, String>,
        #[prost(uint32, tag = "8")]
        pub(super) message_type: u32,
        #[prost(int64, tag = "9")]
        pub(super) original_at_ms: i64,
        #[prost(string, tag = "10")]
        pub(super) sender_name: String,
        #[prost(string, repeated, tag = "11")]
        pub(super) external: Vec<String>,
        #[prost(bool, tag = "12")]
        pub(super) deleted: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Forwarded {
        #[prost(bytes = "vec", tag = "1")]
        pub(super) room: Vec<u8>,
        #[prost(int64, tag = "2")]
        pub(super) message: i64,
        #[prost(int64, tag = "3")]
        pub(super) sender: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Attachment {
        #[prost(string, tag = "1")]
        pub(super) url: String,
        #[prost(string, tag = "2")]
        pub(super) mime: String,
        #[prost(int64, tag = "3")]
        pub(super) size: i64,
        #[prost(string, tag = "4")]
        pub(super) name: String,
        #[prost(int32, tag = "5")]
        pub(super) width: i32,
        #[prost(int32, tag = "6")]
        pub(super) height: i32,
    }

    /// A message in a state other than the one it was sent in; complete.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct State {
        #[prost(int64, tag = "1")]
        pub(super) id: i64,
        #[prost(uint64, tag = "2")]
        pub(super) seq: u64,
        #[prost(uint64, tag = "3")]
        pub(super) n: u64,
        #[prost(int64, tag = "4")]
        pub(super) sender: i64,
        #[prost(int64, tag = "5")]
        pub(super) at_ms: i64,
        #[prost(string, tag = "6")]
        pub(super) client_id: String,
        #[prost(bytes = "vec", tag = "7")]
        pub(super) hash: Vec<u8>,
        #[prost(message, optional, tag = "8")]
        pub(super) draft: Option<Draft>,
        #[prost(int64, tag = "9")]
        pub(super) edited_at_ms: i64,
        #[prost(uint64, repeated, tag = "10")]
        pub(super) edits: Vec<u64>,
        #[prost(message, repeated, tag = "11")]
        pub(super) reactions: Vec<Reaction>,
        #[prost(bool, tag = "12")]
        pub(super) pinned: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Reaction {
        #[prost(string, tag = "1")]
        pub(super) reaction: String,
        #[prost(uint32, tag = "2")]
        pub(super) count: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Info {
        #[prost(uint32, tag = "1")]
        pub(super) room_type: u32,
        #[prost(string, tag = "2")]
        pub(super) name: String,
        #[prost(string, tag = "3")]
        pub(super) description: String,
        #[prost(string, tag = "4")]
        pub(super) picture: String,
        #[prost(int64, tag = "5")]
        pub(super) created_at_ms: i64,
        #[prost(int64, tag = "6")]
        pub(super) creator: i64,
        #[prost(bool, tag = "7")]
        pub(super) members_can_send: bool,
        #[prost(bool, tag = "8")]
        pub(super) join_all_users: bool,
        #[prost(bool, tag = "9")]
        pub(super) history_visible: bool,
        #[prost(string, tag = "10")]
        pub(super) encryption_data: String,
        #[prost(bool, tag = "11")]
        pub(super) deleted: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Member {
        #[prost(uint32, tag = "1")]
        pub(super) role: u32,
        #[prost(bool, optional, tag = "2")]
        pub(super) can_send: Option<bool>,
        #[prost(string, tag = "3")]
        pub(super) nickname: String,
        #[prost(int64, tag = "4")]
        pub(super) joined_at_ms: i64,
        #[prost(uint64, tag = "5")]
        pub(super) joined_seq: u64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Happened {
        #[prost(message, optional, tag = "1")]
        pub(super) info: Option<Info>,
        #[prost(message, repeated, tag = "2")]
        pub(super) members: Vec<UserRole>,
        #[prost(int64, repeated, tag = "3")]
        pub(super) users: Vec<i64>,
        #[prost(bool, tag = "4")]
        pub(super) flag: bool,
        #[prost(int64, tag = "5")]
        pub(super) user: i64,
        #[prost(message, optional, tag = "6")]
        pub(super) member: Option<Member>,
        #[prost(int64, tag = "7")]
        pub(super) target_id: i64,
        #[prost(uint64, tag = "8")]
        pub(super) target_seq: u64,
        #[prost(string, tag = "9")]
        pub(super) reaction: String,
        #[prost(message, optional, tag = "10")]
        pub(super) message: Option<State>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct UserRole {
        #[prost(int64, tag = "1")]
        pub(super) user: i64,
        #[prost(uint32, tag = "2")]
        pub(super) role: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Profile {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) picture: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Device {
        #[prost(string, tag = "1")]
        pub(super) token: String,
        #[prost(uint32, tag = "2")]
        pub(super) platform: u32,
        #[prost(int64, tag = "3")]
        pub(super) registered_at_ms: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sync {
        #[prost(string, tag = "1")]
        pub(super) position: String,
        #[prost(int64, tag = "2")]
        pub(super) updated_at_ms: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct JoinJob {
        #[prost(int64, tag = "1")]
        pub(super) after_user: i64,
        #[prost(uint64, tag = "2")]
        pub(super) processed: u64,
        #[prost(bool, tag = "3")]
        pub(super) done: bool,
    }
}

/// Kinds of events as stored in [`Record::kind`]. Numbers are never reused.
pub mod kind {
    /// The room was made.
    pub const CREATED: u8 = 1;
    /// A message.
    pub const MESSAGE: u8 = 2;
    /// A message was edited.
    pub const EDITED: u8 = 3;
    /// A message was deleted for all.
    pub const DELETED: u8 = 4;
    /// A reaction.
    pub const REACTED: u8 = 5;
    /// A pin.
    pub const PINNED: u8 = 6;
    /// Members joined.
    pub const JOINED: u8 = 7;
    /// Members left.
    pub const LEFT: u8 = 8;
    /// A member changed.
    pub const MEMBER_CHANGED: u8 = 9;
    /// The settings changed.
    pub const INFO_CHANGED: u8 = 10;
    /// The room was deleted.
    pub const CLOSED: u8 = 11;
}

fn corrupt(what: &'static str) -> StoreError {
    StoreError::because(StoreErrorKind::Corrupt, "decode", what)
}

fn parse<M: prost::Message + Default>(bytes: &[u8]) -> Result<M> {
    M::decode(bytes).map_err(|e| StoreError::because(StoreErrorKind::Corrupt, "decode", e))
}

fn bytes_of(message: &impl prost::Message) -> Bytes {
    message.encode_to_vec().into()
}

fn draft_out(draft: &Draft, deleted: bool) -> stored::Draft {
    stored::Draft {
        content: draft.content.clone(),
        encrypted: draft.encrypted,
        reply_to: draft.reply_to.0,
        mentions: draft.mentions.iter().map(|u| u.0).collect(),
        forwarded: draft.forwarded_from.map(|f| stored::Forwarded {
            room: f.room.0.to_vec(),
            message: f.message.0,
            sender: f.sender.0,
        }),
        attachments: draft.attachments.iter().map(attachment_out).collect(),
        metadata: draft.metadata.clone(),
        message_type: draft.message_type as u32,
        original_at_ms: draft.original_at_ms,
        sender_name: draft.sender_name.clone(),
        external: draft
            .external
            .as_ref()
            .map(|e| vec![e.source.clone(), e.chat.clone(), e.message.clone()])
            .unwrap_or_default(),
        deleted,
    }
}

fn attachment_out(file: &Attachment) -> stored::Attachment {
    stored::Attachment {
        url: file.url.clone(),
        mime: file.mime.clone(),
        size: file.size,
        name: file.name.clone(),
        width: file.width,
        height: file.height,
    }
}

fn draft_in(stored: stored::Draft) -> Result<Draft> {
    let forwarded_from = match stored.forwarded {
        Some(f) => Some(ForwardedFrom {
            room: RoomId(
                f.room
                    .try_into()
                    .map_err(|_| corrupt("forwarded room id"))?,
            ),
            message: MessageId(f.message),
            sender: UserId(f.sender),
        }),
        None => None,
    };
    let external = match <[String; 3]>::try_from(stored.external) {
        Ok([source, chat, message]) => Some(ExternalRef {
            source,
            chat,
            message,
        }),
        Err(parts) if parts.is_empty() => None,
        Err(_) => return Err(corrupt("external reference")),
    };
    Ok(Draft {
        content: stored.content,
        encrypted: stored.encrypted,
        reply_to: MessageId(stored.reply_to),
        mentions: stored.mentions.into_iter().map(UserId).collect(),
        forwarded_from,
        attachments: stored
            .attachments
            .into_iter()
            .map(|f| Attachment {
                url: f.url,
                mime: f.mime,
                size: f.size,
                name: f.name,
                width: f.width,
                height: f.height,
            })
            .collect(),
        metadata: stored.metadata,
        external,
        message_type: if stored.message_type == MessageType::System as u32 {
            MessageType::System
        } else {
            MessageType::User
        },
        original_at_ms: stored.original_at_ms,
        sender_name: stored.sender_name,
    })
}

fn state_out(message: &Message) -> stored::State {
    stored::State {
        id: message.id.0,
        seq: message.seq.0,
        n: message.n.0,
        sender: message.sender.0,
        at_ms: message.at_ms,
        client_id: message.client_id.0.to_string(),
        hash: message.hash.0.to_vec(),
        draft: Some(draft_out(&message.draft, message.deleted)),
        edited_at_ms: message.edited_at_ms,
        edits: message.edits.iter().map(|s| s.0).collect(),
        reactions: message
            .reactions
            .iter()
            .map(|(reaction, count)| stored::Reaction {
                reaction: reaction.clone(),
                count: *count,
            })
            .collect(),
        pinned: message.pinned,
    }
}

fn state_in(room: RoomId, stored: stored::State) -> Result<Message> {
    let draft = stored
        .draft
        .ok_or_else(|| corrupt("message state without draft"))?;
    let deleted = draft.deleted;
    Ok(Message {
        id: MessageId(stored.id),
        room,
        seq: Seq(stored.seq),
        n: Ordinal(stored.n),
        sender: UserId(stored.sender),
        at_ms: stored.at_ms,
        client_id: ClientMessageId(stored.client_id.into()),
        hash: BodyHash(stored.hash.try_into().map_err(|_| corrupt("body hash"))?),
        draft: Arc::new(draft_in(draft)?),
        edited_at_ms: stored.edited_at_ms,
        edits: stored.edits.into_iter().map(Seq).collect(),
        deleted,
        reactions: stored
            .reactions
            .into_iter()
            .map(|r| (r.reaction, r.count))
            .collect(),
        pinned: stored.pinned,
        wire: Default::default(),
    })
}

/// The state of a message that changed since it was sent.
#[must_use]
pub fn encode_state(message: &Message) -> Bytes {
    bytes_of(&state_out(message))
}

/// Reads [`encode_state`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_state(room: RoomId, bytes: &[u8]) -> Result<Message> {
    state_in(room, parse(bytes)?)
}

fn info_out(info: &RoomInfo) -> stored::Info {
    stored::Info {
        room_type: info.room_type as u32,
        name: info.name.clone(),
        description: info.description.clone(),
        picture: info.picture.clone(),
        created_at_ms: info.created_at_ms,
        creator: info.creator.0,
        members_can_send: info.members_can_send,
        join_all_users: info.join_all_users,
        history_visible: info.history_visible,
        encryption_data: info.encryption_data.clone(),
        deleted: info.deleted,
    }
}

fn info_in(id: RoomId, stored: stored::Info) -> Result<RoomInfo> {
    Ok(RoomInfo {
        id,
        room_type: small(stored.room_type)
            .and_then(RoomType::from_number)
            .ok_or_else(|| corrupt("room type"))?,
        name: stored.name,
        description: stored.description,
        picture: stored.picture,
        created_at_ms: stored.created_at_ms,
        creator: UserId(stored.creator),
        members_can_send: stored.members_can_send,
        join_all_users: stored.join_all_users,
        history_visible: stored.history_visible,
        encryption_data: stored.encryption_data,
        deleted: stored.deleted,
    })
}

fn small(number: u32) -> Option<u8> {
    u8::try_from(number).ok()
}

/// A room's settings.
#[must_use]
pub fn encode_info(info: &RoomInfo) -> Bytes {
    bytes_of(&info_out(info))
}

/// Reads [`encode_info`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_info(id: RoomId, bytes: &[u8]) -> Result<RoomInfo> {
    info_in(id, parse(bytes)?)
}

fn member_out(member: &Member) -> stored::Member {
    stored::Member {
        role: member.role as u32,
        can_send: member.can_send,
        nickname: member.nickname.clone(),
        joined_at_ms: member.joined_at_ms,
        joined_seq: member.joined_seq.0,
    }
}

fn member_in(stored: stored::Member) -> Result<Member> {
    Ok(Member {
        role: small(stored.role)
            .and_then(Role::from_number)
            .ok_or_else(|| corrupt("role"))?,
        can_send: stored.can_send,
        nickname: stored.nickname,
        joined_at_ms: stored.joined_at_ms,
        joined_seq: Seq(stored.joined_seq),
    })
}

/// A member of a room.
#[must_use]
pub fn encode_member(member: &Member) -> Bytes {
    bytes_of(&member_out(member))
}

/// Reads [`encode_member`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_member(bytes: &[u8]) -> Result<Member> {
    member_in(parse(bytes)?)
}

/// An event as a log row. The epoch is left at 0 for the store to set.
#[must_use]
pub fn encode_event(event: &Event) -> Record {
    let (kind, body) = body_out(&event.body);
    Record {
        seq: event.seq,
        n: event.n,
        epoch: Default::default(),
        kind,
        actor: event.actor,
        at_ms: event.at_ms,
        message: event.message().map(|m| MessageKey {
            id: m.id,
            client_id: m.client_id.clone(),
            hash: m.hash,
            external: m.draft.external.clone(),
        }),
        body,
    }
}

/// The body of a message's log row.
#[must_use]
pub fn message_body(message: &Message) -> Bytes {
    bytes_of(&draft_out(&message.draft, message.deleted))
}

/// The body of an edit's log row.
#[must_use]
pub fn edit_body(message: &Message) -> Bytes {
    bytes_of(&stored::Happened {
        message: Some(state_out(message)),
        ..Default::default()
    })
}

fn body_out(body: &EventBody) -> (u8, Bytes) {
    use stored::Happened;
    let roles = |members: &[(UserId, Role)]| {
        members
            .iter()
            .map(|(user, role)| stored::UserRole {
                user: user.0,
                role: *role as u32,
            })
            .collect()
    };
    let about = |target: &Target| Happened {
        target_id: target.id.0,
        target_seq: target.seq.0,
        ..Default::default()
    };
    let (kind, happened) = match body {
        EventBody::Message(message) => return (kind::MESSAGE, message_body(message)),
        EventBody::Edited(message) => return (kind::EDITED, edit_body(message)),
        EventBody::Created { info, members } => (
            kind::CREATED,
            Happened {
                info: Some(info_out(info)),
                members: roles(members),
                ..Default::default()
            },
        ),
        EventBody::Deleted(target) => (kind::DELETED, about(target)),
        EventBody::Reacted {
            target,
            reaction,
            removed,
        } => (
            kind::REACTED,
            Happened {
                reaction: reaction.clone(),
                flag: *removed,
                ..about(target)
            },
        ),
        EventBody::Pinned { target, pinned } => (
            kind::PINNED,
            Happened {
                flag: *pinned,
                ..about(target)
            },
        ),
        EventBody::Joined { members } => (
            kind::JOINED,
            Happened {
                members: roles(members),
                ..Default::default()
            },
        ),
        EventBody::Left {
            users,
            removed,
            heir,
        } => {
            let users = users.iter().map(|u| u.0).collect();
            let user = heir.map_or(0, |u| u.0);
            (
                kind::LEFT,
                Happened {
                    users,
                    flag: *removed,
                    user,
                    ..Default::default()
                },
            )
        }
        EventBody::MemberChanged { user, member } => (
            kind::MEMBER_CHANGED,
            Happened {
                user: user.0,
                member: Some(member_out(member)),
                ..Default::default()
            },
        ),
        EventBody::InfoChanged(info) => (
            kind::INFO_CHANGED,
            Happened {
                info: Some(info_out(info)),
                ..Default::default()
            },
        ),
        EventBody::Closed => (kind::CLOSED, Happened::default()),
    };
    (kind, bytes_of(&happened))
}

/// Reads a log row of `room`.
///
/// # Errors
/// `Corrupt`.
pub fn decode_event(room: RoomId, record: &Record) -> Result<Event> {
    let body = if record.kind == kind::MESSAGE {
        EventBody::Message(Arc::new(decode_message(room, record)?))
    } else {
        happened_in(room, record.kind, parse(&record.body)?)?
    };
    Ok(Event {
        room,
        seq: record.seq,
        n: record.n,
        at_ms: record.at_ms,
        actor: record.actor,
        body,
    })
}

/// Reads a message's log row, in the state it was sent in.
///
/// # Errors
/// `Corrupt`.
pub fn decode_message(room: RoomId, record: &Record) -> Result<Message> {
    let key = record
        .message
        .as_ref()
        .ok_or_else(|| corrupt("message row without keys"))?;
    let stored: stored::Draft = parse(&record.body)?;
    let deleted = stored.deleted;
    Ok(Message {
        id: key.id,
        room,
        seq: record.seq,
        n: record.n,
        sender: record.actor,
        at_ms: record.at_ms,
        client_id: key.client_id.clone(),
        hash: key.hash,
        draft: Arc::new(draft_in(stored)?),
        edited_at_ms: 0,
        edits: Vec::new(),
        deleted,
        reactions: Vec::new(),
        pinned: false,
        wire: Default::default(),
    })
}

fn happened_in(room: RoomId, kind: u8, h: stored::Happened) -> Result<EventBody> {
    let target = Target {
        id: MessageId(h.target_id),
        seq: Seq(h.target_seq),
    };
    let info = |info: Option<stored::Info>| {
        info_in(room, info.ok_or_else(|| corrupt("event without settings"))?).map(Arc::new)
    };
    Ok(match kind {
        kind::CREATED => EventBody::Created {
            info: info(h.info)?,
            members: roles_in(h.members)?,
        },
        kind::EDITED => {
            let state = h.message.ok_or_else(|| corrupt("edit without message"))?;
            EventBody::Edited(Arc::new(state_in(room, state)?))
        }
        kind::DELETED => EventBody::Deleted(target),
        kind::REACTED => EventBody::Reacted {
            target,
            reaction: h.reaction,
            removed: h.flag,
        },
        kind::PINNED => EventBody::Pinned {
            target,
            pinned: h.flag,
        },
        kind::JOINED => EventBody::Joined {
            members: roles_in(h.members)?,
        },
        kind::LEFT => EventBody::Left {
            users: h.users.into_iter().map(UserId).collect(),
            removed: h.flag,
            heir: (h.user != 0).then_some(UserId(h.user)),
        },
        kind::MEMBER_CHANGED => EventBody::MemberChanged {
            user: UserId(h.user),
            member: member_in(h.member.ok_or_else(|| corrupt("event without member"))?)?,
        },
        kind::INFO_CHANGED => EventBody::InfoChanged(info(h.info)?),
        kind::CLOSED => EventBody::Closed,
        _ => return Err(corrupt("unknown kind of event")),
    })
}

fn roles_in(members: Vec<stored::UserRole>) -> Result<Vec<(UserId, Role)>> {
    let role = |m: stored::UserRole| {
        let role = small(m.role)
            .and_then(Role::from_number)
            .ok_or_else(|| corrupt("role"))?;
        Ok((UserId(m.user), role))
    };
    members.into_iter().map(role).collect()
}

/// A user's profile: name and picture.
#[must_use]
pub fn encode_profile(name: &str, picture: &str) -> Bytes {
    bytes_of(&stored::Profile {
        name: name.to_owned(),
        picture: picture.to_owned(),
    })
}

/// Reads [`encode_profile`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_profile(bytes: &[u8]) -> Result<(String, String)> {
    let profile: stored::Profile = parse(bytes)?;
    Ok((profile.name, profile.picture))
}

/// A device's token, its platform's number, and when it was registered (milliseconds since the Unix epoch).
#[must_use]
pub fn encode_device(token: &str, platform: u8, registered_at_ms: i64) -> Bytes {
    bytes_of(&stored::Device {
        token: token.to_owned(),
        platform: u32::from(platform),
        registered_at_ms,
    })
}

/// Reads [`encode_device`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_device(bytes: &[u8]) -> Result<(String, u8, i64)> {
    let device: stored::Device = parse(bytes)?;
    let platform = small(device.platform).ok_or_else(|| corrupt("platform"))?;
    Ok((device.token, platform, device.registered_at_ms))
}

/// How far a room is synchronised with another system, and when that was set.
#[must_use]
pub fn encode_sync(position: &str, updated_at_ms: i64) -> Bytes {
    bytes_of(&stored::Sync {
        position: position.to_owned(),
        updated_at_ms,
    })
}

/// Reads [`encode_sync`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_sync(bytes: &[u8]) -> Result<(String, i64)> {
    let sync: stored::Sync = parse(bytes)?;
    Ok((sync.position, sync.updated_at_ms))
}

/// How far the background job that adds everyone to a room has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JoinJob {
    /// Users up to this id were gone through.
    pub after: UserId,
    /// How many that were.
    pub processed: u64,
    /// Whether it has ended.
    pub done: bool,
}

/// A join job.
#[must_use]
pub fn encode_join_job(job: &JoinJob) -> Bytes {
    bytes_of(&stored::JoinJob {
        after_user: job.after.0,
        processed: job.processed,
        done: job.done,
    })
}

/// Reads [`encode_join_job`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_join_job(bytes: &[u8]) -> Result<JoinJob> {
    let job: stored::JoinJob = parse(bytes)?;
    Ok(JoinJob {
        after: UserId(job.after_user),
        processed: job.processed,
        done: job.done,
    })
}
