//! Group commit: work that comes while all lanes are busy goes together into the next transaction.
//!
//! A lane is one transaction at a time. Whoever finds a lane free starts at once with what there is, so that nothing
//! waits for a timer, and groups grow by themselves with the load. A group has at most one job of a room. What a lane
//! does with its group, and whom it answers what, is the worker's.

use std::{collections::HashSet, collections::VecDeque, fmt, future::Future, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::fault::{Fault, Outcome};
use crate::{
    domain::ids::RoomId,
    tasks::{self, TaskKind},
};

/// Rows of a group, unless its first job alone has more.
const GROUP_ROWS_MAX: usize = 4_000;
/// Bytes of a group, unless its first job alone has more.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Something to be written for one room.
pub(super) trait Job: Send + 'static {
    /// What the caller gets.
    type Out: Send + 'static;

    /// Its room.
    fn room(&self) -> RoomId;

    /// Rows and bytes, roughly.
    fn size(&self) -> (usize, usize);
}

/// Writes groups.
pub(super) trait Worker<J: Job>: Send + Sync + 'static {
    /// Writes the jobs of one group and answers each. A job that is dropped unanswered has an unknown outcome.
    fn work(&self, group: Vec<Ticket<J>>) -> impl Future<Output = ()> + Send;
}

/// A job and whoever waits for it.
pub(super) struct Ticket<J: Job> {
    /// What to do.
    pub(super) job: J,
    reply: oneshot::Sender<Outcome<J::Out>>,
}

impl<J: Job> Ticket<J> {
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
    worker: W,
    lanes: usize,
    queue: Mutex<Queue<J>>,
}

struct Queue<J: Job> {
    waiting: VecDeque<Ticket<J>>,
    busy: usize,
    closed: bool,
}

impl<J: Job, W> fmt::Debug for Lanes<J, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queue = self.shared.queue.lock();
        f.debug_struct("Lanes").field("waiting", &queue.waiting.len()).field("busy", &queue.busy).finish()
    }
}

impl<J: Job, W: Worker<J>> Lanes<J, W> {
    /// `lanes` of them, at least one.
    pub(super) fn new(worker: W, lanes: usize) -> Self {
        let queue = Queue { waiting: VecDeque::new(), busy: 0, closed: false };
        Self { shared: Arc::new(Shared { worker, lanes: lanes.max(1), queue: Mutex::new(queue) }) }
    }

    /// Has `job` done. The queue is as long as there are callers. Dropping the future does not take the job back.
    pub(super) async fn submit(&self, job: J) -> Outcome<J::Out> {
        let (reply, answer) = oneshot::channel();
        {
            let mut queue = self.shared.queue.lock();
            if queue.closed {
                return Err(Fault::closed());
            }
            queue.waiting.push_back(Ticket { job, reply });
            if queue.busy < self.shared.lanes {
                queue.busy += 1;
                tasks::spawn(TaskKind::Append, run(Arc::clone(&self.shared)));
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
        self.shared.queue.lock().busy == 0
    }
}

/// Frees the lane, also when the worker panics.
struct Lane<J: Job, W>(Arc<Shared<J, W>>);

impl<J: Job, W> Drop for Lane<J, W> {
    fn drop(&mut self) {
        self.0.queue.lock().busy -= 1;
    }
}

async fn run<J: Job, W: Worker<J>>(shared: Arc<Shared<J, W>>) {
    let lane = Lane(shared);
    loop {
        let group = next_group(&mut lane.0.queue.lock().waiting);
        if group.is_empty() {
            return;
        }
        lane.0.worker.work(group).await;
    }
}

/// Takes the oldest jobs, one of a room, as many as a group may have; the others keep their order.
fn next_group<J: Job>(waiting: &mut VecDeque<Ticket<J>>) -> Vec<Ticket<J>> {
    let mut group = Vec::with_capacity(waiting.len());
    let mut rooms = HashSet::with_capacity_and_hasher(waiting.len(), foldhash::fast::RandomState::default());
    let mut left = VecDeque::new();
    let (mut rows, mut bytes) = (0, 0);
    while let Some(ticket) = waiting.pop_front() {
        let (more_rows, more_bytes) = ticket.job.size();
        let is_full = rows + more_rows > GROUP_ROWS_MAX || bytes + more_bytes > GROUP_BYTES_MAX;
        if is_full && !group.is_empty() {
            left.push_back(ticket);
            break;
        }
        if rooms.insert(ticket.job.room()) {
            (rows, bytes) = (rows + more_rows, bytes + more_bytes);
            group.push(ticket);
        } else {
            left.push_back(ticket);
        }
    }
    left.append(waiting);
    *waiting = left;
    // Rows are locked in this order by every group.
    group.sort_unstable_by_key(|ticket| ticket.job.room());
    group
}
