//! The history checker: reads every room of a running server over its public API and says what must not be.
//!
//! Each room's log goes through the checkers of `domain::invariants`; then positions, unread numbers and history are
//! held against it. Nothing is changed on the server. A room in use is read again until a whole round saw no change
//! or found nothing; what remains after that is reported with a note that the room was moving.

use std::{fmt, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use tertulia_proto::chat::v1::Room;
use tokio::time::Instant;
use tonic::Status;

use super::{
    throttle::throttled,
    wire::{self, AddressError, RetryPolicy},
};
use crate::domain::invariants::Violation;

mod log;
mod remote;
mod room;
#[cfg(test)]
mod tests;

/// Rooms read at the same time.
const ROOMS_AT_ONCE: usize = 4;

/// What to check.
#[derive(Clone)]
pub struct CheckOptions {
    /// `http://host:port`.
    pub server: String,
    /// A token with the admin role.
    pub admin_token: String,
    /// Ids of the rooms to check; none for all.
    pub rooms: Option<Vec<String>>,
    /// Compare only the newest messages of each history instead of all.
    pub sample_history: bool,
    /// How long to try each call again.
    pub retry: RetryPolicy,
    /// Deadline of one try of one call.
    pub deadline: Duration,
}

impl CheckOptions {
    /// All rooms, all of their history.
    #[must_use]
    pub fn new(server: impl Into<String>, admin_token: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            admin_token: admin_token.into(),
            rooms: None,
            sample_history: false,
            retry: RetryPolicy::default(),
            deadline: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for CheckOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("CheckOptions");
        all.field("server", &self.server).field("rooms", &self.rooms);
        all.field("sample_history", &self.sample_history).finish_non_exhaustive()
    }
}

/// The server could not be read; says nothing about its rooms.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The server's address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The token has characters that no token has.
    #[error("the admin token is no token")]
    Token,
    /// A call failed for good, or for too long.
    #[error("{call}: {}", .status.message())]
    Call {
        /// Which.
        call: &'static str,
        /// The answer.
        #[source]
        status: Box<Status>,
    },
    /// A room that was asked for is not there.
    #[error("the server has no room {0}")]
    NoRoom(String),
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckReport {
    /// Whether nothing was found wrong.
    pub ok: bool,
    /// Each room, by id.
    pub rooms: Vec<RoomReport>,
    /// Events read.
    pub events: i64,
    /// Messages among them.
    pub messages: i64,
    /// Violations in all rooms.
    pub violations: usize,
    /// Calls that the server's rate limit put off.
    pub throttled: u64,
    /// How long it took.
    pub seconds: f64,
}

/// What was found in one room.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RoomReport {
    /// UUID.
    pub id: String,
    /// Name; empty in p2p rooms.
    pub name: String,
    /// Events in the log.
    pub events: i64,
    /// Messages among them.
    pub messages: i64,
    /// Members whose positions were checked.
    pub members: usize,
    /// Messages of the history that were compared.
    pub history_compared: usize,
    /// What must not be.
    #[serde(serialize_with = "as_text")]
    pub violations: Vec<Violation>,
    /// What was not checked, and why.
    pub notes: Vec<String>,
}

fn as_text<S: serde::Serializer>(violations: &[Violation], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(violations.iter().map(ToString::to_string))
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for room in &self.rooms {
            let state = if room.violations.is_empty() { "ok" } else { "WRONG" };
            writeln!(
                f,
                "{state:5} {} {:?}: {} events, {} messages, {} members, {} compared with history",
                room.id, room.name, room.events, room.messages, room.members, room.history_compared
            )?;
            room.violations.iter().try_for_each(|violation| writeln!(f, "      {violation}"))?;
            room.notes.iter().try_for_each(|note| writeln!(f, "      note: {note}"))?;
        }
        writeln!(
            f,
            "{} rooms, {} events, {} messages, {} violations, {:.1} s",
            self.rooms.len(),
            self.events,
            self.messages,
            self.violations,
            self.seconds
        )?;
        throttled(f, self.throttled)
    }
}

/// Checks a server.
///
/// # Errors
/// When it cannot be read. What is wrong in its rooms is in the report.
pub async fn check(options: CheckOptions) -> Result<CheckReport, CheckError> {
    let began = Instant::now();
    let channel = wire::connect(&options.server)?;
    let bearer = wire::bearer(&options.admin_token).ok_or(CheckError::Token)?;
    let remote = remote::Remote::new(channel, bearer, options.retry, options.deadline);
    let rooms = chosen(remote.rooms().await?, options.rooms.as_deref())?;
    let mut reports: Vec<RoomReport> = futures_util::stream::iter(rooms)
        .map(|room| room::check(&remote, room, options.sample_history))
        .buffer_unordered(ROOMS_AT_ONCE)
        .try_collect()
        .await?;
    let throttled = remote.throttled();
    reports.sort_by(|a, b| a.id.cmp(&b.id));
    let mut report = CheckReport { throttled, seconds: began.elapsed().as_secs_f64(), ..CheckReport::default() };
    for room in &reports {
        report.events += room.events;
        report.messages += room.messages;
        report.violations += room.violations.len();
    }
    report.ok = report.violations == 0;
    report.rooms = reports;
    Ok(report)
}

fn chosen(all: Vec<Room>, wanted: Option<&[String]>) -> Result<Vec<Room>, CheckError> {
    let Some(wanted) = wanted else { return Ok(all) };
    let find = |id: &String| all.iter().find(|room| room.id == *id).cloned();
    wanted.iter().map(|id| find(id).ok_or_else(|| CheckError::NoRoom(id.clone()))).collect()
}
