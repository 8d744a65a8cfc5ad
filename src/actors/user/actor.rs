//! The actor itself.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Attempt, OpenStream, StreamObservation, UserMsg, UserObservation, UserShared,
    list::{Listed, RoomList},
    reader::{Cursor, Heartbeat, Output, StreamReader, Todo},
};
use crate::{
    actors::{
        Context,
        error::{Call, CallError, outliving},
        stream::{CloseReason, Item, StreamQueue},
    },
    domain::{
        ids::{RoomId, Seq, UserId},
        position::Position,
    },
    storage::{Listing, Result as StoreResult, StoreError},
    tasks::{self, TaskKind},
};

/// The actor; all its state is in [`User`].
#[derive(Debug)]
pub(crate) struct UserActor;

/// What a user's actor is started with.
#[derive(Debug)]
pub(crate) struct UserSeed {
    pub(crate) user: UserId,
    pub(crate) context: Arc<Context>,
    pub(crate) shared: Arc<UserShared>,
}

#[derive(Debug)]
struct Stream {
    client_id: String,
    attempt: Option<Attempt>,
    queue: Arc<StreamQueue>,
    room: Option<RoomId>,
    presence_of: Vec<UserId>,
    silent: bool,
}

impl Stream {
    fn wants(&self, room: RoomId) -> bool {
        !self.silent && self.room.is_none_or(|only| only == room)
    }

    /// Whether it is told what the user does elsewhere: in a room, or to another user.
    fn hears(&self, room: Option<RoomId>) -> bool {
        room.map_or(!self.silent, |room| self.wants(room))
    }
}

/// The user's private side.
#[derive(Debug)]
pub(crate) struct User {
    seed: UserSeed,
    streams: Vec<Stream>,
    /// Waits until the list is loaded.
    parked: VecDeque<UserMsg>,
    loading: bool,
    loaded: bool,
    /// Is about to end, and takes nothing up any more.
    resting: bool,
}

impl Actor for UserActor {
    type Msg = UserMsg;
    type State = User;
    type Arguments = UserSeed;

    async fn pre_start(&self, _: ActorRef<UserMsg>, seed: UserSeed) -> Result<User, ActorProcessingErr> {
        Ok(User { seed, streams: Vec::new(), parked: VecDeque::new(), loading: false, loaded: false, resting: false })
    }

    async fn handle(
        &self,
        myself: ActorRef<UserMsg>,
        message: UserMsg,
        user: &mut User,
    ) -> Result<(), ActorProcessingErr> {
        if matches!(message, UserMsg::Rest) {
            user.rest(&myself);
            return Ok(());
        }
        if user.resting {
            // Whoever waits for an answer sees that there will be none, and asks the next actor.
            return Ok(());
        }
        user.seed.shared.touch(&user.seed.context);
        match message {
            UserMsg::Loaded(loaded) => user.loaded(loaded, &myself),
            UserMsg::Observe(reply) => drop(reply.send(user.observe())),
            #[cfg(any(test, feature = "testkit"))]
            UserMsg::Crash => panic!("told to crash"),
            UserMsg::Closed { queue } => user.closed(&queue),
            UserMsg::CloseAll(reason) => {
                user.streams.iter().for_each(|stream| stream.queue.push_control(Item::Close(reason)));
            }
            UserMsg::Own(moment) => {
                let hearing = user.streams.iter().filter(|stream| stream.hears(moment.room));
                hearing.for_each(|stream| stream.queue.push_own(&moment));
            }
            other if user.loaded => user.take(other, &myself),
            other => user.park(other, &myself),
        }
        Ok(())
    }
}

impl Drop for User {
    /// However the actor ends, by a panic too, no stream goes on without it: it would hear of no room that comes. The
    /// client resumes with its cursors, at the next actor.
    fn drop(&mut self) {
        for stream in std::mem::take(&mut self.streams) {
            self.stop_listening(&stream);
            stream.queue.push_control(Item::Close(CloseReason::Interrupted));
        }
    }
}

impl User {
    /// Ends the actor unless somebody needs it. Only the actor itself can tell: a stream may be on its way to it.
    fn rest(&mut self, myself: &ActorRef<UserMsg>) {
        if self.streams.is_empty() && self.parked.is_empty() && !self.loading && !self.resting {
            self.resting = true;
            let _ = myself.drain();
        }
    }

