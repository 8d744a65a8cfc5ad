//! What a user's actor is told.

use std::{collections::HashMap, sync::Arc};

use tokio::sync::oneshot;

use super::{list::RoomList, reader::StreamReader};
use crate::{
    actors::{
        error::Call,
        stream::{CloseReason, Moment, StreamQueue},
    },
    domain::{
        ids::{RoomId, Seq, UserId},
        position::Position,
    },
    storage::{Listing, Result as StoreResult, RoomPrefs},
};

/// Which opening of a client a stream is: of two of the same process the one with the greater number is the newer, in
/// whatever order they arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Drawn by the client's process when it starts.
    pub process: u64,
    /// Grows with each opening of the process.
    pub number: u64,
}

impl Attempt {
    /// Whether `other` is known to be newer. Openings of different processes have no order.
    pub(crate) const fn is_overtaken_by(self, other: Self) -> bool {
        self.process == other.process && self.number < other.number
    }
}

/// What a stream is opened with.
#[derive(Clone, Debug, Default)]
pub struct OpenStream {
    /// Names the device; a second stream with the same name replaces the first.
    pub client_id: String,
    /// Which opening of the client it is; none from a client that does not say.
    pub attempt: Option<Attempt>,
    /// One room, or all.
    pub room: Option<RoomId>,
    /// Where the client stands; empty for a client that starts.
    pub cursors: HashMap<RoomId, Seq>,
    /// Whose presence to tell.
    pub presence_of: Vec<UserId>,
    /// No events at all, only the sign of life.
    pub commands_only: bool,
}

/// The messages of a user's actor.
#[derive(Debug)]
pub(crate) enum UserMsg {
    // Requests.
    Open {
        open: Box<OpenStream>,
        reply: oneshot::Sender<Call<StreamReader>>,
    },
    Warm {
        reply: oneshot::Sender<Call<()>>,
    },
    Observe(oneshot::Sender<UserObservation>),
    // Facts about rooms and streams.
    Joined {
        room: RoomId,
        listing: Listing,
        seq: Seq,
        position: Position,
        name: Arc<str>,
    },
    Left {
        room: RoomId,
        seq: Seq,
    },
    Prefs {
        room: RoomId,
        prefs: RoomPrefs,
    },
    Cleared {
        room: RoomId,
        position: Position,
    },
    /// The user did something on one of their devices.
    Own(Arc<Moment>),
    Closed {
        queue: Arc<StreamQueue>,
    },
    // From the directory.
    CloseAll(CloseReason),
    /// Goes, if nobody needs it.
    Rest,
    /// Panics.
    #[cfg(any(test, feature = "testkit"))]
    Crash,
    // Own completions.
    Loaded(StoreResult<RoomList>),
}

/// A user, from the inside.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct UserObservation {
    /// Rooms in the warm list.
    pub rooms: usize,
    /// Open streams.
    pub streams: Vec<StreamObservation>,
}

/// A stream, from the inside.
#[derive(Clone, Debug, serde::Serialize)]
pub struct StreamObservation {
    /// The device.
    pub client_id: String,
    /// Bytes waiting.
    pub queued_bytes: usize,
    /// Rooms to be read from the log.
    pub rooms_behind: usize,
    /// Events handed on so far.
    pub delivered: u64,
}
