//! Who is in a room.

use super::Node;
use crate::{
    actors::error::Call,
    domain::{
        ids::{RoomId, UserId},
        reject::Reject,
        room::{Author, Command, MemberPatch},
    },
};

use super::Person;

impl Node {
    /// Adds members; returns who was added.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn add_members(&self, author: Author, room: RoomId, users: Vec<UserId>) -> Call<Vec<UserId>> {
        self.access(author, room).await?;
        self.with_room(room, false, |handle| {
            let command = Command::Join(users.clone());
            async move { handle.command(author, command).await }
        })
        .await
        .map(|applied| applied.users)
    }

    /// Removes members; returns who was removed.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn remove_members(&self, author: Author, room: RoomId, users: Vec<UserId>) -> Call<Vec<UserId>> {
        self.access(author, room).await?;
        self.with_room(room, false, |handle| {
            let command = Command::Remove(users.clone());
            async move { handle.command(author, command).await }
        })
        .await
        .map(|applied| applied.users)
    }

    /// Changes a member; returns it as it is now.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn change_member(&self, author: Author, room: RoomId, user: UserId, patch: MemberPatch) -> Call<Person> {
        self.access(author, room).await?;
        let handle = self.rooms().wake(room, false).await?;
        self.with_room(room, false, |handle| {
            let command = Command::ChangeMember { user, patch: patch.clone() };
            async move { handle.command(author, command).await }
        })
        .await?;
        let (member, position) =
            handle.read(|s| (s.members.get(&user).cloned(), s.positions.get(&user).copied().unwrap_or_default()));
        let profile = self.profiles(&[user]).await?.pop().unwrap_or_default();
        let member = Some(member.ok_or(Reject::MemberNotFound)?);
        Ok(Person { user, member, position, profile })
    }
}
