//! Tests of the reader, the generator and the plan over made-up lines, generated logs and, where they are at hand, the
//! real ones.

use std::path::{Path, PathBuf};

use super::{Hour, generate::Log, parse, read_dir};

mod generated;
mod plan;
mod reader;

/// The real logs, which are not part of the project.
fn real_dir() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/irc");
    dir.is_dir().then_some(dir)
}

/// Ten hours: the real ones if they are at hand, else made-up ones.
fn ten_hours() -> Vec<Hour> {
    match real_dir() {
        Some(dir) => read_dir(&dir).unwrap(),
        None => (0..10).map(|hour| made_up(1, hour, 1250)).collect(),
    }
}

fn made_up(seed: u64, hour: usize, lines: usize) -> Hour {
    let log = Log::make(seed, hour, lines);
    parse(&log.name, &log.raw, log.annotation.as_bytes()).unwrap()
}

fn hour_of(raw: &str) -> Hour {
    parse("2004-11-15_03", raw.as_bytes(), b"").unwrap()
}
