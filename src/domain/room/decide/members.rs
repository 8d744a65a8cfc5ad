//! Who is in a room, and what they may do there.

use super::{Decider, one};
use crate::domain::{
    event::EventBody,
    ids::UserId,
    limits,
    reject::{Reject, text},
    room::{Change, Member, MemberPatch, Role, Speech, may_add_members, users_in_call},
};

impl Decider<'_> {
    pub(super) fn join(&self, users: &[UserId], members_max: usize) -> Result<Change, Reject> {
        may_add_members(self.author, self.info, self.state.members.get(&self.author.user))?;
        users_in_call(users)?;
        let mut new: Vec<UserId> =
            users.iter().copied().filter(|user| !self.state.members.contains_key(user)).collect();
        new.sort_unstable();
        new.dedup();
        if new.is_empty() {
            return Ok(Change::default());
        }
        if self.state.members.len() + new.len() > members_max {
            return Err(Reject::TooManyMembers);
        }
        // A room that everybody has left is the first one's who comes back.
        let first = users.first().filter(|_| self.state.members.is_empty());
        let role = |user: &UserId| if Some(user) == first { Role::Owner } else { Role::Member };
        let members = new.into_iter().map(|user| (user, role(&user))).collect();
        Ok(one(self.event(EventBody::Joined { members })))
    }

    pub(super) fn remove(&self, users: &[UserId]) -> Result<Change, Reject> {
        self.not_p2p()?;
        self.at_least(Role::Admin)?;
        users_in_call(users)?;
        let mut gone: Vec<UserId> =
            users.iter().copied().filter(|user| self.state.members.contains_key(user)).collect();
        gone.sort_unstable();
        gone.dedup();
        if gone.is_empty() {
            return Ok(Change::default());
        }
        let outranked = |user: &UserId| self.state.members.get(user).is_some_and(|m| self.role() < m.role);
        if self.role() != Role::Owner && !gone.iter().all(outranked) {
            return Err(Reject::RoleTooLow);
        }
        if gone.contains(&self.author.user) && self.state.heir(&gone).is_some() {
            // Leaving hands the room over; removing oneself among others would do it by surprise.
            return Err(Reject::LastOwner);
        }
        let heir = self.state.heir(&gone);
        Ok(one(self.event(EventBody::Left { users: gone, removed: true, heir })))
    }

    pub(super) fn leave(&self) -> Result<Change, Reject> {
        self.not_p2p()?;
        self.state.member(self.author)?;
        let users = vec![self.author.user];
        let heir = self.state.heir(&users);
        Ok(one(self.event(EventBody::Left { users, removed: false, heir })))
    }

    pub(super) fn change_member(&self, user: UserId, patch: &MemberPatch) -> Result<Change, Reject> {
        let before = self.state.members.get(&user).ok_or(Reject::MemberNotFound)?;
        let mut member = Member::clone(before);
        let own = user == self.author.user;
        if let Some(role) = patch.role.filter(|role| *role != before.role) {
            self.not_p2p()?;
            let steps_down = own && role > before.role;
            let below = before.role == Role::Member && role != Role::Owner;
            if !steps_down {
                self.at_least(Role::Admin)?;
                if self.role() != Role::Owner && !below {
                    return Err(Reject::RoleTooLow);
                }
            }
            member.role = role;
            let owners = self.state.members.values().filter(|m| m.role == Role::Owner).count();
            if before.role == Role::Owner && owners == 1 {
                return Err(Reject::LastOwner);
            }
        }
        if let Some(can_send) = patch.can_send.filter(|right| *right != before.can_send) {
            self.not_p2p()?;
            self.at_least(Role::Admin)?;
            if self.role() != Role::Owner && before.role != Role::Member {
                return Err(Reject::RoleTooLow);
            }
            member.can_send = can_send;
        }
        if let Some(nickname) = &patch.nickname {
            text("nickname", nickname, 0, limits::NAME_BYTES_MAX)?;
            if !own {
                self.at_least(Role::Admin)?;
            }
            if !nickname.is_empty() && *nickname != before.nickname {
                self.state.may_speak(self.author, Speech::Words)?;
            }
            member.nickname.clone_from(nickname);
        }
        if member == *before {
            return Ok(Change::default());
        }
        Ok(one(self.event(EventBody::MemberChanged { user, member })))
    }
}
