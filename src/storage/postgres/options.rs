//! How to reach the server, and how a session of ours is set up.

use std::{fmt::Write as _, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{Host, SslMode};

/// Where the store is and how much of it to use.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Name or address; a path that begins with `/` is the directory of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// User to log in as.
    pub user: String,
    /// That user's password, if it needs one.
    pub password: Option<SecretString>,
    /// Database; must be there.
    pub database: String,
    /// Schema of the tables; made if it is not there.
    pub schema: String,
    /// Most connections, at least 2.
    pub pool_size: usize,
    /// Group commits under way at once, at least 1 and fewer than `pool_size`.
    pub append_lanes: usize,
    /// Longest time to connect, and to wait for a free connection.
    pub connect_timeout: Duration,
    /// Longest time of one statement, waiting for locks included. What locks hold up is refused after as long.
    pub statement_timeout: Duration,
    /// Longest time that a statement waits for one lock. What it holds up is tried again without keeping others waiting.
    pub lock_timeout: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 5432,
            user: "tertulia".to_owned(),
            password: None,
            database: "tertulia".to_owned(),
            schema: "tertulia".to_owned(),
            pool_size: 16,
            append_lanes: 4,
            connect_timeout: Duration::from_millis(1_500),
            // Shorter than an attempt's deadline in the layers around: what the server gives up was certainly not done.
            statement_timeout: Duration::from_millis(3_500),
            lock_timeout: Duration::from_millis(200),
        }
    }
}

/// Not an address of a PostgreSQL store. Says no more: the address may hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected postgres://USER:PASSWORD@HOST:PORT/DATABASE[?schema=NAME], with one host and without TLS")]
pub struct PostgresUrlError;

impl PostgresOptions {
    /// The defaults, but for what a URL says: user, password, host, port and database.
    ///
    /// # Errors
    /// If it is no such URL, names no host or several, or asks for TLS, which is not spoken here.
    pub fn from_url(url: &str) -> Result<Self, PostgresUrlError> {
        let parsed: tokio_postgres::Config = url.parse().map_err(|_| PostgresUrlError)?;
        if parsed.get_ssl_mode() == SslMode::Require {
            return Err(PostgresUrlError);
        }
        let host = match parsed.get_hosts() {
            [Host::Tcp(host)] => host.clone(),
            #[cfg(unix)]
            [Host::Unix(dir)] => dir.to_string_lossy().into_owned(),
            _ => return Err(PostgresUrlError),
        };
        let defaults = Self::default();
        let or = |given: Option<&str>, default: String| given.map_or(default, str::to_owned);
        let password = parsed.get_password().map(|password| String::from_utf8_lossy(password).into_owned().into());
        Ok(Self {
            host,
            port: parsed.get_ports().first().copied().unwrap_or(defaults.port),
            user: or(parsed.get_user(), defaults.user),
            password,
            database: or(parsed.get_dbname(), defaults.database),
            ..Self::default()
        })
    }

    /// What the driver needs to connect. Keepalives notice a server that went without a word.
    pub(super) fn driver(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name("tertulia")
            .connect_timeout(self.connect_timeout)
            .keepalives_idle(Duration::from_secs(15))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(self.statement_timeout.saturating_mul(2));
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        config
    }

    /// The statement that sets up a session.
    ///
    /// Every statement of ours is a bounded number of look-ups by index, whatever the tables hold: one generic plan a
    /// statement, made without sequential scans, is right while a table is empty and when it has a billion rows, and
    /// costs no planning. The compiler of expressions (JIT) is for reports.
    pub(super) fn session(&self) -> String {
        let mut sql = String::new();
        for (name, value) in [
            ("search_path", quoted(&self.schema).as_str()),
            ("default_transaction_isolation", "'read committed'"),
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_bitmapscan", "off"),
            ("enable_hashjoin", "off"),
            ("enable_mergejoin", "off"),
            ("jit", "off"),
        ] {
            // Writing to a string cannot fail.
            let _ = write!(sql, "SET {name} = {value};");
        }
        let timeout = self.statement_timeout.as_millis();
        let _ = write!(sql, "SET statement_timeout = {timeout}; SET idle_in_transaction_session_timeout = {timeout};");
        let _ = write!(sql, "SET lock_timeout = {};", self.lock_timeout.as_millis());
        // An acknowledgement means that the write is on the disk; a stricter setting of the operator's stays.
        sql.push_str("SELECT set_config('synchronous_commit', 'on', false) ");
        sql.push_str("WHERE current_setting('synchronous_commit') = 'off'");
        sql
    }
}

/// An identifier in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let options = PostgresOptions::from_url("postgres://u:p@h:5433/db?sslmode=disable").unwrap();
        assert_eq!((options.host.as_str(), options.port, options.user.as_str()), ("h", 5433, "u"));
        assert_eq!((options.database.as_str(), options.schema.as_str()), ("db", "tertulia"));
        assert_eq!(options.password.unwrap().expose_secret(), "p");
        let options = PostgresOptions::from_url("postgres://h/db").unwrap();
        assert_eq!((options.schema.as_str(), options.port), ("tertulia", 5432));
        for url in [
            "postgres://a,b/db",
            "postgres://",
            "x://h",
            "postgres://h/db?nonsense=1",
            "postgres://h/db?sslmode=require",
        ] {
            assert_eq!(PostgresOptions::from_url(url).unwrap_err(), PostgresUrlError, "{url}");
        }
    }

    #[test]
    fn passwords_are_not_shown_and_names_are_quoted() {
        let options =
            PostgresOptions { password: Some("swordfish".into()), schema: "a\"b".into(), ..PostgresOptions::default() };
        assert!(!format!("{options:?}").contains("swordfish"));
        assert!(options.session().contains("search_path = \"a\"\"b\";"));
    }
}
