//! Which store, and the layers around it. The only place that knows all backends.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};

use super::keys::Keys;
use crate::{
    clock::SystemClock,
    config::{Backend, Config, Fsync, Place, PostgresConfig},
    redis_link::RedisLink,
    storage::{
        Durability, Store,
        embedded::{EmbeddedStore, OpenOptions, SyncPolicy},
        layer::{
            cached::CacheObserver,
            deadline::{Deadline, Deadlines},
            encrypted::Encrypted,
            metered::Metered,
            mirrored::{Marks, Mirrored},
            network::behind_network,
        },
        postgres::{PostgresOptions, PostgresStore},
        scylla::{Options as ScyllaOptions, Replication, ScyllaStore},
        url::StoreUrl,
    },
    telemetry::metrics::Metrics,
};

/// A backend, and what its acknowledgements promise.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) durability: Durability,
    /// Whether it may be slow or gone while this process is well.
    is_remote: bool,
}

impl Opened {
    /// The backend with nothing around it that would hide its state, and no call that lasts for ever: for who brings its
    /// content elsewhere, or to it.
    pub(super) fn plain(&self) -> Arc<dyn Store> {
        Arc::new(Deadline::new(Arc::clone(&self.store), Deadlines::default()))
    }
}

/// Opens a store of the configuration. `accept_data_loss` concerns the embedded one alone: it opens in spite of a loss.
pub(super) async fn open(config: &Config, place: &Place, accept_data_loss: bool) -> anyhow::Result<Opened> {
    match place {
        Place::Configured(Backend::Embedded) => embedded(config, accept_data_loss).await,
        Place::Configured(Backend::Postgres) => postgres(&config.postgres).await,
        Place::Configured(Backend::Scylla) => scylla(config).await,
        Place::Url(url) => open_url(url, false).await.with_context(|| url.to_string()),
    }
}

async fn embedded(config: &Config, accept_data_loss: bool) -> anyhow::Result<Opened> {
    let (sync, durability) = match config.storage.fsync {
        Fsync::Always => (SyncPolicy::Always, Durability::Synced),
        Fsync::Interval => {
            let every = Duration::from_millis(config.storage.fsync_interval_ms);
            (SyncPolicy::Interval(every), Durability::Buffered)
        }
    };
    let options =
        OpenOptions { sync, cache_bytes: config.storage.cache_mb << 20, accept_data_loss, ..OpenOptions::default() };
    let dir = config.server.data_dir.join("store");
    let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(dir, &options)).await?;
    Ok(Opened { store: Arc::new(opened.context("open the store")?), durability, is_remote: false })
}

async fn postgres(config: &PostgresConfig) -> anyhow::Result<Opened> {
    let options = PostgresOptions {
        host: config.host.clone(),
        port: config.port,
        user: config.user.clone(),
        password: config.password.clone(),
        database: config.database.clone(),
        schema: config.schema.clone(),
        pool_size: config.pool_size,
        append_lanes: config.append_lanes,
        connect_timeout: Duration::from_millis(config.connect_timeout_ms),
        statement_timeout: Duration::from_millis(config.statement_timeout_ms),
        ..PostgresOptions::default()
    };
    let opened = PostgresStore::open(&options).await;
    let store = opened.with_context(|| format!("open PostgreSQL at {}:{}", config.host, config.port))?;
    let durability = store.durability();
    Ok(Opened { store: Arc::new(store), durability, is_remote: true })
}

