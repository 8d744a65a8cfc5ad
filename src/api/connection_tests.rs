//! Connections of which a test does each turn itself: it is the runtime, and counts what that would be woken for.

use std::{
    convert::Infallible,
    io,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::poll_fn};
use http::Response;
use http_body_util::Empty;
use hyper::{
    rt::{Read, ReadBufCursor, Write},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::mpsc,
    time::timeout,
};

use super::*;

/// Something that is polled, seen from outside.
#[derive(Default)]
struct Probe {
    polls: AtomicUsize,
    waker: AtomicWaker,
    done: AtomicBool,
    /// Happens during the next poll.
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Probe {
    fn new() -> Arc<Self> {
        Arc::default()
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.polls.fetch_add(1, SeqCst);
        self.waker.register(cx.waker());
        if let Some(meanwhile) = self.meanwhile.lock().take() {
            meanwhile();
        }
        if self.done.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }

    fn future(self: &Arc<Self>) -> impl Future<Output = ()> + Send + use<> {
        let probe = Arc::clone(self);
        poll_fn(move |cx| probe.poll(cx))
    }

    fn polls(&self) -> usize {
        self.polls.load(SeqCst)
    }

    fn wake(&self) {
        self.waker.wake();
    }

    fn finish(&self) {
        self.done.store(true, SeqCst);
        self.wake();
    }

    /// In the next poll of this one, `other` is woken.
    fn then_wakes(&self, other: &Arc<Self>) {
        let other = Arc::clone(other);
        *self.meanwhile.lock() = Some(Box::new(move || other.wake()));
    }

    /// Whether its future is gone.
    fn is_dropped(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }
}

/// A client that says nothing, and hangs up when it is done.
struct Quiet(Arc<Probe>);

impl Read for Quiet {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, _: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.0.poll(cx).map(Ok)
    }
}

impl Write for Quiet {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A connection that really speaks HTTP/2, and what surrounds it.
struct Rig {
    task: Pin<Box<dyn Future<Output = Option<hyper::Result<()>>> + Send>>,
    wakes: Arc<Wakes>,
    streams: Streams,
    drain: Arc<Probe>,
    cut: Arc<Probe>,
    /// A call ends when its probe does.
    calls: Arc<Mutex<Vec<Arc<Probe>>>>,
}

impl Rig {
    fn over(io: impl Read + Write + Unpin + Send + 'static) -> Self {
        let (streams, calls) = (Streams::default(), Arc::<Mutex<Vec<Arc<Probe>>>>::default());
        let (drain, cut) = (Probe::new(), Probe::new());
        let seen = Arc::clone(&calls);
        let service = service_fn(move |_| {
            let call = Probe::new();
            seen.lock().push(Arc::clone(&call));
            call.future().map(|()| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())))
        });
        let connection = http2::Builder::new(streams.clone()).serve_connection(io, service);
        let task = Box::pin(run(connection, streams.clone(), drain.future(), cut.future()));
        Self { task, wakes: Arc::default(), streams, drain, cut, calls }
    }

    /// A connection whose client is quiet, with so many streams, after its first turn.
    fn quiet<const N: usize>() -> (Self, Arc<Probe>, [Arc<Probe>; N]) {
        let (wire, streams) = (Probe::new(), std::array::from_fn(|_| Probe::new()));
        let mut rig = Self::over(Quiet(Arc::clone(&wire)));
        for stream in &streams {
            rig.start(stream);
        }
        assert!(rig.turn().is_pending());
        assert_eq!(rig.wakes(), 0, "a turn leaves nothing to do");
        (rig, wire, streams)
    }

    fn start(&self, stream: &Arc<Probe>) {
        self.streams.execute(stream.future());
    }

    fn turn(&mut self) -> Poll<Option<hyper::Result<()>>> {
        self.task.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&self.wakes))))
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(SeqCst)
    }

    fn call(&self, n: usize) -> Arc<Probe> {
        Arc::clone(&self.calls.lock()[n])
    }
}

#[test]
fn a_stream_woken_while_another_is_polled_is_polled_in_the_same_turn() {
    let (mut rig, _, [first, second]) = Rig::quiet();
    second.then_wakes(&first);
    second.wake();
    assert!(rig.turn().is_pending());
    assert_eq!(first.polls(), 3, "at the start, before the second, and after it");
    assert_eq!(rig.wakes(), 1, "a turn that goes on needs no waking");
}

