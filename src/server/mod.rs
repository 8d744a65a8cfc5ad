//! The composition root: builds store, bus, actors and API from a configuration, and takes them down in order:
//! listener, streams, rooms, connections, second store, store.

mod ids;
mod key_check;
mod keys;
mod mirror;
mod relational;
mod store;
use keys::keyring;
pub use keys::sealer;
use mirror::Mirror;
pub use relational::import_relational;
pub use store::open_at;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{self, Node, ops::Parts},
    api::{
        answers::{AnswerLimits, AnswerOptions},
        auth::Verifier,
        serve::{self, Api},
    },
    clock::{Clock as _, SystemClock},
    config::{Config, JoinAllBy, RefsBy},
    domain::room::Referrers,
    ephemera::{Alone, Ephemera, OverRedis},
    events::InProcessBus,
    redis_link::RedisLink,
    storage::{Durability, Store, pulse::Pulse},
    tasks::{self, TaskKind},
    telemetry::metrics::Metrics,
};

/// Events the in-process bus keeps for its slowest subscriber.
const BUS_CAPACITY: usize = 4_096;

/// A running server.
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    mirror: Option<Mirror>,
    drain: Duration,
    store: Arc<dyn Store>,
}

impl Server {
    /// Starts a server. With `accept_data_loss`, also on a store that has lost acknowledged writes.
    ///
    /// # Errors
    /// When the store cannot be opened, a key is unusable, or the address cannot be listened on.
    pub async fn start(config: &Config, accept_data_loss: bool) -> anyhow::Result<Self> {
        let data_dir = config.server.data_dir.clone();
        let (mut auth, _) = config.auth.resolve(&data_dir).context("keys of tokens")?;
        auth.url_schemes.clone_from(&config.limits.url_schemes);
        let verifier = Verifier::from_options(auth).context("keys of tokens")?;
        tasks::spawn(TaskKind::Keys, verifier.clone().run());
        let keyring = keyring(config.encryption.resolve(&data_dir)?).await?;
        let backend = store::open(config, &config.storage.serves, accept_data_loss).await?;
        key_check::check(&backend.plain(), &keyring).await.context("this store is not served with these keys")?;
        let metrics = Metrics::new(backend.store.name());
        let mirror = Mirror::start(config, &backend, accept_data_loss).await?;
        mirror.iter().for_each(|mirror| metrics.watch_mirror(mirror.following()));
        let redis = redis(config, &metrics)?;
        let store = store::layered(
            &backend,
            mirror.as_ref().map(Mirror::marks),
            redis.as_ref(),
            Arc::clone(&keyring),
            &metrics,
        );
        let node = Node::start(Parts {
            store: Arc::clone(&store),
            bus: Arc::new(InProcessBus::new(BUS_CAPACITY)),
            ephemera: ephemera(config, redis.as_ref()),
            clock: Arc::new(SystemClock),
            keys: keyring,
            ids: ids::resume(&*backend.plain(), config.storage.worker_id, SystemClock.now_ms()).await?,
            observer: Arc::clone(&metrics) as Arc<dyn actors::Observer>,
            options: options(config, backend.durability),
        })
        .await?;
        let listener = TcpListener::bind(&config.server.listen)
            .await
            .with_context(|| format!("listen on {}", config.server.listen))?;
        let addr = listener.local_addr()?;
        let recovered = node.recover().await?;
        let pulse = Pulse::default();
        let api = Api::new(node.clone(), verifier, metrics, pulse.clone(), &api_options(config))?;
        let (stop, drain) = (CancellationToken::new(), config.server.drain_timeout());
        ids::keep(backend.plain(), node.clone(), pulse, stop.clone());
        tracing::info!(%addr, recovered, "serving");
        let serving = api.serve(listener, stop.clone(), config.server.drain(), quiesce(node, drain));
        let serving = tasks::spawn(TaskKind::Listener, serving);
        Ok(Self { addr, stop, serving, mirror, drain, store })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Goes down in order. What was acknowledged is kept in any case.
    ///
    /// # Errors
    /// When the store does not close.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.serving.await.context("the listener's task failed")?;
        if let Some(mirror) = self.mirror {
            mirror.stop(self.drain).await;
        }
        self.store.close().await.context("close the store")
    }
}

/// The link to Redis, if there is one. Redis itself need not be there.
fn redis(config: &Config, metrics: &Metrics) -> anyhow::Result<Option<RedisLink>> {
    let link = config.redis.as_ref().map(RedisLink::new).transpose().context("the address of Redis")?;
    link.iter().for_each(|link| metrics.watch(link.circuit()));
    Ok(link)
}

/// What nodes tell each other. A node's name need only differ from those of the others, which its worker number does; a
/// part by chance keeps a restarted node's streams apart from those it had.
fn ephemera(config: &Config, redis: Option<&RedisLink>) -> Arc<dyn Ephemera> {
    match redis {
        Some(link) => {
            let node = format!("{}-{:08x}", config.storage.worker_id, rand::random::<u32>());
            Arc::new(OverRedis::new(link.clone(), node))
        }
        None => Arc::new(Alone::default()),
    }
}

async fn quiesce(node: Node, limit: Duration) {
    if !node.drain(limit).await {
        tracing::warn!("some rooms were not asleep at the end of the drain; they are recovered at the next start");
    }
}

fn options(config: &Config, durability: Durability) -> actors::Options {
    let defaults = actors::Options::default();
    actors::Options {
        room_idle: Duration::from_millis(config.rooms.idle_ms),
        warm_messages: config.rooms.warm_messages,
        warm_room_bytes: config.rooms.warm_room_bytes,
        warm_node_bytes: config.rooms.warm_node_mb << 20,
        queue_max: config.rooms.queue_max,
        batch_max: config.rooms.batch_max,
        members_max: config.rooms.max_members,
        anyone_joins_all: config.rooms.join_all_users == JoinAllBy::Anyone,
        referrers: match config.rooms.external_refs {
            RefsBy::Admin => Referrers::Admin,
            RefsBy::RoomAdmins => Referrers::RoomAdmins,
        },
        in_flight_max: config.limits.in_flight_max,
        streams_per_user_max: config.streams.per_user_max,
        stream_queue_bytes_max: config.streams.queue_bytes_max,
        catch_up_max: config.streams.catch_up_max as u64,
        heartbeat: Duration::from_millis(config.streams.heartbeat_ms),
        request_timeout: config.server.request_timeout(),
        durability,
        scans_at_once: store::scans_at_once(config),
        ..defaults
    }
}

fn api_options(config: &Config) -> serve::Options {
    serve::Options {
        rates: config.limits.rates(),
        message_bytes_max: config.server.max_message_bytes,
        intake: config.server.intake(),
        guests: config.server.guests(),
        times: config.server.times(),
        answers: AnswerOptions {
            limits: AnswerLimits {
                connection_bytes_max: config.server.answer_bytes_per_connection,
                user_bytes_max: config.server.answer_bytes_per_user,
                bytes_max: config.server.answer_bytes,
            },
            write_timeout: Duration::from_millis(config.server.write_timeout_ms),
        },
        url_schemes: config.limits.url_schemes.clone(),
        strict_json: config.is_strict(),
    }
}
