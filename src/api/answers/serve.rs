//! Puts a connection's streams and their answers together: the protocol code is given [`Watched`] to start its streams
//! with, and [`Served`] to answer them.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use http::{Request, Response, StatusCode, Version};
use hyper::{body::Incoming, rt::Executor, service::Service};
use parking_lot::Mutex;

use super::{
    ConnectionUse,
    pieces::{Outgoing, Progress},
    watch::{Ended, watch},
};
use crate::{api::connection::Streams, telemetry::panics};

/// Starts a connection's streams, each with an eye on what its client takes.
#[derive(Clone)]
pub(in crate::api) struct Watched {
    streams: Streams,
    write_timeout: Duration,
    /// Of the call that the protocol code has just taken: the stream that it starts next is that call's.
    next: Arc<Mutex<Option<Arc<Progress>>>>,
}

impl Watched {
    pub(in crate::api) fn new(streams: Streams, write_timeout: Duration) -> Self {
        Self { streams, write_timeout, next: Arc::default() }
    }

    /// A service of this connection: `inner`, with its answers in pieces.
    pub(in crate::api) fn serve<S>(&self, inner: S) -> Served<S> {
        Served { inner, used: ConnectionUse::default(), next: Arc::clone(&self.next) }
    }
}

impl<F> Executor<F> for Watched
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let Some(progress) = self.next.lock().take() else {
            self.streams.execute(stream);
            return;
        };
        let (streams, write_timeout) = (self.streams.clone(), self.write_timeout);
        self.streams.execute(async move {
            match watch(stream, progress, write_timeout).await {
                Ended::Done => {}
                Ended::Dropped => tracing::debug!("a stream was reset: its client took nothing"),
                Ended::Stuck => {
                    tracing::debug!("a connection is closed: its client took nothing of an answer");
                    streams.give_up();
                }
            }
        });
    }
}

/// See [`Watched::serve`].
#[derive(Clone, Debug)]
pub(in crate::api) struct Served<S> {
    inner: S,
    used: ConnectionUse,
    next: Arc<Mutex<Option<Arc<Progress>>>>,
}

impl<S> Service<Request<Incoming>> for Served<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Outgoing>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.used.clone());
        let progress = Arc::<Progress>::default();
        if request.version() == Version::HTTP_2 {
            // Before HTTP/2 a connection has one answer at a time, and its socket tells whether that is taken.
            *self.next.lock() = Some(Arc::clone(&progress));
        }
        let (answer, used) = (panics::catch(|| self.inner.call(request)), self.used.clone());
        Box::pin(async move {
            let answered = match answer {
                Ok(answer) => panics::caught(pin!(answer)).await,
                Err(panicked) => Err(panicked),
            };
            let answer = answered.unwrap_or_else(|panicked| {
                panicked.note("");
                let mut mistake = Response::new(Body::from("a mistake of the server\n"));
                *mistake.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                Ok(mistake)
            });
            Ok(Outgoing::of(answer?, progress, &used))
        })
    }
}
