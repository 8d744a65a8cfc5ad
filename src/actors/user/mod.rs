//! A user's actor: one for each user that is online or was just served. It owns the user's streams and warm room list;
//! it owns no truth and can go at any time. [`Users`] finds it.

mod actor;
pub(crate) mod list;
mod message;
mod place;
mod reader;
mod sight;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use tokio::{sync::oneshot, time::timeout};

use actor::{UserActor, UserSeed};
pub use list::ListFilter;
use list::RoomList;
pub(crate) use message::UserMsg;
pub use message::{Attempt, OpenStream, StreamObservation, UserObservation};
use place::Place;
pub use reader::{Output, StreamReader};

use super::{
    Context,
    error::{Call, CallError},
    stream::{CloseReason, Moment, MomentBody},
};
use crate::{
    domain::{
        ids::{RoomId, Seq, UserId},
        position::Position,
        room::{Role, RoomInfo, RoomType},
    },
    storage::{Listing, RoomPrefs},
    tasks::{self, TaskKind},
};

/// What a user's actor shows without being asked.
#[derive(Debug, Default)]
pub(crate) struct UserShared {
    pub(crate) list: Mutex<RoomList>,
    streams: AtomicUsize,
    last_used_ms: AtomicI64,
}

impl UserShared {
    fn touch(&self, context: &Context) {
        self.last_used_ms.store(context.uptime_ms(), Ordering::Relaxed);
    }

    fn set_streams(&self, streams: usize) {
        self.streams.store(streams, Ordering::Relaxed);
    }
}

/// The outside face of a user's actor.
#[derive(Clone, Debug)]
pub(crate) struct UserHandle {
    actor: ActorRef<UserMsg>,
    pub(crate) shared: Arc<UserShared>,
}

/// Finds users' actors, starting them when there is none.
#[derive(Clone, Debug)]
pub struct Users {
    context: Arc<Context>,
    awake: Arc<DashMap<UserId, UserHandle>>,
    supervisor: ActorCell,
}

/// Supervises the users' actors; one that ends, however it ends, is simply gone.
#[derive(Debug)]
struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, error) = event {
            tracing::warn!(%error, "a user's actor failed");
        }
        Ok(())
    }
}

impl Users {
    /// Starts the directory of users.
    ///
    /// # Errors
    /// When the supervisor cannot be spawned.
    pub(crate) async fn start(context: Arc<Context>) -> Result<Self, ractor::SpawnErr> {
        let (supervisor, _) = Actor::spawn(None, Supervisor, ()).await?;
        let users = Self { context, awake: Arc::new(DashMap::new()), supervisor: supervisor.get_cell() };
        let (sweeper, pause) = (users.clone(), users.context.options.user_idle / 4);
        tasks::spawn(TaskKind::Sweep, async move {
            loop {
                tokio::time::sleep(pause.clamp(Duration::from_millis(50), Duration::from_secs(15))).await;
                if sweeper.supervisor.get_status() >= ActorStatus::Stopping {
                    break;
                }
                sweeper.sweep();
            }
        });
        Ok(users)
    }

    /// Lets go of users without streams whom nobody asked for lately, and of actors that ended.
    fn sweep(&self) {
        let idle = i64::try_from(self.context.options.user_idle.as_millis()).unwrap_or(i64::MAX);
        let before = self.context.uptime_ms().saturating_sub(idle);
        // An actor that ended by itself, however, is no longer anybody's.
        self.awake.retain(|_, handle| handle.actor.get_status() < ActorStatus::Stopping);
        for (_, handle) in self.in_order() {
            let shared = &handle.shared;
            if shared.last_used_ms.load(Ordering::Relaxed) <= before && shared.streams.load(Ordering::Relaxed) == 0 {
                let _ = handle.actor.cast(UserMsg::Rest);
            }
        }
    }

    /// All users with an actor, by id.
    fn in_order(&self) -> Vec<(UserId, UserHandle)> {
        let mut users: Vec<(UserId, UserHandle)> =
            self.awake.iter().map(|entry| (*entry.key(), entry.value().clone())).collect();
        users.sort_unstable_by_key(|(user, _)| *user);
        users
    }

    async fn get(&self, user: UserId) -> Call<UserHandle> {
        if let Some(handle) = self.awake.get(&user) {
            return Ok(handle.clone());
        }
        let shared = Arc::new(UserShared::default());
        shared.touch(&self.context);
        let seed = UserSeed { user, context: Arc::clone(&self.context), shared: Arc::clone(&shared) };
        let spawned = Actor::spawn_linked(None, UserActor, seed, self.supervisor.clone()).await;
        let (actor, _) = spawned.map_err(|_| CallError::Draining)?;
        let mine = UserHandle { actor, shared };
        // Two callers may both have started one: the second steps back. Nothing was loaded yet.
        let handle = self.awake.entry(user).or_insert_with(|| mine.clone()).clone();
        if handle.actor.get_id() != mine.actor.get_id() {
            let _ = mine.actor.drain();
        }
        Ok(handle)
    }

