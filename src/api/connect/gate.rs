//! A place for somebody to judge a Connect call by its head, as a layer of the inner service judges gRPC calls: that one
//! would come too late, because the adapter reads a request before it calls the inner service.

use std::{fmt, future::Future, pin::Pin};

use axum::body::Body;
use http::{Request, Response};

/// Judges calls before a byte of their bodies is read.
pub trait Gate: fmt::Debug + Send + Sync + 'static {
    /// The request, to be read and passed on; its body may be another one around the client's. Or gRPC's answer to it.
    fn enter(&self, request: Request<Body>) -> Entering<'_>;
}

/// What a [`Gate`] will say.
pub type Entering<'a> = Pin<Box<dyn Future<Output = Result<Request<Body>, Response<Body>>> + Send + 'a>>;
