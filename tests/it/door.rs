//! What someone can do to the server before it knows who they are, or with a token and bad manners: bodies that never
//! end, connections that say nothing, more connections than there may be.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http_body::Frame;
use http_body_util::BodyExt as _;
use serde_json::json;
use tertulia::tasks::{self, TaskKind};
use tokio::time::{Instant, timeout};
use tonic::{Code, body::Body, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{Service as _, ServiceExt as _};

use crate::{
    caller::{group, number},
    listener::PATIENCE,
    raw::Raw,
    sandbox::Sandbox,
};

const MIB: usize = 1 << 20;

/// A request body that comes to no end, and how much of it was sent.
struct Endless {
    sent: Arc<AtomicUsize>,
    begin: Option<Bytes>,
    left: usize,
}

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static PIECE: [u8; 16 * 1024] = [b' '; 16 * 1024];
        let piece = self.begin.take().unwrap_or_else(|| Bytes::from_static(&PIECE[..PIECE.len().min(self.left)]));
        if piece.is_empty() {
            return Poll::Pending;
        }
        self.left = self.left.saturating_sub(piece.len());
        self.sent.fetch_add(piece.len(), SeqCst);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// A call over HTTP/2 whose body is one byte short of so many.
#[derive(Clone, Copy)]
struct Short<'a> {
    path: &'a str,
    kind: &'a str,
    token: Option<&'a str>,
    bytes: usize,
}

impl Short<'_> {
    /// What is answered, as one text; and how much was sent of the body.
    async fn ask(self, channel: &Channel) -> (String, usize) {
        let sent = Arc::<AtomicUsize>::default();
        let framed = !matches!(self.kind, "application/json" | "application/proto");
        let length = u32::try_from(self.bytes).unwrap().to_be_bytes();
        let begin = framed.then(|| Bytes::from([&[0][..], &length].concat()));
        let body = Endless { sent: Arc::clone(&sent), begin, left: self.bytes - 1 };
        let mut request = http::Request::post(self.path).header("content-type", self.kind);
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::new(body)).unwrap();
        let response = channel.clone().ready().await.unwrap().call(request).await.unwrap();
        let headers = format!("{:?}", response.headers());
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().map(|trailers| format!("{trailers:?}")).unwrap_or_default();
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        (headers + &text + &trailers, sent.load(SeqCst))
    }
}

const KINDS: [(&str, &str); 12] = [
    ("/chat.v1.ChatService/SendMessage", "application/grpc"),
    ("/chat.v1.ChatService/SendMessage", "application/grpc-web+proto"),
    ("/chat.v1.ChatService/SendMessage", "application/json"),
    ("/chat.v1.ChatService/SendMessage", "application/proto"),
    ("/chat.v1.ChatService/StreamMessages", "application/grpc"),
    ("/chat.v1.ChatService/StreamMessages", "application/connect+json"),
    ("/chat.v1.ChatService/StreamMessages", "application/connect+proto"),
    ("/chat.v1.ChatService/Session", "application/grpc"),
    ("/tokens.v1.TokensService/RegisterToken", "application/grpc"),
    ("/tokens.v1.TokensService/RegisterToken", "application/json"),
    ("/admin.v1.AdminService/ReadLog", "application/grpc"),
    ("/admin.v1.AdminService/ReadLog", "application/json"),
];

/// Whoever has no token is answered before the body is there, however the call is made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_without_a_token_is_read() {
    let sandbox = Sandbox::start().await;
    let expired = sandbox.mint(1, false, Duration::from_secs(1), 3_600_000);
    for (path, kind) in KINDS {
        for (token, reason) in
            [(None, "token_missing"), (Some("nonsense"), "token_invalid"), (Some(&*expired), "token_expired")]
        {
            let channel = sandbox.user(1).channel;
            let call = Short { path, kind, token, bytes: MIB };
            let asked = timeout(PATIENCE, call.ask(&channel)).await;
            let (answer, sent) = asked.unwrap_or_else(|_| panic!("{path} {kind} {reason}: no answer"));
            assert!(answer.contains(reason), "{path} {kind}: {answer}");
            assert!(sent < MIB, "{path} {kind}: all of it was taken");
        }
        let unknown = Short { path: "/chat.v1.ChatService/Nothing", kind, token: None, bytes: MIB };
        let (answer, _) = timeout(PATIENCE, unknown.ask(&sandbox.user(1).channel)).await.expect(kind);
        assert!(answer.contains("unknown_command"), "{kind}: {answer}");
    }
}

