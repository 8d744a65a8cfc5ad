//! Real Redis servers for tests: the common one of the environment, and servers of a test's own that it may ruin.

use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use redis::{Client, ConnectionAddr, IntoConnectionInfo as _};

use super::{RedisLink, RedisOptions};

const VARIABLE: &str = "TERTULIA_TEST_REDIS";

static NUMBER: AtomicU32 = AtomicU32::new(0);

fn number() -> String {
    format!("{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed))
}

fn parse(address: &str) -> (String, u16) {
    let (host, port) = address.trim_start_matches("redis://").split_once(':').expect("host:port");
    (host.to_owned(), port.parse().expect("a port"))
}

/// The common server, under a prefix of the test's own; an address where nobody is if there is none.
///
/// # Panics
/// If the variable holds no address.
#[must_use]
pub fn options() -> RedisOptions {
    let Ok(address) = std::env::var(VARIABLE) else {
        return RedisOptions::at("127.0.0.1", 1);
    };
    let (host, port) = parse(&address);
    RedisOptions { prefix: format!("test-{}:", number()), ..RedisOptions::at(host, port) }
}

/// A Redis of the test's own, taken down with it.
#[derive(Debug)]
pub struct OwnRedis {
    name: String,
    options: RedisOptions,
}

impl OwnRedis {
    /// None, and a line that says so, where the environment has no servers for tests.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        if std::env::var_os(VARIABLE).is_none() {
            eprintln!("SKIPPED: {VARIABLE} is not set");
            return None;
        }
        let name = format!("own-{}", number());
        let own = std::process::id().to_string();
        let up =
            local("up").args(["--name", &name, "--while", &own, "redis"]).output().expect("deploy/local/up starts");
        let text = String::from_utf8_lossy(&up.stdout).into_owned();
        assert!(up.status.success(), "{text}{}", String::from_utf8_lossy(&up.stderr));
        let address = text.lines().find_map(|line| line.strip_prefix(&format!("export {VARIABLE}="))).expect("address");
        let (host, port) = parse(address);
        Some(Self { name, options: RedisOptions::at(host, port) })
    }

    /// Where it is.
    #[must_use]
    pub fn options(&self) -> RedisOptions {
        self.options.clone()
    }

    /// A link to it.
    ///
    /// # Panics
    /// Never: its address is one.
    #[must_use]
    pub fn link(&self) -> RedisLink {
        RedisLink::new(&self.options).expect("an address")
    }

    /// `kill`, `start`, `freeze` or `thaw`.
    ///
    /// # Panics
    /// If it cannot be done.
    pub fn ctl(&self, command: &str) {
        let done =
            local("ctl").args(["--name", &self.name, command, "redis"]).output().expect("deploy/local/ctl starts");
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Carries out commands of an operator who has this password, over a connection of their own.
    ///
    /// # Panics
    /// If Redis does not do what it is told.
    pub async fn told(&self, password: Option<&str>, commands: &[&[&str]]) {
        let address = ConnectionAddr::Tcp(self.options.host.clone(), self.options.port);
        let mut info = address.into_connection_info().expect("an address");
        if let Some(password) = password {
            info = info.clone().set_redis_settings(info.redis_settings().clone().set_password(password));
        }
        let client = Client::open(info).expect("an address");
        let mut connection = client.get_multiplexed_async_connection().await.expect("redis answers");
        let mut all = redis::pipe();
        for command in commands {
            let (name, arguments) = command.split_first().expect("a command");
            all.cmd(name).arg(arguments).ignore();
        }
        all.query_async::<()>(&mut connection).await.expect("redis does what it is told");
    }

    /// FLUSHALL.
    ///
    /// # Panics
    /// If Redis does not answer.
    pub async fn flush(&self) {
        self.told(None, &[&["FLUSHALL"]]).await;
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        let _ = local("down").args(["--name", &self.name]).output();
    }
}

fn local(program: &str) -> Command {
    Command::new(format!("{}/deploy/local/{program}", env!("CARGO_MANIFEST_DIR")))
}