#[test]
fn a_stream_woken_while_the_connection_is_polled_is_polled_in_the_same_turn() {
    let (mut rig, wire, [stream]) = Rig::quiet();
    wire.then_wakes(&stream);
    wire.wake();
    assert!(rig.turn().is_pending());
    assert_eq!((stream.polls(), rig.wakes()), (2, 1));
}

#[test]
fn a_connection_woken_by_a_stream_is_polled_in_the_same_turn() {
    let (mut rig, wire, [stream]) = Rig::quiet();
    let read = wire.polls();
    stream.then_wakes(&wire);
    stream.wake();
    assert!(rig.turn().is_pending());
    assert_eq!((wire.polls(), rig.wakes()), (read + 1, 1));
}

#[test]
fn wakes_between_turns_are_one_wake_of_the_task() {
    let (mut rig, wire, [first, second]) = Rig::quiet();
    for round in 1..=3 {
        let read = wire.polls();
        for woken in [&first, &first, &wire, &second, &rig.drain] {
            woken.wake();
        }
        assert_eq!(rig.wakes(), round);
        assert!(rig.turn().is_pending());
        assert_eq!([first.polls(), second.polls(), rig.drain.polls()], [round + 1; 3]);
        assert_eq!(wire.polls(), read + 1);
    }
}

#[test]
fn who_was_not_woken_is_not_polled() {
    let (mut rig, wire, [stream]) = Rig::quiet();
    let drain = Arc::clone(&rig.drain);
    let all = [&wire, &stream, &drain];
    for woken in 0..all.len() {
        let mut expected = all.map(|probe| probe.polls());
        expected[woken] += 1;
        all[woken].wake();
        assert!(rig.turn().is_pending());
        assert_eq!(all.map(|probe| probe.polls()), expected, "woken: {woken}");
    }
    let polls = all.map(|probe| probe.polls());
    assert!(rig.turn().is_pending());
    assert_eq!(all.map(|probe| probe.polls()), polls, "woken: nobody");
}

/// The few that have no task share a waker: what a wake of one costs the others is bounded by how few they are.
#[tokio::test]
async fn streams_beyond_the_first_few_wake_and_are_woken_alone() {
    let (mut rig, wire, streams) = Rig::quiet::<{ WITHIN_MAX + 2 }>();
    let (within, beyond) = streams.split_at(WITHIN_MAX);
    let polls = |streams: &[Arc<Probe>]| streams.iter().map(|stream| stream.polls()).collect::<Vec<_>>();
    wait_for(|| polls(beyond) == [1; 2]).await;
    let read = wire.polls();
    beyond[0].wake();
    wait_for(|| polls(beyond) == [2, 1]).await;
    assert_eq!((polls(within), wire.polls(), rig.wakes()), (vec![1; WITHIN_MAX], read, 0));
    within[0].wake();
    assert!(rig.turn().is_pending());
    tokio::task::yield_now().await;
    assert_eq!((polls(within), polls(beyond)), (vec![2; WITHIN_MAX], vec![2, 1]));
}

#[test]
fn a_stream_that_ended_leaves_its_place() {
    let (mut rig, wire, streams) = Rig::quiet::<WITHIN_MAX>();
    streams[1].finish();
    assert!(rig.turn().is_pending());
    assert!(streams[1].is_dropped());
    let next = Probe::new();
    rig.start(&next);
    wire.wake();
    // No runtime here: a task of its own would panic.
    assert!(rig.turn().is_pending());
    assert_eq!(next.polls(), 1);
    assert!(streams.iter().enumerate().all(|(n, stream)| n == 1 || !stream.is_dropped()));
}

