//! After a crash: rooms that were awake are woken, and background work goes on.

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Node;
use crate::{
    actors::{directory::Rooms, error::CallError},
    domain::ids::RoomId,
    storage::Result as StoreResult,
    tasks::{self, TaskKind},
};

/// Rooms woken at once after a crash.
const RECOVER_AT_ONCE: usize = 16;
/// Pauses before a room is tried again that could not be woken after a crash: the first, and the longest.
const RECOVER_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl Node {
    /// Wakes the rooms that were awake when their process died, so that what they had not published goes out, and goes
    /// on with unfinished background work. Returns how many rooms it found; they are woken beside whatever follows, a few
    /// at a time, and one that cannot be woken holds up no other.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn recover(&self) -> StoreResult<usize> {
        let mut found: Vec<RoomId> = Vec::new();
        loop {
            let page = self.context.store.active_rooms(found.last().copied(), 1_000).await?;
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        let (count, rooms) = (found.len(), self.rooms.clone());
        tasks::spawn(TaskKind::Recover, async move {
            let at_once = Arc::new(Semaphore::new(RECOVER_AT_ONCE));
            for room in found {
                // Closed with the node alone, which never closes it.
                let permit = Arc::clone(&at_once).acquire_owned().await.ok();
                let (rooms, at_once) = (rooms.clone(), Arc::clone(&at_once));
                tasks::spawn(TaskKind::Recover, recover_room(rooms, room, permit, at_once));
            }
        });
        self.resume_join_jobs().await?;
        Ok(count)
    }
}

/// Wakes a room, again and again if that may help. Others have its permit while it waits.
async fn recover_room(rooms: Rooms, room: RoomId, mut permit: Option<OwnedSemaphorePermit>, at_once: Arc<Semaphore>) {
    let mut pause = RECOVER_PAUSE.0;
    loop {
        let error = match rooms.wake(room, true).await {
            Ok(_) | Err(CallError::Draining | CallError::Rejected(_)) => return,
            Err(error) => error,
        };
        drop(permit.take());
        let is_final = matches!(&error, CallError::Store(error) if !error.is_of_store());
        if is_final {
            tracing::error!(%room, error = %crate::error::Chain(&error), "room not recovered");
            return;
        }
        tracing::warn!(%room, error = %crate::error::Chain(&error), "room not recovered, will be tried again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECOVER_PAUSE.1);
        permit = Arc::clone(&at_once).acquire_owned().await.ok();
    }
}
