//! Commands other than sends and reads: each is decided alone, against the durable state.

use std::sync::Arc;

use super::{Author, Change, Command, InfoPatch, Member, MemberPatch, Role, RoomInfo, RoomState, RoomType, Subject};
use crate::domain::{
    event::{Event, EventBody, Target},
    ids::UserId,
    limits,
    message::{Draft, Message},
    reject::{Flaw, Reject, count, text},
};

impl RoomState {
    /// What the command would do at `now_ms`. `subject` holds what [`Command::message`] names. `members_max` bounds the
    /// room's size. An empty change means that all is as wished already.
    ///
    /// # Errors
    /// [`Reject`] when the rules do not allow it.
    pub fn decide(
        &self,
        author: Author,
        command: &Command,
        subject: &Subject,
        now_ms: i64,
        members_max: usize,
    ) -> Result<Change, Reject> {
        if let Command::Create { info, members } = command {
            return self.create(author, info, members, now_ms);
        }
        let info = match self.live_info() {
            Some(info) if author.admin || self.members.contains_key(&author.user) => info,
            None if self.members.contains_key(&author.user) => return Err(Reject::RoomDeleted),
            _ => return Err(Reject::RoomNotFound),
        };
        let decider = Decider { state: self, info, author, now_ms };
        match command {
            Command::Create { .. } => Ok(Change::default()),
            Command::Update(patch) => decider.update(patch),
            Command::Close => decider.close(),
            Command::Join(users) => decider.join(users, members_max),
            Command::Remove(users) => decider.remove(users),
            Command::Leave => decider.leave(),
            Command::ChangeMember { user, patch } => decider.change_member(*user, patch),
            Command::Edit { content, encrypted, mentions, .. } => {
                decider.edit(decider.visible(subject)?, content, *encrypted, mentions)
            }
            Command::Delete { .. } => decider.delete(decider.visible(subject)?),
            Command::React { reaction, remove, .. } => {
                decider.react(decider.visible(subject)?, reaction, *remove, subject.has_reaction)
            }
            Command::Pin { pinned, .. } => decider.pin(decider.visible(subject)?, *pinned),
        }
    }

    fn create(
        &self,
        author: Author,
        info: &Arc<RoomInfo>,
        members: &[(UserId, Role)],
        now_ms: i64,
    ) -> Result<Change, Reject> {
        if self.info.is_some() {
            // A p2p room that both sides make at once: the second finds it made.
            return Ok(Change::default());
        }
        let body = EventBody::Created { info: Arc::clone(info), members: members.to_vec() };
        Ok(one(Event {
            room: self.id,
            seq: self.head.seq.next(),
            n: self.head.n,
            at_ms: now_ms,
            actor: author.user,
            body,
        }))
    }
}

fn one(event: Event) -> Change {
    Change { events: vec![event], ..Change::default() }
}

struct Decider<'a> {
    state: &'a RoomState,
    info: &'a Arc<RoomInfo>,
    author: Author,
    now_ms: i64,
}

