//! The command line: what each subcommand takes, and where it goes from there.

mod client;
mod migrate;
mod relational;
mod serve;
mod token;

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};

use crate::config::{Config, ConfigFile, Sources};

/// An actor-based, stateful chat server that other products embed.
#[derive(Debug, Parser)]
#[command(name = "tertulia", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (the default).
    Serve(serve::ServeArgs),
    /// Mint a token with the server's generated development key, or verify one.
    Token(token::TokenArgs),
    /// Chat in the terminal.
    Chat(client::ChatArgs),
    /// Import conversations from elsewhere.
    #[command(subcommand)]
    Import(client::ImportCommand),
    /// Check a running server's history: nothing lost, nothing doubled, one order.
    Check(client::CheckArgs),
    /// Move everything from one store to another. Run it again to go on where it stopped.
    Migrate(migrate::MigrateArgs),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the effective configuration, secrets redacted.
    Print(ConfigArgs),
    /// Say whether the configuration is valid.
    Check(ConfigArgs),
}

/// Where the configuration comes from: defaults < file < environment < flags.
#[derive(Clone, Debug, Args)]
struct ConfigArgs {
    /// Configuration file (default: ./tertulia.toml if it is there).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the store and the generated keys.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Set any key, such as `limits.user_per_s=0`. May be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ConfigArgs {
    /// These, and those that were given later, which win.
    fn and(&self, later: Self) -> Self {
        Self {
            config: later.config.or_else(|| self.config.clone()),
            data_dir: later.data_dir.or_else(|| self.data_dir.clone()),
            set: self.set.iter().cloned().chain(later.set).collect(),
        }
    }

    fn is_empty(&self) -> bool {
        self.config.is_none() && self.data_dir.is_none() && self.set.is_empty()
    }

    fn load(&self, more: Vec<(String, String)>) -> anyhow::Result<Config> {
        let mut flags = Vec::new();
        for one in &self.set {
            let (key, value) = one.split_once('=').with_context(|| format!("--set {one}: expected KEY=VALUE"))?;
            flags.push((key.to_owned(), value.to_owned()));
        }
        flags.extend(self.data_dir.iter().map(|dir| ("server.data_dir".to_owned(), dir.clone())));
        flags.extend(more);
        let file = self.config.clone().map_or(ConfigFile::Default, ConfigFile::Required);
        let env: BTreeMap<String, String> = std::env::vars().collect();
        Ok(Config::load(&Sources { file, env, flags })?)
    }
}

/// Runs the program. The exit code is 0 only if what was asked for is true.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    if cli.command.as_ref().is_some_and(|command| !matches!(command, Command::Serve(_))) && !cli.serve.is_empty() {
        let error = "flags before a subcommand are those of `serve`; put them behind it";
        Cli::command().error(ErrorKind::ArgumentConflict, error).exit();
    }
    let done = match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&cli.serve.and(args)),
        Some(Command::Token(args)) => token::run(&args),
        Some(Command::Chat(args)) => client::chat(&args),
        Some(Command::Import(client::ImportCommand::Irc(args))) => client::import_irc(&args),
        Some(Command::Import(client::ImportCommand::Relational(args))) => relational::run(&args),
        Some(Command::Check(args)) => client::check(&args),
        Some(Command::Migrate(args)) => migrate::run(&args),
        Some(Command::Config(command)) => config(&command),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn config(command: &ConfigCommand) -> anyhow::Result<bool> {
    match command {
        ConfigCommand::Print(args) => print!("{}", args.load(Vec::new())?.render()),
        ConfigCommand::Check(args) => {
            for warning in args.load(Vec::new())?.warnings() {
                eprintln!("warning: {warning}");
            }
            println!("ok");
        }
    }
    Ok(true)
}
