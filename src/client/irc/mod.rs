//! IRC logs as conversations: read them, make some up, plan the API calls that replay them, and replay them.
//!
//! [`read_dir`] opens the files; `reader` and `plan` are pure; `generate` writes files of the same shapes where no real
//! logs are at hand.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

mod clock;
pub mod decode;
pub mod generate;
pub mod import;
pub mod links;
pub mod nick;
pub mod plan;
pub mod reader;
#[cfg(test)]
mod tests;

pub use reader::{Counts, Hour, Kind, Line, ReadError, parse};

/// What the name of a log file ends with; its stem is the name of the hour.
const RAW_SUFFIX: &str = ".raw.txt";
/// What the name of the annotation beside it ends with.
const ANNOTATION_SUFFIX: &str = ".annotation.txt";

/// A directory of logs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// A file or the directory itself cannot be opened.
    #[error("cannot read {path}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be read as a log.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is nothing to read.
    #[error("no *.raw.txt file in {0}")]
    Empty(PathBuf),
}

/// Reads every `*.raw.txt` of a directory and the `*.annotation.txt` beside it, if there is one; by name.
///
/// # Errors
/// When a file cannot be opened, has no date in its name, or there is none.
pub fn read_dir(dir: &Path) -> Result<Vec<Hour>, DirError> {
    let mut stems = Vec::new();
    for entry in fs::read_dir(dir).map_err(io_at(dir))? {
        let name = entry.map_err(io_at(dir))?.file_name();
        stems.extend(name.to_str().and_then(|name| name.strip_suffix(RAW_SUFFIX)).map(str::to_owned));
    }
    stems.sort_unstable();
    if stems.is_empty() {
        return Err(DirError::Empty(dir.to_owned()));
    }
    stems.iter().map(|stem| read_hour(dir, stem)).collect()
}

fn read_hour(dir: &Path, stem: &str) -> Result<Hour, DirError> {
    let path = dir.join(format!("{stem}{RAW_SUFFIX}"));
    let raw = fs::read(&path).map_err(io_at(&path))?;
    let path = dir.join(format!("{stem}{ANNOTATION_SUFFIX}"));
    let annotation = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        other => other.map_err(io_at(&path))?,
    };
    Ok(parse(stem, &raw, &annotation)?)
}

fn io_at(path: &Path) -> impl Fn(io::Error) -> DirError {
    move |source| DirError::Io { path: path.to_owned(), source }
}
