//! The commit thread: takes what is queued, runs it, writes one batch, syncs once, answers all.
//!
//! While one group syncs the next one queues up; with one write in flight a group is one write. There is no timer and no
//! polling on this way, except the sync timer of [`SyncPolicy::Interval`]. A group that the disk refuses is the last one
//! until the store was opened again (`comeback`).

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    thread::JoinHandle,
    time::Duration,
};

use fjall::{PersistMode, Slice};
use tokio::time::Instant;

use super::{
    super::{
        engine::{Base, Op, Staged, Txn},
        fault::{Fault, Outcome},
        keys::{Key, Table},
        rows,
    },
    Present, SyncPolicy, Tables,
    comeback::CameBack,
    open::{Home, Opened},
    queue::{Queue, Taken},
    recent::Recent,
    witness::Witness,
};
use crate::storage::types::Durability;

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

/// What the commit thread owns.
#[derive(Debug)]
pub struct Committer {
    pub(super) tables: Tables,
    pub(super) present: Present,
    pub(super) queue: Queue,
    pub(super) home: Home,
    pub(super) witness: Witness,
    pub(super) came_back: Option<CameBack>,
    commits: u64,
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
    /// A committer that goes on with what was opened, which all others see by `present`.
    pub(super) fn new(opened: Opened, present: Present, queue: Queue, home: Home) -> Self {
        let Opened { tables, witness, commits } = opened;
        Self {
            tables,
            present,
            queue,
            home,
            witness,
            came_back: None,
            commits,
            unsynced_since: None,
            group: Staged::default(),
            own: Staged::default(),
            recent: Recent::default(),
        }
    }

    /// Starts the thread. Its result says whether all it acknowledged is synced.
    pub fn spawn(self) -> std::io::Result<JoinHandle<Outcome<()>>> {
        let queue = self.queue.clone();
        let run = move || {
            catch_unwind(AssertUnwindSafe(|| self.run())).unwrap_or_else(|_| {
                tracing::error!("the commit thread panicked: the store takes no writes until the next start");
                queue.pause(std::iter::empty(), "the commit thread panicked");
                Err(Fault::closed())
            })
        };
        std::thread::Builder::new().name("store-commit".into()).spawn(run)
    }

    fn run(mut self) -> Outcome<()> {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                let patience = self.until_sync();
                match self.queue.take(&mut waiting, self.home.options.group_len_max.max(1), patience) {
                    Taken::Some | Taken::Nothing => {}
                    Taken::End => break,
                }
            }
            let committed = self.commit_group(&mut waiting).and_then(|()| self.sync_if_due());
            if let Err(fault) = committed {
                tracing::error!(%fault, commits = self.commits, "commit failed: the store takes no writes until it was opened again");
                self.queue
                    .pause(waiting.drain(..), &format!("the disk has refused a write, and is tried again: {fault}"));
                self = self.come_back(fault)?;
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

    fn sync(&self) -> SyncPolicy {
        self.home.options.sync
    }

    fn commit_rows(&mut self) -> Outcome<Durability> {
        if self.group.is_empty() {
            let is_synced = self.unsynced_since.is_none();
            return Ok(if is_synced { Durability::Synced } else { Durability::Buffered });
        }
        let (mode, durability) = match self.sync() {
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
        match self.sync() {
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
        match (self.sync(), self.unsynced_since) {
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
