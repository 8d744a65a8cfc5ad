//! Which store the servers of the tests keep their data in.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_postgres::{Config, NoTls, config::Host};

/// Its name.
pub(crate) fn name() -> &'static str {
    match std::env::var("TERTULIA_TEST_BACKEND").as_deref() {
        Err(_) | Ok("" | "embedded") => "embedded",
        Ok("postgres") => "postgres",
        Ok(other) => panic!("TERTULIA_TEST_BACKEND is {other}: expected embedded or postgres"),
    }
}

/// Whether it is the embedded one.
pub(crate) fn is_embedded() -> bool {
    name() == "embedded"
}

fn server() -> Config {
    let url = std::env::var("TERTULIA_TEST_POSTGRES").expect("TERTULIA_TEST_POSTGRES names a server");
    url.parse().expect("TERTULIA_TEST_POSTGRES is a URL of PostgreSQL")
}

/// Settings of a store that nobody else has.
pub(crate) fn settings() -> Vec<(String, String)> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    if is_embedded() {
        return Vec::new();
    }
    let config = server();
    let [Host::Tcp(host)] = config.get_hosts() else { panic!("TERTULIA_TEST_POSTGRES names one host") };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let password = String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned();
    [
        ("postgres.host", host.clone()),
        ("postgres.port", config.get_ports().first().copied().unwrap_or(5432).to_string()),
        ("postgres.user", config.get_user().unwrap_or_default().to_owned()),
        ("postgres.password", password),
        ("postgres.database", config.get_dbname().unwrap_or_default().to_owned()),
        ("postgres.schema", format!("it_{}_{number}", std::process::id())),
        ("postgres.pool_size", "8".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Drops what such a store has kept.
pub(crate) fn forget(settings: &[(String, String)]) {
    let Some((_, schema)) = settings.iter().find(|(key, _)| key == "postgres.schema") else { return };
    let sql = format!("SET client_min_messages = warning; DROP SCHEMA IF EXISTS {schema} CASCADE");
    let work = async move {
        let (client, connection) = server().connect(NoTls).await.expect("the server is there");
        let drop_it = async move { client.batch_execute(&sql).await };
        let (dropped, _) = tokio::join!(drop_it, connection);
        dropped.expect("drop the schema");
    };
    // Within a runtime, which must not be blocked on: another thread does it.
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = std::thread::spawn(move || runtime().block_on(work)).join();
    assert!(done.is_ok() || std::thread::panicking(), "the schema is dropped");
}
