//! Commands other than sends and reads: each is decided alone, against the durable state.
//!
//! Here is which rule decides a command and what all rules share; the rules are beside it, by what they are about.

mod members;
mod messages;
mod settings;

use std::sync::Arc;

use super::{Author, Change, Command, Role, RoomInfo, RoomState, RoomType, Subject};
use crate::domain::{
    event::{Event, EventBody},
    ids::UserId,
    reject::Reject,
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
            return self.create(author, info, members, now_ms, members_max);
        }
        // Words can be taken back by who said them, wherever they are now.
        let withdraws = matches!(command, Command::Delete { .. }) && subject.is_by(author.user);
        let info = match self.live_info() {
            Some(info) if author.admin || withdraws || self.members.contains_key(&author.user) => info,
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
            Command::Delete { .. } => decider.delete(decider.erasable(subject)?),
            Command::React { reaction, remove, .. } => {
                decider.react(decider.visible(subject)?, reaction, *remove, subject.has_reaction)
            }
            Command::Pin { pinned, .. } => decider.pin(decider.visible(subject)?, *pinned),
            Command::GiveWay { .. } => decider.give_way(subject),
        }
    }

    fn create(
        &self,
        author: Author,
        info: &Arc<RoomInfo>,
        members: &[(UserId, Role)],
        now_ms: i64,
        members_max: usize,
    ) -> Result<Change, Reject> {
        if let Some(made) = &self.info {
            // A p2p room that both sides make at once, or a creation that is repeated: the second finds it made.
            let same = made.creation == info.creation;
            return if same { Ok(Change::default()) } else { Err(Reject::ClientRoomIdReused) };
        }
        if members.len() > members_max {
            return Err(Reject::TooManyMembers);
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
}
