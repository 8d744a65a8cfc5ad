//! PostgreSQL: a schema for each server.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_postgres::{Config, NoTls, config::Host};

fn server() -> Config {
    let url = std::env::var("TERTULIA_TEST_POSTGRES").expect("TERTULIA_TEST_POSTGRES names a server");
    url.parse().expect("TERTULIA_TEST_POSTGRES is a URL of PostgreSQL")
}

pub(super) fn settings() -> Vec<(&'static str, String)> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let config = server();
    let [Host::Tcp(host)] = config.get_hosts() else { panic!("TERTULIA_TEST_POSTGRES names one host") };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let password = String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned();
    vec![
        ("postgres.host", host.clone()),
        ("postgres.port", config.get_ports().first().copied().unwrap_or(5432).to_string()),
        ("postgres.user", config.get_user().unwrap_or_default().to_owned()),
        ("postgres.password", password),
        ("postgres.database", config.get_dbname().unwrap_or_default().to_owned()),
        ("postgres.schema", format!("it_{}_{number}", std::process::id())),
        ("postgres.pool_size", "8".to_owned()),
    ]
}

pub(super) async fn forget(schema: String) {
    let sql = format!("SET client_min_messages = warning; DROP SCHEMA IF EXISTS {schema} CASCADE");
    let (client, connection) = server().connect(NoTls).await.expect("the server is there");
    let drop_it = async move { client.batch_execute(&sql).await };
    let (dropped, _) = tokio::join!(drop_it, connection);
    dropped.expect("drop the schema");
}

/// Every row of every table, as text.
pub(super) async fn dump(schema: &str) -> String {
    let (client, connection) = server().connect(NoTls).await.expect("the server is there");
    let read = async move {
        let names = "SELECT table_name FROM information_schema.tables WHERE table_schema = $1";
        let mut all = String::new();
        for table in client.query(names, &[&schema]).await.expect("tables") {
            let select = format!("SELECT t::text FROM {schema}.{} t", table.get::<_, String>(0));
            for row in client.query(&select, &[]).await.expect("rows") {
                all.push_str(row.get(0));
                all.push('\n');
            }
        }
        all
    };
    tokio::join!(read, connection).0
}

pub(super) async fn give_away(schema: &str, room: &str, seq: i64, author: i64) {
    let (client, connection) = server().connect(NoTls).await.expect("the server is there");
    let forge = format!("UPDATE {schema}.room_log SET actor = {author} WHERE room = '{room}' AND seq = {seq}");
    let (changed, _) = tokio::join!(async move { client.execute(&forge, &[]).await }, connection);
    assert_eq!(changed.expect("the event is there"), 1);
}
