//! `tertulia import relational`: an earlier system's tables into a store.

use clap::Args;
use secrecy::SecretString;

use super::{
    ConfigArgs,
    client::block_on,
    migrate::{Shown, address},
};
use crate::{
    clock::{Clock as _, SystemClock},
    relational::{Options, Report},
    server,
};

/// Flags of `import relational`.
#[derive(Debug, Args)]
pub(super) struct ImportRelationalArgs {
    /// Database with the tables: postgres://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME (schema public if none is
    /// given). It is only read.
    #[arg(long, value_name = "URL")]
    from: SecretString,
    /// Store to write, as for migrate. No server may run on it.
    #[arg(long, value_name = "STORE")]
    to: SecretString,
    /// Rooms at a time.
    #[arg(long, default_value_t = 4)]
    parallel: usize,
    /// Most rows read a second; 0 is without limit.
    #[arg(long, value_name = "ROWS", default_value_t = 0)]
    rows_per_s: u64,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

/// Imports. True if it came to the end.
pub(super) fn run(args: &ImportRelationalArgs) -> anyhow::Result<bool> {
    let (from, to) = (address("--from", &args.from)?, address("--to", &args.to)?);
    let config = args.config.load(Vec::new())?;
    let options = Options { parallel: args.parallel.max(1), rows_per_s: args.rows_per_s, now_ms: SystemClock.now_ms() };
    let report = block_on(async {
        let shown = Shown::new("importing", args.json);
        server::import_relational(&config, (&from, &to), options, shown.progress()).await
    })?;
    if args.json {
        println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(true)
}

fn print(report: &Report) {
    let Report { rooms, rooms_unchanged, messages, messages_before, reactions, odd } = report;
    println!("{rooms} rooms gone through, {rooms_unchanged} of them unchanged");
    println!("{messages} messages and {reactions} reactions written, {messages_before} messages were there");
    for one in odd {
        println!("  {one}");
    }
}