    /// Asks a user's actor, once more if the first one had just gone.
    async fn ask<T>(
        &self,
        user: UserId,
        message: impl Fn(oneshot::Sender<Call<T>>) -> UserMsg,
    ) -> Call<(T, UserHandle)> {
        for _ in 0..3 {
            let handle = self.get(user).await?;
            let (reply, answer) = oneshot::channel();
            if handle.actor.cast(message(reply)).is_ok() {
                match timeout(self.context.options.request_timeout, answer).await {
                    Ok(Ok(answer)) => return answer.map(|answer| (answer, handle)),
                    Ok(Err(_)) => {}
                    Err(_) => return Err(CallError::Deadline),
                }
            }
            self.awake.remove_if(&user, |_, known| known.actor.get_id() == handle.actor.get_id());
        }
        Err(CallError::Dropped)
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// [`CallError::TooManyStreams`]; [`CallError`] when the room list cannot be read.
    pub async fn open(&self, user: UserId, open: OpenStream) -> Call<StreamReader> {
        let place = Place::take(&self.context, user, &open.client_id).await?;
        let (mut reader, _) = self.ask(user, |reply| UserMsg::Open { open: Box::new(open.clone()), reply }).await?;
        reader.place = Some(place);
        if let Some(room) = open.room
            && reader.cursors.contains_key(&room)
        {
            let now = self.context.clock.now_ms();
            for typist in self.context.ephemera.typing(room).await.into_iter().filter(|typist| *typist != user) {
                let moment = Moment::new(Some(room), typist, now, MomentBody::Typing(true));
                reader.queue.push_moment(&Arc::new(moment));
            }
        }
        Ok(reader)
    }

    /// The user's list, loaded.
    pub(crate) async fn warm(&self, user: UserId) -> Call<Arc<UserShared>> {
        let ((), handle) = self.ask(user, |reply| UserMsg::Warm { reply }).await?;
        Ok(handle.shared)
    }

    /// The user from the inside; none without an actor.
    pub async fn observe(&self, user: UserId) -> Option<UserObservation> {
        let handle = self.awake.get(&user).map(|handle| handle.clone())?;
        let (reply, answer) = oneshot::channel();
        handle.actor.cast(UserMsg::Observe(reply)).ok()?;
        answer.await.ok()
    }

    /// Users with an actor.
    #[must_use]
    pub fn awake(&self) -> usize {
        self.awake.len()
    }

    /// Whether the user has an actor.
    pub(crate) fn is_awake(&self, user: UserId) -> bool {
        self.awake.contains_key(&user)
    }

    fn tell(&self, user: UserId, message: UserMsg) {
        if let Some(handle) = self.awake.get(&user) {
            let _ = handle.actor.cast(message);
        }
    }

    pub(crate) fn room_joined(
        &self,
        user: UserId,
        info: &RoomInfo,
        members: &[(UserId, Role)],
        seq: Seq,
        position: Position,
    ) {
        if !self.awake.contains_key(&user) {
            return;
        }
        let other = || members.iter().map(|(other, _)| *other).find(|other| *other != user).unwrap_or_default();
        let partner = if info.room_type == RoomType::P2p { other() } else { UserId::default() };
        let listing = Listing { room_type: info.room_type as u8, partner };
        self.tell(user, UserMsg::Joined { room: info.id, listing, seq, position, name: info.name.as_str().into() });
    }

    pub(crate) fn room_left(&self, user: UserId, room: RoomId, seq: Seq) {
        self.tell(user, UserMsg::Left { room, seq });
    }

    pub(crate) fn prefs_changed(&self, user: UserId, room: RoomId, prefs: RoomPrefs) {
        // At once: an open stream must not show what was just hidden.
        if let Some(handle) = self.awake.get(&user)
            && let Some(listed) = handle.shared.list.lock().rooms.get_mut(&room)
        {
            listed.set_prefs(prefs);
        }
        self.tell(user, UserMsg::Prefs { room, prefs });
    }

    /// What came before is no longer the user's to see.
    pub(crate) fn room_cleared(&self, user: UserId, room: RoomId, position: Position) {
        self.tell(user, UserMsg::Cleared { room, position });
    }

    /// Tells all of a user's streams what the user did on one of their devices.
    pub(crate) fn tell_own(&self, user: UserId, room: Option<RoomId>, body: MomentBody) {
        let moment = Moment::new(room, user, self.context.clock.now_ms(), body);
        self.tell(user, UserMsg::Own(Arc::new(moment)));
    }

    /// Lets a user's actor panic; for tests of what becomes of its streams.
    #[cfg(any(test, feature = "testkit"))]
    pub fn crash(&self, user: UserId) {
        self.tell(user, UserMsg::Crash);
    }

    /// Kills all users' actors where they stand.
    #[cfg(any(test, feature = "testkit"))]
    pub(crate) fn kill_all(&self) {
        self.supervisor.kill();
    }

    /// Ends all streams.
    pub(crate) fn close_streams(&self) {
        for (_, handle) in self.in_order() {
            let _ = handle.actor.cast(UserMsg::CloseAll(CloseReason::Draining));
        }
    }
}
