//! Group commit: work that comes while all lanes are busy goes together into the next transaction.
//!
//! A lane is one transaction at a time. Whoever finds a lane free starts at once with what there is, so that nothing
//! waits for a timer, and groups grow by themselves with the load. A group has at most one write to a room. What a lane
//! does with its group, and whom it answers what, is the worker's. Look-ups that many callers make at once go the same
//! way. Jobs that are blocked by somebody else's lock step aside ([`aside`]), so that no lane waits long for a foreign
//! transaction.

mod aside;
mod group;

use std::{collections::VecDeque, fmt, future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};

use aside::Aside;
use group::next_group;

use super::fault::{Fault, Outcome};
use crate::{
    domain::ids::RoomId,
    tasks::{self, TaskKind},
};

/// Something to be done together with others of its kind.
pub(super) trait Job: Send + 'static {
    /// What the caller gets.
    type Out: Send + 'static;

    /// The room that it writes to, if it does.
    fn room(&self) -> Option<RoomId>;

    /// Rows and bytes, roughly.
    fn size(&self) -> (usize, usize);
}

/// Jobs that were not done because somebody else's lock blocks them, or another job of their group.
pub(super) type HeldUp<J> = Vec<Ticket<J>>;

/// Writes groups.
pub(super) trait Worker<J: Job>: Send + Sync + 'static {
    /// Writes the jobs of one group, and answers each that it does not give back. A job that is dropped unanswered has
    /// an unknown outcome.
    fn work(&self, group: Vec<Ticket<J>>) -> impl Future<Output = HeldUp<J>> + Send;

    /// Writes one job without waiting for locks. Answers it, or gives it back if it is blocked.
    fn work_alone(&self, ticket: Ticket<J>) -> impl Future<Output = Option<Ticket<J>>> + Send;
}

/// A job and whoever waits for it.
pub(super) struct Ticket<J: Job> {
    /// What to do.
    pub(super) job: J,
    reply: oneshot::Sender<Outcome<J::Out>>,
    since: Instant,
}

impl<J: Job> Ticket<J> {
    fn new(job: J, reply: oneshot::Sender<Outcome<J::Out>>) -> Self {
        Self { job, reply, since: Instant::now() }
    }

    /// Tells the caller. One that has gone away does not want the answer.
    pub(super) fn answer(self, outcome: Outcome<J::Out>) {
        drop(self.reply.send(outcome));
    }
}

/// A queue and a number of lanes that empty it.
pub(super) struct Lanes<J: Job, W> {
    shared: Arc<Shared<J, W>>,
}

struct Shared<J: Job, W> {
    kind: TaskKind,
    worker: W,
    lanes: usize,
    /// How long a blocked job may wait, from when it was submitted.
    patience: Duration,
    queue: Mutex<Queue<J>>,
}

struct Queue<J: Job> {
    waiting: VecDeque<Ticket<J>>,
    busy: usize,
    closed: bool,
    aside: Aside<J>,
}

impl<J: Job, W> fmt::Debug for Lanes<J, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.shared.queue.lock();
        let mut shown = f.debug_struct("Lanes");
        shown.field("waiting", &queue.waiting.len()).field("busy", &queue.busy).field("aside", &queue.aside).finish()
    }
}

impl<J: Job, W: Worker<J>> Lanes<J, W> {
    /// `lanes` of them, at least one, as tasks of this kind. A job that is blocked by a lock for longer than `patience`
    /// is refused.
    pub(super) fn new(kind: TaskKind, worker: W, lanes: usize, patience: Duration) -> Self {
        let queue = Queue { waiting: VecDeque::new(), busy: 0, closed: false, aside: Aside::default() };
        Self { shared: Arc::new(Shared { kind, worker, lanes: lanes.max(1), patience, queue: Mutex::new(queue) }) }
    }

    /// Has `job` done. The queue is as long as there are callers. Dropping the future does not take the job back.
    pub(super) async fn submit(&self, job: J) -> Outcome<J::Out> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.shared.queue.lock();
            if queue.closed {
                return Err(Fault::closed());
            }
            let ticket = Ticket::new(job, reply);
            if queue.aside.has(&ticket.job) {
                queue.aside.join(ticket);
            } else {
                queue.waiting.push_back(ticket);
            }
            if !queue.waiting.is_empty() && queue.busy < self.shared.lanes {
                queue.busy += 1;
                tasks::spawn(self.shared.kind, run(Arc::clone(&self.shared)));
            }
        }
        // A worker drops a ticket only when it panics or the runtime goes down.
        answer.await.unwrap_or_else(|_| Err(Fault::closed()))
    }

    /// Refuses new jobs. Those that wait are done.
    pub(super) fn close(&self) {
        self.shared.queue.lock().closed = true;
    }

    /// Whether nothing is waiting or under way.
    pub(super) fn is_idle(&self) -> bool {
        let queue = self.shared.queue.lock();
        queue.busy == 0 && queue.aside.is_empty()
    }
}

/// A lane at work. One that goes because its worker panics leaves its place to another.
struct Lane<J: Job, W: Worker<J>>(Option<Arc<Shared<J, W>>>);

impl<J: Job, W: Worker<J>> Drop for Lane<J, W> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            tasks::spawn(shared.kind, run(shared));
        }
    }
}

async fn run<J: Job, W: Worker<J>>(shared: Arc<Shared<J, W>>) {
    let mut lane = Lane(Some(Arc::clone(&shared)));
    while let Some(group) = shared.next() {
        let held_up = shared.worker.work(group).await;
        shared.set_aside(held_up);
    }
    lane.0 = None;
}

impl<J: Job, W: Worker<J>> Shared<J, W> {
    /// The next group; none frees the lane, in the same moment in which the queue is seen empty: who comes after that
    /// moment sees the lane free.
    fn next(&self) -> Option<Vec<Ticket<J>>> {
        let mut queue = self.queue.lock();
        let group = next_group(&mut queue.waiting);
        if group.is_empty() {
            queue.busy -= 1;
            return None;
        }
        Some(group)
    }
}

#[cfg(test)]
mod tests;
