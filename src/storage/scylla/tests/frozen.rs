//! A process that is stopped (SIGSTOP) while it writes, loses its room, and goes on as if nothing had happened.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
};

use super::Keyspace;
use crate::{
    clock::SystemClock,
    domain::ids::{ClientMessageId, Seq},
    storage::{
        Direction, LogStore, Outcome, Record, StoreErrorKind,
        conformance::{head, message, room},
        scylla::{Options, ScyllaStore},
    },
};

const KEYSPACE: &str = "TERTULIA_TEST_FROZEN_KEYSPACE";
const ROOM: &str = "TERTULIA_TEST_FROZEN_ROOM";

/// A message whose client id says who wrote it.
fn signed(number: u32, seq: Seq, who: &str) -> Record {
    let mut record = message(room(number), seq.0, 1);
    let key = record.message.as_mut().unwrap();
    key.client_id = ClientMessageId(format!("{who} {number} {seq}").into());
    record
}

/// Not a test: the other process. Says `ACK seq` for each append, then how it ended.
#[tokio::test]
#[ignore = "run by another test"]
async fn the_other_process() {
    let (Ok(keyspace), Ok(node)) = (std::env::var(KEYSPACE), std::env::var("TERTULIA_TEST_CQL")) else { return };
    let number: u32 = std::env::var(ROOM).unwrap().parse().unwrap();
    let options = Options {
        contact_points: node.split(',').map(str::to_owned).collect(),
        keyspace,
        request_timeout: std::time::Duration::from_secs(60),
        ..Options::default()
    };
    let store = ScyllaStore::open(&options, Arc::new(SystemClock)).await.unwrap();
    let r = room(number);
    let epoch = store.claim(r).await.unwrap();
    let mut seq = Seq(1);
    let end = loop {
        match store.append(r, epoch, &[signed(number, seq, "frozen")], &head(seq.0)).await {
            Ok(_) => println!("\nACK {seq}"),
            Err(error) => break error,
        }
        seq = seq.next();
    };
    println!("\nEND {:?} {:?}", end.kind(), end.outcome());
    // The next one it is told plainly.
    let again = store.append(r, epoch, &[signed(number, seq.next(), "frozen")], &head(seq.0 + 1)).await.unwrap_err();
    println!("\nEND {:?} {:?}", again.kind(), again.outcome());
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Reads the child's words up to and with its `count`th acknowledgement, or to its end.
fn acknowledged(out: &mut BufReader<ChildStdout>, count: usize, ends: &mut Vec<String>) -> Vec<Seq> {
    let mut seqs = Vec::new();
    let mut line = String::new();
    while seqs.len() < count && out.read_line(&mut line).unwrap() > 0 {
        if let Some(seq) = line.trim().strip_prefix("ACK ") {
            seqs.push(Seq(seq.parse().unwrap()));
        } else if let Some(end) = line.trim().strip_prefix("END ") {
            ends.push(end.to_owned());
        }
        line.clear();
    }
    seqs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_writer_loses_its_room_and_nothing_else() {
    let Some(keyspace) = Keyspace::new().await else { return };
    let store = keyspace.open().await;
    // Where in an append the process is stopped is for chance to say.
    for round in 1..=4_u32 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["storage::scylla::tests::frozen::the_other_process", "--exact", "--ignored", "--nocapture"])
            .env(KEYSPACE, &keyspace.options.keyspace)
            .env(ROOM, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut ends = Vec::new();
        let mut theirs = acknowledged(&mut out, 20, &mut ends);
        signal(&child, "-STOP");

        let r = room(round);
        let epoch = store.claim(r).await.unwrap();
        let first = store.head(r).await.unwrap().unwrap().seq.next();
        for seq in (first.0..first.0 + 5).map(Seq) {
            store.append(r, epoch, &[signed(round, seq, "new")], &head(seq.0)).await.unwrap();
        }
        signal(&child, "-CONT");
        theirs.extend(acknowledged(&mut out, usize::MAX, &mut ends));
        assert!(child.wait().unwrap().success());
        assert_eq!(ends.len(), 2, "it was told: {ends:?}");
        assert!(ends[0].ends_with(&format!("{:?}", Outcome::Unknown)) || ends[0].starts_with("Fenced"), "{ends:?}");
        assert!(ends[1].starts_with(&format!("{:?}", StoreErrorKind::Fenced)), "{ends:?}");

        let log = store.read_log(r, Seq(0), Direction::Forward, usize::MAX).await.unwrap();
        let at = |seq: Seq| log[usize::try_from(seq.0).unwrap() - 1].message.clone().unwrap().client_id.0.to_string();
        assert!(theirs.len() >= 20);
        for seq in theirs {
            assert_eq!(at(seq), format!("frozen {round} {seq}"), "acknowledged by the process that was frozen");
        }
        for seq in (first.0..first.0 + 5).map(Seq) {
            assert_eq!(at(seq), format!("new {round} {seq}"), "acknowledged by the new owner");
        }
        assert_eq!(log.len(), usize::try_from(first.0).unwrap() + 4);
    }
}
