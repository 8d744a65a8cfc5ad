//! Jobs that are blocked by somebody else's lock: an administrator's transaction, a migration, a backup tool. They leave
//! their lane to the others and are tried one by one over one connection, however many rooms are stuck, so that a stuck
//! room costs its own callers and nobody else.
//!
//! The server does not say which room of a group is stuck, so the whole group steps aside; the free ones are written in
//! the first round. Jobs of a room keep their order: while one of them is here, the others join it. No try begins after
//! a job's patience is over: what was refused, or given up by its caller, is not written long afterwards.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use super::{Job, Shared, Ticket, Worker};
use crate::{
    domain::ids::RoomId,
    line_pace::LinePace,
    storage::{
        error::StoreErrorKind,
        postgres::fault::{Fault, Outcome},
    },
    tasks,
};

/// Between two rounds over those that are still held up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who stands aside.
pub(super) struct Aside<J: Job> {
    waiting: VecDeque<Ticket<J>>,
    /// How many jobs of each room are here, the one included that is being tried.
    rooms: HashMap<RoomId, usize, foldhash::fast::RandomState>,
    /// Whether a task is trying them.
    is_watched: bool,
}

impl<J: Job> Default for Aside<J> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), rooms: HashMap::default(), is_watched: false }
    }
}

impl<J: Job> fmt::Debug for Aside<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rooms.values().sum::<usize>().fmt(f)
    }
}

impl<J: Job> Aside<J> {
    /// Whether this job's room is here.
    pub(super) fn has(&self, job: &J) -> bool {
        !self.rooms.is_empty() && job.room().is_some_and(|room| self.rooms.contains_key(&room))
    }

    /// Takes a job in, behind those of its room.
    pub(super) fn join(&mut self, ticket: Ticket<J>) {
        if let Some(room) = ticket.job.room() {
            *self.rooms.entry(room).or_default() += 1;
        }
        self.waiting.push_back(ticket);
    }

    /// Whether nobody is here, nor being tried.
    pub(super) const fn is_empty(&self) -> bool {
        !self.is_watched
    }

    fn leave(&mut self, room: Option<RoomId>) {
        let Some(room) = room else { return };
        match self.rooms.get_mut(&room) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.rooms.remove(&room)),
        }
    }

    /// Forgets those that were being tried when the worker panicked.
    fn recount(&mut self) {
        self.rooms.clear();
        for room in self.waiting.iter().filter_map(|ticket| ticket.job.room()) {
            *self.rooms.entry(room).or_default() += 1;
        }
    }
}

impl<J: Job, W: Worker<J>> Shared<J, W> {
    /// Takes jobs aside, with those of their rooms that wait for a lane.
    pub(super) fn set_aside(self: &Arc<Self>, held_up: Vec<Ticket<J>>) {
        if held_up.is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        held_up.into_iter().for_each(|ticket| queue.aside.join(ticket));
        let waiting = std::mem::take(&mut queue.waiting);
        for ticket in waiting {
            if queue.aside.has(&ticket.job) {
                queue.aside.join(ticket);
            } else {
                queue.waiting.push_back(ticket);
            }
        }
        if !std::mem::replace(&mut queue.aside.is_watched, true) {
            tasks::spawn(self.kind, watch(Arc::clone(self)));
        }
    }
}

/// The task that tries them, round after round. If its worker panics, another task takes over.
struct Rounds<J: Job, W: Worker<J>>(Option<Arc<Shared<J, W>>>);

impl<J: Job, W: Worker<J>> Drop for Rounds<J, W> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.queue.lock().aside.recount();
            tasks::spawn(shared.kind, watch(shared));
        }
    }
}

async fn watch<J: Job, W: Worker<J>>(shared: Arc<Shared<J, W>>) {
    let mut rounds = Rounds(Some(Arc::clone(&shared)));
    while let Some(round) = shared.next_round() {
        let still = shared.round(round).await;
        let is_stuck = !still.is_empty();
        {
            let mut queue = shared.queue.lock();
            // Before those that came meanwhile.
            still.into_iter().rev().for_each(|ticket| queue.aside.waiting.push_front(ticket));
        }
        if is_stuck {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    rounds.0 = None;
}

impl<J: Job, W: Worker<J>> Shared<J, W> {
    /// The jobs to try next. None ends the task; the flag falls under the same lock, so that whoever joins afterwards
    /// starts a new one.
    fn next_round(&self) -> Option<VecDeque<Ticket<J>>> {
        let mut queue = self.queue.lock();
        queue.aside.is_watched = !queue.aside.waiting.is_empty();
        queue.aside.is_watched.then(|| std::mem::take(&mut queue.aside.waiting))
    }

    /// Tries each once, and returns those that are still blocked, in their order.
    async fn round(&self, round: VecDeque<Ticket<J>>) -> Vec<Ticket<J>> {
        let mut still = Vec::new();
        let mut stuck = HashSet::with_hasher(foldhash::fast::RandomState::default());
        for ticket in round {
            let room = ticket.job.room();
            if ticket.since.elapsed() >= self.patience {
                self.queue.lock().aside.leave(room);
                ticket.answer(held_up_too_long(room));
                continue;
            }
            let is_behind = room.is_some_and(|room| stuck.contains(&room));
            let held_up = if is_behind { Some(ticket) } else { self.worker.work_alone(ticket).await };
            if let Some(ticket) = held_up {
                stuck.extend(room);
                still.push(ticket);
            } else {
                self.queue.lock().aside.leave(room);
            }
        }
        still
    }
}

/// Nothing of it was done.
fn held_up_too_long<T>(room: Option<RoomId>) -> Outcome<T> {
    static PACE: LinePace = LinePace::new();
    if let Some(left_out) = PACE.line() {
        let room = room.map(tracing::field::display);
        tracing::warn!(room, left_out, "somebody else's lock holds up what is to be written");
    }
    Err(Fault::because(StoreErrorKind::Overloaded, "somebody else holds a lock that the write needs"))
}
