//! Between the wire's types and the domain's. Nothing is decided here but whether a field has the form it must have.

use std::collections::HashMap;

use prost_types::Timestamp;
use tertulia_proto::chat::v1 as pb;

use crate::{
    actors::{
        ops::{Person, RoomSummary, UserProfile},
        stream::{Moment, MomentBody},
    },
    domain::{
        event::{Event, EventBody, Target},
        form::{self, UrlSchemes},
        ids::{ExternalRef, MessageId, RoomId, Seq, UserId},
        message::{Attachment, Draft, ForwardedFrom, Message, MessageType},
        reject::{Bounds, Flaw, Reject},
        room::{Member, Role, RoomInfo, RoomType},
        status::{Reached, Status},
    },
    storage::{Durability, RoomPrefs},
};

/// Milliseconds after which a client forgets that someone is typing.
const TYPING_TTL_MS: i32 = 10_000;

/// Milliseconds since the Unix epoch as a timestamp; none for 0.
pub(super) fn time(ms: i64) -> Option<Timestamp> {
    (ms != 0).then(|| Timestamp {
        seconds: ms.div_euclid(1_000),
        nanos: i32::try_from(ms.rem_euclid(1_000)).unwrap_or(0) * 1_000_000,
    })
}

/// A timestamp as milliseconds since the Unix epoch; 0 for none.
pub(super) fn millis(field: &'static str, time: Option<Timestamp>) -> Result<i64, Reject> {
    let Some(time) = time else { return Ok(0) };
    let ms = time.seconds.checked_mul(1_000).and_then(|ms| ms.checked_add(i64::from(time.nanos / 1_000_000)));
    ms.filter(|ms| (-62_135_596_800_000..253_402_300_800_000).contains(ms))
        .ok_or_else(|| Reject::invalid(field, Flaw::OutOfRange))
}

