//! Asking a room: it is woken, for those who may see it, and asked again when it had just gone.

use std::{future::Future, time::Duration};

use super::Node;
use crate::{
    actors::{
        error::{Call, CallError},
        fair_share::Spent,
        room::{Applied, RoomHandle},
    },
    domain::{
        ids::RoomId,
        reject::Reject,
        room::{Author, Command},
    },
};

/// How often an operation asks again when the room it asked had just gone.
pub(super) const ATTEMPTS_MAX: u32 = 6;

/// Rows that are charged at most for waking a room: whoever happens to come first must be able to go on.
const WAKE_ROWS_MAX: usize = 10_000;

impl Node {
    /// The room, awake. Waking costs a write and memory: who is no member, or has left, wakes nothing with an id that
    /// they know. What reading a large room costs is charged to who woke it.
    pub(super) async fn wake(&self, author: Author, room: RoomId, to_create: bool) -> Call<RoomHandle> {
        if let Some(handle) = self.rooms.awake(room) {
            return Ok(handle);
        }
        let mut is_there = to_create;
        if !to_create && !author.admin {
            // A room with a member is there: no need to look.
            is_there = self.context.store.member(room, author.user).await?.is_some();
            if !is_there {
                return Err(Reject::RoomNotFound.into());
            }
        }
        let handle = self.rooms.wake(room, is_there).await?;
        let members = handle.read(|s| s.members.len());
        self.context.shares.charge(author.user, Spent::rows(members.min(WAKE_ROWS_MAX)));
        Ok(handle)
    }

    /// Does something with a room that is awake, again if the room had gone meanwhile.
    pub(super) async fn with_room<T, F, R>(&self, author: Author, room: RoomId, to_create: bool, ask: F) -> Call<T>
    where
        F: Fn(RoomHandle) -> R + Send,
        R: Future<Output = Call<T>> + Send,
    {
        for attempt in 1..=ATTEMPTS_MAX {
            let handle = self.wake(author, room, to_create).await?;
            match ask(handle).await {
                Err(CallError::Gone) if attempt < ATTEMPTS_MAX => pause(attempt).await,
                answer => return answer,
            }
        }
        Err(CallError::Gone)
    }

    /// Gives a room a command. The handle returned is the one of the incarnation that carried it out: what it shows
    /// contains the command's effect, whatever became of the incarnation since.
    ///
    /// # Errors
    /// [`CallError`].
    pub(super) async fn command(&self, author: Author, room: RoomId, command: Command) -> Call<(Applied, RoomHandle)> {
        self.with_room(author, room, false, |handle| {
            let command = command.clone();
            async move { Ok((handle.command(author, command).await?, handle)) }
        })
        .await
    }
}

/// Before asking again: a room needs a moment to come back.
pub(super) async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(1 << attempt)).await;
}
