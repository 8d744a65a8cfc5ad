//! The actor itself: what it is told, and its state. The parts of what it does are beside it: [`super::schedule`] takes
//! up what is queued, [`super::append`] makes it durable, [`super::tell`] and [`super::publish`] pass it on, and
//! [`super::sleep`] ends the incarnation. It must not wait in a handler.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{
    Shared,
    append::InFlight,
    message::{Permit, Request, RoomMsg, RoomObservation},
    schedule::Loading,
    tell::Untold,
};
use crate::{
    actors::{Context, directory::DirectoryMsg, error::CallError, user::Users},
    domain::ids::{Epoch, RoomId, Seq},
};

/// The actor; all its state is in [`Room`].
#[derive(Debug)]
pub(crate) struct RoomActor;

/// What a room is started with.
#[derive(Debug)]
pub(crate) struct RoomSeed {
    pub(crate) context: Arc<Context>,
    pub(crate) directory: ActorRef<DirectoryMsg>,
    pub(crate) users: Users,
    pub(crate) shared: Arc<Shared>,
    pub(crate) published: Seq,
    pub(crate) untold: Untold,
}

/// The room's private side.
#[derive(Debug)]
pub(crate) struct Room {
    pub(super) id: RoomId,
    pub(super) epoch: Epoch,
    pub(super) seed: RoomSeed,
    pub(super) queue: VecDeque<(Request, Permit)>,
    pub(super) in_flight: Option<InFlight>,
    pub(super) loading: Option<Loading>,
    pub(super) published: Seq,
    pub(super) publishing: bool,
    pub(super) sleeping: bool,
}

impl Actor for RoomActor {
    type Msg = RoomMsg;
    type State = Room;
    type Arguments = RoomSeed;

    async fn pre_start(&self, myself: ActorRef<RoomMsg>, seed: RoomSeed) -> Result<Room, ActorProcessingErr> {
        let (id, epoch) = {
            let state = seed.shared.state.read();
            (state.id, state.epoch)
        };
        let mut room = Room {
            id,
            epoch,
            published: seed.published,
            seed,
            queue: VecDeque::new(),
            in_flight: None,
            loading: None,
            publishing: false,
            sleeping: false,
        };
        room.tell_untold();
        room.publish(&myself, &[]);
        Ok(room)
    }

    async fn handle(
        &self,
        myself: ActorRef<RoomMsg>,
        message: RoomMsg,
        room: &mut Room,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RoomMsg::Request(request, _) if room.sleeping => request.refuse(CallError::Gone),
            RoomMsg::Request(request, permit) => {
                room.touch();
                room.queue.push_back((request, permit));
                room.advance(&myself);
            }
            RoomMsg::Observe(reply) => drop(reply.send(room.observe())),
            RoomMsg::Sleep => room.sleep(&myself),
            RoomMsg::Cool => room.cool(),
            RoomMsg::Blocked(blocked) => room.seed.shared.state.write().blocked = blocked,
            RoomMsg::Persisted(Ok(durability)) => {
                room.persisted(durability, &myself);
                room.advance(&myself);
            }
            RoomMsg::Persisted(Err(error)) => {
                room.not_persisted(error)?;
                room.advance(&myself);
            }
            RoomMsg::SubjectLoaded(subject) => {
                room.subject_loaded(subject, &myself);
                room.advance(&myself);
            }
            RoomMsg::Published(up_to) => room.published(up_to, &myself),
            RoomMsg::Released => room.released(&myself),
        }
        Ok(())
    }
}

impl Room {
    pub(super) fn context(&self) -> &Arc<Context> {
        &self.seed.context
    }

    fn touch(&self) {
        let now = self.context().uptime_ms();
        self.seed.shared.last_used_ms.store(now, Ordering::Relaxed);
    }

    /// Lets the warm messages go.
    fn cool(&self) {
        self.seed.shared.state.write().cool();
        self.weigh();
    }

    /// Says how much memory the room takes now.
    pub(super) fn weigh(&self) {
        if self.seed.shared.weigh() {
            let _ = self.seed.directory.cast(DirectoryMsg::Shrink);
        }
    }

    fn observe(&self) -> RoomObservation {
        let state = self.seed.shared.state.read();
        let used = self.seed.shared.last_used_ms.load(Ordering::Relaxed);
        RoomObservation {
            room: self.id.to_string(),
            epoch: self.epoch.0,
            last_seq: state.head.seq.0,
            last_n: state.head.n.0,
            queued: self.queue.len(),
            in_flight: self.in_flight.as_ref().map_or(0, |f| f.waiting.len()),
            listeners: self.seed.shared.hub.listeners(),
            members: state.members.len(),
            warm_messages: state.tail().len(),
            published_seq: self.published.0,
            idle_ms: self.context().uptime_ms() - used,
        }
    }
}
