//! Fair shares of the processor for calls that walk many rows: search, members by name, long lists.
//!
//! Such a call works in slices of a few milliseconds beside the threads that serve, never on them. A user has a few
//! calls at once, the node a few slices, and users take turns slice by slice, so that whoever comes meets a queue of
//! users and not one of calls. What a call has cost in rows and bytes is charged to its user's rate. Owns neither what a
//! slice does nor the rate itself.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    future::Future,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use super::error::{Call, CallError};
use crate::{
    domain::ids::UserId,
    tasks::{self, TaskKind},
};

/// Longest wait for a turn.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Calls of one user that may wait; more are refused at once.
const WAITING_PER_USER_MAX: usize = 64;
/// Calls that may wait in all.
const WAITING_MAX: usize = 4_096;
/// Rows that cost as much as a call.
const ROWS_PER_CALL: usize = 250;
/// Bytes of bodies that cost as much as a call.
const BYTES_PER_CALL: usize = 64 << 10;
/// A slice with as many rows is long enough.
const SLICE_ROWS: usize = 512;
/// A slice with as many bytes is long enough.
const SLICE_BYTES: usize = 512 << 10;

/// Where the price of calls is taken from.
pub trait Purse: Debug + Send + Sync + 'static {
    /// Takes `calls` calls' worth from the user's rate. What is not there is owed; returns how long until it is.
    fn pay(&self, user: UserId, calls: u32) -> Duration;
}

/// What some work has cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Spent {
    /// Rows read or looked at.
    pub(crate) rows: usize,
    /// Bytes of bodies opened, folded or compared.
    pub(crate) bytes: usize,
}

impl Spent {
    pub(crate) const fn rows(rows: usize) -> Self {
        Self { rows, bytes: 0 }
    }

    pub(crate) const fn add(&mut self, more: Self) {
        self.rows = self.rows.saturating_add(more.rows);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    /// Whether a slice that has cost this should end.
    pub(crate) const fn is_slice(&self) -> bool {
        self.rows >= SLICE_ROWS || self.bytes >= SLICE_BYTES
    }

    /// As many ordinary calls cost the same.
    const fn calls(&self) -> usize {
        self.rows / ROWS_PER_CALL + self.bytes / BYTES_PER_CALL
    }
}

/// How many rows to read at once, so that they have about so many bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowsAtOnce {
    rows: usize,
    rows_max: usize,
    bytes: usize,
}

impl RowsAtOnce {
    /// Begins with few rows: nothing is known of them.
    pub(crate) fn new(rows_max: usize, bytes: usize) -> Self {
        Self { rows: rows_max.clamp(1, 8), rows_max: rows_max.max(1), bytes }
    }

    pub(crate) const fn get(&self) -> usize {
        self.rows
    }

    /// Learns from a page. Grows slowly: the rows before small ones may be large.
    pub(crate) fn learn(&mut self, rows: usize, bytes: usize) {
        if let Some(each) = bytes.checked_div(rows) {
            self.rows = (self.bytes / each.max(1)).clamp(1, self.rows_max.min(self.rows.saturating_mul(4)));
        }
    }
}

/// How much may go on at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Calls of one user.
    pub(crate) per_user: usize,
    /// Slices of all.
    pub(crate) at_once: usize,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct FairShare {
    bounds: Bounds,
    users: Arc<DashMap<UserId, Weak<OfUser>>>,
    waiting: AtomicUsize,
    turns: Arc<Turns>,
    purse: OnceLock<Arc<dyn Purse>>,
}

/// One user's calls, as long as there are any.
#[derive(Debug)]
struct OfUser {
    user: UserId,
    calls: Arc<Semaphore>,
    waiting: AtomicUsize,
    registry: Arc<DashMap<UserId, Weak<OfUser>>>,
}

impl Drop for OfUser {
    fn drop(&mut self) {
        self.registry.remove_if(&self.user, |_, known| known.strong_count() == 0);
    }
}

