//! Bytes of requests under way: those being received and those of calls not yet answered are counted for the connection,
//! the user and the process, and have a time to arrive in. Knows nothing of what they mean.

use std::{
    collections::HashMap,
    hash::BuildHasher as _,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};
use tonic::Status;

use super::status::ApiError;
use crate::domain::ids::UserId;

/// Parts of the table of users, so that calls seldom wait for each other.
const PARTS: usize = 64;
/// Bytes before each message of gRPC.
const PREFIX_LEN: usize = 5;

/// How many bytes may be under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IntakeOptions {
    /// In the process.
    pub process_max: usize,
    /// Of one user.
    pub user_max: usize,
    /// Of one connection.
    pub connection_max: usize,
    /// A unary call's body, and the first message of a stream or session, must have come within this time.
    pub wait_max: Duration,
}

/// The bytes under way in the process.
#[derive(Debug)]
pub(super) struct Intake {
    options: IntakeOptions,
    process: AtomicUsize,
    /// Only users with bytes under way are in it.
    users: [Mutex<HashMap<UserId, usize>>; PARTS],
    hasher: foldhash::fast::RandomState,
}

impl Intake {
    pub(super) fn new(options: IntakeOptions) -> Arc<Self> {
        let users = std::array::from_fn(|_| Mutex::default());
        Arc::new(Self { options, process: AtomicUsize::new(0), users, hasher: foldhash::fast::RandomState::default() })
    }

    /// How long a request may take to come.
    pub(super) const fn wait_max(&self) -> Duration {
        self.options.wait_max
    }

    /// Nothing yet, for a call of this user over this connection.
    pub(super) fn open(self: &Arc<Self>, user: UserId, connection: Option<Arc<AtomicUsize>>) -> Arc<Charge> {
        Arc::new(Charge { intake: Arc::clone(self), user, connection, bytes: AtomicUsize::new(0) })
    }

    /// A request that came within a session: counted until what is returned is dropped.
    pub(super) fn hold(self: &Arc<Self>, user: UserId, bytes: usize) -> Result<Arc<Charge>, ApiError> {
        let charge = self.open(user, None);
        charge.add(bytes)?;
        Ok(charge)
    }

    fn part(&self, user: UserId) -> &Mutex<HashMap<UserId, usize>> {
        let part = self.hasher.hash_one(user) % (PARTS as u64);
        &self.users[usize::try_from(part).unwrap_or_default()]
    }

    fn take_for_user(&self, user: UserId, bytes: usize) -> bool {
        let mut users = self.part(user).lock();
        let used = users.get(&user).copied().unwrap_or_default();
        let fits = used.saturating_add(bytes) <= self.options.user_max;
        if fits {
            users.insert(user, used + bytes);
        }
        fits
    }

    fn give_for_user(&self, user: UserId, bytes: usize) {
        let mut users = self.part(user).lock();
        if let Some(used) = users.get_mut(&user) {
            *used = used.saturating_sub(bytes);
            if *used == 0 {
                users.remove(&user);
            }
        }
    }
}

fn take(used: &AtomicUsize, bytes: usize, max: usize) -> bool {
    let fits = |used: usize| Some(used.saturating_add(bytes)).filter(|sum| *sum <= max);
    used.fetch_update(Relaxed, Relaxed, fits).is_ok()
}

/// What one call has under way; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    intake: Arc<Intake>,
    user: UserId,
    connection: Option<Arc<AtomicUsize>>,
    bytes: AtomicUsize,
}

impl Charge {
    /// Counts `bytes` more.
    fn add(&self, bytes: usize) -> Result<(), ApiError> {
        let Intake { options, process, .. } = &*self.intake;
        if !take(process, bytes, options.process_max) {
            return Err(ApiError::overloaded("too many bytes of requests are under way"));
        }
        if !self.intake.take_for_user(self.user, bytes) {
            process.fetch_sub(bytes, Relaxed);
            return Err(ApiError::overloaded("too many bytes of this user's requests are under way"));
        }
        if !self.connection.as_ref().is_none_or(|used| take(used, bytes, options.connection_max)) {
            process.fetch_sub(bytes, Relaxed);
            self.intake.give_for_user(self.user, bytes);
            return Err(ApiError::overloaded("too many bytes of requests are under way on this connection"));
        }
        self.bytes.fetch_add(bytes, Relaxed);
        Ok(())
    }

