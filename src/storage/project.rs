//! From a decided change to the rows of an append: the log's records and the projection beside it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Listing, MemberRow, Projection, ReactionRow, Record, codec};
use crate::domain::{
    event::{Event, EventBody},
    ids::UserId,
    position::{Position, RoomHead},
    room::{Change, Member, Role, RoomInfo, RoomState, RoomType},
};

/// The rows of `change`, which `before` is about to undergo.
#[must_use]
pub fn rows(before: &RoomState, change: &Change) -> (Vec<Record>, Projection) {
    let records = change.events.iter().map(codec::encode_event).collect();
    let head = change.events.iter().fold(before.head, RoomHead::after);
    let mut projection = Projection { head, ..Projection::default() };
    let mut positions: BTreeMap<UserId, Position> = BTreeMap::new();
    let mut moved = |user: UserId, position: Position| {
        let slot = positions.entry(user).or_default();
        *slot = slot.merge(position);
    };
    for event in &change.events {
        before.positions_of(event).into_iter().for_each(|(user, position)| moved(user, position));
        event_rows(before, event, &mut projection);
    }
    change.positions.iter().for_each(|(user, position)| moved(*user, *position));
    projection.positions = positions.into_iter().collect();
    if let Some(message) = &change.touched {
        projection.states.push((message.seq, codec::encode_state(message)));
        for seq in &change.redacted {
            let body = if *seq == message.seq { codec::message_body(message) } else { codec::edit_body(message) };
            projection.redacted.push((*seq, body));
        }
    }
    projection.room = room_row(before, change);
    (records, projection)
}

/// The room's row, if the change changes it.
fn room_row(before: &RoomState, change: &Change) -> Option<Bytes> {
    let info = change.events.iter().rev().find_map(|event| before.info_after(event));
    let uncounted = before.uncounted_after(change);
    let info = info.or_else(|| before.info.clone().filter(|_| uncounted.is_some()))?;
    Some(codec::encode_room(&info, uncounted.as_ref().unwrap_or(&before.uncounted)))
}

fn event_rows(before: &RoomState, event: &Event, rows: &mut Projection) {
    match &event.body {
        EventBody::Message(_) | EventBody::Edited(_) | EventBody::InfoChanged(_) | EventBody::Closed => {}
        EventBody::Created { info, members } => rows.members = joined(before, info, members, event),
        EventBody::Joined { members } => {
            rows.members = before.info.as_deref().map(|info| joined(before, info, members, event)).unwrap_or_default();
        }
        EventBody::Left { users, heir, .. } => {
            rows.removed.extend_from_slice(users);
            let heir = heir.and_then(|user| before.members.get(&user).map(|member| (user, member)));
            if let (Some((user, member)), Some(info)) = (heir, before.info.as_deref()) {
                let member = Member { role: Role::Owner, ..member.clone() };
                rows.members.push(member_row(info, user, UserId::default(), &member));
            }
        }
        EventBody::MemberChanged { user, member } => {
            let partner = before.members.keys().copied().find(|other| other != user).unwrap_or_default();
            rows.members.extend(before.info.as_deref().map(|info| member_row(info, *user, partner, member)));
        }
        EventBody::Deleted(target) => rows.unpinned.push(target.seq),
        EventBody::Reacted { target, reaction, removed } => {
            let row = ReactionRow { seq: target.seq, user: event.actor, reaction: reaction.clone() };
            if *removed { rows.unreacted.push(row) } else { rows.reacted.push(row) }
        }
        EventBody::Pinned { target, pinned: true } => rows.pinned.push((target.seq, event.seq)),
        EventBody::Pinned { target, pinned: false } => rows.unpinned.push(target.seq),
    }
}

fn joined(before: &RoomState, info: &RoomInfo, members: &[(UserId, Role)], event: &Event) -> Vec<MemberRow> {
    let partner =
        |user: UserId| members.iter().map(|(other, _)| *other).find(|other| *other != user).unwrap_or_default();
    let row =
        |(user, role): &(UserId, Role)| member_row(info, *user, partner(*user), &before.joining(*user, *role, event));
    members.iter().map(row).collect()
}

/// `partner` counts in p2p rooms alone.
fn member_row(info: &RoomInfo, user: UserId, partner: UserId, member: &Member) -> MemberRow {
    let partner = if info.room_type == RoomType::P2p { partner } else { UserId::default() };
    MemberRow {
        user,
        body: codec::encode_member(member),
        listing: Listing { room_type: info.room_type as u8, partner },
    }
}