#[test]
fn a_restless_stream_lets_other_tasks_have_their_turn() {
    let (mut rig, wire, []) = Rig::quiet();
    let polls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&polls);
    rig.streams.execute(poll_fn(move |cx| {
        counter.fetch_add(1, SeqCst);
        cx.waker().wake_by_ref();
        Poll::Pending
    }));
    for turn in 1..=3 {
        wire.wake();
        let (read, wakes) = (wire.polls(), rig.wakes());
        assert!(rig.turn().is_pending());
        assert!(rig.wakes() > wakes, "it has more to do");
        // In its very first round it was only taken over.
        assert_eq!(polls.load(SeqCst), turn * ROUNDS_MAX - 1);
        assert_eq!(wire.polls(), read + 1, "the connection has its share");
    }
}

#[test]
fn a_connection_that_is_dropped_drops_its_streams() {
    let (rig, _, streams) = Rig::quiet::<WITHIN_MAX>();
    let (drain, fresh) = (Arc::clone(&rig.drain), Probe::new());
    rig.start(&fresh);
    assert!(!streams.iter().chain([&drain, &fresh]).any(Probe::is_dropped));
    drop(rig);
    assert!(streams.iter().chain([&drain, &fresh]).all(Probe::is_dropped));
}

#[test]
fn a_client_that_hangs_up_ends_the_connection_whatever_its_streams_do() {
    let (mut rig, wire, [stream]) = Rig::quiet();
    wire.finish();
    assert!(rig.turn().is_ready());
    assert_eq!((stream.polls(), rig.wakes()), (1, 1));
    drop(rig);
    assert!(stream.is_dropped());
}

/// Wakes come from other threads at any moment, the last of a turn too.
/// Fewer rounds miss a turn that does not end at one stroke.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_is_lost_between_threads() {
    const ROUNDS: usize = 20_000;
    let wire = Probe::new();
    let rig = Rig::over(Quiet(Arc::clone(&wire)));
    let (ask, mut asked) = mpsc::channel(1);
    let (answer, mut answers) = mpsc::channel(1);
    rig.streams.execute(async move {
        while let Some(n) = asked.recv().await {
            answer.send(n).await.unwrap();
        }
    });
    let task = tasks::spawn(TaskKind::Connection, rig.task);
    let all = async {
        for n in 0..ROUNDS {
            ask.send(n).await.unwrap();
            assert_eq!(answers.recv().await, Some(n));
            let read = wire.polls();
            wire.wake();
            wait_for(|| wire.polls() > read).await;
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("nobody waits for ever");
    task.abort();
}

/// Lets other tasks run until `state` holds.
async fn wait_for(state: impl Fn() -> bool) {
    let reached = async {
        while !state() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), reached).await.expect("a state that never comes");
}

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// A client made by hand: it does what no library's would, and says when.
struct Client {
    wire: DuplexStream,
}

#[derive(PartialEq, Debug)]
struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Client {
    /// A client that has greeted, and its connection.
    fn connect() -> (Self, Rig) {
        let (wire, server) = tokio::io::duplex(64 * 1024);
        let mut client = Self { wire };
        client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.send(SETTINGS, 0, 0, &[]);
        (client, Rig::over(TokioIo::new(server)))
    }

    fn write(&mut self, bytes: &[u8]) {
        self.wire.write_all(bytes).now_or_never().expect("room on the wire").unwrap();
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.write(&[&head, payload].concat());
    }

    /// `GET /` from HPACK's static table: the whole request.
    fn request(&mut self, stream: u32) {
        const END_STREAM_AND_HEADERS: u8 = 0x5;
        self.send(HEADERS, END_STREAM_AND_HEADERS, stream, &[0x82, 0x86, 0x84]);
    }

    /// What has come, without settings and the like.
    fn received(&mut self) -> Vec<Frame> {
        let mut bytes = Vec::new();
        while let Some(Ok(1..)) = self.wire.read_buf(&mut bytes).now_or_never() {}
        let (mut rest, mut frames) = (&bytes[..], Vec::new());
        while let Some((head, tail)) = rest.split_first_chunk::<9>() {
            let [a, b, c, kind, _flags, stream @ ..] = *head;
            let (payload, tail) = tail.split_at(u32::from_be_bytes([0, a, b, c]).try_into().unwrap());
            if [HEADERS, PING, GOAWAY].contains(&kind) {
                frames.push(Frame { kind, stream: u32::from_be_bytes(stream), payload: payload.to_vec() });
            }
            rest = tail;
        }
        frames
    }

    /// Answers the ping by which the server learns that its farewell was read.
    fn agree(&mut self, farewell: &[Frame]) {
        const ACK: u8 = 1;
        let [Frame { kind: GOAWAY, .. }, Frame { kind: PING, payload, .. }] = farewell else {
            panic!("no farewell: {farewell:?}");
        };
        self.send(PING, ACK, 0, payload);
    }
}

