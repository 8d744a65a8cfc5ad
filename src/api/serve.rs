//! One port for every dialect: gRPC, gRPC-Web, Connect, health and metrics over HTTP/1.1 and HTTP/2 without TLS.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::State, response::IntoResponse, routing::get};
use hyper_util::{rt::TokioTimer, server::conn::auto, service::TowerToHyperService};
use prost_reflect::DescriptorPool;
use tertulia_proto::{
    DESCRIPTORS, admin::v1::admin_service_server::AdminServiceServer,
    tokens::v1::tokens_service_server::TokensServiceServer,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::{Layer as _, ServiceExt as _, util::MapResponseLayer};
use tower_http::cors::AllowOrigin;

use super::{
    admin::Admin,
    answers::{AnswerOptions, Answers, ReserveLayer, Watched},
    auth::Verifier,
    caller::Door,
    chat::ChatService,
    connect::{Connect, ConnectOptions},
    connection::{self, Streams},
    grpc_rules::GrpcRulesLayer,
    grpc_web::GrpcWebLayer,
    health::Health,
    limits::{Limits, Rates},
    socket::{self, Socket},
    status::response_with_reason,
    tokens::Tokens,
};
use crate::{
    actors::Node,
    tasks::{self, TaskKind},
    telemetry::metrics::Metrics,
};

/// Bytes a client may have under way on one HTTP/2 stream, and on all streams of a connection.
const STREAM_WINDOW: u32 = 256 * 1024;
/// See above.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of answers buffered for one stream before the one who writes must wait.
const SEND_BUFFER: usize = 64 * 1024;
/// Calls of one connection at a time.
const CONCURRENT_STREAMS: u32 = 1_000;
/// What a page of a log may come to.
const LOG_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// What a user's devices may come to.
const DEVICES_BYTES: usize = 128 * 1024;
/// Responses of at least this many bytes are compressed for Connect clients that ask for it.
const COMPRESS_MIN: usize = 1_024;

/// Headers that carry why a call failed, for browsers to read.
const REASON_HEADERS: [http::HeaderName; 3] = [
    http::HeaderName::from_static("tertulia-reason"),
    http::HeaderName::from_static("tertulia-retry-after-ms"),
    http::HeaderName::from_static("tertulia-outcome"),
];

/// What the API is served with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rate limits.
    pub rates: Rates,
    /// Greatest size of a request message, bytes.
    pub message_bytes_max: usize,
    /// Connections at a time; more wait to be accepted.
    pub connections_max: u32,
    /// How answers go out.
    pub answers: AnswerOptions,
}

/// The API of a node, ready to be served.
#[derive(Debug)]
pub struct Api {
    router: Router,
    metrics: Arc<Metrics>,
    draining: Arc<AtomicBool>,
    connections: Arc<Semaphore>,
    connections_max: u32,
    write_timeout: Duration,
}

