//! Reserves room for the answers of services that do not do so themselves.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::{Status, body::Body, server::NamedService};
use tower::{Layer, Service};

use super::ConnectionUse;
use crate::api::caller::{Caller, Door};

/// Wraps a service whose answers may come to so many bytes.
#[derive(Clone, Debug)]
pub(in crate::api) struct ReserveLayer {
    pub(in crate::api) door: Door,
    pub(in crate::api) bytes: usize,
}

impl<S> Layer<S> for ReserveLayer {
    type Service = Reserve<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Reserve { inner, layer: self.clone() }
    }
}

/// See [`ReserveLayer`].
#[derive(Clone, Debug)]
pub(in crate::api) struct Reserve<S> {
    inner: S,
    layer: ReserveLayer,
}

impl<S: NamedService> NamedService for Reserve<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Reserve<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let clone = self.inner.clone();
        let (mut inner, layer) = (std::mem::replace(&mut self.inner, clone), self.layer.clone());
        Box::pin(async move {
            // Without a caller it gets a short answer.
            let Ok(caller) = Caller::of(request.extensions()) else {
                return inner.call(request).await;
            };
            let connection = request.extensions().get::<ConnectionUse>().cloned().unwrap_or_default();
            match layer.door.answers.reserve(&connection, caller.author.user, layer.bytes).await {
                Ok(held) => {
                    let mut response = inner.call(request).await?;
                    response.extensions_mut().insert(Arc::new(held));
                    Ok(response)
                }
                Err(error) => Ok(Status::from(error).into_http()),
            }
        })
    }
}
