//! Writes on their way to the commit thread, and whether there is any use in waiting.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::super::{
    engine::Op,
    fault::{Fault, Outcome},
};
use crate::storage::error::StoreErrorKind;

/// See the module.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    len_max: usize,
}

struct State {
    ops: VecDeque<Box<dyn Op>>,
    gate: Gate,
}

/// Whether writes are let in.
#[derive(Clone, Debug)]
enum Gate {
    Open,
    /// The disk refuses writes, for this reason; the commit thread tries to come back.
    Paused(Arc<str>),
    Closed,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

impl Queue {
    /// An open queue of at most `len_max` writes.
    pub(super) fn new(len_max: usize) -> Self {
        let state = Mutex::new(State { ops: VecDeque::new(), gate: Gate::Open });
        Self(Arc::new(Shared { state, changed: Condvar::new(), len_max }))
    }

    /// Queues a write; `Overloaded` if there is no place, `Unavailable` and certainly not done if the disk refuses writes.
    pub(super) fn push(&self, op: Box<dyn Op>) -> Outcome<()> {
        let mut state = self.0.state.lock();
        match &state.gate {
            Gate::Open => {}
            Gate::Paused(why) => return Err(Fault::not_tried(why.to_string())),
            Gate::Closed => return Err(Fault::closed()),
        }
        if state.ops.len() >= self.0.len_max {
            return Err(Fault::because(StoreErrorKind::Overloaded, "the commit queue is full"));
        }
        state.ops.push_back(op);
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Number of writes waiting.
    pub(super) fn waiting(&self) -> usize {
        self.0.state.lock().ops.len()
    }

    /// Lets no more writes in; what is queued is still committed.
    pub(super) fn close(&self) {
        self.0.state.lock().gate = Gate::Closed;
        self.0.changed.notify_all();
    }

    /// Waits for writes and moves at most `max` of them to `group`.
    pub(super) fn take(&self, group: &mut VecDeque<Box<dyn Op>>, max: usize, patience: Option<Duration>) -> Taken {
        let mut state = self.0.state.lock();
        while state.ops.is_empty() {
            if matches!(state.gate, Gate::Closed) {
                return Taken::End;
            }
            match patience {
                None => self.0.changed.wait(&mut state),
                Some(patience) => {
                    if self.0.changed.wait_for(&mut state, patience).timed_out() && state.ops.is_empty() {
                        return Taken::Nothing;
                    }
                }
            }
        }
        let len = state.ops.len().min(max);
        group.extend(state.ops.drain(..len));
        Taken::Some
    }

    /// Lets no writes in until [`Queue::resume`]. Those that wait here or in `taken` are answered: they were not begun.
    pub(super) fn pause(&self, taken: impl Iterator<Item = Box<dyn Op>>, why: &str) {
        let waiting = {
            let mut state = self.0.state.lock();
            if !matches!(state.gate, Gate::Closed) {
                state.gate = Gate::Paused(why.into());
            }
            std::mem::take(&mut state.ops)
        };
        taken.chain(waiting).for_each(|op| op.finish(Err(why.to_owned())));
    }

    /// Lets writes in again, unless the queue was closed meanwhile.
    pub(super) fn resume(&self) {
        let mut state = self.0.state.lock();
        if matches!(state.gate, Gate::Paused(_)) {
            state.gate = Gate::Open;
        }
    }

    /// Waits; whether the queue was closed.
    pub(super) fn is_closed_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.0.state.lock();
        while !matches!(state.gate, Gate::Closed) {
            if self.0.changed.wait_until(&mut state, until.into_std()).timed_out() {
                break;
            }
        }
        matches!(state.gate, Gate::Closed)
    }
}

/// What [`Queue::take`] has found.
pub(super) enum Taken {
    /// Writes.
    Some,
    /// The patience is over.
    Nothing,
    /// The queue is closed and empty.
    End,
}
