//! The engine on disk against the end of its process, damage on its disk, and the engine in memory.

use std::path::{Path, PathBuf};

use super::*;
use crate::{
    domain::ids::{RoomId, Seq},
    storage::{
        Direction, Durability, LogStore, Record, Store, StoreError,
        conformance::{filled, head, message, room},
        embedded::EmbeddedStore,
    },
};

mod comeback;
mod crash;
mod damage;
mod engine;
mod equal;
mod upgrade;

fn open(dir: &Path) -> Result<EmbeddedStore<DiskEngine>, StoreError> {
    EmbeddedStore::open(dir, &OpenOptions::default())
}

fn open_accepting(dir: &Path) -> EmbeddedStore<DiskEngine> {
    let options = OpenOptions { accept_data_loss: true, ..OpenOptions::default() };
    EmbeddedStore::open(dir, &options).expect("opens in spite of a loss")
}

/// Kind and cause of the error that opening must end with.
#[track_caller]
fn refusal(dir: &Path) -> (StoreErrorKind, String) {
    let error = open(dir).map(drop).expect_err("must not open");
    let why = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    (error.kind(), why)
}

async fn log(store: &dyn Store, room: RoomId) -> Vec<Record> {
    store.read_log(room, Seq(0), Direction::Forward, usize::MAX).await.unwrap()
}

/// The only journal of a small store.
fn journal_file(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("rows")).unwrap().map(|file| file.unwrap().path());
    let mut journals: Vec<_> = files.filter(|path| path.extension().is_some_and(|ext| ext == "jnl")).collect();
    assert_eq!(journals.len(), 1, "{journals:?}");
    journals.remove(0)
}
