//! One port for every dialect: gRPC, gRPC-Web, Connect, health and metrics over HTTP/1.1 and HTTP/2 without TLS.

use std::{sync::Arc, time::Duration};

use axum::{Router, extract::State, http::HeaderMap, response::IntoResponse, routing::get};
use prost_reflect::DescriptorPool;
use tertulia_proto::{
    DESCRIPTORS, admin::v1::admin_service_server::AdminServiceServer,
    tokens::v1::tokens_service_server::TokensServiceServer,
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tonic_health::pb::health_server::HealthServer;
use tower::{Layer as _, util::MapResponseLayer};
use tower_http::cors::AllowOrigin;

use super::{
    admin::Admin,
    answers::{AnswerOptions, Answers, ReserveLayer},
    auth::Verifier,
    caller::Door,
    chat::ChatService,
    connect::{ConnectLayer, ConnectOptions},
    gate::{Gate, GateLayer},
    grpc_health::GrpcHealth,
    grpc_rules::GrpcRulesLayer,
    grpc_web::GrpcWebLayer,
    guests::Guests,
    health::Health,
    intake::Intake,
    limits::{Limits, Rates},
    listener::Listener,
    panics::PanicsLayer,
    refusals::Refusals,
    status::response_with_reason,
    tokens::Tokens,
};
use crate::{
    actors::Node,
    domain::form::UrlSchemes,
    storage::pulse::Pulse,
    telemetry::{exposition, metrics::Metrics},
};

pub use super::{guests::GuestsOptions, intake::IntakeOptions, listener::Times, networks::Networks};

/// What a page of a log may come to.
const LOG_PAGE_BYTES: usize = 4 * 1024 * 1024;
/// What a user's devices may come to.
const DEVICES_BYTES: usize = 128 * 1024;
/// Responses of at least this many bytes are compressed for Connect clients that ask for it.
const COMPRESS_MIN: usize = 1_024;

/// Headers that carry why a call failed, for browsers to read.
const REASON_HEADERS: [http::HeaderName; 4] = [
    http::header::RETRY_AFTER,
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
    /// Bytes of requests under way.
    pub intake: IntakeOptions,
    /// Connections at a time.
    pub guests: GuestsOptions,
    /// How long they may stay.
    pub times: Times,
    /// How answers go out.
    pub answers: AnswerOptions,
    /// Schemes of addresses that come in.
    pub url_schemes: UrlSchemes,
    /// Whether JSON with a field that does not exist is refused, unless the request says otherwise.
    pub strict_json: bool,
}

/// How a server stops.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drain {
    /// Between not ready and the end of accepting connections.
    pub delay: Duration,
    /// Longest wait for open calls.
    pub limit: Duration,
}

/// The API of a node, ready to be served.
#[derive(Debug)]
pub struct Api {
    listener: Listener,
    draining: CancellationToken,
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
    /// The API of `node`, for callers whom `verifier` knows. By `pulse` health knows whether the store takes writes.
    ///
    /// # Errors
    /// When the built-in descriptors are damaged.
    pub fn new(
        node: Node,
        verifier: Verifier,
        metrics: Arc<Metrics>,
        pulse: Pulse,
        options: &Options,
    ) -> Result<Self, DescriptorsError> {
        let draining = CancellationToken::new();
        let max = options.message_bytes_max;
        let limits = Arc::new(Limits::new(options.rates, node.ephemera()));
        node.charge_to(Arc::clone(&limits) as _);
        let answers = options.answers.answers();
        let door = Door {
            node: node.clone(),
            verifier: verifier.clone(),
            limits,
            intake: Intake::new(options.intake),
            metrics: Arc::clone(&metrics),
            answers: Arc::clone(&answers),
            url_schemes: Arc::new(options.url_schemes.clone()),
            refusals: Arc::new(Refusals::new()),
        };
        let pool = DescriptorPool::decode(DESCRIPTORS)?;
        let health = Health {
            node: node.clone(),
            metrics: Arc::clone(&metrics),
            draining: draining.clone(),
            verifier,
            pulse,
            last: Arc::default(),
        };
        let gate = Gate::new(door.clone(), &pool, max);
        let plain = Plain { node, metrics: Arc::clone(&metrics), answers };
        let connect = ConnectOptions {
            max_request_bytes: max,
            compress_min_bytes: COMPRESS_MIN,
            strict_json: options.strict_json,
        };
        let services = services(&door, &health, &gate, &pool, max)?;
        let connect = ConnectLayer::gated(pool, connect, Arc::new(gate)).layer(services);
        let router = Router::new()
            .route("/metrics", get(show_metrics))
            .with_state(plain)
            .merge(health.routes())
            .fallback_service(super::connect::cors(AllowOrigin::any(), &REASON_HEADERS).layer(connect));
        let listener = Listener {
            router,
            metrics,
            guests: Guests::new(options.guests.clone()),
            times: options.times,
            write_timeout: options.answers.write_timeout,
            connections: TaskTracker::new(),
            drained: CancellationToken::new(),
        };
        Ok(Self { listener, draining })
    }

