//! States of background work on a room: synchronisation with another system, adding everyone.

use bytes::Bytes;

use super::{bytes_of, parse, stored};
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

/// How far the background job that adds everyone to a room has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JoinJob {
    /// Users up to this id were gone through.
    pub after: UserId,
    /// How many that were.
    pub processed: u64,
    /// Whether it has ended.
    pub done: bool,
}

/// A join job.
#[must_use]
pub fn encode_join_job(job: &JoinJob) -> Bytes {
    bytes_of(&stored::JoinJob { after_user: job.after.0, processed: job.processed, done: job.done })
}

/// Reads [`encode_join_job`].
///
/// # Errors
/// `Corrupt`.
pub fn decode_join_job(bytes: &[u8]) -> Result<JoinJob> {
    let job: stored::JoinJob = parse(bytes)?;
    Ok(JoinJob { after: UserId(job.after_user), processed: job.processed, done: job.done })
}
