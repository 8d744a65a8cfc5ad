//! Who was in a room when: one membership a user out of however many rows, wide enough for what the user sent.

use std::collections::BTreeMap;

use super::{
    odd::Oddities,
    row::{SourceMember, SourceRoom},
    source::Times,
};
use crate::domain::{
    ids::{RoomId, UserId},
    room::{Role, RoomType},
};

/// One user's time in a room.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) role: Role,
    pub(super) from_ms: i64,
    /// When they left; none for those who are there.
    pub(super) until_ms: Option<i64>,
    /// The row as it was; none for who sent without one.
    pub(super) row: Option<SourceMember>,
    /// Reading went this far.
    pub(super) read_ms: Option<i64>,
}

/// Everybody who was ever in the room.
#[derive(Clone, Debug)]
pub(super) struct Memberships {
    pub(super) all: BTreeMap<UserId, Membership>,
    /// When the room began.
    pub(super) began_ms: i64,
}

impl Memberships {
    pub(super) fn of(room: &SourceRoom, rows: Vec<SourceMember>, times: &Times, now_ms: i64, odd: &Oddities) -> Self {
        let first_sent = times.sent.values().map(|(first, _)| *first).min();
        let joined = rows.iter().filter_map(|row| row.joined_ms).min();
        let began_ms = [room.created_ms, first_sent, joined].into_iter().flatten().min().unwrap_or(now_ms).min(now_ms);
        let mut all: BTreeMap<UserId, Membership> = BTreeMap::new();
        for row in rows {
            let example = || format!("{} user {}", room.id, row.user);
            let before = all.get(&row.user).and_then(|before| before.row.clone());
            if let Some(before) = &before {
                odd.add(
                    "room_member: several rows of one user; the one that is not removed, else the last, counts",
                    example(),
                );
                if before.is_current() && !row.is_current() {
                    continue;
                }
            }
            let first_ms = before.and_then(|before| before.joined_ms);
            let from_ms = [row.joined_ms, first_ms].into_iter().flatten().min().unwrap_or(began_ms);
            let until_ms = row.removed_ms.map(|ms| ms.min(now_ms));
            let read_ms = row.read_ms.max(times.read.get(&row.user).copied());
            let member = Membership { role: row.role, from_ms, until_ms, read_ms, row: Some(row.clone()) };
            all.insert(row.user, member);
        }
        for (user, (first, last)) in &times.sent {
            if let Some(member) = all.get_mut(user) {
                member.from_ms = member.from_ms.min(*first);
                member.until_ms = member.until_ms.map(|until| until.max(*last));
            } else {
                let rule = "room_message: the sender was never a member; a member from the first to the last message";
                odd.add(rule, format!("{} user {user}", room.id));
                let (from_ms, until_ms) = (*first, Some(*last));
                all.insert(*user, Membership { role: Role::Member, from_ms, until_ms, row: None, read_ms: None });
            }
        }
        let mut this = Self { all, began_ms };
        this.own(room.id, room.creator, odd);
        this
    }

    /// A room that anybody is in has an OWNER.
    fn own(&mut self, room: RoomId, creator: Option<UserId>, odd: &Oddities) {
        let current = || self.all.iter().filter(|(_, member)| member.until_ms.is_none());
        if current().any(|(_, member)| member.role == Role::Owner) {
            return;
        }
        let first =
            |(user, member): &(&UserId, &Membership)| (Some(**user) != creator, member.role, member.from_ms, **user);
        let Some((heir, _)) = current().min_by_key(first) else { return };
        let heir = *heir;
        odd.add("room: no OWNER; the maker, else the oldest ADMIN, else the oldest MEMBER is", room);
        self.all.entry(heir).and_modify(|member| member.role = Role::Owner);
    }

    /// Those who were there from the beginning; at least one, if there was ever anybody.
    pub(super) fn founders(&self, room_type: RoomType) -> Vec<(UserId, Role)> {
        let began = self.all.values().map(|member| member.from_ms).min().unwrap_or(self.began_ms).max(self.began_ms);
        let founded = |member: &Membership| room_type == RoomType::P2p || member.from_ms <= began;
        self.all.iter().filter(|(_, member)| founded(member)).map(|(user, member)| (*user, member.role)).collect()
    }
}
