//! One connection and its first streams as one task.
//!
//! An HTTP/2 server gives every stream a task besides the connection's own. A chat client has one or two streams, and
//! then each delivery wakes two tasks where one would do: here a connection's first few streams are polled by the
//! connection itself, just before it writes. More streams than that are a proxy's; those get tasks of their own, so
//! that they run on all cores. Of a thousand connections nothing is in the processor's cache when a message goes out to
//! all of them: what a turn looks at lies together, and of connection, first streams and drain only what was woken is
//! looked at (the first streams are woken as one). This module knows nothing of what is served.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use hyper_util::server::graceful::GracefulConnection;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    tasks::{self, TaskKind},
    telemetry::panics,
};

/// Streams of one connection that have no task of their own.
const WITHIN_MAX: usize = 4;

/// Rounds of one turn before other tasks get theirs.
const ROUNDS_MAX: usize = 8;

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a connection's protocol code puts the streams it starts.
#[derive(Clone, Default)]
pub(super) struct Streams {
    shared: Arc<Started>,
    count: Arc<Count>,
}

#[derive(Default)]
struct Started {
    /// Started and not yet taken over by the connection.
    new: Mutex<Vec<Stream>>,
    /// The connection is to end as it is.
    given_up: AtomicBool,
    /// Of the connection, once it runs.
    turn: OnceLock<Arc<Turn>>,
}

impl Streams {
    /// Ends the connection at once, with all that waits in it.
    pub(super) fn give_up(&self) {
        self.shared.given_up.store(true, Release);
        if let Some(turn) = self.shared.turn.get() {
            turn.wake(CONNECTION);
        }
    }
}

/// Counts open streams. Apart from what holds the streams themselves, since each of them has a share in it.
struct Count {
    open: AtomicUsize,
    any: AtomicBool,
    since: Instant,
    /// When the last one ended, in ms after `since`.
    ended_ms: AtomicU64,
}

impl Default for Count {
    fn default() -> Self {
        let (open, any, ended_ms) = Default::default();
        Self { open, any, since: Instant::now(), ended_ms }
    }
}

impl Streams {
    /// Since when there has been no stream; none while there is one, and before the first one.
    pub(super) fn none_since(&self) -> Option<Instant> {
        let Count { open, any, since, ended_ms } = &*self.count;
        let none = any.load(Relaxed) && open.load(Acquire) == 0;
        none.then(|| *since + Duration::from_millis(ended_ms.load(Relaxed)))
    }
}

/// A stream that is open, until it is dropped.
struct Open(Arc<Count>);

impl Drop for Open {
    fn drop(&mut self) {
        let ms = u64::try_from(self.0.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended_ms.store(ms, Relaxed);
        self.0.open.fetch_sub(1, AcqRel);
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.count.open.fetch_add(1, AcqRel);
        self.count.any.store(true, Relaxed);
        let open = Open(Arc::clone(&self.count));
        let stream = async move {
            let _open = open;
            // A stream is dropped then, which resets it, and the others go on.
            if let Err(panicked) = panics::caught(pin!(stream)).await {
                panicked.note("");
            }
        };
        self.shared.new.lock().push(Box::pin(stream));
    }
}

/// Runs `connection`, whose protocol code was given `streams`, until it ends; streams that are left then are dropped.
/// When `drain` is done, the connection takes no new streams and ends after those it has; when `cut` is done, it ends at
/// once, and that is said by `None`.
pub(super) fn run<C, D, E>(connection: C, streams: Streams, drain: D, cut: E) -> Connection<C>
where
    C: GracefulConnection,
    D: Future<Output = ()> + Send + 'static,
    E: Future<Output = ()> + Send + 'static,
{
    let turn = Arc::new(Turn { task: AtomicWaker::new(), due: AtomicU8::new(CONNECTION | STREAMS | DRAIN | CUT) });
    let _ = streams.shared.turn.set(Arc::clone(&turn));
    Connection {
        connection: Box::pin(connection),
        for_connection: Side::waker(&turn, CONNECTION),
        for_streams: Side::waker(&turn, STREAMS),
        for_drain: Side::waker(&turn, DRAIN),
        for_cut: Side::waker(&turn, CUT),
        turn,
        streams,
        within: Vec::new(),
        drain: Some(Box::pin(drain)),
        cut: Box::pin(cut),
    }
}

/// See [`run`].
pub(super) struct Connection<C> {
    turn: Arc<Turn>,
    connection: Pin<Box<C>>,
    for_connection: Waker,
    for_streams: Waker,
    for_drain: Waker,
    for_cut: Waker,
    streams: Streams,
    within: Vec<Stream>,
    drain: Option<Stream>,
    cut: Stream,
}

impl<C: GracefulConnection> Connection<C> {
    fn poll_streams(&mut self) {
        let mut cx = Context::from_waker(&self.for_streams);
        self.within.retain_mut(|stream| stream.as_mut().poll(&mut cx).is_pending());
    }

