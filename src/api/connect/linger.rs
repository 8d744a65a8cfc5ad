//! Manners over HTTP/1.1: hear the client out before hanging up.
//!
//! A call may be answered before its request was read (an unknown method, a bad header). hyper then closes the
//! connection, and a client that is still writing sees a broken pipe instead of the answer. So the rest is read and
//! thrown away first, within bounds. HTTP/2 ends one stream without harm and needs none of this.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::sync::oneshot;

/// A longer rest is not worth reading: the connection goes. It is well beyond any limit on messages, because who sends
/// too much is to read so.
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// A slower rest is not worth waiting for.
const MAX_WAIT: Duration = Duration::from_secs(2);

/// Lets `answer` have the request, and reads what it left of the body.
pub(super) async fn hear_out<F, E>(
    request: Request<Body>,
    answer: impl FnOnce(Request<Body>) -> F,
) -> Result<Response<Body>, E>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    let (give_back, mut given_back) = oneshot::channel();
    let request = request.map(|body| Body::new(Returning { body, give_back: Some(give_back) }));
    let response = answer(request).await;
    if let Ok(rest) = given_back.try_recv() {
        // Too slow or not: the answer goes out now.
        let _ = tokio::time::timeout(MAX_WAIT, discard(rest)).await;
    }
    response
}

async fn discard(mut rest: Body) {
    let mut seen = 0;
    while let Some(Ok(frame)) = rest.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > MAX_BYTES {
            return;
        }
    }
}

/// A body that comes back when it is dropped before its end.
struct Returning {
    body: Body,
    give_back: Option<oneshot::Sender<Body>>,
}

impl http_body::Body for Returning {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.give_back = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take().filter(|_| !http_body::Body::is_end_stream(&self.body)) {
            // Nobody waits once the answer is out.
            let _ = give_back.send(std::mem::take(&mut self.body));
        }
    }
}

#[cfg(test)]
#[path = "linger_tests.rs"]
mod tests;
