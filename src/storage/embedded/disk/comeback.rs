//! Coming back after the disk has refused a write: when there is room again, the store is opened anew, with the recovery of
//! a start. Meanwhile what is there can be read, but for the moment of the opening itself.
//!
//! The library takes no write after one that has failed, rightly: what of it is in the journal nobody knows. The recovery
//! reads that from the disk. What was acknowledged is there; what was refused in that moment may be.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use super::{
    super::fault::{Fault, Outcome},
    commit::Committer,
    journal,
    open::{self, OpenOptions},
};
use crate::storage::error::StoreErrorKind;

/// Pause before the disk is tried, and between two tries: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What a disk must take before the store is opened on it: a few writes, and what the opening itself needs.
const ROOM_BYTES: usize = 1 << 20;

/// Name of the file that the disk is tried with.
const TRIAL: &str = "disk.trial";

impl Committer {
    /// Tries until the store is open again.
    ///
    /// # Errors
    /// `fault`, when the store was closed meanwhile; `Corrupt`, when what was acknowledged is not there any more.
    pub(super) fn come_back(self, fault: Fault) -> Outcome<Self> {
        let Self { tables, present, queue, home, witness, .. } = self;
        // Readers have handles of their own.
        drop((tables, witness));
        // A write that the system could not bring to the disk may look written all the same, and later ones would follow
        // it there: what is read now and what will be found after a power failure differ.
        let mut is_journal_doubtful = !fault.is_for_want_of_room();
        let options = OpenOptions { accept_data_loss: false, ..home.options.clone() };
        let mut pause = PAUSE.0;
        loop {
            if queue.is_closed_within(pause) {
                return Err(fault);
            }
            pause = (pause * 2).min(PAUSE.1);
            if let Err(error) = try_disk(&home.dir) {
                tracing::debug!(%error, "the disk takes no writes yet");
                continue;
            }
            // Nobody reads from here on, until it is open: the library locks its folder.
            drop(present.write().take());
            let opened = renewed(&home.dir, &mut is_journal_doubtful).and_then(|()| open::recover(&home.dir, &options));
            match opened {
                Ok(opened) => {
                    *present.write() = Some(opened.tables.clone());
                    queue.resume();
                    tracing::info!(commits = opened.commits, "the store is open again and takes writes");
                    return Ok(Self::new(opened, present, queue, home));
                }
                Err(fault) if fault.kind() != StoreErrorKind::Unavailable => {
                    tracing::error!(%fault, "the store cannot be opened again");
                    queue.pause(std::iter::empty(), &format!("the store cannot be opened again: {fault}"));
                    return Err(fault);
                }
                Err(fault) => tracing::warn!(%fault, "the store cannot be opened again yet"),
            }
        }
    }
}

/// Writes to the disk what the newest journal reads as, if that is in doubt.
fn renewed(dir: &Path, is_doubtful: &mut bool) -> Outcome<()> {
    if *is_doubtful {
        journal::renew_newest(&open::rows_dir(dir))?;
        *is_doubtful = false;
    }
    Ok(())
}

/// Whether the disk takes writes, and keeps them.
fn try_disk(dir: &Path) -> io::Result<()> {
    let path = dir.join(TRIAL);
    let tried = fs::File::create(&path).and_then(|mut file| {
        file.write_all(&vec![1; ROOM_BYTES])?;
        file.sync_all()
    });
    // What cannot be removed is overwritten by the next trial.
    let _ = fs::remove_file(&path);
    tried
}
