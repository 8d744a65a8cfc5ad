//! The directory of rooms: the only one that wakes them and puts them to sleep, so that a room has at most one
//! incarnation on a node. [`Rooms`] is its outside face.

mod actor;

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use ractor::{Actor, ActorRef};
use tokio::{sync::oneshot, time::timeout};

pub(crate) use actor::DirectoryMsg;
use actor::{Directory, DirectorySeed};

use super::{
    Context,
    error::{Call, CallError},
    room::RoomHandle,
    user::Users,
};
use crate::{
    domain::{ids::RoomId, reject::Reject},
    tasks::{self, TaskKind},
};

/// Finds rooms, waking them when they sleep.
#[derive(Clone, Debug)]
pub struct Rooms {
    context: Arc<Context>,
    active: Arc<DashMap<RoomId, RoomHandle>>,
    directory: ActorRef<DirectoryMsg>,
}

impl Rooms {
    /// Starts the directory.
    ///
    /// # Errors
    /// When the actor cannot be spawned.
    pub(crate) async fn start(context: Arc<Context>, users: Users) -> Result<Self, ractor::SpawnErr> {
        let active = Arc::new(DashMap::new());
        let seed = DirectorySeed { context: Arc::clone(&context), users, active: Arc::clone(&active) };
        let (directory, _) = Actor::spawn(None, Directory, seed).await?;
        let sweep = (context.options.room_idle / 4).clamp(Duration::from_millis(50), Duration::from_secs(15));
        let actor = directory.clone();
        tasks::spawn(TaskKind::Sweep, async move {
            loop {
                tokio::time::sleep(sweep).await;
                if actor.cast(DirectoryMsg::Sweep).is_err() {
                    break;
                }
            }
        });
        Ok(Self { context, active, directory })
    }

    /// The room if it is awake.
    #[must_use]
    pub fn awake(&self, room: RoomId) -> Option<RoomHandle> {
        self.active.get(&room).map(|handle| handle.clone())
    }

    /// All rooms awake.
    #[must_use]
    pub fn all_awake(&self) -> Vec<RoomHandle> {
        self.active.iter().map(|entry| entry.value().clone()).collect()
    }

    /// The room, awake. A room that does not exist is woken only to be made; one that is known to be there, or to be made,
    /// is not looked for.
    ///
    /// # Errors
    /// [`Reject::RoomNotFound`]; [`CallError`] when it cannot be woken.
    pub async fn wake(&self, room: RoomId, is_there: bool) -> Call<RoomHandle> {
        if let Some(handle) = self.awake(room) {
            return Ok(handle);
        }
        if !is_there && self.context.store.head(room).await?.is_none() {
            return Err(Reject::RoomNotFound.into());
        }
        let (reply, answer) = oneshot::channel();
        self.directory.cast(DirectoryMsg::Wake { room, reply }).map_err(|_| CallError::Draining)?;
        match timeout(self.context.options.request_timeout, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(CallError::Draining),
            Err(_) => Err(CallError::Deadline),
        }
    }

    /// Puts a room to sleep if nothing is under way in it. Returns whether it was asked to.
    pub async fn passivate(&self, room: RoomId) -> bool {
        if self.awake(room).is_none() {
            return false;
        }
        let (reply, answer) = oneshot::channel();
        let asked = self.directory.cast(DirectoryMsg::Passivate { room, reply: Some(reply) }).is_ok();
        asked && answer.await.unwrap_or(false)
    }

    /// Puts all rooms to sleep, each once it has nothing under way, and takes no more commands. Returns whether all
    /// were asleep within `limit`.
    pub(crate) async fn drain(&self, limit: Duration) -> bool {
        let (reply, answer) = oneshot::channel();
        if self.directory.cast(DirectoryMsg::Drain { reply }).is_err() {
            return true;
        }
        timeout(limit, answer).await.is_ok()
    }

    /// Kills the directory and all rooms where they stand.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn kill_all(&self) {
        self.directory.kill();
    }

    /// Kills a room's actor where it stands, as a crash would; for tests of recovery.
    #[cfg(any(test, feature = "testkit"))]
    pub fn kill(&self, room: RoomId) {
        let _ = self.directory.cast(DirectoryMsg::Kill { room });
    }
}
