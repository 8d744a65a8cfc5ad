//! The engine's own promises: one server a directory, bounds, durability, versions.

use std::{sync::Arc, time::Duration};

use super::*;
use crate::storage::{
    conformance::kind,
    embedded::{
        engine::transact,
        keys::{Key, Table},
        rows,
    },
};

#[cfg(unix)]
#[tokio::test]
async fn the_data_directory_is_its_owners_alone() {
    use std::{fs, os::unix::fs::PermissionsExt as _};
    let dir = tempfile::tempdir().unwrap();
    let store_dir = dir.path().join("data/store");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let store = open(&store_dir).unwrap();
    assert_eq!((mode(&dir.path().join("data")), mode(&store_dir)), (0o700, 0o700));
    store.close().await.unwrap();
    drop(store);
    fs::set_permissions(&store_dir, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(store_dir.join("LOCK"), fs::Permissions::from_mode(0o644)).unwrap();
    let _store = open(&store_dir).unwrap();
    assert_eq!((mode(&store_dir), mode(&store_dir.join("LOCK"))), (0o700, 0o600), "as an older program left it");
}

#[tokio::test]
async fn what_was_closed_opens_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut stored = Vec::new();
    for round in 1..=3 {
        let store = open(dir.path()).unwrap();
        for number in 1..round {
            assert_eq!(log(&store, room(number)).await, stored[usize::try_from(number).unwrap() - 1]);
        }
        let (epoch, mut records) = filled(&store, room(round), 10).await;
        // Large enough for the library to compress it.
        let large = Record { body: vec![7; 100_000].into(), ..message(room(round), 11, 1) };
        store.append(room(round), epoch, std::slice::from_ref(&large), &head(11)).await.unwrap();
        records.push(Record { epoch, ..large });
        stored.push(records);
        if round == 2 {
            drop(store);
        } else {
            store.close().await.unwrap();
            store.close().await.unwrap();
        }
    }
    assert!(journal::damaged(&dir.path().join("rows")).unwrap().is_empty(), "whole journals are read to their ends");
}

#[tokio::test]
async fn two_servers_never_share_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let (kind, why) = refusal(dir.path());
    assert_eq!(kind, StoreErrorKind::Unavailable);
    assert!(why.contains("in use by another server"), "{why}");
    store.close().await.unwrap();
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let key = Key::of(Table::Meta).bytes(b"format").slice();
    let newer = rows::encode_number(open::FORMAT + 1);
    transact(&*store.engine, move |txn| {
        txn.put(key, newer);
        Ok(())
    })
    .await
    .unwrap();
    drop(store);
    let (kind, why) = refusal(dir.path());
    assert_eq!(kind, StoreErrorKind::Invalid);
    assert!(why.contains("newer program"), "{why}");
}

/// A transaction that holds up the commit thread until the sender is dropped; returns once it runs.
async fn hold_up(store: &EmbeddedStore<DiskEngine>) -> std::sync::mpsc::Sender<()> {
    let (running, runs) = tokio::sync::oneshot::channel();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let engine = Arc::clone(&store.engine);
    #[allow(clippy::disallowed_methods, reason = "a test")]
    tokio::spawn(async move {
        let hold = move |_: &mut crate::storage::embedded::engine::Txn<'_>| {
            let _ = running.send(());
            let _ = held.recv();
            Ok(())
        };
        transact(&*engine, hold).await.unwrap();
    });
    runs.await.unwrap();
    release
}

#[tokio::test]
async fn a_full_queue_is_overloaded_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let options = OpenOptions { queue_len_max: 2, ..OpenOptions::default() };
    let store = EmbeddedStore::open(dir.path(), &options).unwrap();
    let release = hold_up(&store).await;
    let (first, second) = (store.claim(room(1)), store.claim(room(2)));
    let (mut first, mut second) = (Box::pin(first), Box::pin(second));
    assert!(futures_util::poll!(&mut first).is_pending());
    assert!(futures_util::poll!(&mut second).is_pending());
    assert_eq!(kind(store.claim(room(3)).await), StoreErrorKind::Overloaded);
    assert_eq!(store.engine().stats().queued, 2);
    drop(release);
    first.await.unwrap();
    second.await.unwrap();
    store.claim(room(3)).await.unwrap();
}

#[tokio::test]
async fn what_is_queued_at_close_is_committed_and_nothing_after() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let release = hold_up(&store).await;
    let mut claim = Box::pin(store.claim(room(1)));
    assert!(futures_util::poll!(&mut claim).is_pending());
    store.engine().queue.close();
    assert_eq!(kind(store.claim(room(2)).await), StoreErrorKind::Unavailable);
    drop(release);
    claim.await.unwrap();
    drop(store);
    assert_eq!(open(dir.path()).unwrap().active_rooms(None, 9).await.unwrap(), [room(1)]);
}

#[tokio::test]
async fn a_panic_in_one_write_harms_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let release = hold_up(&store).await;
    let mut before = Box::pin(store.claim(room(1)));
    let key = Key::of(Table::Meta).bytes(b"never").slice();
    let mut panics = Box::pin(transact(&*store.engine, {
        let key = key.clone();
        move |txn| {
            txn.put(key.clone(), key);
            if txn.get(b"x")?.is_none() {
                panic!("on purpose");
            }
            Ok(())
        }
    }));
    let mut after = Box::pin(store.claim(room(2)));
    assert!(futures_util::poll!(&mut before).is_pending());
    assert!(futures_util::poll!(&mut panics).is_pending());
    assert!(futures_util::poll!(&mut after).is_pending());
    drop(release);
    before.await.unwrap();
    assert_eq!(panics.await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    after.await.unwrap();
    assert_eq!(store.engine.get(&key).unwrap(), None, "its writes are void");
}

#[tokio::test]
async fn acknowledgements_say_what_they_survived() {
    let dir = tempfile::tempdir().unwrap();
    let append = async |store: &EmbeddedStore<DiskEngine>, number: u32| {
        let epoch = store.claim(room(number)).await.unwrap();
        store.append(room(number), epoch, &[message(room(number), 1, 1)], &head(1)).await.unwrap()
    };
    let store = open(dir.path()).unwrap();
    assert_eq!(append(&store, 1).await, Durability::Synced);
    drop(store);

    let interval = Duration::from_millis(20);
    let options = OpenOptions { sync: SyncPolicy::Interval(interval), ..OpenOptions::default() };
    let store = EmbeddedStore::open(dir.path(), &options).unwrap();
    let before = witness::Witness::read(dir.path()).unwrap();
    assert_eq!(append(&store, 2).await, Durability::Buffered);
    let began = tokio::time::Instant::now();
    while witness::Witness::read(dir.path()).unwrap() == before {
        assert!(began.elapsed() < Duration::from_secs(30), "never synced");
        tokio::time::sleep(interval).await;
    }
    drop(store);
    assert_eq!(log(&open(dir.path()).unwrap(), room(2)).await.len(), 1);
}

#[tokio::test]
async fn stats_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    filled(&store, room(1), 3).await;
    let stats = store.engine().stats();
    assert!(stats.journals >= 1 && stats.disk_bytes > 0 && stats.queued == 0, "{stats:?}");
    store.close().await.unwrap();
    assert_eq!(store.engine().stats(), EngineStats::default());
}
