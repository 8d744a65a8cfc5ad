//! The environment layer, as a map that is passed in.
//!
//! `TERTULIA_<SECTION>_<KEY>` for every key; `CHAT_KEY`, `CHAT_IV`, `POSTGRES_…`, `SCYLLA_…` and `REDIS_…`
//! besides. Any other variable that begins with `TERTULIA_` or `CHAT_` is an error, except what container platforms put
//! there by themselves. An empty value counts as not set, because compose files cannot leave a variable out.

use std::collections::BTreeMap;

use super::keys::{KEYS, Key};
use super::settings::Settings;
use super::{ConfigError, Origin, suggest};

/// Names the configuration file if no flag does.
pub const CONFIG_FILE_VARIABLE: &str = "TERTULIA_CONFIG";

/// Variables of the client commands and of the tests; none is configuration of a server.
const OTHERS: &[&str] = &[CONFIG_FILE_VARIABLE, "TERTULIA_SERVER", "TERTULIA_TOKEN"];
const OTHERS_PREFIX: &str = "TERTULIA_TEST_";

/// Second names of keys.
const ALIASES: &[(&str, &str)] = &[
    ("CHAT_KEY", "encryption.key"),
    ("CHAT_IV", "encryption.iv"),
    ("REDIS_HOST", "redis.host"),
    ("REDIS_PORT", "redis.port"),
    ("POSTGRES_HOST", "postgres.host"),
    ("POSTGRES_PORT", "postgres.port"),
    ("POSTGRES_USER", "postgres.user"),
    ("POSTGRES_PASSWORD", "postgres.password"),
    ("POSTGRES_DB", "postgres.database"),
    ("SCYLLA_HOSTS", "scylla.hosts"),
    ("SCYLLA_CONTACT_POINTS", "scylla.hosts"),
    ("SCYLLA_PORT", "scylla.port"),
    ("SCYLLA_KEYSPACE", "scylla.keyspace"),
    ("SCYLLA_CONSISTENCY", "scylla.consistency"),
    ("SCYLLA_USERNAME", "scylla.username"),
    ("SCYLLA_PASSWORD", "scylla.password"),
];

/// Switches that name the store when they are on, and the key is not set beside them.
const NAMING: &[(&str, &str, &str)] =
    &[("USE_SCYLLADB", "storage.backend", "scylla"), ("SCYLLA_ENABLED", "storage.backend", "scylla")];

/// Switches that say together how far a move to ScyllaDB is.
const SYNC: &str = "SYNC_TO_SCYLLA";
const READS: &str = "USE_SCYLLA_READS";
const WRITES: &str = "USE_SCYLLA_WRITES";

/// Addresses that ask for a backend when they are set.
const REFUSED: &[(&str, &str)] = &[("NATS_URL", "the NATS event bus")];

