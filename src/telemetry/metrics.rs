//! Metrics in the OpenMetrics text format, by the names that dashboards rely on.

use std::{
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::Duration,
};

use parking_lot::RwLock;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::panics;
use crate::{
    actors::{Node, Observer},
    circuit::{Circuit, CircuitState},
    domain::{event::Event, room::RoomType},
    storage::{
        StoreErrorKind,
        layer::{Op, cached::CacheObserver, metered::StoreObserver},
        migrate::Following,
    },
};

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct SentLabels {
    room_type: &'static str,
    database: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct QueryLabels {
    operation: &'static str,
    database: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct FailureLabels {
    operation: &'static str,
    database: &'static str,
    kind: String,
}

/// The process's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    database: &'static str,
    sent: Family<SentLabels, Counter>,
    queries: Family<QueryLabels, Histogram, fn() -> Histogram>,
    failures: Family<FailureLabels, Counter>,
    clients: Family<ClientLabels, Gauge>,
    sockets: Gauge,
    lookups: Family<LookupLabels, Counter>,
    circuit_states: Family<CircuitLabels, Gauge>,
    circuit_openings: Family<ServiceLabels, Gauge>,
    circuits: RwLock<Vec<Arc<Circuit>>>,
    mirror: OnceLock<Following>,
    mirror_waiting: Gauge,
    mirror_comparing: Gauge,
    mirror_lag: Gauge<f64, AtomicU64>,
    rooms: Gauge,
    users: Gauge,
    streams: Gauge,
    in_flight: Gauge,
    answers: Gauge,
    tokens_refused: Family<CauseLabels, Counter>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct CauseLabels {
    cause: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ClientLabels {
    client_type: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct LookupLabels {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct CircuitLabels {
    service: &'static str,
    state: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ServiceLabels {
    service: &'static str,
}

/// A connection, or a client on one, that is counted until it is dropped.
#[derive(Debug)]
pub struct Connected(Gauge);

impl Connected {
    fn on(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl CacheObserver for Metrics {
    fn looked_up(&self, kind: &'static str, hit: bool) {
        let result = if hit { "hit" } else { "miss" };
        self.lookups.get_or_create(&LookupLabels { kind, result }).inc();
    }
}

fn query_buckets() -> Histogram {
    Histogram::new([0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0])
}

impl Metrics {
    /// Metrics of a node whose store is called `database`.
    #[must_use]
    pub fn new(database: &'static str) -> Arc<Self> {
        let metrics = Self {
            registry: Registry::default(),
            database,
            sent: Family::default(),
            queries: Family::new_with_constructor(query_buckets),
            failures: Family::default(),
            clients: Family::default(),
            sockets: Gauge::default(),
            lookups: Family::default(),
            circuit_states: Family::default(),
            circuit_openings: Family::default(),
            circuits: RwLock::default(),
            mirror: OnceLock::new(),
            mirror_waiting: Gauge::default(),
            mirror_comparing: Gauge::default(),
            mirror_lag: Gauge::default(),
            rooms: Gauge::default(),
            users: Gauge::default(),
            streams: Gauge::default(),
            in_flight: Gauge::default(),
            answers: Gauge::default(),
            tokens_refused: Family::default(),
        };
        Arc::new(metrics.registered())
    }

    fn registered(mut self) -> Self {
        let r = &mut self.registry;
        r.register("chat_messages_sent", "Messages acknowledged", self.sent.clone());
        r.register("chat_query_duration_seconds", "Time of store operations", self.queries.clone());
        r.register("chat_query_failures", "Store operations that failed", self.failures.clone());
        r.register("chat_active_connections", "Clients connected by a stream or session", self.clients.clone());
        r.register("chat_sockets_open", "Open TCP connections", self.sockets.clone());
        r.register("chat_cache_lookups", "Questions to the cache, by whether it knew", self.lookups.clone());
        r.register("chat_circuit_state", "1 for the state the circuit is in", self.circuit_states.clone());
        r.register("chat_circuit_openings", "How often the circuit has opened", self.circuit_openings.clone());
        let (waiting, comparing) = (self.mirror_waiting.clone(), self.mirror_comparing.clone());
        r.register("chat_mirror_waiting", "Rooms and users that the second store may lack something of", waiting);
        r.register("chat_mirror_comparing", "1 while both stores are compared: anything may be missing", comparing);
        r.register("chat_mirror_lag_seconds", "Age of the oldest write not brought", self.mirror_lag.clone());
        r.register("chat_rooms_awake", "Rooms with an actor", self.rooms.clone());
        r.register("chat_users_awake", "Users with an actor", self.users.clone());
        r.register("chat_streams_open", "Open streams", self.streams.clone());
        r.register("chat_commands_in_flight", "Commands accepted and not yet answered", self.in_flight.clone());
        r.register("chat_answer_bytes_waiting", "Bytes of answers being made or not yet taken", self.answers.clone());
        r.register("chat_tokens_refused", "Calls refused for their token, by cause", self.tokens_refused.clone());
        r.register("chat_calls_panicked", "Calls ended by a mistake of the server's code", panics::calls());
        self
    }

    /// A call was refused for its token.
    pub fn token_refused(&self, cause: &'static str) {
        self.tokens_refused.get_or_create(&CauseLabels { cause }).inc();
    }

    /// How many calls were refused for that cause.
    #[must_use]
    pub fn tokens_refused(&self, cause: &'static str) -> u64 {
        self.tokens_refused.get(&CauseLabels { cause }).map_or(0, |counter| counter.get())
    }

    /// A connection opened; it counts as long as what is returned lives.
    #[must_use]
    pub fn connected(&self) -> Connected {
        Connected::on(self.sockets.clone())
    }

    /// Connections that are open.
    #[must_use]
    pub fn sockets_open(&self) -> i64 {
        self.sockets.get()
    }

    /// A client opened a stream or a session; it counts as long as what is returned lives.
    #[must_use]
    pub fn client(&self, client_type: &'static str) -> Connected {
        Connected::on(self.clients.get_or_create(&ClientLabels { client_type }).clone())
    }

    /// Shows a circuit from now on.
    pub fn watch(&self, circuit: Arc<Circuit>) {
        self.circuits.write().push(circuit);
    }

    /// What the store is called.
    #[must_use]
    pub const fn database(&self) -> &'static str {
        self.database
    }

    /// The circuits shown.
    #[must_use]
    pub fn circuits(&self) -> Vec<Arc<Circuit>> {
        self.circuits.read().clone()
    }

    /// Shows the follower of the store from now on. There is one a process.
    pub fn watch_mirror(&self, following: Following) {
        // A second one would be a mistake of ours; the first stays.
        let _ = self.mirror.set(following);
    }

    /// The follower shown.
    #[must_use]
    pub fn mirror(&self) -> Option<&Following> {
        self.mirror.get()
    }

    fn read_mirror(&self) {
        let Some(following) = self.mirror() else { return };
        let behind = following.marks().behind();
        self.mirror_waiting.set(behind.and_then(|n| i64::try_from(n).ok()).unwrap_or_default());
        self.mirror_comparing.set(i64::from(behind.is_none()));
        self.mirror_lag.set(following.lag().as_secs_f64());
    }

    fn read_circuits(&self) {
        for circuit in self.circuits.read().iter() {
            let now = circuit.state();
            for state in [CircuitState::Closed, CircuitState::HalfOpen, CircuitState::Open] {
                let labels = CircuitLabels { service: circuit.name(), state: state.name() };
                self.circuit_states.get_or_create(&labels).set(i64::from(state == now));
            }
            let opened = i64::try_from(circuit.opened()).unwrap_or(i64::MAX);
            self.circuit_openings.get_or_create(&ServiceLabels { service: circuit.name() }).set(opened);
        }
    }

    /// How many bytes of answers wait.
    pub fn answers_waiting(&self, bytes: usize) {
        self.answers.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// All metrics as text.
    #[must_use]
    pub fn render(&self, node: &Node) -> String {
        let status = node.status();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.rooms.set(gauge(status.rooms_awake));
        self.users.set(gauge(status.users_awake));
        self.streams.set(gauge(status.streams));
        self.in_flight.set(gauge(status.commands_in_flight));
        self.read_circuits();
        self.read_mirror();
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl Observer for Metrics {
    fn appended(&self, room_type: RoomType, events: &[Event]) {
        let messages = events.iter().filter(|event| event.message().is_some()).count() as u64;
        if messages > 0 {
            let labels = SentLabels { room_type: room_type.name(), database: self.database };
            self.sent.get_or_create(&labels).inc_by(messages);
        }
    }
}

impl StoreObserver for Metrics {
    fn observe(&self, op: Op, took: Duration, result: Result<(), StoreErrorKind>) {
        let labels = QueryLabels { operation: op.name, database: self.database };
        self.queries.get_or_create(&labels).observe(took.as_secs_f64());
        if let Err(kind) = result {
            let kind = format!("{kind:?}").to_lowercase();
            self.failures.get_or_create(&FailureLabels { operation: op.name, database: self.database, kind }).inc();
        }
    }
}
