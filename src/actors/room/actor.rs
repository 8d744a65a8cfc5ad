//! The actor itself: a queue, one append in flight, and what to tell whom once it is durable.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::{
    Shared, load,
    message::{Applied, Permit, Reply, Request, RoomMsg, RoomObservation, SendAck},
};
use crate::{
    actors::{
        Context,
        directory::DirectoryMsg,
        error::{Call, CallError},
        stream::{EventBatch, Moment, MomentBody},
        user::Users,
    },
    domain::{
        event::{Event, EventBody},
        ids::{Epoch, RoomId, Seq, UserId},
        position::Position,
        reject::Reject,
        room::{Author, Batch, Change, Command, Role, Send, Sent, Subject},
    },
    events::BusEvent,
    storage::{Direction, Durability, Outcome, Result as StoreResult, StoreError, StoreErrorKind, codec, project},
    tasks::{self, TaskKind},
};

/// Name of the bus's cursor in the store.
const BUS: &str = "bus";
/// Events published at a time when the room catches up with its log.
const PUBLISH_PAGE: usize = 256;
/// Pause before publishing again after a failure.
const PUBLISH_PAUSE: Duration = Duration::from_secs(1);
/// Senders told at most that their messages were read when a position moves.
const STATUS_SENDERS_MAX: usize = 16;

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

/// What became durable without anybody on this node being told: an earlier incarnation died before it could.
#[derive(Debug)]
pub(crate) enum Untold {
    /// These events; perhaps none.
    Events(Vec<Arc<Event>>),
    /// Not known, for no room of this hub was awake on this node yet. With the newest event.
    Unknown(Option<Arc<Event>>),
}

/// An append under way.
#[derive(Debug)]
struct InFlight {
    change: Change,
    waiting: Vec<(Waiting, Permit)>,
    external: bool,
}

/// Whom to answer when it is durable.
#[derive(Debug)]
enum Waiting {
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

/// A command whose message is being loaded.
#[derive(Debug)]
struct Loading {
    author: Author,
    command: Box<Command>,
    reply: Reply<Applied>,
    permit: Permit,
}

/// The room's private side.
#[derive(Debug)]
pub(crate) struct Room {
    id: RoomId,
    epoch: Epoch,
    seed: RoomSeed,
    queue: VecDeque<(Request, Permit)>,
    in_flight: Option<InFlight>,
    loading: Option<Loading>,
    published: Seq,
    publishing: bool,
    sleeping: bool,
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
            RoomMsg::Published(seq) => {
                room.published = room.published.max(seq);
                room.publishing = false;
                room.publish(&myself, &[]);
            }
            RoomMsg::PublishFailed => {
                room.publishing = false;
                room.publish(&myself, &[]);
            }
            RoomMsg::Released => {
                room.seed.shared.slept.store(true, std::sync::atomic::Ordering::Release);
                let _ = room.seed.directory.cast(DirectoryMsg::Asleep { room: room.id, asleep: true });
                let _ = myself.drain();
            }
        }
        Ok(())
    }
}

impl Room {
    fn context(&self) -> &Arc<Context> {
        &self.seed.context
    }

    fn touch(&self) {
        let now = self.context().clock.now_ms();
        self.seed.shared.last_used_ms.store(now, std::sync::atomic::Ordering::Relaxed);
    }

