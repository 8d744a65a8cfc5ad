//! Attackers without a token: below gRPC, on bare connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Mutex,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

use crate::{Seen, Span, Target, target::Tally};

/// What half-begun connections say, and then nothing.
const BEGINNINGS: &[(&str, &[u8])] = &[
    ("nothing", b""),
    ("three bytes", b"PRI"),
    ("a preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ("half of HEADERS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\x10\0\x01\0\0\0\0\x01\x83\x86"),
    ("half of HTTP/1.1", b"POST /chat.v1.ChatService/SendMessage HTTP/1.1\r\nhost: a\r\nx: "),
    ("half of a body", b"POST /chat.v1.ChatService/SendMessage HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"),
];
/// A body: a byte less than the limit of a request by default.
const BODY_BYTES: usize = (1 << 20) - 1;
/// Pieces of it.
const PIECE: Bytes = Bytes::from_static(&[b'a'; 16 * 1024]);

/// Opens connections that say nothing or half of something, and looks when the server has had enough of them.
pub(super) async fn silent(target: &Target, connections: usize, span: &Span) -> Result<Seen> {
    let closed = Arc::new(Mutex::new(Vec::new()));
    let mut open = JoinSet::new();
    let (mut refused, began) = (0, Instant::now());
    for index in 0..connections {
        let Ok(mut socket) = target.socket().await else {
            refused += 1;
            continue;
        };
        let (kind, beginning) = BEGINNINGS[index % BEGINNINGS.len()];
        let (closed, span) = (Arc::clone(&closed), span.clone());
        open.spawn(async move {
            let opened = Instant::now();
            if socket.write_all(beginning).await.is_ok() {
                tokio::select! {
                    () = read_to_end(&mut socket) => {}
                    () = span.end() => return Some(kind),
                }
            }
            closed.lock().await.push(opened.elapsed());
            None
        });
    }
    let mut left = Tally::default();
    while let Some(done) = open.join_next().await {
        if let Some(kind) = done.context("a connection")? {
            left.add(kind.to_owned(), 1);
        }
    }
    let closed = closed.lock().await;
    let last = closed.iter().max().map_or(0.0, Duration::as_secs_f64);
    let remaining = connections - refused - closed.len();
    let mut seen = Seen::line(format!(
        "{connections} connections: {refused} refused, {} closed by the server (the last after {last:.1} s), {remaining} still open: {left}",
        closed.len()
    ));
    // Less than this says nothing: a handshake may take some time.
    if remaining > 0 && began.elapsed() > Duration::from_secs(40) {
        seen.exceeded
            .push(format!("{remaining} silent connections are open after {:.0} s", began.elapsed().as_secs_f64()));
    }
    Ok(seen)
}

async fn read_to_end(socket: &mut TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(read) = socket.read(&mut buffer).await
        && read > 0
    {}
}

/// An HTTP/2 connection driven beside its user.
pub(super) async fn connect(target: &Target, builder: &h2::client::Builder) -> Result<SendRequest<Bytes>> {
    let socket = target.socket().await.context("connect")?;
    let (requests, connection) = builder.handshake(socket).await.context("HTTP/2 handshake")?;
    // How it ends is seen by its streams.
    beside(async move { drop(connection.await) });
    Ok(requests)
}

/// Lets something go on beside its user.
#[expect(clippy::disallowed_methods, reason = "the kinds of tasks are the server's; this tool has one")]
pub(super) fn beside(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(task)
}

/// Opens streams without a token whose bodies do not end, and looks how much of them the server takes.
pub(super) async fn bodies(target: &Target, streams: usize, span: &Span) -> Result<Seen> {
    let mut requests = connect(target, &h2::client::Builder::new()).await?;
    let (taken, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut opened = 0;
    let mut bodies = JoinSet::new();
    for index in 0..streams {
        let ready = tokio::select! {
            ready = requests.clone().ready() => ready,
            () = span.end() => break,
        };
        let Ok(ready) = ready else { break };
        requests = ready;
        let kind = ["application/grpc", "application/json"][index % 2];
        let request = Request::post(format!("http://{}/chat.v1.ChatService/SendMessage", target.addr))
            .header("content-type", kind)
            .header("te", "trailers")
            .body(())
            .context("a request")?;
        let Ok((answer, body)) = requests.send_request(request, false) else { break };
        opened += 1;
        let (taken, answered, span) = (Arc::clone(&taken), Arc::clone(&answered), span.clone());
        bodies.spawn(async move {
            let sending = feed(body, kind == "application/grpc", &taken);
            tokio::select! {
                _ = answer => { answered.fetch_add(1, Ordering::Relaxed); }
                () = async { sending.await; span.end().await } => {}
                () = span.end() => {}
            }
        });
    }
    bodies.join_all().await;
    span.end().await;
    let mib = taken.load(Ordering::Relaxed) as f64 / f64::from(1 << 20);
    Ok(Seen::line(format!(
        "{opened} of {streams} streams without a token: the server took {mib:.1} MiB of their bodies and ended {} of them",
        answered.load(Ordering::Relaxed)
    )))
}

/// Sends all but the end of a body as far as the server lets it.
async fn feed(mut body: h2::SendStream<Bytes>, is_grpc: bool, taken: &AtomicU64) {
    let head = if is_grpc {
        let length = u32::try_from(BODY_BYTES).unwrap_or(u32::MAX).to_be_bytes();
        Bytes::from([&[0][..], &length].concat())
    } else {
        Bytes::from_static(b"{\"content\": \"")
    };
    if body.send_data(head, false).is_err() {
        return;
    }
    let mut sent = 0;
    while sent + PIECE.len() < BODY_BYTES {
        body.reserve_capacity(PIECE.len());
        let Some(Ok(capacity)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else { return };
        let piece = PIECE.slice(..capacity.min(PIECE.len()));
        if piece.is_empty() {
            sleep(Duration::from_millis(1)).await;
            continue;
        }
        sent += piece.len();
        taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
        if body.send_data(piece, false).is_err() {
            return;
        }
    }
    // Held open: who drops it resets it.
    std::future::pending::<()>().await;
}