/// One more that waits, until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn enter(count: &'a AtomicUsize, max: usize) -> Call<Self> {
        let waits = Self(count);
        if count.fetch_add(1, Ordering::Relaxed) >= max { Err(CallError::Overloaded) } else { Ok(waits) }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FairShare {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            users: Arc::default(),
            waiting: AtomicUsize::new(0),
            turns: Arc::new(Turns { at_once: bounds.at_once.max(1), state: Mutex::default() }),
            purse: OnceLock::new(),
        }
    }

    /// Says where the price is taken from; before that calls are free.
    pub(crate) fn charge_to(&self, purse: Arc<dyn Purse>) {
        // Said once, when the server is put together.
        let _ = self.purse.set(purse);
    }

    /// Takes the price of work that had no share of its own.
    pub(crate) fn charge(&self, user: UserId, spent: Spent) {
        self.pay(user, spent.calls());
    }

    fn pay(&self, user: UserId, calls: usize) -> Duration {
        match self.purse.get() {
            Some(purse) if user != UserId::SERVER => purse.pay(user, u32::try_from(calls).unwrap_or(u32::MAX)),
            _ => Duration::ZERO,
        }
    }

    fn of_user(&self, user: UserId) -> Arc<OfUser> {
        let mut slot = self.users.entry(user).or_default();
        if let Some(known) = slot.upgrade() {
            return known;
        }
        let calls = Arc::new(Semaphore::new(self.bounds.per_user.max(1)));
        let new = Arc::new(OfUser { user, calls, waiting: AtomicUsize::new(0), registry: Arc::clone(&self.users) });
        *slot = Arc::downgrade(&new);
        new
    }

    /// Waits until the user may have one more call under way.
    ///
    /// # Errors
    /// [`CallError::Overloaded`] when too many wait, or it takes too long; [`CallError::RateLimited`] when the user owes
    /// for earlier calls.
    pub(crate) async fn enter(self: &Arc<Self>, user: UserId) -> Call<Share> {
        let of_user = self.of_user(user);
        let permit = match Arc::clone(&of_user.calls).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _all = Waits::enter(&self.waiting, WAITING_MAX)?;
                let _own = Waits::enter(&of_user.waiting, WAITING_PER_USER_MAX)?;
                let permit = timeout(WAIT_MAX, Arc::clone(&of_user.calls).acquire_owned()).await;
                permit.ok().and_then(Result::ok).ok_or(CallError::Overloaded)?
            }
        };
        let owed = self.pay(user, 0);
        if !owed.is_zero() {
            return Err(CallError::RateLimited { retry_after_ms: millis(owed) });
        }
        let call = Spent::default();
        Ok(Share { user, shares: Arc::clone(self), spent: call, paid: 1, owes: false, _permit: permit, _of: of_user })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// One call's share, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    user: UserId,
    shares: Arc<FairShare>,
    spent: Spent,
    /// Calls paid for; the door has counted the first one.
    paid: usize,
    owes: bool,
    // Dropped in this order: a user who is forgotten has no permits out.
    _permit: OwnedSemaphorePermit,
    _of: Arc<OfUser>,
}

impl Share {
    /// Runs one slice of the call when it is the user's turn. It goes on to its end, also if nobody waits for it any
    /// more, so it must be short: see [`Spent::is_slice`].
    ///
    /// # Errors
    /// [`CallError::Overloaded`] when no turn comes; what the slice fails with.
    pub(crate) async fn run<T, F>(&mut self, slice: F) -> Call<T>
    where
        F: Future<Output = Call<(T, Spent)>> + Send + 'static,
        T: Send + 'static,
    {
        let turn = timeout(WAIT_MAX, self.shares.turns.take(self.user)).await.map_err(|_| CallError::Overloaded)?;
        let done = tasks::beside(TaskKind::Scan, async move {
            let done = slice.await;
            drop(turn);
            done
        });
        let (value, spent) = done.await.ok_or(CallError::Dropped)??;
        self.spend(spent);
        Ok(value)
    }

    /// Charges what was spent.
    pub(crate) fn spend(&mut self, spent: Spent) {
        self.spent.add(spent);
        let due = self.spent.calls().saturating_sub(self.paid);
        if due > 0 {
            self.paid += due;
            self.owes = !self.shares.pay(self.user, due).is_zero();
        }
    }

    /// What the call has cost so far.
    pub(crate) const fn spent(&self) -> Spent {
        self.spent
    }

    /// Whether the user's rate is used up: a call that can go on another time ends here.
    pub(crate) const fn owes(&self) -> bool {
        self.owes
    }
}

/// Who may run a slice: users take turns.
#[derive(Debug)]
struct Turns {
    at_once: usize,
    state: Mutex<TurnsState>,
}

#[derive(Debug, Default)]
struct TurnsState {
    running: usize,
    /// Users with slices that wait, each once, in the order of their turns.
    next: VecDeque<UserId>,
    waiting: HashMap<UserId, VecDeque<oneshot::Sender<Turn>>>,
}

/// Leave to run one slice, until it is dropped.
#[derive(Debug)]
struct Turn(Option<Arc<Turns>>);

impl Turns {
    async fn take(self: &Arc<Self>, user: UserId) -> Turn {
        let answer = {
            let mut state = self.state.lock();
            if state.running < self.at_once {
                // Whoever waits is let in as soon as there is room: nobody does.
                state.running += 1;
                return Turn(Some(Arc::clone(self)));
            }
            let (sender, answer) = oneshot::channel();
            let queue = state.waiting.entry(user).or_default();
            queue.push_back(sender);
            if queue.len() == 1 {
                state.next.push_back(user);
            }
            answer
        };
        // The sender is dropped unanswered with the node alone.
        answer.await.unwrap_or(Turn(None))
    }

    fn give_back(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.running -= 1;
        while state.running < self.at_once {
            let Some(user) = state.next.pop_front() else { break };
            let Some(queue) = state.waiting.get_mut(&user) else { continue };
            let first = queue.pop_front();
            if queue.is_empty() {
                state.waiting.remove(&user);
            } else {
                state.next.push_back(user);
            }
            match first.map(|first| first.send(Turn(Some(Arc::clone(self))))) {
                Some(Ok(())) => state.running += 1,
                // Nobody waits any more. This turn was never counted.
                Some(Err(mut turn)) => drop(turn.0.take()),
                None => {}
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.give_back();
        }
    }
}

#[cfg(test)]
#[path = "fair_share_tests.rs"]
mod tests;
