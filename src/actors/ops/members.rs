//! Who is in a room.

use super::{Node, Person};
use crate::{
    actors::error::Call,
    domain::{
        ids::{RoomId, UserId},
        reject::Reject,
        room::{Author, Command, MemberPatch},
    },
};

impl Node {
    /// Removes members; returns who was removed.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn remove_members(&self, author: Author, room: RoomId, users: Vec<UserId>) -> Call<Vec<UserId>> {
        self.access(author, room).await?;
        Ok(self.command(author, room, Command::Remove(users)).await?.0.users)
    }

    /// Changes a member; returns it as it is now.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn change_member(&self, author: Author, room: RoomId, user: UserId, patch: MemberPatch) -> Call<Person> {
        self.access(author, room).await?;
        let (_, handle) = self.command(author, room, Command::ChangeMember { user, patch }).await?;
        let (member, position) = handle.read(|s| (s.members.get(&user).cloned(), s.position(user)));
        let profile = self.profiles(&[user]).await?.pop().unwrap_or_default();
        let member = Some(member.ok_or(Reject::MemberNotFound)?);
        Ok(Person { user, member, position, profile })
    }
}
