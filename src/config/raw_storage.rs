//! The settings of the stores as they were written, and the decision which one it is.

use std::fmt;

use secrecy::SecretString;
use serde::Deserialize;

use super::raw::{conflict, set};
use super::settings::Settings;
use super::{Backend, ConfigError, Fsync, PostgresConfig, ScyllaConfig, StorageConfig};
use crate::storage::scylla::StoreConsistency;

/// `storage.backend` as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Auto,
    Embedded,
    Postgres,
    Scylla,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStorage {
    backend: Choice,
    fsync: Fsync,
    fsync_interval_ms: u64,
    cache_mb: u64,
    worker_id: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPostgres {
    host: String,
    port: u16,
    user: String,
    password: String,
    database: String,
    schema: String,
    pool_size: usize,
    append_lanes: usize,
    connect_timeout_ms: u64,
    statement_timeout_ms: u64,
}

/// Holds a secret.
impl fmt::Debug for RawPostgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawPostgres").field("host", &self.host).finish_non_exhaustive()
    }
}

impl RawStorage {
    /// The store: the one that is named, otherwise the one whose address is set, otherwise the embedded one.
    pub(super) fn decide(
        self,
        postgres: &RawPostgres,
        scylla: &RawScylla,
        settings: &Settings,
    ) -> Result<StorageConfig, ConfigError> {
        let backend = match self.backend {
            Choice::Scylla if scylla.hosts.is_empty() => {
                return Err(conflict(settings, "storage.backend", "is \"scylla\" without `scylla.hosts`"));
            }
            Choice::Scylla => Backend::Scylla,
            Choice::Auto if postgres.host.is_empty() => Backend::Embedded,
            Choice::Postgres if postgres.host.is_empty() => {
                return Err(conflict(settings, "storage.backend", "is \"postgres\" without `postgres.host`"));
            }
            Choice::Auto | Choice::Postgres => Backend::Postgres,
            Choice::Embedded => Backend::Embedded,
        };
        if postgres.append_lanes > postgres.pool_size {
            return Err(conflict(settings, "postgres.append_lanes", "is greater than `postgres.pool_size`"));
        }
        Ok(StorageConfig {
            backend,
            fsync: self.fsync,
            fsync_interval_ms: self.fsync_interval_ms,
            cache_mb: self.cache_mb,
            worker_id: self.worker_id,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScylla {
    hosts: String,
    port: u16,
    keyspace: String,
    datacenter: String,
    username: String,
    password: String,
    consistency: String,
    replication_factor: u8,
    request_timeout_ms: u64,
}

/// Holds a secret.
impl fmt::Debug for RawScylla {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawScylla").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl RawScylla {
    pub(super) fn into_config(self, settings: &Settings) -> Result<ScyllaConfig, ConfigError> {
        let consistency = self.consistency.parse::<StoreConsistency>();
        let consistency =
            consistency.map_err(|_| conflict(settings, "scylla.consistency", "is no level of this store"))?;
        if self.username.is_empty() != self.password.is_empty() {
            return Err(conflict(settings, "scylla.username", "and `scylla.password` go together"));
        }
        let hosts = self.hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
        Ok(ScyllaConfig {
            hosts: hosts.map(str::to_owned).collect(),
            port: self.port,
            keyspace: self.keyspace,
            datacenter: set(self.datacenter),
            username: set(self.username),
            password: set(self.password).map(SecretString::from),
            consistency,
            replication_factor: self.replication_factor,
            request_timeout_ms: self.request_timeout_ms,
        })
    }
}

impl RawPostgres {
    pub(super) fn into_config(self) -> PostgresConfig {
        PostgresConfig {
            host: self.host,
            port: self.port,
            user: self.user,
            password: set(self.password).map(SecretString::from),
            database: self.database,
            schema: self.schema,
            pool_size: self.pool_size,
            append_lanes: self.append_lanes,
            connect_timeout_ms: self.connect_timeout_ms,
            statement_timeout_ms: self.statement_timeout_ms,
        }
    }
}
