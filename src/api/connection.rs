//! One connection and its first streams as one task.
//!
//! An HTTP/2 server gives every stream a task besides the connection's own. A chat client has one or two streams, and
//! then each delivery wakes two tasks where one would do: here a connection's first few streams are polled by the
//! connection itself, just before it writes. More streams than that are a proxy's; those get tasks of their own, so
//! that they run on all cores. This module knows nothing of what is served.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use hyper::rt::Executor;
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
pub(super) fn run<C>(connection: C, streams: Streams) -> Connection<C> {
    let turn = Arc::new(Turn::default());
    Connection {
        connection: Box::pin(connection),
        connection_side: Side::new(&turn),
        streams_side: Side::new(&turn),
        turn,
        streams,
        within: Vec::new(),
    }
}

/// See [`run`].
pub(super) struct Connection<C> {
    connection: Pin<Box<C>>,
    connection_side: Side,
    streams_side: Side,
    turn: Arc<Turn>,
    streams: Streams,
    within: Vec<Stream>,
}

impl<C: Future> Connection<C> {
    fn poll_streams(&mut self) {
        let mut cx = Context::from_waker(&self.streams_side.waker);
        self.within.retain_mut(|stream| stream.as_mut().poll(&mut cx).is_pending());
    }

    fn poll_connection(&mut self) -> Poll<C::Output> {
        let ended = self.connection.as_mut().poll(&mut Context::from_waker(&self.connection_side.waker));
        for stream in self.streams.shared.new.lock().drain(..) {
            if self.within.len() < WITHIN_MAX {
                self.within.push(stream);
                self.streams_side.signal.due.store(true, SeqCst);
            } else {
                tasks::spawn(TaskKind::Call, stream);
            }
        }
        ended
    }

    fn is_due(&self) -> bool {
        self.connection_side.signal.due.load(SeqCst) || self.streams_side.signal.due.load(SeqCst)
    }
}

impl<C: Future> Future for Connection<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let this = &mut *self;
        this.turn.task.register(cx.waker());
        this.turn.is_on.store(true, SeqCst);
        for _ in 0..ROUNDS_MAX {
            // Streams first: what they have to say goes out with the connection's next write.
            if this.streams_side.take() {
                this.poll_streams();
            }
            if this.connection_side.take()
                && let Poll::Ready(output) = this.poll_connection()
            {
                return Poll::Ready(output);
            }
            if !this.is_due() {
                this.turn.is_on.store(false, SeqCst);
                // A wake that saw the turn on is seen here; one that comes later sees it off.
                if !this.is_due() {
                    return Poll::Pending;
                }
                this.turn.is_on.store(true, SeqCst);
            }
        }
        this.turn.is_on.store(false, SeqCst);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The task and whether it is at work: then it looks again before it ends its turn, and needs no waking.
#[derive(Default)]
struct Turn {
    task: AtomicWaker,
    is_on: AtomicBool,
}

/// One of the two that are polled: the connection, or its streams.
struct Side {
    signal: Arc<Signal>,
    waker: Waker,
}

impl Side {
    fn new(turn: &Arc<Turn>) -> Self {
        let signal = Arc::new(Signal { due: AtomicBool::new(true), turn: Arc::clone(turn) });
        Self { waker: Waker::from(Arc::clone(&signal)), signal }
    }

    fn take(&self) -> bool {
        self.signal.due.swap(false, SeqCst)
    }
}

struct Signal {
    /// Has to be polled.
    due: AtomicBool,
    turn: Arc<Turn>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.due.store(true, SeqCst);
        if !self.turn.is_on.load(SeqCst) {
            self.turn.task.wake();
        }
    }
}
