//! Making rooms, and adding members to those that are there. Both are planned first: whom the caller means to add, so that
//! their rate can be asked before it is looked up who of them may be added, and before anything happens.

use std::sync::Arc;

use super::{Node, RoomSummary};
use crate::{
    actors::{
        error::Call,
        room::{Applied, RoomMsg},
    },
    domain::{
        event::EventBody,
        ids::{BodyHash, RoomId, Seq, UserId},
        reject::Reject,
        room::{Author, Command, MakingRules, NewRoom, Role, RoomInfo, RoomType, may_add_members, users_in_call},
    },
    storage::codec,
};

/// A room that is about to be made, or found.
#[derive(Debug)]
pub struct RoomPlan {
    new: NewRoom,
    creation: BodyHash,
    /// The others, as they were named.
    named: Vec<UserId>,
    /// p2p: the other one.
    partner: Option<UserId>,
    id: Option<RoomId>,
    exists: bool,
}

/// A room that was made, or found.
#[derive(Debug)]
pub struct MadeRoom {
    /// As its maker sees it.
    pub room: RoomSummary,
    /// Whether this call made it.
    pub created: bool,
    /// Who was named and did not want to be added.
    pub not_added: Vec<UserId>,
}

/// Members that are about to be added.
#[derive(Debug)]
pub struct AddPlan {
    room: RoomId,
    users: Vec<UserId>,
}

impl RoomPlan {
    /// How many others it adds to a room, or tries to.
    #[must_use]
    pub fn adds(&self) -> usize {
        if self.exists { 0 } else { self.named.len() }
    }
}

impl AddPlan {
    /// How many users it adds, or tries to.
    #[must_use]
    pub fn adds(&self) -> usize {
        self.users.len()
    }
}

