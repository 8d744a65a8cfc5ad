//! What befalls a server and what it stands on while all are at work: `kill -9`, mostly.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    data::TestRoom,
    local::LocalServers,
    meanwhile::{
        STANDSTILL_MAX, read_page, until_degraded, until_ready, with_rooms_held, without_a_node, without_redis,
        without_writes,
    },
    postgres::Postgres,
    senders::Ledger,
    server::{Address, TestServer},
    settings::Settings,
};

/// How far a clock that is wrong is ahead of the time.
const CLOCK_AHEAD: Duration = Duration::from_secs(3_600);

/// What happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Blow {
    /// The server dies, and starts again.
    Server,
    /// The database, under a server that goes on.
    Database,
    /// The database, and the server before it is back.
    Both,
    /// Redis forgets all that it has.
    RedisEmptied,
    /// Redis dies, and comes back when the server has done without it for a while.
    Redis,
    /// Files refuse writes for a while, the log's too, under a server that goes on.
    Disk,
    /// The database is read-only for a while.
    ReadOnly,
    /// Somebody else holds the rows of all rooms but one, which goes on.
    HeldRows,
    /// Redis refuses the server's password for a while.
    RedisCloses,
    /// The server dies, lives a while with a clock that is an hour ahead, dies again and is set right.
    Clock,
    /// One node of three dies and is away for a minute, in which sends and reads go on.
    Node,
}

impl Blow {
    /// How often the server dies of it, as a reader sees it: who comes back slowly takes deaths that follow each other for
    /// one.
    pub(crate) fn deaths(self) -> u64 {
        match self {
            Self::Server | Self::Both | Self::Clock => 1,
            _ => 0,
        }
    }
}

/// What the server keeps its data in.
pub(crate) enum Backing {
    Embedded,
    Postgres(Box<Postgres>),
    Cassandra(Arc<LocalServers>),
}

impl Backing {
    /// How the server finds it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Embedded => Vec::new(),
            Self::Postgres(postgres) => postgres.environment(),
            Self::Cassandra(servers) => servers.environment(),
        }
    }

    fn kill(&mut self) {
        match self {
            Self::Embedded => panic!("the embedded store dies with its server"),
            Self::Postgres(postgres) => postgres.kill(),
            Self::Cassandra(servers) => servers.ctl("kill", "cassandra"),
        }
    }

    async fn start_again(&mut self) {
        match self {
            Self::Embedded => panic!("the embedded store starts with its server"),
            Self::Postgres(postgres) => postgres.start_again().await,
            Self::Cassandra(servers) => servers.ctl_beside("start", "cassandra").await,
        }
    }

    fn servers(&self) -> &Arc<LocalServers> {
        let Self::Cassandra(servers) = self else { panic!("no servers of deploy/local") };
        servers
    }

    /// Another node than the one that was away goes, and stays away: what is read from now on comes from a node that
    /// missed a minute, and one more.
    pub(crate) async fn lose_another(&self, at: &Address, rooms: &[TestRoom]) {
        self.servers().ctl("kill", "cassandra-2");
        let (mut read, began) = (0, Instant::now());
        while read < rooms.len() {
            read = if read_page(at, &rooms[read]).await { read + 1 } else { 0 };
            assert!(began.elapsed() < STANDSTILL_MAX * 2, "two nodes of three do not answer");
        }
    }

    /// Deals the blow, and makes good for it.
    pub(crate) async fn suffer(
        &mut self,
        blow: Blow,
        server: &mut TestServer,
        (ledger, rooms): (&Arc<Ledger>, &[TestRoom]),
    ) {
        match blow {
            Blow::Server => {
                server.kill();
                server.start_again().await;
            }
            Blow::Database => {
                self.kill();
                self.start_again().await;
            }
            Blow::Both => {
                self.kill();
                server.kill();
                self.start_again().await;
                server.start_again().await;
            }
            Blow::Disk => {
                server.limit_files("1");
                without_writes(server, rooms).await;
                server.limit_files("unlimited");
                until_ready(server, true).await;
            }
            Blow::ReadOnly => {
                let Self::Postgres(postgres) = self else { panic!("only PostgreSQL is made read-only") };
                if postgres.set_read_only(true).await {
                    without_writes(server, rooms).await;
                    postgres.set_read_only(false).await;
                    until_ready(server, true).await;
                }
            }
            Blow::HeldRows => {
                let Self::Postgres(postgres) = self else { panic!("only PostgreSQL has locks") };
                let [free, held @ ..] = rooms else { panic!("a room is free") };
                let ids: Vec<_> = held.iter().map(|room| &*room.id).collect();
                let stuck = postgres.hold(&ids, with_rooms_held(server, (free, &held[0]), ledger)).await;
                ledger.note(stuck.await.unwrap());
            }
            Blow::RedisEmptied => self.servers().flush_redis().await,
            Blow::Redis => {
                self.servers().ctl("kill", "redis");
                without_redis(ledger).await;
                self.servers().ctl_beside("start", "redis").await;
            }
            Blow::RedisCloses => {
                self.servers().close_redis().await;
                until_degraded(server, "redis", true).await;
                without_redis(ledger).await;
                self.servers().open_redis().await;
                until_degraded(server, "redis", false).await;
            }
            Blow::Clock => {
                let settings = Settings::of(&rooms[0]);
                for (number, ahead) in (1..).zip([CLOCK_AHEAD, Duration::ZERO, Duration::ZERO]) {
                    server.kill();
                    server.set_clock_ahead(ahead);
                    server.start_again().await;
                    if number > 1 {
                        settings.assert_in_effect(&server.at, number - 1).await;
                    }
                    settings.set(&server.at, number).await;
                    settings.assert_in_effect(&server.at, number).await;
                }
            }
            Blow::Node => {
                let servers = Arc::clone(self.servers());
                servers.ctl("kill", "cassandra-1");
                without_a_node(&server.at, ledger, rooms).await;
                servers.ctl_beside("start", "cassandra-1").await;
            }
        }
    }
}
