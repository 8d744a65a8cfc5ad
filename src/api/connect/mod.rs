//! The Connect protocol (<https://connectrpc.com/docs/protocol>) in front of any gRPC service.
//!
//! [`Connect`] is a tower service that looks at the method and the content type of a request: gRPC and gRPC-Web go
//! through untouched, Connect calls (JSON or protobuf; unary, GET, server streaming) become gRPC calls of the inner
//! service and its answers become Connect answers. It knows methods and messages only through a
//! [`DescriptorPool`], so it serves every service in the pool and needs no generated code.
//!
//! It must not know anything of chat, and it must not hold a whole response stream: messages are translated one by
//! one as the client reads them, and dropping the response drops the inner call.

mod answer;
mod codec;
mod compression;
mod cors;
mod envelope;
mod error;
mod gate;
mod linger;
mod metadata;
mod method;
mod request;
mod route;
mod stream;
mod strict;
#[cfg(test)]
mod tests;
mod unary;

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use http::{Request, Response, Version};
use prost_reflect::DescriptorPool;
use tower::{Layer, Service};

use self::{answer::answer, method::Methods};
pub use self::{
    cors::cors,
    gate::{Entering, Gate},
    request::ConnectCall,
};

/// Bounds of the adapter.
#[derive(Debug, Clone, Copy)]
pub struct ConnectOptions {
    /// The largest request message in bytes, as sent and after decompression. Larger ones are answered with
    /// `resource_exhausted`. The inner service must accept messages of this size too.
    pub max_request_bytes: usize,
    /// Response messages of at least this many bytes are compressed for clients that accept gzip.
    pub compress_min_bytes: usize,
    /// Whether JSON with a field that does not exist is refused when the request does not say (`tertulia-strict`).
    pub strict_json: bool,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { max_request_bytes: 4 * 1024 * 1024, compress_min_bytes: 1024, strict_json: false }
    }
}

/// What all calls share.
#[derive(Debug)]
struct Shared {
    methods: Methods,
    options: ConnectOptions,
    gate: Option<Arc<dyn Gate>>,
}

impl Shared {
    /// What the gate says of a request whose body has not been read; without a gate all are let in.
    async fn enter(&self, request: Request<Body>) -> Result<Request<Body>, Response<Body>> {
        match &self.gate {
            Some(gate) => gate.enter(request).await,
            None => Ok(request),
        }
    }
}

/// Wraps a gRPC service in [`Connect`].
#[derive(Debug, Clone)]
pub struct ConnectLayer {
    shared: Arc<Shared>,
}

impl ConnectLayer {
    /// A layer for the services in `pool`. Types of error details and of `google.protobuf.Any` are looked up there too.
    #[must_use]
    pub fn new(pool: DescriptorPool, options: ConnectOptions) -> Self {
        Self { shared: Arc::new(Shared { methods: Methods::new(pool), options, gate: None }) }
    }

    /// The same, and `gate` sees every Connect call before its body is read.
    #[must_use]
    pub fn gated(pool: DescriptorPool, options: ConnectOptions, gate: Arc<dyn Gate>) -> Self {
        Self { shared: Arc::new(Shared { methods: Methods::new(pool), options, gate: Some(gate) }) }
    }
}

impl<S> Layer<S> for ConnectLayer {
    type Service = Connect<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Connect { inner, shared: Arc::clone(&self.shared) }
    }
}

/// A gRPC service that can also be called by the Connect protocol.
#[derive(Clone)]
pub struct Connect<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> Connect<S> {
    /// Wraps `inner`, which speaks gRPC (and gRPC-Web, if it has that layer).
    #[must_use]
    pub fn new(inner: S, pool: DescriptorPool, options: ConnectOptions) -> Self {
        ConnectLayer::new(pool, options).layer(inner)
    }
}

impl<S> fmt::Debug for Connect<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl<S> Service<Request<Body>> for Connect<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let inner = self.take_ready();
        let shared = Arc::clone(&self.shared);
        if request.version() < Version::HTTP_2 {
            return Box::pin(linger::hear_out(request, |request| answer(inner, shared, request)));
        }
        Box::pin(answer(inner, shared, request))
    }
}

impl<S: Clone> Connect<S> {
    /// The inner service that was polled ready; a fresh clone stays behind, which was not.
    fn take_ready(&mut self) -> S {
        let clone = self.inner.clone();
        mem::replace(&mut self.inner, clone)
    }
}
