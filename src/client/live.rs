//! What one asks of a live client, and what it tells: plain data.

use std::{collections::HashMap, time::Duration};

use tertulia_proto::chat::v1::Event;

use super::{backoff::Backoff, error::ClientError};

/// Which of the two RPCs carries the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LiveMode {
    /// Bidirectional: `LiveClient::commands` works.
    #[default]
    Session,
    /// StreamMessages: events alone.
    Stream,
}

/// What to listen to.
#[derive(Debug, Clone, Default)]
pub struct LiveOptions {
    /// Names the device, 1 to 128 bytes. A second stream with the same one ends the first.
    pub client_id: String,
    /// The token's user, so that their own leaving is recognised; 0 if unknown.
    pub user_id: i64,
    /// One room alone; none for all.
    pub room_id: Option<String>,
    /// Room id to last seq seen. None: the present state of all rooms is read first, and events go on from there.
    pub cursors: Option<HashMap<String, i64>>,
    /// Users whose presence to tell, at most 1,000.
    pub presence_of: Vec<i64>,
    /// Which RPC.
    pub mode: LiveMode,
    /// Waits between two tries.
    pub backoff: Backoff,
}

/// What a `LiveClient` has to tell.
#[derive(Debug)]
pub enum LiveItem {
    /// The stream is open; what was missed follows, then what happens.
    Up,
    /// The stream broke, or could not be opened.
    Down {
        /// Why.
        error: ClientError,
        /// When the next try begins.
        retry_in: Duration,
    },
    /// Something happened: each event of the log once and in order, `resync_required`, `room_join` and
    /// `room_leave` included. `connected` is not handed on.
    Event(Box<Event>),
}

/// What a `LiveClient` has been through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LiveStats {
    /// Times the stream was open.
    pub opened: u64,
    /// Events handed on.
    pub events: u64,
    /// Events dropped because they had been handed on before: the server's fault, 0 in a perfect world.
    pub duplicates: u64,
    /// Events whose predecessors were missing without a word: the server's fault, 0 in a perfect world.
    pub gaps: u64,
    /// Times the stream said `resync_required`.
    pub resyncs: u64,
}
