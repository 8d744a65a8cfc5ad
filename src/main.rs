//! The `tertulia` program; see [`tertulia::cli`].

use std::process::ExitCode;

/// The system's allocator costs a fifth of the rate of many busy rooms (`docs/performance.md`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tertulia::cli::run()
}
