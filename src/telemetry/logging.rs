//! Log lines, on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogConfig, LogFormat};

/// What the libraries say at `info` is of no use to an operator; a directive of the same name overrides these.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// Starts logging. `RUST_LOG`, given as `filter`, overrides the configured level. A second call changes nothing.
pub fn start(config: &LogConfig, filter: Option<&str>) {
    let level = filter.unwrap_or(&config.level);
    let filter = EnvFilter::try_new(format!("{QUIET},{level}")).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let started = match config.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    // Tests start more than one server in a process; the first one's logging serves all.
    drop(started);
}
