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
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool, AtomicU8,
            Ordering::{AcqRel, Acquire, Release},
        },
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
use hyper_util::server::graceful::GracefulConnection;
use parking_lot::Mutex;

use crate::tasks::{self, TaskKind};

/// Streams of one connection that have no task of their own.
const WITHIN_MAX: usize = 4;

/// Rounds of one turn before other tasks get theirs.
const ROUNDS_MAX: usize = 8;

type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a connection's protocol code puts the streams it starts.
#[derive(Clone, Default)]
pub(super) struct Streams {
    shared: Arc<Started>,
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

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.shared.new.lock().push(Box::pin(stream));
    }
}

/// Runs `connection`, whose protocol code was given `streams`, until it ends; streams that are left then are dropped.
/// When `drain` is done, the connection takes no new streams and ends after those it has.
pub(super) fn run<C, D>(connection: C, streams: Streams, drain: D) -> Connection<C>
where
    C: GracefulConnection,
    D: Future<Output = ()> + Send + 'static,
{
    let turn = Arc::new(Turn { task: AtomicWaker::new(), due: AtomicU8::new(CONNECTION | STREAMS | DRAIN) });
    let _ = streams.shared.turn.set(Arc::clone(&turn));
    Connection {
        connection: Box::pin(connection),
        for_connection: Side::waker(&turn, CONNECTION),
        for_streams: Side::waker(&turn, STREAMS),
        for_drain: Side::waker(&turn, DRAIN),
        turn,
        streams,
        within: Vec::new(),
        drain: Some(Box::pin(drain)),
    }
}

/// See [`run`].
pub(super) struct Connection<C> {
    turn: Arc<Turn>,
    connection: Pin<Box<C>>,
    for_connection: Waker,
    for_streams: Waker,
    for_drain: Waker,
    streams: Streams,
    within: Vec<Stream>,
    drain: Option<Stream>,
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
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.turn.task.register(cx.waker());
        for _ in 0..ROUNDS_MAX {
            this.turn.set(ON);
            if this.turn.take(DRAIN) {
                this.poll_drain();
            }
            // Streams first: what they have to say goes out with the connection's next write.
            if this.turn.take(STREAMS) {
                this.poll_streams();
            }
            if this.turn.take(CONNECTION)
                && let Poll::Ready(output) = this.poll_connection()
            {
                return Poll::Ready(output);
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