    /// Counts what is missing up to `bytes`: the call has them now in place of what it had, decompressed, say.
    pub(super) fn at_least(&self, bytes: usize) -> Result<(), ApiError> {
        match bytes.saturating_sub(self.bytes.load(Relaxed)) {
            0 => Ok(()),
            more => self.add(more),
        }
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.bytes.fetch_sub(bytes, Relaxed);
            self.intake.process.fetch_sub(bytes, Relaxed);
            self.intake.give_for_user(self.user, bytes);
            if let Some(used) = &self.connection {
                used.fetch_sub(bytes, Relaxed);
            }
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.give_back(self.bytes.load(Relaxed));
    }
}

/// Finds where gRPC's messages end, in bytes that come in pieces.
#[derive(Default, Debug)]
struct Messages {
    prefix: [u8; PREFIX_LEN],
    prefix_len: usize,
    /// Bytes until the next prefix.
    rest: usize,
    /// Bytes of the message that has begun.
    begun: usize,
    ended: usize,
}

impl Messages {
    fn pass(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let before = data.len();
            if self.rest > 0 {
                let passed = self.rest.min(data.len());
                self.rest -= passed;
                data = &data[passed..];
            } else {
                let taken = data.len().min(PREFIX_LEN - self.prefix_len);
                self.prefix[self.prefix_len..self.prefix_len + taken].copy_from_slice(&data[..taken]);
                self.prefix_len += taken;
                data = &data[taken..];
                if self.prefix_len == PREFIX_LEN {
                    let [_flags, length @ ..] = self.prefix;
                    self.rest = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                }
            }
            self.begun += before - data.len();
            if self.rest == 0 && self.prefix_len == PREFIX_LEN {
                (self.prefix_len, self.begun) = (0, 0);
                self.ended += 1;
            }
        }
    }
}

/// Bytes of a session's message that may have come when no more of them may be under way.
const PIECE_MAX: usize = 64 << 10;

/// What a body is held to.
#[derive(Debug)]
pub(super) enum Measure {
    /// All of it is kept until the call is answered.
    Whole(Arc<Charge>),
    /// Messages of gRPC that are taken up one by one; only the one that has begun is kept here.
    Each(Arc<Charge>),
    /// Of a caller whom nobody knows: no more than so many bytes.
    Small(usize),
}

/// A request body that is counted and must come in time.
pub(super) struct Received {
    body: Body,
    measure: Measure,
    messages: Messages,
    /// Bytes that have come.
    seen: usize,
    due: Instant,
    /// Set up when the body is first waited for; gone when nothing more is waited for in particular.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Received {
    pub(super) fn new(body: Body, measure: Measure, wait_max: Duration) -> Self {
        let due = Instant::now() + wait_max;
        Self { body, measure, messages: Messages::default(), seen: 0, due, sleep: None }
    }

    fn count(&mut self, data: &Bytes) -> Result<(), ApiError> {
        self.seen = self.seen.saturating_add(data.len());
        match &self.measure {
            Measure::Whole(charge) => charge.add(data.len()),
            Measure::Small(max) if self.seen > *max => Err(ApiError::too_large(*max)),
            Measure::Small(_) => Ok(()),
            Measure::Each(charge) => {
                // A session goes on also where others have used up what there is: it is no body of a great size.
                if let Err(full) = charge.add(data.len())
                    && self.messages.begun + data.len() > PIECE_MAX
                {
                    return Err(full);
                }
                self.messages.pass(data);
                charge.give_back(charge.bytes.load(Relaxed).saturating_sub(self.messages.begun));
                Ok(())
            }
        }
    }

    /// Whether it is late. A session that has begun may be silent for as long as it likes.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.measure, Measure::Each(_)) && self.messages.ended > 0 {
            self.sleep = None;
            return Poll::Pending;
        }
        let due = self.due;
        self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due))).as_mut().poll(cx)
    }
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref()
                    && let Err(error) = this.count(data)
                {
                    return Poll::Ready(Some(Err(Status::from(error).into())));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(other) => Poll::Ready(other.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => this.poll_due(cx).map(|()| Some(Err(Status::from(ApiError::request_late()).into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[path = "intake_tests.rs"]
mod tests;
