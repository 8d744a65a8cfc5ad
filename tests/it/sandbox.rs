//! A server of one's own: temporary directory, port 0, the development key's tokens.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use tertulia::{
    api::auth::dev_key::{self, TokenSpec},
    clock::{Clock as _, SystemClock},
    config::{Config, ConfigFile, Sources},
    server::Server,
};

use crate::{
    caller::User,
    store::{self, Settings},
};

/// Panics outside of the tests' own code, in the whole process.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics of the server. A failed assertion of a test is one too, but not the server's.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let show = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.location().is_none_or(|at| !at.file().contains("tests/it/")) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            show(info);
        }));
    });
}

/// A server, and all that is needed to call it.
///
/// Its store is the embedded one; PostgreSQL if `TERTULIA_TEST_BACKEND` says `postgres`: the one that
/// `TERTULIA_TEST_POSTGRES` names, in a schema of the sandbox's own; Cassandra or ScyllaDB if it says `scylla`: the one
/// that `TERTULIA_TEST_CQL` names, in a keyspace that nobody else uses at the time.
pub(crate) struct Sandbox {
    store: Settings,
    dir: TempDir,
    flags: Vec<(String, String)>,
    server: Option<Server>,
}

/// A configuration from flags alone.
pub(crate) fn config(dir: &Path, flags: &[(String, String)]) -> Config {
    let dir = dir.to_str().unwrap().to_owned();
    let mut all: Vec<(String, String)> = [
        ("server.listen", "127.0.0.1:0"),
        ("server.data_dir", &dir),
        ("server.drain_timeout_ms", "5000"),
        ("limits.user_per_s", "0"),
        ("limits.room_per_s", "0"),
        ("limits.adds_per_h", "0"),
        ("rooms.join_all_users", "anyone"),
        ("rooms.external_refs", "room_admins"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    all.extend_from_slice(flags);
    Config::load(&Sources { file: ConfigFile::None, env: BTreeMap::new(), flags: all }).unwrap()
}

impl Sandbox {
    /// A server without rate limits.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A server on a real disk: slower, for tests of what is kept.
    pub(crate) async fn on_disk() -> Self {
        Self::over(tempfile::tempdir().unwrap(), &[]).await
    }

    /// A server with these settings.
    pub(crate) async fn with(flags: &[(&str, &str)]) -> Self {
        // Thousands of synced writes: in memory where the system has a place for that.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Self::over(dir.unwrap(), flags).await
    }

    async fn over(dir: TempDir, flags: &[(&str, &str)]) -> Self {
        watch_panics();
        let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut sandbox = Self { store: store::settings().await, dir, flags, server: None };
        sandbox.start_again().await;
        sandbox
    }

    /// Starts the server on the data that is there.
    pub(crate) async fn start_again(&mut self) {
        assert!(self.server.is_none(), "it runs");
        self.server = Some(Server::start(&self.config(), false).await.unwrap());
    }

    /// Another setting from the next start on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.flags.push((key.to_owned(), value.to_owned()));
    }

    /// Why the server does not start.
    pub(crate) async fn refusal(&self) -> String {
        let started = Server::start(&self.config(), false).await;
        format!("{:#}", started.map(drop).expect_err("must not start"))
    }

    /// The configuration of the server.
    pub(crate) fn config(&self) -> Config {
        config(self.dir.path(), &[&self.store[..], &self.flags].concat())
    }

    /// Stops the server in order.
    pub(crate) async fn stop(&mut self) {
        self.server.take().unwrap().stop().await.unwrap();
    }

    /// The server itself, to be stopped by the caller.
    pub(crate) fn take_server(&mut self) -> Server {
        self.server.take().unwrap()
    }

    /// Everything that the store holds, with all else in the data directory.
    pub(crate) async fn stored(&self) -> Vec<u8> {
        let mut all = store::dump(&self.store).await.into_bytes();
        read_all(self.dir.path(), &mut all);
        all
    }

    /// See [`store::give_away`].
    pub(crate) async fn give_away(&self, room: &str, seq: i64, author: i64) -> bool {
        store::give_away(&self.store, room, seq, author).await
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.as_ref().unwrap().addr()
    }

    /// The address of a path over HTTP.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr())
    }

    /// A token of a user called `User <id>`, valid for an hour.
    pub(crate) fn token(&self, user_id: i64) -> String {
        self.mint(user_id, false, Duration::from_secs(3_600), 0)
    }

    /// A token made `ago_ms` ago.
    pub(crate) fn mint(&self, user_id: i64, admin: bool, ttl: Duration, ago_ms: i64) -> String {
        let key = dev_key::load_or_create(self.dir.path()).unwrap();
        let spec = TokenSpec {
            user_id,
            name: &format!("User {user_id}"),
            picture: "",
            admin,
            ttl,
            now_ms: SystemClock.now_ms() - ago_ms,
        };
        key.mint(&spec, &self.config().auth.options())
    }

    /// A user with a connection of their own.
    pub(crate) fn user(&self, id: i64) -> User {
        User::new(self.addr(), id, Some(self.token(id)))
    }

    /// An operator.
    pub(crate) fn admin(&self) -> User {
        let token = self.mint(9_999, true, Duration::from_secs(3_600), 0);
        User::new(self.addr(), 9_999, Some(token))
    }

    /// A caller with this token.
    pub(crate) fn caller(&self, token: Option<&str>) -> User {
        User::new(self.addr(), 0, token.map(str::to_owned))
    }
}

fn read_all(dir: &Path, all: &mut Vec<u8>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, all);
        } else {
            all.extend(std::fs::read(&path).unwrap());
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        store::forget(std::mem::take(&mut self.store));
        if !std::thread::panicking() {
            assert_eq!(PANICS.load(Ordering::SeqCst), 0, "the server panicked");
        }
    }
}
