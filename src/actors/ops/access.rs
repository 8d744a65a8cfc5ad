//! How a room is read: its live state when it is awake, its rows when it sleeps. Reading does not wake a room.

use std::{collections::BTreeMap, sync::Arc};

use super::Node;
use crate::{
    actors::{
        error::Call,
        room::{RoomHandle, load},
    },
    domain::{
        ids::{MessageId, RoomId, Seq, UserId},
        message::Message,
        position::{Position, RoomHead},
        reject::Reject,
        room::{Author, Member, RoomInfo, RoomType},
        unread::Uncounted,
        view::View,
    },
    storage::{MessageRef, codec},
};

/// A caller's view into a room.
#[derive(Clone, Debug)]
pub struct Access {
    /// The room.
    pub room: RoomId,
    /// Settings.
    pub info: Arc<RoomInfo>,
    /// Newest numbers.
    pub head: RoomHead,
    /// The caller as a member; none for the admin role.
    pub member: Option<Member>,
    /// The caller's position.
    pub position: Position,
    /// The room, if it is awake.
    pub awake: Option<RoomHandle>,
    /// Messages that count as unread for nobody.
    pub uncounted: Arc<Uncounted>,
}

impl Access {
    /// What the caller may see of the room.
    #[must_use]
    pub fn view(&self) -> View {
        View::of(&self.position, self.member.as_ref())
    }

    /// The caller sees events after this one ([`View::reaches`]).
    #[must_use]
    pub fn floor(&self) -> Seq {
        self.view().floor
    }
}

impl Node {
    /// The author's view into a room.
    ///
    /// # Errors
    /// [`Reject::RoomNotFound`] also for those who are not members; [`Reject::RoomDeleted`].
    pub async fn access(&self, author: Author, room: RoomId) -> Call<Access> {
        let (info, uncounted, head, member, position, awake) = match self.rooms.awake(room) {
            Some(handle) => {
                let (info, uncounted, head, member, position) = handle.read(|s| {
                    let member = s.members.get(&author.user).cloned();
                    (s.info.clone(), Arc::clone(&s.uncounted), s.head, member, s.position(author.user))
                });
                (info, uncounted, head, member, position, Some(handle))
            }
            None => {
                let store = &self.context.store;
                // The head first: what counts for nobody is at least as new then.
                let head = store.head(room).await?.unwrap_or_default();
                let row = store.room(room).await?.map(|body| codec::decode_room(room, &body)).transpose()?;
                let (info, uncounted) = row.map(|(info, uncounted)| (Arc::new(info), uncounted)).unzip();
                let member =
                    store.member(room, author.user).await?.map(|body| codec::decode_member(&body)).transpose()?;
                let uncounted = Arc::new(uncounted.unwrap_or_default());
                (info, uncounted, head, member, store.position(room, author.user).await?, None)
            }
        };
        let info = info.filter(|_| member.is_some() || author.admin).ok_or(Reject::RoomNotFound)?;
        if info.deleted && !author.admin {
            return Err(Reject::RoomDeleted.into());
        }
        let position = if member.is_some() { position } else { Position::default() };
        Ok(Access { room, info, head, member, position, awake, uncounted })
    }

    /// Whether either side of a p2p room has blocked the other; false in other rooms.
    pub(super) async fn is_blocked(&self, author: Author, access: &Access) -> Call<bool> {
        if access.info.room_type != RoomType::P2p {
            return Ok(false);
        }
        if let Some(handle) = &access.awake {
            return Ok(handle.read(|s| s.blocked));
        }
        let members = self.context.store.members(access.room, UserId(0), 2).await?;
        let partner = members.into_iter().map(|(user, _)| user).find(|user| *user != author.user);
        match partner {
            Some(partner) => Ok(self.either_blocks(author.user, partner).await?),
            None => Ok(false),
        }
    }

    /// Where a message is, and the author's view into its room.
    ///
    /// # Errors
    /// [`Reject::MessageNotFound`] also when the author may not see it.
    pub(super) async fn locate(&self, author: Author, id: MessageId) -> Call<(Access, MessageRef)> {
        let found = self.context.store.find_message(id).await?.ok_or(Reject::MessageNotFound)?;
        self.locate_ref(author, found).await
    }

    pub(super) async fn locate_ref(&self, author: Author, found: MessageRef) -> Call<(Access, MessageRef)> {
        let access = match self.access(author, found.room).await {
            Err(crate::actors::error::CallError::Rejected(Reject::RoomNotFound)) => {
                return Err(Reject::MessageNotFound.into());
            }
            other => other?,
        };
        if !access.view().reaches(found.seq) || found.seq > access.head.seq {
            return Err(Reject::MessageNotFound.into());
        }
        Ok((access, found))
    }

    /// A message of a room in its present state.
    pub(super) async fn message_at(&self, access: &Access, seq: Seq) -> Call<Option<Arc<Message>>> {
        let warm = access.awake.as_ref().and_then(|handle| handle.read(|s| s.warm_message(seq).cloned()));
        match warm {
            Some(message) => Ok(Some(message)),
            None => Ok(load::message(&*self.context.store, access.room, seq).await?),
        }
    }

    /// Up to `limit` members with a greater id than `after`, with their positions.
    pub(super) async fn members_page(
        &self,
        access: &Access,
        after: UserId,
        limit: usize,
    ) -> Call<Vec<(UserId, Member, Position)>> {
        if let Some(handle) = &access.awake {
            return Ok(handle.read(|s| {
                let range = s.members.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
                range.take(limit).map(|(user, member)| (*user, member.clone(), s.position(*user))).collect()
            }));
        }
        let store = &self.context.store;
        let members = store.members(access.room, after, limit).await?;
        let positions: BTreeMap<UserId, Position> =
            store.positions(access.room, after, limit).await?.into_iter().collect();
        let mut page = Vec::with_capacity(members.len());
        for (user, body) in members {
            let position = match positions.get(&user) {
                Some(position) => *position,
                // Those who left keep their position, so the pages may not match.
                None => store.position(access.room, user).await?,
            };
            page.push((user, codec::decode_member(&body)?, position));
        }
        Ok(page)
    }
}
