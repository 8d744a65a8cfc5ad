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

use tokio::time::Instant;

use super::{
    super::fault::{Fault, Outcome},
    commit::Committer,
    open::{self, OpenOptions, Tails},
};
use crate::storage::error::StoreErrorKind;

/// Pause before the disk is tried, and between two tries: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Within this time after it came back the store waits longer each time: on a disk that is nearly full it would be opened
/// again and again, and not be read meanwhile.
const SETTLED: Duration = Duration::from_secs(60);
/// The longest pause of such a disk.
const PAUSE_UNSETTLED: Duration = Duration::from_secs(30);

/// What a disk must take before the store is opened on it: a few writes, and what the opening itself needs.
const ROOM_BYTES: usize = 1 << 20;

/// Name of the file that the disk is tried with.
const TRIAL: &str = "disk.trial";

/// When the store came back last, and after which pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct CameBack {
    at: Instant,
    pause: Duration,
}

impl Committer {
    /// Tries until the store is open again.
    ///
    /// # Errors
    /// `fault`, when the store was closed meanwhile; `Corrupt`, when what was acknowledged is not there any more.
    pub(super) fn come_back(self, fault: Fault) -> Outcome<Self> {
        let Self { tables, present, queue, home, witness, came_back, .. } = self;
        // Readers have handles of their own.
        drop((tables, witness));
        let options = OpenOptions { accept_data_loss: false, ..home.options };
        let mut pause = first_pause(came_back);
        loop {
            if queue.is_closed_within(pause) {
                return Err(fault);
            }
            if let Err(error) = try_disk(&home.dir) {
                tracing::debug!(%error, "the disk takes no writes yet");
                pause = longer(pause);
                continue;
            }
            // Nobody reads from here on, until it is open: the library locks its folder. It is let go of without the lock,
            // since it waits for its threads.
            let last = present.write().take();
            drop(last);
            if queue.is_closed_within(PAUSE.0) {
                return Err(fault);
            }
            match open::recover(&home.dir, &options, Tails::Known) {
                Ok(opened) => {
                    *present.write() = Some(opened.tables.clone());
                    queue.resume();
                    tracing::info!(commits = opened.commits, "the store is open again and takes writes");
                    let mut back = Self::new(opened, present, queue, home);
                    back.came_back = Some(CameBack { at: Instant::now(), pause });
                    return Ok(back);
                }
                Err(fault) if fault.kind() != StoreErrorKind::Unavailable => {
                    tracing::error!(%fault, "the store cannot be opened again");
                    queue.pause(std::iter::empty(), &format!("the store cannot be opened again: {fault}"));
                    return Err(fault);
                }
                Err(fault) => tracing::warn!(%fault, "the store cannot be opened again yet"),
            }
            pause = longer(pause);
        }
    }
}

fn first_pause(came_back: Option<CameBack>) -> Duration {
    let lately = came_back.filter(|last| last.at.elapsed() < SETTLED);
    lately.map_or(PAUSE.0, |last| (last.pause * 2).min(PAUSE_UNSETTLED))
}

fn longer(pause: Duration) -> Duration {
    if pause < PAUSE.1 { (pause * 2).min(PAUSE.1) } else { pause }
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
