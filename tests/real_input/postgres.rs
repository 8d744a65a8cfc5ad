//! A PostgreSQL of the test's own, because it is killed: its programs are taken from where the system has them.
//!
//! Where it has none, the server of `TERTULIA_TEST_POSTGRES` is used, in a schema of its own, and lives on.

use std::{
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_postgres::{NoTls, config::Host};

use super::server::{Running, free_port};

/// Longest time from the start to the first answer, recovery included.
const START_MAX: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct Postgres {
    config: tokio_postgres::Config,
    schema: String,
    own: Option<Own>,
}

/// A cluster in a directory of its own.
struct Own {
    dir: TempDir,
    bin: PathBuf,
    user: Option<(u32, u32)>,
    running: Option<Running>,
}

impl Postgres {
    /// Starts one; none if the environment says nothing of PostgreSQL.
    pub(crate) async fn start() -> Option<Self> {
        let Ok(url) = std::env::var("TERTULIA_TEST_POSTGRES") else {
            eprintln!("SKIPPED: TERTULIA_TEST_POSTGRES is not set");
            return None;
        };
        let schema = format!("real_input_{}", std::process::id());
        let Some(bin) = programs() else {
            eprintln!("no programs of PostgreSQL are here: the one that is configured is used, and not killed");
            let config = url.parse().expect("TERTULIA_TEST_POSTGRES is a URL of PostgreSQL");
            return Some(Self { config, schema, own: None });
        };
        let own = Own::create(bin);
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(free_port()).user("tertulia").password("unasked").dbname("postgres");
        let mut postgres = Self { config, schema, own: Some(own) };
        postgres.start_again().await;
        Some(postgres)
    }

    /// How the server finds it: the variables that whoever runs a server sets.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let [Host::Tcp(host)] = self.config.get_hosts() else { panic!("one host") };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        vec![
            ("POSTGRES_HOST", host.clone()),
            ("POSTGRES_PORT", self.config.get_ports().first().copied().unwrap_or(5432).to_string()),
            ("POSTGRES_USER", self.config.get_user().unwrap_or_default().to_owned()),
            ("POSTGRES_PASSWORD", self.config.get_password().map(text).unwrap_or_default()),
            ("POSTGRES_DB", self.config.get_dbname().unwrap_or_default().to_owned()),
            ("TERTULIA_POSTGRES_SCHEMA", self.schema.clone()),
        ]
    }

    /// How `tertulia migrate` finds it.
    pub(crate) fn url(&self) -> String {
        let told: std::collections::HashMap<_, _> = self.environment().into_iter().collect();
        let [user, password, host, port, database, schema] = [
            "POSTGRES_USER",
            "POSTGRES_PASSWORD",
            "POSTGRES_HOST",
            "POSTGRES_PORT",
            "POSTGRES_DB",
            "TERTULIA_POSTGRES_SCHEMA",
        ]
        .map(|name| told[name].clone());
        format!("postgres://{user}:{password}@{host}:{port}/{database}?schema={schema}")
    }

    /// `kill -9` of the postmaster.
    pub(crate) fn kill(&mut self) {
        let Some(own) = &mut self.own else { return };
        let mut running = own.running.take().expect("it was started");
        running.0.kill().unwrap();
        assert_eq!(running.0.wait().unwrap().signal(), Some(9));
    }

    /// Has it refuse all writes, or take them again. Returns whether that was done: not to a server that is not the
    /// test's own.
    pub(crate) async fn set_read_only(&self, is_read_only: bool) -> bool {
        if self.own.is_none() {
            return false;
        }
        let (client, connection) = self.config.connect(NoTls).await.unwrap();
        let set = async move {
            client.execute("SET default_transaction_read_only = off", &[]).await?;
            let system = format!("ALTER SYSTEM SET default_transaction_read_only = {is_read_only}");
            client.execute(&system, &[]).await?;
            client.execute("SELECT pg_reload_conf()", &[]).await
        };
        tokio::join!(set, connection).0.unwrap();
        true
    }

    /// Locks the rows by which these rooms are written, in a transaction of somebody else's, until `until` is done.
    pub(crate) async fn hold<T>(&self, rooms: &[&str], until: impl Future<Output = T>) -> T {
        let (mut client, connection) = self.config.connect(NoTls).await.unwrap();
        let rooms: Vec<_> = rooms.iter().map(|room| format!("'{room}'")).collect();
        let select =
            format!("SELECT 1 FROM {}.room_control WHERE room IN ({}) FOR UPDATE", self.schema, rooms.join(","));
        let holding = async move {
            let held = client.transaction().await.unwrap();
            assert_eq!(held.query(&select, &[]).await.unwrap().len(), rooms.len());
            let done = until.await;
            held.rollback().await.unwrap();
            done
        };
        // The connection ends with its client.
        let (done, ended) = tokio::join!(holding, connection);
        ended.unwrap();
        done
    }

    /// Starts on the same directory and port; returns when it answers.
    pub(crate) async fn start_again(&mut self) {
        let Some(own) = &mut self.own else { return };
        assert!(own.running.is_none(), "it runs already");
        let (port, deadline) = (self.config.get_ports()[0], Instant::now() + START_MAX);
        loop {
            let mut running = own.running.take().unwrap_or_else(|| own.spawn(port));
            // Processes of the one that was killed may still be going: then it ends by itself, and is started again.
            if running.0.try_wait().unwrap().is_none() {
                own.running = Some(running);
                if self.config.connect(NoTls).await.is_ok() {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "PostgreSQL does not start: {}", own.log());
            sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.own.is_some() {
            return;
        }
        let (config, sql) = (self.config.clone(), format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema));
        let work = async move {
            let (client, connection) = config.connect(NoTls).await.unwrap();
            let (dropped, _) = tokio::join!(
                async move {
                    // The connection ends with the client.
                    client.batch_execute(&sql).await
                },
                connection
            );
            dropped.unwrap();
        };
        let drop_it = std::thread::spawn(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        });
        assert!(drop_it.join().is_ok() || std::thread::panicking(), "the schema is dropped");
    }
}

impl Own {
    fn create(bin: PathBuf) -> Self {
        let dir = TempDir::with_prefix("tertulia-postgres-").unwrap();
        let own = Self { dir, bin, user: other_user(), running: None };
        if let Some((user, group)) = own.user {
            std::os::unix::fs::chown(own.dir.path(), Some(user), Some(group)).unwrap();
        }
        let made = own
            .command("initdb")
            .args(["--username=tertulia", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(own.data())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        own
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir("/").stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn spawn(&self, port: u16) -> Running {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log")).unwrap();
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=50"] {
            command.args(["-c", setting]);
        }
        Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }
}

/// The directory of `initdb` and `postgres`.
fn programs() -> Option<PathBuf> {
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let told = asked.map(|out| PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()));
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = packaged.map(|version| version.path().join("bin")).collect();
    all.sort();
    let has_all = |bin: &Path| bin.join("initdb").is_file() && bin.join("postgres").is_file();
    told.into_iter().chain(all.into_iter().rev()).find(|bin| has_all(bin))
}

/// PostgreSQL refuses to run as root: the user and group that its package made.
fn other_user() -> Option<(u32, u32)> {
    let id = |args: &[&str]| {
        let out = Command::new("id").args(args).output().ok()?;
        String::from_utf8_lossy(&out.stdout).trim().parse::<u32>().ok()
    };
    if id(&["-u"])? != 0 {
        return None;
    }
    Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?))
}
