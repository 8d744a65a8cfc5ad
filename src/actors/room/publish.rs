//! The room's outbox: what is durable goes to the bus, in order, at least once, from where the cursor in the store says.

use std::{sync::Arc, time::Duration};

use ractor::ActorRef;

use super::{actor::Room, message::RoomMsg};
use crate::{
    actors::{Context, error::caught},
    domain::{
        event::Event,
        ids::{Epoch, RoomId, Seq},
    },
    events::BusEvent,
    storage::{Direction, Result as StoreResult, codec, consumers::BUS},
    tasks::{self, TaskKind},
};

/// Events published at a time when the room catches up with its log.
const PUBLISH_PAGE: usize = 256;
/// Pause before publishing again after a failure.
const PUBLISH_PAUSE: Duration = Duration::from_secs(1);

impl Room {
    /// Publishes what the bus has not got yet. `fresh` are the newest events, at hand.
    pub(super) fn publish(&mut self, myself: &ActorRef<RoomMsg>, fresh: &[Arc<Event>]) {
        let last = self.seed.shared.state.read().head.seq;
        if self.publishing || self.published >= last {
            return;
        }
        if !self.context().bus.is_heard() {
            self.published = last;
            return;
        }
        let at_hand = fresh.first().is_some_and(|e| e.seq == self.published.next());
        let fresh = if at_hand { fresh.to_vec() } else { Vec::new() };
        let (context, id, epoch, after, actor) =
            (Arc::clone(self.context()), self.id, self.epoch, self.published, myself.clone());
        self.publishing = true;
        tasks::spawn(TaskKind::Publish, async move {
            let published = caught(publish(&context, id, epoch, after, fresh)).await;
            let up_to = match published.unwrap_or_else(|panicked| Err(panicked.into())) {
                Ok(seq) => Some(seq),
                Err(error) => {
                    tracing::warn!(room = %id, error = %crate::error::Chain(&*error), "publishing failed, will be tried again");
                    tokio::time::sleep(PUBLISH_PAUSE).await;
                    None
                }
            };
            let _ = actor.cast(RoomMsg::Published(up_to));
        });
    }

    /// Publishing has come up to `up_to`, or failed; what came meanwhile follows.
    pub(super) fn published(&mut self, up_to: Option<Seq>, myself: &ActorRef<RoomMsg>) {
        self.published = self.published.max(up_to.unwrap_or_default());
        self.publishing = false;
        self.publish(myself, &[]);
    }
}

/// Publishes events after `after`: those at hand, or else the next page of the log. Returns the last one published.
async fn publish(
    context: &Context,
    room: RoomId,
    epoch: Epoch,
    after: Seq,
    fresh: Vec<Arc<Event>>,
) -> Result<Seq, Box<dyn std::error::Error + Send + Sync>> {
    let mut events = fresh;
    if events.is_empty() {
        let records = context.store.read_log(room, after, Direction::Forward, PUBLISH_PAGE).await?;
        for record in &records {
            events.push(Arc::new(codec::decode_event(room, record)?));
        }
    }
    let last = events.last().map_or(after, |e| e.seq);
    let events: Vec<BusEvent> = events.into_iter().map(|event| BusEvent { epoch, event }).collect();
    context.bus.publish(&events).await?;
    Ok(last)
}

/// Where the bus stands in a room's log.
pub(crate) async fn published(context: &Context, room: RoomId) -> StoreResult<Seq> {
    context.store.cursor(BUS, room).await
}
