//! The listener: accepts connections, gives each a seat and a time, and lets them end when the server stops.
//!
//! A connection ends when its first call does not come in time, when it has no call for long, when it has to give way,
//! and when its client is gone. What is called is none of its business.

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::{rt::TokioTimer, server::conn::auto};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use super::{
    answers::Watched,
    connection::{self, Streams},
    guests::{Guest, Guests, Seat, Waiting},
    socket::{self, Hangups, Socket},
};
use crate::{
    tasks::{self, TaskKind},
    telemetry::metrics::Metrics,
};

/// Bytes a client may have under way on one HTTP/2 stream, and on all streams of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
/// See above.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of answers buffered for one stream before the one who writes must wait.
const SEND_BUFFER: usize = 64 * 1024;
/// Calls of one connection at a time.
const CONCURRENT_STREAMS: u32 = 1_000;
/// How long a connection beyond the limit has to ask how the server is.
const RESERVE_LIFE: Duration = Duration::from_secs(5);
/// A client that was told goodbye has this long to take it in.
const GOODBYE: Duration = Duration::from_secs(2);
/// Pause after the system has given out no connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Times of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Times {
    /// The head of the first request must have come so long after the connection.
    pub handshake: Duration,
    /// A connection without a call ends after this time.
    pub idle: Duration,
}

/// What serves connections.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) router: Router,
    pub(super) metrics: Arc<Metrics>,
    pub(super) guests: Arc<Guests>,
    pub(super) times: Times,
    /// How long a client may take nothing of what there is for it.
    pub(super) write_timeout: Duration,
    pub(super) connections: TaskTracker,
    /// Cancelled when connections shall end.
    pub(super) drained: CancellationToken,
}

impl Listener {
    /// Accepts connections until `stop`, and closes the port.
    pub(super) async fn accept(&self, listener: TcpListener, stop: &CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, from)) => self.welcome(socket, from),
                Err(error) => {
                    // Most often there are no files left: one that is held by a stranger is.
                    let made_room = self.guests.make_room();
                    tracing::warn!(%error, made_room, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets connections end within `limit`.
    pub(super) async fn end(&self, limit: Duration) {
        self.drained.cancel();
        self.connections.close();
        if timeout(limit, self.connections.wait()).await.is_err() {
            tracing::warn!("connections were cut at the end of the drain");
        }
    }

    fn welcome(&self, socket: TcpStream, from: SocketAddr) {
        let Some(seat) = self.guests.seat(from.ip()) else {
            tracing::debug!(%from, "refused: too many connections from there");
            return;
        };
        if let Err(error) = socket::set_options(&socket) {
            tracing::debug!(%error, "no socket options");
        }
        let connection = self.serve(socket, seat);
        let connection = self.connections.track_future(connection);
        tasks::spawn(TaskKind::Connection, connection);
    }

    fn serve(&self, socket: TcpStream, seat: Seat) -> impl Future<Output = ()> + Send + use<> {
        let (guest, streams, hangups) = (seat.guest(), Streams::default(), Hangups::default());
        let (router, caller, hears) = (self.router.clone(), seat.guest(), hangups.clone());
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            answer(router.clone(), Arc::clone(&caller), hears.clone(), request)
        });
        let goodbye = CancellationToken::new();
        let watched = Watched::new(streams.clone(), self.write_timeout);
        let service = watched.serve(service);
        let socket = Socket::new(socket, self.write_timeout, hangups);
        let connection = http(watched, &self.times).serve_connection(socket, service).into_owned();
        let drain = {
            let (drained, goodbye) = (self.drained.clone(), goodbye.clone());
            async move {
                tokio::select! {
                    () = drained.cancelled() => {}
                    () = goodbye.cancelled() => {}
                }
            }
        };
        let stay = Stay { guest, streams: streams.clone(), times: self.times, drained: self.drained.clone(), goodbye };
        let connection = connection::run(connection, streams, drain, stay.end());
        let counted = self.metrics.connected();
        async move {
            match connection.await {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::debug!(%error, "connection ended"),
                None => tracing::debug!("connection cut"),
            }
            drop((counted, seat));
        }
    }
}

fn http(streams: Watched, times: &Times) -> auto::Builder<Watched> {
    let mut http = auto::Builder::new(streams);
    // Also the time between two requests; the first one has less.
    http.http1().timer(TokioTimer::new()).header_read_timeout(times.idle.max(times.handshake)).half_close(true);
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(CONCURRENT_STREAMS);
    http
}

/// Answers one request of `guest`.
async fn answer(
    router: Router,
    guest: Arc<Guest>,
    hangups: Hangups,
    request: Request<Incoming>,
) -> Result<Response<Body>, std::convert::Infallible> {
    guest.calls();
    let over_http1 = request.version() < Version::HTTP_2;
    if over_http1 {
        hangups.listen(false);
    }
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(Arc::clone(&guest));
    let response = router.oneshot(request).await?;
    if over_http1 {
        hangups.listen(response.body().size_hint().exact().is_none());
    }
    // Short answers have a budget of their own: a client whose token has expired may have asked for many at once.
    if !guest.is_stranger() || response.body().size_hint().exact().is_some() {
        return Ok(response);
    }
    let waiting = guest.waits();
    Ok(response.map(|body| Body::new(ToStranger { body, _waiting: waiting })))
}

/// An answer without a known end to a stranger, counted until it has been given out.
struct ToStranger {
    body: Body,
    _waiting: Waiting,
}

impl http_body::Body for ToStranger {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How long a connection may stay.
struct Stay {
    guest: Arc<Guest>,
    streams: Streams,
    times: Times,
    drained: CancellationToken,
    /// Cancelled when it shall take no more calls.
    goodbye: CancellationToken,
}

impl Stay {
    /// Done when the connection has to end at once.
    async fn end(self) {
        tokio::select! {
            () = self.guest.turned_out() => {}
            () = self.outstay() => {}
            () = self.drained.cancelled() => self.leave().await,
        }
    }

    /// Waits for as long as the connection is of use, and sees it off.
    async fn outstay(&self) {
        loop {
            let now = Instant::now();
            let due = self.due().unwrap_or(now + self.times.idle);
            if due <= now {
                break;
            }
            sleep_until(due).await;
        }
        self.goodbye.cancel();
        self.leave().await;
    }

    /// When it will have stayed for too long if nothing happens. None: it is busy, or HTTP/1.1's own timer knows.
    fn due(&self) -> Option<Instant> {
        let Self { guest, times, .. } = self;
        match guest.called() {
            _ if guest.is_in_reserve() => Some(guest.came() + RESERVE_LIFE),
            None => Some(guest.came() + times.handshake),
            // Whatever it has open: a stranger stays by calling.
            Some(called) if guest.is_stranger() => Some(called + times.idle),
            Some(_) => self.streams.none_since().map(|since| since + times.idle),
        }
    }

    /// Waits for the calls that were begun; a client that does not take in the goodbye is not waited for.
    async fn leave(&self) {
        loop {
            sleep(GOODBYE).await;
            let is_idle = self.streams.none_since().is_some_and(|since| since.elapsed() >= GOODBYE);
            if is_idle || self.guest.is_stranger() {
                return;
            }
        }
    }
}