/// Puts the variables' values on top.
pub(super) fn apply(settings: &mut Settings, env: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    let names: Vec<(String, &'static Key)> = names().collect();
    refuse_unknown(env, &names)?;
    refuse_unsupported(env)?;
    apply_naming(settings, env)?;
    apply_phase(settings, env)?;
    let mut from = BTreeMap::new();
    for (name, key) in names {
        let Some(text) = env.get(&name).filter(|text| !text.is_empty()) else {
            continue;
        };
        let origin = Origin::Env { name: name.clone() };
        if let Some((other, other_text)) = from.insert(key.path, (name, text))
            && other_text != text
        {
            return Err(ConfigError::Conflict {
                origin,
                key: key.path.to_owned(),
                problem: format!("is set to something else by {other}"),
            });
        }
        settings.put_text(key, text, origin)?;
    }
    Ok(())
}

/// Every variable that sets a key.
fn names() -> impl Iterator<Item = (String, &'static Key)> {
    let own = KEYS.iter().map(|key| (key.variable(), key));
    let aliases = ALIASES.iter().filter_map(|(name, path)| {
        let key = super::keys::find(path)?;
        Some(((*name).to_owned(), key))
    });
    own.chain(aliases)
}

fn refuse_unknown(env: &BTreeMap<String, String>, names: &[(String, &'static Key)]) -> Result<(), ConfigError> {
    let is_ours = |name: &str| name.starts_with("TERTULIA_") || name.starts_with("CHAT_");
    for (name, value) in env.iter().filter(|(name, _)| is_ours(name)) {
        let is_known = names.iter().any(|(known, _)| known == name)
            || OTHERS.contains(&name.as_str())
            || name.starts_with(OTHERS_PREFIX)
            || is_service_link(name, value);
        if !is_known {
            let known = names.iter().map(|(known, _)| known.as_str());
            return Err(ConfigError::UnknownKey {
                origin: Origin::Env { name: name.clone() },
                key: name.clone(),
                suggestion: suggest::nearest(name, known).map(str::to_owned),
            });
        }
    }
    Ok(())
}

/// Whether a container platform made the variable for a service that happens to be called
/// `tertulia` or `chat`: `CHAT_SERVICE_HOST`, `CHAT_PORT=tcp://…`, `CHAT_PORT_80_TCP_ADDR`.
fn is_service_link(name: &str, value: &str) -> bool {
    let protocols = ["tcp", "udp", "sctp"];
    let is_address = |value: &str| {
        let scheme = value.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| protocols.contains(&scheme))
    };
    if name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT") {
        return value.parse::<std::net::IpAddr>().is_ok() || value.parse::<u16>().is_ok();
    }
    // What follows `_PORT_` is a number, a protocol and perhaps what of the address it is.
    let Some((_, rest)) = name.rsplit_once("_PORT_") else {
        return name.ends_with("_PORT") && is_address(value);
    };
    let mut parts = rest.split('_');
    let port = parts.next().and_then(|port| port.parse::<u16>().ok());
    let protocol = parts.next().map(str::to_lowercase);
    port.is_some() && protocol.is_some_and(|name| protocols.contains(&name.as_str()))
}

/// Before the keys' own variables, which count more.
fn apply_naming(settings: &mut Settings, env: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    for (name, path, value) in NAMING {
        let Some(text) = env.get(*name).filter(|text| !text.is_empty()) else { continue };
        if let Some(key) = super::keys::find(path)
            && is_on(name, text)?
        {
            settings.put_text(key, value, Origin::Env { name: (*name).to_owned() })?;
        }
    }
    Ok(())
}

/// The phase that the switches say, before the key's own variable, which counts more.
fn apply_phase(settings: &mut Settings, env: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    let switch = |name: &str| env.get(name).filter(|text| !text.is_empty()).map_or(Ok(false), |text| is_on(name, text));
    let refused = |name: &str, problem: &str| {
        let (origin, key) = (Origin::Env { name: name.to_owned() }, "storage.phase".to_owned());
        Err(ConfigError::Conflict { origin, key, problem: problem.to_owned() })
    };
    let (name, phase) = match (switch(SYNC)?, switch(READS)?, switch(WRITES)?) {
        (false, false, false) => return Ok(()),
        (true, false, false) => (SYNC, "sync"),
        (true, true, false) => (READS, "reads"),
        (true, true, true) => (WRITES, "writes"),
        (false, true, true) => (WRITES, "after"),
        (_, false, true) => {
            let problem = "would write to a store that nobody reads: set USE_SCYLLA_READS=true as well";
            return refused(WRITES, problem);
        }
        (false, true, false) => {
            let problem = "would read from a store that nobody writes to: set SYNC_TO_SCYLLA=true";
            return refused(READS, problem);
        }
    };
    match super::keys::find("storage.phase") {
        Some(key) => settings.put_text(key, phase, Origin::Env { name: name.to_owned() }),
        None => Ok(()),
    }
}

fn refuse_unsupported(env: &BTreeMap<String, String>) -> Result<(), ConfigError> {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    let not_supported = |name: &str, feature| ConfigError::NotSupported { name: name.to_owned(), feature };
    for (name, feature) in REFUSED {
        if set(name).is_some() {
            return Err(not_supported(name, feature));
        }
    }
    Ok(())
}

fn is_on(name: &str, value: &str) -> Result<bool, ConfigError> {
    match value.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err(ConfigError::Invalid {
            origin: Origin::Env { name: name.to_owned() },
            key: name.to_owned(),
            value: Some(value.to_owned()),
            expected: "\"true\" or \"false\"".to_owned(),
        }),
    }
}
