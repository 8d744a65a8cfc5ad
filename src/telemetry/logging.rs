//! Log lines, on stderr.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the libraries say at `info` is of no use to an operator; a directive of the same name overrides these.
const QUIET: &str = "fjall=warn,lsm_tree=warn";

/// Starts logging what passes `filter`: a level, or filter directives. A second call changes nothing.
pub fn start(filter: &str, format: Format) {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}")).unwrap_or_else(|_| EnvFilter::new("info"));
    // A line that cannot be written is lost, and nothing else: on a full disk complaining of it would panic.
    let lines =
        fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).log_internal_errors(false);
    let started = match format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        Format::Json => lines.json().try_init(),
    };
    // Tests start more than one server in a process; the first one's logging serves all.
    drop(started);
}
