//! The whole of it on real input: hours of a busy channel carried through the public API while 25 readers look on, and
//! the server killed with `kill -9` several times with sends in flight; where its store is a database, that too, and
//! Redis where it has one. In the end nothing is lost, doubled or out of order, for anybody.
//!
//! The logs are not part of the repository; without them the same test runs on made-up ones of the same shapes.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on panics; the exemption for tests covers functions marked so alone"
)]

mod attacked;
mod blows;
mod cassandra;
mod data;
mod local;
mod meanwhile;
mod moving;
mod postgres;
mod readers;
mod senders;
mod server;
mod settings;
mod truth;

use std::{collections::HashMap, sync::Arc, time::Duration};

use blows::{Backing, Blow};
use data::{ALL_HOURS, Logs, TestRoom, make_rooms};
use local::{LocalServers, Nodes};
use postgres::Postgres;
use readers::{Ends, Habit, Reader};
use senders::{CROWD_SENDS, Ledger, busy_at, import_logs, join_crowd, send_again};
use server::TestServer;
use tertulia::client::irc::plan::{Op, Plan};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout, timeout_at},
};
use truth::RoomTruth;

/// What happens when this much is imported, in percent.
type Blows = [(usize, Blow)];

const OVER_FILES: &Blows =
    &[(20, Blow::Server), (35, Blow::Disk), (50, Blow::Clock), (65, Blow::Disk), (80, Blow::Server)];
const OVER_POSTGRES: &Blows = &[
    (15, Blow::Server),
    (30, Blow::Database),
    (45, Blow::ReadOnly),
    (55, Blow::HeldRows),
    (70, Blow::Clock),
    (85, Blow::Both),
];
const OVER_CASSANDRA: &Blows = &[
    (10, Blow::Server),
    (20, Blow::RedisEmptied),
    (30, Blow::RedisCloses),
    (45, Blow::Database),
    (55, Blow::Redis),
    (65, Blow::Clock),
    (80, Blow::Both),
];
const OVER_RING: &Blows = &[(10, Blow::Server), (20, Blow::Node)];
/// Hours carried over Cassandra, which has to answer on the same two cores: as many as leave the test about a minute and a half.
const CASSANDRA_HOURS: usize = 2;
/// The same over three nodes of it.
const RING_HOURS: usize = 4;
/// Sends of the crowd that are in flight when the server is killed, at least.
const IN_FLIGHT: usize = 8;
/// No blow.
const UNHURT: &Blows = &[];
/// Longest time for any of the stages. A test that takes this long has failed; it is many times what one needs.
const STAGE_MAX: Duration = Duration::from_secs(480);
/// Longest time for readers to come to the end after the last send; the slowest needs a few seconds.
const READERS_MAX: Duration = Duration::from_secs(60);
/// Findings that are printed.
const PRINTED_MAX: usize = 100;

