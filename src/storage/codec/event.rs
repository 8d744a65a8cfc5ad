//! Log rows: events of every kind.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    bytes_of, corrupt, kind,
    message::{decode_message, message_body, state_in, state_out},
    parse,
    room::{info_in, info_out, member_in, member_out},
    small, stored,
};
use crate::{
    domain::{
        event::{Event, EventBody, Target},
        ids::{MessageId, RoomId, Seq, UserId},
        message::Message,
        room::Role,
    },
    storage::{MessageKey, Record, Result},
};

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
            external: m.draft.external.clone(),
        }),
        body,
    }
}

/// The body of an edit's log row.
#[must_use]
pub fn edit_body(message: &Message) -> Bytes {
    bytes_of(&stored::Happened { message: Some(state_out(message)), ..Default::default() })
}

fn body_out(body: &EventBody) -> (u8, Bytes) {
    use stored::Happened;
    let roles = |members: &[(UserId, Role)]| {
        members.iter().map(|(user, role)| stored::UserRole { user: user.0, role: *role as u32 }).collect()
    };
    let about = |target: &Target| Happened { target_id: target.id.0, target_seq: target.seq.0, ..Default::default() };
    let (kind, happened) = match body {
        EventBody::Message(message) => return (kind::MESSAGE, message_body(message)),
        EventBody::Edited(message) => return (kind::EDITED, edit_body(message)),
        EventBody::Created { info, members } => {
            (kind::CREATED, Happened { info: Some(info_out(info)), members: roles(members), ..Default::default() })
        }
        EventBody::Deleted(target) => (kind::DELETED, about(target)),
        EventBody::Reacted { target, reaction, removed } => {
            (kind::REACTED, Happened { reaction: reaction.clone(), flag: *removed, ..about(target) })
        }
        EventBody::Pinned { target, pinned } => (kind::PINNED, Happened { flag: *pinned, ..about(target) }),
        EventBody::Joined { members } => (kind::JOINED, Happened { members: roles(members), ..Default::default() }),
        EventBody::Left { users, removed, heir } => {
            let users = users.iter().map(|u| u.0).collect();
            let user = heir.map_or(0, |u| u.0);
            (kind::LEFT, Happened { users, flag: *removed, user, ..Default::default() })
        }
        EventBody::MemberChanged { user, member } => {
            (kind::MEMBER_CHANGED, Happened { user: user.0, member: Some(member_out(member)), ..Default::default() })
        }
        EventBody::InfoChanged(info) => {
            (kind::INFO_CHANGED, Happened { info: Some(info_out(info)), ..Default::default() })
        }
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
    Ok(Event { room, seq: record.seq, n: record.n, at_ms: record.at_ms, actor: record.actor, body })
}

fn happened_in(room: RoomId, kind: u8, h: stored::Happened) -> Result<EventBody> {
    let target = Target { id: MessageId(h.target_id), seq: Seq(h.target_seq) };
    let info = |info: Option<stored::Info>| {
        info_in(room, info.ok_or_else(|| corrupt("event without settings"))?).map(Arc::new)
    };
    Ok(match kind {
        kind::CREATED => EventBody::Created { info: info(h.info)?, members: roles_in(h.members)? },
        kind::EDITED => {
            let state = h.message.ok_or_else(|| corrupt("edit without message"))?;
            EventBody::Edited(Arc::new(state_in(room, state)?))
        }
        kind::DELETED => EventBody::Deleted(target),
        kind::REACTED => EventBody::Reacted { target, reaction: h.reaction, removed: h.flag },
        kind::PINNED => EventBody::Pinned { target, pinned: h.flag },
        kind::JOINED => EventBody::Joined { members: roles_in(h.members)? },
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
        let role = small(m.role).and_then(Role::from_number).ok_or_else(|| corrupt("role"))?;
        Ok((UserId(m.user), role))
    };
    members.into_iter().map(role).collect()
}
