//! The project's own chores, so that a machine and a person run the same commands.
//!
//! `cargo xtask` prints what there is. It must not know anything of the server: it only starts other programs.

mod plan;
mod step;
mod tools;

use std::{env, process::ExitCode};

use anyhow::{Result, bail};

const HELP: &str = "\
cargo xtask COMMAND [STEP...]

  test    everything that must pass on a fresh machine; needs Rust, Go and a C toolchain with cmake
  ci      test, then deny: what a change must pass before it is merged
  fast    the inner loop: format, check, unit tests of the library
  soak    what takes long or needs much: three Cassandra nodes (3 GB of memory), one of them away while all goes on;
          clients in other languages (needs Java, Maven, Python and Node)
  deny    licences, advisories, bans and sources of the dependencies; builds cargo-deny on first use
  list    the steps of each command

With STEPs only these steps of the command are run, in the command's order.
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    env::set_current_dir(tools::root()?)?;
    let args: Vec<String> = env::args().skip(1).collect();
    let Some((command, only)) = args.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    match command.as_str() {
        "list" => {
            list();
            Ok(())
        }
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            Ok(())
        }
        name => match plan::named(name) {
            Some(steps) => step::run_all(name, steps, only),
            None => bail!("no command {name:?}; `cargo xtask help` lists them"),
        },
    }
}

fn list() {
    for name in plan::NAMES {
        println!("{name}");
        for step in plan::named(name).into_iter().flatten() {
            println!("  {:<12} {}", step.name, step.what);
        }
    }
}