/// Of a thousand bodies on one connection none is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_bodies_without_a_token_are_not_kept() {
    let sandbox = Sandbox::start().await;
    let (stranger, ana) = (sandbox.user(1).channel, sandbox.user(2));
    for kind in ["application/grpc", "application/json"] {
        let call = Short { path: "/chat.v1.ChatService/SendMessage", kind, token: None, bytes: MIB };
        let mut calls: FuturesUnordered<_> = (0..1_000).map(|_| call.ask(&stranger)).collect();
        let begun = Instant::now();
        while let Some((answer, _)) = timeout(PATIENCE, calls.next()).await.expect("an answer to each") {
            assert!(answer.contains("token_missing"), "{answer}");
        }
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    }
    ana.ok("GetRooms", json!({})).await;
}

/// With a token, a user has so many bytes under way and no more, on one connection or several; and not for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_so_many_bytes_under_way() {
    const EACH: usize = MIB / 4;
    const MAX: usize = 2 * MIB;
    let settings = [("server.body_bytes_per_user", "2097152"), ("server.body_timeout_ms", "4000")];
    let sandbox = Sandbox::with(&settings).await;
    let token = sandbox.token(1);
    for kind in ["application/grpc", "application/json"] {
        let connections: Vec<_> = (0..8).map(|_| sandbox.user(1).channel).collect();
        let call = Short { path: "/chat.v1.ChatService/SendMessage", kind, token: Some(&token), bytes: EACH };
        let mut calls: FuturesUnordered<_> = (0..64).map(|n| call.ask(&connections[n % 8])).collect();
        let mut answers = Vec::new();
        let mut good = false;
        while let Some((answer, sent)) = timeout(PATIENCE, calls.next()).await.expect("an answer to each") {
            if !good {
                // They are held by now, as far as they may be.
                sandbox.user(2).ok("GetRooms", json!({})).await;
                sandbox.user(1).ok("GetRooms", json!({})).await;
                good = true;
            }
            answers.push((answer.contains("overloaded"), answer.contains("deadline"), sent));
            assert!(answer.contains("overloaded") != answer.contains("deadline"), "{answer}");
            assert!(!answer.contains(r#""tertulia-outcome": "unknown""#), "nothing was begun: {answer}");
        }
        let kept: usize = answers.iter().filter(|(_, late, _)| *late).map(|(.., sent)| sent).sum();
        assert!(kept > MAX / 4, "{kind}: {kept} bytes were let in");
        assert!(kept <= MAX, "{kind}: {kept} bytes were kept");
    }
    let id = group(&sandbox.user(1), &[2]).await;
    sandbox.user(1).ok("SendMessage", json!({"room_id": id, "content": "x".repeat(60_000)})).await;
}

/// What is small on the way and large here counts as what it is here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_size_is_refused_unread() {
    let sandbox = Sandbox::start().await;
    for kind in ["application/json", "application/grpc-web+proto", "application/grpc-web-text"] {
        let mut raw = Raw::connect(&sandbox).await;
        let token = sandbox.token(1);
        raw.write(format!(
            "POST /chat.v1.ChatService/SendMessage HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\n\
             authorization: Bearer {token}\r\ncontent-length: 1500000\r\n\r\n"
        ))
        .await;
        assert!(raw.answer().await.contains("too_long"), "{kind}");
    }
}

