//! The connection, and the ways of asking: profiles, retries, pages.
//!
//! Retries are ours, not the driver's: only here it is known that a statement may be repeated, and only here the
//! outcome of all attempts together can be told. Nothing else may call the driver's session.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use scylla::{
    client::{
        PoolSize,
        execution_profile::{ExecutionProfile, ExecutionProfileHandle},
        session::Session,
        session_builder::SessionBuilder,
    },
    deserialize::row::DeserializeRow,
    errors::ExecutionError,
    policies::{
        retry::FallthroughRetryPolicy, speculative_execution::SimpleSpeculativeExecutionPolicy,
        timestamp_generator::MonotonicTimestampGenerator,
    },
    response::{PagingState, query_result::QueryRowsResult},
    serialize::row::SerializeRow,
    statement::{
        batch::{Batch, BatchStatement, BatchType},
        prepared::PreparedStatement,
    },
    value::Row,
};
use secrecy::ExposeSecret;

use super::{error, options::Options};
use crate::storage::{Outcome, Result, StoreError, StoreErrorKind};

/// Values of one row to write.
pub(super) type Values = Box<dyn SerializeRow + Send + Sync>;

/// One row to write.
pub(super) type Write = (PreparedStatement, Values);

/// Attempts of one statement, all together.
const ATTEMPTS: usize = 4;

/// Rows of one page of the driver.
pub(super) const PAGE: i32 = 1_000;

/// How a kind of statement is carried out.
#[derive(Clone, Debug)]
pub(super) struct Profiles {
    /// Plain writes: the quorum, no speculation (a second copy of a write saves little and costs a write).
    pub(super) write: ExecutionProfile,
    /// Reads: the quorum; a second coordinator is asked when the first is slow.
    pub(super) read: ExecutionProfile,
    /// Lightweight transactions and serial reads: never twice at once.
    pub(super) serial: ExecutionProfile,
    /// [`Profiles::write`], for batches, which are made for each call.
    batch: ExecutionProfileHandle,
}

impl Profiles {
    fn new(options: &Options) -> Self {
        let level = options.consistency.level();
        let base = || {
            ExecutionProfile::builder()
                .consistency(level)
                .serial_consistency(Some(options.consistency.serial()))
                .request_timeout(Some(options.request_timeout))
                .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
                .speculative_execution_policy(None)
        };
        let speculative =
            SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: options.request_timeout / 20 };
        let write = base().build();
        Self {
            batch: write.clone().into_handle(),
            write,
            read: base().speculative_execution_policy(Some(Arc::new(speculative))).build(),
            serial: base().build(),
        }
    }
}

/// What was asked of the database: mutations and transactions, each counted once however often it was tried.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) writes: AtomicU64,
    pub(super) transactions: AtomicU64,
}

/// The database, as this store talks to it.
#[derive(Debug)]
pub(super) struct Database {
    session: Session,
    pub(super) counts: Counts,
    pub(super) profiles: Profiles,
}

/// Connects, without a keyspace yet.
pub(super) async fn connect(options: &Options) -> Result<Database> {
    let profiles = Profiles::new(options);
    let mut builder = SessionBuilder::new()
        .known_nodes(options.nodes())
        .default_execution_profile_handle(profiles.write.clone().into_handle())
        .timestamp_generator(Arc::new(MonotonicTimestampGenerator::new()))
        .keyspaces_to_fetch([options.keyspace.clone()])
        .pool_size(PoolSize::default())
        .connection_timeout(options.request_timeout.max(Duration::from_secs(5)))
        // A schema has dozens of statements; the metadata is read again once, when the keyspace is taken into use.
        .refresh_metadata_on_auto_schema_agreement(false)
        .tcp_nodelay(true);
    if let (Some(user), Some(password)) = (&options.username, &options.password) {
        builder = builder.user(user.clone(), password.expose_secret().to_owned());
    }
    if let Some(datacenter) = &options.datacenter {
        builder = builder.prefer_datacenter(datacenter.clone());
    }
    let session =
        builder.build().await.map_err(|source| StoreError::because(StoreErrorKind::Unavailable, "connect", source))?;
    Ok(Database { session, counts: Counts::default(), profiles })
}

/// Runs `attempt` until it succeeds, fails for good, or has been tried [`ATTEMPTS`] times. If one attempt may have been
/// carried out, the error says so.
async fn retried<T, F>(op: &'static str, mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = std::result::Result<T, ExecutionError>>,
{
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(10))
        .with_max_delay(Duration::from_millis(500))
        .with_factor(4.0)
        .with_max_times(ATTEMPTS - 1)
        .with_jitter()
        .build();
    let mut may_have_happened = None;
    loop {
        let failed = match attempt().await {
            Ok(done) => return Ok(done),
            Err(failed) => error::driver(op, failed),
        };
        if failed.outcome() == Outcome::Unknown {
            may_have_happened = Some(failed.kind());
        }
        let is_final = matches!(failed.kind(), StoreErrorKind::Invalid | StoreErrorKind::Corrupt);
        match pauses.next() {
            Some(pause) if !is_final => tokio::time::sleep(pause).await,
            _ => {
                return Err(match may_have_happened {
                    Some(kind) if failed.outcome() == Outcome::NotApplied => StoreError::because(kind, op, failed),
                    _ => failed,
                });
            }
        }
    }
}

