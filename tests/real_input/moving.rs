//! A server that moves from PostgreSQL to Cassandra and back while people write: the server is killed on the way, and the
//! database that follows is frozen. In the end everything that was acknowledged is in history once and in order, and
//! nothing differs between both databases.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tertulia_proto::chat::v1::{
    CreateRoomRequest, EditMessageRequest, MarkMessagesAsReadRequest, RoomType, SendMessageRequest,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    ONE_AT_A_TIME, STAGE_MAX, assert_clean,
    cassandra::Cassandra,
    data::TestRoom,
    postgres::Postgres,
    senders::{Ledger, PATIENCE},
    server::{Address, TestServer},
    truth::RoomTruth,
};

const ROOMS: usize = 3;
const USERS: i64 = 4;
/// Acknowledgements of one stretch of the way.
const STRETCH: usize = 120;
/// How long the database that follows is frozen, at least.
const FROZEN: Duration = Duration::from_secs(4);
/// Pause of a sender between two messages.
const PAUSE: Duration = Duration::from_millis(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The room whose messages are edited as well: compared by both stores alone.
const SCRATCH: &str = "scratch";

/// People who write all the time.
struct Talk {
    ledger: Arc<Ledger>,
    over: Arc<AtomicBool>,
    people: JoinSet<()>,
}

/// Number of the next message of a sender, over all talks.
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl Talk {
    fn start(at: &Address, rooms: &[TestRoom], scratch: &TestRoom, ledger: &Arc<Ledger>) -> Self {
        let (over, mut people) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for room in rooms {
            for user in &room.crowd {
                let (at, room, ledger, over) = (at.clone(), room.clone(), Arc::clone(ledger), Arc::clone(&over));
                people.spawn(talk(at, room, *user, ledger, over));
            }
        }
        people.spawn(change_ones_mind(at.clone(), scratch.clone(), Arc::clone(&over)));
        Self { ledger: Arc::clone(ledger), over, people }
    }

    /// Waits until so many more are acknowledged.
    async fn go_on(&self, more: usize) {
        let until = self.ledger.acked() + more;
        let deadline = Instant::now() + STAGE_MAX;
        while self.ledger.acked() < until {
            assert!(Instant::now() < deadline, "{} of {until} acknowledged", self.ledger.acked());
            sleep(LOOK_EVERY).await;
        }
    }

    /// Everybody ends the sentence they are in.
    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        timeout(STAGE_MAX, self.people.join_all()).await.expect("everybody comes to an end");
    }
}

async fn talk(at: Address, room: TestRoom, user: i64, ledger: Arc<Ledger>, over: Arc<AtomicBool>) {
    let client = at.client(user, false);
    while !over.load(Ordering::Relaxed) {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let request = SendMessageRequest {
            room_id: room.id.clone(),
            client_message_id: format!("moving:{number}"),
            content: format!("{user} says {number}"),
            ..SendMessageRequest::default()
        };
        match client.send_until_acked(request, PATIENCE).await {
            Ok(answer) => {
                ledger.ack(&answer);
                if number.is_multiple_of(5) {
                    let read =
                        MarkMessagesAsReadRequest { room_id: room.id.clone(), ..MarkMessagesAsReadRequest::default() };
                    // Whether it happened does not matter: both stores have it, or none.
                    drop(client.mark_messages_as_read(read).await);
                }
            }
            Err(error) => ledger.wrong(format!("user {user} cannot send {number}: {error}")),
        }
        sleep(PAUSE).await;
    }
}

/// Sends and edits, whatever comes of it.
async fn change_ones_mind(at: Address, room: TestRoom, over: Arc<AtomicBool>) {
    let client = at.client(room.crowd[0], false);
    while !over.load(Ordering::Relaxed) {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let request = SendMessageRequest {
            room_id: room.id.clone(),
            client_message_id: format!("moving:{number}"),
            content: format!("first {number}"),
            ..SendMessageRequest::default()
        };
        if let Ok(answer) = client.send_until_acked(request, PATIENCE).await
            && let Some(message) = answer.message
        {
            let content = format!("rather {number}");
            let edit = EditMessageRequest { message_id: message.id, content, ..EditMessageRequest::default() };
            drop(client.edit_message(edit).await);
        }
        sleep(PAUSE).await;
    }
}

async fn make_room(at: &Address, name: &str, first: i64) -> TestRoom {
    let crowd: Vec<i64> = (first..first + USERS).collect();
    let request = CreateRoomRequest {
        r#type: RoomType::Group.into(),
        name: name.to_owned(),
        participants: crowd[1..].to_vec(),
        ..CreateRoomRequest::default()
    };
    let room = at.client(crowd[0], false).create_room(request).await.unwrap().room.unwrap();
    TestRoom { id: room.id, name: name.to_owned(), crowd }
}

/// Everything on the way.
struct Move {
    server: TestServer,
    postgres: Postgres,
    cassandra: Cassandra,
    rooms: Vec<TestRoom>,
    scratch: TestRoom,
    ledger: Arc<Ledger>,
}

impl Move {
    async fn prepare(postgres: Postgres, cassandra: Cassandra) -> Self {
        let server = TestServer::start(postgres.environment()).await;
        let mut rooms = Vec::new();
        for first in 0..ROOMS {
            let first = 100 + 10 * i64::try_from(first).expect("a few");
            rooms.push(make_room(&server.at, &format!("room {first}"), first).await);
        }
        let scratch = make_room(&server.at, SCRATCH, 100).await;
        Self { server, postgres, cassandra, rooms, scratch, ledger: Arc::new(Ledger::of_any_durability()) }
    }

