//! Group commit: work that comes while all lanes are busy goes together into the next transaction.
//!
//! A lane is one transaction at a time. Whoever finds a lane free starts at once with what there is, so that nothing
//! waits for a timer, and groups grow by themselves with the load. A group has at most one write to a room. What a lane
//! does with its group, and whom it answers what, is the worker's. Look-ups that many callers make at once go the same
//! way.

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

/// Something to be done together with others of its kind.
pub(super) trait Job: Send + 'static {
    /// What the caller gets.
    type Out: Send + 'static;

    /// The room that it writes to, if it does.
    fn room(&self) -> Option<RoomId>;

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
    kind: TaskKind,
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
    /// `lanes` of them, at least one, as tasks of this kind.
    pub(super) fn new(kind: TaskKind, worker: W, lanes: usize) -> Self {
        let queue = Queue { waiting: VecDeque::new(), busy: 0, closed: false };
        Self { shared: Arc::new(Shared { kind, worker, lanes: lanes.max(1), queue: Mutex::new(queue) }) }
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
        self.shared.queue.lock().busy == 0
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
        shared.worker.work(group).await;
    }
    lane.0 = None;
}

impl<J: Job, W> Shared<J, W> {
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
        if ticket.job.room().is_none_or(|room| rooms.insert(room)) {
            (rows, bytes) = (rows + more_rows, bytes + more_bytes);
            group.push(ticket);
        } else {
            left.push_back(ticket);
        }
    }
    left.append(waiting);
    *waiting = left;
    // Rows are locked in this order by every group.
    group.sort_by_key(|ticket| ticket.job.room());
    group
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::storage::StoreErrorKind;

    #[derive(Debug)]
    struct Number(u32);

    impl Job for Number {
        type Out = u32;

        fn room(&self) -> Option<RoomId> {
            (self.0 < 10).then(|| RoomId([u8::try_from(self.0 % 5).expect("below 5"); 16]))
        }

        fn size(&self) -> (usize, usize) {
            (1_000, 0)
        }
    }

    /// Doubles; panics at 13.
    struct Double;

    impl Worker<Number> for Double {
        async fn work(&self, group: Vec<Ticket<Number>>) {
            for ticket in group {
                assert_ne!(ticket.job.0, 13, "asked for");
                let doubled = ticket.job.0 * 2;
                ticket.answer(Ok(doubled));
            }
        }
    }

    fn tickets(numbers: impl IntoIterator<Item = u32>) -> VecDeque<Ticket<Number>> {
        numbers.into_iter().map(|number| Ticket { job: Number(number), reply: oneshot::channel().0 }).collect()
    }

    fn numbers(tickets: impl IntoIterator<Item = Ticket<Number>>) -> Vec<u32> {
        tickets.into_iter().map(|ticket| ticket.job.0).collect()
    }

    #[test]
    fn a_group_has_one_job_of_a_room_and_not_too_many() {
        let mut waiting = tickets([3, 8, 1, 20, 21, 22, 23]);
        assert_eq!(numbers(next_group(&mut waiting)), [20, 21, 1, 3], "8 writes to the room of 3; 22 is one too many");
        assert_eq!(numbers(next_group(&mut waiting)), [22, 23, 8]);
        assert!(next_group(&mut waiting).is_empty());
    }

    /// The moment in which a lane goes is the one in which somebody comes: nobody is left waiting.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_is_forgotten_when_a_lane_goes() {
        let lanes = Lanes::new(TaskKind::Append, Double, 1);
        let all = async {
            for number in 100..50_100 {
                assert_eq!(lanes.submit(Number(number)).await.unwrap(), number * 2);
            }
        };
        tokio::time::timeout(Duration::from_secs(120), all).await.expect("no answer");
        while !lanes.is_idle() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_panic_costs_its_group_alone() {
        let lanes = Lanes::new(TaskKind::Append, Double, 1);
        assert_eq!(lanes.submit(Number(13)).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
        assert_eq!(lanes.submit(Number(14)).await.unwrap(), 28);
    }
}
