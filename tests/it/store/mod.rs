//! Which store the servers of the tests keep their data in.

mod postgres;
mod scylla;

/// Settings of a server's configuration.
pub(crate) type Settings = Vec<(String, String)>;

/// Its name.
pub(crate) fn name() -> &'static str {
    match std::env::var("TERTULIA_TEST_BACKEND").as_deref() {
        Err(_) | Ok("" | "embedded") => "embedded",
        Ok("postgres") => "postgres",
        Ok("scylla") => "scylla",
        Ok(other) => panic!("TERTULIA_TEST_BACKEND is {other}: expected embedded, postgres or scylla"),
    }
}

/// Whether it is the embedded one.
pub(crate) fn is_embedded() -> bool {
    name() == "embedded"
}

/// What its acknowledgements say.
pub(crate) fn durability() -> &'static str {
    match name() {
        "scylla" => scylla::durability(),
        _ => "SYNCED",
    }
}

/// Settings of a store that nobody else has.
pub(crate) async fn settings() -> Settings {
    let settings = match name() {
        "postgres" => postgres::settings(),
        "scylla" => scylla::settings().await,
        _ => Vec::new(),
    };
    settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Drops what such a store has kept.
pub(crate) fn forget(settings: Settings) {
    let value = |wanted| settings.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
    if let Some(schema) = value("postgres.schema") {
        in_a_runtime(postgres::forget(schema));
    }
    if let Some(keyspace) = value("scylla.keyspace") {
        scylla::give_back(keyspace);
    }
}

/// Everything that a database of these settings holds, as whoever reads it has it: texts as they are, bytes in lower-case
/// hexadecimal. Nothing of the embedded store, which is files.
pub(crate) async fn dump(settings: &Settings) -> String {
    let value = |wanted| settings.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
    match (value("postgres.schema"), value("scylla.keyspace")) {
        (Some(schema), _) => postgres::dump(&schema).await,
        (_, Some(keyspace)) => scylla::dump(&keyspace).await,
        _ => String::new(),
    }
}

/// Gives a stored event to another author, as whoever can write to the database could. False of the embedded store.
pub(crate) async fn give_away(settings: &Settings, room: &str, seq: i64, author: i64) -> bool {
    let value = |wanted| settings.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.clone());
    match (value("postgres.schema"), value("scylla.keyspace")) {
        (Some(schema), _) => postgres::give_away(&schema, room, seq, author).await,
        (_, Some(keyspace)) => scylla::give_away(&keyspace, room, seq, author).await,
        _ => return false,
    }
    true
}

/// Within a runtime, which must not be blocked on: another thread does it.
fn in_a_runtime(work: impl Future<Output = ()> + Send + 'static) {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let done = std::thread::spawn(move || runtime().block_on(work)).join();
    assert!(done.is_ok() || std::thread::panicking(), "what the store kept is dropped");
}
