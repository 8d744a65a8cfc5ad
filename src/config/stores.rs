//! How stores are opened. What the configuration says of a kind counts for every store of that kind, wherever the place
//! comes from; an address adds what is set for its store alone.

use std::path::PathBuf;
use std::time::Duration;

use super::{
    Backend, Config, ConfigError, Fsync, Origin, Place, PostgresConfig,
    raw::{self, RawConfig, conflict},
};
use crate::storage::embedded::{OpenOptions, SyncPolicy};
use crate::storage::postgres::PostgresOptions;
use crate::storage::scylla::{Options as ScyllaOptions, Replication};
use crate::storage::url::{StoreAt, StoreUrl};

/// A store, and how to open it.
#[derive(Clone, Debug)]
pub enum StoreOptions {
    /// Files in a directory.
    Embedded {
        /// The store's own directory within the data directory.
        dir: PathBuf,
        /// How.
        options: OpenOptions,
    },
    /// PostgreSQL.
    Postgres(PostgresOptions),
    /// ScyllaDB or Cassandra.
    Scylla(ScyllaOptions),
}

impl Config {
    /// How to open the store at this place.
    ///
    /// # Errors
    /// As [`Config::store_at`].
    pub fn store(&self, place: &Place) -> Result<StoreOptions, ConfigError> {
        Ok(match place {
            Place::Configured(Backend::Embedded) => self.embedded(self.server.data_dir.clone()),
            Place::Configured(Backend::Postgres) => StoreOptions::Postgres(self.postgres.options()),
            Place::Configured(Backend::Scylla) => StoreOptions::Scylla(self.scylla_options()),
            Place::Url(url) => self.store_at(url)?,
        })
    }

    /// How to open the store at this address: place and login are the address's, all else is as its parameters say, or as
    /// it is configured for stores of this kind. A keyspace is made only if the address says with how many copies.
    ///
    /// # Errors
    /// If a parameter's value is none for its key, or does not go with the others.
    pub fn store_at(&self, url: &StoreUrl) -> Result<StoreOptions, ConfigError> {
        let tuned = self.with(&url.set)?;
        Ok(match &url.at {
            StoreAt::Embedded(dir) => tuned.embedded(dir.clone()),
            StoreAt::Postgres { url, schema } => {
                let place = PostgresOptions::from_url(url).map_err(|error| ConfigError::Conflict {
                    origin: Origin::Address,
                    key: "postgres.host".to_owned(),
                    problem: error.to_string(),
                })?;
                StoreOptions::Postgres(PostgresOptions {
                    host: place.host,
                    port: place.port,
                    user: place.user,
                    password: place.password,
                    database: place.database,
                    schema: schema.clone().unwrap_or(place.schema),
                    ..tuned.postgres.options()
                })
            }
            StoreAt::Scylla { login, hosts, keyspace } => {
                let options = tuned.scylla_options();
                let makes = url.set.iter().any(|(key, _)| *key == "scylla.replication_factor");
                StoreOptions::Scylla(ScyllaOptions {
                    contact_points: hosts.clone(),
                    keyspace: keyspace.clone(),
                    username: login.as_ref().map(|login| login.user.clone()),
                    password: login.as_ref().map(|login| login.password.clone().into()),
                    create_keyspace: options.create_keyspace.filter(|_| makes),
                    ..options
                })
            }
        })
    }

    /// Checks the addresses that the configuration names.
    pub(super) fn check_addresses(&self) -> Result<(), ConfigError> {
        for place in [Some(&self.storage.serves), self.storage.follows.as_ref()].into_iter().flatten() {
            let problem = |error: ConfigError| format!("does not fit: {error}");
            self.store(place).map_err(|error| conflict(&self.settings, "storage.mirror", problem(error)))?;
        }
        Ok(())
    }

    /// The same with the values of an address, which are one more layer. Errors do not show them.
    fn with(&self, set: &[(&'static str, String)]) -> Result<Self, ConfigError> {
        let mut settings = self.settings.clone();
        for (path, value) in set {
            settings.put_secretly(path, value, Origin::Address)?;
        }
        raw::validate(RawConfig::from_settings(&settings)?, settings)
    }

    fn embedded(&self, data_dir: PathBuf) -> StoreOptions {
        let sync = match self.storage.fsync {
            Fsync::Always => SyncPolicy::Always,
            Fsync::Interval => SyncPolicy::Interval(Duration::from_millis(self.storage.fsync_interval_ms)),
        };
        let options = OpenOptions { sync, cache_bytes: self.storage.cache_mb << 20, ..OpenOptions::default() };
        StoreOptions::Embedded { dir: data_dir.join("store"), options }
    }

    fn scylla_options(&self) -> ScyllaOptions {
        let scylla = &self.scylla;
        let copies = scylla.replication_factor;
        let create_keyspace = (copies > 0).then(|| match &scylla.datacenter {
            Some(datacenter) => Replication::PerDatacenter(vec![(datacenter.clone(), copies)]),
            None => Replication::Simple(copies),
        });
        ScyllaOptions {
            contact_points: scylla.hosts.clone(),
            port: scylla.port,
            keyspace: scylla.keyspace.clone(),
            datacenter: scylla.datacenter.clone(),
            username: scylla.username.clone(),
            password: scylla.password.clone(),
            consistency: scylla.consistency,
            create_keyspace,
            request_timeout: Duration::from_millis(scylla.request_timeout_ms),
            node: format!("worker {}", self.storage.worker_id),
        }
    }
}

impl PostgresConfig {
    fn options(&self) -> PostgresOptions {
        PostgresOptions {
            host: self.host.clone(),
            port: self.port,
            user: self.user.clone(),
            password: self.password.clone(),
            database: self.database.clone(),
            schema: self.schema.clone(),
            pool_size: self.pool_size,
            append_lanes: self.append_lanes,
            connect_timeout: Duration::from_millis(self.connect_timeout_ms),
            statement_timeout: Duration::from_millis(self.statement_timeout_ms),
            ..PostgresOptions::default()
        }
    }
}
