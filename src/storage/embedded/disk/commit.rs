//! The commit thread: takes what is queued, runs it, writes one batch, syncs once, answers all.
//!
//! While one group syncs the next one queues up; with one write in flight a group is one write. There is no timer and no
//! polling on this way, except the sync timer of [`SyncPolicy::Interval`].

use std::{
    collections::VecDeque,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use fjall::{PersistMode, Slice};
use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::{
    super::{
        engine::{Base, Op, Staged, Txn},
        fault::{Fault, Outcome},
        keys::{Key, Table},
        rows,
    },
    OpenOptions, SyncPolicy, Tables,
    recent::Recent,
    witness::Witness,
};
use crate::storage::{error::StoreErrorKind, types::Durability};

/// A group whose rows are larger than this is committed before the rest of the queue is looked at, bytes.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// The last so many commits each have a row of their own, so that one missing in the middle shows when the store is
/// opened. Commit `c` is in place `c % RING`.
pub const RING: u64 = 1 << 17;

/// Name of the first key of the ring; places are appended.
pub const RING_NAME: &[u8] = b"commit";

/// Where commit `commits` is witnessed among the rows.
pub fn ring_key(commits: u64) -> Key {
    Key::of(Table::Meta).bytes(RING_NAME).bytes(&(commits % RING).to_be_bytes())
}

/// Writes on their way to the commit thread.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    len_max: usize,
}

struct State {
    ops: VecDeque<Box<dyn Op>>,
    is_open: bool,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Queue {
    /// An open queue of at most `len_max` writes.
    pub fn new(len_max: usize) -> Self {
        let state = Mutex::new(State { ops: VecDeque::new(), is_open: true });
        Self(Arc::new(Shared { state, filled: Condvar::new(), len_max }))
    }

    /// Queues a write; `Overloaded` if there is no place.
    pub fn push(&self, op: Box<dyn Op>) -> Outcome<()> {
        let mut state = self.0.state.lock();
        if !state.is_open {
            return Err(Fault::closed());
        }
        if state.ops.len() >= self.0.len_max {
            return Err(Fault::because(StoreErrorKind::Overloaded, "the commit queue is full"));
        }
        state.ops.push_back(op);
        drop(state);
        self.0.filled.notify_one();
        Ok(())
    }

    /// Number of writes waiting.
    pub fn waiting(&self) -> usize {
        self.0.state.lock().ops.len()
    }

    /// Lets no more writes in; what is queued is still committed.
    pub fn close(&self) {
        self.0.state.lock().is_open = false;
        self.0.filled.notify_all();
    }

    /// Waits for writes and moves at most `max` of them to `group`. False: closed and empty, or `patience` is over.
    fn take(&self, group: &mut VecDeque<Box<dyn Op>>, max: usize, patience: Option<Duration>) -> Taken {
        let mut state = self.0.state.lock();
        while state.ops.is_empty() {
            if !state.is_open {
                return Taken::End;
            }
            match patience {
                None => self.0.filled.wait(&mut state),
                Some(patience) => {
                    if self.0.filled.wait_for(&mut state, patience).timed_out() && state.ops.is_empty() {
                        return Taken::Nothing;
                    }
                }
            }
        }
        let len = state.ops.len().min(max);
        group.extend(state.ops.drain(..len));
        Taken::Some
    }

    /// Refuses all that is queued and all that comes.
    fn fail(&self) {
        let ops = {
            let mut state = self.0.state.lock();
            state.is_open = false;
            std::mem::take(&mut state.ops)
        };
        // Dropped unanswered: `Unavailable` for whoever waits.
        drop(ops);
    }
}

enum Taken {
    Some,
    Nothing,
    End,
}

/// What the commit thread owns.
#[derive(Debug)]
pub struct Committer {
    tables: Tables,
    queue: Queue,
    witness: Witness,
    commits: u64,
    group_len_max: usize,
    sync: SyncPolicy,
    /// When the oldest commit that is not synced was made.
    unsynced_since: Option<Instant>,
    group: Staged,
    own: Staged,
    recent: Recent,
}

/// What is committed, as the commit thread sees it: nobody else writes, so the newest version is the committed one.
#[derive(Debug)]
struct Committed<'a> {
    recent: &'a Recent,
    tables: &'a Tables,
}

impl Base for Committed<'_> {
    fn committed(&self, key: &[u8]) -> Outcome<Option<Slice>> {
        match self.recent.get(key) {
            Some(known) => Ok(known.clone()),
            None => Ok(self.tables.rows.get(key)?),
        }
    }
}

impl Committer {
    /// A committer that continues after `commits` commits.
    pub fn new(tables: Tables, queue: Queue, witness: Witness, commits: u64, options: &OpenOptions) -> Self {
        Self {
            tables,
            queue,
            witness,
            commits,
            group_len_max: options.group_len_max.max(1),
            sync: options.sync,
            unsynced_since: None,
            group: Staged::default(),
            own: Staged::default(),
            recent: Recent::default(),
        }
    }

