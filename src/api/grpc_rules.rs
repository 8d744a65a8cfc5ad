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
use prost_reflect::{DescriptorPool, MethodDescriptor, prost_types::method_options::IdempotencyLevel};
use tokio::time::{Instant, Sleep};
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::{deadline::Begun, status::ApiError};

/// Wraps gRPC services in [`GrpcRules`].
#[derive(Debug, Clone)]
pub struct GrpcRulesLayer {
    single_request: Arc<HashSet<String>>,
    /// Those that change nothing.
    reads: Arc<HashSet<String>>,
    max_request_bytes: usize,
}

impl GrpcRulesLayer {
    /// A layer for the services in `pool`, which take request messages of up to `max_request_bytes` as sent. The
    /// services' own limit is only for what a message decompresses to.
    #[must_use]
    pub fn new(pool: &DescriptorPool, max_request_bytes: usize) -> Self {
        let paths = |which: fn(&MethodDescriptor) -> bool| {
            Arc::new(methods(pool).filter(|(_, method)| which(method)).map(|(path, _)| path).collect())
        };
        let single_request = paths(|method| !method.is_client_streaming());
        let reads = paths(is_read);
        Self { single_request, reads, max_request_bytes }
    }
}

impl<S> Layer<S> for GrpcRulesLayer {
    type Service = GrpcRules<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcRules { inner, layer: self.clone() }
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

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let outcome = Outcome {
            is_read: self.layer.reads.contains(request.uri().path()),
            begun: Begun::of(request.extensions_mut()),
        };
        // Unless the service says more.
        outcome.begun.begin();
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
                Ok(response) => Ok(response?.map(|body| Body::new(Timed::new(body, deadline, outcome)))),
                Err(_) => Ok(outcome.expired().into_http()),
            }
        })
    }
}

/// A call that takes one message was given none or several.
fn not_one() -> Status {
    plain(ApiError::new(Code::Unimplemented, "malformed", "the method takes exactly one request message"))
}

/// The methods of the services in `pool`, with their paths.
pub(super) fn methods(pool: &DescriptorPool) -> impl Iterator<Item = (String, MethodDescriptor)> {
    let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.map(|method| (format!("/{}/{}", method.parent_service().full_name(), method.name()), method))
}

/// Whether a method changes nothing. A stream of events does not, though it may not be asked for by GET.
pub(super) fn is_read(method: &MethodDescriptor) -> bool {
    is_safe(method) || method.is_server_streaming() && !method.is_client_streaming()
}

/// Whether a method is declared to change nothing.
fn is_safe(method: &MethodDescriptor) -> bool {
    let options = method.method_descriptor_proto().options.as_ref();
    options.is_some_and(|options| options.idempotency_level() == IdempotencyLevel::NoSideEffects)
}

/// What is known of a call that runs into its deadline.
struct Outcome {
    is_read: bool,
    begun: Begun,
}

impl Outcome {
    fn expired(&self) -> Status {
        plain(ApiError::deadline(!self.is_read && self.begun.may_have_happened()))
    }
}

/// The reason goes as metadata alone: what details a service tells is not known here.
fn plain(error: ApiError) -> Status {
    let told = Status::from(error);
    Status::with_metadata(told.code(), told.message(), told.metadata().clone())
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
        Self { body, single, max_bytes, messages: 0, prefix: [0; 5], prefix_len: 0, skip: 0 }
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
            let message = format!("message is larger than {limit} bytes");
            return Err(plain(ApiError::new(Code::ResourceExhausted, "too_long", message)));
        }
        if self.single && self.messages > 1 {
            return Err(not_one());
        }
        Ok(())
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            // An incomplete prefix is the decoder's to complain about.
            let missing = self.single && self.messages == 0 && self.prefix_len == 0;
            return Poll::Ready(missing.then(|| Err(not_one().into())));
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
    outcome: Outcome,
}

