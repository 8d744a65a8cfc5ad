//! A room's actor: the only one that appends to the room. It decides, has one append in flight, and tells those who
//! wait and those who listen what has become durable. It never waits in a handler.

mod actor;
mod append;
pub(crate) mod load;
mod message;
mod publish;
mod schedule;
mod sleep;
mod statuses;
mod tell;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use parking_lot::RwLock;
use ractor::ActorRef;
use tokio::sync::{Semaphore, oneshot};

pub(crate) use actor::{RoomActor, RoomSeed};
pub use message::{Applied, RoomObservation, SendAck};
pub(crate) use message::{Permit, Reply, Request, RoomMsg};
pub(crate) use publish::published;
pub(crate) use tell::Untold;

use super::{
    client_ids::InUse,
    error::{Call, CallError},
    hub::RoomHub,
    warmth::WarmRoom,
};
use crate::domain::{
    ids::{RoomId, Seq},
    position::Position,
    room::{Author, Command, ReadTo, RoomState, Send},
};

#[cfg(any(test, feature = "testkit"))]
thread_local! {
    /// Lets rooms of this thread go to sleep with commands in hand, which they must never do: for the test that the
    /// simulation sees it.
    pub static SLEEP_DROPS_QUEUE: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// The outside face of an awake room: where its commands go in and where its state can be read.
#[derive(Clone, Debug)]
pub struct RoomHandle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: RoomId,
    actor: ActorRef<RoomMsg>,
    shared: Arc<Shared>,
    room_permits: Arc<Semaphore>,
    node_permits: Arc<Semaphore>,
    timeout: Duration,
}

/// What an awake room shows without being asked: written by its actor alone, after each append.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: RwLock<RoomState>,
    pub(crate) hub: Arc<RoomHub>,
    pub(crate) last_used_ms: AtomicI64,
    /// The actor has ended with nothing under way.
    pub(crate) slept: AtomicBool,
    /// How much memory it takes.
    pub(crate) warm: WarmRoom,
}

impl Shared {
    /// Says how much memory the room takes now. Returns whether the directory has to be told that all take too much.
    #[must_use]
    pub(crate) fn weigh(&self) -> bool {
        let (bytes, tail_bytes) = {
            let state = self.state.read();
            (state.bytes(), state.tail_bytes())
        };
        self.warm.set(bytes, tail_bytes)
    }
}

impl RoomHandle {
    pub(crate) fn new(
        id: RoomId,
        actor: ActorRef<RoomMsg>,
        shared: Arc<Shared>,
        queue_max: usize,
        node_permits: Arc<Semaphore>,
        timeout: Duration,
    ) -> Self {
        let room_permits = Arc::new(Semaphore::new(queue_max));
        Self { inner: Arc::new(Inner { id, actor, shared, room_permits, node_permits, timeout }) }
    }

    /// The room.
    #[must_use]
    pub fn id(&self) -> RoomId {
        self.inner.id
    }

    /// The room's hub.
    #[must_use]
    pub fn hub(&self) -> &Arc<RoomHub> {
        &self.inner.shared.hub
    }

    /// Reads the durable state. `read` must be short: the room's writer waits for it.
    pub fn read<T>(&self, read: impl FnOnce(&RoomState) -> T) -> T {
        read(&self.inner.shared.state.read())
    }

    /// Newest durable event.
    #[must_use]
    pub fn last_seq(&self) -> Seq {
        self.read(|state| state.head.seq)
    }

    /// Milliseconds since the Unix epoch at which the room was last asked for something.
    pub(crate) fn last_used_ms(&self) -> i64 {
        self.inner.shared.last_used_ms.load(Ordering::Relaxed)
    }

    /// How much memory the room takes, about.
    pub(crate) fn warm(&self) -> &WarmRoom {
        &self.inner.shared.warm
    }

    /// Whether the actor has ended with nothing under way.
    pub(crate) fn has_slept(&self) -> bool {
        self.inner.shared.slept.load(Ordering::Acquire)
    }

    /// Sends a message: it is in the mailbox when this returns; what came of it is awaited.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) fn send(&self, send: Send, id: Arc<InUse>) -> Call<impl Future<Output = Call<SendAck>> + use<>> {
        self.request(Some(id), |reply| Request::Send { send: Box::new(send), reply })
    }

    /// Moves a position.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn mark(&self, author: Author, to: ReadTo, delivered_only: bool) -> Call<Position> {
        self.request(None, |reply| Request::Read { author, to, delivered_only, reply })?.await
    }

    /// Clears a p2p room for one side.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn clear(&self, author: Author) -> Call<Position> {
        self.request(None, |reply| Request::Clear { author, reply })?.await
    }

    /// Does anything else.
    ///
    /// # Errors
    /// [`CallError`].
    pub(crate) async fn command(&self, author: Author, command: Command) -> Call<Applied> {
        self.request(None, |reply| Request::Command { author, command: Box::new(command), reply })?.await
    }

    /// The room from the inside; none if it has just gone.
    pub async fn observe(&self) -> Option<RoomObservation> {
        let (reply, answer) = oneshot::channel();
        self.tell(RoomMsg::Observe(reply)).ok()?;
        answer.await.ok()
    }

    pub(crate) fn tell(&self, message: RoomMsg) -> Result<(), CallError> {
        self.inner.actor.cast(message).map_err(|_| CallError::Gone)
    }

    fn request<T, F>(&self, id: Option<Arc<InUse>>, request: F) -> Call<impl Future<Output = Call<T>> + use<T, F>>
    where
        F: FnOnce(Reply<T>) -> Request,
    {
        let permit = Permit {
            _room: Arc::clone(&self.inner.room_permits).try_acquire_owned().map_err(|_| CallError::Overloaded)?,
            _node: Arc::clone(&self.inner.node_permits).try_acquire_owned().map_err(|_| CallError::Overloaded)?,
            _client_id: id,
        };
        let (reply, answer) = oneshot::channel();
        self.tell(RoomMsg::Request(request(reply), permit))?;
        let timeout = self.inner.timeout;
        Ok(async move {
            match tokio::time::timeout(timeout, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(CallError::Dropped),
                Err(_) => Err(CallError::Deadline),
            }
        })
    }
}
