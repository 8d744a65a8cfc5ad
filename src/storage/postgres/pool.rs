//! Connections: how many, how they are set up, and what is tried again on another one.

use std::{fmt, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Transaction};
use tokio_postgres::{NoTls, Row, types::ToSql};

use super::{
    fault::{Again, Fault, Outcome},
    options::PostgresOptions,
    statements::{self as sql, Statement},
};
use crate::storage::error::StoreErrorKind;

/// Parameters of a statement.
pub(super) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Tries after the first one.
const RETRIES: usize = 5;
/// The first wait before one; they grow and are jittered.
const WAIT_MIN: Duration = Duration::from_millis(3);
/// The longest.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// The server, by way of pooled connections.
#[derive(Clone)]
pub(super) struct Db {
    pool: Pool,
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("status", &self.pool.status()).finish()
    }
}

impl Db {
    /// A pool that connects when a connection is needed.
    pub(super) fn new(options: &PostgresOptions) -> Outcome<Self> {
        // Nothing of a session outlasts a statement, so that a connection needs no look at it before it is used again;
        // broken ones are noticed by the task that reads from them.
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(options.driver(), NoTls, config);
        let session = options.session();
        let set_up = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let session = session.clone();
            Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager)
            .max_size(options.pool_size)
            .wait_timeout(Some(options.connect_timeout))
            .create_timeout(Some(options.connect_timeout))
            .runtime(Runtime::Tokio1)
            .post_create(set_up)
            .build()
            .map_err(|error| Fault::because(StoreErrorKind::Invalid, error))?;
        Ok(Self { pool })
    }

    /// A connection.
    pub(super) async fn client(&self) -> Outcome<Object> {
        Ok(self.pool.get().await?)
    }

    /// Rows of a statement that changes nothing; tried again when the connection was lost.
    pub(super) async fn read(&self, statement: &Statement, params: Params<'_>) -> Outcome<Vec<Row>> {
        self.retried(Again::Reads, statement, params).await
    }

    /// The first row of a statement that changes nothing.
    pub(super) async fn read_one(&self, statement: &Statement, params: Params<'_>) -> Outcome<Option<Row>> {
        Ok(self.read(statement, params).await?.into_iter().next())
    }

    /// Rows that a statement returns which changes something; tried again when the server rolled it back.
    pub(super) async fn write(&self, statement: &Statement, params: Params<'_>) -> Outcome<Vec<Row>> {
        self.retried(Again::Everything, statement, params).await
    }

    /// The same, but not tried again while somebody else's lock blocks it: that is left to the caller.
    pub(super) async fn write_together(&self, statement: &Statement, params: Params<'_>) -> Outcome<Vec<Row>> {
        let mut retries = Retries::of(Again::Everything);
        loop {
            match self.once(statement, params).await {
                Err(fault) if !fault.is_held_up() && retries.after(&fault).await => {}
                ended => return ended,
            }
        }
    }

    /// The same, once, and giving up at the first lock that is held.
    pub(super) async fn write_unless_locked(&self, statement: &Statement, params: Params<'_>) -> Outcome<Vec<Row>> {
        let mut client = self.client().await?;
        let ended = async {
            let txn = client.transaction().await?;
            txn.batch_execute(sql::NO_WAIT_FOR_LOCKS).await?;
            let prepared = txn.prepare_cached(statement.sql).await?;
            let rows = txn.query(&prepared, params).await?;
            txn.commit().await?;
            Ok(rows)
        };
        let ended = ended.await;
        kept(ended, client)
    }

    /// Number of rows that a statement changes; tried again when the server rolled it back.
    pub(super) async fn change(&self, statement: &Statement, params: Params<'_>) -> Outcome<u64> {
        let mut retries = Retries::of(Again::Everything);
        loop {
            match self.change_once(statement, params).await {
                Err(fault) if retries.after(&fault).await => {}
                ended => return ended,
            }
        }
    }

    async fn retried(&self, what: Again, statement: &Statement, params: Params<'_>) -> Outcome<Vec<Row>> {
        let mut retries = Retries::of(what);
        loop {
            match self.once(statement, params).await {
                Err(fault) if retries.after(&fault).await => {}
                ended => return ended,
            }
        }
    }

    async fn change_once(&self, statement: &Statement, params: Params<'_>) -> Outcome<u64> {
        let client = self.client().await?;
        let ended = async {
            let prepared = client.prepare_cached(statement.sql).await?;
            client.execute(&prepared, params).await
        };
        kept(ended.await, client)
    }

    async fn once(&self, statement: &Statement, params: Params<'_>) -> Outcome<Vec<Row>> {
        let client = self.client().await?;
        let ended = async {
            let prepared = client.prepare_cached(statement.sql).await?;
            client.query(&prepared, params).await
        };
        kept(ended.await, client)
    }

    /// Later calls fail; calls under way keep their connections to the end.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// Gives the connection back, unless it is lost: the next to use it would be told that their outcome is unknown.
fn kept<T>(ended: Result<T, tokio_postgres::Error>, client: Object) -> Outcome<T> {
    ended.map_err(|error| {
        let fault = Fault::from(error);
        if fault.again() == Again::Reads {
            drop(Object::take(client));
        }
        fault
    })
}

/// Runs one statement of a transaction.
pub(super) async fn change_within(txn: &Transaction<'_>, statement: &Statement, params: Params<'_>) -> Outcome<u64> {
    let prepared = txn.prepare_cached(statement.sql).await?;
    Ok(txn.execute(&prepared, params).await?)
}

/// How often work is tried again, and after which waits: growing, jittered, bounded.
pub(super) struct Retries {
    what: Again,
    waits: ExponentialBackoff,
}

impl Retries {
    /// For work that may be taken for `what`: something that only reads, or everything.
    pub(super) fn of(what: Again) -> Self {
        let waits = ExponentialBuilder::default()
            .with_min_delay(WAIT_MIN)
            .with_max_delay(WAIT_MAX)
            .with_max_times(RETRIES)
            .with_jitter();
        Self { what, waits: waits.build() }
    }

    /// Whether to try again after this fault. Waits before it says so.
    pub(super) async fn after(&mut self, fault: &Fault) -> bool {
        let is_safe = match fault.again() {
            Again::Everything | Again::Unlocked => true,
            Again::Reads => self.what == Again::Reads,
            Again::Nothing => false,
        };
        match self.waits.next() {
            Some(wait) if is_safe => {
                tracing::debug!(%fault, wait_ms = wait.as_millis(), "trying again");
                tokio::time::sleep(wait).await;
                true
            }
            _ => false,
        }
    }
}
