//! The gate: every call is judged by its head before a byte of its body is kept. Its method, its token, its user's rate
//! and its declared size are looked at once, in whatever dialect it came; services find the
//! [`Caller`](super::caller::Caller) in the request.
//!
//! gRPC and gRPC-Web meet it as a layer directly around the services; Connect, which reads a request before it calls
//! them, asks it first. It must not read bodies: it wraps them, and [`super::intake`] measures them as they come.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::Body;
use http::{Request, Response, header, request::Parts};
use http_body::Body as _;
use prost_reflect::DescriptorPool;
use tonic::Status;
use tower::{Layer, Service};

use super::{
    caller::Door,
    connect,
    deadline::Begun,
    grpc_rules,
    grpc_web::DeclaredLength,
    guests::Guest,
    intake::{Charge, Measure, Received},
    status::ApiError,
};

/// Services that are open to everyone are below this: health and reflection.
const OPEN: &str = "/grpc.";
/// All that a call of theirs may say, in bytes.
const OPEN_BYTES_MAX: usize = 32 * 1024;
/// Bytes that a dialect may put around a message.
const AROUND: usize = 64;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    door: Door,
    /// Methods for callers with a token, and whether they take one message.
    single: HashMap<String, bool>,
    message_bytes_max: usize,
}

/// In a request that has been let in.
#[derive(Clone, Debug)]
struct Entered(Option<Arc<Charge>>);

impl Gate {
    /// Before the services in `pool`, which take messages of so many bytes.
    pub(super) fn new(door: Door, pool: &DescriptorPool, message_bytes_max: usize) -> Self {
        let single = grpc_rules::methods(pool).map(|(path, method)| (path, !method.is_client_streaming())).collect();
        Self(Arc::new(Inner { door, single, message_bytes_max }))
    }

    async fn judge(&self, request: Request<Body>) -> Result<Request<Body>, ApiError> {
        let Inner { door, single, message_bytes_max } = &*self.0;
        let (mut parts, body) = request.into_parts();
        let guest = parts.extensions.get::<Arc<Guest>>().cloned();
        let path = parts.uri.path();
        let (entered, measure) = if path.starts_with(OPEN) {
            (Entered(None), Measure::Small(OPEN_BYTES_MAX))
        } else {
            let single = *single.get(path).ok_or_else(ApiError::unknown_method)?;
            if guest.as_ref().is_some_and(|guest| guest.is_in_reserve()) {
                return Err(ApiError::overloaded("the server has as many connections as it may"));
            }
            let identity = door.identify(&parts.headers).await?;
            if let Some(guest) = &guest {
                guest.is_known();
            }
            let caller = door.admit(identity).await?;
            if single && declared(&parts) > message_bytes_max.saturating_add(AROUND) {
                return Err(ApiError::too_large(*message_bytes_max));
            }
            let charge = door.intake.open(caller.author.user, guest.map(|guest| guest.bytes()));
            parts.extensions.insert(caller);
            let measure = if single { Measure::Whole } else { Measure::Each };
            (Entered(Some(Arc::clone(&charge))), measure(charge))
        };
        parts.extensions.insert(entered);
        let body = Received::new(body, measure, door.intake.wait_max());
        Ok(Request::from_parts(parts, Body::new(body)))
    }
}

/// The size that a request declares for its body; 0 if it does not.
fn declared(parts: &Parts) -> usize {
    let header = || parts.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok();
    parts.extensions.get::<DeclaredLength>().map(|declared| declared.0).or_else(header).unwrap_or(0)
}

impl connect::Gate for Gate {
    fn enter(&self, request: Request<Body>) -> connect::Entering<'_> {
        Box::pin(async move { self.judge(request).await.map_err(|error| Status::from(error).into_http()) })
    }
}

/// Puts the gate around gRPC services.
#[derive(Clone, Debug)]
pub(super) struct GateLayer(pub(super) Gate);

impl<S> Layer<S> for GateLayer {
    type Service = Gated<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated { inner, gate: self.0.clone() }
    }
}

/// gRPC services behind the gate.
#[derive(Clone, Debug)]
pub(super) struct Gated<S> {
    inner: S,
    gate: Gate,
}

impl<S> Service<Request<Body>> for Gated<S>
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
        // At the gate nothing happens.
        let begun = Begun::of(request.extensions_mut());
        begun.wait();
        let gate = self.gate.clone();
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            let request = match gate.let_in(request).await {
                Ok(request) => request,
                Err(error) => return Ok(Status::from(error).into_http()),
            };
            // Until the answer begins, the call has what it was sent.
            let charge = request.extensions().get::<Entered>().and_then(|entered| entered.0.clone());
            begun.begin();
            let answer = inner.call(request).await;
            drop(charge);
            answer
        })
    }
}

impl Gate {
    /// A request that Connect has made of another one was judged before it was read; what it has become counts now.
    async fn let_in(&self, request: Request<Body>) -> Result<Request<Body>, ApiError> {
        let Some(Entered(charge)) = request.extensions().get::<Entered>() else {
            return self.judge(request).await;
        };
        if let (Some(charge), Some(bytes)) = (charge, request.body().size_hint().exact()) {
            charge.at_least(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        }
        Ok(request)
    }
}
