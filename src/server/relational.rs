//! An import of relational tables, put together: keys, destination with its layers, source.

use std::sync::Arc;

use anyhow::{Context as _, bail};

use super::{
    key_check,
    keys::{Keys, keyring},
    store,
};
use crate::{
    actors::RoomKeys,
    config::{Config, StoreOptions},
    domain::ids::RoomId,
    relational::{self, ClientKeys, Options, Report, Source},
    storage::{
        layer::{deadline::Deadlines, encrypted::Encrypted, network::behind_network},
        migrate::Progress,
        postgres::PostgresOptions,
        url::{StoreAt, StoreUrl},
    },
};

impl ClientKeys for Keys {
    fn fresh(&self, room: RoomId) -> String {
        RoomKeys::fresh(self, room)
    }

    fn opens(&self, encryption_data: &str) -> bool {
        self.opens_room(encryption_data)
    }

    fn decrypts(&self, encryption_data: &str, content: &str) -> bool {
        self.decrypt(encryption_data, content).is_some()
    }
}

/// How to reach the tables at an address. They are in `public` unless it names another schema.
fn tables(config: &Config, url: &StoreUrl) -> anyhow::Result<PostgresOptions> {
    let (StoreAt::Postgres { schema, .. }, StoreOptions::Postgres(options)) = (&url.at, config.store_at(url)?) else {
        bail!("the tables to import are in a PostgreSQL: postgres://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME");
    };
    Ok(PostgresOptions { schema: schema.clone().unwrap_or_else(|| "public".to_owned()), ..options })
}

/// Brings the tables of the PostgreSQL at `from` into the store at `to`, sealed with the keys of `config`.
///
/// # Errors
/// When either cannot be opened, a key is unusable, or the import stops; made again, it goes on there.
pub async fn import_relational(
    config: &Config,
    (from, to): (&StoreUrl, &StoreUrl),
    options: Options,
    progress: Arc<Progress>,
) -> anyhow::Result<Report> {
    let keys = keyring(config.encryption.resolve(&config.server.data_dir)?).await?;
    let source = Source::open(tables(config, from)?).await.context("the tables to import")?;
    let store = store::open_at(config, to, false).await.with_context(|| to.to_string())?;
    key_check::check(&store, &keys).await?;
    let network = behind_network(Arc::clone(&store), Deadlines::default(), None);
    let sealed = Arc::new(Encrypted::new(network.store, Arc::clone(&keys) as _));
    let report = relational::import(source, sealed, keys, options, progress).await;
    // What was acknowledged is durable in any case; the first error is the one to tell.
    let closed = store.close().await;
    let report = report?;
    closed.context("close the store")?;
    Ok(report)
}
