//! One append at a time: what is under way, who waits for it, and what follows when it is durable or has failed.
//! Nothing is answered or told before that.

use std::sync::Arc;

use ractor::{ActorProcessingErr, ActorRef};

use super::{
    actor::Room,
    message::{Applied, Permit, Reply, RoomMsg, SendAck},
    statuses::{self, Move},
};
use crate::{
    actors::{
        Context,
        error::{CallError, outliving},
    },
    domain::{event::Event, position::Position, reject::Reject, room::Change},
    line_pace::LinePace,
    storage::{Durability, Outcome, StoreError, StoreErrorKind, project},
    tasks::{self, TaskKind},
};

/// An append under way.
#[derive(Debug)]
pub(super) struct InFlight {
    change: Change,
    pub(super) waiting: Vec<(Waiting, Permit)>,
    external: bool,
}

/// Whom to answer when it is durable.
#[derive(Debug)]
pub(super) enum Waiting {
    Send { index: usize, duplicate: bool, reply: Reply<SendAck> },
    Position { position: Position, reply: Reply<Position> },
    Command { applied: Applied, reply: Reply<Applied> },
}

impl Waiting {
    fn refuse(self, error: CallError) {
        match self {
            Self::Send { reply, .. } => drop(reply.send(Err(error))),
            Self::Position { reply, .. } => drop(reply.send(Err(error))),
            Self::Command { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}

impl Room {
    /// Appends a change, or answers at once when there is nothing to write.
    pub(super) fn start(
        &mut self,
        change: Change,
        waiting: Vec<(Waiting, Permit)>,
        external: bool,
        myself: &ActorRef<RoomMsg>,
    ) {
        let in_flight = InFlight { change, waiting, external };
        if in_flight.change.is_empty() {
            self.answer(in_flight.waiting, &[], durable(self.context()));
            return;
        }
        let (records, projection) = project::rows(&self.seed.shared.state.read(), &in_flight.change);
        let (store, id, epoch, actor) = (Arc::clone(&self.context().store), self.id, self.epoch, myself.clone());
        self.in_flight = Some(in_flight);
        tasks::spawn(TaskKind::Append, async move {
            let result = outliving("append", store.append(id, epoch, &records, &projection)).await;
            let _ = actor.cast(RoomMsg::Persisted(result));
        });
    }

    /// The append is durable: now, and only now, it is visible.
    pub(super) fn persisted(&mut self, durability: Durability, myself: &ActorRef<RoomMsg>) {
        let Some(InFlight { change, waiting, .. }) = self.in_flight.take() else {
            return;
        };
        let (moved, answered, room_type): (Vec<Move>, Vec<Move>, _) = {
            let mut state = self.seed.shared.state.write();
            let moved = change.positions.iter().map(|(user, after)| (*user, state.position(*user), *after)).collect();
            let answered = statuses::before_answers(&state, &change.events);
            state.apply(&change);
            let answered = answered.into_iter().map(|(user, before)| (user, before, state.position(user))).collect();
            self.seed.shared.hub.set_uncounted(&state.uncounted);
            self.seed.shared.hub.set_head(state.head);
            self.seed.shared.hub.positions_moved();
            (moved, answered, state.info.as_ref().map(|info| info.room_type))
        };
        self.weigh();
        self.answer(waiting, &change.events, durability);
        if let Some(room_type) = room_type {
            self.context().observer.appended(room_type, &change.events);
        }
        let events: Vec<Arc<Event>> = change.events.into_iter().map(Arc::new).collect();
        if !events.is_empty() {
            self.tell(&events);
            self.publish(myself, &events);
        }
        for (user, before, after) in &moved {
            self.tell_position(*user, *before, *after);
        }
        self.tell_statuses(&if answered.is_empty() { moved } else { [answered, moved].concat() });
    }

    fn answer(&self, waiting: Vec<(Waiting, Permit)>, events: &[Event], durability: Durability) {
        for (waiting, _permit) in waiting {
            match waiting {
                Waiting::Send { index, duplicate, reply } => {
                    let message = events.get(index).and_then(Event::message).map(Arc::clone);
                    let ack = message.map(|message| SendAck { message, duplicate, durability, epoch: self.epoch });
                    drop(reply.send(ack.ok_or(CallError::Dropped)));
                }
                Waiting::Position { position, reply } => drop(reply.send(Ok(position))),
                Waiting::Command { applied, reply } => drop(reply.send(Ok(applied))),
            }
        }
    }

    /// The append failed. What is certainly not applied is answered; whatever leaves the room's state in doubt ends
    /// this incarnation, and the next one reads the truth from the store.
    pub(super) fn not_persisted(&mut self, error: StoreError) -> Result<(), ActorProcessingErr> {
        let Some(InFlight { waiting, external, .. }) = self.in_flight.take() else {
            return Ok(());
        };
        let kind = error.kind();
        static PACE: LinePace = LinePace::new();
        if let Some(left_out) = PACE.line() {
            let error = crate::error::Chain(&error);
            tracing::warn!(room = %self.id, epoch = %self.epoch, %error, left_out, "append failed");
        }
        let goes_on = match kind {
            StoreErrorKind::Overloaded | StoreErrorKind::Invalid => true,
            StoreErrorKind::Conflict => external,
            // Turned away before it reached the store: nothing is in doubt.
            StoreErrorKind::Unavailable => error.outcome() == Outcome::NotApplied,
            _ => false,
        };
        for (waiting, _permit) in waiting {
            waiting.refuse(match kind {
                StoreErrorKind::Conflict if external => Reject::ExternalRefTaken.into(),
                StoreErrorKind::Fenced => CallError::Gone,
                _ => error.twin().into(),
            });
        }
        if goes_on {
            return Ok(());
        }
        self.queue.drain(..).for_each(|(request, _)| request.refuse(CallError::Gone));
        Err(Box::new(error))
    }
}

/// What an acknowledged write has survived when nothing had to be written.
pub(super) fn durable(context: &Context) -> Durability {
    context.options.durability
}
