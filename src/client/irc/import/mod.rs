//! Replays logs on a server over its public API.
//!
//! Rooms run side by side; within a room one call follows the other. An import needs no state of its own: message ids
//! derive from the lines, the room is found by its name among the importer's, and how far it has come is read from the
//! room's log (`resume`). So it can be started again after any death of either side and doubles nothing.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use tertulia_proto::chat::v1::SendMessageResponse;
use tokio::time::Instant;
use tonic::Status;

use super::{
    Counts, DirError,
    plan::{OWNER_ID, Plan},
    read_dir,
};
use crate::client::{
    throttle::{Throttle, throttled},
    wire::{AddressError, RetryPolicy, connect},
};

mod engine;
mod grpc;
mod resume;
#[cfg(test)]
mod tests;

/// Makes a token for a user id and name. It needs the admin role: original times, system messages and the log are
/// for admins.
pub type TokenFor = Arc<dyn Fn(i64, &str) -> String + Send + Sync>;

/// Told of every send that the server has acknowledged, before the next call in its room. Must not block.
pub type OnAck = Arc<dyn Fn(&SendMessageResponse) + Send + Sync>;

/// What to import, and where.
#[derive(Clone)]
pub struct ImportOptions {
    /// Directory with `*.raw.txt` and `*.annotation.txt`.
    pub dir: PathBuf,
    /// `http://host:port`.
    pub server: String,
    /// Tokens, minted when first needed and again when they have expired.
    pub token_for: TokenFor,
    /// Hears of every acknowledged send, repeated ones too; none for nobody.
    pub on_ack: Option<OnAck>,
    /// The report goes out as JSON: no progress bar.
    pub json: bool,
    /// Show a progress bar on stderr, if that is a terminal.
    pub progress: bool,
    /// Rooms under way at the same time, at least 1.
    pub concurrency: usize,
    /// How long to try each call again.
    pub retry: RetryPolicy,
    /// Deadline of one try of one call.
    pub deadline: Duration,
}

impl ImportOptions {
    /// With ten rooms at a time, a progress bar, a minute of retries and ten seconds a call.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, server: impl Into<String>, token_for: TokenFor) -> Self {
        Self {
            dir: dir.into(),
            server: server.into(),
            token_for,
            on_ack: None,
            json: false,
            progress: true,
            concurrency: 10,
            retry: RetryPolicy::default(),
            deadline: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for ImportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("ImportOptions");
        all.field("dir", &self.dir).field("server", &self.server).field("concurrency", &self.concurrency);
        all.field("retry", &self.retry).field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

/// An import stopped; starting it again goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The logs cannot be read.
    #[error(transparent)]
    Logs(#[from] DirError),
    /// The server's address is none.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The server refused a call, or could not be reached for too long.
    #[error("room {room}, {at}: {}", .status.message())]
    Call {
        /// Name of the room.
        room: String,
        /// Which call: `line 17`, `find`, `create`, `log`.
        at: String,
        /// The answer.
        #[source]
        status: Box<Status>,
    },
}

/// What an import did.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct ImportReport {
    /// Rooms, by name, with their ids.
    pub rooms: BTreeMap<String, String>,
    /// Users that the logs name.
    pub users: usize,
    /// Lines read; each is a step or skipped.
    pub lines: usize,
    /// Lines by kind.
    pub kinds: Counts,
    /// Lines that needed no call, by reason.
    pub skipped: BTreeMap<&'static str, usize>,
    /// Messages sent by this run.
    pub messages_sent: usize,
    /// Messages of this run that the server had already: a retry of a send that had happened.
    pub duplicates: usize,
    /// Joins, leaves and renames done by this run, implied ones included.
    pub member_changes: usize,
    /// Steps that an earlier run had done.
    pub done_before: usize,
    /// Calls tried again.
    pub retries: usize,
    /// Those among them that the server's rate limit put off.
    pub throttled: u64,
    /// Seconds from the first call to the last answer.
    pub seconds: f64,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.kinds;
        writeln!(f, "{} lines in {} rooms by {} users", self.lines, self.rooms.len(), self.users)?;
        writeln!(
            f,
            "  {} messages, {} actions, {} joins, {} leaves, {} quits, {} renames, {} topics, {} notices",
            kinds.messages,
            kinds.actions,
            kinds.joins,
            kinds.leaves,
            kinds.quits,
            kinds.renames,
            kinds.topics,
            kinds.notices
        )?;
        for (reason, count) in &self.skipped {
            writeln!(f, "  {count} lines needed no call: {reason}")?;
        }
        writeln!(
            f,
            "{} messages sent ({} were there already), {} member changes, {} steps done before, {} retries, {:.1} s",
            self.messages_sent, self.duplicates, self.member_changes, self.done_before, self.retries, self.seconds
        )?;
        throttled(f, self.throttled)
    }
}

/// Imports all logs of a directory.
///
/// # Errors
/// When the logs cannot be read, the server refuses a call, or does not answer within the retry budget.
pub async fn import(options: ImportOptions) -> Result<ImportReport, ImportError> {
    let plan = Plan::of(&read_dir(&options.dir)?);
    let channel = connect(&options.server)?;
    let names = plan.users.iter().map(|user| (user.id, user.name.clone())).collect();
    let port = grpc::GrpcPort::new(channel, Arc::clone(&options.token_for), names, options.deadline)
        .telling(options.on_ack.clone());
    let steps: usize = plan.rooms.iter().map(|room| room.steps.len()).sum();
    let bar = progress_bar(options.progress && !options.json, steps);
    let report = replay(&port, &plan, &options, &bar).await;
    bar.finish_and_clear();
    report
}

async fn replay<P: engine::Port>(
    port: &P,
    plan: &Plan,
    options: &ImportOptions,
    bar: &ProgressBar,
) -> Result<ImportReport, ImportError> {
    let began = Instant::now();
    // Collected first: a stream that maps over references makes a future that cannot be spawned.
    let throttle = Throttle::default();
    let run = |room| engine::run(port, room, options.retry, bar, &throttle);
    let rooms: Vec<_> = plan.rooms.iter().map(run).collect();
    let runs: Vec<engine::RoomRun> =
        futures_util::stream::iter(rooms).buffer_unordered(options.concurrency.max(1)).try_collect().await?;
    let mut report = planned(plan);
    report.throttled = throttle.calls();
    report.seconds = began.elapsed().as_secs_f64();
    for run in runs {
        report.messages_sent += run.messages_sent;
        report.duplicates += run.duplicates;
        report.member_changes += run.member_changes;
        report.done_before += run.done_before;
        report.retries += run.retries;
        report.rooms.insert(run.name, run.room_id);
    }
    Ok(report)
}

/// The part of the report that no call changes.
fn planned(plan: &Plan) -> ImportReport {
    let mut report = ImportReport { users: plan.users.len(), ..ImportReport::default() };
    for room in &plan.rooms {
        report.kinds += room.counts;
        for skipped in &room.skipped {
            *report.skipped.entry(skipped.reason.label()).or_default() += 1;
        }
    }
    report.lines = report.kinds.total();
    report
}

fn progress_bar(visible: bool, steps: usize) -> ProgressBar {
    if !visible {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} steps, {per_sec}, {eta} left {msg}");
    let bar = ProgressBar::new(steps as u64);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
