//! Calls that panic, over real connections and through all that is around the services. Whatever happens to one of them,
//! the others on its connection do not notice.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, Request, Response, StatusCode, response::Parts};
use http_body::Frame;
use http_body_util::StreamBody;
use prost_reflect::DescriptorPool;
use serde_json::{Value, json};
use tokio::{net::TcpListener, net::TcpStream, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Layer as _, service_fn};

use crate::{
    api::{
        connect::{ConnectLayer, ConnectOptions, Entering, Gate},
        guests::{Guests, GuestsOptions},
        listener::{Listener, Times},
        serve::in_order,
    },
    tasks::{self, TaskKind},
    telemetry::{metrics::Metrics, panics},
};

const PATIENCE: Duration = Duration::from_secs(20);
const SEND: &str = "/chat.v1.ChatService/SendMessage";
const READ: &str = "/chat.v1.ChatService/GetRooms";
const LISTEN: &str = "/chat.v1.ChatService/StreamMessages";
/// A message of gRPC, empty.
const EMPTY: &[u8] = &[0; 5];

/// What shall become of a call.
const FATE: &str = "test-fate";

/// Says something, waits for `go`, and then says more or panics.
fn said(mut go: watch::Receiver<bool>, panics: bool) -> Body {
    let first = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(EMPTY)))]);
    let second = stream::once(async move {
        go.wait_for(|go| *go).await.unwrap();
        assert!(!panics, "the body panics, with secrets");
        Ok(Frame::data(Bytes::from_static(EMPTY)))
    });
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    let end = stream::iter([Ok(Frame::trailers(trailers))]);
    Body::new(StreamBody::new(Box::pin(first.chain(second).chain(end))))
}

/// Services whose calls meet their fates.
async fn fated(go: watch::Receiver<bool>, request: Request<Body>) -> Response<Body> {
    let fate = request.headers().get(FATE).map_or(String::new(), |fate| fate.to_str().unwrap().to_owned());
    if request.uri().path() == "/reflection" {
        return Response::new(said(go, true));
    }
    match fate.as_str() {
        "call" => panic!("the call panics, with secrets"),
        "late" => {
            tokio::task::yield_now().await;
            panic!("the call panics, with secrets")
        }
        _ => {}
    }
    let mut response = Response::new(said(go, fate == "body"));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
    response
}

#[derive(Debug)]
struct FatedGate;

impl Gate for FatedGate {
    fn enter(&self, request: Request<Body>) -> Entering<'_> {
        let panics = request.headers().get(FATE).is_some_and(|fate| fate == "gate");
        Box::pin(async move {
            assert!(!panics, "the gate panics, with secrets");
            Ok(request)
        })
    }
}

/// A server of such calls.
struct Fated {
    metrics: Arc<Metrics>,
    go: watch::Sender<bool>,
    to: std::net::SocketAddr,
    _stop: tokio_util::sync::DropGuard,
}

