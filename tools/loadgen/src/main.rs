//! `loadgen`: measures a running server over the public API, with the workloads of `docs/performance.md`.
//!
//! One thread does everything: the generator shares the machine with the server, and must be the cheaper of the two.

mod bench;
mod cli;
mod clock;
mod hub;
mod lane;
mod marker;
mod procfs;
mod report;
mod scan;
mod tally;
mod token;
mod wire;
mod workload;
mod world;

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use tokio::{runtime, task::LocalSet};

use crate::{bench::Bench, cli::Args, report::Row, workload::Spec};

fn main() -> ExitCode {
    match start(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("loadgen: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> Result<bool> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    LocalSet::new().block_on(&runtime, run(args))
}

/// Measures all rows; whether all of them are good.
async fn run(args: Args) -> Result<bool> {
    let json = args.json;
    let specs = Spec::all(&args);
    let bench = Bench::new(args).await?;
    if bench.pids.is_empty() {
        eprintln!("the server's process is not known: no processor time, no memory, no W4; give --server-pid");
    }
    let mut rows = Vec::with_capacity(specs.len());
    for spec in &specs {
        let row = measure(&bench, spec).await;
        if json {
            // Row by row, so that what was measured is kept when a later one is interrupted.
            writeln!(io::stdout(), "{}", serde_json::to_string(&row)?)?;
        }
        rows.push(row);
    }
    if !json {
        write!(io::stdout(), "{}", report::table(&rows))?;
    }
    Ok(rows.iter().all(Row::ok))
}

async fn measure(bench: &Bench, spec: &Spec) -> Row {
    let (name, params) = (spec.name(), spec.params(&bench.args));
    let mut outcomes = Vec::new();
    for run in 1..=bench.args.runs {
        eprintln!("{}: run {run} of {}", spec.label(), bench.args.runs);
        match spec.run(bench).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(e) => return Row::failed(name, spec.label(), params, &format!("{e:#}")),
        }
    }
    Row::new(name, spec.label(), params, &outcomes)
}
