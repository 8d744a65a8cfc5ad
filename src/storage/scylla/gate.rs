//! The gate: what was written counts only when a read of this node's generation, begun after the write was
//! acknowledged, shows that nobody has fenced it (rule 2 of the protocol).
//!
//! Who takes a room over first fences the generation that the room's claim hangs on, then changes the claim, then reads
//! the log. So one small read answers for every room of the node, and many rooms share it. A fenced generation only
//! means that claims must be asked for one by one.

use std::sync::{Arc, atomic::Ordering};

use parking_lot::Mutex;
use scylla::value::CqlTimestamp;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Core, error, session::Database, statements::Statements};
use crate::{
    domain::ids::{Epoch, RoomId},
    storage::{Result, StoreError, StoreErrorKind},
    tasks::{self, TaskKind},
};

const OP: &str = "gate";

/// Reads under way at once. One alone would make a write wait for two reads: the one that began too early, and the next.
const READS: usize = 3;

type Answer = std::result::Result<bool, StoreErrorKind>;

/// Coalesces the reads of one generation.
#[derive(Debug)]
pub(super) struct Gate {
    generation: Uuid,
    state: Mutex<State>,
    /// Reads are refused, for tests: as if too few replicas were up.
    #[cfg(test)]
    pub(super) unanswered: std::sync::atomic::AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<oneshot::Sender<Answer>>,
    reads: usize,
    /// Once fenced, always fenced.
    is_fenced: bool,
}

impl Gate {
    pub(super) fn new(generation: Uuid) -> Arc<Self> {
        Arc::new(Self {
            generation,
            state: Mutex::default(),
            #[cfg(test)]
            unanswered: std::sync::atomic::AtomicBool::default(),
        })
    }

    /// The generation this is the gate of.
    pub(super) fn generation(&self) -> Uuid {
        self.generation
    }

    /// Whether the generation was fenced at some time after this call began.
    pub(super) async fn is_fenced(self: &Arc<Self>, core: &Arc<Core>) -> Result<bool> {
        let (answer, answered) = oneshot::channel();
        {
            let mut state = self.state.lock();
            if state.is_fenced {
                return Ok(true);
            }
            state.waiting.push(answer);
            if state.reads < READS {
                state.reads += 1;
                drop(tasks::spawn(TaskKind::Gate, Arc::clone(self).read(Arc::clone(core))));
            }
        }
        match answered.await {
            Ok(Ok(is_fenced)) => Ok(is_fenced),
            Ok(Err(kind)) => Err(StoreError::new(kind, OP)),
            Err(_) => Err(StoreError::new(StoreErrorKind::Unavailable, OP)),
        }
    }

    /// Answers everyone who waits, until nobody does.
    async fn read(self: Arc<Self>, core: Arc<Core>) {
        loop {
            let asking = {
                let mut state = self.state.lock();
                let asking = std::mem::take(&mut state.waiting);
                if asking.is_empty() {
                    state.reads -= 1;
                    return;
                }
                asking
            };
            let answer = self.ask(&core).await;
            if answer == Ok(true) {
                self.state.lock().is_fenced = true;
            }
            for one in asking {
                // Who no longer waits does not need to know.
                let _ = one.send(answer);
            }
        }
    }

    async fn ask(&self, core: &Core) -> Answer {
        #[cfg(test)]
        if self.unanswered.load(Ordering::Relaxed) {
            return Err(StoreErrorKind::Overloaded);
        }
        let statement = &core.statements.generation_gate;
        match core.database.row::<(Option<bool>,)>(OP, statement, (self.generation,)).await {
            Ok(Some((fenced,))) => Ok(fenced == Some(true)),
            // Somebody removed the row: then nothing says that the generation may still trust its claims.
            Ok(None) => Ok(true),
            Err(failed) => {
                tracing::warn!(error = %failed, "the gate could not be read");
                Err(failed.kind())
            }
        }
    }
}

/// Registers a generation of this process.
pub(super) async fn register(
    database: &Database,
    statements: &Statements,
    node: &str,
    now_ms: i64,
) -> Result<Arc<Gate>> {
    let gate = Gate::new(Uuid::now_v7());
    let row = (gate.generation, node, CqlTimestamp(now_ms));
    database.write("open", &statements.generation_put, row).await?;
    Ok(gate)
}

impl Core {
    /// Makes sure that `generation` finds its gate closed. Remembers those it has closed.
    pub(super) async fn fence(&self, generation: Uuid) -> Result<()> {
        if self.fenced.contains(&generation) {
            return Ok(());
        }
        self.database.write("claim", &self.statements.generation_fence, (generation,)).await?;
        self.fenced.insert(generation);
        Ok(())
    }

    /// The gate that new claims hang on. After the present one was fenced, another generation takes its place.
    pub(super) async fn gate(&self) -> Result<Arc<Gate>> {
        let present = self.present.load_full();
        if !present.state.lock().is_fenced {
            return Ok(present);
        }
        let _one = self.rotating.lock().await;
        let present = self.present.load_full();
        if !present.state.lock().is_fenced {
            return Ok(present);
        }
        let next = register(&self.database, &self.statements, &self.node, self.clocks.now_ms()).await?;
        self.own.insert(next.generation());
        tracing::info!(old = %present.generation, new = %next.generation, "a generation was fenced; going on with a new one");
        self.present.store(Arc::clone(&next));
        Ok(next)
    }

    /// Fails unless the store is open.
    pub(super) fn check_open(&self, op: &'static str) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, op));
        }
        Ok(())
    }

    /// Lets through whoever still has the claim. Begins after this call: what was written before it counts.
    ///
    /// A room whose generation was fenced is moved to the present one by a transaction on its claim, which is the same
    /// proof: it succeeds only while the claim is unchanged.
    pub(super) async fn pass(self: &Arc<Self>, room: RoomId, epoch: Epoch, gate: &mut Arc<Gate>) -> Result<()> {
        if !gate.is_fenced(self).await? {
            return Ok(());
        }
        let next = self.gate().await?;
        if self.swap_claim(room, (epoch, gate.generation()), (epoch, next.generation())).await? {
            *gate = next;
            return Ok(());
        }
        Err(error::fenced(OP))
    }
}
