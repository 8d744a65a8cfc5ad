//! A read-through cache in Redis, shared by the nodes, below the encryption: it holds sealed bodies only.
//!
//! **Never wrong** does not rest on anybody being told. An invalidation may be lost, another node may have written, a
//! fill may arrive late: so only two kinds of answers are kept.
//!
//! - *What never changes*: where a message is, once it is anywhere (`find_message`; that there is none is not kept).
//! - *What belongs to a head*: pages of the log, present states, members and pins of a room, each with the head the room
//!   had before they were read. An answer counts only if the store's own head, read anew for this call beside the
//!   answer, is still that one. Every change of a room is an event and moves its head, a deletion for all too: a deleted
//!   text cannot be answered, even while its sealed bytes are still in Redis (for the rest of their time, at most).
//!
//! The second rests on two things. A store shows a head only when all that was appended with it can be read; and the
//! rows of a room change with records only. The contract allows a projection without records as well, which the rooms'
//! actors use for positions alone; any other removes the room's answers before it returns.
//!
//! Not kept, and why: heads, positions, settings, single members and single records cost no more to read than a head.
//! Memberships, blocks, claims, client ids and external references decide something: the store itself is asked. Profiles
//! are in each node's memory already.
//!
//! One read of a head instead of a page is what a hit saves the store; it is made while Redis is asked. Rooms that are
//! awake hardly come here, rooms that sleep keep their heads. Fills and removals are sent in the background, several in
//! one go, and dropped when there are too many: they change how fast it is, not what is answered.

use std::{fmt::Debug, sync::Arc, time::Duration};

use bytes::Bytes;
use rand::Rng as _;
use redis::pipe;
use tokio::sync::mpsc;

use crate::{
    domain::ids::{MessageId, RoomId},
    redis_link::RedisLink,
    storage::{Durability, MessageRef, Projection, Record, Result, Store},
    tasks::{self, TaskKind},
};

mod by_head;
mod filler;
mod form;
mod through;

#[cfg(test)]
mod tests;

use filler::{Change, Filler};

/// Changes that wait for the filler.
const CHANGES_MAX: usize = 4_096;
/// An answer of more bytes is not kept.
const VALUE_BYTES_MAX: usize = 256 << 10;
/// Pages of fewer rows are not worth it.
const PAGE_MIN: usize = 8;

/// How long answers are kept; each a fifth more or less, by chance, so that those made together do not end together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheOptions {
    /// What belongs to a room's head.
    pub room_for: Duration,
    /// Where messages are.
    pub message_for: Duration,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { room_for: Duration::from_secs(600), message_for: Duration::from_secs(3_600) }
    }
}

/// Is told how the cache does.
pub trait CacheObserver: Debug + Send + Sync + 'static {
    /// Something of this kind was looked up.
    fn looked_up(&self, kind: &'static str, hit: bool);
}

/// Nobody.
impl CacheObserver for () {
    fn looked_up(&self, _: &'static str, _: bool) {}
}

/// A store with a cache before it.
#[derive(Debug)]
pub struct Cached {
    inner: Arc<dyn Store>,
    link: RedisLink,
    options: CacheOptions,
    observer: Arc<dyn CacheObserver>,
    changes: mpsc::Sender<Change>,
}

impl Cached {
    /// Puts a cache before `inner`. Must be called within a runtime.
    #[must_use]
    pub fn new(
        inner: Arc<dyn Store>,
        link: RedisLink,
        options: CacheOptions,
        observer: Arc<dyn CacheObserver>,
    ) -> Self {
        let (changes, todo) = mpsc::channel(CHANGES_MAX);
        tasks::spawn(TaskKind::Cache, Filler::new(link.clone()).run(todo));
        Self { inner, link, options, observer, changes }
    }

    fn room_key(&self, room: RoomId) -> String {
        self.link.key("room", room)
    }

    fn message_key(&self, id: MessageId) -> String {
        self.link.key("message", id.0)
    }

    /// Queues a change, or forgets it if too many wait.
    fn later(&self, change: Change) {
        let _ = self.changes.try_send(change);
    }

    async fn locate(&self, id: MessageId) -> Result<Option<MessageRef>> {
        if !self.link.is_up() {
            return self.inner.find_message(id).await;
        }
        let mut ask = pipe();
        ask.get(self.message_key(id));
        let kept = self.link.run::<(Option<Bytes>,)>(&ask).await;
        let hit = kept.ok().and_then(|(kept,)| form::decode_ref(&kept?)).filter(|found| found.id == id);
        self.observer.looked_up("message", hit.is_some());
        if hit.is_some() {
            return Ok(hit);
        }
        let found = self.inner.find_message(id).await?;
        found.iter().for_each(|found| self.keep_ref(found));
        Ok(found)
    }

    fn keep_ref(&self, found: &MessageRef) {
        let keep_for = about(self.options.message_for);
        self.later(Change::Value { key: self.message_key(found.id), value: form::encode_ref(found), keep_for });
    }

    /// What an append leaves to do: new messages become known, and what it made out of date goes.
    async fn appended(&self, room: RoomId, records: &[Record], projection: &Projection, result: &Result<Durability>) {
        if result.is_ok() {
            for record in records {
                if let Some(message) = &record.message {
                    self.keep_ref(&MessageRef { room, seq: record.seq, id: message.id });
                }
            }
        }
        let key = self.room_key(room);
        if !records.is_empty() {
            self.later(Change::Gone { key });
        } else if !only_moves_positions(projection)
            && let Err(error) = self.link.run::<()>(pipe().unlink(key).ignore()).await
        {
            tracing::warn!(%room, %error, "rows changed without an event while the cache could not be told");
        }
    }
}

fn only_moves_positions(projection: &Projection) -> bool {
    let rest = Projection { head: projection.head, positions: projection.positions.clone(), ..Projection::default() };
    *projection == rest
}

/// `time`, a fifth more or less.
fn about(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(0.8..1.2))
}
