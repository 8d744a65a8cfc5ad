//! What follows acknowledged messages: the room's head and its members' positions, a moment behind the log.
//!
//! A message counts when its log row has passed the gate. The head row tells others so: readers in other processes and
//! the next owner, who both look at what the log has beyond it. So it is written once for all messages that come within
//! [`BEHIND`], after they were acknowledged. Nothing here may be needed to find an acknowledged message again: it is in
//! the log.
//!
//! In this process every read of a room first waits for the room's trail, which that hastens. Only plain messages have
//! one; every other append is carried out whole before it is acknowledged, and begins when the trail is written.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use dashmap::{DashMap, Entry};
use futures_util::FutureExt;
use tokio::{
    sync::{Notify, oneshot},
    time::timeout,
};

use super::{Core, apply::Mark, error};
use crate::{
    domain::ids::{RoomId, UserId},
    storage::{Position, Projection, Record, Result, RoomHead, StoreError, StoreErrorKind},
    tasks::{self, TaskKind},
};

const OP: &str = "trail";

/// For so long what follows a message may wait for what follows the next ones.
const BEHIND: Duration = Duration::from_millis(250);

/// Pause after a write that failed.
const PAUSE: Duration = Duration::from_millis(500);

/// For so long a call waits for a trail. Longer, and the database does not take writes.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Appends that one trail may be behind: what a next owner has to carry out again.
const APPENDS_MAX: usize = 64;

/// Bytes of their events: what a reader ahead of the head has to read.
const BYTES_MAX: usize = 4 << 20;

/// What is to be written, and who waits for it.
#[derive(Debug)]
struct Todo {
    head: RoomHead,
    mark: Mark,
    positions: BTreeMap<UserId, Position>,
    appends: usize,
    bytes: usize,
    waiting: Vec<oneshot::Sender<()>>,
}

impl Todo {
    fn new(projection: &Projection, mark: Mark, bytes: usize) -> Self {
        let mut todo =
            Self { head: projection.head, mark, positions: BTreeMap::new(), appends: 1, bytes, waiting: Vec::new() };
        projection.positions.iter().for_each(|(user, position)| todo.moved(*user, *position));
        todo
    }

    fn moved(&mut self, user: UserId, position: Position) {
        let known = self.positions.entry(user).or_default();
        *known = known.merge(position);
    }

    fn projection(&self) -> Projection {
        let positions = self.positions.iter().map(|(user, position)| (*user, *position)).collect();
        Projection { head: self.head, positions, ..Projection::default() }
    }

    /// Takes in what comes after it.
    fn then(&mut self, later: Self) {
        later.positions.into_iter().for_each(|(user, position)| self.moved(user, position));
        self.head = later.head;
        self.mark = later.mark;
        self.appends += later.appends;
        self.bytes += later.bytes;
        self.waiting.extend(later.waiting);
    }
}

/// One room's trail.
#[derive(Debug, Default)]
struct Trail {
    todo: Option<Todo>,
    /// Who waits for what is being written.
    waiting: Vec<oneshot::Sender<()>>,
    is_failing: bool,
    hasten: Arc<Notify>,
}

impl Trail {
    fn add(&mut self, later: Todo) {
        match &mut self.todo {
            Some(todo) => todo.then(later),
            None => self.todo = Some(later),
        }
    }
}

fn answer(waiting: Vec<oneshot::Sender<()>>) {
    for one in waiting {
        // Who no longer waits does not need to know.
        let _ = one.send(());
    }
}

/// The trails of all rooms that have one.
#[derive(Debug, Default)]
pub(super) struct Trails {
    rooms: DashMap<RoomId, Trail>,
    /// Nothing is written, for tests: as if the process died before it came to that.
    #[cfg(test)]
    pub(super) held: std::sync::atomic::AtomicBool,
}

impl Trails {
    /// Takes what is to be written next; with nothing left, the trail ends.
    fn next(&self, room: RoomId) -> Option<Todo> {
        let Entry::Occupied(mut entry) = self.rooms.entry(room) else { return None };
        let Some(mut todo) = entry.get_mut().todo.take() else {
            // Whoever came since the last write has nothing to wait for.
            answer(entry.remove().waiting);
            return None;
        };
        entry.get_mut().waiting.append(&mut todo.waiting);
        Some(todo)
    }

