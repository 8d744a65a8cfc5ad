//! The embedded backend: one row layout over an ordered key-value engine, on disk ([`disk`]) or in memory ([`memory`]).
//!
//! Owns the row layout ([`keys`], [`rows`]) and the decisions of the contract (fencing, uniqueness, merging), each taken
//! inside one serialised transaction. It must not look into opaque bodies and knows no actor, clock or network.
//!
//! Reads run inline: from memory they take microseconds. Only pages of more than [`BULK`] rows tell a multi-threaded
//! runtime that they block.

use std::{fmt, path::Path, sync::Arc};

pub mod append;
pub mod bin;
pub mod disk;
pub mod engine;
pub mod fault;
pub mod keys;
pub mod memory;
pub mod rows;

mod log;
mod rooms;
mod users;

use engine::{Engine, Txn, Visit};
use fault::Outcome;
use fjall::Slice;
use memory::MemoryEngine;

pub use disk::{DiskEngine, OpenOptions, SyncPolicy};

use super::{Direction, Durability, Result, Store};
use crate::domain::ids::Seq;
use keys::Key;

/// Pages of more rows than this may block for long enough to tell the runtime.
pub const BULK: usize = 1_000;

/// The embedded store over an engine.
pub struct EmbeddedStore<E> {
    engine: Arc<E>,
}

impl<E> fmt::Debug for EmbeddedStore<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedStore")
    }
}

impl EmbeddedStore<MemoryEngine> {
    /// A store that lives as long as this value; deterministic, no threads.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::over(MemoryEngine::default())
    }
}

impl EmbeddedStore<DiskEngine> {
    /// Opens the store in `dir`, creating both if they are not there. Blocks while the engine recovers.
    ///
    /// # Errors
    /// `Unavailable`: the directory cannot be used, or another process has it open. `Corrupt`: what was acknowledged is
    /// missing or does not decode; `Invalid`: the directory was written by a newer version.
    pub fn open(dir: impl AsRef<Path>, options: &OpenOptions) -> Result<Self> {
        disk::open(dir.as_ref(), options).map(Self::over).map_err(|fault| fault.at("open"))
    }
}

impl<E: Engine> EmbeddedStore<E> {
    /// The row layout over `engine`.
    #[must_use]
    pub fn over(engine: E) -> Self {
        Self { engine: Arc::new(engine) }
    }

    /// The engine, for its own numbers.
    #[must_use]
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// Runs `work` as one transaction.
    async fn write<T: Send + 'static>(
        &self,
        op: &'static str,
        work: impl FnOnce(&mut Txn<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<(T, Durability)> {
        engine::transact(&*self.engine, work).await.map_err(|fault| fault.at(op))
    }

    /// Runs `work`, whose end is all that matters, as one transaction.
    async fn change(
        &self,
        op: &'static str,
        work: impl FnOnce(&mut Txn<'_>) -> Outcome<()> + Send + 'static,
    ) -> Result<()> {
        self.write(op, work).await.map(|((), _)| ())
    }

    /// Reads one row.
    fn get<T>(&self, key: &Key, decode: impl FnOnce(&Slice) -> Outcome<T>) -> Outcome<Option<T>> {
        self.engine.get(key.as_ref())?.as_ref().map(decode).transpose()
    }

    /// Reads at most `limit` rows with `from <= key < to`.
    fn page<T>(
        &self,
        from: &Key,
        to: &Key,
        direction: Direction,
        limit: usize,
        mut decode: impl FnMut(&[u8], &[u8]) -> Outcome<T>,
    ) -> Outcome<Vec<T>> {
        let mut found = Vec::with_capacity(limit.min(64));
        if limit == 0 {
            return Ok(found);
        }
        let visit: &mut Visit<'_> = &mut |key, value| {
            found.push(decode(key, value)?);
            Ok(found.len() < limit)
        };
        maybe_blocking(limit, || self.engine.scan(from.as_ref(), to.as_ref(), direction, visit))?;
        Ok(found)
    }
}

/// How many places `from..=to` has.
fn span(from: Seq, to: Seq) -> usize {
    usize::try_from(to.0.saturating_sub(from.0).saturating_add(1)).unwrap_or(usize::MAX)
}

/// Runs `read`, telling a multi-threaded runtime first if it may take long.
fn maybe_blocking<T>(rows: usize, read: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let is_multi_thread =
        || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    // No limit at all is said only where there are few rows.
    if rows > BULK && rows != usize::MAX && is_multi_thread() { tokio::task::block_in_place(read) } else { read() }
}

#[async_trait::async_trait]
impl<E: Engine> Store for EmbeddedStore<E> {
    fn name(&self) -> &'static str {
        "embedded"
    }

    async fn close(&self) -> Result<()> {
        let engine = Arc::clone(&self.engine);
        let closed = match tokio::runtime::Handle::try_current() {
            Ok(runtime) if runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread => {
                tokio::task::block_in_place(|| engine.close())
            }
            _ => engine.close(),
        };
        closed.map_err(|fault| fault.at("close"))
    }
}
