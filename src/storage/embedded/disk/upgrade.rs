//! Brings the rows of an older program to their present form, before anybody reads them.
//!
//! All rows are copied into a new engine, which then takes the place of the old one: what was in the old rows stays in no
//! file, neither in tables nor in journals, which the library keeps for as long as it likes. Needs as much room again as
//! the rows take. An interrupted upgrade begins anew, or ends with the next start if the copy was complete.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use fjall::PersistMode;

use super::{
    super::{fault::Outcome, keys::Table, rows},
    OpenOptions, Tables,
    open::tables_in,
};
use crate::{domain::ids::Seq, storage::types::Direction};

/// Rows of one write.
const ROWS: usize = 10_000;
/// No key is so great.
const END: &[u8] = &[0xff];
/// Rows that had a hash of the text beside the sealed text, by which whoever read them could try texts.
const LOG: u8 = Table::Log as u8;
const REFERENCES: [u8; 3] = [Table::Message as u8, Table::ClientMessage as u8, Table::External as u8];

/// Where the copy is made.
fn copy_of(dir: &Path) -> PathBuf {
    dir.with_extension("new")
}

/// Where the old rows go before the copy takes their place.
fn former(dir: &Path) -> PathBuf {
    dir.with_extension("old")
}

/// Ends what an earlier process did not come to. To be called before anything else looks at the directory of the rows.
pub(super) fn finish(dir: &Path) -> Outcome<()> {
    if !former(dir).try_exists()? {
        return Ok(());
    }
    if !dir.try_exists()? {
        fs::rename(copy_of(dir), dir)?;
        sync_parent(dir)?;
    }
    Ok(fs::remove_dir_all(former(dir))?)
}

/// Copies the rows in `dir`, and puts the copy in their place.
pub(super) fn run(dir: &Path, old: Tables, options: &OpenOptions) -> Outcome<()> {
    tracing::info!("the rows of an older program are written anew, without hashes of texts; this may take a while");
    let copy = copy_of(dir);
    if copy.try_exists()? {
        fs::remove_dir_all(&copy)?;
    }
    let new = tables_in(&copy, options)?;
    let written = copy_rows(&old, &new)?;
    new.db.persist(PersistMode::SyncAll)?;
    drop((old, new));
    fs::rename(dir, former(dir))?;
    fs::rename(&copy, dir)?;
    sync_parent(dir)?;
    tracing::info!(rows = written, "the rows are written anew");
    finish(dir)
}

fn copy_rows(old: &Tables, new: &Tables) -> Outcome<usize> {
    let (mut batch, mut in_batch, mut written) = (new.db.batch(), 0, 0);
    old.scan(&[], END, Direction::Forward, &mut |key, row| {
        match key.first() {
            // Its place is in its key.
            Some(&LOG) => {
                let record = rows::decode_record(Seq(0), row)?;
                batch.insert(&new.rows, key, rows::encode_record(&record, record.epoch));
            }
            Some(table) if REFERENCES.contains(table) => {
                batch.insert(&new.rows, key, rows::encode_message_ref(&rows::decode_message_ref(row)?));
            }
            _ => batch.insert(&new.rows, key, row),
        }
        in_batch += 1;
        written += 1;
        if in_batch == ROWS {
            std::mem::replace(&mut batch, new.db.batch()).commit()?;
            in_batch = 0;
        }
        Ok(true)
    })?;
    batch.commit()?;
    Ok(written)
}

/// Makes names in the directory above last.
pub(super) fn sync_parent(dir: &Path) -> Outcome<()> {
    let parent = dir.parent().map(File::open).transpose()?;
    Ok(parent.map_or(Ok(()), |parent| parent.sync_all())?)
}
