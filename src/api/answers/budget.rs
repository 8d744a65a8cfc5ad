//! How many bytes of answers may wait: of one connection, of one user, of all. Counts; knows no answers.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::timeout};

use crate::{api::status::ApiError, domain::ids::UserId};

/// How long a call waits for room. What is being made and taken is gone sooner; what nobody takes is not.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// So many calls wait; more are refused at once. All of them are woken when something is given back, although only a few
/// have waited for just that.
const WAITING_MAX: usize = 1_024;
/// When one who was refused may try again, ms.
const RETRY_AFTER_MS: u64 = 1_000;
/// Bytes that may wait on a connection of what is answered without a token: health, metrics, reflection, refusals.
const UNASKED_BYTES_MAX: usize = 512 * 1024;
/// Parts of the users' counts, so that calls of different users seldom meet.
const SHARDS: usize = 16;

/// Bytes of answers that may wait for their clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerLimits {
    /// On one connection.
    pub connection_bytes_max: usize,
    /// Of one user. With little left for all it is half of that, so that nobody takes the last of it.
    pub user_bytes_max: usize,
    /// Of all.
    pub bytes_max: usize,
}

/// Bytes that wait already.
#[derive(Clone, Copy, Debug)]
struct Used {
    connection: usize,
    user: usize,
    total: usize,
}

impl AnswerLimits {
    /// Whether `bytes` more may wait. The only answer of a user or a connection may be larger than these may hold:
    /// else it could never be given.
    const fn fits(&self, used: Used, bytes: usize) -> bool {
        let free = self.bytes_max.saturating_sub(used.total);
        let within_connection = used.connection == 0 || used.connection + bytes <= self.connection_bytes_max;
        let half = free.saturating_add(used.user) / 2;
        let user_max = if half < self.user_bytes_max { half } else { self.user_bytes_max };
        let within_user = used.user + bytes <= user_max || used.user == 0 && bytes <= free / 2;
        within_connection && within_user && bytes <= free
    }

    /// What an answer may reserve at most, whatever it may come to.
    fn most(&self) -> usize {
        self.user_bytes_max.min(self.connection_bytes_max).min(self.bytes_max / 2)
    }
}

/// Bytes that wait on one connection. In the extensions of each of its requests.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct ConnectionUse(Arc<AtomicUsize>, Arc<AtomicUsize>);

impl ConnectionUse {
    /// Counts bytes of an answer for which nobody's token asked: they are few, and kept apart from all others. `None` if
    /// too many of them wait already.
    pub(super) fn unasked(&self, bytes: usize) -> Option<Unasked> {
        let before = self.1.fetch_add(bytes, SeqCst);
        let unasked = Unasked { connection: self.clone(), bytes };
        (before == 0 || before + bytes <= UNASKED_BYTES_MAX).then_some(unasked)
    }
}

/// Bytes for which nobody's token asked; given back when they are dropped.
#[derive(Debug)]
pub(super) struct Unasked {
    connection: ConnectionUse,
    bytes: usize,
}

impl Drop for Unasked {
    fn drop(&mut self) {
        self.connection.1.fetch_sub(self.bytes, SeqCst);
    }
}

/// In the extensions of an answer whose size has a bound of its own.
#[derive(Clone, Copy, Debug)]
pub(in crate::api) struct BoundElsewhere;

/// The budget of a node.
#[derive(Debug)]
pub(in crate::api) struct Answers {
    limits: AnswerLimits,
    total: AtomicUsize,
    users: [Mutex<HashMap<UserId, usize>>; SHARDS],
    waiting: AtomicUsize,
    given_back: Notify,
}

impl Answers {
    pub(super) fn new(limits: AnswerLimits) -> Self {
        Self {
            limits,
            total: AtomicUsize::new(0),
            users: Default::default(),
            waiting: AtomicUsize::new(0),
            given_back: Notify::new(),
        }
    }

    /// Bytes that wait, of all.
    pub(in crate::api) fn waiting_bytes(&self) -> usize {
        self.total.load(SeqCst)
    }

    /// Makes room for an answer that may come to `bytes`. Waits a little when there is none: what others of the caller's
    /// calls hold may be taken in the next moment.
    ///
    /// # Errors
    /// `overloaded`, with the time to wait.
    pub(in crate::api) async fn reserve(
        self: &Arc<Self>,
        connection: &ConnectionUse,
        user: UserId,
        bytes: usize,
    ) -> Result<Held, ApiError> {
        let bytes = bytes.min(self.limits.most());
        if !self.take(connection, user, bytes) {
            self.wait(connection, user, bytes).await?;
        }
        let answers = Arc::clone(self);
        Ok(Held { answers, connection: connection.clone(), user, bytes: AtomicUsize::new(bytes) })
    }

