//! What a room's actor is told.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{
    actors::{client_ids::InUse, error::Call},
    domain::{
        ids::{Epoch, Seq},
        message::Message,
        position::Position,
        room::{Author, Command, ReadTo, Send, Subject},
    },
    storage::{Durability, Result as StoreResult},
};

/// Where the answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Call<T>>;

/// The right to be in a room's mailbox; given back when the command is answered.
#[derive(Debug)]
pub(crate) struct Permit {
    /// Of the room.
    pub(crate) _room: OwnedSemaphorePermit,
    /// Of the node.
    pub(crate) _node: OwnedSemaphorePermit,
    /// A send's client id: in use until the send is answered, whoever still waits for that.
    pub(crate) _client_id: Option<Arc<InUse>>,
}

/// A send that is in the log.
#[derive(Clone, Debug)]
pub struct SendAck {
    /// As stored.
    pub message: Arc<Message>,
    /// Whether it was there before.
    pub duplicate: bool,
    /// What the write has survived.
    pub durability: Durability,
    /// Of the writer.
    pub epoch: Epoch,
}

/// What became of a command.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Place of its event; none when nothing had to change.
    pub seq: Option<Seq>,
    /// The message it changed, in its new state (or as it was, when nothing had to change).
    pub message: Option<Arc<Message>>,
    /// Members it added or removed.
    pub users: Vec<crate::domain::ids::UserId>,
}

/// A request that waits for its batch.
#[derive(Debug)]
pub(crate) enum Request {
    Send { send: Box<Send>, reply: Reply<SendAck> },
    Read { author: Author, to: ReadTo, delivered_only: bool, reply: Reply<Position> },
    Clear { author: Author, reply: Reply<Position> },
    Command { author: Author, command: Box<Command>, reply: Reply<Applied> },
}

impl Request {
    /// Answers with an error.
    pub(crate) fn refuse(self, error: crate::actors::error::CallError) {
        // A caller that no longer waits is no concern of ours.
        match self {
            Self::Send { reply, .. } => drop(reply.send(Err(error))),
            Self::Read { reply, .. } | Self::Clear { reply, .. } => drop(reply.send(Err(error))),
            Self::Command { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}

/// The messages of a room's actor.
#[derive(Debug)]
pub(crate) enum RoomMsg {
    // Requests.
    Request(Request, Permit),
    Observe(oneshot::Sender<RoomObservation>),
    // From the directory.
    Sleep,
    /// Let the warm messages go.
    Cool,
    // Facts about others.
    Blocked(bool),
    // Own completions.
    Persisted(StoreResult<Durability>),
    SubjectLoaded(StoreResult<Subject>),
    /// Up to here; none when it failed.
    Published(Option<Seq>),
    Released,
}

/// A room, from the inside.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RoomObservation {
    /// The room.
    pub room: String,
    /// Epoch it writes under.
    pub epoch: u64,
    /// Newest durable event.
    pub last_seq: u64,
    /// Newest message's ordinal.
    pub last_n: u64,
    /// Requests waiting for the next batch.
    pub queued: usize,
    /// Requests in the append under way.
    pub in_flight: usize,
    /// Streams listening.
    pub listeners: usize,
    /// Members.
    pub members: usize,
    /// Messages kept warm.
    pub warm_messages: usize,
    /// Newest event published to the bus.
    pub published_seq: u64,
    /// Milliseconds since the last request.
    pub idle_ms: i64,
}