    fn poll_connection(&mut self) -> Poll<C::Output> {
        if self.streams.shared.given_up.load(Acquire) {
            return Poll::Ready(Ok(()));
        }
        let ended = self.connection.as_mut().poll(&mut Context::from_waker(&self.for_connection));
        for stream in self.streams.shared.new.lock().drain(..) {
            if self.within.len() < WITHIN_MAX {
                self.within.push(stream);
                self.turn.set(STREAMS);
            } else {
                tasks::spawn(TaskKind::Call, stream);
            }
        }
        ended
    }

    fn poll_drain(&mut self) {
        if let Some(drain) = &mut self.drain
            && drain.as_mut().poll(&mut Context::from_waker(&self.for_drain)).is_ready()
        {
            self.drain = None;
            self.connection.as_mut().graceful_shutdown();
            self.turn.set(CONNECTION);
        }
    }
}

impl<C: GracefulConnection> Future for Connection<C> {
    type Output = Option<C::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.turn.task.register(cx.waker());
        for _ in 0..ROUNDS_MAX {
            this.turn.set(ON);
            if this.turn.take(DRAIN) {
                this.poll_drain();
            }
            if this.turn.take(CUT) && this.cut.as_mut().poll(&mut Context::from_waker(&this.for_cut)).is_ready() {
                return Poll::Ready(None);
            }
            // Streams first: what they have to say goes out with the connection's next write.
            if this.turn.take(STREAMS) {
                this.poll_streams();
            }
            if this.turn.take(CONNECTION)
                && let Poll::Ready(output) = this.poll_connection()
            {
                return Poll::Ready(Some(output));
            }
            if this.turn.ends() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The connection has to be polled.
const CONNECTION: u8 = 1;
/// Its streams have to be.
const STREAMS: u8 = 2;
/// The signal to drain has to be.
const DRAIN: u8 = 4;
/// The signal to end at once has to be.
const CUT: u8 = 16;
/// The task is at work: it looks again before it ends its turn, and needs no waking.
const ON: u8 = 8;

/// The task, and what it has to do.
struct Turn {
    task: AtomicWaker,
    due: AtomicU8,
}

impl Turn {
    /// Returns what was due before.
    fn set(&self, what: u8) -> u8 {
        self.due.fetch_or(what, AcqRel)
    }

    fn take(&self, what: u8) -> bool {
        self.due.fetch_and(!what, AcqRel) & what != 0
    }

    /// Has something done, in this turn or the next.
    fn wake(&self, what: u8) {
        let before = self.set(what);
        // Who found it not due wakes the task, or has.
        if before & (ON | what) == 0 {
            self.task.wake();
        }
    }

    /// Ends the turn; whether nothing is due. A wake that saw the turn on is seen here, one that comes later sees it off.
    fn ends(&self) -> bool {
        self.due.fetch_and(!ON, AcqRel) == ON
    }
}

/// Wakes one of those that are polled in a turn.
struct Side {
    turn: Arc<Turn>,
    what: u8,
}

impl Side {
    fn waker(turn: &Arc<Turn>, what: u8) -> Waker {
        Waker::from(Arc::new(Self { turn: Arc::clone(turn), what }))
    }
}

impl Wake for Side {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.turn.wake(self.what);
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
