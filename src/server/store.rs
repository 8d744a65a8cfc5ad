//! Which store, and the layers around it. The only place that knows all backends.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::keys::Keys;
use crate::{
    clock::SystemClock,
    config::{Backend, Config, Place, StoreOptions},
    redis_link::RedisLink,
    storage::{
        Durability, Store,
        embedded::{EmbeddedStore, SyncPolicy},
        layer::{
            cached::CacheObserver,
            deadline::{Deadline, Deadlines},
            encrypted::Encrypted,
            metered::Metered,
            mirrored::{Marks, Mirrored},
            network::behind_network,
        },
        postgres::PostgresStore,
        scylla::ScyllaStore,
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
    let mut options = config.store(place)?;
    if let StoreOptions::Embedded { options, .. } = &mut options {
        options.accept_data_loss = accept_data_loss;
    }
    let opened = open_with(options).await;
    match place {
        Place::Configured(_) => opened,
        Place::Url(url) => opened.with_context(|| url.to_string()),
    }
}

/// Opens the backend at an address, as the configuration says for its kind, with nothing around it. One that
/// `must_exist` is not made.
///
/// # Errors
/// If a parameter of the address does not fit, or it cannot be opened.
pub async fn open_at(config: &Config, url: &StoreUrl, must_exist: bool) -> anyhow::Result<Arc<dyn Store>> {
    let mut options = config.store_at(url)?;
    match &mut options {
        StoreOptions::Embedded { dir, .. } if must_exist && !dir.is_dir() => {
            bail!("there is no store in this directory");
        }
        StoreOptions::Scylla(options) if must_exist => options.create_keyspace = None,
        StoreOptions::Embedded { .. } | StoreOptions::Postgres(_) | StoreOptions::Scylla(_) => {}
    }
    Ok(open_with(options).await?.store)
}

async fn open_with(options: StoreOptions) -> anyhow::Result<Opened> {
    match options {
        StoreOptions::Embedded { dir, options } => {
            let durability = match options.sync {
                SyncPolicy::Always => Durability::Synced,
                SyncPolicy::Interval(_) => Durability::Buffered,
            };
            let opened = tokio::task::spawn_blocking(move || EmbeddedStore::open(dir, &options)).await?;
            Ok(Opened { store: Arc::new(opened.context("open the store")?), durability, is_remote: false })
        }
        StoreOptions::Postgres(options) => {
            let opened = PostgresStore::open(&options).await;
            let store = opened.with_context(|| format!("open PostgreSQL at {}:{}", options.host, options.port))?;
            let durability = store.durability();
            Ok(Opened { store: Arc::new(store), durability, is_remote: true })
        }
        StoreOptions::Scylla(options) => {
            let opened = ScyllaStore::open(&options, Arc::new(SystemClock)).await;
            let store = opened.with_context(|| format!("open ScyllaDB at {}", options.contact_points.join(", ")))?;
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
