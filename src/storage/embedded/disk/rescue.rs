//! Copies of the journals from before the library opened them: it cuts off what it cannot read, and with it the evidence
//! and what could still be saved.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::{
    super::fault::{Fault, Outcome},
    witness::Testimony,
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
    /// Copies the journals in `rows`, if there is anything to lose. Copies that are there already are older and stay.
    pub(super) fn keep(dir: &Path, rows: &Path, testimony: Testimony) -> Outcome<Self> {
        let rescue = Self {
            dir: dir.join(FOLDER),
        };
        if testimony == Testimony::Commits(0) || !rows.exists() || rescue.dir.exists() {
            return Ok(rescue);
        }
        // Under another name until it is whole: a process that ends meanwhile must not leave half a copy.
        let partial = dir.join("rescue.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        fs::create_dir(&partial)?;
        for file in fs::read_dir(rows)? {
            let file = file?;
            if file
                .path()
                .extension()
                .is_some_and(|extension| extension == "jnl")
            {
                fs::copy(file.path(), partial.join(file.file_name()))?;
            }
        }
        fs::rename(partial, &rescue.dir)?;
        Ok(rescue)
    }

    /// Something was found missing: the copies stay, whatever happens.
    pub(super) fn mark(&self) -> Outcome<()> {
        fs::create_dir_all(&self.dir)?;
        Ok(fs::write(self.dir.join(MARK), [])?)
    }

    /// The store is open: copies that show nothing go, others make place for the next.
    pub(super) fn finish(self) -> Outcome<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        if !self.dir.join(MARK).exists() {
            return Ok(fs::remove_dir_all(&self.dir)?);
        }
        let free = (1..)
            .map(|number| self.dir.with_file_name(format!("{FOLDER}-{number}")))
            .find(|path| !path.exists());
        match free {
            Some(path) => Ok(fs::rename(&self.dir, path)?),
            None => Ok(()),
        }
    }

    /// The error of an opening that found `lost`.
    pub(super) fn refuse(&self, lost: &impl fmt::Display) -> Outcome<Fault> {
        self.mark()?;
        let why = format!(
            "{lost}; the journals as they were found are in {}; restore a backup, or accept the loss to open the store \
             without what is missing",
            self.dir.display()
        );
        Ok(Fault::because(StoreErrorKind::Corrupt, why))
    }
}
