//! The backend against a real server, which `TERTULIA_TEST_POSTGRES` names: `postgres://USER:PASSWORD@HOST:PORT/DB`.
//! Each test has a schema of its own, which goes with it.

use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio_postgres::{NoTls, config::Host};

use super::{
    fault::{Again, Fault},
    *,
};
use crate::{
    storage::{
        StoreErrorKind,
        conformance::Fixture,
        layer::{
            deadline::{Deadline, Deadlines},
            encrypted::{Encrypted, toy::ToySealer},
            faulty::{FaultPlan, Faulty},
            metered::Metered,
        },
    },
    store_conformance, tasks,
};

/// A test that is slow because the machine is busy has not failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Options for a schema of its own, and what drops it; none if no server is configured.
fn schema() -> Option<(PostgresOptions, DropSchema)> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Ok(url) = std::env::var("TERTULIA_TEST_POSTGRES") else {
        eprintln!("SKIPPED: TERTULIA_TEST_POSTGRES is not set");
        return None;
    };
    let config: tokio_postgres::Config = url.parse().expect("TERTULIA_TEST_POSTGRES is a URL of PostgreSQL");
    let [Host::Tcp(host)] = config.get_hosts() else { panic!("TERTULIA_TEST_POSTGRES names one host") };
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let options = PostgresOptions {
        host: host.clone(),
        port: config.get_ports().first().copied().unwrap_or(5432),
        user: config.get_user().expect("a user").to_owned(),
        password: config.get_password().map(|password| String::from_utf8_lossy(password).into_owned().into()),
        database: config.get_dbname().expect("a database").to_owned(),
        schema: format!("test_{}_{number}", std::process::id()),
        pool_size: 8,
        connect_timeout: PATIENCE,
        statement_timeout: PATIENCE,
        lock_timeout: PATIENCE,
        ..PostgresOptions::default()
    };
    let guard = DropSchema(options.clone());
    Some((options, guard))
}

/// Drops the schema.
pub(in crate::storage) struct DropSchema(PostgresOptions);

impl Drop for DropSchema {
    fn drop(&mut self) {
        let options = self.0.clone();
        let work = async move {
            let (client, connection) = options.driver().connect(NoTls).await.expect("the server is there");
            tasks::spawn(TaskKind::Connection, connection);
            let sql = format!("SET client_min_messages = warning; DROP SCHEMA IF EXISTS {} CASCADE", options.schema);
            client.batch_execute(&sql).await.expect("drop the schema");
        };
        // Dropped within a runtime, which must not be blocked on: another thread does it.
        let on_its_own = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(work);
        });
        on_its_own.join().expect("the schema is dropped");
    }
}

/// A store on a schema of its own.
pub(in crate::storage) async fn open() -> Option<(PostgresStore, DropSchema)> {
    let (options, guard) = schema()?;
    Some((PostgresStore::open(&options).await.expect("open"), guard))
}

async fn fixture(layers: impl FnOnce(Arc<dyn Store>) -> Fixture) -> Option<Fixture> {
    let (store, guard) = open().await?;
    Some(layers(Arc::new(store)).and(guard))
}

/// The fixture, or the end of the test if there is no server.
macro_rules! or_skip {
    ($fixture:expr) => {
        match $fixture.await {
            Some(fixture) => fixture,
            None => return,
        }
    };
}

mod groups;
mod locked;
mod lost;
mod plans;
mod rates;
mod schema;

fn full_stack(store: Arc<dyn Store>) -> Fixture {
    let sealed = Encrypted::new(store, Arc::new(ToySealer::default()));
    let patient = Deadlines { read: PATIENCE, write: PATIENCE };
    let bounded = Deadline::new(Arc::new(sealed), patient);
    Fixture::new(Metered::new(Arc::new(bounded), Arc::new(())))
}

/// Rows of all tables in which a cell has the text, plain or as bytes.
async fn cells_with(options: &PostgresOptions, text: &str) -> Vec<String> {
    let (client, connection) = options.driver().connect(NoTls).await.expect("the server is there");
    tasks::spawn(TaskKind::Connection, connection);
    let select = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = $1";
    let mut found = Vec::new();
    for table in client.query(select, &[&options.schema]).await.expect("tables") {
        let table: String = table.get(0);
        let look = format!("SELECT row_to_json(t)::text FROM {}.{table} t", options.schema);
        let rows = client.query(&look, &[]).await.expect("rows").into_iter().map(|row| row.get::<_, String>(0));
        let has = |row: &String| row.contains(text) || row.contains(&hex::encode(text));
        found.extend(rows.filter(has).map(|row| format!("{table}: {row}")));
    }
    found
}

/// The store itself, with more nodes beside it.
async fn nodes() -> Option<Fixture> {
    let (options, guard) = schema()?;
    let store = PostgresStore::open(&options).await.expect("open");
    let looked_through = options.clone();
    let find = move |text| {
        let options = looked_through.clone();
        async move { cells_with(&options, text).await }.boxed_local()
    };
    let node = move |_| {
        let options = options.clone();
        async move { Arc::new(PostgresStore::open(&options).await.expect("open")) as Arc<dyn Store> }.boxed_local()
    };
    Some(Fixture::with(store, guard).at_once(node).finding(find))
}

store_conformance!(plain, or_skip!(nodes()));
store_conformance!(stack, or_skip!(fixture(full_stack)));
store_conformance!(faultless, or_skip!(fixture(|store| Fixture::new(Faulty::new(store, 1, FaultPlan::default())))));
