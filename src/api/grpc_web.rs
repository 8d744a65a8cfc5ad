//! gRPC-Web, beside gRPC and not around it: a native call passes by untouched, so that the bodies of its streams are not
//! wrapped for a protocol they do not speak. Knows nothing of what is called.

use std::task::{Context, Poll};

use axum::body::Body;
use futures_util::{
    TryFutureExt as _,
    future::{Either, MapOk},
};
use http::{
    HeaderMap, Request, Response, Version,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use tower::{Layer, Service};

/// What tonic's service answers with, as the other layers expect it.
type Rewrap = fn(Response<tonic::body::Body>) -> Response<Body>;

/// Wraps gRPC services in [`GrpcWeb`].
#[derive(Debug, Clone, Copy, Default)]
pub struct GrpcWebLayer;

impl<S: Clone> Layer<S> for GrpcWebLayer {
    type Service = GrpcWeb<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GrpcWeb { native: inner.clone(), web: tonic_web::GrpcWebLayer::new().layer(inner) }
    }
}

/// A gRPC service that can also be called by the gRPC-Web protocol.
#[derive(Debug, Clone)]
pub struct GrpcWeb<S> {
    native: S,
    web: tonic_web::GrpcWebService<S>,
}

/// Whether a request is left to gRPC-Web: also what is neither, which it refuses.
fn is_web(request: &Request<Body>) -> bool {
    let kind = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    request.version() != Version::HTTP_2 || kind.starts_with(b"application/grpc-web")
}

/// In the extensions of a request: how long its body was declared to be, in bytes of gRPC. The library takes the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeclaredLength(pub usize);

fn declared(headers: &HeaderMap) -> Option<DeclaredLength> {
    let length: usize = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    let is_text =
        headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc-web-text"));
    // Four letters of Base64 are three bytes.
    Some(DeclaredLength(if is_text { length / 4 * 3 } else { length }))
}

impl<S> Service<Request<Body>> for GrpcWeb<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S: Service<
            Request<tonic::body::Body>,
            Response = Response<Body>,
            Error = <S as Service<Request<Body>>>::Error,
            Future = <S as Service<Request<Body>>>::Future,
        >,
{
    type Response = Response<Body>;
    type Error = <S as Service<Request<Body>>>::Error;
    type Future = Either<
        <S as Service<Request<Body>>>::Future,
        MapOk<<tonic_web::GrpcWebService<S> as Service<Request<Body>>>::Future, Rewrap>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        match Service::<Request<Body>>::poll_ready(&mut self.native, cx) {
            Poll::Ready(Ok(())) => Service::<Request<Body>>::poll_ready(&mut self.web, cx),
            other => other,
        }
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if is_web(&request) {
            if let Some(length) = declared(request.headers()) {
                request.extensions_mut().insert(length);
            }
            let rewrap: Rewrap = |response| response.map(Body::new);
            return Either::Right(self.web.call(request).map_ok(rewrap));
        }
        Either::Left(self.native.call(request))
    }
}
