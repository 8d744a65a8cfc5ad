//! The CQL server of `TERTULIA_TEST_CQL`: a keyspace of the test's own there, and the means to freeze it.

use std::{path::Path, process::Command};

use scylla::client::session_builder::SessionBuilder;

pub(crate) struct Cassandra {
    node: String,
    keyspace: String,
}

impl Cassandra {
    /// None if the environment says nothing of it.
    pub(crate) fn find() -> Option<Self> {
        let Ok(nodes) = std::env::var("TERTULIA_TEST_CQL") else {
            eprintln!("SKIPPED: TERTULIA_TEST_CQL is not set");
            return None;
        };
        let node = nodes.split(',').next().expect("at least one").to_owned();
        Some(Self { node, keyspace: format!("moving_{}", std::process::id()) })
    }

    /// How the server finds it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![("SCYLLA_HOSTS", self.node.clone()), ("SCYLLA_KEYSPACE", self.keyspace.clone())]
    }

    /// How `tertulia migrate` finds it.
    pub(crate) fn url(&self) -> String {
        format!("scylla://{}/{}", self.node, self.keyspace)
    }

    /// Stops its process where it is (SIGSTOP). False if the server was not started by `deploy/local`.
    pub(crate) fn freeze(&self) -> bool {
        let frozen = control("freeze");
        if !frozen {
            eprintln!("the CQL server was not started by deploy/local/up: it is not frozen");
        }
        frozen
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        assert!(control("thaw"), "it goes on");
    }
}

fn control(command: &str) -> bool {
    let Ok(name) = std::env::var("TERTULIA_TEST_SERVERS_NAME") else { return false };
    let ctl = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/local/ctl");
    Command::new(ctl).args(["--name", &name, command, "cassandra"]).status().is_ok_and(|status| status.success())
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // It may be frozen; whoever comes next needs it.
            control("thaw");
        }
        let (node, drop_it) = (self.node.clone(), format!("DROP KEYSPACE IF EXISTS {}", self.keyspace));
        let work = async move {
            let session = SessionBuilder::new().known_node(node).build().await.unwrap();
            session.query_unpaged(drop_it, ()).await.unwrap();
        };
        let dropping = std::thread::spawn(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
        });
        assert!(dropping.join().is_ok() || std::thread::panicking(), "the keyspace is dropped");
    }
}
