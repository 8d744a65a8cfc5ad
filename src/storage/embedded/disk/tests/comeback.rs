//! Disks that refuse writes for a while: what was acknowledged stays, reads go on, and the store comes back by itself.
//!
//! Each scenario is run by this test binary again, in a process whose disk is small, or whose files may not grow.

use std::{fs, io::Write as _, path::Path, process::Command, time::Duration};

use tokio::time::Instant;

use super::*;
use crate::storage::{Epoch, Outcome, RoomStore as _};

const DIR: &str = "TERTULIA_TEST_DISK";
const PATIENCE: Duration = Duration::from_secs(40);
const BATCH: u64 = 3;

/// Runs `test` of this module again, as `shell` says, with the directory as its first argument.
fn again(test: &str, shell: &str) {
    let dir = tempfile::tempdir().unwrap();
    let name = module_path!().split_once("::").unwrap().1;
    let done = Command::new("sh")
        .args(["-c", &format!("{shell} \"$2\" --exact \"$3\" --nocapture"), "sh"])
        .args([dir.path(), &std::env::current_exe().unwrap()])
        .arg(format!("{name}::{test}"))
        .env(DIR, dir.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

/// A writer to one room that keeps account of what was acknowledged.
struct Writer<'a> {
    store: &'a EmbeddedStore<DiskEngine>,
    epoch: Epoch,
    acked: u64,
}

impl<'a> Writer<'a> {
    async fn new(store: &'a EmbeddedStore<DiskEngine>) -> Self {
        let epoch = store.claim(room(1)).await.unwrap();
        let acked = store.head(room(1)).await.unwrap().unwrap_or_default().seq.0;
        Self { store, epoch, acked }
    }

    async fn write(&mut self) -> Result<(), StoreError> {
        let seqs = self.acked + 1..=self.acked + BATCH;
        let records: Vec<_> = seqs.map(|seq| message(room(1), seq, 1)).collect();
        self.store.append(room(1), self.epoch, &records, &head(self.acked + BATCH)).await?;
        self.acked += BATCH;
        Ok(())
    }

    async fn until_refused(&mut self) -> StoreError {
        for _ in 0..10_000 {
            if let Err(error) = self.write().await {
                return error;
            }
        }
        panic!("never refused");
    }

    /// What was acknowledged is there, and of what was refused all or nothing.
    async fn check(&self) {
        let len = log(self.store, room(1)).await.len() as u64;
        assert!(len == self.acked || len == self.acked + BATCH, "{} acknowledged, {len} there", self.acked);
    }

    async fn until_taken(&mut self) {
        let started = Instant::now();
        while let Err(error) = self.store.claim(room(2)).await {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
            assert!(started.elapsed() < PATIENCE, "it does not come back: {error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.check().await;
        *self = Self::new(self.store).await;
    }
}

/// A disk that takes no writes from `refused` on, until it was `freed`.
async fn refuses_and_comes_back(store: &EmbeddedStore<DiskEngine>, refused: impl FnOnce(), freed: impl FnOnce()) {
    let mut writer = Writer::new(store).await;
    refused();
    let refused = writer.until_refused().await;
    assert_eq!((refused.kind(), refused.outcome()), (StoreErrorKind::Unavailable, Outcome::Unknown));
    let until = Instant::now() + Duration::from_millis(700);
    while Instant::now() < until {
        writer.check().await;
        let next = store.put_sync_state(room(1), "x", "y".into()).await.unwrap_err();
        assert_eq!((next.kind(), next.outcome()), (StoreErrorKind::Unavailable, Outcome::NotApplied), "{next:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    freed();
    writer.until_taken().await;
    for _ in 0..50 {
        writer.write().await.unwrap();
    }
    writer.check().await;
}

/// Leaves nothing free on the disk of `dir`.
fn fill(dir: &Path) {
    let mut ballast = File::create(dir.join("ballast")).unwrap();
    for bytes in [1 << 20, 4_096, 1] {
        while ballast.write_all(&vec![1; bytes]).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_was_full_is_written_again() {
    let Ok(dir) = std::env::var(DIR) else {
        let unshare = "if [ $(id -u) = 0 ]; then unshare=-m; else unshare=-rm; fi; exec unshare $unshare";
        let mount = r#"sh -c 'mount -t tmpfs -o size=30m tmpfs "$0" && exec "$@"' "$1""#;
        let allowed = Command::new("sh").args(["-c", &format!("{unshare} {mount} true"), "sh", "/mnt"]).status();
        if !allowed.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: a small disk cannot be mounted here");
            return;
        }
        return again("a_disk_that_was_full_is_written_again", &format!("{unshare} {mount}"));
    };
    let dir = Path::new(&dir);
    let store = open(&dir.join("store")).unwrap();
    for _ in 0..2 {
        refuses_and_comes_back(&store, || fill(dir), || fs::remove_file(dir.join("ballast")).unwrap()).await;
    }
    let acked = log(&store, room(1)).await;
    // It can be closed while it waits for room, and what was acknowledged is there then too.
    let mut writer = Writer::new(&store).await;
    fill(dir);
    writer.until_refused().await;
    let written = writer.acked;
    assert!(store.close().await.is_err(), "not all that was asked for was done");
    fs::remove_file(dir.join("ballast")).unwrap();
    let found = log(&open(&dir.join("store")).unwrap(), room(1)).await;
    assert!(found.len() as u64 >= written && found.starts_with(&acked));
}

/// Sets how long this process may make a file.
fn limit_files(bytes: &str) {
    let pid = std::process::id().to_string();
    let set = Command::new("prlimit").args(["--pid", &pid, &format!("--fsize={bytes}:")]).status().unwrap();
    assert!(set.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_another_error_too() {
    let Ok(dir) = std::env::var(DIR) else {
        return again("after_another_error_too", "trap '' XFSZ; exec");
    };
    let dir = Path::new(&dir).join("store");
    let store = open(&dir).unwrap();
    for _ in 0..2 {
        Writer::new(&store).await.write().await.unwrap();
        refuses_and_comes_back(&store, || limit_files("1"), || limit_files("unlimited")).await;
    }
    let all = log(&store, room(1)).await;
    drop(store);
    assert_eq!(log(&open(&dir).unwrap(), room(1)).await, all);
}
