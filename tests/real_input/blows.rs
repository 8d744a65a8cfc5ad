//! What befalls a server and what it stands on while all are at work: `kill -9`, mostly.

use std::{sync::Arc, time::Duration};

use tertulia_proto::chat::v1::{GetMessageHistoryRequest, GetRoomsRequest, SendMessageRequest};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    data::{READERS, TestRoom},
    local::LocalServers,
    postgres::Postgres,
    senders::Ledger,
    server::{Address, TestServer},
};

/// How long one node of three is away.
const NODE_AWAY: Duration = Duration::from_secs(60);
/// Longest time without a send acknowledged, or without a page of history read, while a node is away.
const STANDSTILL_MAX: Duration = Duration::from_secs(15);
/// How long a store takes no writes.
const WITHOUT_WRITES: Duration = Duration::from_secs(2);
/// Users whom the server has never seen.
const NEWCOMERS: std::ops::Range<i64> = 7_700_000..7_800_000;
/// Sends that must be acknowledged while Redis is away.
const WITHOUT_REDIS: usize = 100;
/// Between two sends of one who sends all the while.
const SEND_EVERY: Duration = Duration::from_millis(50);
/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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
    /// One node of three dies and is away for a minute, in which sends and reads go on.
    Node,
}

impl Blow {
    /// Whether the server dies of it.
    pub(crate) fn ends_server(self) -> bool {
        matches!(self, Self::Server | Self::Both)
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
            Blow::RedisEmptied => self.servers().flush_redis().await,
            Blow::Redis => {
                self.servers().ctl("kill", "redis");
                let wanted = ledger.imported() + WITHOUT_REDIS;
                let began = Instant::now();
                while ledger.imported() < wanted {
                    assert!(began.elapsed() < NODE_AWAY, "nothing goes on without Redis");
                    sleep(LOOK_EVERY).await;
                }
                self.servers().ctl_beside("start", "redis").await;
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

/// Sees to it that a server whose store takes no writes says so, and answers whoever only reads, also one it has never
/// seen.
async fn without_writes(server: &TestServer, rooms: &[TestRoom]) {
    until_ready(server, false).await;
    let until = Instant::now() + WITHOUT_WRITES;
    for newcomer in NEWCOMERS {
        let stranger = server.at.client(newcomer, false);
        stranger.get_rooms(GetRoomsRequest::default()).await.expect("a newcomer is answered");
        for room in rooms {
            assert!(read_page(&server.at, room).await, "{} cannot be read", room.name);
        }
        if Instant::now() > until {
            break;
        }
    }
    let (status, reasons) = server.health().await;
    assert_eq!((status, reasons.contains_key("store")), (503, true), "{reasons:?}");
}

async fn until_ready(server: &TestServer, wanted: bool) {
    let began = Instant::now();
    loop {
        let (status, reasons) = server.health().await;
        if (status == 200) == wanted {
            return;
        }
        assert!(began.elapsed() < STANDSTILL_MAX, "{status}: {reasons:?}");
        sleep(LOOK_EVERY).await;
    }
}

/// Sees to it that sends and reads go on for as long as the node is away. Somebody sends in every room, whatever the
/// import comes to meanwhile.
async fn without_a_node(at: &Address, ledger: &Arc<Ledger>, rooms: &[TestRoom]) {
    let until = Instant::now() + NODE_AWAY;
    let (first, mut pages, mut refused) = (ledger.acked(), 0, 0);
    let mut senders = JoinSet::new();
    for room in rooms {
        senders.spawn(keep_sending(room.clone(), at.clone(), Arc::clone(ledger), until));
    }
    let (mut sends, mut reads) = (Progress::new(), Progress::new());
    while Instant::now() < until {
        let room = &rooms[pages % rooms.len()];
        if read_page(at, room).await {
            pages += 1
        } else {
            refused += 1
        }
        sends.look("sends", ledger.acked());
        reads.look("reads", pages);
        sleep(LOOK_EVERY).await;
    }
    let mut took = senders.join_all().await.concat();
    took.sort_unstable();
    let seconds = |took: Option<&Duration>| took.map_or(0.0, Duration::as_secs_f64);
    eprintln!(
        "{:.0} s with two nodes of three: {} sends acknowledged, {:.1} s without one at most; {pages} pages read, \
         {refused} refused, {:.1} s without one at most; a send took {:.3} s (median), {:.1} s (longest)",
        NODE_AWAY.as_secs_f64(),
        ledger.acked() - first,
        sends.longest.as_secs_f64(),
        reads.longest.as_secs_f64(),
        seconds(took.get(took.len() / 2)),
        seconds(took.last()),
    );
}

/// Sends one message after the other; how long each took.
async fn keep_sending(room: TestRoom, at: Address, ledger: Arc<Ledger>, until: Instant) -> Vec<Duration> {
    let (user, mut took) = (room.crowd[0], Vec::new());
    let client = at.client(user, false);
    while Instant::now() < until {
        let request = SendMessageRequest {
            room_id: room.id.clone(),
            content: format!("still here, {}", took.len()),
            client_message_id: format!("meanwhile:{user}:{}", took.len()),
            ..SendMessageRequest::default()
        };
        let began = Instant::now();
        ledger.note(client.send_until_acked(request, NODE_AWAY).await);
        took.push(began.elapsed());
        sleep(SEND_EVERY).await;
    }
    took
}

/// A count that must grow.
struct Progress {
    count: usize,
    since: Instant,
    longest: Duration,
}

impl Progress {
    fn new() -> Self {
        Self { count: 0, since: Instant::now(), longest: Duration::ZERO }
    }

    fn look(&mut self, what: &str, count: usize) {
        self.longest = self.longest.max(self.since.elapsed());
        assert!(self.since.elapsed() < STANDSTILL_MAX, "no {what} go on with a node away");
        if count > self.count {
            (self.count, self.since) = (count, Instant::now());
        }
    }
}

/// Reads a page of history from its beginning: what no room that is awake has in memory.
async fn read_page(at: &Address, room: &TestRoom) -> bool {
    let request = GetMessageHistoryRequest {
        room_id: room.id.clone(),
        after_seq: Some(0),
        limit: 50,
        ..GetMessageHistoryRequest::default()
    };
    at.client(READERS.start, false).get_message_history(request).await.is_ok_and(|page| !page.messages.is_empty())
}
