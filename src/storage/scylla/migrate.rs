//! Numbered migrations: each is carried out once, in order, whatever number of nodes start at the same time.
//!
//! A schema change cannot be undone by the database when it fails half-way, so every statement of a migration must be
//! one that may be repeated (`IF NOT EXISTS`; the removal of a column that is gone is left out here, as not every
//! database has `IF EXISTS` for it), and a lock row keeps nodes from changing the schema together.

use std::time::Duration;

use scylla::{
    statement::{prepared::PreparedStatement, unprepared::Statement},
    value::CqlTimestamp,
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{error, session::Database};
use crate::{
    clock::SharedClock,
    storage::{Outcome, Result, StoreError, StoreErrorKind},
};

const OP: &str = "migrate";

/// A numbered step of the schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    name: &'static str,
    text: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        &[$(Migration { name: $name, text: include_str!(concat!("../../../migrations/cql/", $name, ".cql")) }),*]
    };
}

/// All of them; number 1 is the first. What was released is never edited.
pub(super) const MIGRATIONS: &[Migration] =
    migrations!["0001-log", "0002-rooms", "0003-lookups", "0004-users", "0005-no-hash"];

/// The runner's own tables.
const OWN: &str = "
CREATE TABLE IF NOT EXISTS schema_migrations (
    part int, number int, name text, checksum text, applied_at timestamp, PRIMARY KEY ((part), number));
CREATE TABLE IF NOT EXISTS schema_lock (part int PRIMARY KEY, holder uuid);
";

/// Longest wait for one change: a node that is busy takes many times as long for one as for any row.
const CHANGE_MAX: Duration = Duration::from_secs(30);

/// Longest wait for the database's nodes to know of a change that another node of ours made.
const AGREEMENT_MAX: Duration = Duration::from_secs(15);

/// How long the lock outlives a process that died with it; it is renewed before each change, so longer than one takes,
/// with the minute that the driver waits for the database's nodes to agree.
const LOCK_TTL_S: i32 = 120;

/// How long a node waits for another one's migrations.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(300);

/// Pause between two looks at the lock, and between two attempts at a transaction that had no answer; at most half as
/// long again.
const PAUSE: Duration = Duration::from_millis(200);

/// Attempts to keep the lock that may stay without an answer.
const UNANSWERED_MAX: u32 = 10;

/// The statements of a file: everything up to a semicolon, without comments.
pub(super) fn statements(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default());
    let text: String = lines.collect::<Vec<_>>().join("\n");
    text.split(';').map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

fn checksum(text: &str) -> String {
    // Comments and layout may change; what is carried out may not.
    let words = statements(text).join(";").split_whitespace().collect::<Vec<_>>().join(" ");
    hex::encode(Sha256::digest(words.as_bytes()))
}

/// Brings the keyspace in use to the newest schema.
///
/// # Errors
/// `Invalid`: a migration that was carried out before is not the one known here. `Unavailable`: another node holds the
/// lock for too long.
pub(super) async fn run(database: &Database, clock: &SharedClock) -> Result<()> {
    if known(database).await.is_ok_and(|done| done.len() >= MIGRATIONS.len()) {
        return check(&known(database).await?);
    }
    for statement in statements(OWN) {
        change(database, statement).await?;
    }
    let lock = Lock::take(database).await?;
    let result = run_locked(database, clock, &lock).await;
    let unlock = "DELETE FROM schema_lock WHERE part = 0 IF holder = ?";
    let unlock = database.session().query_unpaged(unlock, (lock.holder,));
    if let Err(failed) = unlock.await {
        tracing::warn!(error = %failed, "the schema lock stays until it expires");
    }
    result
}

