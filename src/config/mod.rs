//! Configuration: from files, environment and flags to one validated [`Config`].
//!
//! Owns every key, its name in each layer, its default and its bounds ([`KEYS`]). Must not read the
//! process environment (it is passed in), open a port or start anything; only the server and the
//! binary import it.
//!
//! Later layers win: defaults, file, environment, flags. A key that nobody knows is an error in
//! every layer, because a misspelt setting that is ignored is found in production.

mod dev_chat_key;
mod env;
mod error;
mod file;
mod keys;
mod raw;
mod raw_storage;
mod reference;
mod render;
mod sections;
mod settings;
mod stores;
mod suggest;
mod value;

#[cfg(test)]
mod tests;

use crate::redis_link::RedisOptions;

pub use dev_chat_key::FILE_NAME as DEV_CHAT_KEY_FILE_NAME;
pub use env::CONFIG_FILE_VARIABLE;
pub use error::{ConfigError, Origin};
pub use keys::{KEYS, Key, SECTIONS, Section};
pub use raw::RawConfig;
pub use reference::{example_file, reference_table};
pub use sections::{
    AuthConfig, Backend, EncryptionConfig, Fsync, JoinAllBy, LimitsConfig, LogConfig, LogFormat, MasterKey, MasterKeys,
    Place, PostgresConfig, RefsBy, RoomsConfig, ScyllaConfig, ServerConfig, StorageConfig, StreamsConfig, StrictJson,
};
pub use stores::StoreOptions;
pub use value::Kind;

use std::collections::BTreeMap;
use std::path::PathBuf;

use settings::Settings;

/// The file that is read if nobody names one and it is there.
pub const DEFAULT_FILE_NAME: &str = "tertulia.toml";

/// Which configuration file to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConfigFile {
    /// None, whatever is there.
    None,
    /// The one that `TERTULIA_CONFIG` names, else `tertulia.toml` in the working directory if there
    /// is one.
    #[default]
    Default,
    /// This one; an error if it is not there.
    Required(PathBuf),
}

/// Everything configuration is made from.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file.
    pub file: ConfigFile,
    /// The whole environment of the process; variables that are not ours are left alone.
    pub env: BTreeMap<String, String>,
    /// Key paths (`server.listen`) and values, the later of two for one key wins.
    pub flags: Vec<(String, String)>,
}

/// The environment may hold secrets, of others too: only counts are shown.
impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("env", &self.env.len())
            .field("flags", &self.flags.len())
            .finish()
    }
}

/// The effective configuration: complete, and valid as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listener, data directory, process-wide bounds.
    pub server: ServerConfig,
    /// Who may call.
    pub auth: AuthConfig,
    /// Master keys of what is stored.
    pub encryption: EncryptionConfig,
    /// Which store, and the embedded one.
    pub storage: StorageConfig,
    /// The PostgreSQL store.
    pub postgres: PostgresConfig,
    /// The ScyllaDB or Cassandra store.
    pub scylla: ScyllaConfig,
    /// Redis, if there is one.
    pub redis: Option<RedisOptions>,
    /// Room actors.
    pub rooms: RoomsConfig,
    /// Streams to clients.
    pub streams: StreamsConfig,
    /// Rates and work in flight.
    pub limits: LimitsConfig,
    /// Log lines.
    pub log: LogConfig,
    settings: Settings,
    warnings: Vec<String>,
}

impl Config {
    /// Reads all layers and checks them.
    ///
    /// # Errors
    /// The first [`ConfigError`]: a key that is not known, a value that does not fit, values that
    /// do not go together, a file that cannot be read, or a backend this build does not have.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let settings = Settings::collect(sources)?;
        let raw = RawConfig::from_settings(&settings)?;
        let config = raw::validate(raw, settings)?;
        config.check_addresses()?;
        Ok(config)
    }

    /// What to tell the operator once logging works: settings that were accepted and do nothing.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether JSON with a field that does not exist is refused, if the request does not say.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        match self.server.strict_json {
            StrictJson::Auto => self.auth.sources.is_empty(),
            StrictJson::On => true,
            StrictJson::Off => false,
        }
    }

    /// Where the value of a key (`server.listen`) came from; `None` for a key that does not exist.
    #[must_use]
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        self.settings.get(path).map(|setting| &setting.origin)
    }

    /// The effective configuration as TOML, each value with its origin as a comment. Secrets that
    /// are set show as `<redacted>`; but for them it could be a configuration file.
    #[must_use]
    pub fn render(&self) -> String {
        render::render(&self.settings)
    }
}