    fn park(&mut self, message: UserMsg, myself: &ActorRef<UserMsg>) {
        // A fact about a room is only news to a list that is being read already.
        if !self.loading && !matches!(message, UserMsg::Open { .. } | UserMsg::Warm { .. }) {
            return;
        }
        self.parked.push_back(message);
        if !self.loading {
            self.loading = true;
            let (context, user, myself) = (Arc::clone(&self.seed.context), self.seed.user, myself.clone());
            tasks::spawn(TaskKind::Load, async move {
                let list = outliving("load_list", RoomList::load(&context, user)).await;
                let _ = myself.cast(UserMsg::Loaded(list));
            });
        }
    }

    fn loaded(&mut self, loaded: StoreResult<RoomList>, myself: &ActorRef<UserMsg>) {
        self.loading = false;
        match loaded {
            Ok(list) => {
                *self.seed.shared.list.lock() = list;
                self.loaded = true;
                for message in std::mem::take(&mut self.parked) {
                    self.take(message, myself);
                }
            }
            Err(error) => {
                let again = || StoreError::new(error.kind(), error.op());
                for message in self.parked.drain(..) {
                    match message {
                        UserMsg::Open { reply, .. } => drop(reply.send(Err(again().into()))),
                        UserMsg::Warm { reply } => drop(reply.send(Err(again().into()))),
                        _ => {}
                    }
                }
            }
        }
    }

    fn take(&mut self, message: UserMsg, myself: &ActorRef<UserMsg>) {
        match message {
            UserMsg::Open { open, reply } => self.open(*open, reply, myself),
            UserMsg::Warm { reply } => drop(reply.send(Ok(()))),
            UserMsg::Joined { room, listing, seq, position, name } => self.joined(room, listing, seq, position, &name),
            UserMsg::Left { room, seq } => self.left(room, seq),
            UserMsg::Cleared { room, position } => {
                if let Some(listed) = self.seed.shared.list.lock().rooms.get_mut(&room) {
                    listed.position = listed.position.merge(position);
                }
            }
            UserMsg::Prefs { room, prefs } => {
                if let Some(listed) = self.seed.shared.list.lock().rooms.get_mut(&room) {
                    listed.set_prefs(prefs);
                }
            }
            UserMsg::Loaded(_)
            | UserMsg::Observe(_)
            | UserMsg::Closed { .. }
            | UserMsg::CloseAll(_)
            | UserMsg::Rest
            | UserMsg::Own(_) => {}
            #[cfg(any(test, feature = "testkit"))]
            UserMsg::Crash => {}
        }
    }

    fn open(&mut self, open: OpenStream, reply: oneshot::Sender<Call<StreamReader>>, myself: &ActorRef<UserMsg>) {
        if reply.is_closed() {
            // The caller has gone, and may have come back on another connection that was faster: what it left behind
            // must not end the stream that it has now.
            return;
        }
        if self.is_overtaken(&open) {
            drop(reply.send(Err(CallError::Overtaken)));
            return;
        }
        let context = &Arc::clone(&self.seed.context);
        let now = context.clock.now_ms();
        // Before the stream that this one replaces ends: to those who watch, the user has not been away.
        context.presence.opened(self.seed.user, now);
        self.replace(&open.client_id);
        if self.streams.len() >= context.options.streams_per_user_max {
            context.presence.closed(self.seed.user, now);
            drop(reply.send(Err(CallError::TooManyStreams)));
            return;
        }
        let queue = Arc::new(StreamQueue::new(context.options.stream_queue_bytes_max));
        let stream = Stream {
            client_id: open.client_id.clone(),
            attempt: open.attempt,
            queue: Arc::clone(&queue),
            room: open.room,
            presence_of: open.presence_of.clone(),
            silent: open.commands_only,
        };
        let mut reader = StreamReader {
            user: self.seed.user,
            context: Arc::clone(context),
            shared: Arc::clone(&self.seed.shared),
            owner: myself.clone(),
            queue: Arc::clone(&queue),
            cursors: HashMap::new(),
            todo: VecDeque::new(),
            fetch: None,
            heartbeat: Heartbeat::first_at(Instant::now() + context.options.heartbeat),
            place: None,
        };
        reader.todo.push_back(Todo::Say(Output::Heartbeat));
        for (room, listed) in &self.seed.shared.list.lock().rooms {
            if stream.wants(*room) {
                start(&mut reader, self.seed.user, listed, open.cursors.get(room).copied(), !open.cursors.is_empty());
            }
        }
        let mut strange: Vec<RoomId> = open
            .cursors
            .keys()
            .copied()
            .filter(|room| stream.wants(*room) && !reader.cursors.contains_key(room))
            .collect();
        strange.sort_unstable();
        for room in strange {
            reader.todo.push_back(Todo::Say(Output::Left(room)));
        }
        context.presence.watch(&stream.presence_of, &queue, now);
        self.streams.push(stream);
        self.seed.shared.set_streams(self.streams.len());
        // If nobody waits for the reader any more, dropping it closes the stream.
        drop(reply.send(Ok(reader)));
    }

