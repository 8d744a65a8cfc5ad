//! Clients that go on posting when their answer is ready; tokio's clock is paused.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};

use super::*;
use crate::tasks::{self, TaskKind};

const MIB: usize = 1024 * 1024;
const STEP: Duration = Duration::from_millis(300);

/// A request in pieces of these lengths, each so long after the one before, and how many of them were read.
fn posted(lengths: Vec<usize>, every: Duration) -> (Request<Body>, Arc<AtomicUsize>) {
    static ZEROS: [u8; MIB] = [0; MIB];
    let read = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&read);
    let pieces = stream::iter(lengths).then(move |length| {
        let counter = Arc::clone(&counter);
        async move {
            sleep(every).await;
            counter.fetch_add(1, SeqCst);
            Ok::<_, Infallible>(Bytes::from_static(&ZEROS[..length]))
        }
    });
    (Request::new(Body::from_stream(pieces)), read)
}

fn refusal() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    response
}

/// Hears out a client that is refused unread; how long that took.
async fn refused(request: Request<Body>) -> Duration {
    let started = Instant::now();
    let response = hear_out(request, |request| async move {
        drop(request);
        Ok::<_, Infallible>(refusal())
    });
    assert_eq!(response.await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    started.elapsed()
}

/// More than `bound`, by no more than what the timer is coarser than that.
fn is_about(elapsed: Duration, bound: Duration) -> bool {
    (bound..bound + Duration::from_millis(10)).contains(&elapsed)
}

#[tokio::test(start_paused = true)]
async fn what_is_within_the_bounds_is_read_to_its_end() {
    let full = MAX_BYTES / MIB;
    let mut lengths = vec![MIB; full];
    lengths.push(0);
    let (request, read) = posted(lengths, Duration::ZERO);
    refused(request).await;
    assert_eq!(read.load(SeqCst), full + 1);

    let (request, read) = posted(vec![1; 6], STEP);
    let elapsed = refused(request).await;
    assert!(is_about(elapsed, 6 * STEP), "{elapsed:?}");
    assert_eq!(read.load(SeqCst), 6);
}

#[tokio::test(start_paused = true)]
async fn who_sends_too_much_is_heard_no_further() {
    let (request, read) = posted(vec![MIB; 2 * MAX_BYTES / MIB], Duration::ZERO);
    refused(request).await;
    assert_eq!(read.load(SeqCst), MAX_BYTES / MIB + 1);
}

#[tokio::test(start_paused = true)]
async fn who_sends_too_slowly_is_waited_for_no_longer() {
    let (request, read) = posted(vec![1; 1_000], STEP);
    let elapsed = refused(request).await;
    assert!(is_about(elapsed, MAX_WAIT), "each piece has no time of its own: {elapsed:?}");
    assert_eq!(read.load(SeqCst), 6);

    let elapsed = refused(Request::new(Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()))).await;
    assert!(is_about(elapsed, MAX_WAIT), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_begins_when_the_answer_is_ready() {
    let (request, read) = posted(vec![1; 6], STEP);
    let started = Instant::now();
    let response = hear_out(request, |request| async move {
        sleep(5 * MAX_WAIT).await;
        drop(request);
        Err::<Response<Body>, _>("broken")
    });
    assert_eq!(response.await.unwrap_err(), "broken", "errors are answers too");
    let elapsed = started.elapsed();
    assert!(is_about(elapsed, 5 * MAX_WAIT + 6 * STEP), "{elapsed:?}");
    assert_eq!(read.load(SeqCst), 6);
}

#[tokio::test(start_paused = true)]
async fn what_the_answer_has_read_counts_for_nothing() {
    let full = MAX_BYTES / MIB;
    let (request, read) = posted(vec![MIB; full + 3], Duration::ZERO);
    let response = hear_out(request, |request| async move {
        let mut body = request.into_body();
        for _ in 0..3 {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), MIB);
        }
        Ok::<_, Infallible>(refusal())
    });
    response.await.unwrap();
    assert_eq!(read.load(SeqCst), full + 3);
}

/// A stream may panic when it is polled after its end; one that failed has nothing more to say.
#[tokio::test(start_paused = true)]
async fn a_body_that_ended_is_not_read_again() {
    for last in [None, Some(Err::<Bytes, _>(std::io::Error::other("reset")))] {
        let polls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&polls);
        let mut last = Some(last);
        let body = Body::from_stream(stream::poll_fn(move |_| {
            counter.fetch_add(1, SeqCst);
            last.take().map_or(Poll::Pending, Poll::Ready)
        }));
        let started = Instant::now();
        let response = hear_out(Request::new(body), |request| async move {
            let _ = request.into_body().collect().await;
            Ok::<_, Infallible>(refusal())
        });
        response.await.unwrap();
        assert_eq!((polls.load(SeqCst), started.elapsed()), (1, Duration::ZERO));
    }
}

/// The answer of a stream may read while it is written.
#[tokio::test(start_paused = true)]
async fn an_answer_that_still_reads_is_not_held_back() {
    let (request, read) = posted(vec![1; 6], STEP);
    let started = Instant::now();
    let response = hear_out(request, |request| async move { Ok::<_, Infallible>(Response::new(request.into_body())) });
    let response = timeout(MAX_WAIT, response).await.expect("an answer at once").unwrap();
    assert_eq!((read.load(SeqCst), started.elapsed()), (0, Duration::ZERO));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 6, "all of it is the answer's");

    let (request, _) = posted(vec![1; 6], STEP);
    let response = hear_out(request, |request| async move { Ok::<_, Infallible>(Response::new(request.into_body())) });
    // Given back to nobody.
    drop(response.await.unwrap());
}

#[test]
fn a_body_says_of_itself_what_it_said_before() {
    let (give_back, mut given_back) = oneshot::channel();
    let body = Returning { body: Body::from("seven b"), give_back: Some(give_back) };
    assert_eq!(http_body::Body::size_hint(&body).exact(), Some(7));
    assert!(!http_body::Body::is_end_stream(&body));
    drop(body);
    assert_eq!(http_body::Body::size_hint(&given_back.try_recv().unwrap()).exact(), Some(7));

    let (give_back, mut given_back) = oneshot::channel();
    let body = Returning { body: Body::empty(), give_back: Some(give_back) };
    assert!(http_body::Body::is_end_stream(&body));
    drop(body);
    given_back.try_recv().expect_err("nothing is left of it");
}

/// Over a wire that holds far less than is posted.
#[tokio::test(start_paused = true)]
async fn a_client_that_posts_far_too_much_reads_why() {
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let service = service_fn(|request: Request<Incoming>| {
        hear_out(request.map(Body::new), |request| async move {
            drop(request);
            Ok::<_, Infallible>(Response::builder().status(413).body(Body::from("too much")).unwrap())
        })
    });
    tasks::spawn(TaskKind::Connection, http1::Builder::new().serve_connection(TokioIo::new(server), service));
    let head = format!("POST / HTTP/1.1\r\nhost: here\r\ncontent-length: {}\r\n\r\n", 16 * MIB);
    client.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..16 {
        client.write_all(&[0; MIB]).await.expect("nobody hangs up on it");
    }
    let mut answer = Vec::new();
    while !answer.ends_with(b"too much") {
        assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert!(answer.starts_with(b"HTTP/1.1 413 "));
}