#[test]
fn a_request_is_answered_in_the_turn_that_reads_it() {
    let (mut client, mut rig) = Client::connect();
    client.request(1);
    assert!(rig.turn().is_pending());
    assert_eq!(rig.call(0).polls(), 1);
    rig.call(0).finish();
    assert!(rig.turn().is_pending());
    let received = client.received();
    assert!(matches!(received[..], [Frame { kind: HEADERS, stream: 1, .. }]), "{received:?}");
    assert!(rig.call(0).polls() == 2 && rig.wakes() == 1);
}

#[test]
fn a_drained_connection_finishes_its_streams_takes_no_more_and_ends() {
    let (mut client, mut rig) = Client::connect();
    client.request(1);
    assert!(rig.turn().is_pending());
    assert_eq!(client.received(), []);

    rig.drain.finish();
    assert_eq!(rig.wakes(), 1);
    assert!(rig.turn().is_pending());
    assert!(rig.drain.is_dropped(), "what is done is not polled again");
    let farewell = client.received();
    client.agree(&farewell);
    assert!(rig.turn().is_pending(), "a call is running");

    client.request(3);
    assert!(rig.turn().is_pending());
    assert_eq!(rig.calls.lock().len(), 1, "none is begun");

    rig.call(0).finish();
    assert!(matches!(rig.turn(), Poll::Ready(Some(Ok(())))));
    let received = client.received();
    assert!(received.iter().any(|frame| (frame.kind, frame.stream) == (HEADERS, 1)), "{received:?}");
    assert!(received.iter().all(|frame| frame.stream != 3), "{received:?}");
}

#[test]
fn a_drained_connection_without_streams_ends() {
    let (mut client, mut rig) = Client::connect();
    rig.drain.finish();
    assert!(rig.turn().is_pending(), "the client has not heard of it");
    let farewell = client.received();
    client.agree(&farewell);
    assert!(matches!(rig.turn(), Poll::Ready(Some(Ok(())))));
}

#[tokio::test]
async fn calls_end_with_their_connection_those_with_a_task_too() {
    let (mut client, mut rig) = Client::connect();
    let calls = WITHIN_MAX + 2;
    for n in 0..calls {
        client.request(u32::try_from(2 * n + 1).unwrap());
    }
    assert!(rig.turn().is_pending());
    wait_for(|| rig.calls.lock().iter().filter(|call| call.polls() > 0).count() == calls).await;
    let calls = std::mem::take(&mut *rig.calls.lock());
    assert!(!calls.iter().any(Probe::is_dropped));
    drop(rig);
    wait_for(|| calls.iter().all(Probe::is_dropped)).await;
}

#[test]
fn a_connection_that_is_cut_ends_at_once_with_all_it_has() {
    let (mut rig, wire, streams) = Rig::quiet::<2>();
    rig.cut.finish();
    assert_eq!(rig.wakes(), 1);
    assert!(matches!(rig.turn(), Poll::Ready(None)));
    assert_eq!(wire.polls(), 1, "nobody is asked");
    drop(rig);
    assert!(streams.iter().all(Probe::is_dropped));
}

#[tokio::test(start_paused = true)]
async fn a_connection_knows_since_when_it_has_no_stream() {
    let (mut rig, _, [stream]) = Rig::quiet();
    let streams = rig.streams.clone();
    assert_eq!(streams.none_since(), None, "one is open");
    tokio::time::advance(Duration::from_secs(5)).await;
    stream.finish();
    assert!(rig.turn().is_pending());
    let since = streams.none_since().unwrap();
    assert_eq!(since, Instant::now());
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(streams.none_since(), Some(since));
    let next = Probe::new();
    rig.start(&next);
    assert_eq!(streams.none_since(), None);
    assert_eq!(Rig::quiet::<0>().0.streams.none_since(), None, "it had none yet");
}
