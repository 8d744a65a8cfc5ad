//! Damage on disk is found when the store is opened, said, and never papered over.

use std::{fs, io::Write};

use super::*;
use crate::storage::embedded::{
    disk::{commit::ring_key, witness},
    engine::transact,
    keys,
};

const BATCHES: u64 = 40;

/// A closed store with one room of `BATCHES` commits; its records.
async fn written(dir: &Path) -> Vec<Record> {
    let store = open(dir).unwrap();
    let epoch = store.claim(room(1)).await.unwrap();
    for seq in 1..=BATCHES {
        store.append(room(1), epoch, &[message(room(1), seq, 1)], &head(seq)).await.unwrap();
    }
    let records = log(&store, room(1)).await;
    store.close().await.unwrap();
    records
}

/// Length of the journal without the zeros at its end.
fn used_len(journal: &[u8]) -> usize {
    journal.len() - journal.iter().rev().take_while(|byte| **byte == 0).count()
}

/// Puts the damaged bytes where the journal was, with the rest of the directory as it is in `whole`.
fn copy_with_journal(whole: &Path, journal: &[u8]) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_dir(whole, copy.path());
    fs::write(journal_file(copy.path()), journal).unwrap();
    copy
}

fn copy_dir(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy_dir(&entry.path(), &target);
        } else if entry.path().extension().is_none_or(|extension| extension != "jnl") {
            fs::copy(entry.path(), target).unwrap();
        } else {
            fs::write(target, []).unwrap();
        }
    }
}

