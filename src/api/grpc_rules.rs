//! What gRPC demands of a server and tonic leaves out.
//!
//! A call's deadline covers the whole call, streams too, and ends it with `DEADLINE_EXCEEDED`; a call that takes one
//! message gets exactly one (`UNIMPLEMENTED`); a message over the limit is `RESOURCE_EXHAUSTED`. The layer belongs
//! directly around the services, inside of gRPC-Web and Connect, and must not know what a call means.

use std::{
    collections::HashSet,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame};
use prost_reflect::DescriptorPool;
use tokio::time::{Instant, Sleep};
use tonic::Status;
use tower::{Layer, Service};

/// Wraps gRPC services in [`GrpcRules`].
#[derive(Debug, Clone)]
pub struct GrpcRulesLayer {
    single_request: Arc<HashSet<String>>,
    max_request_bytes: usize,
}

impl GrpcRulesLayer {
    /// A layer for the services in `pool`, which take request messages of up to `max_request_bytes` as sent. The
    /// services' own limit is only for what a message decompresses to.
    #[must_use]
    pub fn new(pool: &DescriptorPool, max_request_bytes: usize) -> Self {
        let methods = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>());
        let single_request = methods
            .filter(|method| !method.is_client_streaming())
            .map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name()))
            .collect();
        Self {
            single_request: Arc::new(single_request),
            max_request_bytes,
        }
    }
}

impl<S> Layer<S> for GrpcRulesLayer {
    type Service = GrpcRules<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcRules {
            inner,
            layer: self.clone(),
        }
    }
}

/// A gRPC service that keeps the protocol's rules.
#[derive(Debug, Clone)]
pub struct GrpcRules<S> {
    inner: S,
    layer: GrpcRulesLayer,
}

impl<S> Service<Request<Body>> for GrpcRules<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let deadline = timeout(request.headers()).map(|timeout| Instant::now() + timeout);
        let single = self.layer.single_request.contains(request.uri().path());
        let max_bytes = self.layer.max_request_bytes;
        let request = request.map(|body| Body::new(Counted::new(body, single, max_bytes)));
        let answer = self.inner.call(request);
        let Some(deadline) = deadline else {
            return Box::pin(answer);
        };
        Box::pin(async move {
            match tokio::time::timeout_at(deadline, answer).await {
                Ok(response) => Ok(response?.map(|body| Body::new(Timed::new(body, deadline)))),
                Err(_) => Ok(expired().into_http()),
            }
        })
    }
}

fn expired() -> Status {
    Status::deadline_exceeded("the call's deadline has passed")
}

/// Reads `grpc-timeout`: at most eight digits and a unit. What is malformed is no timeout.
fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 60 * 60)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// A request body whose messages are counted and measured by their prefixes as they pass.
struct Counted {
    body: Body,
    single: bool,
    max_bytes: usize,
    messages: usize,
    prefix: [u8; 5],
    prefix_len: usize,
    /// Bytes until the next prefix.
    skip: usize,
}

impl Counted {
    fn new(body: Body, single: bool, max_bytes: usize) -> Self {
        Self {
            body,
            single,
            max_bytes,
            messages: 0,
            prefix: [0; 5],
            prefix_len: 0,
            skip: 0,
        }
    }

    fn inspect(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            let skipped = self.skip.min(data.len());
            self.skip -= skipped;
            data = &data[skipped..];
            let taken = data.len().min(self.prefix.len() - self.prefix_len);
            self.prefix[self.prefix_len..self.prefix_len + taken].copy_from_slice(&data[..taken]);
            self.prefix_len += taken;
            data = &data[taken..];
            if self.prefix_len == self.prefix.len() {
                self.begin_message()?;
            }
        }
        Ok(())
    }

    fn begin_message(&mut self) -> Result<(), Status> {
        let [_flags, length @ ..] = self.prefix;
        self.skip = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        self.prefix_len = 0;
        self.messages += 1;
        if self.skip > self.max_bytes {
            let limit = self.max_bytes;
            return Err(Status::resource_exhausted(format!(
                "message is larger than {limit} bytes"
            )));
        }
        if self.single && self.messages > 1 {
            return Err(Status::unimplemented(
                "the method takes exactly one request message",
            ));
        }
        Ok(())
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            // An incomplete prefix is the decoder's to complain about.
            let missing = self.single && self.messages == 0 && self.prefix_len == 0;
            let error = Status::unimplemented("the method takes exactly one request message");
            return Poll::Ready(missing.then(|| Err(error.into())));
        };
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            self.inspect(data)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream() && !(self.single && self.messages == 0)
    }
}

/// A response body that ends at the deadline. The services' frames hold whole messages, so it may end after any.
struct Timed {
    body: Option<Body>,
    sleep: Pin<Box<Sleep>>,
}

impl Timed {
    fn new(body: Body, deadline: Instant) -> Self {
        Self {
            body: Some(body),
            sleep: Box::pin(tokio::time::sleep_until(deadline)),
        }
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.sleep.as_mut().poll(cx));
        self.body = None;
        let trailers = expired().into_http::<()>().headers().clone();
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}