    async fn wait(&self, connection: &ConnectionUse, user: UserId, bytes: usize) -> Result<(), ApiError> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        let others = self.waiting.fetch_add(1, SeqCst);
        let _waiting = Waiting(&self.waiting);
        let refused = || ApiError::answers_waiting(RETRY_AFTER_MS);
        if others >= WAITING_MAX {
            return Err(refused());
        }
        let taken = timeout(WAIT_MAX, async {
            loop {
                let mut given_back = std::pin::pin!(self.given_back.notified());
                // Before looking, so that what is given back in between wakes us.
                given_back.as_mut().enable();
                if self.take(connection, user, bytes) {
                    return;
                }
                given_back.await;
            }
        });
        taken.await.map_err(|_| refused())
    }

    fn shard(&self, user: UserId) -> &Mutex<HashMap<UserId, usize>> {
        &self.users[user.0.unsigned_abs() as usize % SHARDS]
    }

    /// Counts `bytes` if they fit. Two users at a time may both find the last room: so many threads, so many answers
    /// more.
    fn take(&self, connection: &ConnectionUse, user: UserId, bytes: usize) -> bool {
        let mut users = self.shard(user).lock();
        let used = Used {
            connection: connection.0.load(SeqCst),
            user: users.get(&user).copied().unwrap_or(0),
            total: self.total.load(SeqCst),
        };
        let fits = self.limits.fits(used, bytes);
        if fits {
            *users.entry(user).or_default() += bytes;
            self.add(connection, bytes);
        }
        fits
    }

    fn add(&self, connection: &ConnectionUse, bytes: usize) {
        connection.0.fetch_add(bytes, SeqCst);
        self.total.fetch_add(bytes, SeqCst);
    }

    fn give_back(&self, connection: &ConnectionUse, user: UserId, bytes: usize) {
        let mut users = self.shard(user).lock();
        if let Some(of_user) = users.get_mut(&user) {
            *of_user -= bytes;
            if *of_user == 0 {
                users.remove(&user);
            }
        }
        connection.0.fetch_sub(bytes, SeqCst);
        self.total.fetch_sub(bytes, SeqCst);
        drop(users);
        if self.waiting.load(SeqCst) > 0 {
            self.given_back.notify_waiters();
        }
    }
}

/// Room for one answer; given back when it is dropped.
#[derive(Debug)]
pub(in crate::api) struct Held {
    answers: Arc<Answers>,
    connection: ConnectionUse,
    user: UserId,
    bytes: AtomicUsize,
}

impl Held {
    /// The answer has this size. Whether there is room for it; if not, it is to be dropped.
    pub(in crate::api) fn settle(&self, bytes: usize) -> bool {
        let held = self.bytes.load(SeqCst);
        if bytes > held {
            // Taken back first: the rule is about the answer as a whole.
            self.answers.give_back(&self.connection, self.user, held);
            if !self.answers.take(&self.connection, self.user, bytes) {
                self.bytes.store(0, SeqCst);
                return false;
            }
        } else {
            self.answers.give_back(&self.connection, self.user, held - bytes);
        }
        self.bytes.store(bytes, SeqCst);
        true
    }