/// A seq or ordinal on the wire.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A count on the wire.
pub(super) fn small(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// A room id that must be given.
pub(super) fn room_id(text: &str) -> Result<RoomId, Reject> {
    if text.is_empty() {
        return Err(Reject::invalid("room_id", Flaw::Missing));
    }
    text.parse().map_err(|_| Reject::invalid("room_id", Flaw::Malformed))
}

/// A room id that may be left out.
pub(super) fn optional_room_id(text: &str) -> Result<Option<RoomId>, Reject> {
    if text.is_empty() { Ok(None) } else { room_id(text).map(Some) }
}

/// A message id that must be given.
pub(super) fn message_id(id: i64) -> Result<MessageId, Reject> {
    match id {
        0 => Err(Reject::invalid("message_id", Flaw::Missing)),
        1.. => Ok(MessageId(id)),
        _ => Err(Reject::out_of("message_id", Bounds::From(1))),
    }
}

/// A seq from the wire.
pub(super) fn seq(field: &'static str, seq: i64) -> Result<Seq, Reject> {
    u64::try_from(seq).map(Seq).map_err(|_| Reject::out_of(field, Bounds::From(0)))
}

/// A user id that must be given.
pub(super) fn user_id(field: &'static str, id: i64) -> Result<UserId, Reject> {
    match id {
        0 => Err(Reject::invalid(field, Flaw::Missing)),
        1.. => Ok(UserId(id)),
        _ => Err(Reject::out_of(field, Bounds::From(1))),
    }
}

/// A page size: 0 is `default`.
pub(super) fn limit(limit: i32, default: usize, max: usize) -> Result<usize, Reject> {
    match usize::try_from(limit) {
        Ok(0) => Ok(default),
        Ok(limit) if limit <= max => Ok(limit),
        _ => Err(Reject::out_of("limit", Bounds::Between(1, i64::try_from(max).unwrap_or(i64::MAX)))),
    }
}

/// What cursors say: room to last seq seen.
pub(super) fn cursors(cursors: HashMap<String, i64>) -> Result<HashMap<RoomId, Seq>, Reject> {
    let one = |(room, at): (String, i64)| {
        let room = room.parse().map_err(|_| Reject::invalid("cursors", Flaw::Malformed))?;
        Ok((room, seq("cursors", at)?))
    };
    cursors.into_iter().map(one).collect()
}

pub(super) const fn room_type(t: RoomType) -> pb::RoomType {
    match t {
        RoomType::P2p => pb::RoomType::P2p,
        RoomType::Group => pb::RoomType::Group,
        RoomType::Channel => pb::RoomType::Channel,
    }
}

/// A room type; none if not given.
pub(super) fn room_type_in(number: i32) -> Result<Option<RoomType>, Reject> {
    match pb::RoomType::try_from(number) {
        Ok(pb::RoomType::Unspecified) => Ok(None),
        Ok(pb::RoomType::P2p) => Ok(Some(RoomType::P2p)),
        Ok(pb::RoomType::Group) => Ok(Some(RoomType::Group)),
        Ok(pb::RoomType::Channel) => Ok(Some(RoomType::Channel)),
        Err(_) => Err(Reject::invalid("type", Flaw::OutOfRange)),
    }
}

pub(super) const fn role(role: Role) -> pb::Role {
    match role {
        Role::Owner => pb::Role::Owner,
        Role::Admin => pb::Role::Admin,
        Role::Member => pb::Role::Member,
    }
}

/// A role; none if not given.
pub(super) fn role_in(number: i32) -> Result<Option<Role>, Reject> {
    match pb::Role::try_from(number) {
        Ok(pb::Role::Unspecified) => Ok(None),
        Ok(pb::Role::Owner) => Ok(Some(Role::Owner)),
        Ok(pb::Role::Admin) => Ok(Some(Role::Admin)),
        Ok(pb::Role::Member) => Ok(Some(Role::Member)),
        Err(_) => Err(Reject::invalid("role", Flaw::OutOfRange)),
    }
}

pub(super) const fn durability(durability: Durability) -> pb::Durability {
    match durability {
        Durability::Buffered => pb::Durability::Buffered,
        Durability::Synced => pb::Durability::Synced,
    }
}

/// A message as anyone sees it (without the viewer's own status).
pub(super) fn message(message: &Message) -> pb::Message {
    let draft = &message.draft;
    let mut reactions: Vec<pb::ReactionCount> = message
        .reactions
        .iter()
        .map(|(reaction, count)| pb::ReactionCount {
            reaction: reaction.clone(),
            count: i32::try_from(*count).unwrap_or(i32::MAX),
        })
        .collect();
    reactions.sort_by_key(|reaction| std::cmp::Reverse(reaction.count));
    pb::Message {
        id: message.id.0,
        room_id: message.room.to_string(),
        seq: number(message.seq.0),
        n: number(message.n.0),
        sender_id: message.sender.0,
        r#type: match draft.message_type {
            MessageType::User => pb::MessageType::UserMessage,
            MessageType::System => pb::MessageType::SystemMessage,
        } as i32,
        content: draft.content.clone(),
        encrypted: draft.encrypted,
        created_at: time(message.at_ms),
        edited_at: time(message.edited_at_ms),
        deleted: message.deleted,
        reply_to: draft.reply_to.0,
        mentions: draft.mentions.iter().map(|user| user.0).collect(),
        forwarded_from: draft.forwarded_from.as_ref().map(forwarded),
        attachments: draft.attachments.iter().map(attachment).collect(),
        metadata: draft.metadata.clone().into_iter().collect(),
        external_ref: draft.external.as_ref().map(external),
        client_message_id: message.client_id.0.to_string(),
        reactions,
        pinned: message.pinned,
        status: pb::MessageStatus::Unspecified as i32,
        sender_name: draft.sender_name.clone(),
        original_at: time(draft.original_at_ms),
        status_counts: None,
    }
}

/// How far a message has come.
pub(super) const fn reached(reached: Reached) -> pb::MessageStatus {
    match reached {
        Reached::Sent => pb::MessageStatus::Sent,
        Reached::Delivered => pb::MessageStatus::Delivered,
        Reached::Read => pb::MessageStatus::Read,
    }
}

/// With how many a message has come how far.
pub(super) fn status_counts(status: &Status) -> pb::StatusCounts {
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    pb::StatusCounts {
        delivered_to: count(status.delivered_to),
        read_by: count(status.read_by),
        of: count(status.of),
        at_least: status.at_least,
    }
}

/// A message of the viewer's own, with its status, or another's.
pub(super) fn message_with(shown: &Message, status: Option<Status>) -> pb::Message {
    let mut shown = message(shown);
    if let Some(status) = status {
        shown.status = reached(status.reached) as i32;
        shown.status_counts = Some(status_counts(&status));
    }
    shown
}

fn forwarded(from: &ForwardedFrom) -> pb::ForwardedFrom {
    pb::ForwardedFrom { room_id: from.room.to_string(), message_id: from.message.0, sender_id: from.sender.0 }
}

fn attachment(file: &Attachment) -> pb::Attachment {
    pb::Attachment {
        url: file.url.clone(),
        mime: file.mime.clone(),
        size: file.size,
        name: file.name.clone(),
        width: file.width,
        height: file.height,
    }
}

fn external(external: &ExternalRef) -> pb::ExternalRef {
    pb::ExternalRef { source: external.source.clone(), chat: external.chat.clone(), message: external.message.clone() }
}

