//! The directory's actor. For each room it knows one of: waking, awake, falling asleep. Who asks for a room that is
//! neither awake nor asleep waits here until it is.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use dashmap::DashMap;
use parking_lot::RwLock;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    actors::{
        Context,
        budget::RestartBudget,
        error::{Call, CallError, outliving},
        room::{RoomActor, RoomHandle, RoomMsg, RoomSeed, Shared, Untold, load, published},
        user::Users,
    },
    domain::{
        ids::{RoomId, Seq},
        room::RoomState,
    },
    line_pace::LinePace,
    storage::{Result as StoreResult, StoreError},
    tasks::{self, TaskKind},
};

/// Pause before a room that died is read again, when that failed.
const REWAKE_PAUSE: Duration = Duration::from_secs(1);
/// Pause before a draining directory asks a busy room again.
const DRAIN_PAUSE: Duration = Duration::from_millis(10);

/// Least time between two requests to give memory back.
const SHRINK_PAUSE: Duration = Duration::from_millis(250);
/// A room that was used as lately as this does not sleep to save memory: whoever woke it has not spoken yet.
const JUST_USED_MS: i64 = 1_000;

type Waiter = oneshot::Sender<Call<RoomHandle>>;

/// A room read from the store.
#[derive(Debug)]
pub(crate) struct Loaded {
    state: RoomState,
    /// Where the bus stands in its log.
    published: Seq,
    untold: Untold,
}

/// What the directory is told.
#[derive(Debug)]
pub(crate) enum DirectoryMsg {
    Wake {
        room: RoomId,
        reply: Waiter,
    },
    Loaded {
        room: RoomId,
        loaded: Box<StoreResult<Loaded>>,
    },
    Rewake {
        room: RoomId,
    },
    Sweep,
    /// The rooms that are awake take too much memory.
    Shrink,
    Passivate {
        room: RoomId,
        reply: Option<oneshot::Sender<bool>>,
    },
    Asleep {
        room: RoomId,
        asleep: bool,
    },
    Drain {
        reply: oneshot::Sender<()>,
    },
    #[cfg(any(test, feature = "testkit"))]
    Kill {
        room: RoomId,
    },
}

/// The actor; all its state is in [`State`].
#[derive(Debug)]
pub(crate) struct Directory;

/// What the directory is started with.
#[derive(Debug)]
pub(crate) struct DirectorySeed {
    pub(crate) context: Arc<Context>,
    pub(crate) users: Users,
    pub(crate) active: Arc<DashMap<RoomId, RoomHandle>>,
}

#[derive(Debug)]
enum Entry {
    Waking(Vec<Waiter>),
    Awake(RoomHandle, ActorRef<RoomMsg>),
    Sleeping {
        handle: RoomHandle,
        actor: ActorRef<RoomMsg>,
        waiters: Vec<Waiter>,
        reply: Option<oneshot::Sender<bool>>,
    },
}

/// The directory's private side.
#[derive(Debug)]
pub(crate) struct State {
    seed: DirectorySeed,
    rooms: BTreeMap<RoomId, Entry>,
    by_actor: HashMap<ActorId, RoomId>,
    budgets: HashMap<RoomId, RestartBudget>,
    /// Rooms that died, perhaps with something durable that nobody was told of; they are woken until that is done.
    unsettled: HashSet<RoomId>,
    draining: Option<Vec<oneshot::Sender<()>>>,
    /// When memory was last asked back.
    shrunk_at: Option<Instant>,
}

impl Actor for Directory {
    type Msg = DirectoryMsg;
    type State = State;
    type Arguments = DirectorySeed;