    /// The answer has this size and is given in any case: what was done is told.
    pub(in crate::api) fn grow_to(&self, bytes: usize) {
        let more = bytes.saturating_sub(self.bytes.load(SeqCst));
        if more > 0 {
            *self.answers.shard(self.user).lock().entry(self.user).or_default() += more;
            self.answers.add(&self.connection, more);
            self.bytes.fetch_add(more, SeqCst);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.answers.give_back(&self.connection, self.user, self.bytes.load(SeqCst));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    const LIMITS: AnswerLimits = AnswerLimits { connection_bytes_max: 60, user_bytes_max: 40, bytes_max: 200 };
    const EVA: UserId = UserId(1);
    const TOM: UserId = UserId(17);

    fn used(connection: usize, user: usize, total: usize) -> Used {
        Used { connection, user, total }
    }

    #[test]
    fn an_answer_fits_into_all_three_budgets_or_not_at_all() {
        assert!(LIMITS.fits(used(0, 0, 0), 40));
        assert!(LIMITS.fits(used(30, 30, 30), 10));
        assert!(!LIMITS.fits(used(30, 30, 30), 11), "of the user");
        assert!(!LIMITS.fits(used(55, 0, 55), 6), "of the connection");
        assert!(!LIMITS.fits(used(0, 0, 195), 6), "of all");
    }

    #[test]
    fn the_only_answer_may_be_larger_than_a_user_may_hold() {
        assert!(LIMITS.fits(used(0, 0, 0), 100));
        assert!(!LIMITS.fits(used(0, 0, 0), 101), "half of what is free is for others");
        assert!(!LIMITS.fits(used(1, 1, 1), 100));
    }

    #[test]
    fn nobody_takes_the_last_of_it() {
        let mut total = 0;
        // Forty users who each take what they can get.
        for _ in 0..40 {
            let mut of_user = 0;
            while LIMITS.fits(used(0, of_user, total), 1) {
                (of_user, total) = (of_user + 1, total + 1);
            }
        }
        assert!(total < LIMITS.bytes_max, "one who comes now gets something: {total}");
    }

    #[test]
    fn what_nobody_asked_for_is_little_on_a_connection() {
        let connection = ConnectionUse::default();
        let huge = connection.unasked(UNASKED_BYTES_MAX * 2).expect("the only one");
        assert!(connection.unasked(1).is_none());
        drop(huge);
        let most = connection.unasked(UNASKED_BYTES_MAX - 1).unwrap();
        assert!(connection.unasked(2).is_none());
        drop((connection.unasked(1).unwrap(), most));
        assert_eq!(connection.1.load(SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_come_back_with_the_answer() {
        let (answers, connection) = (Arc::new(Answers::new(LIMITS)), ConnectionUse::default());
        let first = answers.reserve(&connection, EVA, 30).await.unwrap();
        let second = answers.reserve(&connection, EVA, 10).await.unwrap();
        assert!(first.settle(5) && second.settle(35));
        assert!(!second.settle(36), "there is no room for that");
        assert_eq!(answers.waiting_bytes(), 5);
        first.grow_to(90);
        drop(second);
        assert_eq!((answers.waiting_bytes(), connection.0.load(SeqCst)), (90, 90));
        drop(first);
        assert_eq!((answers.waiting_bytes(), connection.0.load(SeqCst)), (0, 0));
        assert!(answers.users.iter().all(|users| users.lock().is_empty()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_over_waits_a_little_and_is_refused_then() {
        let (answers, connection) = (Arc::new(Answers::new(LIMITS)), ConnectionUse::default());
        let held = answers.reserve(&connection, EVA, 40).await.unwrap();
        let other = answers.reserve(&ConnectionUse::default(), TOM, 40).await.unwrap();
        let started = Instant::now();
        let refused = answers.reserve(&connection, EVA, 1).await.unwrap_err();
        assert_eq!((refused.info().reason.as_str(), refused.info().retry_after_ms), ("overloaded", 1_000));
        assert_eq!(started.elapsed(), WAIT_MAX);
        let later = async {
            sleep(Duration::from_millis(300)).await;
            drop(held);
        };
        let (again, ()) = tokio::join!(answers.reserve(&connection, EVA, 40), later);
        assert_eq!(again.unwrap().bytes.load(SeqCst), 40);
        assert_eq!(answers.waiting.load(SeqCst), 0);
        drop(other);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_wait_and_no_more() {
        let (answers, connection) = (Arc::new(Answers::new(LIMITS)), ConnectionUse::default());
        let _held = answers.reserve(&connection, EVA, 40).await.unwrap();
        let started = Instant::now();
        let waits = (0..=WAITING_MAX).map(|_| async {
            assert!(answers.reserve(&connection, EVA, 1).await.is_err());
            started.elapsed()
        });
        let waited = futures_util::future::join_all(waits).await;
        assert_eq!(waited.iter().filter(|time| time.is_zero()).count(), 1);
        assert_eq!(answers.waiting.load(SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_come_to_more_than_a_user_may_hold_goes_alone() {
        let (answers, connection) = (Arc::new(Answers::new(LIMITS)), ConnectionUse::default());
        let huge = answers.reserve(&connection, EVA, usize::MAX).await.unwrap();
        assert!(answers.reserve(&connection, EVA, usize::MAX).await.is_err());
        assert!(huge.settle(90), "the only one");
    }
}