async fn run_locked(database: &Database, clock: &SharedClock, lock: &Lock) -> Result<()> {
    let done = known(database).await?;
    check(&done)?;
    for (number, migration) in (1_i32..).zip(MIGRATIONS).skip(done.len()) {
        tracing::info!(number, name = migration.name, "migrating the keyspace");
        for statement in statements(migration.text) {
            lock.renew(database).await?;
            if let Some((table, column)) = removal(&statement)
                && !has_column(database, table, column).await?
            {
                continue;
            }
            change(database, statement).await?;
        }
        let row = (number, migration.name, checksum(migration.text), CqlTimestamp(clock.now_ms()));
        let put = "INSERT INTO schema_migrations (part, number, name, checksum, applied_at) VALUES (0, ?, ?, ?, ?)";
        database.session().query_unpaged(put, row).await.map_err(|source| error::driver(OP, source))?;
    }
    Ok(())
}

/// Table and column, if a statement removes one.
fn removal(statement: &str) -> Option<(&str, &str)> {
    match statement.split_whitespace().collect::<Vec<_>>()[..] {
        ["ALTER", "TABLE", table, "DROP", column] => Some((table, column)),
        _ => None,
    }
}

async fn has_column(database: &Database, table: &str, column: &str) -> Result<bool> {
    let select = "SELECT column_name FROM system_schema.columns \
        WHERE keyspace_name = ? AND table_name = ? AND column_name = ?";
    let keyspace = database.session().get_keyspace().map(|name| name.to_string()).unwrap_or_default();
    let result = database.session().query_unpaged(select, (keyspace, table, column)).await;
    let rows = result.map_err(|source| error::driver(OP, source))?.into_rows_result();
    Ok(rows.map_err(|source| error::corrupt(OP, source))?.rows_num() > 0)
}

/// Carries out one change of the schema and waits until all nodes have it.
pub(super) async fn change(database: &Database, statement: String) -> Result<()> {
    let mut statement = Statement::new(statement);
    statement.set_request_timeout(Some(CHANGE_MAX));
    database.session().query_unpaged(statement, ()).await.map_err(|source| error::driver(OP, source))?;
    // The driver waits after a change, but not if another node of ours had made it: then the next statement may meet a
    // node of the database that has not heard of it.
    let agreement = tokio::time::timeout(AGREEMENT_MAX, database.session().await_schema_agreement()).await;
    if !matches!(agreement, Ok(Ok(_))) {
        tracing::warn!("the database's nodes do not agree on the schema yet");
    }
    Ok(())
}

/// Migrations carried out, in order: checksums.
async fn known(database: &Database) -> Result<Vec<String>> {
    let select = "SELECT checksum FROM schema_migrations WHERE part = 0";
    let result = database.session().query_unpaged(select, ()).await.map_err(|source| error::driver(OP, source))?;
    let rows = result.into_rows_result().map_err(|source| error::corrupt(OP, source))?;
    let rows = rows.rows::<(String,)>().map_err(|source| error::corrupt(OP, source))?;
    rows.map(|row| row.map(|(checksum,)| checksum))
        .collect::<std::result::Result<_, _>>()
        .map_err(|s| error::corrupt(OP, s))
}

fn check(done: &[String]) -> Result<()> {
    if done.len() > MIGRATIONS.len() {
        return Err(error::invalid(OP, "the keyspace was migrated by a newer version"));
    }
    let same = done.iter().zip(MIGRATIONS).all(|(done, migration)| *done == checksum(migration.text));
    if same { Ok(()) } else { Err(error::invalid(OP, "a migration that was carried out is not the one known here")) }
}

/// The right to change the schema.
#[derive(Debug)]
pub(super) struct Lock {
    holder: Uuid,
    renewal: PreparedStatement,
}