    fn talk(&self) -> Talk {
        Talk::start(&self.server.at, &self.rooms, &self.scratch, &self.ledger)
    }

    /// From the next start on, with these switches on.
    fn switch(&mut self, switches: &[&'static str]) {
        let mut store = [self.postgres.environment(), self.cassandra.environment()].concat();
        store.extend(switches.iter().map(|switch| (*switch, "true".to_owned())));
        self.server.set_store(store);
    }

    /// A stop in order, after which the other store has everything.
    async fn stop_whole(&mut self) {
        let status = self.server.terminate().await;
        assert!(status.success(), "after SIGTERM: {status:?}");
        let log = self.server.log();
        assert!(!log.contains("the second store lacks"), "the follower did not bring everything");
        assert!(!log.contains("panicked at"), "a panic in the server");
    }

    async fn until_health(&self, what: &str, is_so: impl Fn(Option<&String>) -> bool) {
        let deadline = Instant::now() + STAGE_MAX;
        loop {
            let (status, checks) = self.server.health().await;
            assert_eq!(status, 200, "a second store never makes the server unready: {checks:?}");
            if is_so(checks.get("mirror")) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {checks:?}");
            sleep(LOOK_EVERY).await;
        }
    }

    /// What was acknowledged is there, once and in order, by the history and by `tertulia check`.
    async fn judge(&self) {
        let acked = self.ledger.by_room();
        let mut found = self.ledger.take_wrong();
        for room in &self.rooms {
            let reader = self.server.at.client(room.crowd[1], false);
            let truth = RoomTruth::read(&self.server.at, room, &reader).await;
            let acked = &acked[&room.id];
            found.extend(truth.judge(room, acked));
            // Each waited for an answer before the next sentence.
            for user in &room.crowd {
                let seqs: Vec<_> = acked.iter().filter(|m| m.sender_id == *user).map(|m| m.seq).collect();
                assert!(seqs.is_sorted_by(|a, b| a < b), "what {user} said comes in another order: {seqs:?}");
            }
        }
        assert_clean(found);
        let (status, out) = self.server.run(&["check", "--json"], STAGE_MAX).await;
        assert!(status.success() && out.contains("\"ok\":true"), "{status:?}: {out}");
    }

    /// Nothing differs between both stores.
    async fn compare(&self) {
        let (from, to) = (self.postgres.url(), self.cassandra.url());
        let args = ["migrate", "--verify-only", "--json", "--from", &from, "--to", &to];
        let (status, out, err) = self.server.run_alone(&args, STAGE_MAX).await;
        assert!(status.success(), "{status:?}: {out} {err}");
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(report["verified"]["equal"], true, "{out}");
        let said: usize = self.ledger.acked();
        assert!(report["verified"]["events"].as_u64().unwrap() >= said as u64, "{said} acknowledged: {out}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_moves_to_another_database_and_back_while_people_write() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let Some(cassandra) = Cassandra::find() else { return };
    let Some(postgres) = Postgres::start().await else { return };
    let began = Instant::now();
    let stage = |what: &str| eprintln!("{:6.1} s  {what}", began.elapsed().as_secs_f64());
    let mut the = Move::prepare(postgres, cassandra).await;

    let talk = the.talk();
    talk.go_on(STRETCH).await;
    assert!(the.server.terminate().await.success());
    the.switch(&["SYNC_TO_SCYLLA"]);
    the.server.start_again().await;
    talk.go_on(STRETCH).await;
    stage("Cassandra follows");
    the.server.kill();
    the.switch(&["SYNC_TO_SCYLLA", "USE_SCYLLA_READS", "USE_SCYLLA_WRITES"]);
    let (status, _, err) = the.server.run_alone(&["serve", "--listen", "127.0.0.1:0"], STAGE_MAX).await;
    assert!(!status.success() && err.contains("this store must not be served"), "{status:?}: {err}");
    stage("killed; Cassandra, which lacks something, is refused");
    the.switch(&["SYNC_TO_SCYLLA"]);
    the.server.start_again().await;
    talk.go_on(STRETCH).await;
    the.until_health("compared", |reason| reason.is_none()).await;
    if the.cassandra.freeze() {
        let frozen = Instant::now();
        talk.go_on(STRETCH).await;
        the.until_health("noticed", |reason| reason.is_some()).await;
        sleep(FROZEN.saturating_sub(frozen.elapsed())).await;
        the.cassandra.thaw();
        stage("frozen, and thawed");
    }
    talk.go_on(STRETCH).await;
    the.until_health("caught up", |reason| reason.is_none()).await;

    the.stop_whole().await;
    the.switch(&["SYNC_TO_SCYLLA", "USE_SCYLLA_READS", "USE_SCYLLA_WRITES"]);
    the.server.start_again().await;
    talk.go_on(STRETCH).await;
    stage("Cassandra serves, PostgreSQL follows");
    talk.end().await;
    the.judge().await;
    the.stop_whole().await;
    the.compare().await;
    stage("judged and compared");

    the.switch(&["SYNC_TO_SCYLLA"]);
    the.server.start_again().await;
    let talk = the.talk();
    talk.go_on(STRETCH).await;
    talk.end().await;
    the.judge().await;
    the.stop_whole().await;
    the.compare().await;
    stage("back on PostgreSQL, judged and compared");
}
