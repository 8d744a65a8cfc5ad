//! The sections as typed values. What each key does is documented once, in [`super::KEYS`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::{ConfigError, dev_chat_key};
use crate::api::auth::{AuthOptions, ClaimNames, DevKey, KeyError, KeySource, dev_key};
use crate::api::limits::Rates;
use crate::api::serve::{Drain, GuestsOptions, IntakeOptions, Networks, Times};
use crate::domain::form::UrlSchemes;
use crate::storage::scylla::StoreConsistency;
use crate::storage::url::StoreUrl;

/// `[server]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// `HOST:PORT` to listen on.
    pub listen: String,
    /// Directory of everything durable.
    pub data_dir: PathBuf,
    /// Longest wait for each stage of a shutdown, in ms.
    pub drain_timeout_ms: u64,
    /// Between not ready and the end of accepting connections, in ms.
    pub drain_delay_ms: u64,
    /// Most client connections at once.
    pub max_connections: usize,
    /// Most connections from one address; 0 is without limit.
    pub max_connections_per_address: usize,
    /// Addresses that are not counted.
    pub uncounted_networks: Networks,
    /// Longest wait for the head of a connection's first request, in ms.
    pub handshake_timeout_ms: u64,
    /// Longest life of a connection without a call, in ms.
    pub idle_timeout_ms: u64,
    /// Longest wait for a request's body, in ms.
    pub body_timeout_ms: u64,
    /// Bytes of requests under way in the process.
    pub body_bytes_max: usize,
    /// Bytes of requests under way of one user.
    pub body_bytes_per_user: usize,
    /// Bytes of requests under way on one connection.
    pub body_bytes_per_connection: usize,
    /// Threads that serve; 0 takes one a core.
    pub worker_threads: usize,
    /// Longest time of a unary call, in ms.
    pub request_timeout_ms: u64,
    /// Largest request body, in bytes.
    pub max_message_bytes: usize,
    /// How long a client may take nothing of what it is sent, in ms.
    pub write_timeout_ms: u64,
    /// Bytes of answers that may wait for all clients.
    pub answer_bytes: usize,
    /// Bytes of answers that may wait for one user.
    pub answer_bytes_per_user: usize,
    /// Bytes of answers that may wait on one connection.
    pub answer_bytes_per_connection: usize,
    /// When JSON with a field that does not exist is refused.
    pub strict_json: StrictJson,
}

/// When JSON with a field that does not exist is refused, if the request does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StrictJson {
    /// With the development key.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

impl ServerConfig {
    /// Longest wait for each stage of a shutdown.
    #[must_use]
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }

    /// How a stop goes.
    #[must_use]
    pub fn drain(&self) -> Drain {
        Drain { delay: Duration::from_millis(self.drain_delay_ms), limit: self.drain_timeout() }
    }

    /// How long connections may stay.
    #[must_use]
    pub fn times(&self) -> Times {
        Times {
            handshake: Duration::from_millis(self.handshake_timeout_ms),
            idle: Duration::from_millis(self.idle_timeout_ms),
        }
    }

    /// How many connections there may be.
    #[must_use]
    pub fn guests(&self) -> GuestsOptions {
        GuestsOptions {
            connections_max: self.max_connections,
            per_address_max: self.max_connections_per_address,
            uncounted: self.uncounted_networks.clone(),
        }
    }

    /// How many bytes of requests may be under way. A message of the greatest size always fits, while another one is.
    #[must_use]
    pub fn intake(&self) -> IntakeOptions {
        let least = self.max_message_bytes.saturating_mul(2);
        IntakeOptions {
            process_max: self.body_bytes_max.max(least),
            user_max: self.body_bytes_per_user.max(least),
            connection_max: self.body_bytes_per_connection.max(least),
            wait_max: Duration::from_millis(self.body_timeout_ms),
        }
    }

    /// Longest time of a unary call.
    #[must_use]
    pub fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }
}

/// `[auth]`
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// Where verification keys come from; none asks for the development key.
    pub sources: Vec<KeySource>,
    /// How often sources are read again.
    pub jwks_refresh: Duration,
    /// Required `iss`, if any.
    pub issuer: Option<String>,
    /// Required `aud`, if any.
    pub audience: Option<String>,
    /// Which claims say who the caller is.
    pub claims: ClaimNames,
}