impl Lock {
    /// Waits for it.
    pub(super) async fn take(database: &Database) -> Result<Self> {
        let holder = Uuid::now_v7();
        let take = format!("INSERT INTO schema_lock (part, holder) VALUES (0, ?) IF NOT EXISTS USING TTL {LOCK_TTL_S}");
        let take = transaction(database, take).await?;
        let renewal = format!("UPDATE schema_lock USING TTL {LOCK_TTL_S} SET holder = ? WHERE part = 0 IF holder = ?");
        let lock = Self { holder, renewal: transaction(database, renewal).await? };
        let began = tokio::time::Instant::now();
        while began.elapsed() < LOCK_WAIT_MAX {
            // Only looked at while somebody has it: each transaction stands in the way of the holder's own.
            let taken = match Self::holder(database).await {
                Ok(None) => database.transact(OP, &take, (holder,)).await,
                // What had no answer has taken it, unless that has expired.
                Ok(Some(present)) if present == holder => lock.renew(database).await.map(|()| true),
                Ok(Some(_)) => Ok(false),
                Err(failed) => Err(failed),
            };
            match taken {
                Ok(true) => return Ok(lock),
                Ok(false) => {}
                // Nodes that start at once stand in each other's way, and the database gives some of them no answer.
                Err(failed) if failed.outcome() == Outcome::Unknown => {
                    tracing::debug!(error = %failed, "no answer about the schema lock");
                }
                Err(failed) => return Err(failed),
            }
            pause().await;
        }
        Err(StoreError::because(StoreErrorKind::Unavailable, OP, "the schema lock cannot be had"))
    }

    async fn holder(database: &Database) -> Result<Option<Uuid>> {
        let select = "SELECT holder FROM schema_lock WHERE part = 0";
        let result = database.session().query_unpaged(select, ()).await.map_err(|source| error::driver(OP, source))?;
        let rows = result.into_rows_result().map_err(|source| error::corrupt(OP, source))?;
        let row = rows.maybe_first_row::<(Option<Uuid>,)>().map_err(|source| error::corrupt(OP, source))?;
        Ok(row.and_then(|(holder,)| holder))
    }

    /// Keeps it for as long again.
    ///
    /// # Errors
    /// `Unavailable`: it has expired, and somebody else may have it.
    pub(super) async fn renew(&self, database: &Database) -> Result<()> {
        let mut unanswered = 0;
        loop {
            match database.transact(OP, &self.renewal, (self.holder, self.holder)).await {
                Ok(true) => return Ok(()),
                Ok(false) => break,
                Err(failed) if failed.outcome() == Outcome::Unknown && unanswered < UNANSWERED_MAX => unanswered += 1,
                Err(failed) => return Err(failed),
            }
            pause().await;
        }
        Err(StoreError::because(StoreErrorKind::Unavailable, OP, "the schema lock has expired"))
    }
}

async fn pause() {
    tokio::time::sleep(PAUSE.mul_f64(rand::random_range(1.0..1.5))).await;
}

async fn transaction(database: &Database, statement: String) -> Result<PreparedStatement> {
    let mut statement = Statement::new(statement);
    statement.set_execution_profile_handle(Some(database.profiles.serial.clone().into_handle()));
    let prepared = database.session().prepare(statement).await;
    prepared.map_err(|source| StoreError::because(StoreErrorKind::Unavailable, OP, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_into_statements() {
        assert_eq!(statements("-- a; b\nCREATE x; -- c\n\nCREATE\n y;\n"), ["CREATE x", "CREATE\n y"]);
    }

    #[test]
    fn comments_do_not_change_a_migration() {
        assert_eq!(checksum("-- a\nCREATE  x;"), checksum("CREATE x;"));
        assert_ne!(checksum("CREATE x;"), checksum("CREATE y;"));
    }

    #[test]
    fn migrations_are_numbered_in_order() {
        for (number, migration) in (1..).zip(MIGRATIONS) {
            assert!(migration.name.starts_with(&format!("{number:04}-")), "{}", migration.name);
        }
    }

    #[test]
    fn every_migration_may_be_repeated() {
        for statement in MIGRATIONS.iter().flat_map(|migration| statements(migration.text)) {
            assert!(statement.contains("IF NOT EXISTS") || statement.starts_with("ALTER"), "{statement}");
        }
    }
}