async fn scylla(config: &Config) -> anyhow::Result<Opened> {
    let scylla = &config.scylla;
    let copies = scylla.replication_factor;
    let create_keyspace = (copies > 0).then(|| match &scylla.datacenter {
        Some(datacenter) => Replication::PerDatacenter(vec![(datacenter.clone(), copies)]),
        None => Replication::Simple(copies),
    });
    let options = ScyllaOptions {
        contact_points: scylla.hosts.clone(),
        port: scylla.port,
        keyspace: scylla.keyspace.clone(),
        datacenter: scylla.datacenter.clone(),
        username: scylla.username.clone(),
        password: scylla.password.clone(),
        consistency: scylla.consistency,
        create_keyspace,
        request_timeout: Duration::from_millis(scylla.request_timeout_ms),
        node: format!("worker {}", config.storage.worker_id),
    };
    let opened = ScyllaStore::open(&options, Arc::new(SystemClock)).await;
    let store = opened.with_context(|| format!("open ScyllaDB at {}", scylla.hosts.join(", ")))?;
    let durability = store.durability();
    Ok(Opened { store: Arc::new(store), durability, is_remote: true })
}

/// Opens the backend at an address, with nothing around it. One that `must_exist` is not made.
///
/// # Errors
/// If it cannot be opened, or this build does not have it.
pub async fn open_at(url: &StoreUrl, must_exist: bool) -> anyhow::Result<Arc<dyn Store>> {
    Ok(open_url(url, must_exist).await?.store)
}

async fn open_url(url: &StoreUrl, must_exist: bool) -> anyhow::Result<Opened> {
    match url {
        StoreUrl::Embedded(dir) => {
            let dir = dir.join("store");
            if must_exist && !dir.is_dir() {
                bail!("there is no store in this directory");
            }
            let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(dir, &OpenOptions::default())).await?;
            let store = Arc::new(opened.context("open the store")?);
            Ok(Opened { store, durability: Durability::Synced, is_remote: false })
        }
        StoreUrl::Postgres(url) => {
            let opened = PostgresStore::open(&PostgresOptions::from_url(url)?).await;
            let store = opened.context("open the store")?;
            let durability = store.durability();
            Ok(Opened { store: Arc::new(store), durability, is_remote: true })
        }
        StoreUrl::Scylla { login, hosts, keyspace } => {
            let options = ScyllaOptions {
                contact_points: hosts.clone(),
                keyspace: keyspace.clone(),
                username: login.as_ref().map(|login| login.user.clone()),
                password: login.as_ref().map(|login| login.password.clone().into()),
                create_keyspace: None,
                ..ScyllaOptions::default()
            };
            let opened = ScyllaStore::open(&options, Arc::new(SystemClock)).await;
            let store = opened.context("open the store")?;
            let durability = store.durability();
            Ok(Opened { store: Arc::new(store), durability, is_remote: true })
        }
    }
}

/// The store with its layers, from the outside in: metered, deadline, encrypted, marks for the second store (if there is
/// one), what a network asks for, backend. What is below the encryption sees ciphertext only.
pub(super) fn layered(
    backend: &Opened,
    marks: Option<Marks>,
    redis: Option<&RedisLink>,
    keyring: Arc<Keys>,
    metrics: &Arc<Metrics>,
) -> Arc<dyn Store> {
    let deadlines = Deadlines::default();
    let store = if backend.is_remote {
        let cache = redis.map(|link| (link.clone(), Arc::clone(metrics) as Arc<dyn CacheObserver>));
        let network = behind_network(Arc::clone(&backend.store), deadlines, cache);
        metrics.watch(network.circuit);
        network.store
    } else {
        Arc::clone(&backend.store)
    };
    let store = match marks {
        Some(marks) => Arc::new(Mirrored::new(store, marks)),
        None => store,
    };
    let encrypted = Arc::new(Encrypted::new(store, keyring));
    let deadline = Arc::new(Deadline::new(encrypted, deadlines));
    Arc::new(Metered::new(deadline, Arc::clone(metrics) as _))
}

/// Slices of long scans at once: as many as there are cores where rows come from this process; more where most of a
/// slice is waiting for a database.
pub(super) fn scans_at_once(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(2, usize::from).max(2);
    if config.storage.backend == Backend::Embedded { cores } else { 8 * cores }
}
