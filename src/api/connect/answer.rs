//! Answers a request by the protocol that it speaks, also when that panics. Knows no protocol's bytes.

use std::{pin::pin, sync::Arc};

use axum::body::Body;
use http::{Request, Response};
use tower::Service;

use super::{
    Shared,
    error::ConnectError,
    route::{Route, route},
    stream, unary,
};
use crate::{
    api::{deadline::Begun, status::ApiError},
    telemetry::panics,
};

/// Answers a request by the protocol that it speaks, also when that panics.
pub(super) async fn answer<S>(
    mut inner: S,
    shared: Arc<Shared>,
    mut request: Request<Body>,
) -> Result<Response<Body>, S::Error>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let begun = Begun::of(request.extensions_mut());
    let path = request.uri().path().to_owned();
    let route = route(&shared.methods, &request);
    let mistake = Mistake::of(&shared, &route, &request);
    let answer = {
        let shared = Arc::clone(&shared);
        let answer = async {
            match route {
                Route::Grpc => inner.call(request).await,
                Route::Refused(response) => Ok(response),
                Route::Unary(call) => unary::serve(inner, shared, call, request).await,
                Route::Stream(call) => stream::serve(inner, shared, call, request).await,
            }
        };
        panics::caught(pin!(answer)).await
    };
    answer.unwrap_or_else(|panicked| {
        // A path that is none of ours may hold anything.
        let known = shared.methods.get(&path);
        panicked.note(known.map_or("", |_| &path));
        let is_safe = known.is_some_and(|method| method.safe);
        Ok(mistake.told(!is_safe && begun.may_have_happened(), &shared))
    })
}

/// How a call is told of a mistake of the server.
enum Mistake {
    Grpc,
    Unary,
    Stream(stream::Refusal),
}

impl Mistake {
    fn of(shared: &Arc<Shared>, route: &Route, request: &Request<Body>) -> Self {
        match route {
            Route::Grpc => Self::Grpc,
            Route::Unary(_) | Route::Refused(_) => Self::Unary,
            Route::Stream(call) => Self::Stream(stream::Refusal::of(shared, call, request)),
        }
    }

    fn told(self, may_have_happened: bool, shared: &Shared) -> Response<Body> {
        match self {
            Self::Grpc => tonic::Status::from(ApiError::panicked(may_have_happened)).into_http(),
            Self::Unary => ConnectError::panicked(may_have_happened).to_response(shared.methods.pool()),
            Self::Stream(refusal) => refusal.told(ConnectError::panicked(false)),
        }
    }
}
