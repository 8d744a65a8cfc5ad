//! Which store, and the layers around it. The only place that knows all backends.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;

use super::Keys;
use crate::{
    config::{Backend, Config, Fsync, PostgresConfig},
    storage::{
        Durability, Store,
        embedded::{EmbeddedStore, OpenOptions, SyncPolicy},
        layer::{
            deadline::{Deadline, Deadlines},
            encrypted::Encrypted,
            metered::Metered,
        },
        postgres::{PostgresOptions, PostgresStore},
    },
    telemetry::metrics::Metrics,
};

/// A backend, and what its acknowledgements promise.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    pub(super) durability: Durability,
}

/// Opens the configured backend. `accept_data_loss` concerns the embedded one alone: it opens in spite of a loss.
pub(super) async fn open(config: &Config, accept_data_loss: bool) -> anyhow::Result<Opened> {
    match config.storage.backend {
        Backend::Embedded => embedded(config, accept_data_loss).await,
        Backend::Postgres => postgres(&config.postgres).await,
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
    Ok(Opened { store: Arc::new(opened.context("open the store")?), durability })
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
    };
    let opened = PostgresStore::open(&options).await;
    let store = opened.with_context(|| format!("open PostgreSQL at {}:{}", config.host, config.port))?;
    let durability = store.durability();
    Ok(Opened { store: Arc::new(store), durability })
}

/// The store with its layers, from the outside in: metered, deadline, encrypted, backend. What is below the encryption
/// sees ciphertext only.
pub(super) fn layered(backend: Arc<dyn Store>, keyring: Arc<Keys>, metrics: Arc<Metrics>) -> Arc<dyn Store> {
    let encrypted = Arc::new(Encrypted::new(backend, keyring));
    let deadline = Arc::new(Deadline::new(encrypted, Deadlines::default()));
    Arc::new(Metered::new(deadline, metrics))
}
