//! Where a journal of the library stops being readable, found before the library opens it.
//!
//! The library cuts most damages off silently, refuses to open at all on others (a whole batch whose checksum is wrong,
//! also when that is the torn tail of a power failure, which nobody was promised), and believes damaged lengths. So the
//! journals are read here first, and what is not readable is kept aside ([`super::rescue`]) and cut. Whether anything
//! acknowledged went with it is then seen by the commits ([`super::check`]).
//!
//! This knows the library's journal form; tests open whole and damaged journals and fail if the form changes.

use std::{
    fs,
    hash::Hasher,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::Xxh3;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: [u8; 4] = *b"FJL\x03";
/// Value type, compression, keyspace, key length, value length, stored value length.
const ITEM_HEAD_LEN: usize = 1 + 1 + 8 + 2 + 4 + 4;

/// A journal that is not readable to its end.
#[derive(Debug)]
pub(super) struct Damaged {
    path: PathBuf,
    readable: u64,
}

impl Damaged {
    /// Cuts what is not readable.
    pub(super) fn cut(&self) -> io::Result<()> {
        let file = fs::OpenOptions::new().write(true).open(&self.path)?;
        file.set_len(self.readable)?;
        file.sync_all()
    }
}

/// The journals in `rows`; none if the folder is not there yet.
pub(super) fn files(rows: &Path) -> io::Result<Vec<PathBuf>> {
    let mut journals = Vec::new();
    if rows.exists() {
        for file in fs::read_dir(rows)? {
            journals.push(file?.path());
        }
    }
    journals.retain(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    Ok(journals)
}

/// Has the disk keep what the newest journal in `rows` reads as. After a failed sync, in this process or in one that was
/// killed, the system may show what is not there and never write it: later batches would follow a hole. So the same bytes
/// are written once more, in their place, which takes no room.
pub(super) fn renew_newest(rows: &Path) -> io::Result<()> {
    let number = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
    let Some(path) = files(rows)?.into_iter().max_by_key(number) else { return Ok(()) };
    let journal = fs::read(&path)?;
    let mut file = fs::OpenOptions::new().write(true).open(&path)?;
    file.write_all(&journal[..readable_len(&journal)])?;
    file.sync_all()
}

/// Journals in `rows` with anything but zeros behind their last whole batch. Reads them into memory, one at a time.
pub(super) fn damaged(rows: &Path) -> io::Result<Vec<Damaged>> {
    let mut damaged = Vec::new();
    for path in files(rows)? {
        let bytes = fs::read(&path)?;
        let end = readable_len(&bytes);
        if bytes[end..].iter().any(|byte| *byte != 0) {
            damaged.push(Damaged { path, readable: u64::try_from(end).unwrap_or(u64::MAX) });
        }
    }
    Ok(damaged)
}

/// Length of the leading whole batches of a journal.
fn readable_len(journal: &[u8]) -> usize {
    let mut end = 0;
    while let Some(len) = batch_len(&journal[end..]) {
        end += len;
    }
    end
}

/// Length of the batch at the beginning, if it is whole.
fn batch_len(journal: &[u8]) -> Option<usize> {
    let mut rest = journal;
    if take(&mut rest, 1)? != [START] {
        return None;
    }
    let items = u32::from_le_bytes(take(&mut rest, 4)?.try_into().ok()?);
    take(&mut rest, 8)?;
    let mut checksum = Xxh3::default();
    for _ in 0..items {
        let len = item_len(rest)?;
        checksum.update(take(&mut rest, len)?);
    }
    if take(&mut rest, 1)? != [END] {
        return None;
    }
    let expected = u64::from_le_bytes(take(&mut rest, 8)?.try_into().ok()?);
    let is_whole = take(&mut rest, TRAILER.len())? == TRAILER && checksum.finish() == expected;
    is_whole.then(|| journal.len() - rest.len())
}

/// Length of the item at the beginning, by its own account.
fn item_len(journal: &[u8]) -> Option<usize> {
    match *journal.first()? {
        CLEAR => Some(1 + 8),
        ITEM => {
            let head = journal.get(1..=ITEM_HEAD_LEN)?;
            let key = u16::from_le_bytes(head[10..12].try_into().ok()?);
            let value = u32::from_le_bytes(head[16..20].try_into().ok()?);
            Some(1 + ITEM_HEAD_LEN + usize::from(key) + usize::try_from(value).ok()?)
        }
        _ => None,
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(len)?;
    *rest = tail;
    Some(head)
}