impl Fated {
    async fn start() -> Self {
        let (go, goes) = watch::channel(false);
        let pool = DescriptorPool::decode(tertulia_proto::DESCRIPTORS).unwrap();
        let body_goes = goes.clone();
        let services = service_fn(move |request| {
            let goes = goes.clone();
            async move { Ok::<_, Infallible>(fated(goes, request).await) }
        });
        let services = in_order(Router::new().fallback_service(services), &pool, 1 << 20);
        let connect = ConnectLayer::gated(pool, ConnectOptions::default(), Arc::new(FatedGate)).layer(services);
        let router = Router::new()
            .route("/panics", get(async || -> &'static str { panic!("the route panics, with secrets") }))
            .route("/panics/later", get(async move || said(body_goes.clone(), true)))
            .fallback_service(connect);
        let metrics = Metrics::new("embedded");
        let uncounted = "192.0.2.0/24".parse().unwrap();
        let listener = Listener {
            router,
            metrics: Arc::clone(&metrics),
            guests: Guests::new(GuestsOptions { connections_max: 10, per_address_max: 10, uncounted }),
            times: Times { handshake: PATIENCE, idle: PATIENCE },
            write_timeout: PATIENCE,
            connections: TaskTracker::new(),
            drained: CancellationToken::new(),
        };
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (to, stop) = (socket.local_addr().unwrap(), CancellationToken::new());
        let stopped = stop.clone();
        tasks::spawn(TaskKind::Listener, async move { listener.accept(socket, &stopped).await });
        Self { metrics, go, to, _stop: stop.drop_guard() }
    }

    async fn connect(&self) -> Client {
        let socket = TcpStream::connect(self.to).await.unwrap();
        let (streams, connection) = h2::client::handshake(socket).await.unwrap();
        tasks::spawn(TaskKind::Client, async move { drop(connection.await) });
        Client(streams)
    }
}

/// One connection.
struct Client(SendRequest<Bytes>);

/// A call that is open.
struct Open {
    head: Parts,
    body: RecvStream,
}

impl Client {
    async fn call(&mut self, path: &str, kind: &str, fate: &str, body: &'static [u8]) -> Open {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let mut request = Request::builder().method(method).uri(format!("http://server{path}"));
        for (name, value) in [("content-type", kind), (FATE, fate)] {
            request = request.header(name, value);
        }
        let opened = async {
            let mut streams = self.0.clone().ready().await.unwrap();
            let (answer, mut sending) = streams.send_request(request.body(()).unwrap(), false).unwrap();
            sending.send_data(Bytes::from_static(body), true).unwrap();
            answer.await.expect("the call is answered")
        };
        let (head, body) = timeout(PATIENCE, opened).await.expect("no answer").into_parts();
        Open { head, body }
    }

    /// What a call by gRPC is told.
    async fn told(&mut self, path: &str, kind: &str, fate: &str) -> [String; 3] {
        let mut open = self.call(path, kind, fate, EMPTY).await;
        let _ = open.rest().await;
        told(&open.head.headers)
    }
}

impl Open {
    async fn frame(&mut self) -> Bytes {
        let data = timeout(PATIENCE, self.body.data()).await.expect("nothing comes");
        data.expect("the stream has ended").expect("the stream was reset")
    }

    async fn rest(&mut self) -> Result<Vec<u8>, h2::Error> {
        let mut rest = Vec::new();
        while let Some(data) = timeout(PATIENCE, self.body.data()).await.expect("no end comes") {
            rest.extend(data?);
        }
        Ok(rest)
    }

    async fn trailers(&mut self) -> HeaderMap {
        timeout(PATIENCE, self.body.trailers()).await.expect("no end comes").unwrap().expect("no trailers")
    }
}

fn told(fields: &HeaderMap) -> [String; 3] {
    ["grpc-status", "tertulia-reason", "tertulia-outcome"]
        .map(|name| fields.get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned()))
}

fn internal(outcome: &str) -> [String; 3] {
    ["13", "internal", outcome].map(str::to_owned)
}

fn reason(error: &Value) -> &Value {
    &error["details"][0]["debug"]["reason"]
}

#[tokio::test]
async fn a_call_that_panics_is_answered_and_ends_no_other() {
    let server = Fated::start().await;
    let mut client = server.connect().await;
    let mut other = client.call(LISTEN, "application/grpc", "fine", EMPTY).await;
    assert_eq!(other.frame().await, EMPTY);
    let mut doomed = client.call(LISTEN, "application/grpc", "body", EMPTY).await;
    assert_eq!(doomed.frame().await, EMPTY);
    for kind in ["application/grpc", "application/grpc-web+proto"] {
        for fate in ["call", "late"] {
            assert_eq!(client.told(SEND, kind, fate).await, internal("unknown"), "{kind}, {fate}");
            assert_eq!(client.told(READ, kind, fate).await, internal(""), "a read changes nothing: {kind}, {fate}");
        }
    }
    server.go.send_replace(true);
    let _ = doomed.rest().await;
    assert_eq!(told(&doomed.trailers().await), internal(""));
    assert_eq!(other.rest().await.unwrap(), EMPTY);
    assert_eq!(told(&other.trailers().await)[0], "0");
    assert!(panics::calls().get() >= 9);
    drop(client);
    assert_eq!(server.metrics.sockets_open(), 1, "one connection served them all");
}

#[tokio::test]
async fn a_connect_call_that_panics_is_answered_in_its_dialect() {
    let server = Fated::start().await;
    let mut client = server.connect().await;
    for (kind, body) in [("application/json", b"{}".as_slice()), ("application/proto", b"\x0a\x01x".as_slice())] {
        for (path, fate, outcome) in
            [(SEND, "call", "unknown"), (READ, "late", ""), (SEND, "gate", "not_applied"), (READ, "body", "")]
        {
            server.go.send_replace(true);
            let mut open = client.call(path, kind, fate, body).await;
            let error: Value = serde_json::from_slice(&open.rest().await.unwrap()).unwrap();
            assert_eq!((open.head.status, &error["code"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("internal")));
            assert_eq!(reason(&error), "internal", "{kind}, {path}, {fate}: {error}");
            let said = open.head.headers.get("tertulia-outcome").map_or("", |outcome| outcome.to_str().unwrap());
            assert_eq!(said, if outcome == "not_applied" { "" } else { outcome }, "{kind}, {path}, {fate}");
            assert!(!error.to_string().contains("secrets"), "{error}");
        }
    }
    for fate in ["call", "late", "gate", "body"] {
        let mut open = client.call(LISTEN, "application/connect+json", fate, b"\0\0\0\0\x02{}").await;
        let all = open.rest().await.unwrap();
        let end = all.iter().rposition(|byte| *byte == 2).expect("an end");
        let end: Value = serde_json::from_slice(&all[end + 5..]).unwrap();
        assert_eq!((&end["error"]["code"], reason(&end["error"])), (&json!("internal"), &json!("internal")), "{fate}");
    }
}

#[tokio::test]
async fn what_panics_outside_of_the_services_ends_its_own_stream_alone() {
    let server = Fated::start().await;
    let mut client = server.connect().await;
    let mut other = client.call(LISTEN, "application/grpc", "fine", EMPTY).await;
    assert_eq!(other.frame().await, EMPTY);
    assert_eq!(client.call("/panics", "", "", b"").await.head.status, StatusCode::INTERNAL_SERVER_ERROR);
    let mut doomed = client.call("/panics/later", "", "", b"").await;
    assert_eq!(doomed.frame().await, EMPTY);
    server.go.send_replace(true);
    assert!(doomed.rest().await.unwrap_err().is_reset(), "a part of an answer is no answer");
    assert_eq!(other.rest().await.unwrap(), EMPTY);
    assert_eq!(told(&other.trailers().await)[0], "0");
}

/// Before HTTP/2 a connection has one call at a time.
#[tokio::test]
async fn over_http_1_a_connection_goes_on_too() {
    let server = Fated::start().await;
    let client = reqwest::Client::builder().http1_only().pool_max_idle_per_host(1).build().unwrap();
    for _ in 0..2 {
        let call = client.post(format!("http://{}{SEND}", server.to)).header("content-type", "application/json");
        let answer = timeout(PATIENCE, call.header(FATE, "call").body("{}").send()).await.unwrap().unwrap();
        assert_eq!(answer.status(), 500);
        assert_eq!(reason(&answer.json().await.unwrap()), "internal");
    }
    assert_eq!(server.metrics.sockets_open(), 1);
}