impl AuthConfig {
    /// Settings of the verifier with exactly the configured sources, which may be none.
    #[must_use]
    pub fn options(&self) -> AuthOptions {
        let mut options = AuthOptions::new(self.sources.clone());
        options.refresh_every = self.jwks_refresh;
        options.issuer.clone_from(&self.issuer);
        options.audience.clone_from(&self.audience);
        options.claims = self.claims.clone();
        options
    }

    /// Settings of the verifier; with no source configured, the development key of the data
    /// directory is read or made, is the source, and is returned too.
    ///
    /// # Errors
    /// What reading or making the development key answered.
    pub fn resolve(&self, data_dir: &Path) -> Result<(AuthOptions, Option<DevKey>), KeyError> {
        let mut options = self.options();
        if !options.sources.is_empty() {
            return Ok((options, None));
        }
        let key = dev_key::load_or_create(data_dir)?;
        options.sources.push(key.source());
        Ok((options, Some(key)))
    }

    /// As [`AuthConfig::resolve`], but makes nothing: without sources and without a development key there is no source.
    ///
    /// # Errors
    /// What reading the development key answered.
    pub fn resolve_existing(&self, data_dir: &Path) -> Result<(AuthOptions, Option<DevKey>), KeyError> {
        let mut options = self.options();
        if !options.sources.is_empty() {
            return Ok((options, None));
        }
        let key = dev_key::load(data_dir)?;
        options.sources.extend(key.as_ref().map(DevKey::source));
        Ok((options, key))
    }
}

/// A master key of what is stored.
#[derive(Clone, Debug)]
pub struct MasterKey {
    /// Number written beside everything the key encrypts, from 1.
    pub key_id: u8,
    /// 64 hexadecimal digits.
    pub key: SecretString,
    /// 32 hexadecimal digits.
    pub iv: SecretString,
}

/// The master keys to use.
#[derive(Clone, Debug)]
pub struct MasterKeys {
    /// Encrypts everything new.
    pub current: MasterKey,
    /// Read with only.
    pub old: Vec<MasterKey>,
    /// Whether `current` is the generated one of the data directory.
    pub is_generated: bool,
}

/// `[encryption]`
#[derive(Clone, Debug)]
pub struct EncryptionConfig {
    /// The configured master key; `None` asks for the generated one.
    pub current: Option<MasterKey>,
    /// Former master keys.
    pub old: Vec<MasterKey>,
}

impl EncryptionConfig {
    /// The master keys; with none configured, the one in the data directory is read or made.
    ///
    /// # Errors
    /// [`ConfigError::KeyFile`] if that fails.
    pub fn resolve(&self, data_dir: &Path) -> Result<MasterKeys, ConfigError> {
        let (current, is_generated) = match &self.current {
            Some(key) => (key.clone(), false),
            None => (dev_chat_key::load_or_create(data_dir)?, true),
        };
        Ok(MasterKeys { current, old: self.old.clone(), is_generated })
    }
}

/// When what is acknowledged is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fsync {
    /// Before the acknowledgement.
    Always,
    /// At most the interval after it.
    Interval,
}

/// Which store keeps everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// No server: files in the data directory.
    Embedded,
    /// PostgreSQL.
    Postgres,
    /// ScyllaDB or Cassandra.
    Scylla,
}

/// Where a store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the backend's own section says.
    Configured(Backend),
    /// At this address.
    Url(StoreUrl),
}

/// `[storage]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// The first store: the only one, if nothing is being moved.
    pub backend: Backend,
    /// The store that serves: the first one, or the one that is moved to.
    pub serves: Place,
    /// The store that everything written is brought to, if there is one.
    pub follows: Option<Place>,
    /// Most rows a second read to be brought there; 0 is without limit.
    pub mirror_rows_per_s: u64,
    /// When what is acknowledged is on the disk.
    pub fsync: Fsync,
    /// Longest time between two syncs with [`Fsync::Interval`], in ms.
    pub fsync_interval_ms: u64,
    /// Memory for blocks of the store, in MiB.
    pub cache_mb: u64,
    /// Number of this node within message ids, 0 to 1023.
    pub worker_id: u16,
}

