//! What must go on while something is away: sends, reads, and the truth about the server's health.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tertulia::{
    client::ClientError,
    tasks::{self, TaskKind},
};
use tertulia_proto::chat::v1::{GetMessageHistoryRequest, GetRoomsRequest, SendMessageRequest, SendMessageResponse};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

use super::{
    data::{READERS, TestRoom},
    senders::Ledger,
    server::{Address, TestServer},
};

/// How long one node of three is away.
const NODE_AWAY: Duration = Duration::from_secs(60);
/// Longest time without a send acknowledged, or without a page of history read, while a node is away.
pub(crate) const STANDSTILL_MAX: Duration = Duration::from_secs(15);
/// How long a store takes no writes.
const WITHOUT_WRITES: Duration = Duration::from_secs(2);
/// How long somebody else holds rows: longer than one statement may take.
const HELD_FOR: Duration = Duration::from_secs(5);
/// Longest time that a send takes meanwhile in a room whose rows nobody holds.
const HELD_SEND_MAX: Duration = Duration::from_secs(2);
/// Users whom the server has never seen.
const NEWCOMERS: std::ops::Range<i64> = 7_700_000..7_800_000;
/// Sends that must be acknowledged while Redis is away.
const WITHOUT_REDIS: usize = 100;
/// Between two sends of one who sends all the while.
const SEND_EVERY: Duration = Duration::from_millis(50);
/// Between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Sees to it that a server whose store takes no writes says so, and answers whoever only reads, also one it has never
/// seen.
pub(crate) async fn without_writes(server: &TestServer, rooms: &[TestRoom]) {
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

/// Waits until a server says that it is ready, or that it is not.
pub(crate) async fn until_ready(server: &TestServer, wanted: bool) {
    until(server, |status, _| (status == 200) == wanted).await;
}

/// Waits until a server says that it does without one that it can do without, or no longer does.
pub(crate) async fn until_degraded(server: &TestServer, service: &str, wanted: bool) {
    until(server, |status, reasons| status == 200 && reasons.contains_key(service) == wanted).await;
}

async fn until(server: &TestServer, is_so: impl Fn(u16, &HashMap<String, String>) -> bool) {
    let began = Instant::now();
    loop {
        let (status, reasons) = server.health().await;
        if is_so(status, &reasons) {
            return;
        }
        assert!(began.elapsed() < STANDSTILL_MAX, "{status}: {reasons:?}");
        sleep(LOOK_EVERY).await;
    }
}

/// Waits until the import has come some way without Redis.
pub(crate) async fn without_redis(ledger: &Ledger) {
    let (wanted, began) = (ledger.imported() + WITHOUT_REDIS, Instant::now());
    while ledger.imported() < wanted {
        assert!(began.elapsed() < NODE_AWAY, "nothing goes on without Redis");
        sleep(LOOK_EVERY).await;
    }
}

/// Sees to it that sends go on in a room that nobody holds while others are held, and that the server is well. Returns
/// a send to one that is held, which waits.
pub(crate) async fn with_rooms_held(
    server: &TestServer,
    (free, held): (&TestRoom, &TestRoom),
    ledger: &Arc<Ledger>,
) -> JoinHandle<Result<SendMessageResponse, ClientError>> {
    let until = Instant::now() + HELD_FOR;
    let (client, request) = (server.at.client(held.crowd[0], false), meanwhile(held, held.crowd[0], 0));
    let stuck = tasks::spawn(TaskKind::Client, async move { client.send_until_acked(request, NODE_AWAY).await });
    let sending = keep_sending(free.clone(), server.at.clone(), Arc::clone(ledger), until);
    let sending = tasks::spawn(TaskKind::Client, sending);
    while Instant::now() < until {
        let (status, reasons) = server.health().await;
        assert!(status == 200 && reasons.is_empty(), "{status}: {reasons:?}");
        sleep(LOOK_EVERY).await;
    }
    assert!(!stuck.is_finished(), "the rows are held");
    let took = sending.await.unwrap();
    let longest = took.iter().max().copied().unwrap_or(HELD_FOR);
    eprintln!("{} sends beside rooms that are held, {longest:?} the longest", took.len());
    assert!(longest < HELD_SEND_MAX, "a room that nobody holds waits");
    stuck
}

/// Sees to it that sends and reads go on for as long as the node is away. Somebody sends in every room, whatever the
/// import comes to meanwhile.
pub(crate) async fn without_a_node(at: &Address, ledger: &Arc<Ledger>, rooms: &[TestRoom]) {
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
        let began = Instant::now();
        ledger.note(client.send_until_acked(meanwhile(&room, user, took.len()), NODE_AWAY).await);
        took.push(began.elapsed());
        sleep(SEND_EVERY).await;
    }
    took
}

fn meanwhile(room: &TestRoom, user: i64, number: usize) -> SendMessageRequest {
    SendMessageRequest {
        room_id: room.id.clone(),
        content: format!("still here, {number}"),
        client_message_id: format!("meanwhile:{user}:{number}"),
        ..SendMessageRequest::default()
    }
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
pub(crate) async fn read_page(at: &Address, room: &TestRoom) -> bool {
    let request = GetMessageHistoryRequest {
        room_id: room.id.clone(),
        after_seq: Some(0),
        limit: 50,
        ..GetMessageHistoryRequest::default()
    };
    at.client(READERS.start, false).get_message_history(request).await.is_ok_and(|page| !page.messages.is_empty())
}
