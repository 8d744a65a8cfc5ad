//! The `tertulia` program; see [`tertulia::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    tertulia::cli::run()
}