impl Node {
    /// Makes a room, or finds the p2p room of the pair, or the one of the maker's own id. Returns it and whether it was
    /// made.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn create_room(&self, author: Author, new: NewRoom) -> Call<(RoomSummary, bool)> {
        let plan = self.plan_room(author, new).await?;
        let made = self.make_room(author, plan).await?;
        Ok((made.room, made.created))
    }

    /// Checks what is to be made, and finds out whether it is there.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn plan_room(&self, author: Author, new: NewRoom) -> Call<RoomPlan> {
        let options = &self.context.options;
        let rules = MakingRules { members_max: options.members_max, anyone_joins_all: options.anyone_joins_all };
        let named = new.others(author, rules)?;
        let store = &self.context.store;
        let partner = named.first().copied().filter(|_| new.room_type == RoomType::P2p);
        let id = match partner {
            Some(other) => store.find_p2p_room(author.user, other).await?,
            None => new.id(author.user),
        };
        let exists = match id {
            Some(id) => store.head(id).await?.is_some(),
            None => false,
        };
        Ok(RoomPlan { creation: new.creation(&named), new, named, partner, id, exists })
    }

    /// Parts those whom a new room is made with from those who do not want it.
    async fn made_with(&self, author: Author, plan: &RoomPlan) -> Call<(Vec<UserId>, Vec<UserId>)> {
        if plan.exists {
            return Ok((plan.named.clone(), Vec::new()));
        }
        if let Some(other) = plan.partner
            && !author.admin
            && self.context.store.has_block(author.user, other).await?
        {
            return Err(Reject::PartnerBlocked.into());
        }
        let (added, not_added) = self.addable(author, plan.named.clone()).await?;
        if plan.partner.is_some() && !not_added.is_empty() {
            return Err(Reject::NotAddable.into());
        }
        Ok((added, not_added))
    }

    /// Makes what was planned.
    ///
    /// # Errors
    /// [`Reject::NotAddable`] when the other side of a p2p room does not want it; [`crate::actors::error::CallError`].
    pub async fn make_room(&self, author: Author, plan: RoomPlan) -> Call<MadeRoom> {
        let (added, not_added) = self.made_with(author, &plan).await?;
        let fresh = self.context.keys.fresh_room_id();
        let id = match (plan.partner, plan.id) {
            (Some(other), _) => self.context.store.p2p_room(author.user, other, fresh).await?,
            (None, id) => id.unwrap_or(fresh),
        };
        let mut members = vec![(author.user, Role::Owner)];
        members.extend(added.iter().map(|user| (*user, Role::Member)));
        let info = Arc::new(self.info(author, id, &plan));
        let blocked = match plan.partner {
            Some(other) => self.either_blocks(author.user, other).await?,
            None => false,
        };
        let applied = if plan.new.join_all_users && !plan.exists {
            self.make_for_everyone(author, info, members).await?
        } else {
            self.make(author, info, members, blocked).await?
        };
        let created = applied.seq.is_some();
        if let Some(other) = plan.partner.filter(|_| created) {
            self.tell_blocks(author.user, other, id).await?;
        }
        if plan.partner.is_some() && !created {
            self.unhide(author.user, id).await?;
        }
        let not_added = if created { not_added } else { self.left_out(id, &plan.named).await? };
        Ok(MadeRoom { room: self.room(author, id).await?, created, not_added })
    }

    /// Who of those named was left out when the room was made: what a repetition is told too.
    async fn left_out(&self, room: RoomId, named: &[UserId]) -> Call<Vec<UserId>> {
        let first = self.context.store.record(room, Seq(1)).await?;
        let first = first.map(|record| codec::decode_event(room, &record)).transpose()?;
        let Some(EventBody::Created { members, .. }) = first.map(|event| event.body) else {
            return Ok(Vec::new());
        };
        let was_added = |user: &UserId| members.iter().any(|(member, _)| member == user);
        Ok(named.iter().copied().filter(|user| !was_added(user)).collect())
    }

    /// Has the room made.
    pub(super) async fn make(
        &self,
        author: Author,
        info: Arc<RoomInfo>,
        members: Vec<(UserId, Role)>,
        blocked: bool,
    ) -> Call<Applied> {
        self.with_room(author, info.id, true, |handle| {
            if blocked {
                // A room that is not made yet has no sides whose blocks it could have read.
                let _ = handle.tell(RoomMsg::Blocked(true));
            }
            let command = Command::Create { info: Arc::clone(&info), members: members.clone() };
            async move { handle.command(author, command).await }
        })
        .await
    }

    fn info(&self, author: Author, id: RoomId, plan: &RoomPlan) -> RoomInfo {
        let new = &plan.new;
        let channel = new.room_type == RoomType::Channel;
        RoomInfo {
            id,
            room_type: new.room_type,
            name: new.name.clone(),
            description: new.description.clone(),
            picture: new.picture.clone(),
            created_at_ms: self.now_ms(),
            creator: author.user,
            members_can_send: new.members_can_send.unwrap_or(!channel),
            join_all_users: new.join_all_users,
            history_visible: new.history_visible.unwrap_or(channel || new.room_type == RoomType::P2p),
            encryption_data: self.context.keys.fresh(id),
            deleted: false,
            denied: Vec::new(),
            creation: plan.creation,
        }
    }

    /// Finds out which of these users are no members yet, if the author may add any.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn plan_adding(&self, author: Author, room: RoomId, users: Vec<UserId>) -> Call<AddPlan> {
        let access = self.access(author, room).await?;
        may_add_members(author, &access.info, access.member.as_ref())?;
        users_in_call(&users)?;
        let handle = self.wake(author, room, false).await?;
        let mut users = users;
        // Who is a member already stays as they are, whatever they want of others.
        handle.read(|state| users.retain(|user| !state.members.contains_key(user)));
        let mut seen = std::collections::HashSet::with_capacity(users.len());
        users.retain(|user| seen.insert(*user));
        Ok(AddPlan { room, users })
    }

    /// Adds whom it was planned to add; returns who was added, and who did not want to be.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn add_planned(&self, author: Author, plan: AddPlan) -> Call<(Vec<UserId>, Vec<UserId>)> {
        let (users, not_added) = self.addable(author, plan.users).await?;
        let added = match users {
            users if users.is_empty() => Vec::new(),
            users => self.command(author, plan.room, Command::Join(users)).await?.0.users,
        };
        Ok((added, not_added))
    }

    /// Adds members; returns who was added.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn add_members(&self, author: Author, room: RoomId, users: Vec<UserId>) -> Call<Vec<UserId>> {
        let plan = self.plan_adding(author, room, users).await?;
        Ok(self.add_planned(author, plan).await?.0)
    }
}
