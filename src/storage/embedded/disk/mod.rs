//! The engine on disk: one fjall keyspace, one commit thread ([`commit`]), a witness of what was committed
//! ([`witness`]), and an opening that refuses to paper over a loss ([`open`](mod@open)).
//!
//! The library's writes block, so they happen on the commit thread alone, which also opens the store again after the
//! disk has refused one (`comeback`); reads are made from snapshots, so that a group
//! commit is seen whole or not at all. The data directory holds `LOCK`, `rows/` (the library's), `commits.witness` and,
//! after a damage was found, `rescue/`.

use std::{fmt, fs::File, path::PathBuf, sync::Arc, thread::JoinHandle};

use fjall::{Database, Keyspace, Readable, Slice};
use parking_lot::{Mutex, RwLock};

use super::{
    engine::{Engine, Op, Visit},
    fault::{Fault, Outcome},
};
use crate::storage::{error::StoreErrorKind, types::Direction};

pub mod check;
mod comeback;
pub mod commit;
mod journal;
pub mod open;
mod queue;
mod recent;
mod rescue;
#[cfg(test)]
mod tests;
mod upgrade;
pub mod witness;

pub use open::{OpenOptions, SyncPolicy, open};
use queue::Queue;

/// The library refuses longer keys.
const KEY_BYTES_MAX: usize = u16::MAX as usize;

/// The engine on disk.
pub struct DiskEngine {
    dir: PathBuf,
    tables: Present,
    queue: Queue,
    thread: Mutex<Option<JoinHandle<Outcome<()>>>>,
    /// Let go last: nobody may open the directory before everything above is closed.
    lock: Mutex<Option<File>>,
}

/// The tables as all see them: none while they are opened again, and after the end.
type Present = Arc<RwLock<Option<Tables>>>;

/// The library's handles.
#[derive(Clone)]
pub struct Tables {
    db: Database,
    rows: Keyspace,
}

/// Numbers of the engine, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EngineStats {
    /// Bytes on disk, journals included.
    pub disk_bytes: u64,
    /// Journal files; a number that keeps growing means that memory is not written out.
    pub journals: usize,
    /// Writes waiting for the commit thread.
    pub queued: usize,
}

impl fmt::Debug for DiskEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskEngine").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tables")
    }
}

impl From<fjall::Error> for Fault {
    fn from(error: fjall::Error) -> Self {
        use fjall::{Error, LsmError};
        match error {
            // As itself, so that its kind can be asked for.
            Error::Io(error) | Error::Storage(LsmError::Io(error)) => Self::because(StoreErrorKind::Unavailable, error),
            Error::Locked | Error::Poisoned => Self::because(StoreErrorKind::Unavailable, error),
            _ => Self::because(StoreErrorKind::Corrupt, error),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::because(StoreErrorKind::Unavailable, error)
    }
}

impl Tables {
    fn scan(&self, from: &[u8], to: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Outcome<()> {
        // No stored key is nearly as long, so that the cut is on the same side of all of them.
        let from = &from[..from.len().min(KEY_BYTES_MAX)];
        if from >= to {
            return Ok(());
        }
        let mut range = self.db.snapshot().range(&self.rows, from..to);
        loop {
            let row = match direction {
                Direction::Forward => range.next(),
                Direction::Backward => range.next_back(),
            };
            let Some(row) = row else { return Ok(()) };
            let (key, value) = row.into_inner()?;
            if !visit(&key, &value)? {
                return Ok(());
            }
        }
    }
}

impl DiskEngine {
    /// Present numbers; zeros when closed.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        let tables = self.tables.read();
        let Some(tables) = &*tables else {
            return EngineStats::default();
        };
        EngineStats {
            disk_bytes: tables.db.disk_space().unwrap_or_default(),
            journals: tables.db.journal_count(),
            queued: self.queue.waiting(),
        }
    }
}

impl Engine for DiskEngine {
    fn get(&self, key: &[u8]) -> Outcome<Option<Slice>> {
        let tables = self.tables.read();
        let tables = tables.as_ref().ok_or_else(Fault::closed)?;
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        Ok(tables.db.snapshot().get(&tables.rows, key)?)
    }

    fn scan(&self, from: &[u8], to: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Outcome<()> {
        self.tables.read().as_ref().ok_or_else(Fault::closed)?.scan(from, to, direction, visit)
    }

    fn submit(&self, op: Box<dyn Op>) -> Outcome<()> {
        self.queue.push(op)
    }

    fn close(&self) -> Outcome<()> {
        self.queue.close();
        let thread = self.thread.lock().take();
        let committed = match thread {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(Fault::closed())),
            None => Ok(()),
        };
        // Not under the lock: the library waits for its threads.
        let last = self.tables.write().take();
        drop(last);
        drop(self.lock.lock().take());
        committed
    }
}

impl Drop for DiskEngine {
    fn drop(&mut self) {
        if let Err(fault) = self.close() {
            tracing::error!(%fault, "closing the store failed");
        }
    }
}