    async fn pre_start(&self, _: ActorRef<DirectoryMsg>, seed: DirectorySeed) -> Result<State, ActorProcessingErr> {
        let (rooms, by_actor, budgets) = (BTreeMap::new(), HashMap::new(), HashMap::new());
        Ok(State { seed, rooms, by_actor, budgets, unsettled: HashSet::new(), draining: None, shrunk_at: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<DirectoryMsg>,
        message: DirectoryMsg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DirectoryMsg::Wake { room, reply } => state.wake(room, reply, &myself),
            DirectoryMsg::Loaded { room, loaded } => state.loaded(room, *loaded, &myself).await,
            DirectoryMsg::Rewake { room } => state.rewake(room, &myself),
            DirectoryMsg::Sweep => state.sweep(),
            DirectoryMsg::Shrink => state.shrink_soon(&myself),
            DirectoryMsg::Passivate { room, reply } => state.passivate(room, reply),
            DirectoryMsg::Asleep { room, asleep } => state.asleep(room, asleep, &myself),
            DirectoryMsg::Drain { reply } => state.drain(reply),
            #[cfg(any(test, feature = "testkit"))]
            DirectoryMsg::Kill { room } => {
                if let Some(Entry::Awake(_, actor) | Entry::Sleeping { actor, .. }) = state.rooms.get(&room) {
                    actor.kill();
                }
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<DirectoryMsg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(actor, _, _) => state.gone(actor.get_id(), None, &myself),
            SupervisionEvent::ActorFailed(actor, error) => {
                static PACE: LinePace = LinePace::new();
                if let Some(left_out) = PACE.line() {
                    tracing::warn!(%error, left_out, "a room failed");
                }
                let is_of_store = error.downcast_ref().is_some_and(StoreError::is_of_store);
                state.gone(actor.get_id(), Some(is_of_store), &myself);
            }
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}

impl State {
    fn wake(&mut self, room: RoomId, reply: Waiter, myself: &ActorRef<DirectoryMsg>) {
        if self.draining.is_some() {
            drop(reply.send(Err(CallError::Draining)));
            return;
        }
        match self.rooms.get_mut(&room) {
            Some(Entry::Awake(handle, _)) => drop(reply.send(Ok(handle.clone()))),
            Some(Entry::Waking(waiters) | Entry::Sleeping { waiters, .. }) => waiters.push(reply),
            None => match self.budgets.get(&room).and_then(RestartBudget::refusal) {
                Some(refused) => drop(reply.send(Err(refused))),
                None => self.load(room, vec![reply], myself),
            },
        }
    }

    /// Claims and reads a room beside the directory, so that a slow one blocks no other.
    fn load(&mut self, room: RoomId, waiters: Vec<Waiter>, myself: &ActorRef<DirectoryMsg>) {
        self.rooms.insert(room, Entry::Waking(waiters));
        let (context, myself) = (Arc::clone(&self.seed.context), myself.clone());
        tasks::spawn(TaskKind::Load, async move {
            // Held until the room is awake, so that what it knows of the audience is not lost meanwhile.
            let hub = context.hubs.get(room);
            let told = hub.told();
            let loaded = async {
                let epoch = context.store.claim(room).await?;
                let state = load::state(&context, room, epoch).await?;
                let head = state.head.seq;
                let after = told.unwrap_or_else(|| Seq(head.0.saturating_sub(1)));
                let mut events = load::events(&*context.store, room, after, head).await?;
                let untold = match told {
                    Some(_) => Untold::Events(events),
                    None => Untold::Unknown(events.pop()),
                };
                Ok(Loaded { published: published(&context, room).await?, state, untold })
            };
            let loaded = Box::new(outliving("load_room", loaded).await);
            let _ = myself.cast(DirectoryMsg::Loaded { room, loaded });
            drop(hub);
        });
    }

    async fn loaded(&mut self, room: RoomId, loaded: StoreResult<Loaded>, myself: &ActorRef<DirectoryMsg>) {
        let Some(Entry::Waking(waiters)) = self.rooms.remove(&room) else {
            return;
        };
        let woken = match loaded {
            Ok(loaded) => self.spawn(loaded, myself).await,
            Err(error) => {
                static PACE: LinePace = LinePace::new();
                if let Some(left_out) = PACE.line() {
                    tracing::warn!(%room, error = %crate::error::Chain(&error), left_out, "room not woken");
                }
                self.budgets.entry(room).or_default().failed(error.is_of_store());
                Err(error)
            }
        };
        match woken {
            Ok((handle, actor)) => {
                self.unsettled.remove(&room);
                self.by_actor.insert(actor.get_id(), room);
                self.rooms.insert(room, Entry::Awake(handle.clone(), actor));
                self.seed.active.insert(room, handle.clone());
                waiters.into_iter().for_each(|waiter| drop(waiter.send(Ok(handle.clone()))));
                if self.draining.is_some() {
                    self.passivate(room, None);
                }
            }
            Err(error) => {
                waiters.into_iter().for_each(|waiter| drop(waiter.send(Err(error.before_the_call().into()))));
                if self.unsettled.contains(&room) {
                    self.rewake_later(room, REWAKE_PAUSE, myself);
                }
            }
        }
        self.finish_drain();
    }

    async fn spawn(
        &self,
        loaded: Loaded,
        myself: &ActorRef<DirectoryMsg>,
    ) -> StoreResult<(RoomHandle, ActorRef<RoomMsg>)> {
        let Loaded { state, published, untold } = loaded;
        let context = &self.seed.context;
        let id = state.id;
        let hub = context.hubs.get(id);
        hub.set_uncounted(&state.uncounted);
        hub.set_head(state.head);
        let last_used_ms = context.uptime_ms().into();
        let warm = context.warmth.part();
        let shared = Arc::new(Shared { state: RwLock::new(state), hub, last_used_ms, slept: false.into(), warm });
        if shared.weigh() {
            let _ = myself.cast(DirectoryMsg::Shrink);
        }
        let seed = RoomSeed {
            context: Arc::clone(context),
            directory: myself.clone(),
            users: self.seed.users.clone(),
            shared: Arc::clone(&shared),
            published,
            untold,
        };
        let spawned = Actor::spawn_linked(None, RoomActor, seed, myself.get_cell()).await;
        let (actor, _) = spawned.map_err(|e| {
            StoreError::because(crate::storage::StoreErrorKind::Overloaded, "spawn_room", e.to_string())
        })?;
        let options = &context.options;
        let permits = Arc::clone(&context.permits);
        let handle = RoomHandle::new(id, actor.clone(), shared, options.queue_max, permits, options.request_timeout);
        Ok((handle, actor))
    }

    fn sweep(&mut self) {
        let idle = i64::try_from(self.seed.context.options.room_idle.as_millis()).unwrap_or(i64::MAX);
        let before = self.seed.context.uptime_ms().saturating_sub(idle);
        let idle = |entry: &Entry| matches!(entry, Entry::Awake(handle, _) if handle.last_used_ms() <= before);
        let rooms: Vec<RoomId> = self.rooms.iter().filter(|(_, entry)| idle(entry)).map(|(room, _)| *room).collect();
        rooms.into_iter().for_each(|room| self.passivate(room, None));
        self.shrink();
        self.budgets.retain(|_, budget| !budget.is_clear());
    }

    /// Asks memory back, or does so a little later if it was just done: what was asked for takes a moment to come.
    fn shrink_soon(&mut self, myself: &ActorRef<DirectoryMsg>) {
        if self.shrunk_at.is_none_or(|at| at.elapsed() >= SHRINK_PAUSE) {
            self.shrink();
            return;
        }
        let directory = myself.clone();
        tasks::spawn(TaskKind::Sweep, async move {
            tokio::time::sleep(SHRINK_PAUSE).await;
            let _ = directory.cast(DirectoryMsg::Shrink);
        });
    }

    /// Has rooms give memory back, those first that were not used for longest: their warm messages, which anybody may
    /// read from the store; and if that is not enough, all, by sleeping. A room with something under way stays.
    fn shrink(&mut self) {
        self.shrunk_at = Some(Instant::now());
        let mut excess = self.seed.context.warmth.excess();
        if excess == 0 {
            return;
        }
        let awake = |(room, entry): (&RoomId, &Entry)| match entry {
            Entry::Awake(handle, actor) => Some((handle.last_used_ms(), *room, handle.clone(), actor.clone())),
            Entry::Waking(_) | Entry::Sleeping { .. } => None,
        };
        let mut rooms: Vec<_> = self.rooms.iter().filter_map(awake).collect();
        rooms.sort_unstable_by_key(|(used_ms, room, ..)| (*used_ms, *room));
        for (_, _, handle, actor) in rooms.iter().filter(|(_, _, handle, _)| handle.warm().tail_bytes() > 0) {
            if excess == 0 {
                return;
            }
            excess = excess.saturating_sub(handle.warm().tail_bytes());
            // A room that has just died gives all back.
            let _ = actor.cast(RoomMsg::Cool);
        }
        let settled_ms = self.seed.context.uptime_ms() - JUST_USED_MS;
        for (_, room, handle, _) in rooms.iter().filter(|(used_ms, ..)| *used_ms < settled_ms) {
            if excess == 0 {
                return;
            }
            excess = excess.saturating_sub(handle.warm().bytes().saturating_sub(handle.warm().tail_bytes()));
            self.passivate(*room, None);
        }
    }

    /// Asks a room to sleep. From here on nobody finds it: who asks for it waits.
    fn passivate(&mut self, room: RoomId, reply: Option<oneshot::Sender<bool>>) {
        match self.rooms.remove(&room) {
            Some(Entry::Awake(handle, actor)) => {
                self.seed.active.remove(&room);
                // A room that has just died says so by a supervision event.
                let _ = actor.cast(RoomMsg::Sleep);
                self.rooms.insert(room, Entry::Sleeping { handle, actor, waiters: Vec::new(), reply });
            }
            Some(other) => {
                self.rooms.insert(room, other);
                reply.into_iter().for_each(|reply| {
                    let _ = reply.send(false);
                });
            }
            None => reply.into_iter().for_each(|reply| {
                let _ = reply.send(false);
            }),
        }
    }

    /// The room says whether it can sleep. If it can, its actor is about to end; if not, it stays awake.
    fn asleep(&mut self, room: RoomId, asleep: bool, myself: &ActorRef<DirectoryMsg>) {
        if asleep {
            return;
        }
        if let Some(Entry::Sleeping { handle, actor, waiters, reply }) = self.rooms.remove(&room) {
            self.seed.active.insert(room, handle.clone());
            waiters.into_iter().for_each(|waiter| drop(waiter.send(Ok(handle.clone()))));
            reply.into_iter().for_each(|reply| {
                let _ = reply.send(false);
            });
            self.rooms.insert(room, Entry::Awake(handle, actor));
            if self.draining.is_some() {
                self.passivate_later(room, myself);
            }
        }
    }

    /// An incarnation has ended, or has failed (then: whether the store was to blame); whoever waits for the room gets the
    /// next one.
    fn gone(&mut self, actor: ActorId, failed: Option<bool>, myself: &ActorRef<DirectoryMsg>) {
        let Some(room) = self.by_actor.remove(&actor) else {
            return;
        };
        if let Some(is_of_store) = failed {
            self.budgets.entry(room).or_default().failed(is_of_store);
        }
        self.seed.active.remove(&room);
        let (slept, waiters, reply) = match self.rooms.remove(&room) {
            Some(Entry::Sleeping { handle, waiters, reply, .. }) => (handle.has_slept(), waiters, reply),
            Some(Entry::Awake(..) | Entry::Waking(_)) | None => (false, Vec::new(), None),
        };
        if let Some(reply) = reply {
            let _ = reply.send(slept);
        }
        if self.draining.is_some() {
            waiters.into_iter().for_each(|waiter| drop(waiter.send(Err(CallError::Draining))));
        } else if !slept {
            self.unsettled.insert(room);
            self.rewake_for(room, waiters, myself);
        } else if !waiters.is_empty() {
            self.load(room, waiters, myself);
        }
        self.finish_drain();
    }

    /// Wakes a room that died, for whoever waits and for those who were not told what it did.
    fn rewake_for(&mut self, room: RoomId, waiters: Vec<Waiter>, myself: &ActorRef<DirectoryMsg>) {
        let budget = self.budgets.get(&room);
        match budget.and_then(|budget| Some((budget, budget.pause()?))) {
            None => self.load(room, waiters, myself),
            Some((budget, pause)) => {
                waiters.into_iter().for_each(|waiter| {
                    let refused = budget.refusal().unwrap_or(CallError::Gone);
                    drop(waiter.send(Err(refused)));
                });
                self.rewake_later(room, pause, myself);
            }
        }
    }

    fn rewake(&mut self, room: RoomId, myself: &ActorRef<DirectoryMsg>) {
        let is_due = self.unsettled.contains(&room) && !self.rooms.contains_key(&room);
        if is_due && self.draining.is_none() {
            self.rewake_for(room, Vec::new(), myself);
        }
    }

    fn rewake_later(&self, room: RoomId, pause: Duration, myself: &ActorRef<DirectoryMsg>) {
        let myself = myself.clone();
        tasks::spawn(TaskKind::Recover, async move {
            tokio::time::sleep(pause).await;
            let _ = myself.cast(DirectoryMsg::Rewake { room });
        });
    }

    fn drain(&mut self, reply: oneshot::Sender<()>) {
        self.draining.get_or_insert_default().push(reply);
        let rooms: Vec<RoomId> = self.rooms.keys().copied().collect();
        rooms.into_iter().for_each(|room| self.passivate(room, None));
        self.finish_drain();
    }

    fn passivate_later(&self, room: RoomId, myself: &ActorRef<DirectoryMsg>) {
        let myself = myself.clone();
        tasks::spawn(TaskKind::Sweep, async move {
            tokio::time::sleep(DRAIN_PAUSE).await;
            let _ = myself.cast(DirectoryMsg::Passivate { room, reply: None });
        });
    }

    fn finish_drain(&mut self) {
        if self.rooms.is_empty() {
            for reply in self.draining.iter_mut().flat_map(std::mem::take) {
                let _ = reply.send(());
            }
        }
    }
}