/// The descriptions of the services that are built in cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DescriptorsError {
    /// By the dialects that read messages by them.
    #[error("the built-in descriptors are damaged")]
    Pool(#[from] prost_reflect::DescriptorError),
    /// By reflection.
    #[error("reflection cannot serve the built-in descriptors")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// What the plain HTTP routes need.
#[derive(Clone, Debug)]
struct Plain {
    node: Node,
    metrics: Arc<Metrics>,
    answers: Arc<Answers>,
}

impl Api {
    /// The API of `node`, for callers whom `verifier` knows.
    ///
    /// # Errors
    /// When the built-in descriptors are damaged.
    pub async fn new(
        node: Node,
        verifier: Verifier,
        metrics: Arc<Metrics>,
        options: &Options,
    ) -> Result<Self, DescriptorsError> {
        let draining = Arc::new(AtomicBool::new(false));
        let max = options.message_bytes_max;
        let limits = Arc::new(Limits::new(options.rates, node.ephemera()));
        node.charge_to(Arc::clone(&limits) as _);
        let answers = options.answers.answers();
        let door = Door {
            node: node.clone(),
            verifier: verifier.clone(),
            limits,
            metrics: Arc::clone(&metrics),
            answers: Arc::clone(&answers),
        };
        let reserve = |bytes| ReserveLayer { door: door.clone(), bytes };
        let admin_server =
            |admin| reserve(LOG_PAGE_BYTES).layer(AdminServiceServer::new(admin).max_decoding_message_size(max));
        let tokens = Tokens { door: door.clone() };
        let tokens = reserve(DEVICES_BYTES).layer(TokensServiceServer::new(tokens).max_decoding_message_size(max));
        let admin = Admin { started_at_ms: node.now_ms(), door: door.clone(), draining: Arc::clone(&draining) };
        let (health, health_service) = tonic_health::server::health_reporter();
        health
            .set_service_status(
                <ChatService as tonic::server::NamedService>::NAME,
                tonic_health::ServingStatus::Serving,
            )
            .await;
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let pool = DescriptorPool::decode(DESCRIPTORS)?;
        let inner = Routes::new(ChatService { door: door.clone(), message_bytes_max: max })
            .add_service(tokens)
            .add_service(admin_server(admin))
            .add_service(health_service)
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .into_axum_router()
            .layer(GrpcRulesLayer::new(&pool, max))
            .layer(MapResponseLayer::new(response_with_reason))
            .layer(GrpcWebLayer);
        let connect = ConnectOptions { max_request_bytes: max, compress_min_bytes: COMPRESS_MIN };
        let health =
            Health { node: node.clone(), metrics: Arc::clone(&metrics), draining: Arc::clone(&draining), verifier };
        let plain = Plain { node, metrics: Arc::clone(&metrics), answers };
        let router = Router::new()
            .route("/metrics", get(show_metrics))
            .with_state(plain)
            .merge(health.routes())
            .fallback_service(
                super::connect::cors(AllowOrigin::any(), &REASON_HEADERS).layer(Connect::new(inner, pool, connect)),
            );
        let connections_max = options.connections_max;
        let permits = usize::try_from(connections_max).unwrap_or(Semaphore::MAX_PERMITS);
        let connections = Arc::new(Semaphore::new(permits));
        let write_timeout = options.answers.write_timeout;
        Ok(Self { router, metrics, draining, connections, connections_max, write_timeout })
    }

    /// Serves until `stop`, then lets open calls end within `drain` and returns. `quiesce` is run once no new
    /// connection is accepted: it ends the streams, so that the calls can end.
    pub async fn serve<F>(self, listener: TcpListener, stop: CancellationToken, drain: Duration, quiesce: F)
    where
        F: Future<Output = ()>,
    {
        let drained = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.accept(&listener) => accepted,
            };
            let Some((socket, permit)) = accepted else {
                continue;
            };
            let service =
                self.router.clone().map_request(|request: http::Request<hyper::body::Incoming>| request.map(Body::new));
            let streams = Streams::default();
            let watched = Watched::new(streams.clone(), self.write_timeout);
            let service = watched.serve(TowerToHyperService::new(service));
            let connection =
                http(watched).serve_connection(Socket::new(socket, self.write_timeout), service).into_owned();
            let connection = connection::run(connection, streams, drained.clone().cancelled_owned());
            let metrics = Arc::clone(&self.metrics);
            metrics.connected();
            tasks::spawn(TaskKind::Connection, async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection ended");
                }
                metrics.disconnected();
                drop(permit);
            });
        }
        drop(listener);
        self.draining.store(true, Ordering::Relaxed);
        quiesce.await;
        drained.cancel();
        // Each connection has a permit: when all are back, none is left.
        if timeout(drain, self.connections.acquire_many(self.connections_max)).await.is_err() {
            tracing::warn!("connections were cut at the end of the drain");
        }
    }

    async fn accept(&self, listener: &TcpListener) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((socket, _)) => {
                if let Err(error) = socket::set_options(&socket) {
                    tracing::debug!(%error, "no socket options");
                }
                Some((socket, permit))
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }
}

fn http(streams: Watched) -> auto::Builder<Watched> {
    let mut http = auto::Builder::new(streams);
    http.http1().timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_concurrent_streams(CONCURRENT_STREAMS);
    http
}

async fn show_metrics(State(plain): State<Plain>) -> impl IntoResponse {
    plain.metrics.answers_waiting(plain.answers.waiting_bytes());
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(http::header::CONTENT_TYPE, kind)], plain.metrics.render(&plain.node))
}