/// `[postgres]`
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// Name, address or socket directory; empty if PostgreSQL is not the store.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// That user's password; `None` for servers that ask for none.
    pub password: Option<SecretString>,
    /// Database.
    pub database: String,
    /// Schema of the tables.
    pub schema: String,
    /// Most connections.
    pub pool_size: usize,
    /// Group commits under way at once.
    pub append_lanes: usize,
    /// Longest time to connect, in ms.
    pub connect_timeout_ms: u64,
    /// Longest time of one statement, in ms.
    pub statement_timeout_ms: u64,
}

/// `[scylla]`
#[derive(Clone, Debug)]
pub struct ScyllaConfig {
    /// Hosts to begin with; empty if this is not the store.
    pub hosts: Vec<String>,
    /// Port of hosts that name none.
    pub port: u16,
    /// Keyspace.
    pub keyspace: String,
    /// Datacenter of this node.
    pub datacenter: Option<String>,
    /// User to log in as; `None` for databases that ask for none.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<SecretString>,
    /// Replicas that confirm a write and answer a read.
    pub consistency: StoreConsistency,
    /// Copies of a keyspace that has to be made; 0: none is made.
    pub replication_factor: u8,
    /// Longest wait for one answer, in ms.
    pub request_timeout_ms: u64,
}

/// Who may make a channel to which everyone is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinAllBy {
    /// The admin role.
    Admin,
    /// Anyone.
    Anyone,
}

/// Who may give messages twins in other systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefsBy {
    /// The admin role.
    Admin,
    /// Also a room's OWNERs and ADMINs.
    RoomAdmins,
}

/// `[rooms]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomsConfig {
    /// A room with nothing to do sleeps after this time, in ms.
    pub idle_ms: u64,
    /// Latest messages an awake room keeps in memory.
    pub warm_messages: usize,
    /// Memory those messages of one room may take, about.
    pub warm_room_bytes: usize,
    /// Memory all awake rooms may take, about, in MiB.
    pub warm_node_mb: usize,
    /// Most commands waiting for one room.
    pub queue_max: usize,
    /// Most events of one room written at once; not more than `queue_max`.
    pub batch_max: usize,
    /// Most members of a room.
    pub max_members: usize,
    /// Who may make a channel to which everyone is added.
    pub join_all_users: JoinAllBy,
    /// Who may give messages twins in other systems.
    pub external_refs: RefsBy,
}

/// `[streams]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamsConfig {
    /// Most open streams of one user.
    pub per_user_max: usize,
    /// Most bytes waiting for one client.
    pub queue_bytes_max: usize,
    /// Most events of one room replayed to a client that comes back.
    pub catch_up_max: usize,
    /// Time between two `Connected` events, in ms.
    pub heartbeat_ms: u64,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    /// Calls a second of one user; 0 is without limit.
    pub user_per_s: u32,
    /// Calls a user may make at once after a pause, at least 1.
    pub user_burst: u32,
    /// Calls a second of one user with the admin role; 0 is without limit.
    pub admin_per_s: u32,
    /// Calls of theirs at once after a pause, at least 1.
    pub admin_burst: u32,
    /// Messages a second sent to one room; 0 is without limit.
    pub room_per_s: u32,
    /// Messages a room takes at once after a pause, at least 1.
    pub room_burst: u32,
    /// Users whom one user may add to rooms in an hour; 0 is without limit.
    pub adds_per_h: u32,
    /// Most commands being worked on in the process.
    pub in_flight_max: usize,
    /// Schemes that addresses of pictures and attachments may have.
    #[serde(deserialize_with = "url_schemes")]
    pub url_schemes: UrlSchemes,
}

impl LimitsConfig {
    /// How often one may call.
    #[must_use]
    pub const fn rates(&self) -> Rates {
        Rates {
            user_per_s: self.user_per_s,
            user_burst: self.user_burst,
            admin_per_s: self.admin_per_s,
            admin_burst: self.admin_burst,
            room_per_s: self.room_per_s,
            room_burst: self.room_burst,
            adds_per_h: self.adds_per_h,
        }
    }
}

fn url_schemes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<UrlSchemes, D::Error> {
    let list = String::deserialize(deserializer)?;
    UrlSchemes::parse(&list).ok_or_else(|| serde::de::Error::custom("no list of schemes"))
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// A level or filter directives; they parse.
    pub level: String,
    /// Form of log lines.
    pub format: LogFormat,
}
