//! Cassandra or ScyllaDB: a keyspace for each server, out of a few that are used again. To make one costs seconds, to
//! empty one a part of that.

use std::{collections::VecDeque, time::Duration};

use futures_util::future::join_all;
use parking_lot::Mutex;
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    serialize::row::SerializeRow,
};
use tokio::time::{Instant, sleep_until};

/// How long a keyspace rests: what the server that had it has under way must not end in the next one's tables.
const REST: Duration = Duration::from_secs(1);
/// So many are made before one is waited for.
const MADE_MAX: usize = 4;

/// The keyspaces that were made.
struct Pool {
    made: usize,
    /// Servers that have one now.
    users: usize,
    /// Not in use, not empty, and since when; the oldest first.
    free: VecDeque<(String, Instant)>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { made: 0, users: 0, free: VecDeque::new() });

impl Pool {
    /// A keyspace, and when it may be emptied; none of a new one, which the server makes.
    fn take(&mut self) -> (String, Option<Instant>) {
        self.users += 1;
        let is_rested = self.free.front().is_some_and(|(_, since)| since.elapsed() >= REST || self.made >= MADE_MAX);
        match is_rested.then(|| self.free.pop_front()).flatten() {
            Some((keyspace, since)) => (keyspace, Some(since + REST)),
            None => {
                self.made += 1;
                (format!("it_{}_{}", std::process::id(), self.made), None)
            }
        }
    }
}

fn hosts() -> String {
    std::env::var("TERTULIA_TEST_CQL").expect("TERTULIA_TEST_CQL names a server")
}

/// One copy is worth what the node's commit log is worth.
pub(super) fn durability() -> &'static str {
    match std::env::var("TERTULIA_TEST_SERVERS_SYNC").as_deref() {
        Ok("group" | "batch") => "SYNCED",
        _ => "BUFFERED",
    }
}

pub(super) async fn settings() -> Vec<(&'static str, String)> {
    let (keyspace, used) = POOL.lock().take();
    if let Some(rested) = used {
        sleep_until(rested).await;
        empty(&keyspace).await;
    }
    vec![
        ("storage.backend", "scylla".to_owned()),
        ("scylla.hosts", hosts()),
        ("scylla.keyspace", keyspace),
        // A machine that runs many tests at once is slow, not broken.
        ("scylla.request_timeout_ms", "20000".to_owned()),
    ]
}

async fn connect() -> Session {
    let hosts = hosts();
    let builder = SessionBuilder::new().known_nodes(hosts.split(',')).fetch_schema_metadata(false);
    builder.build().await.expect("the server is there")
}

/// The texts that a statement answers with, one a row.
async fn texts(session: &Session, select: &str, values: impl SerializeRow) -> Vec<String> {
    let found = session.query_unpaged(select, values).await.expect(select).into_rows_result().expect("rows");
    found.rows::<(String,)>().expect("texts").map(|row| row.expect("a text").0).collect()
}

async fn tables(session: &Session, keyspace: &str) -> Vec<String> {
    texts(session, "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?", (keyspace,)).await
}

/// Every row of every table, as JSON.
pub(super) async fn dump(keyspace: &str) -> String {
    let session = connect().await;
    let mut all = String::new();
    for table in tables(&session, keyspace).await {
        for row in texts(&session, &format!("SELECT JSON * FROM {keyspace}.{table}"), ()).await {
            all.push_str(&row);
            all.push('\n');
        }
    }
    all
}

pub(super) async fn give_away(keyspace: &str, room: &str, seq: i64, author: i64) {
    let session = connect().await;
    let place = format!("room_id = {room} AND block = 0 AND seq = {seq}");
    let epochs = format!("SELECT CAST(epoch AS text) FROM {keyspace}.messages_by_room WHERE {place}");
    let epochs = texts(&session, &epochs, ()).await;
    assert!(!epochs.is_empty(), "the event is there");
    for epoch in epochs {
        let forge =
            format!("UPDATE {keyspace}.messages_by_room SET actor = {author} WHERE {place} AND epoch = {epoch}");
        session.query_unpaged(forge, ()).await.expect("the event is changed");
    }
}

/// Empties all tables but those of the migrations.
async fn empty(keyspace: &str) {
    let session = connect().await;
    let tables = tables(&session, keyspace).await;
    let truncate = async |table: &String| {
        let look = format!("SELECT * FROM {keyspace}.{table} LIMIT 1");
        let found = session.query_unpaged(look, ()).await.expect("a row").into_rows_result().expect("rows");
        if found.rows_num() > 0 {
            session.query_unpaged(format!("TRUNCATE {keyspace}.{table}"), ()).await.expect("truncate");
        }
    };
    join_all(tables.iter().filter(|table| !table.starts_with("schema_")).map(truncate)).await;
}

/// Puts a keyspace back; the last server to go drops them all.
pub(super) fn give_back(keyspace: String) {
    let done = {
        let mut pool = POOL.lock();
        pool.users -= 1;
        pool.free.push_back((keyspace, Instant::now()));
        if pool.users == 0 { std::mem::take(&mut pool.free) } else { VecDeque::new() }
    };
    if done.is_empty() {
        return;
    }
    super::in_a_runtime(async move {
        let session = connect().await;
        for (keyspace, _) in done {
            session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {keyspace}"), ()).await.expect("drop the keyspace");
        }
    });
}
