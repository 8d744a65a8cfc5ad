//! Addresses of stores, as `tertulia migrate` and the configuration take them.
//!
//! An address says where a store is and who logs in. All else is said by the configuration for every store of a kind;
//! parameters behind a `?` say it for this one store, under the configuration's own names.

use std::{borrow::Cow, fmt, path::PathBuf, str::FromStr};

use percent_encoding::percent_decode_str;

use super::postgres::{PostgresOptions, PostgresUrlError};

/// Which store, where, and what is set for it alone.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    /// Which store, and where.
    pub at: StoreAt,
    /// What the parameters set: keys of the configuration, and values that nobody has looked at yet. Of two values of one
    /// key the later one counts.
    pub set: Vec<(&'static str, String)>,
}

/// Which store, and where. The same for two addresses of one store.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreAt {
    /// `embedded:DIR`: DIR is a server's data directory (`server.data_dir`).
    Embedded(PathBuf),
    /// `postgres://…` or `postgresql://…`.
    Postgres {
        /// As PostgreSQL's own clients take it, with those parameters that say where it is and who logs in.
        url: String,
        /// Schema of the tables, if it is said.
        schema: Option<String>,
    },
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

/// What the parameters of an address may set, by kind of store.
const EMBEDDED: &[&str] = &["storage.fsync", "storage.fsync_interval_ms", "storage.cache_mb"];
const POSTGRES: &[&str] =
    &["postgres.pool_size", "postgres.append_lanes", "postgres.connect_timeout_ms", "postgres.statement_timeout_ms"];
const SCYLLA: &[&str] =
    &["scylla.datacenter", "scylla.consistency", "scylla.replication_factor", "scylla.request_timeout_ms"];

/// Parameters that belong to the place of a PostgreSQL store: the schema, and what PostgreSQL's own clients know.
const PLACE: &[&str] = &["schema", "host", "port", "user", "password", "dbname", "sslmode"];

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

/// Not an address of a store. Says no more than names of parameters: the address may hold a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreUrlError {
    /// No address at all.
    #[error(
        "expected embedded:DIR, postgres://USER:PASSWORD@HOST:PORT/DATABASE or scylla://USER:PASSWORD@HOST:PORT/KEYSPACE"
    )]
    Form,
    /// None of a PostgreSQL store.
    #[error(transparent)]
    Postgres(#[from] PostgresUrlError),
    /// A parameter that this kind of store does not have.
    #[error("unknown parameter `{name}`: expected {}", known.join(", "))]
    Unknown {
        /// Its name.
        name: String,
        /// Those that there are.
        known: Vec<&'static str>,
    },
}

/// Port of CQL servers.
const CQL_PORT: u16 = 9042;

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        // Then the question mark was a part of the password.
        if query.contains('@') {
            return Err(StoreUrlError::Form);
        }
        let (scheme, rest) = base.split_once(':').ok_or(StoreUrlError::Form)?;
        match scheme {
            "embedded" if !rest.is_empty() => {
                let (set, _) = parameters(query, EMBEDDED, &[])?;
                Ok(Self { at: StoreAt::Embedded(rest.into()), set })
            }
            "postgres" | "postgresql" if rest.len() > 2 && rest.starts_with("//") => postgres(base, query),
            "scylla" | "cassandra" => {
                let at = scylla(rest.strip_prefix("//").ok_or(StoreUrlError::Form)?)?;
                let (set, _) = parameters(query, SCYLLA, &[])?;
                Ok(Self { at, set })
            }
            _ => Err(StoreUrlError::Form),
        }
    }
}

/// What parameters set, and those parts that belong to the place.
type Parameters<'a> = (Vec<(&'static str, String)>, Vec<(&'a str, &'a str)>);

fn parameters<'a>(
    query: &'a str,
    keys: &[&'static str],
    place: &[&'static str],
) -> Result<Parameters<'a>, StoreUrlError> {
    let (mut set, mut placed) = (Vec::new(), Vec::new());
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if let Some(key) = keys.iter().find(|key| name_of(key) == name) {
            set.push((*key, plain(value)?));
        } else if place.contains(&name) {
            placed.push((name, value));
        } else if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            let known = keys.iter().map(|key| name_of(key)).chain(place.iter().copied()).collect();
            return Err(StoreUrlError::Unknown { name: name.to_owned(), known });
        } else {
            return Err(StoreUrlError::Form);
        }
    }
    Ok((set, placed))
}

/// The name of a key within its section.
fn name_of(key: &'static str) -> &'static str {
    key.rsplit_once('.').map_or(key, |(_, name)| name)
}

fn postgres(base: &str, query: &str) -> Result<StoreUrl, StoreUrlError> {
    let (set, placed) = parameters(query, POSTGRES, PLACE)?;
    let (schemas, theirs): (Vec<_>, Vec<_>) = placed.into_iter().partition(|(name, _)| *name == "schema");
    let schema = schemas.last().map(|(_, schema)| plain(schema)).transpose()?;
    let theirs: Vec<_> = theirs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let url = if theirs.is_empty() { base.to_owned() } else { format!("{base}?{}", theirs.join("&")) };
    PostgresOptions::from_url(&url)?;
    Ok(StoreUrl { at: StoreAt::Postgres { url, schema }, set })
}

fn scylla(rest: &str) -> Result<StoreAt, StoreUrlError> {
    let (place, keyspace) = rest.split_once('/').ok_or(StoreUrlError::Form)?;
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
        return Err(StoreUrlError::Form);
    }
    Ok(StoreAt::Scylla { login, hosts: hosts.split(',').map(with_port).collect(), keyspace: keyspace.to_owned() })
}

