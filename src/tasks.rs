//! The one way to start a task, so that every task of the process has a kind that says what it is for.

use std::future::Future;

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::JoinHandle,
};

/// What a task is for. Tasks end by themselves when what they serve goes; none holds an acknowledged write back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum TaskKind {
    /// Appends one batch of a room.
    Append,
    /// Writes what follows acknowledged messages and can be found again in the log.
    Trail,
    /// Loads a room, a message, a room list.
    Load,
    /// Asks whether this node may still trust its claims.
    Gate,
    /// Publishes a room's events to the bus.
    Publish,
    /// Writes cursors and gives up the claim of a room that goes to sleep.
    Release,
    /// Adds everyone to a channel.
    JoinAll,
    /// Wakes rooms that were active when their process died.
    Recover,
    /// Ticks for the directories.
    Sweep,
    /// Serves one connection.
    Connection,
    /// Serves one call of a connection that has many.
    Call,
    /// Accepts connections.
    Listener,
    /// Runs the commands of one session.
    Session,
    /// Fills and empties the cache.
    Cache,
    /// Tells other nodes what may be forgotten.
    Ephemera,
    /// Walks many rows for one call, beside the threads that serve.
    Scan,
    /// Refreshes keys.
    Keys,
    /// Brings what is written to a second store.
    Mirror,
    /// Copies or compares a part of a store.
    Migrate,
    /// Works for a client program.
    Client,
}

/// Starts a task.
#[allow(clippy::disallowed_methods)] // the one place that may
pub fn spawn<F>(kind: TaskKind, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tracing::trace!(?kind, "task started");
    tokio::spawn(future)
}

/// Runs what reads or computes for longer than the threads that serve can spare beside them, on a thread that may block.
/// None if it panicked, or the runtime is going down. A runtime of one thread has nothing beside it: there it runs where
/// it is called.
#[allow(clippy::disallowed_methods)] // the one place that may
pub async fn beside<F>(kind: TaskKind, future: F) -> Option<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    tracing::trace!(?kind, "task started");
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Some(future.await);
    }
    tokio::task::spawn_blocking(move || runtime.block_on(future)).await.ok()
}
