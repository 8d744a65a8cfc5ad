//! Calls that panic: answered like any other that fails, with `internal`, and no matter to the connection's other calls.
//!
//! The layer belongs around the services and what judges their calls: it answers in gRPC, which gRPC-Web and Connect put
//! into their own words. What panics outside of it is caught by Connect, and at last where a connection keeps its streams.

use std::{
    collections::HashMap,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prost_reflect::DescriptorPool;
use tonic::Status;
use tower::{Layer, Service};

use super::{deadline::Begun, grpc_rules, status::ApiError};
use crate::telemetry::panics::{self, Panicked};

/// Wraps gRPC services in [`Panics`].
#[derive(Clone, Debug)]
pub(super) struct PanicsLayer {
    /// Methods, and whether they change nothing.
    methods: Arc<HashMap<String, bool>>,
}

impl PanicsLayer {
    /// A layer for the services in `pool`.
    pub(super) fn new(pool: &DescriptorPool) -> Self {
        let methods = grpc_rules::methods(pool).map(|(path, method)| (path, grpc_rules::is_read(&method)));
        Self { methods: Arc::new(methods.collect()) }
    }
}

impl<S> Layer<S> for PanicsLayer {
    type Service = Panics<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Panics { inner, layer: self.clone() }
    }
}

/// gRPC services that answer also when they panic.
#[derive(Clone, Debug)]
pub(super) struct Panics<S> {
    inner: S,
    layer: PanicsLayer,
}

impl<S> Service<Request<Body>> for Panics<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let outlook = Outlook {
            path: request.uri().path().to_owned(),
            methods: Arc::clone(&self.layer.methods),
            begun: Begun::of(request.extensions_mut()),
        };
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            match panics::caught(pin!(async move { inner.call(request).await })).await {
                Ok(response) => Ok(response?.map(|body| Body::new(Caught { body: Some(body), outlook }))),
                Err(panicked) => Ok(outlook.told(&panicked).into_http()),
            }
        })
    }
}

/// What is to be told of a call that panics.
struct Outlook {
    path: String,
    methods: Arc<HashMap<String, bool>>,
    begun: Begun,
}

impl Outlook {
    fn told(&self, panicked: &Panicked) -> Status {
        let known = self.methods.get_key_value(&self.path);
        // A path that is none of ours may hold anything.
        panicked.note(known.map_or("", |(path, _)| path));
        let is_read = known.is_some_and(|(_, is_read)| *is_read);
        ApiError::panicked(!is_read && self.begun.may_have_happened()).into()
    }
}

/// A response body that ends with a status also when it panics. The services' frames hold whole messages.
struct Caught {
    body: Option<Body>,
    outlook: Outlook,
}

impl HttpBody for Caught {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        panics::catch_poll(cx, |cx| Pin::new(body).poll_frame(cx)).map(|frame| {
            frame.unwrap_or_else(|panicked| {
                this.body = None;
                let mut trailers = HeaderMap::new();
                if this.outlook.told(&panicked).add_header(&mut trailers).is_err() {
                    trailers.insert("grpc-status", http::HeaderValue::from_static("13"));
                }
                Some(Ok(Frame::trailers(trailers)))
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

#[cfg(test)]
#[path = "panics_tests.rs"]
mod tests;
