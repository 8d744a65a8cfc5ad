//! Data of older programs.

use fjall::PersistMode;

use super::*;
use crate::storage::{
    conformance::{external, with_external},
    embedded::{
        keys::{Key, Table},
        rows,
    },
};

/// Stands where the hash of a text stood.
const HASH: &[u8; 16] = b"hash of the text";

/// A row as the first format had it.
fn aged(table: Table, row: &[u8]) -> Vec<u8> {
    assert_eq!(row[0], 2, "as it is written today");
    let place = if table == Table::Log { 1 + 8 + 8 + 1 + 8 + 8 + 1 + 8 } else { row.len() };
    let is_event = table == Table::Log && row[place - 9] == 0;
    let hash: &[u8] = if is_event { &[] } else { HASH };
    let place = place.min(row.len());
    [&[1], &row[1..place], hash, &row[place..]].concat()
}

/// Turns a directory into one of the first format.
fn age(dir: &Path) {
    let opened = open::recover(dir, &OpenOptions::default(), open::Tails::Kept).unwrap();
    let tables = &opened.tables;
    for table in [Table::Log, Table::Message, Table::ClientMessage, Table::External] {
        let mut found = Vec::new();
        let first = Key::of(table);
        let mut keep = |key: &[u8], row: &[u8]| {
            found.push((key.to_vec(), row.to_vec()));
            Ok(true)
        };
        tables.scan(first.as_ref(), first.clone().end().as_ref(), Direction::Forward, &mut keep).unwrap();
        assert!(!found.is_empty(), "{table:?}");
        for (key, row) in found {
            tables.rows.insert(key, aged(table, &row)).unwrap();
        }
    }
    tables.rows.insert(Key::of(Table::Meta).bytes(b"format").slice(), rows::encode_number(1)).unwrap();
    tables.db.persist(PersistMode::SyncAll).unwrap();
    tables.rows.rotate_memtable_and_wait().unwrap();
}

/// What is left when the upgrade dies at one of its steps.
fn die_after(dir: &Path, step: u32) {
    let (rows, new, old) = (dir.join("rows"), dir.join("rows.new"), dir.join("rows.old"));
    match step {
        // Half a copy.
        0 => std::fs::create_dir(&new).unwrap(),
        // A whole one, which is in no place yet, or in its place.
        _ => {
            let opened = open::recover(dir, &OpenOptions::default(), open::Tails::Kept).unwrap();
            drop(opened);
            std::fs::rename(&rows, if step == 1 { &new } else { &old }).unwrap();
            if step == 1 {
                std::fs::create_dir(&old).unwrap();
            } else {
                copy_dir(&old, &rows);
            }
        }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &to);
        } else {
            std::fs::copy(&path, to).unwrap();
        }
    }
}

/// Files in which the hash is.
fn hashed(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(hashed(&path));
        } else if std::fs::read(&path).unwrap().windows(HASH.len()).any(|bytes| bytes == HASH) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn hashes_of_texts_are_gone_from_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let r = room(1);
    let (epoch, mut records) = filled(&store, r, 5).await;
    let twin = external("s", "c", "m");
    records.push(with_external(message(r, 6, 1), &twin));
    store.append(r, epoch, &records[5..], &head(6)).await.unwrap();
    let before = (log(&store, r).await, store.find_external(&twin).await.unwrap());
    store.close().await.unwrap();
    drop(store);
    assert_eq!(hashed(dir.path()), Vec::<PathBuf>::new());
    age(dir.path());
    assert!(!hashed(dir.path()).is_empty());
    for step in 0..3 {
        die_after(dir.path(), step);
        let store = open(dir.path()).unwrap();
        assert_eq!((log(&store, r).await, store.find_external(&twin).await.unwrap()), before);
        let key = before.0[0].message.clone().unwrap();
        assert_eq!(store.find_client_message(before.0[0].actor, &key.client_id).await.unwrap().unwrap().id, key.id);
        store.close().await.unwrap();
        drop(store);
        assert_eq!(hashed(dir.path()), Vec::<PathBuf>::new());
    }
}
