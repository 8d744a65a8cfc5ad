//! Servers of the test's own out of `deploy/local`, because they are killed: Cassandra (ScyllaDB where a container engine
//! runs), alone or three in a ring, and Redis. Taken down with their owner, however it ends.

use std::process::Command;

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream},
    net::TcpStream,
};

/// Commits that are acknowledged after they are on the disk: a node that is killed has all that it said it has.
/// `periodic`, which is quicker, forgets up to the last tenth of a second.
const COMMIT_LOG: (&str, &str) = ("TERTULIA_TEST_SERVERS_SYNC", "group");

/// Which the server under test is not told.
const REDIS_PASSWORD: &str = "changed";

/// Servers that are up.
pub(crate) struct LocalServers {
    name: String,
    cassandra: Vec<(String, String)>,
    redis: String,
}

/// How many Cassandra nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Nodes {
    One,
    Ring,
}

impl LocalServers {
    /// Starts Cassandra and Redis.
    pub(crate) fn start(nodes: Nodes) -> Self {
        let process = std::process::id();
        let name = format!("real-input-{process}");
        let mut command = local("up");
        command.args(["--name", &name, "--while", &process.to_string()]).env(COMMIT_LOG.0, COMMIT_LOG.1);
        if nodes == Nodes::Ring {
            command.arg("--cassandra-ring");
        }
        let up = command.args(["cassandra", "redis"]).output().expect("deploy/local/up starts");
        let text = String::from_utf8_lossy(&up.stdout).into_owned();
        assert!(up.status.success(), "{text}{}", String::from_utf8_lossy(&up.stderr));
        let address = |variable: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("export {variable}=")));
            line.unwrap_or_else(|| panic!("{variable} in {text}")).to_owned()
        };
        let split = |node: &str| node.rsplit_once(':').map(|(host, port)| (host.to_owned(), port.to_owned()));
        let cassandra = address("TERTULIA_TEST_CQL").split(',').map(|node| split(node).expect("host:port")).collect();
        let redis = address("TERTULIA_TEST_REDIS").trim_start_matches("redis://").to_owned();
        Self { name, cassandra, redis }
    }

    /// How the server finds them: the variables that whoever runs a server sets.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let hosts: Vec<_> = self.cassandra.iter().map(|(host, _)| host.as_str()).collect();
        let (redis_host, redis_port) = self.redis.rsplit_once(':').expect("host:port");
        let (copies, consistency) = if hosts.len() == 1 { ("1", "LOCAL_QUORUM") } else { ("3", "QUORUM") };
        vec![
            ("USE_SCYLLADB", "true".to_owned()),
            ("SCYLLA_HOSTS", hosts.join(",")),
            ("SCYLLA_PORT", self.cassandra[0].1.clone()),
            ("SCYLLA_KEYSPACE", "real_input".to_owned()),
            ("SCYLLA_CONSISTENCY", consistency.to_owned()),
            ("TERTULIA_SCYLLA_REPLICATION_FACTOR", copies.to_owned()),
            ("REDIS_HOST", redis_host.to_owned()),
            ("REDIS_PORT", redis_port.to_owned()),
        ]
    }

    /// `kill` (SIGKILL) or `start`, of `cassandra`, `cassandra-1` to `-3`, or `redis`. Start waits for an answer.
    pub(crate) fn ctl(&self, command: &str, server: &str) {
        let done =
            local("ctl").args(["--name", &self.name, command, server]).output().expect("deploy/local/ctl starts");
        assert!(done.status.success(), "{command} {server}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// The same, while the test goes on.
    pub(crate) async fn ctl_beside(self: &std::sync::Arc<Self>, command: &'static str, server: &'static str) {
        let servers = std::sync::Arc::clone(self);
        tokio::task::spawn_blocking(move || servers.ctl(command, server)).await.expect("ctl does not panic");
    }

    /// FLUSHALL.
    pub(crate) async fn flush_redis(&self) {
        self.tell_redis(&["FLUSHALL"]).await;
    }

    /// Has Redis want a password that nobody has, and ends the connections that were let in before.
    pub(crate) async fn close_redis(&self) {
        let set = format!("CONFIG SET requirepass {REDIS_PASSWORD}");
        self.tell_redis(&[&set, "CLIENT KILL TYPE normal SKIPME yes"]).await;
    }

    /// Has Redis let everybody in again.
    pub(crate) async fn open_redis(&self) {
        let auth = format!("AUTH {REDIS_PASSWORD}");
        self.tell_redis(&[&auth, "CONFIG SET requirepass \"\""]).await;
    }

    /// Gives commands one after the other; none may be refused.
    async fn tell_redis(&self, commands: &[&str]) {
        let mut redis = BufStream::new(TcpStream::connect(&self.redis).await.expect("Redis is there"));
        for command in commands {
            redis.write_all(format!("{command}\r\n").as_bytes()).await.expect("Redis listens");
            redis.flush().await.expect("Redis listens");
            let mut answer = String::new();
            redis.read_line(&mut answer).await.expect("Redis answers");
            assert!(answer.starts_with("+OK") || answer.starts_with(':'), "{command}: {answer}");
        }
    }
}

impl Drop for LocalServers {
    fn drop(&mut self) {
        let _ = local("down").args(["--name", &self.name]).output();
    }
}

fn local(program: &str) -> Command {
    Command::new(format!("{}/deploy/local/{program}", env!("CARGO_MANIFEST_DIR")))
}
