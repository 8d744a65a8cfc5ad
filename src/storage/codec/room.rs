//! Rooms' settings and members.

use bytes::Bytes;

use super::{bytes_of, corrupt, parse, small, stored};
use crate::{
    domain::{
        ids::{BodyHash, RoomId, Seq, UserId},
        room::{Member, Role, RoomInfo, RoomType},
        unread::Uncounted,
    },
    storage::Result,
};

pub(super) fn info_out(info: &RoomInfo) -> stored::Info {
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
        uncounted: Vec::new(),
        denied: info.denied.iter().map(|user| user.0).collect(),
        creation: if info.creation == BodyHash::default() { Vec::new() } else { info.creation.0.to_vec() },
    }
}

pub(super) fn info_in(id: RoomId, stored: stored::Info) -> Result<RoomInfo> {
    let creation = match stored.creation.as_slice() {
        [] => BodyHash::default(),
        hash => BodyHash(hash.try_into().map_err(|_| corrupt("hash of a creation"))?),
    };
    Ok(RoomInfo {
        id,
        room_type: small(stored.room_type).and_then(RoomType::from_number).ok_or_else(|| corrupt("room type"))?,
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
        denied: stored.denied.into_iter().map(UserId).collect(),
        creation,
    })
}

/// A room's row: its settings, and what counts as unread for nobody.
#[must_use]
pub fn encode_room(info: &RoomInfo, uncounted: &Uncounted) -> Bytes {
    let mut last = 0;
    let steps = uncounted.runs().iter().flat_map(|(first, end)| {
        let step = [first - last, end - first];
        last = *end;
        step
    });
    bytes_of(&stored::Info { uncounted: steps.collect(), ..info_out(info) })
}

/// Reads [`encode_room`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_room(id: RoomId, bytes: &[u8]) -> Result<(RoomInfo, Uncounted)> {
    let mut stored: stored::Info = parse(bytes)?;
    let mut last = 0_u64;
    let steps = std::mem::take(&mut stored.uncounted);
    let runs = steps.chunks_exact(2).map(|step| {
        let first = last.saturating_add(step[0]);
        last = first.saturating_add(step[1]);
        (first, last)
    });
    let uncounted = Uncounted::from_runs(runs);
    Ok((info_in(id, stored)?, uncounted))
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

pub(super) fn member_out(member: &Member) -> stored::Member {
    stored::Member {
        role: member.role as u32,
        can_send: member.can_send,
        nickname: member.nickname.clone(),
        joined_at_ms: member.joined_at_ms,
        joined_seq: member.joined_seq.0,
        floor_seq: member.floor_seq.map(|seq| seq.0),
    }
}

pub(super) fn member_in(stored: stored::Member) -> Result<Member> {
    Ok(Member {
        role: small(stored.role).and_then(Role::from_number).ok_or_else(|| corrupt("role"))?,
        can_send: stored.can_send,
        nickname: stored.nickname,
        joined_at_ms: stored.joined_at_ms,
        joined_seq: Seq(stored.joined_seq),
        floor_seq: stored.floor_seq.map(Seq),
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
