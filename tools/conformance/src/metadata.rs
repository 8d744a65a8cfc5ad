//! Headers and trailers as the suite's messages name them.
//!
//! tonic has no way to send trailers of one's own with a successful answer, so a handler leaves them in the response's
//! extensions and [`SendTrailersLayer`] adds them to the body's.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body as HttpBody, Frame};
use tonic::{Status, body::Body, server::NamedService};
use tower::{Layer, Service};

use crate::proto::Header;

/// Trailers that a handler wants to be sent.
#[derive(Debug, Clone)]
pub(crate) struct SendTrailers(pub(crate) HeaderMap);

/// From the suite's headers to HTTP's; what HTTP cannot express is left out.
pub(crate) fn to_fields(headers: &[Header]) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for header in headers {
        for value in &header.value {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(&header.name), HeaderValue::try_from(value)) {
                fields.append(name, value);
            }
        }
    }
    fields
}

/// From HTTP's headers to the suite's.
pub(crate) fn from_fields(fields: &HeaderMap) -> Vec<Header> {
    let values = |name| fields.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into());
    fields.keys().map(|name| Header { name: name.to_string(), value: values(name).collect() }).collect()
}

/// Adds [`SendTrailers`] to the answers of a gRPC service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendTrailersLayer;

impl<S> Layer<S> for SendTrailersLayer {
    type Service = SendTrailersService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SendTrailersService { inner }
    }
}

/// See [`SendTrailersLayer`].
#[derive(Debug, Clone)]
pub(crate) struct SendTrailersService<S> {
    inner: S,
}

impl<S: NamedService> NamedService for SendTrailersService<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for SendTrailersService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.inner.call(request);
        answer
            .map(|answer| {
                let mut response = answer?;
                match response.extensions_mut().remove::<SendTrailers>() {
                    Some(SendTrailers(trailers)) => Ok(response.map(|body| Body::new(WithTrailers { body, trailers }))),
                    None => Ok(response),
                }
            })
            .boxed()
    }
}

/// A body with more trailers than it was born with.
struct WithTrailers {
    body: Body,
    trailers: HeaderMap,
}

impl HttpBody for WithTrailers {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|mut frame| {
                if let Some(sent) = frame.trailers_mut() {
                    sent.extend(self.trailers.drain());
                }
                frame
            })
        }))
    }
}