/// An external reference from the wire.
pub(super) fn external_in(external: pb::ExternalRef) -> ExternalRef {
    ExternalRef { source: external.source, chat: external.chat, message: external.message }
}

fn attachment_in(file: pb::Attachment, urls: &UrlSchemes) -> Result<Attachment, Reject> {
    urls.check("attachments.url", &file.url)?;
    form::name("attachments.mime", &file.mime)?;
    form::name("attachments.name", &file.name)?;
    let pb::Attachment { url, mime, size, name, width, height } = file;
    Ok(Attachment { url, mime, size, name, width, height })
}

/// What a send says.
pub(super) fn draft(request: pb::SendMessageRequest, sender_name: &str, urls: &UrlSchemes) -> Result<Draft, Reject> {
    let forwarded_from = match request.forwarded_from {
        Some(from) => Some(ForwardedFrom {
            room: room_id(&from.room_id).map_err(|_| Reject::invalid("forwarded_from", Flaw::Malformed))?,
            message: MessageId(from.message_id),
            sender: UserId(from.sender_id),
        }),
        None => None,
    };
    Ok(Draft {
        content: form::content(request.content, request.encrypted)?,
        encrypted: request.encrypted,
        reply_to: MessageId(request.reply_to),
        mentions: request.mentions.into_iter().map(UserId).collect(),
        forwarded_from,
        attachments: request.attachments.into_iter().map(|file| attachment_in(file, urls)).collect::<Result<_, _>>()?,
        metadata: request.metadata.into_iter().collect(),
        external: request.external_ref.map(external_in),
        message_type: if request.system { MessageType::System } else { MessageType::User },
        original_at_ms: millis("original_at", request.original_at)?,
        sender_name: sender_name.to_owned(),
    })
}

/// A member with nothing known of the user.
pub(super) fn bare_participant(user: UserId, role_of: Role) -> pb::Participant {
    pb::Participant { user_id: user.0, role: role(role_of) as i32, ..Default::default() }
}

fn member(user: UserId, member: &Member) -> pb::Participant {
    pb::Participant {
        user_id: user.0,
        role: role(member.role) as i32,
        nickname: member.nickname.clone(),
        joined_at: time(member.joined_at_ms),
        can_send: member.can_send,
        ..Default::default()
    }
}

/// A member with profile and positions.
pub(super) fn person(person: &Person) -> pb::Participant {
    let base = person.member.as_ref().map(|m| member(person.user, m)).unwrap_or_default();
    pb::Participant {
        user_id: person.user.0,
        name: person.profile.name.clone(),
        picture: person.profile.picture.clone(),
        read_seq: number(person.position.read_seq.0),
        delivered_seq: number(person.position.delivered_seq.0),
        ..base
    }
}

/// A room's settings as anyone sees them.
pub(super) fn info(info: &RoomInfo) -> pb::Room {
    pb::Room {
        id: info.id.to_string(),
        r#type: room_type(info.room_type) as i32,
        name: info.name.clone(),
        description: info.description.clone(),
        picture: info.picture.clone(),
        created_at: time(info.created_at_ms),
        members_can_send: info.members_can_send,
        join_all_users: info.join_all_users,
        history_visible: info.history_visible,
        deleted: info.deleted,
        ..Default::default()
    }
}

/// Settings of a user for a room.
pub(super) fn prefs(prefs: RoomPrefs, hidden: bool) -> pb::RoomPreferences {
    pb::RoomPreferences { pinned: prefs.pinned, muted_until: time(prefs.muted_until_ms), hidden }
}

/// A room as one user sees it.
pub(super) fn room(summary: &RoomSummary) -> pb::Room {
    let last_message = summary.last_message.as_deref().map(|m| message_with(m, summary.last_status));
    pb::Room {
        last_activity_at: time(summary.head.activity_ms),
        role: summary.role.map_or(pb::Role::Unspecified, role) as i32,
        last_seq: number(summary.head.seq.0),
        last_n: number(summary.head.n.0),
        last_message,
        unread_count: number(summary.unread),
        participants_count: i32::try_from(summary.head.members).unwrap_or(i32::MAX),
        participants: summary.people.iter().map(person).collect(),
        partner: summary.partner.as_ref().map(person),
        is_partner_blocked: summary.blocked,
        preferences: Some(prefs(summary.prefs, summary.hidden)),
        encryption_data: summary.info.encryption_data.clone(),
        ..info(&summary.info)
    }
}

/// An event without what happened.
pub(super) fn envelope(event: &Event) -> pb::Event {
    pb::Event {
        room_id: event.room.to_string(),
        seq: number(event.seq.0),
        at: time(event.at_ms),
        user_id: event.actor.0,
        event: None,
    }
}

