//! Opening a data directory: locks it, looks at the witness, lets the library recover, and compares.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::{Mutex, RwLock};

use super::{
    super::{
        fault::{Fault, Outcome},
        keys::{Key, Table},
        rows,
    },
    DiskEngine, Tables, check,
    commit::Committer,
    journal,
    queue::Queue,
    rescue::Rescue,
    upgrade,
    witness::Witness,
};
use crate::{secret_file, storage::error::StoreErrorKind};

/// Version of the row layout that this program writes: 2 has no hashes of texts.
pub const FORMAT: u64 = 2;

const FORMAT_NAME: &[u8] = b"format";

/// When commits are synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncPolicy {
    /// Before every acknowledgement (one sync a group): acknowledgements say `Synced`.
    Always,
    /// At the latest so long after a commit: acknowledgements say `Buffered`, and a power failure may lose that much.
    /// The end of the process alone loses nothing. The witness covers only what is synced.
    Interval(Duration),
}

/// How to open the store.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// When commits are synced.
    pub sync: SyncPolicy,
    /// Writes that may wait for the commit thread; more are `Overloaded`.
    pub queue_len_max: usize,
    /// Writes in one group commit.
    pub group_len_max: usize,
    /// Cache of blocks read from disk, bytes.
    pub cache_bytes: u64,
    /// Open although acknowledged commits are missing. They are gone then; the journals as they were found are kept.
    pub accept_data_loss: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            sync: SyncPolicy::Always,
            queue_len_max: 16_384,
            group_len_max: 512,
            cache_bytes: 64 << 20,
            accept_data_loss: false,
        }
    }
}

/// Opens the engine in `dir`, creating the directory if it is not there.
pub fn open(dir: &Path, options: &OpenOptions) -> Outcome<DiskEngine> {
    secret_file::create_dir(dir)?;
    let lock = lock(dir)?;
    close_to_others(dir);
    let opened = recover(dir, options, Tails::Kept)?;
    let (present, queue) = (Arc::new(RwLock::new(Some(opened.tables.clone()))), Queue::new(options.queue_len_max));
    let home = Home { dir: dir.to_owned(), options: options.clone() };
    let thread = Committer::new(opened, Arc::clone(&present), queue.clone(), home).spawn()?;
    Ok(DiskEngine {
        dir: dir.to_owned(),
        tables: present,
        queue,
        thread: Mutex::new(Some(thread)),
        lock: Mutex::new(Some(lock)),
    })
}

/// Where a store is, and how it is opened.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) dir: PathBuf,
    pub(super) options: OpenOptions,
}

/// What was found in a directory, complete and consistent.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) tables: Tables,
    pub(super) witness: Witness,
    pub(super) commits: u64,
}

/// What becomes of journals' tails that are not readable, before they are cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tails {
    /// Nobody knows how they came about: they are copied.
    Kept,
    /// This process tore them when the disk refused a write, and there may be no room for copies.
    Known,
}

/// Lets the library recover what is in a directory that this process has locked, and compares it with the witness.
pub(super) fn recover(dir: &Path, options: &OpenOptions, tails: Tails) -> Outcome<Opened> {
    let testimony = Witness::read(dir)?;
    upgrade::finish(&rows_dir(dir))?;
    let rescue = Rescue::new(dir);
    cut_unreadable_tails(&rows_dir(dir), &rescue, tails)?;
    journal::renew_newest(&rows_dir(dir))?;
    let mut tables = tables(dir, options)?;
    let commits = match check::commits(&tables, testimony)? {
        check::Found::Whole(commits) => commits,
        check::Found::Lost(lost) if options.accept_data_loss => {
            tracing::error!(%lost, dir = %dir.display(), "opening in spite of lost commits, as asked");
            check::forget(&tables, &lost)?;
            rescue.mark()?;
            lost.newest
        }
        check::Found::Lost(lost) => return Err(rescue.refuse(&lost)?),
    };
    let format = check_format(&tables, commits)?;
    if let Err(fault) = check::rooms(&tables) {
        if !options.accept_data_loss {
            return Err(rescue.refuse(&fault)?);
        }
        tracing::error!(%fault, "opening in spite of damaged rooms, as asked");
    }
    if format < FORMAT {
        upgrade::run(&rows_dir(dir), tables, options)?;
        tables = tables_in(&rows_dir(dir), options)?;
        note_format(&tables)?;
    }
    rescue.finish()?;
    let witness = Witness::open(dir, commits)?;
    Ok(Opened { tables, witness, commits })
}

