//! The settings as they were written, and the step to a [`Config`] that is valid as a whole.

use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use toml::Value;

use super::dev_chat_key::GENERATED_KEY_ID;
use super::settings::Settings;
use super::{
    AuthConfig, Backend, Config, ConfigError, EncryptionConfig, LimitsConfig, LogConfig, MasterKey, Origin, Place,
    RoomsConfig, ServerConfig, StreamsConfig,
    raw_storage::{RawPostgres, RawScylla, RawStorage},
};
use crate::{
    api::auth::{ClaimNames, KeySource},
    redis_link::RedisOptions,
};

/// Shortest HS256 secret, in bytes (RFC 7518, 3.2).
const HMAC_SECRET_LEN_MIN: usize = 32;

/// All layers put together, each value good by itself. Empty texts are not set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    pub(super) server: ServerConfig,
    pub(super) auth: RawAuth,
    pub(super) encryption: RawEncryption,
    pub(super) storage: RawStorage,
    pub(super) postgres: RawPostgres,
    pub(super) scylla: RawScylla,
    pub(super) redis: RawRedis,
    pub(super) rooms: RoomsConfig,
    pub(super) streams: StreamsConfig,
    pub(super) limits: LimitsConfig,
    pub(super) log: LogConfig,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuth {
    hmac_secret: String,
    hmac_secret_file: String,
    public_key_file: String,
    jwks_file: String,
    jwks_url: String,
    jwks_refresh_s: u64,
    issuer: String,
    audience: String,
    user_id_claim: String,
    name_claim: String,
    picture_claim: String,
    admin_claim: String,
    admin_value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEncryption {
    key: String,
    iv: String,
    key_id: u8,
    old_keys: Vec<RawMasterKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMasterKey {
    key_id: u8,
    key: String,
    iv: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRedis {
    host: String,
    port: u16,
    password: String,
    prefix: String,
    timeout_ms: u64,
}

/// Holds a secret.
impl fmt::Debug for RawRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawRedis").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Holds a secret.
impl fmt::Debug for RawAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawAuth").finish_non_exhaustive()
    }
}

/// Holds secrets.
impl fmt::Debug for RawEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEncryption").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl RawConfig {
    pub(super) fn from_settings(settings: &Settings) -> Result<Self, ConfigError> {
        // The list of keys and these types agree (a test holds it), and every value was checked, so
        // that this fails for a bound that is wider than its type only.
        Value::Table(settings.to_table()).try_into().map_err(|err: toml::de::Error| ConfigError::Conflict {
            origin: Origin::Default,
            key: "configuration".to_owned(),
            problem: format!("does not fit its types: {}", err.message()),
        })
    }
}

/// Checks what no single value can tell.
pub(super) fn validate(raw: RawConfig, settings: Settings) -> Result<Config, ConfigError> {
    if raw.rooms.batch_max > raw.rooms.queue_max {
        return Err(conflict(&settings, "rooms.batch_max", "is greater than `rooms.queue_max`"));
    }
    let mirror_is_idle = raw.storage.mirror_is_idle();
    let storage = raw.storage.decide(&raw.postgres, &raw.scylla, &settings)?;
    let scylla = raw.scylla.into_config(&settings)?;
    let mut warnings = Vec::new();
    let is_scylla = |place: &Place| *place == Place::Configured(Backend::Scylla);
    if !scylla.hosts.is_empty() && !is_scylla(&storage.serves) && !storage.follows.as_ref().is_some_and(is_scylla) {
        let said = "`scylla.hosts` is set, but ScyllaDB is not the store: `USE_SCYLLADB=true` would make it so";
        warnings.push(said.to_owned());
    }
    if mirror_is_idle {
        warnings
            .push("`storage.mirror` is set, but `storage.phase` is \"before\": nothing is brought there".to_owned());
    }
    Ok(Config {
        server: raw.server,
        auth: auth(raw.auth, &settings)?,
        encryption: encryption(raw.encryption, &settings)?,
        storage,
        postgres: raw.postgres.into_config(),
        scylla,
        redis: redis(raw.redis),
        rooms: raw.rooms,
        streams: raw.streams,
        limits: raw.limits,
        log: raw.log,
        settings,
        warnings,
    })
}

fn auth(raw: RawAuth, settings: &Settings) -> Result<AuthConfig, ConfigError> {
    let secret = set(raw.hmac_secret);
    let secret_file = set(raw.hmac_secret_file);
    if secret.is_some() && secret_file.is_some() {
        let problem = "and `auth.hmac_secret` are both set; one of them must go";
        return Err(conflict(settings, "auth.hmac_secret_file", problem));
    }
    if secret.as_ref().is_some_and(|secret| secret.len() < HMAC_SECRET_LEN_MIN) {
        return Err(conflict(settings, "auth.hmac_secret", "is shorter than 32 bytes"));
    }
    let sources = [
        secret.map(|secret| KeySource::HmacSecret(SecretString::from(secret))),
        secret_file.map(|path| KeySource::HmacSecretFile(path.into())),
        set(raw.public_key_file).map(|path| KeySource::PublicKeyFile(path.into())),
        set(raw.jwks_file).map(|path| KeySource::JwksFile(path.into())),
        set(raw.jwks_url).map(KeySource::JwksUrl),
    ];
    Ok(AuthConfig {
        sources: sources.into_iter().flatten().collect(),
        jwks_refresh: Duration::from_secs(raw.jwks_refresh_s),
        issuer: set(raw.issuer),
        audience: set(raw.audience),
        claims: ClaimNames {
            user_id: raw.user_id_claim,
            name: raw.name_claim,
            picture: raw.picture_claim,
            admin: raw.admin_claim,
            admin_value: raw.admin_value,
        },
    })
}

fn redis(raw: RawRedis) -> Option<RedisOptions> {
    let timeout = Duration::from_millis(raw.timeout_ms);
    let password = set(raw.password).map(SecretString::from);
    set(raw.host).map(|host| RedisOptions { password, prefix: raw.prefix, timeout, ..RedisOptions::at(host, raw.port) })
}

fn encryption(raw: RawEncryption, settings: &Settings) -> Result<EncryptionConfig, ConfigError> {
    let current = match (set(raw.key), set(raw.iv)) {
        (Some(key), Some(iv)) => Some(MasterKey { key_id: raw.key_id, key: key.into(), iv: iv.into() }),
        (Some(_), None) => {
            return Err(conflict(settings, "encryption.key", "is set without `encryption.iv`"));
        }
        (None, Some(_)) => {
            return Err(conflict(settings, "encryption.iv", "is set without `encryption.key`"));
        }
        (None, None) if raw.key_id != GENERATED_KEY_ID => {
            let problem = "is set without `encryption.key`; the generated key has number 1";
            return Err(conflict(settings, "encryption.key_id", problem));
        }
        (None, None) => None,
    };
    let mut seen = vec![raw.key_id];
    for old in &raw.old_keys {
        if seen.contains(&old.key_id) {
            let problem = format!("has key id {} a second time", old.key_id);
            return Err(conflict(settings, "encryption.old_keys", problem));
        }
        seen.push(old.key_id);
    }
    let old =
        raw.old_keys.into_iter().map(|old| MasterKey { key_id: old.key_id, key: old.key.into(), iv: old.iv.into() });
    Ok(EncryptionConfig { current, old: old.collect() })
}

pub(super) fn set(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(super) fn conflict(settings: &Settings, key: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError::Conflict { origin: settings.origin(key), key: key.to_owned(), problem: problem.into() }
}