/// An event that is not for the reader: that it happened, and no more.
pub(super) fn veiled(room: RoomId, seq: Seq, at_ms: i64) -> pb::Event {
    pb::Event { room_id: room.to_string(), seq: number(seq.0), at: time(at_ms), user_id: 0, event: None }
}

/// An event as anyone sees it, without names and pictures of members.
pub(super) fn event(event: &Event) -> pb::Event {
    pb::Event { event: Some(happened(event)), ..envelope(event) }
}

/// An event as anyone sees it, with what is known of its [`Event::people`], in their order.
pub(super) fn named_event(event: &Event, profiles: &[UserProfile]) -> pb::Event {
    use pb::event::Event as E;
    let mut named = self::event(event);
    let people: &mut [pb::Participant] = match &mut named.event {
        Some(E::RoomJoin(join)) => &mut join.participants,
        Some(E::ParticipantUpdate(update)) => update.participant.as_mut_slice(),
        _ => &mut [],
    };
    for (person, profile) in people.iter_mut().zip(profiles) {
        (person.name, person.picture) = (profile.name.clone(), profile.picture.clone());
    }
    named
}

fn happened(event: &Event) -> pb::event::Event {
    use pb::event::Event as E;
    let place = |target: &Target| (target.id.0, number(target.seq.0));
    let participants =
        |members: &[(UserId, Role)]| members.iter().map(|(user, role)| bare_participant(*user, *role)).collect();
    match &event.body {
        EventBody::Created { members, .. } | EventBody::Joined { members } => {
            E::RoomJoin(pb::RoomJoin { participants: participants(members), room: None })
        }
        EventBody::Message(m) => E::Message(message(m)),
        EventBody::Edited(m) => E::Edited(pb::MessageEdited { message: Some(message(m)) }),
        EventBody::Deleted(target) => {
            let (message_id, message_seq) = place(target);
            E::Deleted(pb::MessageDeleted { message_id, message_seq })
        }
        EventBody::Reacted { target, reaction, removed } => {
            let (message_id, message_seq) = place(target);
            E::Reaction(pb::MessageReaction { message_id, message_seq, reaction: reaction.clone(), removed: *removed })
        }
        EventBody::Pinned { target, pinned } => {
            let (message_id, message_seq) = place(target);
            E::Pinned(pb::MessagePinned { message_id, message_seq, pinned: *pinned })
        }
        EventBody::Left { users, removed, heir } => E::RoomLeave(pb::RoomLeave {
            user_ids: users.iter().map(|user| user.0).collect(),
            removed: *removed,
            new_owner_id: heir.map_or(0, |user| user.0),
        }),
        EventBody::MemberChanged { user, member: changed } => {
            E::ParticipantUpdate(pb::ParticipantUpdate { participant: Some(member(*user, changed)) })
        }
        EventBody::InfoChanged(changed) => E::RoomUpdate(pb::RoomUpdate { room: Some(info(changed)), deleted: false }),
        EventBody::Closed => E::RoomUpdate(pb::RoomUpdate { room: None, deleted: true }),
    }
}

/// A moment.
pub(super) fn moment(moment: &Moment) -> pb::Event {
    use pb::event::Event as E;
    let event = match &moment.body {
        MomentBody::Typing(typing) => E::Typing(pb::Typing { typing: *typing, ttl_ms: TYPING_TTL_MS }),
        MomentBody::Position { read, delivered } => {
            E::Read(pb::PositionMoved { read_seq: number(read.0), delivered_seq: number(delivered.0) })
        }
        MomentBody::Status { up_to, status } => E::Status(pb::StatusUpdate {
            up_to_seq: number(up_to.0),
            status: reached(status.reached) as i32,
            counts: Some(status_counts(status)),
        }),
        MomentBody::Presence { online } => E::Presence(pb::Presence {
            user_id: moment.user.0,
            online: *online,
            last_seen_at: if *online { None } else { time(moment.at_ms) },
        }),
        MomentBody::Preferences { prefs: changed, hidden } => {
            E::PreferencesUpdate(pb::PreferencesUpdate { preferences: Some(prefs(*changed, *hidden)) })
        }
        MomentBody::Cleared { up_to } => E::RoomCleared(pb::RoomCleared { up_to_seq: number(up_to.0) }),
        MomentBody::Block { whom, blocked } => E::BlockUpdate(pb::BlockUpdate { user_id: whom.0, blocked: *blocked }),
        MomentBody::Hidden { id, seq } => E::Hidden(pb::MessageHidden { message_id: id.0, message_seq: number(seq.0) }),
    };
    pb::Event {
        room_id: moment.room.map(|room| room.to_string()).unwrap_or_default(),
        seq: 0,
        at: time(moment.at_ms),
        user_id: moment.user.0,
        event: Some(event),
    }
}