    /// Starts the thread. Its result says whether all it acknowledged is synced.
    pub fn spawn(self) -> std::io::Result<JoinHandle<Outcome<()>>> {
        std::thread::Builder::new().name("store-commit".into()).spawn(move || self.run())
    }

    fn run(mut self) -> Outcome<()> {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let patience = self.until_sync();
                match self.queue.take(&mut waiting, self.group_len_max, patience) {
                    Taken::Some | Taken::Nothing => {}
                    Taken::End => break,
                }
            }
            let committed = self.commit_group(&mut waiting).and_then(|()| self.sync_if_due());
            if let Err(fault) = committed {
                tracing::error!(%fault, commits = self.commits, "commit failed, the store takes no more writes");
                self.queue.fail();
                return Err(fault);
            }
        }
        self.tables.db.persist(PersistMode::SyncAll)?;
        self.witness.say(self.commits)?;
        self.witness.sync()
    }

    /// Runs and commits the first of `waiting`, as many as go into one group.
    fn commit_group(&mut self, waiting: &mut VecDeque<Box<dyn Op>>) -> Outcome<()> {
        let mut done = Vec::with_capacity(waiting.len());
        let mut bytes = 0;
        while bytes <= GROUP_BYTES_MAX
            && let Some(mut op) = waiting.pop_front()
        {
            let base = Committed { recent: &self.recent, tables: &self.tables };
            let txn = &mut Txn::new(&base, &self.group, &mut self.own);
            match catch_unwind(AssertUnwindSafe(|| op.run(txn))) {
                Ok(true) => {
                    bytes += self.own.iter().map(|(key, value)| size(key, value.as_ref())).sum::<usize>();
                    self.group.extend(self.own.drain());
                }
                Ok(false) => self.own.clear(),
                Err(_) => {
                    self.own.clear();
                    tracing::error!("a write panicked and was dropped");
                    continue;
                }
            }
            done.push(op);
        }
        let committed = self.commit_rows();
        let answer = committed.as_ref().map_err(ToString::to_string).copied();
        // Refusals wait too: they may stem from a row that is durable only now.
        for op in done {
            op.finish(answer.clone());
        }
        committed.map(drop)
    }

    fn commit_rows(&mut self) -> Outcome<Durability> {
        if self.group.is_empty() {
            let is_synced = self.unsynced_since.is_none();
            return Ok(if is_synced { Durability::Synced } else { Durability::Buffered });
        }
        let (mode, durability) = match self.sync {
            SyncPolicy::Always => (PersistMode::SyncData, Durability::Synced),
            SyncPolicy::Interval(_) => (PersistMode::Buffer, Durability::Buffered),
        };
        let next = self.commits + 1;
        let mut batch =
            fjall::OwnedWriteBatch::with_capacity(self.tables.db.clone(), self.group.len() + 1).durability(Some(mode));
        batch.insert(&self.tables.rows, ring_key(next).slice(), rows::encode_number(next));
        // In key order neighbours are found where the search before them has been.
        let mut group: Vec<_> = self.group.drain().collect();
        group.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        for (key, value) in group {
            self.recent.committed(&key, value.as_ref());
            match value {
                Some(value) => batch.insert(&self.tables.rows, key, value),
                None => batch.remove(&self.tables.rows, key),
            }
        }
        batch.commit()?;
        self.commits = next;
        match self.sync {
            SyncPolicy::Always => self.testify(),
            SyncPolicy::Interval(_) => {
                self.unsynced_since.get_or_insert_with(Instant::now);
            }
        }
        Ok(durability)
    }

    /// Says in the witness what is durable.
    fn testify(&mut self) {
        if let Err(fault) = self.witness.say(self.commits) {
            // The rows are durable all the same; only a later damage would go unnoticed.
            tracing::error!(%fault, "writing the commit witness failed");
        }
    }

    /// How long to wait for writes before the next sync is due; none if nothing is to be synced.
    fn until_sync(&self) -> Option<Duration> {
        match (self.sync, self.unsynced_since) {
            (SyncPolicy::Interval(interval), Some(since)) => Some(interval.saturating_sub(since.elapsed())),
            _ => None,
        }
    }

    fn sync_if_due(&mut self) -> Outcome<()> {
        if self.until_sync() == Some(Duration::ZERO) {
            self.tables.db.persist(PersistMode::SyncData)?;
            self.unsynced_since = None;
            self.testify();
        }
        Ok(())
    }
}

fn size(key: &Slice, value: Option<&Slice>) -> usize {
    key.len() + value.map_or(0, |value| value.len())
}
