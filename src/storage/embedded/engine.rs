//! What the row layout needs of a key-value engine: ordered reads and serialised, atomic writes.
//!
//! An engine knows neither tables nor rooms. Its writes run one after another on one place (a thread, or inline), so
//! that work which reads before it writes needs no lock and no retry.

use std::{collections::HashMap, fmt, fmt::Debug};

use fjall::Slice;
use tokio::sync::oneshot;

use super::fault::{Fault, Outcome};
use crate::storage::types::{Direction, Durability};

/// Looks at one row of a scan; returns whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Outcome<bool> + 'a;

/// An ordered key-value engine with serialised writes.
pub trait Engine: Debug + Send + Sync + 'static {
    /// The value of `key`, if it is committed.
    fn get(&self, key: &[u8]) -> Outcome<Option<Slice>>;

    /// Shows the committed rows with `from <= key < to` to `visit`, in the direction's order, until it has enough. All
    /// rows come from one moment.
    fn scan(&self, from: &[u8], to: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Outcome<()>;

    /// Queues a write. Whatever happens, the operation is finished once or dropped.
    fn submit(&self, op: Box<dyn Op>) -> Outcome<()>;

    /// Commits what is queued, makes it durable and lets go of all resources. Blocks; harmless when repeated.
    fn close(&self) -> Outcome<()>;
}

/// Where a transaction reads what is committed already.
pub trait Base {
    /// The committed value of `key`.
    fn committed(&self, key: &[u8]) -> Outcome<Option<Slice>>;
}

/// Rows written and not committed yet; `None` is a deletion.
pub type Staged = HashMap<Slice, Option<Slice>, foldhash::fast::RandomState>;

/// One transaction: sees what is committed, what earlier ones of the same group commit have staged, and its own writes.
#[derive(Debug)]
pub struct Txn<'a> {
    base: &'a dyn Base,
    group: &'a Staged,
    own: &'a mut Staged,
}

impl Debug for dyn Base + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Base")
    }
}

impl<'a> Txn<'a> {
    /// A transaction on top of `group`; what it writes is found in `own`.
    pub fn new(base: &'a dyn Base, group: &'a Staged, own: &'a mut Staged) -> Self {
        Self { base, group, own }
    }

    /// The present value of `key`.
    pub fn get(&self, key: &[u8]) -> Outcome<Option<Slice>> {
        if let Some(staged) = self.own.get(key).or_else(|| self.group.get(key)) {
            return Ok(staged.clone());
        }
        self.base.committed(key)
    }

    /// Sets `key`.
    pub fn put(&mut self, key: Slice, value: Slice) {
        self.own.insert(key, Some(value));
    }

    /// Removes `key`; one that is not there changes nothing.
    pub fn delete(&mut self, key: Slice) {
        self.own.insert(key, None);
    }
}

/// A write on its way: work to run in a transaction, and someone who waits for its end.
pub trait Op: Send {
    /// Runs the work. False: it refused, its writes are void.
    fn run(&mut self, txn: &mut Txn<'_>) -> bool;

    /// Tells the waiting side. `committed` is what became of the group. An operation that was
    /// not run is finished with an error: it was not done.
    fn finish(self: Box<Self>, committed: Result<Durability, String>);
}

/// The work of a write and the channel for its answer.
struct Call<F, T> {
    work: Option<F>,
    result: Option<Outcome<T>>,
    reply: oneshot::Sender<Outcome<(T, Durability)>>,
}

impl<F, T> Op for Call<F, T>
where
    F: FnOnce(&mut Txn<'_>) -> Outcome<T> + Send,
    T: Send,
{
    fn run(&mut self, txn: &mut Txn<'_>) -> bool {
        let result = match self.work.take() {
            Some(work) => work(txn),
            None => Err(Fault::closed()),
        };
        let good = result.is_ok();
        self.result = Some(result);
        good
    }

    fn finish(self: Box<Self>, committed: Result<Durability, String>) {
        let answer = match (self.result, committed) {
            (Some(Ok(value)), Ok(durability)) => Ok((value, durability)),
            // What it was refused for may have come to nothing with the group.
            (Some(Err(_)), Err(why)) => Err(Fault::not_tried(why)),
            (Some(Err(fault)), Ok(_)) => Err(fault),
            (Some(Ok(_)), Err(why)) => Err(Fault::because(crate::storage::StoreErrorKind::Unavailable, why)),
            (None, Err(why)) => Err(Fault::not_tried(why)),
            (None, Ok(_)) => Err(Fault::closed()),
        };
        // A caller that has gone away does not want the answer.
        drop(self.reply.send(answer));
    }
}

/// Runs `work` as one transaction of `engine` and waits until it is committed.
///
/// Dropping the future does not take the write back.
pub async fn transact<E, F, T>(engine: &E, work: F) -> Outcome<(T, Durability)>
where
    E: Engine,
    F: FnOnce(&mut Txn<'_>) -> Outcome<T> + Send + 'static,
    T: Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    engine.submit(Box::new(Call { work: Some(work), result: None, reply }))?;
    // The other side drops the call unanswered only when it panicked or went down: the write may have happened.
    answer.await.unwrap_or_else(|_| Err(Fault::closed()))
}