impl Timed {
    fn new(body: Body, deadline: Instant, outcome: Outcome) -> Self {
        Self { body: Some(body), sleep: Box::pin(tokio::time::sleep_until(deadline)), outcome }
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        // The deadline first: a body that always has something would never reach it.
        if this.sleep.as_mut().poll(cx).is_pending() {
            return Pin::new(body).poll_frame(cx);
        }
        this.body = None;
        let mut trailers = HeaderMap::new();
        if this.outcome.expired().add_header(&mut trailers).is_err() {
            trailers.insert("grpc-status", http::HeaderValue::from_static("4"));
        }
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::StreamExt as _;
    use http_body_util::BodyExt as _;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const WATCH: &str = "/grpc.health.v1.Health/Watch";
    const SESSION: &str = "/chat.v1.ChatService/Session";
    const MAX: usize = 100;

    fn layer() -> GrpcRulesLayer {
        let mut pool = DescriptorPool::decode(tertulia_proto::DESCRIPTORS).unwrap();
        pool.decode_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
        GrpcRulesLayer::new(&pool, MAX)
    }

    fn message(length: u8) -> Vec<u8> {
        let mut message = vec![0, 0, 0, 0, length];
        message.resize(message.len() + usize::from(length), 7);
        message
    }

    /// What a service sees of a request body that arrives in pieces.
    async fn pass(method: &str, body: Vec<u8>, piece: usize) -> Result<Vec<u8>, i32> {
        let service = layer().layer(service_fn(async |request: Request<Body>| {
            let seen = request.into_body().collect().await;
            let seen = seen.map(http_body_util::Collected::to_bytes);
            let response = match seen {
                Ok(seen) => Response::new(Body::from(seen)),
                Err(error) => Status::from_error(error.into()).into_http(),
            };
            Ok::<_, Infallible>(response)
        }));
        let pieces: Vec<_> = body.chunks(piece).map(Bytes::copy_from_slice).map(Ok::<_, Infallible>).collect();
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let response = service.oneshot(Request::post(method).body(body).unwrap()).await.unwrap();
        match Status::from_header_map(response.headers()) {
            Some(status) => Err(status.code().into()),
            None => Ok(response.into_body().collect().await.unwrap().to_bytes().to_vec()),
        }
    }

    #[tokio::test]
    async fn requests_pass_unchanged_however_they_are_cut() {
        let (one, many) = (message(20), [message(0), message(100), message(3)].concat());
        for piece in 1..many.len() {
            assert_eq!(pass(WATCH, one.clone(), piece).await, Ok(one.clone()));
            assert_eq!(pass(SESSION, many.clone(), piece).await, Ok(many.clone()));
        }
    }

    #[tokio::test]
    async fn a_single_request_is_exactly_one() {
        let unimplemented = Err(Code::Unimplemented.into());
        assert_eq!(pass(WATCH, Vec::new(), 1).await, unimplemented);
        assert_eq!(pass(WATCH, [message(1), message(1)].concat(), 4).await, unimplemented);
        assert_eq!(pass(SESSION, Vec::new(), 1).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_large_message_is_refused_by_its_prefix() {
        let exhausted = Err(Code::ResourceExhausted.into());
        assert_eq!(pass(WATCH, vec![0, 0, 0, 0, 101], 5).await, exhausted);
        assert_eq!(pass(SESSION, [message(100), message(101)].concat(), 7).await, exhausted);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_covers_the_stream() {
        let service = layer().layer(service_fn(async |_: Request<Body>| {
            let body = futures_util::stream::pending::<Result<Bytes, Infallible>>();
            Ok::<_, Infallible>(Response::new(Body::from_stream(body)))
        }));
        let request = Request::post(WATCH).header("grpc-timeout", "50m");
        let response = service.oneshot(request.body(Body::from(message(0))).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "4");
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_covers_the_wait() {
        let service = layer().layer(service_fn(async |_: Request<Body>| {
            std::future::pending::<Result<Response<Body>, Infallible>>().await
        }));
        let request = Request::post(WATCH).header("grpc-timeout", "50000u");
        let response = service.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "4");
    }

    /// What a call is told on its deadline, whether it waits for its answer or for the rest of it.
    async fn told(method: &'static str, at_the_door: bool, answered: bool) -> HeaderMap {
        let service = layer().layer(service_fn(move |mut request: Request<Body>| async move {
            if at_the_door {
                Begun::of(request.extensions_mut()).wait();
            }
            if !answered {
                std::future::pending::<()>().await;
            }
            // It always has something to say.
            let body = futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(b"x")));
            let body = body.then(|piece| async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                piece
            });
            Ok::<_, Infallible>(Response::new(Body::from_stream(body)))
        }));
        let request = Request::post(method).header("grpc-timeout", "50m").body(Body::from(message(0)));
        let response = service.oneshot(request.unwrap()).await.unwrap();
        if !answered {
            return response.headers().clone();
        }
        response.into_body().collect().await.unwrap().trailers().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_says_whether_the_call_may_have_happened() {
        let cases = [
            ("/chat.v1.ChatService/SendMessage", false, "unknown"),
            ("/chat.v1.ChatService/SendMessage", true, "not_applied"),
            ("/chat.v1.ChatService/GetRooms", false, "not_applied"),
            ("/chat.v1.ChatService/StreamMessages", false, "not_applied"),
            ("/chat.v1.ChatService/Session", false, "unknown"),
            ("/tokens.v1.TokensService/RegisterToken", false, "unknown"),
            ("/admin.v1.AdminService/ReadLog", false, "not_applied"),
        ];
        for (method, at_the_door, outcome) in cases {
            for answered in [false, true] {
                let told = told(method, at_the_door, answered).await;
                let said =
                    ["grpc-status", "tertulia-reason", "tertulia-outcome"].map(|name| told[name].to_str().unwrap());
                assert_eq!(said, ["4", "deadline", outcome], "{method}, {at_the_door}, {answered}");
                assert!(!told.contains_key("grpc-status-details-bin"), "details are the services' own");
            }
        }
    }

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", http::HeaderValue::from_static(text));
            timeout(&headers)
        };
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(read("2M"), Some(Duration::from_secs(120)));
        assert_eq!(read("10n"), Some(Duration::from_nanos(10)));
        for refused in ["", "S", "1", "1x", "100000000S", "-1S"] {
            assert_eq!(read(refused), None, "{refused}");
        }
    }
}
