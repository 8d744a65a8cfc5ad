//! Copies of damaged journals from before their unreadable tails are cut: the evidence, and what could still be saved.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::{
    super::fault::{Fault, Outcome},
    journal,
};
use crate::storage::error::StoreErrorKind;

/// Name of the folder in the data directory.
const FOLDER: &str = "rescue";
/// A file in the folder: something was found missing, the copies must stay.
const MARK: &str = "DAMAGED";

/// The copies, or the place where they would be.
#[derive(Debug)]
pub(super) struct Rescue {
    dir: PathBuf,
}

impl Rescue {
    /// The place for copies in the data directory `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.join(FOLDER) }
    }

    /// Copies the journals in `rows`. Copies that are there already are older, and stay.
    pub(super) fn keep(&self, rows: &Path) -> Outcome<()> {
        if self.dir.exists() {
            return Ok(());
        }
        // Under another name until it is whole: a process that ends meanwhile must not leave half a copy.
        let partial = self.dir.with_file_name("rescue.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir(&partial)?;
        for journal in journal::files(rows)? {
            if let Some(name) = journal.file_name() {
                fs::copy(&journal, partial.join(name))?;
            }
        }
        Ok(fs::rename(partial, &self.dir)?)
    }

    /// Something was found missing: the copies, if there are any, stay.
    pub(super) fn mark(&self) -> Outcome<()> {
        if self.dir.exists() {
            fs::write(self.dir.join(MARK), [])?;
        }
        Ok(())
    }

    /// The store is open: copies that show nothing go, others make place for the next.
    pub(super) fn finish(self) -> Outcome<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        if !self.dir.join(MARK).exists() {
            return Ok(fs::remove_dir_all(&self.dir)?);
        }
        let free =
            (1..).map(|number| self.dir.with_file_name(format!("{FOLDER}-{number}"))).find(|path| !path.exists());
        match free {
            Some(path) => Ok(fs::rename(&self.dir, path)?),
            None => Ok(()),
        }
    }

    /// The error of an opening that found `lost`.
    pub(super) fn refuse(&self, lost: &impl fmt::Display) -> Outcome<Fault> {
        let mut why = format!("{lost}; restore a backup, or accept the loss to open the store without what is missing");
        self.mark()?;
        if self.dir.exists() {
            why = format!("{why}; the journals as they were found are in {}", self.dir.display());
        }
        Ok(Fault::because(StoreErrorKind::Corrupt, why))
    }
}