    fn observe(&self) -> RoomObservation {
        let state = self.seed.shared.state.read();
        let used = self.seed.shared.last_used_ms.load(std::sync::atomic::Ordering::Relaxed);
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
            idle_ms: self.context().clock.now_ms() - used,
        }
    }

    /// Starts the next append if none is under way.
    fn advance(&mut self, myself: &ActorRef<RoomMsg>) {
        while self.in_flight.is_none() && self.loading.is_none() && !self.queue.is_empty() {
            if matches!(self.queue.front(), Some((Request::Command { .. }, _))) {
                self.take_command(myself);
            } else {
                self.take_batch(myself);
            }
        }
    }

    /// Takes up one command, alone: it may change what the next ones are decided by.
    fn take_command(&mut self, myself: &ActorRef<RoomMsg>) {
        let Some((Request::Command { author, command, reply }, permit)) = self.queue.pop_front() else {
            return;
        };
        let loading = Loading { author, command, reply, permit };
        if loading.command.message().is_none() {
            self.decide(loading, &Subject::default(), myself);
            return;
        }
        let (store, id, actor) = (Arc::clone(&self.context().store), self.id, myself.clone());
        let (author, command) = (loading.author, loading.command.clone());
        self.loading = Some(loading);
        tasks::spawn(TaskKind::Load, async move {
            let subject = load::subject(&*store, id, author, &command).await;
            let _ = actor.cast(RoomMsg::SubjectLoaded(subject));
        });
    }

    fn subject_loaded(&mut self, subject: StoreResult<Subject>, myself: &ActorRef<RoomMsg>) {
        let Some(loading) = self.loading.take() else {
            return;
        };
        match subject {
            Ok(subject) => self.decide(loading, &subject, myself),
            Err(error) => drop(loading.reply.send(Err(error.into()))),
        }
    }

    fn decide(&mut self, loading: Loading, subject: &Subject, myself: &ActorRef<RoomMsg>) {
        let Loading { author, command, reply, permit } = loading;
        let now = self.context().clock.now_ms();
        let members_max = self.context().options.members_max;
        let decided = self.seed.shared.state.read().decide(author, &command, subject, now, members_max);
        match decided {
            Err(reject) => drop(reply.send(Err(reject.into()))),
            Ok(change) => {
                let event = change.events.first();
                let applied = Applied {
                    seq: event.map(|e| e.seq),
                    message: change.touched.clone().or_else(|| subject.message.clone()),
                    users: event.map(|e| users_of(&e.body)).unwrap_or_default(),
                };
                self.start(change, vec![(Waiting::Command { applied, reply }, permit)], false, myself);
            }
        }
    }

    /// Takes up all sends and reads that wait, up to the next command.
    fn take_batch(&mut self, myself: &ActorRef<RoomMsg>) {
        let shared = Arc::clone(&self.seed.shared);
        let context = Arc::clone(self.context());
        let state = shared.state.read();
        let mut batch = Batch::new(&state, context.clock.now_ms());
        let mut waiting = Vec::new();
        let mut external = false;
        let max = context.options.batch_max;
        while waiting.len() < max && !external {
            let alone = match self.queue.front() {
                Some((Request::Command { .. }, _)) | None => break,
                Some((Request::Send { send, .. }, _)) => send.draft.external.is_some(),
                Some(_) => false,
            };
            // A taken external reference fails its whole append: such a send goes alone.
            if alone && !waiting.is_empty() {
                break;
            }
            external = alone;
            if let Some((request, permit)) = self.queue.pop_front()
                && let Some(taken) = take(&mut batch, request, &context, durable(&context), self.epoch)
            {
                waiting.push((taken, permit));
            }
        }
        let change = batch.finish();
        drop(state);
        self.start(change, waiting, external, myself);
    }

    /// Appends a change, or answers at once when there is nothing to write.
    fn start(&mut self, change: Change, waiting: Vec<(Waiting, Permit)>, external: bool, myself: &ActorRef<RoomMsg>) {
        let in_flight = InFlight { change, waiting, external };
        if in_flight.change.is_empty() {
            self.answer(in_flight.waiting, &[], durable(self.context()));
            return;
        }
        let (records, projection) = project::rows(&self.seed.shared.state.read(), &in_flight.change);
        let (store, id, epoch, actor) = (Arc::clone(&self.context().store), self.id, self.epoch, myself.clone());
        self.in_flight = Some(in_flight);
        tasks::spawn(TaskKind::Append, async move {
            let result = store.append(id, epoch, &records, &projection).await;
            let _ = actor.cast(RoomMsg::Persisted(result));
        });
    }

    /// The append is durable: now, and only now, it is visible.
    fn persisted(&mut self, durability: Durability, myself: &ActorRef<RoomMsg>) {
        let Some(InFlight { change, waiting, .. }) = self.in_flight.take() else {
            return;
        };
        let (moved, room_type): (Vec<(UserId, Position, Position)>, _) = {
            let mut state = self.seed.shared.state.write();
            let moved = change.positions.iter().map(|(user, after)| (*user, state.position(*user), *after)).collect();
            state.apply(&change);
            self.seed.shared.hub.set_head(state.head);
            self.seed.shared.hub.positions_moved();
            (moved, state.info.as_ref().map(|info| info.room_type))
        };
        self.answer(waiting, &change.events, durability);
        if let Some(room_type) = room_type {
            self.context().observer.appended(room_type, &change.events);
        }
        let events: Vec<Arc<Event>> = change.events.into_iter().map(Arc::new).collect();
        if !events.is_empty() {
            self.tell(&events);
            self.publish(myself, &events);
        }
        for (user, before, after) in moved {
            self.tell_position(user, before, after);
        }
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
    fn not_persisted(&mut self, error: StoreError) -> Result<(), ActorProcessingErr> {
        let Some(InFlight { waiting, external, .. }) = self.in_flight.take() else {
            return Ok(());
        };
        let kind = error.kind();
        tracing::warn!(room = %self.id, epoch = %self.epoch, error = %crate::error::Chain(&error), "append failed");
        let goes_on = match kind {
            StoreErrorKind::Overloaded | StoreErrorKind::Invalid => true,
            StoreErrorKind::Conflict => external,
            // Turned away before the store: nothing is in doubt.
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

    fn tell(&self, events: &[Arc<Event>]) {
        self.tell_members_before(events);
        self.seed.shared.hub.tell(EventBatch::new(self.id, events.to_vec()));
        self.tell_members_after(events);
    }

    /// Tells what an earlier incarnation could not, before anything new.
    fn tell_untold(&mut self) {
        match std::mem::replace(&mut self.seed.untold, Untold::Events(Vec::new())) {
            // One by one: who left and came back must hear it in this order.
            Untold::Events(events) => events.iter().for_each(|event| self.tell(std::slice::from_ref(event))),
            Untold::Unknown(newest) => self.introduce(newest),
        }
        let head = self.seed.shared.state.read().head.seq;
        self.seed.shared.hub.set_told(head);
        self.seed.shared.hub.positions_moved();
    }

    /// Makes sure that everybody here knows the room as it is: lists and streams may have been read before the last
    /// events of another process landed.
    fn introduce(&self, newest: Option<Arc<Event>>) {
        let (hub, users) = (&self.seed.shared.hub, &self.seed.users);
        let state = self.seed.shared.state.read();
        let Some(info) = &state.info else {
            return;
        };
        let members: Vec<(UserId, Role)> = state.members.iter().map(|(u, m)| (*u, m.role)).collect();
        for (user, member) in &state.members {
            let (seq, position) = (member.joined_seq, state.position(*user));
            users.room_joined(*user, info, &members, seq, position);
        }
        // A stream that is behind reads the log.
        if let Some(newest) = newest {
            hub.tell(EventBatch::new(self.id, vec![newest]));
        }
        for user in hub.audience() {
            if !state.members.contains_key(&user) {
                users.room_left(user, self.id, state.head.seq);
            }
        }
    }

    /// Users who have just become members begin to listen before the batch is told, so that they hear it.
    fn tell_members_before(&self, events: &[Arc<Event>]) {
        for event in events {
            if let EventBody::Created { members, .. } | EventBody::Joined { members } = &event.body {
                let state = self.seed.shared.state.read();
                let Some(info) = &state.info else { continue };
                for (user, _) in members {
                    let position = state.position(*user);
                    self.seed.users.room_joined(*user, info, members, event.seq, position);
                }
            }
        }
    }

    /// Users who have just left hear of it and then no more.
    fn tell_members_after(&self, events: &[Arc<Event>]) {
        for event in events {
            match &event.body {
                EventBody::Left { users, .. } => {
                    self.seed.shared.hub.part(users, event.seq);
                    for user in users {
                        self.seed.users.room_left(*user, self.id, event.seq);
                    }
                }
                EventBody::InfoChanged(info) => self.seed.shared.hub.set_name(&info.name),
                _ => {}
            }
        }
    }

    fn tell_position(&self, user: UserId, before: Position, after: Position) {
        if after.read_seq == before.read_seq && after.delivered_seq == before.delivered_seq {
            return;
        }
        let now = self.context().clock.now_ms();
        let hub = &self.seed.shared.hub;
        let body = MomentBody::Position { read: after.read_seq, delivered: after.delivered_seq };
        hub.tell_moment(&Arc::new(Moment::new(Some(self.id), user, now, body)), None, None);
        let read = after.read_seq > before.read_seq;
        let (from, to) =
            if read { (before.read_seq, after.read_seq) } else { (before.delivered_seq, after.delivered_seq) };
        for sender in self.senders(user, from, to) {
            let body = MomentBody::Status { up_to: to, read };
            hub.tell_moment(&Arc::new(Moment::new(Some(self.id), user, now, body)), Some(sender), None);
        }
    }

    /// Who sent the warm messages after `from` up to `to`, other than `but`.
    fn senders(&self, but: UserId, from: Seq, to: Seq) -> Vec<UserId> {
        let state = self.seed.shared.state.read();
        let mut senders = Vec::new();
        for message in state.tail().iter().rev().skip_while(|m| m.seq > to).take_while(|m| m.seq > from) {
            if message.sender != but && !senders.contains(&message.sender) {
                senders.push(message.sender);
            }
            if senders.len() == STATUS_SENDERS_MAX {
                break;
            }
        }
        senders
    }

    /// Publishes what the bus has not got yet. `fresh` are the newest events, at hand.
    fn publish(&mut self, myself: &ActorRef<RoomMsg>, fresh: &[Arc<Event>]) {
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
            let message = match publish(&context, id, epoch, after, fresh).await {
                Ok(seq) => RoomMsg::Published(seq),
                Err(error) => {
                    tracing::warn!(room = %id, error = %crate::error::Chain(&*error), "publishing failed, will be tried again");
                    tokio::time::sleep(PUBLISH_PAUSE).await;
                    RoomMsg::PublishFailed
                }
            };
            let _ = actor.cast(message);
        });
    }

    /// Goes to sleep if nothing is under way; whoever calls from now on is sent back to the directory.
    fn sleep(&mut self, myself: &ActorRef<RoomMsg>) {
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
            if let Err(error) = released.await {
                // The room stays in the journal: the next start wakes it once for nothing.
                tracing::warn!(room = %id, error = %crate::error::Chain(&error), "room not released");
            }
            let _ = actor.cast(RoomMsg::Released);
        });
    }
}