impl Decider<'_> {
    fn event(&self, body: EventBody) -> Event {
        Event {
            room: self.state.id,
            seq: self.state.head.seq.next(),
            n: self.state.head.n,
            at_ms: self.now_ms,
            actor: self.author.user,
            body,
        }
    }

    /// The author's role; the admin role counts as OWNER.
    fn role(&self) -> Role {
        if self.author.admin {
            return Role::Owner;
        }
        self.state.members.get(&self.author.user).map_or(Role::Member, |m| m.role)
    }

    fn at_least(&self, role: Role) -> Result<(), Reject> {
        if self.role() <= role { Ok(()) } else { Err(Reject::RoleTooLow) }
    }

    fn not_p2p(&self) -> Result<(), Reject> {
        if self.info.room_type == RoomType::P2p { Err(Reject::WrongRoomType) } else { Ok(()) }
    }

    /// The message in question, if the author may see it.
    fn visible<'s>(&self, subject: &'s Subject) -> Result<&'s Arc<Message>, Reject> {
        let message = subject.message.as_ref().ok_or(Reject::MessageNotFound)?;
        let floor = self.state.position(self.author.user).floor_seq;
        if message.seq <= floor && !self.author.admin { Err(Reject::MessageNotFound) } else { Ok(message) }
    }

    fn update(&self, patch: &InfoPatch) -> Result<Change, Reject> {
        self.not_p2p()?;
        self.at_least(Role::Admin)?;
        let mut info = RoomInfo::clone(self.info);
        if let Some(name) = &patch.name {
            text("name", name, 1, limits::NAME_BYTES_MAX)?;
            info.name.clone_from(name);
        }
        if let Some(description) = &patch.description {
            text("description", description, 0, limits::DESCRIPTION_BYTES_MAX)?;
            info.description.clone_from(description);
        }
        if let Some(picture) = &patch.picture {
            text("picture", picture, 0, limits::URL_BYTES_MAX)?;
            info.picture.clone_from(picture);
        }
        info.members_can_send = patch.members_can_send.unwrap_or(info.members_can_send);
        info.history_visible = patch.history_visible.unwrap_or(info.history_visible);
        if info == **self.info {
            return Ok(Change::default());
        }
        Ok(one(self.event(EventBody::InfoChanged(Arc::new(info)))))
    }

    fn close(&self) -> Result<Change, Reject> {
        self.not_p2p()?;
        self.at_least(Role::Owner)?;
        Ok(one(self.event(EventBody::Closed)))
    }

    fn join(&self, users: &[UserId], members_max: usize) -> Result<Change, Reject> {
        self.not_p2p()?;
        self.at_least(Role::Admin)?;
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
        let members = new.into_iter().map(|user| (user, Role::Member)).collect();
        Ok(one(self.event(EventBody::Joined { members })))
    }

    fn remove(&self, users: &[UserId]) -> Result<Change, Reject> {
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

    fn leave(&self) -> Result<Change, Reject> {
        self.not_p2p()?;
        self.state.member(self.author)?;
        let users = vec![self.author.user];
        let heir = self.state.heir(&users);
        Ok(one(self.event(EventBody::Left { users, removed: false, heir })))
    }

    fn change_member(&self, user: UserId, patch: &MemberPatch) -> Result<Change, Reject> {
        let before = self.state.members.get(&user).ok_or(Reject::MemberNotFound)?;
        let mut member = Member::clone(before);
        let own = user == self.author.user;
        if let Some(role) = patch.role.filter(|role| *role != before.role) {
            self.not_p2p()?;
            self.at_least(Role::Admin)?;
            let below = before.role == Role::Member && role != Role::Owner;
            if self.role() != Role::Owner && !below {
                return Err(Reject::RoleTooLow);
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
            member.nickname.clone_from(nickname);
        }
        if member == *before {
            return Ok(Change::default());
        }
        Ok(one(self.event(EventBody::MemberChanged { user, member })))
    }

    fn touch(&self, message: Message, body: impl FnOnce(&Arc<Message>) -> EventBody) -> Change {
        let message = Arc::new(message);
        let event = self.event(body(&message));
        Change { events: vec![event], touched: Some(message), ..Change::default() }
    }

    fn edit(
        &self,
        message: &Arc<Message>,
        content: &str,
        encrypted: bool,
        mentions: &[UserId],
    ) -> Result<Change, Reject> {
        if message.deleted {
            return Err(Reject::MessageDeleted);
        }
        if message.sender != self.author.user {
            return Err(Reject::NotYourMessage);
        }
        if message.edits.len() >= limits::EDITS_MAX {
            return Err(Reject::TooManyEdits);
        }
        let draft = Draft {
            content: content.to_owned(),
            encrypted,
            mentions: mentions.to_vec(),
            ..Draft::clone(&message.draft)
        };
        draft.validate()?;
        self.state.may_mention(mentions)?;
        if draft == *message.draft {
            return Ok(Change::default());
        }
        let mut edited = Message::clone(message);
        edited.draft = Arc::new(draft);
        edited.edited_at_ms = self.now_ms;
        edited.edits.push(self.state.head.seq.next());
        Ok(self.touch(edited, |message| EventBody::Edited(Arc::clone(message))))
    }

    fn delete(&self, message: &Arc<Message>) -> Result<Change, Reject> {
        if message.deleted {
            return Ok(Change::default());
        }
        let moderator = self.info.room_type != RoomType::P2p && self.role() <= Role::Admin;
        if message.sender != self.author.user && !moderator {
            return Err(Reject::NotYourMessage);
        }
        let redacted = std::iter::once(message.seq).chain(message.edits.iter().copied()).collect();
        let change = self.touch(message.erased(), |m| EventBody::Deleted(Target { id: m.id, seq: m.seq }));
        Ok(Change { redacted, ..change })
    }

    fn react(&self, message: &Arc<Message>, reaction: &str, remove: bool, has: bool) -> Result<Change, Reject> {
        text("reaction", reaction, 1, limits::REACTION_BYTES_MAX)?;
        if message.deleted {
            return Err(Reject::MessageDeleted);
        }
        self.state.member(self.author)?;
        if has != remove {
            return Ok(Change::default());
        }
        let mut reacted = Message::clone(message);
        if remove {
            for (name, count) in &mut reacted.reactions {
                if name == reaction {
                    *count = count.saturating_sub(1);
                }
            }
            reacted.reactions.retain(|(_, count)| *count > 0);
        } else if let Some((_, count)) = reacted.reactions.iter_mut().find(|(name, _)| name == reaction) {
            *count += 1;
        } else {
            if reacted.reactions.len() >= limits::REACTIONS_MAX {
                return Err(Reject::TooManyReactions);
            }
            reacted.reactions.push((reaction.to_owned(), 1));
        }
        let reaction = reaction.to_owned();
        Ok(self.touch(reacted, |m| EventBody::Reacted {
            target: Target { id: m.id, seq: m.seq },
            reaction,
            removed: remove,
        }))
    }

    fn pin(&self, message: &Arc<Message>, pinned: bool) -> Result<Change, Reject> {
        if self.info.room_type != RoomType::P2p {
            self.at_least(Role::Admin)?;
        }
        if message.deleted {
            return Err(Reject::MessageDeleted);
        }
        if message.pinned == pinned {
            return Ok(Change::default());
        }
        if pinned && self.state.pins.len() >= limits::PINS_MAX {
            return Err(Reject::TooManyPins);
        }
        let mut message = Message::clone(message);
        message.pinned = pinned;
        Ok(self.touch(message, |m| EventBody::Pinned { target: Target { id: m.id, seq: m.seq }, pinned }))
    }
}

fn users_in_call(users: &[UserId]) -> Result<(), Reject> {
    if users.is_empty() {
        return Err(Reject::invalid("user_ids", Flaw::Missing));
    }
    if users.iter().any(|user| user.0 < 1) {
        return Err(Reject::invalid("user_ids", Flaw::OutOfRange));
    }
    count("user_ids", users.len(), limits::USERS_PER_CALL_MAX)
}