/// Each of the tests wants the whole machine.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_out_of_order_over_three_kills() {
    let _alone = ONE_AT_A_TIME.lock().await;
    live_through(OVER_FILES, Backing::Embedded, ALL_HOURS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_over_postgres_that_is_killed_too() {
    let _alone = ONE_AT_A_TIME.lock().await;
    if let Some(postgres) = Postgres::start().await {
        live_through(OVER_POSTGRES, Backing::Postgres(Box::new(postgres)), ALL_HOURS).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_over_cassandra_and_redis_that_are_killed_too() {
    let _alone = ONE_AT_A_TIME.lock().await;
    if std::env::var_os("TERTULIA_TEST_CQL").is_none() {
        eprintln!("SKIPPED: TERTULIA_TEST_CQL is not set");
        return;
    }
    let servers = Arc::new(LocalServers::start(Nodes::One));
    live_through(OVER_CASSANDRA, Backing::Cassandra(servers), CASSANDRA_HOURS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "three nodes, and minutes: cargo xtask soak"]
async fn nor_over_a_ring_with_one_node_of_three_away_for_a_minute() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let servers = Arc::new(LocalServers::start(Nodes::Ring));
    live_through(OVER_RING, Backing::Cassandra(servers), RING_HOURS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_with_an_attacker_of_every_kind_beside() {
    let _alone = ONE_AT_A_TIME.lock().await;
    attacked::live_beside_attackers().await;
}

async fn live_through(blows: &Blows, mut backing: Backing, hours: usize) {
    let began = Instant::now();
    let stage = |what: &str| eprintln!("{:6.1} s  {what}", began.elapsed().as_secs_f64());
    let logs = Arc::new(Logs::find(hours));
    let mut server = TestServer::start(backing.environment()).await;
    let rooms = make_rooms(&server.at, &logs.plan).await;
    stage(if logs.are_real() { "real logs" } else { "made-up logs" });

    let ledger = Arc::new(Ledger::default());
    let reading = Reading::start(&server, &rooms);
    carry(&mut server, &mut backing, blows, (&logs, &rooms, &ledger)).await;
    stage("imported");
    if blows.iter().any(|(_, blow)| *blow == Blow::Node) {
        backing.lose_another(&server.at, &rooms).await;
        stage("another node is away");
    }
    let readers = reading.finish(&server, &rooms).await;
    stage("read");

    let mut found = ledger.take_wrong();
    let deaths = blows.iter().map(|(_, blow)| blow.deaths()).sum();
    found.extend(judge_conditions(&readers, deaths));
    let truths = read_all(&server, &rooms).await;
    found.extend(judge(&server, &logs, &rooms, &ledger, &truths, &readers).await);
    stage("compared");
    assert_clean(found);

    check_by_command(&server, &rooms, &truths).await;
    stage("checked");
    let status = server.terminate().await;
    assert!(status.success(), "after SIGTERM: {status:?}");
    server.start_again().await;
    assert_nothing_moved(&server, &logs, &rooms, &truths).await;
    stage("the same after a graceful restart");
    let log = server.log();
    assert!(!log.contains("panicked at"), "a panic in the server");
    eprintln!(
        "{} events, {} acks, {} of them repeated",
        truths.iter().map(|room| room.entries.len()).sum::<usize>(),
        ledger.by_room().values().map(Vec::len).sum::<usize>(),
        ledger.repeated(),
    );
}

/// Imports, with the crowd beside it, over the blows.
async fn carry(
    server: &mut TestServer,
    backing: &mut Backing,
    blows: &Blows,
    (logs, rooms, ledger): (&Arc<Logs>, &[TestRoom], &Arc<Ledger>),
) {
    let to_import = sends(&logs.plan);
    let mut crowd = JoinSet::new();
    for room in rooms {
        for user in &room.crowd {
            let (at, ledger) = (server.at.clone(), Arc::clone(ledger));
            crowd.spawn(join_crowd(room.clone(), *user, at, ledger, to_import));
        }
    }
    let mut importing = JoinSet::new();
    let (carried, at) = (Arc::clone(logs), server.at.clone());
    let noted = Some(Arc::clone(ledger));
    importing.spawn(async move { import_logs(&carried, at, noted).await });
    for (percent, blow) in blows {
        busy_at(ledger, to_import * percent / 100, IN_FLIGHT, STAGE_MAX).await;
        let (imported, in_flight) = (ledger.imported(), ledger.in_flight());
        eprintln!("{blow:?} at {imported} of {to_import}, {in_flight} of the crowd in flight");
        let began = Instant::now();
        backing.suffer(*blow, server, (ledger, rooms)).await;
        eprintln!("{blow:?} is over after {:.1} s, at {}", began.elapsed().as_secs_f64(), ledger.imported());
    }
    let report = timeout(STAGE_MAX, importing.join_next()).await;
    let report = report.expect("the import ends").expect("it was spawned");
    let report = report.unwrap().unwrap();
    eprintln!("{report}");
    assert_eq!(report.messages_sent, to_import);
    timeout(STAGE_MAX, crowd.join_all()).await.expect("the crowd has sent everything");
    server.assert_alive();
}

/// Messages that the import sends.
fn sends(plan: &Plan) -> usize {
    let steps = plan.rooms.iter().flat_map(|room| &room.steps);
    steps.filter(|step| matches!(step.op, Op::Send(_))).count()
}

/// The readers at work.
struct Reading {
    ends: watch::Sender<Option<Ends>>,
    readers: JoinSet<Reader>,
}

impl Reading {
    fn start(server: &TestServer, rooms: &[TestRoom]) -> Self {
        let (ends, _) = watch::channel(None);
        let mut readers = JoinSet::new();
        for reader in readers::all(&server.at, rooms) {
            readers.spawn(reader.read(ends.subscribe()));
        }
        Self { ends, readers }
    }

    /// Tells the readers where the rooms end, and waits until they are there.
    async fn finish(self, server: &TestServer, rooms: &[TestRoom]) -> Vec<Reader> {
        let last_seqs = Arc::new(truth::ends(&server.at, rooms).await);
        let deadline = Instant::now() + READERS_MAX;
        self.ends.send_replace(Some(Ends { last_seqs, deadline }));
        let mut readers = self.readers.join_all().await;
        readers.sort_by_key(|reader| reader.user);
        readers
    }
}

/// The readers lived through what they were to live through.
fn judge_conditions(readers: &[Reader], deaths: u64) -> Vec<String> {
    let mut found = Vec::new();
    for reader in readers {
        // A slow one may sleep through a restart.
        let least = if reader.habit == Habit::Slow { 2.min(deaths + 1) } else { deaths + 1 };
        if reader.opened < least {
            let (user, opened) = (reader.user, reader.opened);
            found.push(format!("reader {user} opened only {opened} streams"));
        }
        if reader.replaced > 3 {
            let (user, replaced) = (reader.user, reader.replaced);
            found.push(format!("reader {user} was replaced by itself {replaced} times"));
        }
        if reader.habit == Habit::Dropping && reader.drops < 10 {
            let (user, drops) = (reader.user, reader.drops);
            found.push(format!("reader {user} dropped only {drops} streams"));
        }
    }
    found
}

async fn read_all(server: &TestServer, rooms: &[TestRoom]) -> Vec<RoomTruth> {
    let reader = server.at.client(data::READERS.start, false);
    let mut truths = Vec::new();
    for room in rooms {
        truths.push(RoomTruth::read(&server.at, room, &reader).await);
    }
    truths
}

async fn judge(
    server: &TestServer,
    logs: &Logs,
    rooms: &[TestRoom],
    ledger: &Ledger,
    truths: &[RoomTruth],
    readers: &[Reader],
) -> Vec<String> {
    let acked = ledger.by_room();
    let mut found = Vec::new();
    for ((room, truth), plan) in rooms.iter().zip(truths).zip(&logs.plan.rooms) {
        let acked = acked.get(&room.id).map_or(&[][..], Vec::as_slice);
        found.extend(truth.judge(room, acked));
        found.extend(truth.judge_plan(room, plan));
        found.extend(truth.judge_marks(room, readers));
        found.extend(truth::judge_unread(&server.at, room, &truth.positions).await);
    }
    let digests: HashMap<_, _> =
        rooms.iter().zip(truths).map(|(room, truth)| (room.id.clone(), truth.digests())).collect();
    found.extend(readers.iter().flat_map(|reader| reader.judge(&digests)));
    found
}

fn assert_clean(found: Vec<String>) {
    for one in found.iter().take(PRINTED_MAX) {
        eprintln!("WRONG: {one}");
    }
    assert!(found.is_empty(), "{} things are wrong", found.len());
}

/// `tertulia check` says the same.
async fn check_by_command(server: &TestServer, rooms: &[TestRoom], truths: &[RoomTruth]) {
    let (status, out) = server.run(&["check", "--json"], STAGE_MAX).await;
    assert!(status.success(), "{status:?}: {out}");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let events: usize = truths.iter().map(|truth| truth.entries.len()).sum();
    assert_eq!(report["ok"], true, "{out}");
    assert_eq!(report["events"], events, "{out}");
    assert_eq!(report["rooms"].as_array().map(Vec::len), Some(rooms.len()));
}

/// After a restart everything is where it was, a repeated send gets its first answer, a repeated import does nothing.
async fn assert_nothing_moved(server: &TestServer, logs: &Logs, rooms: &[TestRoom], truths: &[RoomTruth]) {
    let again = import_logs(logs, server.at.clone(), None).await.unwrap();
    let steps: usize = logs.plan.rooms.iter().map(|room| room.steps.len()).sum();
    assert_eq!((again.done_before, again.messages_sent), (steps, 0));
    let deadline = Instant::now() + STAGE_MAX;
    for (room, truth) in rooms.iter().zip(truths) {
        for (user, index) in [(room.crowd[0], 0), (room.crowd[1], CROWD_SENDS - 1)] {
            let answer = timeout_at(deadline, send_again(&server.at, room, user, index)).await;
            let answer = answer.expect("within the deadline").unwrap();
            let message = answer.message.expect("every answer has its message");
            let first = truth.messages().find(|first| first.client_message_id == message.client_message_id);
            let first = first.map(|first| (first.seq, first.id));
            assert!(answer.duplicate, "{message:?}");
            assert_eq!(first, Some((message.seq, message.id)));
        }
    }
    for ((room, before), after) in rooms.iter().zip(truths).zip(read_all(server, rooms).await) {
        assert_eq!(before.entries, after.entries, "log of {}", room.name);
        assert_eq!(before.positions, after.positions, "{}", room.name);
        assert_eq!(before.history, after.history, "history of {}", room.name);
    }
    check_by_command(server, rooms, truths).await;
}
