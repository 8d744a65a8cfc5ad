//! Addresses of stores, as `tertulia migrate` and the configuration take them.

use std::{fmt, path::PathBuf, str::FromStr};

/// Which store, and where.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `embedded:DIR`: DIR is a server's data directory (`server.data_dir`).
    Embedded(PathBuf),
    /// `postgres://…` or `postgresql://…`, whole, as PostgreSQL's own clients take it.
    Postgres(String),
    /// `scylla://HOST[:PORT][,HOST…]/KEYSPACE`, also for Cassandra.
    Scylla {
        /// Contact points, `HOST:PORT`.
        hosts: Vec<String>,
        /// Keyspace.
        keyspace: String,
    },
}

/// Not an address of a store.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected embedded:DIR, postgres://USER@HOST:PORT/DATABASE or scylla://HOST:PORT/KEYSPACE")]
pub struct StoreUrlError;

/// Port of CQL servers.
const CQL_PORT: u16 = 9042;

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once(':').ok_or(StoreUrlError)?;
        match scheme {
            "embedded" if !rest.is_empty() => Ok(Self::Embedded(rest.into())),
            "postgres" | "postgresql" if rest.len() > 2 && rest.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            "scylla" | "cassandra" => scylla(rest.strip_prefix("//").ok_or(StoreUrlError)?),
            _ => Err(StoreUrlError),
        }
    }
}

fn scylla(rest: &str) -> Result<StoreUrl, StoreUrlError> {
    let (hosts, keyspace) = rest.split_once('/').ok_or(StoreUrlError)?;
    let with_port = |host: &str| {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port { host.to_owned() } else { format!("{host}:{CQL_PORT}") }
    };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name(keyspace) || hosts.split(',').any(str::is_empty) {
        return Err(StoreUrlError);
    }
    Ok(StoreUrl::Scylla { hosts: hosts.split(',').map(with_port).collect(), keyspace: keyspace.to_owned() })
}

/// As it was given, but for what may be a password.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "embedded:{}", dir.display()),
            Self::Postgres(url) => {
                let url = url.split_once('?').map_or(url.as_str(), |(url, _)| url);
                let place = url.rsplit_once('@').map_or_else(|| url.split_once("//"), |(_, place)| Some(("", place)));
                write!(f, "postgres://{}", place.map_or("", |(_, place)| place))
            }
            Self::Scylla { hosts, keyspace } => write!(f, "scylla://{}/{keyspace}", hosts.join(",")),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("embedded:./data", "embedded:./data"),
            ("postgres://u:secret@h:5433/db?password=secret", "postgres://h:5433/db"),
            ("postgresql://h/db", "postgres://h/db"),
            ("scylla://a,b:9043/chat", "scylla://a:9042,b:9043/chat"),
            ("cassandra://127.0.0.1/chat", "scylla://127.0.0.1:9042/chat"),
        ] {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "data",
            "embedded:",
            "postgres:x",
            "postgres://",
            "scylla://h",
            "scylla:///k",
            "scylla://h/a b",
            "x://h",
        ] {
            assert_eq!(text.parse::<StoreUrl>(), Err(StoreUrlError), "{text}");
        }
    }
}
