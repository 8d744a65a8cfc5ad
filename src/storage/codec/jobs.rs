//! States of background work on a room: synchronisation with another system, adding everyone.

use bytes::Bytes;

use super::{bytes_of, corrupt, parse, stored};
use crate::{domain::ids::UserId, storage::Result};

/// How far a room is synchronised with another system, and when that was set.
#[must_use]
pub fn encode_sync(position: &str, updated_at_ms: i64) -> Bytes {
    bytes_of(&stored::Sync { position: position.to_owned(), updated_at_ms })
}

/// Reads [`encode_sync`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_sync(bytes: &[u8]) -> Result<(String, i64)> {
    let sync: stored::Sync = parse(bytes)?;
    Ok((sync.position, sync.updated_at_ms))
}

/// Why adding everyone stopped before everyone was gone through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinStop {
    /// The room has as many members as it may have.
    RoomFull = 1,
    /// The room takes no members any more.
    RoomClosed = 2,
}

/// How far the background job that adds everyone to a room has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JoinJob {
    /// Users up to this id were gone through.
    pub after: UserId,
    /// How many that were.
    pub processed: u64,
    /// Whether everyone was gone through.
    pub done: bool,
    /// Why it stopped before that.
    pub stop: Option<JoinStop>,
}

/// A join job.
#[must_use]
pub fn encode_join_job(job: &JoinJob) -> Bytes {
    bytes_of(&stored::JoinJob {
        after_user: job.after.0,
        processed: job.processed,
        done: job.done,
        stop: job.stop.map_or(0, |stop| stop as u32),
    })
}

/// Reads [`encode_join_job`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_join_job(bytes: &[u8]) -> Result<JoinJob> {
    let job: stored::JoinJob = parse(bytes)?;
    let stop = match job.stop {
        0 => None,
        1 => Some(JoinStop::RoomFull),
        2 => Some(JoinStop::RoomClosed),
        _ => return Err(corrupt("join stop")),
    };
    Ok(JoinJob { after: UserId(job.after_user), processed: job.processed, done: job.done, stop })
}