    /// Serves until `stop`, and goes on for `delay` while it says that it is not ready; then lets open calls end within
    /// `drain` and returns. `quiesce` is run once no new connection is accepted: it ends the streams, so that the calls
    /// can end.
    pub async fn serve<F>(self, listener: TcpListener, stop: CancellationToken, drain: Drain, quiesce: F)
    where
        F: Future<Output = ()>,
    {
        let closed = CancellationToken::new();
        let close = async {
            stop.cancelled().await;
            self.draining.cancel();
            // Whoever sends calls here has time to see it and to send them elsewhere.
            tokio::time::sleep(drain.delay).await;
            closed.cancel();
        };
        tokio::join!(self.listener.accept(listener, &closed), close);
        quiesce.await;
        self.listener.end(drain.limit).await;
    }
}

/// The gRPC services, behind the gate and the protocol's rules.
fn services(
    door: &Door,
    health: &Health,
    gate: &Gate,
    pool: &DescriptorPool,
    message_bytes_max: usize,
) -> Result<Router, DescriptorsError> {
    let max = message_bytes_max;
    let reserve = |bytes| ReserveLayer { door: door.clone(), bytes };
    let tokens = TokensServiceServer::new(Tokens { door: door.clone() }).max_decoding_message_size(max);
    let (started_at_ms, draining) = (door.node.now_ms(), health.draining.clone());
    let admin = Admin { started_at_ms, door: door.clone(), draining };
    let admin = AdminServiceServer::new(admin).max_decoding_message_size(max);
    let names = pool.services().map(|service| service.full_name().to_owned()).collect();
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let services = Routes::new(ChatService { door: door.clone(), message_bytes_max: max })
        .add_service(reserve(DEVICES_BYTES).layer(tokens))
        .add_service(reserve(LOG_PAGE_BYTES).layer(admin))
        .add_service(HealthServer::new(GrpcHealth { health: health.clone(), services: names }))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .into_axum_router();
    Ok(in_order(services.layer(GateLayer(gate.clone())), pool, max))
}

/// What is around all services and the gate, whatever they do.
pub(super) fn in_order(services: Router, pool: &DescriptorPool, message_bytes_max: usize) -> Router {
    services
        .layer(GrpcRulesLayer::new(pool, message_bytes_max))
        .layer(PanicsLayer::new(pool))
        .layer(MapResponseLayer::new(response_with_reason))
        .layer(GrpcWebLayer)
}

/// OpenMetrics for those who ask for it, as Prometheus does; the older format for everybody else.
async fn show_metrics(State(plain): State<Plain>, headers: HeaderMap) -> impl IntoResponse {
    plain.metrics.answers_waiting(plain.answers.waiting_bytes());
    let metrics = plain.metrics.render(&plain.node);
    let accepted = headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (kind, text) = if accepted.into_iter().any(|list| list.contains("application/openmetrics-text")) {
        (exposition::OPEN_METRICS, metrics)
    } else {
        (exposition::PROMETHEUS, exposition::to_prometheus(&metrics))
    };
    ([(http::header::CONTENT_TYPE, kind)], text)
}