/// `USER:PASSWORD`.
fn parse_login(text: &str) -> Result<Login, StoreUrlError> {
    let (user, password) = text.split_once(':').ok_or(StoreUrlError::Form)?;
    let login = Login { user: plain(user)?, password: plain(password)? };
    if login.user.is_empty() || login.password.is_empty() { Err(StoreUrlError::Form) } else { Ok(login) }
}

/// What stands there, perhaps with `%XX` for what has a meaning in an address.
fn plain(text: &str) -> Result<String, StoreUrlError> {
    percent_decode_str(text).decode_utf8().map(Cow::into_owned).map_err(|_| StoreUrlError::Form)
}

/// Where it is, without what may be a password and without what is set.
impl fmt::Display for StoreAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(dir) => write!(f, "embedded:{}", dir.display()),
            Self::Postgres { url, schema: _ } => {
                let url = url.split_once('?').map_or(url.as_str(), |(url, _)| url);
                let place = url.rsplit_once('@').map_or_else(|| url.split_once("//"), |(_, place)| Some(("", place)));
                write!(f, "postgres://{}", place.map_or("", |(_, place)| place))
            }
            Self::Scylla { login: _, hosts, keyspace } => write!(f, "scylla://{}/{keyspace}", hosts.join(",")),
        }
    }
}

impl fmt::Debug for StoreAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.at, f)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn addresses() {
        for (text, shown) in [
            ("embedded:./data", "embedded:./data"),
            ("embedded:./data?fsync=interval", "embedded:./data"),
            ("postgres://u:secret@h:5433/db?password=secret", "postgres://h:5433/db"),
            ("postgresql://h/db", "postgres://h/db"),
            ("postgres://h/db?sslmode=disable&schema=s", "postgres://h/db"),
            ("scylla://a,b:9043/chat", "scylla://a:9042,b:9043/chat"),
            ("cassandra://127.0.0.1/chat", "scylla://127.0.0.1:9042/chat"),
            ("scylla://u:secret@a,b:9043/chat?consistency=ONE", "scylla://a:9042,b:9043/chat"),
        ] {
            assert_eq!(text.parse::<StoreUrl>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "data",
            "embedded:",
            "embedded:?fsync=always",
            "postgres:x",
            "postgres://",
            "postgres://u:pass?word@h/db",
            "scylla://h",
            "scylla:///k",
            "scylla://h/a b",
            "scylla://u@h/k",
            "scylla://:p@h/k",
            "scylla://u:p%ff@h/k",
            "scylla://h/k?datacenter=%ff",
            "scylla://h/k?a/b=c",
            "x://h",
        ] {
            assert_eq!(text.parse::<StoreUrl>(), Err(StoreUrlError::Form), "{text}");
        }
        for text in ["postgres://a,b/db", "postgres://h/db?sslmode=require"] {
            assert!(matches!(text.parse::<StoreUrl>(), Err(StoreUrlError::Postgres(_))), "{text}");
        }
    }

    #[test]
    fn who_logs_in() {
        let url: StoreUrl = "scylla://ana%40x:s%2Fe:c@h/k".parse().unwrap();
        assert!(!format!("{url:?}").contains("ana"));
        let StoreAt::Scylla { login: Some(login), .. } = url.at else { panic!("{url}") };
        assert_eq!((login.user.as_str(), login.password.as_str()), ("ana@x", "s/e:c"));
    }

    #[test]
    fn parameters_are_keys_of_the_configuration() {
        let set = |text: &str| text.parse::<StoreUrl>().unwrap().set;
        assert_eq!(
            set("scylla://h/k?datacenter=r%C3%ADo&consistency=QUORUM"),
            [("scylla.datacenter", "río".to_owned()), ("scylla.consistency", "QUORUM".to_owned())]
        );
        assert_eq!(set("scylla://h/k?&datacenter="), [("scylla.datacenter", String::new())]);
        let url: StoreUrl = "postgres://h/db?schema=s%20t&pool_size=3&port=5433".parse().unwrap();
        assert_eq!(url.set, [("postgres.pool_size", "3".to_owned())]);
        let at = StoreAt::Postgres { url: "postgres://h/db?port=5433".to_owned(), schema: Some("s t".to_owned()) };
        assert!(url.at == at, "what is set is no part of the place");
    }

    #[test]
    fn a_parameter_that_is_not_known_is_named_and_its_value_is_not() {
        for text in [
            "embedded:d?pool_size=swordfish",
            "postgres://h/db?application_name=swordfish",
            "postgres://h/db?fsync=swordfish",
            "scylla://h/k?schema=swordfish",
            "scylla://h/k?consistency=ONE&pass=swordfish",
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err();
            let StoreUrlError::Unknown { name, known } = &error else { panic!("{text}: {error}") };
            assert!(text.contains(&format!("{name}=swordfish")) && !known.is_empty(), "{error}");
            assert!(error.to_string().contains(name) && !error.to_string().contains("swordfish"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn values_arrive_as_they_were_meant(value in ".*") {
            let text = format!("scylla://h/k?datacenter={}", utf8_percent_encode(&value, NON_ALPHANUMERIC));
            prop_assert_eq!(text.parse::<StoreUrl>().unwrap().set, [("scylla.datacenter", value)]);
        }

        #[test]
        fn nothing_shows_a_password(
            scheme in "postgres|scylla",
            before in "[a-z0-9?&=/:@,.%]{0,6}",
            behind in "[a-z0-9?&=/:@,.%]{0,6}",
            query in "(\\?(schema|consistency|nonsense)=x)?",
        ) {
            let text = format!("{scheme}://u:{before}swordfish{behind}@h/k{query}");
            let shown = match text.parse::<StoreUrl>() {
                Ok(url) => format!("{url} {url:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!shown.contains("swordfish"), "{}: {}", text, shown);
        }
    }
}