/// What an acknowledged write has survived when nothing had to be written.
fn durable(context: &Context) -> Durability {
    context.options.durability
}

/// Decides one send or read into the batch. Answers at once what needs no append.
fn take(
    batch: &mut Batch<'_>,
    request: Request,
    context: &Context,
    durability: Durability,
    epoch: Epoch,
) -> Option<Waiting> {
    match request {
        Request::Send { send, reply } => take_send(batch, &send, reply, context, durability, epoch),
        Request::Read { author, to, delivered_only, reply } => position(batch.read(author, to, delivered_only), reply),
        Request::Clear { author, reply } => position(batch.clear(author), reply),
        Request::Command { reply, .. } => {
            // Commands are taken up alone; the caller sees to it.
            drop(reply.send(Err(CallError::Gone)));
            None
        }
    }
}

fn position(decided: Result<Position, Reject>, reply: Reply<Position>) -> Option<Waiting> {
    match decided {
        Ok(position) => Some(Waiting::Position { position, reply }),
        Err(reject) => {
            drop(reply.send(Err(reject.into())));
            None
        }
    }
}

fn take_send(
    batch: &mut Batch<'_>,
    send: &Send,
    reply: Reply<SendAck>,
    context: &Context,
    durability: Durability,
    epoch: Epoch,
) -> Option<Waiting> {
    let now = context.clock.now_ms();
    let answer: Call<SendAck> = match batch.send(send, |floor| context.ids.lock().next(now, floor)) {
        Ok(Sent::New(index)) => {
            return Some(Waiting::Send { index, duplicate: false, reply });
        }
        Ok(Sent::Again(index)) => {
            return Some(Waiting::Send { index, duplicate: true, reply });
        }
        Ok(Sent::Before(message)) => Ok(SendAck { message, duplicate: true, durability, epoch }),
        Ok(Sent::LookAgain) => Err(CallError::Gone),
        Err(reject) => Err(reject.into()),
    };
    drop(reply.send(answer));
    None
}

fn users_of(body: &EventBody) -> Vec<UserId> {
    match body {
        EventBody::Created { members, .. } | EventBody::Joined { members } => {
            members.iter().map(|(user, _)| *user).collect()
        }
        EventBody::Left { users, .. } => users.clone(),
        _ => Vec::new(),
    }
}

/// Publishes events after `after`: those at hand, or else the next page of the log. Returns the last one published.
async fn publish(
    context: &Context,
    room: RoomId,
    epoch: Epoch,
    after: Seq,
    fresh: Vec<Arc<Event>>,
) -> Result<Seq, Box<dyn std::error::Error + std::marker::Send + Sync>> {
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