/// What anybody may call takes little, and not for long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_to_everyone_is_small() {
    let sandbox = Sandbox::with(&[("server.body_timeout_ms", "300")]).await;
    let check = "/grpc.health.v1.Health/Check";
    let reflect = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    for path in [check, reflect] {
        let large = Short { path, kind: "application/grpc", token: None, bytes: MIB };
        let (answer, _) = timeout(PATIENCE, large.ask(&sandbox.user(1).channel)).await.expect(path);
        // The library that serves reflection ends a stream that fails without a word.
        assert!(answer.contains("too_long") || path == reflect, "{path}: {answer}");
        let late = Short { bytes: 1_000, ..large };
        let (answer, _) = timeout(PATIENCE, late.ask(&sandbox.user(1).channel)).await.expect(path);
        assert!(answer.contains("deadline") || path == reflect, "{path}: {answer}");
    }
}

/// A stranger who opens one answer without an end after another has nothing else in mind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_has_few_answers_at_a_time() {
    let sandbox = Sandbox::start().await;
    let mut health = HealthClient::new(sandbox.user(1).channel);
    let mut watches = Vec::new();
    let cut = async {
        loop {
            match health.watch(HealthCheckRequest::default()).await {
                Ok(watch) => watches.push(watch),
                Err(_) => return,
            }
        }
    };
    timeout(PATIENCE, cut).await.expect("it is cut");
    assert!(watches.len() < 200, "{}", watches.len());
    sandbox.user(1).ok("GetRooms", json!({})).await;
}

/// The official client's half of a handshake, in pieces.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// A HEADERS frame on stream 1 that has no end: more is to come in a CONTINUATION.
const HALF_HEADERS: &[u8] = &[0, 0, 3, 1, 0, 0, 0, 0, 1, 0x82, 0x86, 0x84];
/// `GET /` as a whole request.
const REQUEST: &[u8] = &[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84];

/// At whatever stage a client falls silent, it is not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_ends_a_connection_at_every_stage() {
    let settings = [("server.handshake_timeout_ms", "300"), ("server.idle_timeout_ms", "1000")];
    let sandbox = Sandbox::with(&settings).await;
    let token = sandbox.token(1);
    let known = format!(
        "POST /chat.v1.ChatService/GetRooms HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         authorization: Bearer {token}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    let stages: [(&str, Vec<u8>); 10] = [
        ("no byte", Vec::new()),
        ("three bytes", b"PRI".to_vec()),
        ("a preface", PREFACE.to_vec()),
        ("a preface and settings", [PREFACE, SETTINGS].concat()),
        ("half a head of HTTP/2", [PREFACE, SETTINGS, HALF_HEADERS].concat()),
        ("half a head of HTTP/1.1", b"GET /health/live HTT".to_vec()),
        ("all but the end of a head", b"GET /health/live HTTP/1.1\r\nhost: x\r\nx: ".to_vec()),
        ("a whole request of HTTP/1.1", b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n".to_vec()),
        ("a whole request of HTTP/1.1 with a token", known.into_bytes()),
        ("a whole request of HTTP/2", [PREFACE, SETTINGS, REQUEST].concat()),
    ];
    let ends = stages.into_iter().map(async |(stage, bytes)| {
        let mut raw = Raw::connect(&sandbox).await;
        raw.write(bytes).await;
        assert!(raw.is_closed_within(PATIENCE).await, "{stage}");
    });
    futures_util::future::join_all(ends).await;
}

/// Without a call for long, but with a stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_with_a_stream_stays_and_an_idle_one_comes_again() {
    let settings = [
        ("server.handshake_timeout_ms", "200"),
        ("server.idle_timeout_ms", "1000"),
        ("server.body_timeout_ms", "500"),
        ("streams.heartbeat_ms", "300"),
    ];
    let sandbox = Sandbox::with(&settings).await;
    let ana = sandbox.user(1);
    let open = tertulia_proto::chat::v1::SessionOpen { client_id: "s".to_owned(), ..Default::default() };
    let mut session = sandbox.user(2).session(open).await.unwrap();
    let mut stream = sandbox.user(3).listen("c", &[]).await;
    ana.ok("GetRooms", json!({})).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        let (event, step) = tokio::join!(stream.next(), session.step());
        event.expect("the stream stays");
        step.expect("the session stays");
    }
    ana.ok("GetRooms", json!({})).await;
}

