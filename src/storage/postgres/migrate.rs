//! Brings the schema up to date: numbered files, each applied once, in order, by whichever node comes first.
//!
//! All of it is one transaction under an advisory lock: nodes that start together wait for the first one and find
//! nothing left to do, and a migration that fails leaves the schema as it was. What was applied is kept with its
//! checksum, because a file that is changed afterwards would lie about the schema.

use sha2::{Digest as _, Sha256};
use tokio_postgres::{NoTls, Transaction};

use super::{
    fault::{Again, Fault, Outcome},
    options::{PostgresOptions, quoted},
    pool::Retries,
    rows::column,
};
use crate::{
    storage::error::StoreErrorKind,
    tasks::{self, TaskKind},
};

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    /// Its file's name. The order of names is the order of steps.
    pub(super) name: &'static str,
    /// The file.
    pub(super) sql: &'static str,
    /// What is left to the operator; empty for nothing.
    pub(super) left: &'static str,
}

/// All steps.
pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001-tables", sql: include_str!("../../../migrations/pg/0001-tables.sql"), left: "" },
    Migration {
        name: "0002-no-hash",
        sql: include_str!("../../../migrations/pg/0002-no-hash.sql"),
        left: "the files of room_log still hold hashes of texts, until VACUUM FULL has written them anew",
    },
];

/// Applies what is missing.
pub(super) async fn run(options: &PostgresOptions) -> Outcome<()> {
    run_all(options, MIGRATIONS).await
}

/// Applies what is missing of `migrations`.
pub(super) async fn run_all(options: &PostgresOptions, migrations: &[Migration]) -> Outcome<()> {
    let mut retries = Retries::of(Again::Everything);
    loop {
        match once(options, migrations).await {
            Err(fault) if retries.after(&fault).await => {}
            ended => return ended,
        }
    }
}

async fn once(options: &PostgresOptions, migrations: &[Migration]) -> Outcome<()> {
    let (mut client, connection) = options.driver().connect(NoTls).await?;
    // Ends with the client.
    let reading = tasks::spawn(TaskKind::Connection, connection);
    let txn = client.transaction().await?;
    lock(&txn, &options.schema).await?;
    let applied = applied(&txn).await?;
    check(&applied, migrations)?;
    for migration in &migrations[applied.len()..] {
        tracing::info!(name = migration.name, "migrating the schema");
        txn.batch_execute(migration.sql).await?;
        let row = "INSERT INTO schema_migration (name, checksum) VALUES ($1, $2)";
        txn.execute(row, &[&migration.name, &checksum(migration)]).await?;
    }
    txn.commit().await?;
    // A schema that was empty has nothing left in its files.
    for migration in migrations[applied.len()..].iter().filter(|step| !applied.is_empty() && !step.left.is_empty()) {
        tracing::warn!(name = migration.name, schema = options.schema, "left to do: {}", migration.left);
    }
    drop(client);
    drop(reading.await);
    Ok(())
}

/// Waits for other nodes; then the schema and the list of what was applied are there.
async fn lock(txn: &Transaction<'_>, schema: &str) -> Outcome<()> {
    let name = format!("tertulia schema {schema}");
    txn.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[&name]).await?;
    let there = txn.query_one("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", &[&schema]).await?;
    if !column::<bool>(&there, 0)? {
        txn.batch_execute(&format!("CREATE SCHEMA {}", quoted(schema))).await?;
    }
    let list = "CREATE TABLE IF NOT EXISTS schema_migration (
        name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
    txn.batch_execute(&format!("SET LOCAL search_path = {}; {list}", quoted(schema))).await?;
    Ok(())
}

/// Names and checksums of what was applied, in order.
async fn applied(txn: &Transaction<'_>) -> Outcome<Vec<(String, String)>> {
    let rows = txn.query("SELECT name, checksum FROM schema_migration ORDER BY name COLLATE \"C\"", &[]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

/// What was applied must be the beginning of what there is.
fn check(applied: &[(String, String)], migrations: &[Migration]) -> Outcome<()> {
    for (at, (name, sum)) in applied.iter().enumerate() {
        let why = match migrations.get(at) {
            Some(known) if known.name == name && checksum(known) == *sum => continue,
            Some(known) if known.name == name => format!("migration {name} was applied in another form"),
            _ => format!("migration {name} is not known: the schema was made by a newer version"),
        };
        return Err(Fault::because(StoreErrorKind::Invalid, why));
    }
    Ok(())
}

fn checksum(migration: &Migration) -> String {
    hex::encode(Sha256::digest(migration.sql.as_bytes()))
}
