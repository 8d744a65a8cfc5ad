//! Sends changes of the cache to Redis, as many in one go as wait. What fails is forgotten.

use std::time::Duration;

use redis::pipe;
use tokio::sync::mpsc;

use crate::redis_link::RedisLink;

/// Changes sent in one go.
const BATCH: usize = 128;
/// Answers kept of one room; a room with more starts anew, so that whoever asks for every page there is fills nothing.
const FIELDS_MAX: i64 = 64;

/// Something to do in Redis.
#[derive(Debug)]
pub(super) enum Change {
    /// Keep one answer of a room.
    Field { key: String, field: String, value: Vec<u8>, keep_for: Duration },
    /// Keep one value.
    Value { key: String, value: Vec<u8>, keep_for: Duration },
    /// Forget all answers of a room.
    Gone { key: String },
}

/// See the module.
#[derive(Debug)]
pub(super) struct Filler {
    link: RedisLink,
}

impl Filler {
    pub(super) fn new(link: RedisLink) -> Self {
        Self { link }
    }

    /// Works until the cache is dropped.
    pub(super) async fn run(self, mut todo: mpsc::Receiver<Change>) {
        let mut batch = Vec::with_capacity(BATCH);
        while todo.recv_many(&mut batch, BATCH).await > 0 {
            if let Err(error) = self.send(&batch).await {
                tracing::debug!(%error, changes = batch.len(), "cache was not told");
            }
            batch.clear();
        }
    }

    async fn send(&self, batch: &[Change]) -> Result<(), crate::redis_link::Gone> {
        let mut sent = pipe();
        let mut rooms = Vec::new();
        for change in batch {
            match change {
                Change::Field { key, field, value, keep_for } => {
                    sent.hset(key, field, value).ignore().pexpire(key, millis(*keep_for)).ignore().hlen(key);
                    rooms.push(key);
                }
                Change::Value { key, value, keep_for } => {
                    sent.pset_ex(key, value, millis(*keep_for).unsigned_abs()).ignore();
                }
                Change::Gone { key } => {
                    sent.unlink(key).ignore();
                }
            }
        }
        let fields: Vec<i64> = self.link.run(&sent).await?;
        let mut full = pipe();
        for (key, _) in rooms.iter().zip(&fields).filter(|(_, fields)| **fields > FIELDS_MAX) {
            full.unlink(key).ignore();
        }
        if full.is_empty() { Ok(()) } else { self.link.run(&full).await }
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
