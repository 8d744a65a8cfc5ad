//! The settings of the stores as they were written, and the decision which one it is.

use std::fmt;

use secrecy::SecretString;
use serde::Deserialize;

use super::raw::{conflict, set};
use super::settings::Settings;
use super::{Backend, ConfigError, Fsync, Place, PostgresConfig, ScyllaConfig, StorageConfig};
use crate::storage::scylla::StoreConsistency;
use crate::storage::url::StoreUrl;

/// `storage.backend` as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Choice {
    Auto,
    Embedded,
    Postgres,
    Scylla,
}

/// `storage.phase` as written: how far a move is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Before,
    Sync,
    Reads,
    Writes,
    After,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStorage {
    backend: Choice,
    fsync: Fsync,
    fsync_interval_ms: u64,
    cache_mb: u64,
    phase: Phase,
    mirror: String,
    mirror_rows_per_s: u64,
    worker_id: u16,
}

/// Holds a secret.
impl fmt::Debug for RawStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawStorage").field("backend", &self.backend).field("phase", &self.phase).finish_non_exhaustive()
    }
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
        let (serves, follows) = self.places(backend, scylla, settings)?;
        Ok(StorageConfig {
            backend,
            serves,
            follows,
            mirror_rows_per_s: self.mirror_rows_per_s,
            fsync: self.fsync,
            fsync_interval_ms: self.fsync_interval_ms,
            cache_mb: self.cache_mb,
            worker_id: self.worker_id,
        })
    }

    /// Whether a second store is named and not used.
    pub(super) fn mirror_is_idle(&self) -> bool {
        self.phase == Phase::Before && !self.mirror.is_empty()
    }

    /// The store that serves, and the one that follows.
    fn places(
        &self,
        backend: Backend,
        scylla: &RawScylla,
        settings: &Settings,
    ) -> Result<(Place, Option<Place>), ConfigError> {
        let first = Place::Configured(backend);
        let second = || self.second(backend, scylla, settings);
        match self.phase {
            Phase::Before => Ok((first, None)),
            Phase::Sync => Ok((first, Some(second()?))),
            Phase::Reads => {
                let problem = "is \"reads\", which is not supported: history would come from a store that other nodes \
                               may have left behind. Stay in \"sync\" (USE_SCYLLA_READS=false) until `migrate \
                               --verify-only` finds no difference, then go on to \"writes\" (USE_SCYLLA_WRITES=true \
                               beside the others)";
                Err(conflict(settings, "storage.phase", problem))
            }
            Phase::Writes => Ok((second()?, Some(first))),
            Phase::After => Ok((second()?, None)),
        }
    }

    /// The store that is moved to.
    fn second(&self, backend: Backend, scylla: &RawScylla, settings: &Settings) -> Result<Place, ConfigError> {
        if self.mirror.is_empty() {
            return match backend {
                Backend::Scylla => {
                    let problem = "needs a second store: ScyllaDB is the first one already (USE_SCYLLADB), and \
                                   `storage.mirror` is not set";
                    Err(conflict(settings, "storage.phase", problem))
                }
                Backend::Embedded | Backend::Postgres if scylla.hosts.is_empty() => {
                    let problem = "needs a second store: set `storage.mirror`, or `scylla.hosts` (SCYLLA_HOSTS)";
                    Err(conflict(settings, "storage.phase", problem))
                }
                Backend::Embedded | Backend::Postgres => Ok(Place::Configured(Backend::Scylla)),
            };
        }
        let url = self.mirror.parse::<StoreUrl>();
        url.map(Place::Url).map_err(|error| conflict(settings, "storage.mirror", format!("is no address: {error}")))
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