    /// Whether the client has a newer stream already: this request was held up on a connection that the client has
    /// given up, and must not take the place of what came after it.
    fn is_overtaken(&self, open: &OpenStream) -> bool {
        let newest = self.streams.iter().find(|stream| stream.client_id == open.client_id);
        let newest = newest.and_then(|stream| stream.attempt);
        open.attempt.zip(newest).is_some_and(|(late, newest)| late.is_overtaken_by(newest))
    }

    /// Ends the stream that has this client id, if there is one.
    fn replace(&mut self, client_id: &str) {
        if let Some(i) = self.streams.iter().position(|stream| stream.client_id == client_id) {
            let stream = self.streams.swap_remove(i);
            self.stop_listening(&stream);
            stream.queue.push_control(Item::Close(CloseReason::Replaced));
        }
    }

    fn closed(&mut self, queue: &Arc<StreamQueue>) {
        if let Some(i) = self.streams.iter().position(|stream| Arc::ptr_eq(&stream.queue, queue)) {
            let stream = self.streams.swap_remove(i);
            self.stop_listening(&stream);
        }
    }

    fn stop_listening(&self, stream: &Stream) {
        for (room, listed) in &self.seed.shared.list.lock().rooms {
            if stream.wants(*room) {
                listed.hub.unlisten(&stream.queue);
            }
        }
        let context = &self.seed.context;
        context.presence.unwatch(&stream.presence_of, &stream.queue);
        context.presence.closed(self.seed.user, context.clock.now_ms());
        self.seed.shared.set_streams(self.streams.len());
    }

    fn joined(&self, room: RoomId, listing: Listing, seq: Seq, position: Position, name: &str) {
        let hub = self.seed.context.hubs.get(room);
        hub.set_name(name);
        for stream in self.streams.iter().filter(|stream| stream.wants(room)) {
            // Who has left since reads up to there from the log.
            hub.listen(self.seed.user, seq, &stream.queue);
            stream.queue.push_control(Item::Joined(room, Seq(seq.0 - 1)));
        }
        let version = u64::MAX;
        let listed = Listed { joined: seq, ..Listed::new(listing, Default::default(), hub, position, version) };
        self.seed.shared.list.lock().rooms.entry(room).or_insert(listed);
    }

    fn left(&self, room: RoomId, seq: Seq) {
        self.seed.shared.list.lock().rooms.remove(&room);
        let hub = self.seed.context.hubs.get(room);
        for stream in self.streams.iter().filter(|stream| stream.wants(room)) {
            // Those that listened when it happened were told by the hub, in order with the room's events.
            if hub.unlisten(&stream.queue) {
                stream.queue.push_control(Item::Left(room, seq));
            }
        }
        hub.forget_parting(self.seed.user, seq);
    }

    fn observe(&self) -> UserObservation {
        let stream = |stream: &Stream| {
            let (queued_bytes, rooms_behind, delivered) = stream.queue.observe();
            StreamObservation { client_id: stream.client_id.clone(), queued_bytes, rooms_behind, delivered }
        };
        UserObservation {
            rooms: self.seed.shared.list.lock().rooms.len(),
            streams: self.streams.iter().map(stream).collect(),
        }
    }
}

/// Lets a stream listen to a room and sets its cursor. First listen, then look at the head: what is appended in between
/// is heard and, when it is at or before the head, dropped.
fn start(reader: &mut StreamReader, user: UserId, listed: &Listed, cursor: Option<Seq>, resuming: bool) {
    let (hub, room) = (&listed.hub, listed.hub.id());
    if !hub.listen(user, Seq(0), &reader.queue) {
        // Not the user's any more: their actor is about to hear of it.
        return;
    }
    let head = hub.head().map_or(Seq(0), |head| head.seq);
    let mut cursor = match cursor {
        Some(seq) if seq > head => {
            // The client has seen what this log does not hold.
            let from = listed.position.floor_seq.next();
            reader.todo.push_back(Todo::Say(Output::Resync(room, from, head, seq)));
            Cursor::new(head, Arc::clone(hub))
        }
        Some(seq) => {
            // What of it is for the user is looked up before anything is read.
            reader.todo.push_back(Todo::CatchUp { room, until: None });
            Cursor::new(seq, Arc::clone(hub))
        }
        None => {
            if resuming {
                reader.todo.push_back(Todo::Say(Output::Announce(room, head)));
            }
            Cursor::new(head, Arc::clone(hub))
        }
    };
    cursor.listed = listed.joined;
    reader.cursors.insert(room, cursor);
}
