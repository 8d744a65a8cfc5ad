//! `tertulia migrate`: one store's content to another one, compared if asked for.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::{ConfigArgs, client::block_on};
use crate::{
    config::Config,
    server,
    storage::{
        Store,
        layer::encrypted::Encrypted,
        migrate::{self, Copied, Options, Progress, Verdict},
        url::StoreUrl,
    },
    tasks::{self, TaskKind},
};

/// Flags of `migrate`.
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// Store to read: embedded:DIR, postgres://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME or
    /// scylla://USER:PASSWORD@HOST:PORT/KEYSPACE. DIR is a server's data directory.
    ///
    /// It is opened as the configuration says for its kind. Behind a `?` an address sets for itself what differs, under the
    /// names of the configuration, with `&` between: embedded fsync, fsync_interval_ms, cache_mb; postgres pool_size,
    /// append_lanes, connect_timeout_ms, statement_timeout_ms; scylla datacenter, consistency, replication_factor,
    /// request_timeout_ms.
    #[arg(long, value_name = "STORE")]
    from: SecretString,
    /// Store to write: empty, or what an earlier run left.
    #[arg(long, value_name = "STORE")]
    to: SecretString,
    /// Compare every row afterwards.
    #[arg(long)]
    verify: bool,
    /// Compare every row and copy nothing.
    #[arg(long, conflicts_with = "verify")]
    verify_only: bool,
    /// Seal everything anew with the current key of the configuration, as after a rotation. Otherwise bodies are copied
    /// as they are sealed, and no key is needed.
    #[arg(long)]
    reseal: bool,
    /// Seal with the current key of this configuration file instead.
    #[arg(long, value_name = "FILE", requires = "reseal")]
    to_config: Option<PathBuf>,
    /// Rooms at a time.
    #[arg(long, default_value_t = 4)]
    parallel: usize,
    /// Most rows read from the source a second; 0 is without limit.
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    rows_per_s: u64,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// What a run did.
#[derive(Debug, Default, serde::Serialize)]
struct Report {
    ok: bool,
    copied: Option<CopyReport>,
    verified: Option<Verdict>,
}

#[derive(Debug, serde::Serialize)]
struct CopyReport {
    #[serde(flatten)]
    copied: Copied,
    users: u64,
    events: u64,
    messages: u64,
    rows: u64,
    seconds: f64,
}

/// Copies, compares, or both. True if everything came over, as far as it was asked.
pub(super) fn run(args: &MigrateArgs) -> anyhow::Result<bool> {
    let (from, to) = (address("--from", &args.from)?, address("--to", &args.to)?);
    if from.at == to.at {
        bail!("--from and --to are the same store");
    }
    let report = block_on(migrate(args, &from, &to))?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(report.ok)
}

/// The address of a flag. The parser of flags would show it, with its password, if it were none.
pub(super) fn address(flag: &'static str, text: &SecretString) -> anyhow::Result<StoreUrl> {
    text.expose_secret().parse().context(flag)
}

async fn migrate(args: &MigrateArgs, from: &StoreUrl, to: &StoreUrl) -> anyhow::Result<Report> {
    let config = args.config.load(Vec::new())?;
    let opened = server::open_at(&config, from, true).await;
    let from = opened.with_context(|| format!("--from {from}"))?;
    let opened = server::open_at(&config, to, args.verify_only).await;
    let to = opened.with_context(|| format!("--to {to}"))?;
    let (sealed_from, sealed_to) = layered(args, &config, Arc::clone(&from), Arc::clone(&to)).await?;
    let report = work(args, sealed_from, sealed_to).await;
    // What was acknowledged is durable in any case; the first error is the one to tell.
    let closed = (from.close().await, to.close().await);
    let report = report?;
    closed.0.and(closed.1).context("close the stores")?;
    Ok(report)
}

async fn work(args: &MigrateArgs, from: Arc<dyn Store>, to: Arc<dyn Store>) -> anyhow::Result<Report> {
    let options = Options { parallel: args.parallel, rows_per_s: args.rows_per_s, ..Options::default() };
    let mut report = Report { ok: true, ..Report::default() };
    if !args.verify_only {
        let (began, shown) = (Instant::now(), Shown::new("copying", args.json));
        let copied = migrate::copy(Arc::clone(&from), Arc::clone(&to), options, Arc::clone(&shown.progress)).await?;
        let (progress, seconds) = (&shown.progress, began.elapsed().as_secs_f64());
        let (users, rows) = (progress.users_done(), progress.rows());
        let (events, messages) = (progress.events(), progress.messages());
        report.copied = Some(CopyReport { copied, users, events, messages, rows, seconds });
        report.ok = copied.out_of_order == 0;
    }
    if args.verify || args.verify_only {
        let shown = Shown::new("comparing", args.json);
        let verdict = migrate::verify(from, to, options, Arc::clone(&shown.progress)).await?;
        report.ok = verdict.equal;
        report.verified = Some(verdict);
    }
    Ok(report)
}

/// The stores with encryption around them, if bodies are to be sealed anew.
async fn layered(
    args: &MigrateArgs,
    config: &Config,
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
) -> anyhow::Result<(Arc<dyn Store>, Arc<dyn Store>)> {
    if !args.reseal {
        return Ok((from, to));
    }
    let reads = server::sealer(config).await.context("keys to read with")?;
    let writes = match &args.to_config {
        None => Arc::clone(&reads),
        Some(file) => {
            let config = ConfigArgs { config: Some(file.clone()), ..args.config.clone() };
            server::sealer(&config.load(Vec::new())?).await.context("keys to write with")?
        }
    };
    Ok((Arc::new(Encrypted::new(from, reads)), Arc::new(Encrypted::new(to, writes))))
}

/// A progress bar on stderr, if that is a terminal, for as long as this lives.
pub(super) struct Shown {
    progress: Arc<Progress>,
    bar: ProgressBar,
    ticking: tokio::task::JoinHandle<()>,
}

impl Shown {
    pub(super) fn new(what: &'static str, hidden: bool) -> Self {
        let progress = Arc::new(Progress::default());
        let bar = if hidden { ProgressBar::hidden() } else { ProgressBar::new(0) };
        let template = "{prefix} {bar:40} {pos}/{len} rooms, {msg}, {elapsed}";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style);
        bar.set_prefix(what);
        let (watched, watching) = (Arc::clone(&progress), bar.clone());
        let ticking = tasks::spawn(TaskKind::Client, async move {
            loop {
                watching.set_length(watched.rooms_total());
                watching.set_position(watched.rooms_done());
                watching.set_message(format!("{} events, {} users", watched.events(), watched.users_done()));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        Self { progress, bar, ticking }
    }
}

impl Shown {
    /// What is shown.
    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.ticking.abort();
        self.bar.finish_and_clear();
    }
}

fn print(report: &Report) {
    if let Some(CopyReport { copied, users, events, messages, rows, seconds }) = &report.copied {
        println!(
            "{} rooms and {users} users gone through, {events} events written, {messages} of them messages, {rows} rows read, {seconds:.1} s",
            copied.rooms
        );
        if copied.out_of_order > 0 {
            println!("{} rooms share client ids in no order that the source tells: compare them", copied.out_of_order);
        }
    }
    let Some(verdict) = &report.verified else {
        return;
    };
    if verdict.equal {
        let Verdict { rooms, events, messages, users, .. } = verdict;
        println!("no difference: {rooms} rooms, {events} events, {messages} of them messages, {users} users");
        return;
    }
    println!("{} differences", verdict.differences_total);
    for difference in verdict.differences.iter().take(20) {
        println!("  {difference}");
    }
}
