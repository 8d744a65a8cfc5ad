//! Going to sleep: the cursor of the bus is written, the room's place in the journal given back, and the actor ends.

use std::sync::{Arc, atomic::Ordering};

use ractor::ActorRef;

use super::{actor::Room, message::RoomMsg};
use crate::{
    actors::{directory::DirectoryMsg, error::outliving},
    storage::consumers::BUS,
    tasks::{self, TaskKind},
};

impl Room {
    /// Goes to sleep if nothing is under way; whoever calls from now on is sent back to the directory.
    pub(super) fn sleep(&mut self, myself: &ActorRef<RoomMsg>) {
        let busy = self.in_flight.is_some() || self.loading.is_some() || !self.queue.is_empty() || self.publishing;
        #[cfg(any(test, feature = "testkit"))]
        let busy = busy && !super::SLEEP_DROPS_QUEUE.get();
        if busy || self.sleeping {
            let _ = self.seed.directory.cast(DirectoryMsg::Asleep { room: self.id, asleep: false });
            return;
        }
        self.sleeping = true;
        let (context, id, epoch, published, actor) =
            (Arc::clone(self.context()), self.id, self.epoch, self.published, myself.clone());
        tasks::spawn(TaskKind::Release, async move {
            let released = async {
                context.store.put_cursor(BUS, id, published).await?;
                context.store.release(id, epoch).await
            };
            if let Err(error) = outliving("release", released).await {
                // The room stays in the journal: the next start wakes it once for nothing.
                tracing::warn!(room = %id, error = %crate::error::Chain(&error), "room not released");
            }
            let _ = actor.cast(RoomMsg::Released);
        });
    }

    /// The room has left the journal, or will be woken once for nothing: it ends.
    pub(super) fn released(&self, myself: &ActorRef<RoomMsg>) {
        self.seed.shared.slept.store(true, Ordering::Release);
        let _ = self.seed.directory.cast(DirectoryMsg::Asleep { room: self.id, asleep: true });
        let _ = myself.drain();
    }
}
