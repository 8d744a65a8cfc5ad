//! After a crash: rooms that were awake are woken, and background work goes on.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::Node;
use crate::{
    actors::error::CallError,
    storage::Result as StoreResult,
    tasks::{self, TaskKind},
};

/// Rooms woken at once after a crash.
const RECOVER_AT_ONCE: usize = 16;
/// Pause before a room is tried again that could not be woken after a crash.
const RECOVER_PAUSE: Duration = Duration::from_secs(1);
impl Node {
    /// Wakes the rooms that were awake when their process died, so that what they had not published goes out, and goes
    /// on with unfinished background work. Returns how many rooms it found.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub async fn recover(&self) -> StoreResult<usize> {
        let mut after = None;
        let mut found = 0;
        let at_once = Arc::new(Semaphore::new(RECOVER_AT_ONCE));
        loop {
            let page = self.context.store.active_rooms(after, 1_000).await?;
            let Some(last) = page.last().copied() else {
                break;
            };
            after = Some(last);
            for room in page {
                found += 1;
                let Ok(permit) = Arc::clone(&at_once).acquire_owned().await else {
                    break;
                };
                let rooms = self.rooms.clone();
                tasks::spawn(TaskKind::Recover, async move {
                    loop {
                        match rooms.wake(room, true).await {
                            Ok(_) | Err(CallError::Draining | CallError::Rejected(_)) => break,
                            Err(error) => {
                                tracing::warn!(%room, error = %crate::error::Chain(&error), "room not recovered, will be tried again");
                                tokio::time::sleep(RECOVER_PAUSE).await;
                            }
                        }
                    }
                    drop(permit);
                });
            }
        }
        self.resume_join_jobs().await?;
        Ok(found)
    }
}
