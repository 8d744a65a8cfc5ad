//! The subcommands that talk to a running server.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Subcommand};

use super::{
    ConfigArgs,
    relational::ImportRelationalArgs,
    token::{dev_key, mint},
};
use crate::client::{
    chat::{self, ChatOptions},
    check::{self, CheckOptions},
    irc::import::{self, ImportOptions},
};

/// Where the server is that a client command talks to.
#[derive(Clone, Debug, Args)]
struct ServerArgs {
    /// Address of the server.
    #[arg(long, value_name = "URL", env = "TERTULIA_SERVER", default_value = "http://127.0.0.1:8080")]
    server: String,
}

/// Flags of `chat`.
#[derive(Debug, Args)]
pub(super) struct ChatArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// User id, at least 1.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    user: i64,
    /// Display name.
    #[arg(long, default_value = "")]
    name: String,
    /// Token to use (default: minted with the development key).
    #[arg(long, env = "TERTULIA_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// What can be imported.
#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Logs of IRC channels, one group a file. Run it again to go on where it stopped.
    Irc(ImportIrcArgs),
    /// Tables room, room_member, room_message of an earlier system in PostgreSQL, into a store that no server runs on.
    /// Run it again to go on where it stopped.
    Relational(ImportRelationalArgs),
}

/// Flags of `import irc`.
#[derive(Debug, Args)]
pub(super) struct ImportIrcArgs {
    /// Directory with `*.raw.txt` and, if there are any, `*.annotation.txt`.
    dir: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Rooms at a time.
    #[arg(long, default_value_t = 10)]
    concurrency: usize,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Flags of `check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    server: ServerArgs,
    /// Token with the admin role (default: minted with the development key).
    #[arg(long, env = "TERTULIA_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Check this room alone. May be given more than once.
    #[arg(long = "room", value_name = "UUID")]
    rooms: Vec<String>,
    /// Compare only the newest messages of each history.
    #[arg(long)]
    sample: bool,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// The user that checks; it needs to be a member of nothing.
const CHECKER: i64 = i64::MAX - 1;

pub(super) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(future)
}

pub(super) fn chat(args: &ChatArgs) -> anyhow::Result<bool> {
    let token = match &args.token {
        Some(token) => token.clone(),
        None => {
            let (key, options) = dev_key(&args.config)?;
            mint(&key, &options, args.user, &args.name, false, Duration::from_secs(86_400))
        }
    };
    let options = ChatOptions { server: args.server.server.clone(), token, user_id: args.user };
    block_on(async { Ok(chat::run(options).await?) })?;
    Ok(true)
}

pub(super) fn import_irc(args: &ImportIrcArgs) -> anyhow::Result<bool> {
    let (key, options) = dev_key(&args.config)?;
    let token_for =
        Arc::new(move |user: i64, name: &str| mint(&key, &options, user, name, true, Duration::from_secs(3_600)));
    let mut import = ImportOptions::new(&args.dir, &args.server.server, token_for);
    (import.json, import.progress, import.concurrency) = (args.json, !args.json, args.concurrency.max(1));
    let report = block_on(async { Ok(import::import(import).await?) })?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(true)
}

pub(super) fn check(args: &CheckArgs) -> anyhow::Result<bool> {
    let token = match &args.token {
        Some(token) => token.clone(),
        None => {
            let (key, options) = dev_key(&args.config)?;
            mint(&key, &options, CHECKER, "checker", true, Duration::from_secs(3_600))
        }
    };
    let mut options = CheckOptions::new(&args.server.server, token);
    options.rooms = (!args.rooms.is_empty()).then(|| args.rooms.clone());
    options.sample_history = args.sample;
    let report = block_on(async { Ok(check::check(options).await?) })?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        println!("{report}");
    }
    Ok(report.ok)
}
