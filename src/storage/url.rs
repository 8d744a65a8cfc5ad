//! Addresses of stores, as `tertulia migrate` and the configuration take them.

use std::{borrow::Cow, fmt, path::PathBuf, str::FromStr};

use percent_encoding::percent_decode_str;

/// Which store, and where.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `embedded:DIR`: DIR is a server's data directory (`server.data_dir`).
    Embedded(PathBuf),
    /// `postgres://…` or `postgresql://…`, whole, as PostgreSQL's own clients take it.
    Postgres(String),
    /// `scylla://[USER:PASSWORD@]HOST[:PORT][,HOST…]/KEYSPACE`, also for Cassandra.
    Scylla {
        /// Whom to log in as; none for databases that ask for nobody.
        login: Option<Login>,
        /// Contact points, `HOST:PORT`.
        hosts: Vec<String>,
        /// Keyspace.
        keyspace: String,
    },
}

/// A user and their password. Shown nowhere: [`StoreUrl`] leaves it out.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// Their password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Not an address of a store. Says no more: the address may hold a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "expected embedded:DIR, postgres://USER:PASSWORD@HOST:PORT/DATABASE or scylla://USER:PASSWORD@HOST:PORT/KEYSPACE"
)]
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
    let (place, keyspace) = rest.split_once('/').ok_or(StoreUrlError)?;
    let (login, hosts) = match place.rsplit_once('@') {
        Some((login, hosts)) => (Some(parse_login(login)?), hosts),
        None => (None, place),
    };
    let with_port = |host: &str| {
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port { host.to_owned() } else { format!("{host}:{CQL_PORT}") }
    };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name(keyspace) || hosts.split(',').any(str::is_empty) {
        return Err(StoreUrlError);
    }
    Ok(StoreUrl::Scylla { login, hosts: hosts.split(',').map(with_port).collect(), keyspace: keyspace.to_owned() })
}

/// `USER:PASSWORD`, both perhaps with `%XX` for what has a meaning in an address.
fn parse_login(text: &str) -> Result<Login, StoreUrlError> {
    let plain = |text: &str| percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| StoreUrlError);
    let (user, password) = text.split_once(':').ok_or(StoreUrlError)?;
    let login = Login { user: plain(user)?, password: plain(password)? };
    if login.user.is_empty() || login.password.is_empty() { Err(StoreUrlError) } else { Ok(login) }
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
            Self::Scylla { login: _, hosts, keyspace } => write!(f, "scylla://{}/{keyspace}", hosts.join(",")),
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
            ("scylla://u:secret@a,b:9043/chat", "scylla://a:9042,b:9043/chat"),
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
            "scylla://u@h/k",
            "scylla://:p@h/k",
            "scylla://u:p%ff@h/k",
            "x://h",
        ] {
            assert_eq!(text.parse::<StoreUrl>(), Err(StoreUrlError), "{text}");
        }
    }

    #[test]
    fn who_logs_in() {
        let url: StoreUrl = "scylla://ana%40x:s%2Fe:c@h/k".parse().unwrap();
        assert!(!format!("{url:?}").contains("ana"));
        let StoreUrl::Scylla { login: Some(login), .. } = url else { panic!("{url}") };
        assert_eq!((login.user.as_str(), login.password.as_str()), ("ana@x", "s/e:c"));
    }
}
