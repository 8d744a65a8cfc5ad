//! The PostgreSQL backend: the rows of the contract as tables, one statement an operation.
//!
//! Owns the tables (`migrations/pg`), the statements over them and the connections. It must not look into opaque
//! bodies, and knows no actor. Fencing is the server's: an append checks the claimed epoch in the transaction that writes,
//! under the lock of the room's row. Appends, claims and look-ups of many callers go together (`lanes`).

mod append;
mod fault;
mod gathered;
mod lanes;
mod log;
mod migrate;
mod number;
mod options;
mod pool;
mod rooms;
mod rows;
mod statements;
#[cfg(test)]
pub(in crate::storage) mod tests;
mod users;

use std::time::Duration;

use async_trait::async_trait;
use tokio_postgres::Row;

use append::{Append, Appender};
use fault::Outcome;
use gathered::{Claim, Claimer, Finder, LookUp};
use lanes::Lanes;
use pool::{Db, Params};
use statements::Statement;

pub use options::{PostgresOptions, PostgresUrlError};

use super::{Durability, Result, Store};
use crate::{domain::ids::RoomId, tasks::TaskKind};

/// Claims come in bursts, when many rooms wake: they need no lanes of their own beyond one.
const CLAIM_LANES: usize = 1;
/// Look-ups are short and wait for no disk: two keep the server busy while answers travel.
const LOOK_UP_LANES: usize = 2;
/// Between two looks whether all is written, when the store closes.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A store on a PostgreSQL server.
#[derive(Debug)]
pub struct PostgresStore {
    db: Db,
    durability: Durability,
    appends: Lanes<Append, Appender>,
    claims: Lanes<Claim, Claimer>,
    look_ups: Lanes<LookUp, Finder>,
}

impl PostgresStore {
    /// Connects, brings the schema up to date and checks what the server promises. Several nodes may do so at once.
    ///
    /// # Errors
    /// `Unavailable`: the server cannot be reached or does not let us in. `Invalid`: the schema was made by a newer
    /// version, or changed by someone else.
    pub async fn open(options: &PostgresOptions) -> Result<Self> {
        Self::connect(options).await.map_err(|fault| fault.at("open"))
    }

    async fn connect(options: &PostgresOptions) -> Outcome<Self> {
        migrate::run(options).await?;
        let db = Db::new(options)?;
        let durability = promised(&db).await?;
        let appender = Appender { db: db.clone(), durability };
        let patience = options.statement_timeout;
        Ok(Self {
            durability,
            appends: Lanes::new(TaskKind::Append, appender, options.append_lanes, patience),
            claims: Lanes::new(TaskKind::Append, Claimer { db: db.clone() }, CLAIM_LANES, patience),
            look_ups: Lanes::new(TaskKind::Load, Finder { db: db.clone() }, LOOK_UP_LANES, patience),
            db,
        })
    }

    /// What an acknowledged write has survived: `Buffered` only if the server runs with `fsync` off.
    #[must_use]
    pub const fn durability(&self) -> Durability {
        self.durability
    }

    /// All rows of a statement that changes nothing.
    async fn list<T>(
        &self,
        statement: &Statement,
        params: Params<'_>,
        decode: impl FnMut(&Row) -> Outcome<T>,
    ) -> Outcome<Vec<T>> {
        self.db.read(statement, params).await?.iter().map(decode).collect()
    }

    /// The only row of a statement that changes nothing.
    async fn one<T>(
        &self,
        statement: &Statement,
        params: Params<'_>,
        decode: impl FnOnce(&Row) -> Outcome<T>,
    ) -> Outcome<Option<T>> {
        self.db.read_one(statement, params).await?.as_ref().map(decode).transpose()
    }

    /// Rooms greater than `after`.
    async fn room_page(&self, statement: &Statement, after: Option<RoomId>, limit: usize) -> Outcome<Vec<RoomId>> {
        match number::room_after(after) {
            Some(first) => {
                let params: Params<'_> = &[&rows::uuid(first), &number::limit(limit)];
                self.list(statement, params, |row| rows::room(row, 0)).await
            }
            None => Ok(Vec::new()),
        }
    }
}

/// What a commit of this server means.
async fn promised(db: &Db) -> Outcome<Durability> {
    let client = db.client().await?;
    let row = client.query_one("SELECT current_setting('fsync')", &[]).await?;
    let fsync: &str = rows::column(&row, 0)?;
    if fsync == "on" {
        return Ok(Durability::Synced);
    }
    tracing::warn!("the server runs with fsync = off: what is acknowledged may be lost in a power failure");
    Ok(Durability::Buffered)
}

#[async_trait]
impl Store for PostgresStore {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn close(&self) -> Result<()> {
        self.appends.close();
        self.claims.close();
        self.look_ups.close();
        // Statements have their timeout: this ends.
        while !(self.appends.is_idle() && self.claims.is_idle()) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.db.close();
        Ok(())
    }
}