#[tokio::test]
async fn any_flipped_bit_of_the_journal_is_found() {
    let whole = tempfile::tempdir().unwrap();
    let records = written(whole.path()).await;
    let mut journal = fs::read(journal_file(whole.path())).unwrap();
    journal.truncate(used_len(&journal));
    let mut refused = 0;
    let step = journal.len() / 60;
    for (turn, place) in (0..journal.len()).step_by(step).enumerate() {
        let mut damaged = journal.clone();
        damaged[place] ^= 1 << (turn % 8);
        let dir = copy_with_journal(whole.path(), &damaged);
        match open(dir.path()) {
            Ok(store) => assert_eq!(log(&store, room(1)).await, records, "bit at {place} lost something silently"),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{error:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 50, "only {refused} were found");
}

#[tokio::test]
async fn a_loss_is_said_in_numbers_kept_for_rescue_and_can_be_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let records = written(dir.path()).await;
    let path = journal_file(dir.path());
    let mut journal = fs::read(&path).unwrap();
    let middle = used_len(&journal) / 2;
    journal[middle] ^= 1;
    fs::write(&path, &journal).unwrap();

    for _ in 0..2 {
        let (kind, why) = refusal(dir.path());
        assert_eq!(kind, StoreErrorKind::Corrupt);
        assert!(why.contains("acknowledged commits are missing"), "{why}");
        assert!(why.contains(&format!("{} were made", BATCHES + 1)), "{why}");
        assert!(why.contains("rescue"), "{why}");
    }
    let saved = dir.path().join("rescue").join(path.file_name().unwrap());
    assert!(fs::read(saved).unwrap() == journal, "the journal as it was found, before the library cut it");

    let store = open_accepting(dir.path());
    let left = log(&store, room(1)).await;
    assert!(!left.is_empty() && left.len() < records.len());
    assert_eq!(left, records[..left.len()]);
    let (_, more) = filled(&store, room(2), 3).await;
    drop(store);
    assert_eq!(log(&open(dir.path()).unwrap(), room(2)).await, more, "afterwards all is well again");
    assert!(dir.path().join("rescue-1").exists());
}

#[tokio::test]
async fn a_torn_tail_of_acknowledged_commits_is_found() {
    let whole = tempfile::tempdir().unwrap();
    written(whole.path()).await;
    let mut journal = fs::read(journal_file(whole.path())).unwrap();
    let used = used_len(&journal);
    for missing in [1, 10, 300] {
        journal.truncate(used - missing);
        let (kind, why) = refusal(copy_with_journal(whole.path(), &journal).path());
        assert_eq!(kind, StoreErrorKind::Corrupt);
        assert!(why.contains("acknowledged commits are missing"), "{why}");
    }
}

#[tokio::test]
async fn a_torn_tail_that_nobody_was_promised_is_cut() {
    let whole = tempfile::tempdir().unwrap();
    let records = written(whole.path()).await;
    let mut journal = fs::read(journal_file(whole.path())).unwrap();
    journal.truncate(used_len(&journal));
    // A copy of the last commit behind the end, as if another one had been under way.
    let trailers: Vec<_> =
        journal.windows(4).enumerate().filter(|(_, four)| *four == b"FJL\x03").map(|(at, _)| at + 4).collect();
    let last = journal[trailers[trailers.len() - 2]..].to_vec();
    let mut torn = Vec::new();
    for len in [1, 13, 14, last.len() / 2, last.len() - 1] {
        torn.push([&journal[..], &last[..len]].concat());
    }
    for place in [40, last.len() / 2, last.len() - 20] {
        // All of its length is there, one page of it is not.
        let mut holed = last.clone();
        holed[place..place + 8].fill(0);
        torn.push([&journal[..], &holed].concat());
    }
    for (number, bytes) in torn.iter().enumerate() {
        let dir = copy_with_journal(whole.path(), bytes);
        let store = open(dir.path()).unwrap_or_else(|error| panic!("tail {number}: {error:?}"));
        assert_eq!(log(&store, room(1)).await, records);
        let (_, more) = filled(&store, room(2), 2).await;
        drop(store);
        assert_eq!(log(&open(dir.path()).unwrap(), room(2)).await, more);
    }
}

#[tokio::test]
async fn a_missing_commit_in_the_middle_is_found() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path()).await;
    let store = open(dir.path()).unwrap();
    transact(&*store.engine, |txn| {
        txn.delete(ring_key(20).slice());
        txn.delete(ring_key(21).slice());
        Ok(())
    })
    .await
    .unwrap();
    drop(store);
    let (kind, why) = refusal(dir.path());
    assert_eq!(kind, StoreErrorKind::Corrupt);
    assert!(why.contains("2 acknowledged commits are missing"), "{why}");
    drop(open_accepting(dir.path()));
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_gap_in_an_active_room_is_found() {
    for seq in [1, 20, BATCHES] {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path()).await;
        let store = open(dir.path()).unwrap();
        let key = keys::log(room(1), Seq(seq)).slice();
        transact(&*store.engine, move |txn| {
            txn.delete(key);
            Ok(())
        })
        .await
        .unwrap();
        drop(store);
        let (kind, why) = refusal(dir.path());
        assert_eq!(kind, StoreErrorKind::Corrupt);
        assert!(why.contains(&format!("room {} lacks the event {seq}:", room(1))), "{why}");
        drop(open_accepting(dir.path()));
    }
}

#[tokio::test]
async fn lost_rows_and_a_lost_witness_are_found() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path()).await;
    let path = dir.path().join(witness::FILE_NAME);
    let saved = fs::read(&path).unwrap();

    fs::remove_file(&path).unwrap();
    let (kind, why) = refusal(dir.path());
    assert_eq!(kind, StoreErrorKind::Corrupt);
    assert!(why.contains("the commit witness is missing"), "{why}");
    fs::write(&path, b"nonsense").unwrap();
    assert!(refusal(dir.path()).1.contains("the commit witness is damaged"));

    File::create(&path).unwrap().write_all(&saved).unwrap();
    fs::remove_dir_all(dir.path().join("rows")).unwrap();
    let (kind, why) = refusal(dir.path());
    assert_eq!(kind, StoreErrorKind::Corrupt);
    assert!(why.contains(&format!("{} acknowledged commits are missing", BATCHES + 1)), "{why}");
    let store = open_accepting(dir.path());
    assert!(log(&store, room(1)).await.is_empty());
    drop(store);
    open(dir.path()).unwrap();
}