    fn written(&self, room: RoomId) {
        let Some(mut trail) = self.rooms.get_mut(&room) else { return };
        trail.is_failing = false;
        answer(std::mem::take(&mut trail.waiting));
    }

    fn failed(&self, room: RoomId, mut todo: Todo) {
        let Some(mut trail) = self.rooms.get_mut(&room) else { return };
        trail.is_failing = true;
        if let Some(later) = trail.todo.take() {
            todo.then(later);
        }
        todo.waiting.append(&mut trail.waiting);
        todo.waiting.retain(|waiting| !waiting.is_closed());
        trail.todo = Some(todo);
    }

    /// Waits until all is written that has been acknowledged in the room.
    pub(super) async fn caught_up(&self, op: &'static str, room: RoomId) -> Result<()> {
        let written = {
            let Some(mut trail) = self.rooms.get_mut(&room) else { return Ok(()) };
            let (answer, written) = oneshot::channel();
            trail.hasten.notify_one();
            match &mut trail.todo {
                Some(todo) => todo.waiting.push(answer),
                None => trail.waiting.push(answer),
            }
            written
        };
        match timeout(WAIT_MAX, written).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(error::stopped(op)),
            Err(_) => {
                Err(StoreError::because(StoreErrorKind::Overloaded, op, "what follows the log cannot be written"))
            }
        }
    }

    /// Waits if the room's trail is long, or cannot be written.
    pub(super) async fn keep_up(&self, op: &'static str, room: RoomId) -> Result<()> {
        let is_behind = self.rooms.get(&room).is_some_and(|trail| {
            trail.is_failing
                || trail.todo.as_ref().is_some_and(|todo| todo.appends >= APPENDS_MAX || todo.bytes >= BYTES_MAX)
        });
        if is_behind { self.caught_up(op, room).await } else { Ok(()) }
    }

    /// Waits for all trails, for a bounded time: what is not written is found in the log.
    pub(super) async fn end(&self) {
        let rooms: Vec<RoomId> = self.rooms.iter().map(|trail| *trail.key()).collect();
        let all = futures_util::future::join_all(rooms.into_iter().map(|room| self.caught_up("close", room)));
        drop(timeout(WAIT_MAX, all).await);
    }
}

impl Core {
    /// Has the head and positions of a plain append written, soon.
    pub(super) fn trail(self: &Arc<Self>, room: RoomId, (records, projection): (&[Record], &Projection), mark: Mark) {
        let bytes = records.iter().map(|record| record.body.len()).sum();
        let todo = Todo::new(projection, mark, bytes);
        match self.trails.rooms.entry(room) {
            Entry::Occupied(mut entry) => entry.get_mut().add(todo),
            Entry::Vacant(entry) => {
                let trail = Trail { todo: Some(todo), ..Trail::default() };
                let hasten = Arc::clone(&trail.hasten);
                drop(entry.insert(trail));
                drop(tasks::spawn(TaskKind::Trail, Arc::clone(self).follow(room, hasten)));
            }
        }
    }

    /// Writes a room's trail until there is nothing left.
    async fn follow(self: Arc<Self>, room: RoomId, hasten: Arc<Notify>) {
        let mut pause = BEHIND;
        loop {
            // Hastened or not, it is time.
            drop(timeout(pause, hasten.notified()).await);
            #[cfg(test)]
            while self.trails.held.load(std::sync::atomic::Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let Some(todo) = self.trails.next(room) else { return };
            let projection = todo.projection();
            let write = AssertUnwindSafe(self.apply(OP, room, (&[], &projection), todo.mark)).catch_unwind().await;
            match write.unwrap_or_else(|_| Err(error::stopped(OP))) {
                Ok(()) => {
                    self.trails.written(room);
                    pause = BEHIND;
                }
                Err(failed) => {
                    tracing::warn!(%room, error = %crate::error::Chain(&failed), "a room's head could not be written; trying again");
                    self.trails.failed(room, todo);
                    tokio::time::sleep(PAUSE).await;
                    pause = Duration::ZERO;
                }
            }
        }
    }
}
