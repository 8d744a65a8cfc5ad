//! The store against a real database, named by `TERTULIA_TEST_CQL=host:port`; skipped without one.

use std::sync::Arc;

use super::{Options, ScyllaStore};
use crate::{
    clock::SystemClock,
    storage::conformance::Fixture,
    store_conformance,
};

mod blocks;
mod model;
mod schema;
mod two_nodes;

/// A keyspace of this test's own, dropped with it.
pub(super) struct Keyspace {
    pub(super) options: Options,
}

impl Keyspace {
    /// None, and a word about it, if there is no database to test with.
    pub(super) fn new() -> Option<Self> {
        let Ok(node) = std::env::var("TERTULIA_TEST_CQL") else {
            println!("SKIPPED scylla: TERTULIA_TEST_CQL names no database");
            return None;
        };
        let keyspace = format!("test_{}", uuid::Uuid::now_v7().simple());
        let options = Options {
            contact_points: vec![node],
            keyspace,
            // A machine that runs many tests at once is slow, not broken.
            request_timeout: std::time::Duration::from_secs(60),
            ..Options::default()
        };
        Some(Self { options })
    }

    /// A node on it.
    pub(super) async fn open(&self) -> ScyllaStore {
        ScyllaStore::open(&self.options, Arc::new(SystemClock)).await.expect("open")
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        let options = self.options.clone();
        let drop_it = async move {
            let database = super::session::connect(&options).await.expect("connect");
            let statement = format!("DROP KEYSPACE IF EXISTS {}", options.keyspace);
            super::migrate::change(&database, statement).await.expect("drop keyspace");
        };
        let dropping = std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(drop_it);
        });
        dropping.join().expect("the keyspace is dropped");
    }
}

async fn fixture() -> Option<Fixture> {
    let keyspace = Keyspace::new()?;
    let store = keyspace.open().await;
    Some(Fixture::with(store, keyspace))
}

store_conformance!(
    scylla,
    match fixture().await {
        Some(fixture) => fixture,
        None => return,
    }
);
