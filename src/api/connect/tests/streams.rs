//! Server streams: one message after the other, not more than the client takes, over when the client is gone.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::HeaderValue;
use http_body::Frame;
use serde_json::json;
use tokio::time::Sleep;
use tonic_health::ServingStatus;
use tower::service_fn;

use super::*;

const WATCH: &str = "/grpc.health.v1.Health/Watch";

fn watch(headers: &[(&str, &str)]) -> Request<Body> {
    post(WATCH, "application/connect+json", frame(0, br#"{"service": "room"}"#), headers)
}

#[tokio::test]
async fn messages_arrive_as_they_are_made() {
    let (app, reporter) = app();
    reporter.set_service_status("room", ServingStatus::Serving).await;
    let response = app.oneshot(watch(&[])).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/connect+json");
    let mut body = response.into_body();
    assert_eq!(next(&mut body).await.unwrap(), [(0, json!({"status": "SERVING"}))]);
    reporter.set_service_status("room", ServingStatus::NotServing).await;
    assert_eq!(next(&mut body).await.unwrap(), [(0, json!({"status": "NOT_SERVING"}))]);
}

#[tokio::test]
async fn an_error_before_the_first_message_ends_the_stream() {
    let mut body = call(watch(&[])).await.into_body();
    let frames = next(&mut body).await.unwrap();
    assert_eq!((frames.len(), frames[0].0), (1, 2));
    assert_eq!(frames[0].1["error"]["code"], "not_found");
    assert_eq!(next(&mut body).await, None);
}

/// A gRPC response body that counts what was taken of it and says when it is dropped.
struct Source {
    left: usize,
    taken: Arc<AtomicUsize>,
    /// Held for the other side to see the drop.
    _alive: Arc<()>,
    trailers: Option<HeaderMap>,
    delay: Pin<Box<Sleep>>,
}

impl http_body::Body for Source {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            std::task::ready!(self.delay.as_mut().poll(cx));
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        self.left -= 1;
        self.taken.fetch_add(1, Ordering::SeqCst);
        // HealthCheckResponse { status: SERVING }
        Poll::Ready(Some(Ok(Frame::data(frame(0, &[8, 1])))))
    }
}

struct Probe {
    taken: Arc<AtomicUsize>,
    alive: Arc<()>,
}

impl Probe {
    fn is_alive(&self) -> bool {
        Arc::strong_count(&self.alive) > 1
    }
}

/// Opens a stream of `messages`, which after `delay` ends well, with a trailer.
async fn open(messages: usize, delay: Duration, headers: &[(&str, &str)]) -> (Probe, Body) {
    let probe = Probe { taken: Arc::default(), alive: Arc::default() };
    let (taken, alive) = (Arc::clone(&probe.taken), Arc::clone(&probe.alive));
    let inner = service_fn(move |_: Request<Body>| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("cost", HeaderValue::from_static("3"));
        let source = Source {
            left: messages,
            taken: Arc::clone(&taken),
            _alive: Arc::clone(&alive),
            trailers: Some(trailers),
            delay: Box::pin(tokio::time::sleep(delay)),
        };
        let response = Response::builder().header("content-type", "application/grpc").body(Body::new(source));
        std::future::ready(Ok::<_, Infallible>(response.unwrap()))
    });
    let app = Connect::new(inner, pool(), options());
    (probe, app.oneshot(watch(headers)).await.unwrap().into_body())
}

#[tokio::test]
async fn no_more_is_taken_than_the_client_takes() {
    let (probe, mut body) = open(1000, Duration::ZERO, &[]).await;
    for taken in 0..3 {
        assert_eq!(probe.taken.load(Ordering::SeqCst), taken);
        assert_eq!(next(&mut body).await.unwrap(), [(0, json!({"status": "SERVING"}))]);
    }
}

#[tokio::test]
async fn a_client_that_goes_takes_the_call_with_it() {
    let (probe, mut body) = open(1000, Duration::ZERO, &[]).await;
    next(&mut body).await.unwrap();
    assert!(probe.is_alive());
    drop(body);
    assert!(!probe.is_alive());
}

#[tokio::test]
async fn trailers_come_with_the_end() {
    let (probe, mut body) = open(1, Duration::ZERO, &[]).await;
    next(&mut body).await.unwrap();
    assert_eq!(next(&mut body).await.unwrap(), [(2, json!({"metadata": {"cost": ["3"]}}))]);
    assert_eq!(next(&mut body).await, None);
    assert!(!probe.is_alive());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_stream() {
    let hour = Duration::from_secs(3600);
    let (probe, mut body) = open(1, hour, &[("connect-timeout-ms", "50")]).await;
    assert_eq!(next(&mut body).await.unwrap(), [(0, json!({"status": "SERVING"}))]);
    let end = next(&mut body).await.unwrap();
    assert_eq!((end[0].0, &end[0].1["error"]["code"]), (2, &json!("deadline_exceeded")));
    assert!(!probe.is_alive());
}