/// The directory, and what earlier programs left in it, is for the owner alone. What the engine creates from now on is
/// not, but lies behind the directory's own mode.
fn close_to_others(dir: &Path) {
    if let Err(error) = secret_file::close_to_others(dir) {
        tracing::warn!(%error, dir = %dir.display(), "the data directory cannot be closed to other users");
    }
}

/// How long a directory that is in use is tried for. A process that was just started has what its parent had open, until
/// it runs its own program; and one that is being replaced may need a moment to be gone.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// Takes the directory for this process.
fn lock(dir: &Path) -> Outcome<File> {
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("LOCK"))?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if waited < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_PATIENCE / 20);
                waited += LOCK_PATIENCE / 20;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(Fault::because(
                    StoreErrorKind::Unavailable,
                    format!("the data directory {} is in use by another server", dir.display()),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

pub(super) fn rows_dir(dir: &Path) -> PathBuf {
    dir.join("rows")
}

/// Cuts what is not readable off the journals.
fn cut_unreadable_tails(rows: &Path, rescue: &Rescue, tails: Tails) -> Outcome<()> {
    let damaged = journal::damaged(rows)?;
    if damaged.is_empty() {
        return Ok(());
    }
    if tails == Tails::Kept {
        rescue.keep(rows)?;
    }
    tracing::warn!(?damaged, "journals have unreadable tails, which are cut");
    damaged.iter().try_for_each(journal::Damaged::cut)?;
    Ok(())
}

fn tables(dir: &Path, options: &OpenOptions) -> Outcome<Tables> {
    let rows = rows_dir(dir);
    if !rows.try_exists()? {
        create(&rows, options)?;
    }
    tables_in(&rows, options)
}

pub(super) fn tables_in(rows: &Path, options: &OpenOptions) -> Outcome<Tables> {
    let db = Database::builder(rows).cache_size(options.cache_bytes).open()?;
    let rows: Keyspace = db.keyspace("rows", KeyspaceCreateOptions::default)?;
    Ok(Tables { db, rows })
}

/// Makes a new engine. The library cannot open what it was killed while creating, so it creates under another name, which
/// nothing was ever committed to.
fn create(rows: &Path, options: &OpenOptions) -> Outcome<()> {
    let unfinished = rows.with_extension("new");
    if unfinished.try_exists()? {
        fs::remove_dir_all(&unfinished)?;
    }
    let tables = tables_in(&unfinished, options)?;
    tables.db.persist(PersistMode::SyncAll)?;
    drop(tables);
    fs::rename(&unfinished, rows)?;
    upgrade::sync_parent(rows)
}

/// The format of the rows. Refuses those of a newer program; marks rows that are new.
fn check_format(tables: &Tables, commits: u64) -> Outcome<u64> {
    let key = Key::of(Table::Meta).bytes(FORMAT_NAME);
    let stored = tables.rows.get(key.as_ref())?.map(|row| rows::decode_number(&row)).transpose()?;
    match stored {
        Some(format @ 1..=FORMAT) => Ok(format),
        Some(newer) if newer > FORMAT => Err(Fault::because(
            StoreErrorKind::Invalid,
            format!("the data directory has format {newer}, this program knows up to {FORMAT}: use a newer program"),
        )),
        None if commits == 0 => note_format(tables),
        Some(_) | None => Err(Fault::corrupt("format row")),
    }
}

/// Marks rows as those of this program.
fn note_format(tables: &Tables) -> Outcome<u64> {
    let key = Key::of(Table::Meta).bytes(FORMAT_NAME);
    tables.rows.insert(key.slice(), rows::encode_number(FORMAT))?;
    tables.db.persist(PersistMode::SyncAll)?;
    Ok(FORMAT)
}
