//! The witness: a small file beside the rows that says how many commits were durable. The library cuts a damaged journal
//! silently; the witness notices.
//!
//! It is written after each durable commit and before its acknowledgement, without a sync: it survives the end of the
//! process, and after a power failure it may say too little (which is harmless), never too much. Two places are written
//! in turn, so that one torn write leaves the other.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::super::fault::{Fault, Outcome};

/// Name of the file in the data directory.
pub const FILE_NAME: &str = "commits.witness";

const MAGIC: [u8; 8] = *b"TERTWIT1";
const PLACE_LEN: usize = 24;
/// Distance of the two places, so that they lie in different sectors.
const PLACE_STEP: u64 = 512;
/// Commits between two syncs of the file itself.
const SYNC_EVERY: u64 = 4_096;

/// The open witness file.
#[derive(Debug)]
pub struct Witness {
    file: File,
}

/// What a witness file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Testimony {
    /// There is no file.
    Absent,
    /// There is one, and neither place is whole.
    Unreadable,
    /// So many commits were durable.
    Commits(u64),
}

fn place(commits: u64) -> [u8; PLACE_LEN] {
    let mut bytes = [0; PLACE_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&commits.to_be_bytes());
    let digest = Sha256::digest(&bytes[..16]);
    bytes[16..].copy_from_slice(&digest[..8]);
    bytes
}

fn read_place(bytes: &[u8]) -> Option<u64> {
    let commits = u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?);
    (bytes.get(..PLACE_LEN)? == place(commits)).then_some(commits)
}

impl Witness {
    /// Reads the witness of the data directory `dir`.
    pub fn read(dir: &Path) -> Outcome<Testimony> {
        let mut bytes = Vec::new();
        match File::open(dir.join(FILE_NAME)) {
            Ok(file) => file.take(4 * PLACE_STEP).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Testimony::Absent);
            }
            Err(error) => return Err(error.into()),
        };
        let second = bytes.get(usize::try_from(PLACE_STEP).unwrap_or(usize::MAX)..).unwrap_or_default();
        let commits = read_place(&bytes).max(read_place(second));
        Ok(commits.map_or(Testimony::Unreadable, Testimony::Commits))
    }

    /// Opens the witness of `dir` for writing, creating it if need be, and makes it say `commits` durably.
    pub fn open(dir: &Path, commits: u64) -> Outcome<Self> {
        let path = dir.join(FILE_NAME);
        let is_new = !path.try_exists()?;
        // A new one has its name when it is whole: a process that ends meanwhile must not leave an unreadable one.
        let written = if is_new { path.with_extension("new") } else { path.clone() };
        let file = OpenOptions::new().create(true).truncate(is_new).write(true).open(&written)?;
        let mut witness = Self { file };
        witness.write_at(0, commits)?;
        witness.write_at(PLACE_STEP, commits)?;
        witness.file.sync_all()?;
        if is_new {
            fs::rename(written, path)?;
        }
        File::open(dir)?.sync_all()?;
        Ok(witness)
    }

    /// Says `commits`; buffered, and synced now and then.
    pub fn say(&mut self, commits: u64) -> Outcome<()> {
        self.write_at((commits % 2) * PLACE_STEP, commits)?;
        if commits.is_multiple_of(SYNC_EVERY) { self.sync() } else { Ok(()) }
    }

    /// Makes the file durable.
    pub fn sync(&mut self) -> Outcome<()> {
        self.file.sync_data().map_err(Fault::from)
    }

    fn write_at(&mut self, offset: u64, commits: u64) -> Outcome<()> {
        self.file.seek(SeekFrom::Start(offset))?;
        self.file.write_all(&place(commits)).map_err(Fault::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_greater_of_its_two_places() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Witness::read(dir.path()).unwrap(), Testimony::Absent);
        let mut witness = Witness::open(dir.path(), 4).unwrap();
        assert_eq!(Witness::read(dir.path()).unwrap(), Testimony::Commits(4));
        witness.say(5).unwrap();
        witness.say(6).unwrap();
        assert_eq!(Witness::read(dir.path()).unwrap(), Testimony::Commits(6));
    }

    #[test]
    fn one_torn_place_leaves_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        let mut witness = Witness::open(dir.path(), 6).unwrap();
        witness.say(7).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[usize::try_from(PLACE_STEP).unwrap() + 10] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Witness::read(dir.path()).unwrap(), Testimony::Commits(6));
        bytes[3] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Witness::read(dir.path()).unwrap(), Testimony::Unreadable);
        fs::write(&path, []).unwrap();
        assert_eq!(Witness::read(dir.path()).unwrap(), Testimony::Unreadable);
    }

    #[test]
    fn a_place_keeps_its_bytes() {
        assert_eq!(hex::encode(&place(258)[..16]), "5445525457495431".to_owned() + "0000000000000102");
        assert_eq!(read_place(&place(258)), Some(258));
    }
}
