//! Plain prepared inserts into a Cassandra or ScyllaDB, by the driver that the server uses: what the server's own rate on
//! the same database, in the same run, is compared with. No server takes part.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    statement::{Consistency, prepared::PreparedStatement},
};

use super::Outcome;
use crate::{bench::Bench, clock::Clock, tally::Tally};

const KEYSPACE: &str =
    "CREATE KEYSPACE IF NOT EXISTS loadgen WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS loadgen.inserts (part bigint, seq bigint, body blob, PRIMARY KEY (part, seq))";
const INSERT: &str = "INSERT INTO loadgen.inserts (part, seq, body) VALUES (?, ?, ?)";
/// Rows of a partition, as many as a block of the server's log has.
const PART_LEN: i64 = 4_096;
/// Bytes of a row's body beside the text: about what a message has besides, and its seal.
const BESIDE_TEXT: usize = 150;

/// Inserts, so many without an answer at a time.
pub(super) async fn inserts(bench: &Bench, in_flight: u32) -> Result<Outcome> {
    if bench.args.cql.is_empty() {
        bail!("--cql names the database");
    }
    let session = SessionBuilder::new().known_nodes(&bench.args.cql).build().await.context("connect to --cql")?;
    for statement in [KEYSPACE, TABLE] {
        session.query_unpaged(statement, ()).await?;
        session.await_schema_agreement().await?;
    }
    let mut insert = session.prepare(INSERT).await?;
    insert.set_consistency(Consistency::LocalQuorum);
    insert.set_is_idempotent(true);
    let body = vec![b'x'; bench.args.content as usize + BESIDE_TEXT];
    let run = Run { session, insert, body, clock: Clock::start() };
    run.measure(bench.users(in_flight), bench.args.warmup, bench.args.measure).await
}

struct Run {
    session: Session,
    insert: PreparedStatement,
    body: Vec<u8>,
    clock: Clock,
}

impl Run {
    async fn measure(&self, owners: Vec<i64>, warmup: Duration, measure: Duration) -> Result<Outcome> {
        let end = warmup + measure;
        let tally = RefCell::new(Tally::default());
        let mut workers: FuturesUnordered<_> =
            owners.into_iter().map(|owner| self.work(owner, warmup, end, &tally)).collect();
        while let Some(done) = workers.next().await {
            done?;
        }
        let figures = tally.borrow().figures(measure.as_secs_f64(), None);
        Ok(Outcome { figures, errors: BTreeMap::new(), durability: None })
    }

    /// Inserts one row after the other, into partitions that nobody else has, as a room has its own.
    async fn work(&self, owner: i64, warmup: Duration, end: Duration, tally: &RefCell<Tally>) -> Result<()> {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (warm, end) = (ns(warmup), ns(end));
        for seq in 1.. {
            let begun = self.clock.now_ns();
            if begun >= end {
                break;
            }
            let part = (owner << 10) + seq / PART_LEN;
            self.session.execute_unpaged(&self.insert, (part, seq, &self.body)).await.context("an insert")?;
            let done = self.clock.now_ns();
            if done >= warm && done < end {
                tally.borrow_mut().ack(done - begun);
            }
        }
        Ok(())
    }
}
