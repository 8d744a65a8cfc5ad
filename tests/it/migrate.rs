//! `tertulia migrate` as its users have it: the built binary, killed while it works.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tertulia::{
    domain::ids::{ClientMessageId, Epoch, MessageId, Ordinal, RoomId, Seq, UserId},
    storage::{
        LogStore as _, MessageKey, Projection, Record, RoomHead, Store as _, UserStore as _,
        embedded::{DiskEngine, EmbeddedStore, OpenOptions},
    },
};

const ROOMS: u8 = 40;
const EVENTS: u64 = 300;

fn open(dir: &Path) -> EmbeddedStore<DiskEngine> {
    EmbeddedStore::open(dir.join("store"), &OpenOptions::default()).unwrap()
}

fn record(room: u8, seq: u64) -> Record {
    let id = i64::from(room) * 1_000_000 + seq.cast_signed();
    Record {
        seq: Seq(seq),
        n: Ordinal(seq),
        epoch: Epoch(0),
        kind: 2,
        actor: UserId(1),
        at_ms: 1_700_000_000_000,
        message: Some(MessageKey {
            id: MessageId(id),
            client_id: ClientMessageId(format!("c{id}").into()),
            external: None,
        }),
        body: format!("message {id}").into(),
    }
}

async fn fill(dir: &Path) {
    let store = open(dir);
    for room in 1..=ROOMS {
        let id = RoomId([room; 16]);
        let epoch = store.claim(id).await.unwrap();
        let records: Vec<_> = (1..=EVENTS).map(|seq| record(room, seq)).collect();
        let projection = Projection {
            head: RoomHead { seq: Seq(EVENTS), n: Ordinal(EVENTS), ..RoomHead::default() },
            room: Some("settings".into()),
            ..Projection::default()
        };
        store.append(id, epoch, &records, &projection).await.unwrap();
        store.release(id, epoch).await.unwrap();
    }
    for user in 1..100 {
        store.put_profile(UserId(user), format!("user {user}").into()).await.unwrap();
    }
    store.close().await.unwrap();
}

fn migrate(from: &Path, to: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tertulia"));
    let store = |dir: &Path| format!("embedded:{}", dir.display());
    command.args(["migrate", "--json", "--from", &store(from), "--to", &store(to)]).args(more);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_arrives() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fill(from.path()).await;
    let mut kills = 0;
    for after_ms in [150, 300, 450, 250, 600, 350, 500] {
        let mut child = migrate(from.path(), to.path(), &["--rows-per-s", "4000"]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        kills += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(kills >= 3, "it was too fast to be killed more than {kills} times");
    let done = migrate(from.path(), to.path(), &["--verify"]).output().unwrap();
    let report = report(&done);
    assert!(done.status.success(), "{report}");
    assert_eq!(report["ok"], true);
    assert_eq!(report["copied"]["rooms"], ROOMS);
    assert_eq!(report["verified"]["events"], u64::from(ROOMS) * EVENTS);
    assert_eq!(report["verified"]["users"], 99);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_says_how_its_store_is_opened_and_the_configuration_the_rest() {
    let (from, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    fill(from.path()).await;
    let to = |query: &str| dir.path().join(format!("to{query}"));
    let lazy = ["--set", "storage.fsync_interval_ms=5", "--verify"];
    let done = migrate(from.path(), &to("?fsync=interval"), &lazy).output().unwrap();
    assert!(done.status.success(), "{}", report(&done));
    assert!(to("").is_dir() && !to("?fsync=interval").exists());
    for (query, more, named) in [
        ("?fsync=swordfish", "log.level=info", "`storage.fsync`"),
        ("?pool_size=swordfish", "log.level=info", "unknown parameter `pool_size`"),
        ("", "storage.cache_mb=1", "`storage.cache_mb`"),
    ] {
        let refused = migrate(from.path(), &to(query), &["--set", more]).output().unwrap();
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && error.contains(named), "{error}");
        assert!(!error.contains("swordfish"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exit_code_is_the_truth() {
    let (from, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let nowhere = migrate(from.path(), to.path(), &[]).output().unwrap();
    assert!(!nowhere.status.success());
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("there is no store"), "{nowhere:?}");
    fill(from.path()).await;
    assert!(migrate(from.path(), to.path(), &[]).status().unwrap().success());
    let store = open(to.path());
    store.put_profile(UserId(7), "somebody else".into()).await.unwrap();
    let busy = migrate(from.path(), to.path(), &["--verify-only"]).output().unwrap();
    assert!(!busy.status.success(), "another process has it open");
    store.close().await.unwrap();
    drop(store);
    let differs = migrate(from.path(), to.path(), &["--verify-only"]).output().unwrap();
    assert_eq!(differs.status.code(), Some(1));
    let report = report(&differs);
    assert_eq!(report["verified"]["differences_total"], 1);
    let first = &report["verified"]["differences"][0];
    assert_eq!((&first["table"], &first["user"]), (&Value::from("profile"), &Value::from(7)));
    for (store, error) in [
        ("postgres:x", "expected embedded:DIR"),
        ("postgres://ana:swordfish@h/db?ssl=on", "unknown parameter `ssl`"),
        ("scylla://ana:swordfish@127.0.0.1:1/k", "open ScyllaDB at 127.0.0.1:1"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tertulia"));
        let from = format!("embedded:{}", from.path().display());
        let refused = command.args(["migrate", "--from", &from, "--to", store]).output().unwrap();
        assert!(!refused.status.success());
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(told.contains(error) && !told.contains("swordfish"), "{told}");
    }
}
