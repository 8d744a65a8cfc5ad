//! `kill -9` while writing: what was acknowledged is there, and batches are whole.
//!
//! The child is this test binary again, running [`child`] alone.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use futures_util::future::join_all;

use super::*;
use crate::storage::Projection;

const DIR: &str = "TERTULIA_TEST_CHILD_DIR";
const ROOMS: u32 = 8;
const BATCH: u64 = 3;

/// Writes batches to all rooms for ever and says what was acknowledged. Does nothing when run as a test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = open(Path::new(&dir)).unwrap();
    let write = async |number: u32| {
        let r = room(number);
        let epoch = store.claim(r).await.unwrap();
        let mut seq = store.head(r).await.unwrap().unwrap_or_default().seq.0;
        loop {
            let records: Vec<_> = (seq + 1..=seq + BATCH).map(|seq| message(r, seq, 1)).collect();
            seq += BATCH;
            let states = vec![(Seq(seq), records[0].body.clone())];
            store.append(r, epoch, &records, &Projection { states, ..head(seq) }).await.unwrap();
            let line = format!("\nacked {number} {seq}\n");
            std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
        }
    };
    join_all((1..=ROOMS).map(write)).await;
}

fn spawn(dir: &Path) -> Child {
    let name = module_path!().split_once("::").unwrap().1;
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{name}::child"), "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a child write until it has acknowledged `acks` batches, kills it, and returns the newest acknowledged seqs.
fn write_and_kill(dir: &Path, acks: usize) -> BTreeMap<u32, u64> {
    let mut child = spawn(dir);
    let mut acked = BTreeMap::new();
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((number, seq)) = line.strip_prefix("acked ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        acked.insert(number.parse().unwrap(), seq.parse().unwrap());
        seen += 1;
        if seen == acks {
            // SIGKILL; what is in the pipe was acknowledged as well and is read to its end.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(seen >= acks, "the child ended by itself after {seen} batches");
    acked
}

#[tokio::test]
async fn nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut rooms = BTreeMap::new();
    for round in 1..=4 {
        rooms.extend(write_and_kill(dir.path(), 150 * round));
        let store = open(dir.path()).expect("opens after the kill");
        for (number, acked) in &rooms {
            let r = room(*number);
            let stored = log(&store, r).await;
            let len = u64::try_from(stored.len()).unwrap();
            assert!(len >= *acked, "room {number}: {acked} acknowledged, {len} there");
            assert_eq!(len % BATCH, 0, "room {number}: half a batch");
            assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(len));
            for (seq, record) in (1..).zip(&stored) {
                assert_eq!(record, &Record { epoch: record.epoch, ..message(r, seq, 1) });
                let key = record.message.as_ref().unwrap();
                assert_eq!(store.find_message(key.id).await.unwrap().unwrap().seq, Seq(seq));
            }
            let states = store.message_states(r, Seq(0), Seq(u64::MAX)).await.unwrap();
            assert_eq!(u64::try_from(states.len()).unwrap(), len / BATCH, "projections go with their records");
        }
        assert_eq!(store.active_rooms(None, 99).await.unwrap().len(), rooms.len(), "they will be woken");
    }
}

#[tokio::test]
async fn what_is_missing_after_a_kill_is_found() {
    let dir = tempfile::tempdir().unwrap();
    write_and_kill(dir.path(), 300);
    let path = journal_file(dir.path());
    let journal = std::fs::read(&path).unwrap();
    let used = journal.len() - journal.iter().rev().take_while(|byte| **byte == 0).count();
    // More than the one commit that may have been written and not acknowledged.
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(u64::try_from(used / 2).unwrap()).unwrap();
    let (kind, why) = refusal(dir.path());
    assert_eq!(kind, StoreErrorKind::Corrupt);
    assert!(why.contains("acknowledged commits are missing"), "{why}");
}

/// The first start is a moment like any other.
#[tokio::test]
async fn a_store_killed_while_it_is_made_is_made_again() {
    let mut before_rows = 0;
    for wait_ms in (0..).step_by(3) {
        let dir = tempfile::tempdir().unwrap();
        let mut child = spawn(dir.path());
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        let is_made = dir.path().join("commits.witness").exists();
        let is_begun = dir.path().join("LOCK").exists();
        before_rows += u32::from(is_begun && !is_made);
        let store = open(dir.path()).expect("opens after the kill");
        store.close().await.unwrap();
        if is_made && wait_ms > 90 {
            break;
        }
        assert!(wait_ms < 2_000, "the store is never made");
    }
    assert!(before_rows > 0, "no kill came while the store was made");
}
