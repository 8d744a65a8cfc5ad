//! The ScyllaDB/Cassandra backend: every room's log in partitions of its own, everything else derived from it.
//!
//! Owns the fencing protocol (DESIGN section 5), the tables of `schema.cql`, and what a driver's error means. It must
//! not look into opaque bodies. Four rules make one writer a room without a lightweight transaction a message:
//!
//! 1. rows carry the writer's epoch in their key, and the end of their batch; a batch is one mutation of one partition,
//!    or several at the edge of a block, the last part first, and counts when it is whole ([`resolve`]);
//! 2. an append counts when a read of the claim's generation, begun after its rows were acknowledged, shows that nobody
//!    has fenced it (`gate`);
//! 3. a new owner fences, claims, and only then reads; it writes the last batch back under its own epoch and passes the
//!    gate before it serves (`recover`);
//! 4. of rows at one place the highest epoch counts, and a row behind a higher epoch is void ([`resolve`]).
//!
//! Plain messages are acknowledged at the gate, and their head follows (`trail`); who is not the owner looks ahead of the
//! head by a rule of its own (`ahead`).
//!
//! The model in `tests/model.rs` explores them together, over the function that production uses, and finds the history that
//! loses an acknowledged message as soon as one of them is switched off.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use dashmap::DashSet;
use uuid::Uuid;

mod ahead;
mod append;
mod apply;
mod claim;
mod clocks;
mod durability;
mod erase;
mod error;
mod external;
mod gate;
mod keyspace;
mod listing;
mod log;
mod migrate;
mod options;
mod reading;
mod recover;
pub mod resolve;
mod rooms;
mod rows;
mod seats;
mod session;
mod stamp;
mod statements;
mod trail;
mod users;
mod wal;

#[cfg(test)]
mod tests;

pub use options::{Options, Replication, StoreConsistency, UnknownConsistency};

use super::{Durability, Result, Store};
use crate::clock::SharedClock;

/// The ScyllaDB/Cassandra store. Each value is a node of its own to the fencing protocol: two of them on one keyspace
/// take rooms from each other.
pub struct ScyllaStore {
    core: Arc<Core>,
    durability: Durability,
}

impl fmt::Debug for ScyllaStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScyllaStore")
    }
}

/// What all parts of the store share.
#[derive(Debug)]
struct Core {
    database: session::Database,
    statements: statements::Statements,
    clocks: clocks::Clocks,
    node: String,
    seats: seats::Seats,
    trails: trail::Trails,
    /// The gate that new claims hang on.
    present: ArcSwap<gate::Gate>,
    /// Held while one generation takes the place of another.
    rotating: tokio::sync::Mutex<()>,
    /// Generations of this value.
    own: DashSet<Uuid>,
    /// Generations that this value has fenced.
    fenced: DashSet<Uuid>,
    closed: AtomicBool,
}

impl ScyllaStore {
    /// Connects, brings the keyspace to the newest schema, and registers a generation.
    ///
    /// # Errors
    /// `Unavailable`: no contact point answers. `Invalid`, with the reason: the options, the keyspace or its schema
    /// cannot be used.
    pub async fn open(options: &Options, clock: SharedClock) -> Result<Self> {
        // Connecting takes much stack, once.
        Box::pin(Self::open_in_steps(options, clock)).await
    }

    async fn open_in_steps(options: &Options, clock: SharedClock) -> Result<Self> {
        options.check().map_err(|why| error::invalid("open", why))?;
        let database = session::connect(options).await?;
        let confirming = keyspace::prepare(&database, options).await?;
        migrate::run(&database, &clock).await?;
        database.refresh().await?;
        let durability = durability::promised(&database, confirming).await;
        let statements = statements::Statements::prepare(&database).await?;
        let first = gate::register(&database, &statements, &options.node, clock.now_ms()).await?;
        let own = DashSet::from_iter([first.generation()]);
        let core = Core {
            database,
            statements,
            clocks: clocks::Clocks::new(clock, first.generation().as_u128()),
            node: options.node.clone(),
            seats: seats::Seats::default(),
            trails: trail::Trails::default(),
            present: ArcSwap::new(first),
            rotating: tokio::sync::Mutex::new(()),
            own,
            fenced: DashSet::new(),
            closed: AtomicBool::new(false),
        };
        let core = Arc::new(core);
        core.check_transactions().await?;
        Ok(Self { core, durability })
    }

    /// What an acknowledged write has survived: `Buffered` only where a single copy is synced by timer.
    #[must_use]
    pub const fn durability(&self) -> Durability {
        self.durability
    }
}

#[async_trait::async_trait]
impl Store for ScyllaStore {
    fn name(&self) -> &'static str {
        "scylla"
    }

    async fn close(&self) -> Result<()> {
        self.core.closed.store(true, Ordering::Release);
        self.core.trails.end().await;
        Ok(())
    }
}
