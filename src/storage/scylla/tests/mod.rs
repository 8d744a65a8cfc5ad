//! The store against a real database, named by `TERTULIA_TEST_CQL=host:port`; skipped without one.

use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;

use super::{Options, Replication, ScyllaStore, session::Database};
use crate::{
    clock::SystemClock,
    storage::{Store, conformance::Fixture},
    store_conformance,
};

mod ahead;
mod blocks;
mod cost;
mod erase;
mod found;
mod frozen;
mod left_behind;
mod model;
mod model_head;
mod model_redact;
mod model_refs;
mod schema;
mod speed;
mod stale;
mod two_nodes;

/// Keyspaces are dear: one is used again, emptied, by the next test. The last test to end drops them all.
struct Pool {
    users: usize,
    free: Vec<Options>,
    /// Not to be used again.
    spent: Vec<Options>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { users: 0, free: Vec::new(), spent: Vec::new() });

/// A keyspace of this test's own.
pub(super) struct Keyspace {
    pub(super) options: Options,
    is_alone: bool,
}

impl Keyspace {
    /// None, and a word about it, if there is no database to test with.
    pub(super) async fn new() -> Option<Self> {
        let Ok(node) = std::env::var("TERTULIA_TEST_CQL") else {
            println!("SKIPPED scylla: TERTULIA_TEST_CQL names no database");
            return None;
        };
        let used = {
            let mut pool = POOL.lock();
            pool.users += 1;
            pool.free.pop()
        };
        let Some(options) = used else { return Some(Self { options: fresh(node), is_alone: false }) };
        empty(&options).await;
        Some(Self { options, is_alone: false })
    }

    /// One that was never used, and that nobody will use again.
    pub(super) fn alone() -> Option<Self> {
        let node = std::env::var("TERTULIA_TEST_CQL").ok()?;
        POOL.lock().users += 1;
        Some(Self { options: fresh(node), is_alone: true })
    }

    /// A node on it.
    pub(super) async fn open(&self) -> ScyllaStore {
        ScyllaStore::open(&self.options, Arc::new(SystemClock)).await.expect("open")
    }
}

fn fresh(node: String) -> Options {
    let contact_points: Vec<_> = node.split(',').map(str::to_owned).collect();
    Options {
        // A ring is for tests with copies.
        create_keyspace: Some(Replication::Simple(if contact_points.len() < 3 { 1 } else { 3 })),
        contact_points,
        keyspace: format!("test_{}", uuid::Uuid::now_v7().simple()),
        // A machine that runs many tests at once is slow, not broken.
        request_timeout: std::time::Duration::from_secs(60),
        ..Options::default()
    }
}

/// All tables of the keyspace in use.
async fn tables(database: &Database) -> Vec<String> {
    let keyspace = database.session().get_keyspace().expect("a keyspace is in use").to_string();
    let select = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";
    let result = database.session().query_unpaged(select, (keyspace,)).await.expect("tables");
    let rows = result.into_rows_result().expect("rows");
    rows.rows::<(String,)>().expect("tables").map(|row| row.expect("a name").0).collect()
}

/// Rows of all tables in which a cell has the text, plain or as bytes.
async fn cells_with(database: &Database, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for table in tables(database).await {
        let look = format!("SELECT JSON * FROM {table}");
        let rows = database.session().query_unpaged(look, ()).await.expect("rows").into_rows_result().expect("rows");
        let rows = rows.rows::<(String,)>().expect("rows").map(|row| row.expect("a row").0);
        let has = |row: &String| row.contains(text) || row.contains(&hex::encode(text));
        found.extend(rows.filter(has).map(|row| format!("{table}: {row}")));
    }
    found
}

/// Empties all tables but those of the migrations.
async fn empty(options: &Options) {
    let database = super::session::connect(options).await.expect("connect");
    database.session().use_keyspace(&options.keyspace, false).await.expect("keyspace");
    for table in tables(&database).await {
        let one = database.session().query_unpaged(format!("SELECT * FROM {table} LIMIT 1"), ()).await.expect("a row");
        let is_empty = one.into_rows_result().expect("rows").rows_num() == 0;
        if !is_empty && !table.starts_with("schema_") {
            super::migrate::change(&database, format!("TRUNCATE {table}")).await.expect("truncate");
        }
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        let done = {
            let mut pool = POOL.lock();
            pool.users -= 1;
            let list = if self.is_alone { &mut pool.spent } else { &mut pool.free };
            list.push(self.options.clone());
            if pool.users == 0 {
                [std::mem::take(&mut pool.free), std::mem::take(&mut pool.spent)].concat()
            } else {
                Vec::new()
            }
        };
        if done.is_empty() {
            return;
        }
        let drop_them = async move {
            let database = super::session::connect(&done[0]).await.expect("connect");
            for options in &done {
                let statement = format!("DROP KEYSPACE IF EXISTS {}", options.keyspace);
                super::migrate::change(&database, statement).await.expect("drop keyspace");
            }
        };
        let dropping = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(drop_them);
        });
        dropping.join().expect("the keyspaces are dropped");
    }
}

async fn fixture() -> Option<Fixture> {
    let keyspace = Keyspace::new().await?;
    let store = keyspace.open().await;
    let options = keyspace.options.clone();
    let node = move |clock| {
        let options = options.clone();
        let open = async move { ScyllaStore::open(&options, clock).await.expect("open") };
        async { Arc::new(open.await) as Arc<dyn Store> }.boxed_local()
    };
    let looked_through = Arc::clone(&store.core);
    let find = move |text| {
        let core = Arc::clone(&looked_through);
        async move { cells_with(&core.database, text).await }.boxed_local()
    };
    Some(Fixture::with(store, keyspace).at_once(node).finding(find))
}

store_conformance!(
    scylla,
    match fixture().await {
        Some(fixture) => fixture,
        None => return,
    }
);