/// A stage of which each is silent in its own way fills the port; others are served all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_silent_give_way_to_others() {
    let sandbox = Sandbox::with(&[("server.max_connections", "100")]).await;
    let mut silent = Vec::new();
    for n in 0..250_usize {
        let mut raw = Raw::connect(&sandbox).await;
        raw.write(&[&b""[..], b"PRI", PREFACE][n % 3]).await;
        silent.push(raw);
    }
    let ana = sandbox.user(1);
    let id = timeout(PATIENCE, group(&ana, &[2])).await.expect("a good client is served");
    let mut health = Raw::connect(&sandbox).await;
    health.write("GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(health.answer().await.ends_with("live\n"));
    assert!(silent[0].is_closed_within(PATIENCE).await, "the oldest has gone");
    // The good client's connection is not among those that give way.
    for _ in 0..120 {
        silent.push(Raw::connect(&sandbox).await);
    }
    timeout(PATIENCE, ana.ok("GetRoom", json!({"room_id": id}))).await.expect("it is served on");
}

/// When all connections are in use by people with tokens, the server still says how it is, by every way of asking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_says_how_it_is() {
    let sandbox = Sandbox::with(&[("server.max_connections", "3")]).await;
    let mut streams = Vec::new();
    for n in 1..=3 {
        streams.push(sandbox.user(n).listen("c", &[]).await);
    }
    for (path, expected) in [("live", "live\n"), ("ready", r#""ready":true"#)] {
        let mut raw = Raw::connect(&sandbox).await;
        raw.write(format!("GET /health/{path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert!(raw.answer().await.contains(expected), "{path}");
    }
    let mut metrics = Raw::connect(&sandbox).await;
    metrics.write("GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(metrics.answer().await.contains("200 OK"));
    let mut health = HealthClient::new(sandbox.user(9).channel);
    let check = HealthCheckRequest { service: String::new() };
    assert_eq!(timeout(PATIENCE, health.check(check)).await.unwrap().unwrap().into_inner().status, 1);
    let refused = sandbox.user(4).refused("GetRooms", json!({})).await;
    refused.is(Code::ResourceExhausted, "overloaded", "");
    assert!(refused.retry_after_ms.is_some());
    // Those that are heard for health alone do not keep each other out, and do not stay.
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(Raw::connect(&sandbox).await);
    }
    let mut raw = Raw::connect(&sandbox).await;
    raw.write("GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(raw.answer().await.contains("live"));
    assert!(raw.is_closed_within(PATIENCE).await);
    streams.pop();
    let begun = Instant::now();
    while sandbox.user(4).ask("GetRooms", json!({})).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "there is a free connection");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_so_many_connections() {
    let settings = [("server.max_connections_per_address", "3"), ("server.uncounted_networks", "none")];
    let sandbox = Sandbox::with(&settings).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(Raw::connect(&sandbox).await);
    }
    let mut streams = Vec::new();
    for n in 1..=3 {
        streams.push(timeout(PATIENCE, sandbox.user(n).listen("c", &[])).await.expect("the silent give way"));
    }
    let mut fourth = Raw::connect(&sandbox).await;
    assert!(fourth.is_closed_within(PATIENCE).await, "all are in use");
    drop(streams);
    let begun = Instant::now();
    while sandbox.user(4).ask("GetRooms", json!({})).await.is_err() {
        assert!(begun.elapsed() < PATIENCE, "there is a free connection");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Some clients shut their sending side after the request, and wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_said_all_it_has_to_say_is_answered() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    let token = sandbox.token(1);
    let body = json!({"roomId": id, "content": "adiós"}).to_string();
    for _ in 0..20 {
        let mut raw = Raw::connect(&sandbox).await;
        raw.write(format!(
            "POST /chat.v1.ChatService/SendMessage HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        raw.shut().await;
        let answer = raw.answer().await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("adiós"), "{answer}");
        assert!(raw.is_closed_within(PATIENCE).await);
    }
    let frame = crate::web::frame(0, &crate::web::Http::proto("GetRoom", &json!({"room_id": id})));
    let mut raw = Raw::connect(&sandbox).await;
    let head = format!(
        "POST /chat.v1.ChatService/GetRoom HTTP/1.1\r\nhost: x\r\ncontent-type: application/grpc-web+proto\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
        frame.len()
    );
    raw.write([head.as_bytes(), &frame].concat()).await;
    raw.shut().await;
    let answer = raw.rest().await;
    assert!(answer.to_lowercase().contains("grpc-status:0"), "{answer}");
}

/// A browser that is closed is gone at once, not when the next thing is written to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_whose_client_hangs_up_ends_at_once() {
    let sandbox = Sandbox::with(&[("streams.heartbeat_ms", "600000")]).await;
    let (ana, token) = (sandbox.user(1), sandbox.token(2));
    group(&ana, &[2]).await;
    let frame = crate::web::frame(0, br#"{"clientId": "tab"}"#);
    let mut raw = Raw::connect(&sandbox).await;
    let head = format!(
        "POST /chat.v1.ChatService/StreamMessages HTTP/1.1\r\nhost: x\r\ncontent-type: application/connect+json\r\n\
         authorization: Bearer {token}\r\ncontent-length: {}\r\n\r\n",
        frame.len()
    );
    raw.write([head.as_bytes(), &frame].concat()).await;
    raw.until("connected").await;
    let admin = sandbox.admin();
    let streams = async || number(&admin.ok("GetStatus", json!({})).await, "/streams");
    assert_eq!(streams().await, 1);
    raw.shut().await;
    let begun = Instant::now();
    while streams().await > 0 {
        assert!(begun.elapsed() < PATIENCE, "it is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Readiness, gRPC's health and the listener tell one story: not ready first, then no more connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_is_seen_by_whoever_asks_before_the_port_closes() {
    const SERVICES: [&str; 4] = ["", "chat.v1.ChatService", "tokens.v1.TokensService", "admin.v1.AdminService"];
    let mut sandbox = Sandbox::with(&[("server.drain_delay_ms", "3000")]).await;
    let addr = sandbox.addr();
    let user = sandbox.user(1);
    let asked = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let mut health = HealthClient::new(sandbox.user(2).channel);
    let mut watches = Vec::new();
    for service in SERVICES {
        assert_eq!(health.check(asked(service)).await.unwrap().into_inner().status, 1, "{service}");
        let mut watch = health.watch(asked(service)).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status, 1, "{service}");
        watches.push(watch);
    }
    assert_eq!(health.check(asked("no.such.Service")).await.unwrap_err().code(), Code::NotFound);
    let mut unknown = health.watch(asked("no.such.Service")).await.unwrap().into_inner();
    assert_eq!(unknown.message().await.unwrap().unwrap().status, 3);

    let stopping = tasks::spawn(TaskKind::Client, sandbox.take_server().stop());
    for (service, watch) in SERVICES.iter().zip(&mut watches) {
        let told = timeout(Duration::from_millis(900), watch.message()).await.expect("at once").unwrap().unwrap();
        assert_eq!(told.status, 2, "{service}");
        assert_eq!(health.check(asked(service)).await.unwrap().into_inner().status, 2, "{service}");
    }
    let mut raw = Raw::to(addr).await;
    raw.write("GET /health/ready HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let ready = raw.answer().await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("draining"), "{ready}");
    user.ok("GetRooms", json!({})).await;
    assert!(!stopping.is_finished());
    stopping.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err(), "the port is closed");
}