/// The rows of a result, decoded.
fn decoded<R>(op: &'static str, rows: &QueryRowsResult) -> Result<Vec<R>>
where
    R: for<'f> DeserializeRow<'f, 'f>,
{
    let rows = rows.rows::<R>().map_err(|source| error::corrupt(op, source))?;
    rows.collect::<std::result::Result<_, _>>().map_err(|source| error::corrupt(op, source))
}

impl Database {
    /// The driver's session, for what is not a prepared statement: schema.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// Reads again who has which rows, after the schema was changed.
    pub(super) async fn refresh(&self) -> Result<()> {
        let refreshed = self.session.refresh_metadata().await;
        refreshed.map_err(|source| StoreError::because(StoreErrorKind::Unavailable, "open", source))
    }

    /// Writes one row that may be written twice.
    pub(super) async fn write(
        &self,
        op: &'static str,
        statement: &PreparedStatement,
        values: impl SerializeRow + Send + Sync,
    ) -> Result<()> {
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        retried(op, || self.session.execute_unpaged(statement, &values)).await.map(drop)
    }

    /// Writes rows of one partition that may be written twice, as one mutation.
    pub(super) async fn write_all(&self, op: &'static str, mut writes: Vec<Write>) -> Result<()> {
        if writes.len() <= 1 {
            let Some((statement, values)) = writes.pop() else { return Ok(()) };
            return self.write(op, &statement, values).await;
        }
        let (statements, values): (Vec<BatchStatement>, Vec<Values>) =
            writes.into_iter().map(|(statement, values)| (statement.into(), values)).unzip();
        let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
        batch.set_is_idempotent(true);
        batch.set_execution_profile_handle(Some(self.profiles.batch.clone()));
        self.counts.writes.fetch_add(1, Ordering::Relaxed);
        retried(op, || self.session.batch(&batch, &values)).await.map(drop)
    }

    /// Reads the first row.
    pub(super) async fn row<R>(
        &self,
        op: &'static str,
        statement: &PreparedStatement,
        values: impl SerializeRow + Send + Sync,
    ) -> Result<Option<R>>
    where
        R: for<'f> DeserializeRow<'f, 'f>,
    {
        let result = retried(op, || self.session.execute_unpaged(statement, &values)).await?;
        let rows = result.into_rows_result().map_err(|source| error::corrupt(op, source))?;
        Ok(decoded(op, &rows)?.into_iter().next())
    }

    /// Reads rows, page by page, until `keep` has given `limit` of them.
    pub(super) async fn rows<R, T>(
        &self,
        op: &'static str,
        statement: &PreparedStatement,
        values: impl SerializeRow + Send + Sync,
        limit: usize,
        mut keep: impl FnMut(R) -> Result<Option<T>>,
    ) -> Result<Vec<T>>
    where
        R: for<'f> DeserializeRow<'f, 'f>,
    {
        let mut found = Vec::new();
        let mut state = PagingState::start();
        while found.len() < limit {
            let page = || self.session.execute_single_page(statement, &values, state.clone());
            let (result, next) = retried(op, page).await?;
            let rows = result.into_rows_result().map_err(|source| error::corrupt(op, source))?;
            for row in decoded(op, &rows)? {
                found.extend(keep(row)?);
            }
            match next.into_paging_control_flow() {
                std::ops::ControlFlow::Break(()) => break,
                std::ops::ControlFlow::Continue(next) => state = next,
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Carries out a lightweight transaction once. Whether it was applied.
    ///
    /// # Errors
    /// `Timeout` and `Unavailable` leave that open: the caller reads again.
    pub(super) async fn transact(
        &self,
        op: &'static str,
        statement: &PreparedStatement,
        values: impl SerializeRow + Send + Sync,
    ) -> Result<bool> {
        self.counts.transactions.fetch_add(1, Ordering::Relaxed);
        let result =
            self.session.execute_unpaged(statement, values).await.map_err(|source| error::driver(op, source))?;
        let rows = result.into_rows_result().map_err(|source| error::corrupt(op, source))?;
        // The other columns differ between the databases, and with the outcome.
        let row: Row = rows.first_row().map_err(|source| error::corrupt(op, source))?;
        let applied = row.columns.first().and_then(|column| column.as_ref()?.as_boolean());
        applied.ok_or_else(|| error::corrupt(op, "a transaction did not say whether it was applied"))
    }
}
