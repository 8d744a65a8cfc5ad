//! Rooms as a user sees them: one of them, who is in it, and where unread comes from.

use std::sync::Arc;

use super::{Access, Node, UserProfile, status::LOOKS_PER_ANSWER};
use crate::{
    actors::{error::Call, room::RoomHandle, stream::MomentBody},
    domain::{
        ids::{Ordinal, RoomId, UserId},
        message::Message,
        position::{Position, RoomHead},
        reject::Reject,
        room::{Author, Command, InfoPatch, Member, Role, RoomInfo, RoomType},
        status::Status,
        unread::Unread,
    },
    storage::RoomPrefs,
};

/// Participants shown with a room.
const SHOWN_MAX: usize = 5;

/// A member, with what is known of the user.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who.
    pub user: UserId,
    /// As a member; none if they have left.
    pub member: Option<Member>,
    /// How far they have come.
    pub position: Position,
    /// Name and picture.
    pub profile: UserProfile,
}

/// A room as one user sees it.
#[derive(Clone, Debug)]
pub struct RoomSummary {
    /// Settings.
    pub info: Arc<RoomInfo>,
    /// Newest numbers.
    pub head: RoomHead,
    /// The user's role; none for the admin role.
    pub role: Option<Role>,
    /// Messages the user has not seen.
    pub unread: u64,
    /// The newest message that the user may see and has not hidden.
    pub last_message: Option<Arc<Message>>,
    /// How far it has come, if it is the user's own.
    pub last_status: Option<Status>,
    /// Some members.
    pub people: Vec<Person>,
    /// p2p: the other one.
    pub partner: Option<Person>,
    /// p2p: whether either side has blocked the other.
    pub blocked: bool,
    /// The user's own settings.
    pub prefs: RoomPrefs,
    /// Whether `prefs` hide it now.
    pub hidden: bool,
}

/// Where an unread number comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnreadExplained {
    /// The number, and what it is made of.
    pub unread: Unread,
    /// Ordinal of the newest message.
    pub last_n: Ordinal,
    /// The user's position.
    pub position: Position,
}

impl Node {
    /// One room as the author sees it.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn room(&self, author: Author, room: RoomId) -> Call<RoomSummary> {
        let access = self.access(author, room).await?;
        let entry = self.context.store.room_of(author.user, room).await?;
        let prefs = entry.map(|entry| entry.prefs).unwrap_or_default();
        self.summary(author, access, prefs, &mut LOOKS_PER_ANSWER.clone()).await
    }

    /// `looks` is how many members the answer may still look at for the status of last messages.
    pub(super) async fn summary(
        &self,
        author: Author,
        access: Access,
        prefs: RoomPrefs,
        looks: &mut usize,
    ) -> Call<RoomSummary> {
        let last_message = self.last_shown(author, &access, prefs).await?;
        let last_status = match &last_message {
            Some(message) => self.status_of(author, &access, message, looks).await?,
            None => None,
        };
        let members = self.members_page(&access, UserId(0), SHOWN_MAX).await?;
        let mut people = self.people(members).await?;
        let mut partner = None;
        let mut blocked = false;
        if access.info.room_type == RoomType::P2p {
            people.retain(|person| person.user != author.user);
            partner = people.first().cloned();
            blocked = match (&access.awake, &partner) {
                (Some(handle), _) => handle.read(|s| s.blocked),
                (None, Some(other)) => self.either_blocks(author.user, other.user).await?,
                (None, None) => false,
            };
        }
        Ok(RoomSummary {
            head: access.head,
            role: access.member.as_ref().map(|member| member.role),
            unread: self.unread(author.user, &access, access.position, prefs).await?.count(),
            last_message,
            last_status,
            people,
            partner,
            blocked,
            hidden: prefs.hidden_at.is_some_and(|n| access.head.n <= n),
            prefs,
            info: access.info,
        })
    }

    pub(super) async fn people(&self, members: Vec<(UserId, Member, Position)>) -> Call<Vec<Person>> {
        let users: Vec<UserId> = members.iter().map(|(user, ..)| *user).collect();
        let profiles = self.profiles(&users).await?;
        let person = |((user, member, position), profile)| Person { user, member: Some(member), position, profile };
        Ok(members.into_iter().zip(profiles).map(person).collect())
    }

    /// Where a user's unread number comes from; others' for the admin role alone.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn explain_unread(&self, author: Author, room: RoomId, user: UserId) -> Call<UnreadExplained> {
        if user != author.user && !author.admin {
            return Err(Reject::AdminOnly.into());
        }
        let access = self.access(author, room).await?;
        let position = match &access.awake {
            Some(handle) => handle.read(|s| s.position(user)),
            None => self.context.store.position(room, user).await?,
        };
        let unread = self.unread_of(user, &access, position).await?;
        Ok(UnreadExplained { unread, last_n: access.head.n, position })
    }

    /// Changes a room's settings.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn update_room(&self, author: Author, room: RoomId, patch: InfoPatch) -> Call<RoomSummary> {
        self.access(author, room).await?;
        self.command(author, room, Command::Update(patch)).await?;
        self.room(author, room).await
    }

    /// Deletes a group or channel for all; clears and hides a p2p room for the author.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn delete_room(&self, author: Author, room: RoomId) -> Call<()> {
        let access = self.access(author, room).await?;
        if access.info.room_type != RoomType::P2p {
            return self.command(author, room, Command::Close).await.map(drop);
        }
        let clear = |handle: RoomHandle| async move { handle.clear(author).await };
        let cleared = self.with_room(author, room, false, clear).await?;
        self.users.room_cleared(author.user, room, cleared);
        self.users.tell_own(author.user, Some(room), MomentBody::Cleared { up_to: cleared.floor_seq });
        self.hide_room(author, room).await
    }

    /// Leaves a group or channel; hides a p2p room.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn leave(&self, author: Author, room: RoomId) -> Call<()> {
        let access = self.access(author, room).await?;
        if access.info.room_type == RoomType::P2p {
            return self.hide_room(author, room).await;
        }
        self.command(author, room, Command::Leave).await.map(drop)
    }
}
