//! The append path of the embedded store, and the reads beside it.
//!
//! `cargo bench --bench append`. The directory is made where `TMPDIR` says: point it at the disk to be measured.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use divan::{Bencher, counter::ItemsCount};
use tertulia::{
    domain::ids::{ClientMessageId, Epoch, MessageId, Ordinal, RoomId, Seq, UserId},
    storage::{
        Direction, MessageKey, Position, Projection, Record, RoomHead, Store,
        embedded::{EmbeddedStore, OpenOptions, SyncPolicy},
    },
};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A room with its next place, as its actor would know it.
struct Room {
    id: RoomId,
    epoch: Epoch,
    seq: u64,
}

impl Room {
    async fn claimed(store: &dyn Store, number: u64) -> Self {
        let mut id = [0; 16];
        // Spread like random ids.
        id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let epoch = store.claim(RoomId(id)).await.expect("claim");
        Self { id: RoomId(id), epoch, seq: 0 }
    }

    /// Appends `len` messages of 100 bytes in one batch, with what a send changes: the head, the sender's position.
    async fn append(&mut self, store: &dyn Store, len: u64) {
        let records: Vec<_> = (self.seq + 1..=self.seq + len).map(message).collect();
        self.seq += len;
        let position = Position { sent_n: Ordinal(self.seq), ..Position::default() };
        let projection = Projection {
            head: RoomHead { seq: Seq(self.seq), n: Ordinal(self.seq), ..RoomHead::default() },
            positions: vec![(UserId(7), position)],
            ..Projection::default()
        };
        store.append(self.id, self.epoch, &records, &projection).await.expect("append");
    }
}

fn message(seq: u64) -> Record {
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed).cast_signed();
    Record {
        seq: Seq(seq),
        n: Ordinal(seq),
        epoch: Epoch(0),
        kind: 1,
        actor: UserId(7),
        at_ms: 1_700_000_000_000,
        message: Some(MessageKey {
            id: MessageId(id),
            client_id: ClientMessageId(format!("018f4e2a-0000-7000-8000-{id:012}").into()),
            external: None,
        }),
        body: Bytes::from_static(&[b'x'; 100]),
    }
}

struct Setup {
    runtime: Runtime,
    store: Arc<dyn Store>,
    dir: tempfile::TempDir,
}

fn setup(sync: SyncPolicy) -> Setup {
    let dir = tempfile::tempdir().expect("temporary directory");
    let options = OpenOptions { sync, ..OpenOptions::default() };
    let store = Arc::new(EmbeddedStore::open(dir.path(), &options).expect("open"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    Setup { runtime, store, dir }
}

impl Setup {
    fn rooms(&self, len: u64) -> Vec<Room> {
        let claim = async {
            let mut rooms = Vec::new();
            for number in 0..len {
                rooms.push(Room::claimed(&*self.store, number).await);
            }
            rooms
        };
        self.runtime.block_on(claim)
    }
}

const ROUNDS: u64 = 20;

/// Each room has one append of `batch` records in flight, `ROUNDS` times.
fn in_flight(bencher: Bencher<'_, '_>, sync: SyncPolicy, rooms: u64, batch: u64) {
    let setup = setup(sync);
    let mut rooms = setup.rooms(rooms);
    let records = u64::try_from(rooms.len()).expect("small") * ROUNDS * batch;
    bencher.counter(ItemsCount::new(records)).bench_local(|| {
        setup.runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for mut room in rooms.drain(..) {
                let store = Arc::clone(&setup.store);
                tasks.spawn(async move {
                    for _ in 0..ROUNDS {
                        room.append(&*store, batch).await;
                    }
                    room
                });
            }
            rooms = tasks.join_all().await;
        });
    });
    drop(setup.dir);
}

#[divan::bench(args = [1, 16, 64, 256], sample_count = 50)]
fn synced(bencher: Bencher<'_, '_>, rooms: u64) {
    in_flight(bencher, SyncPolicy::Always, rooms, 1);
}

#[divan::bench(args = [1, 64], sample_count = 50)]
fn synced_in_batches_of_64(bencher: Bencher<'_, '_>, rooms: u64) {
    in_flight(bencher, SyncPolicy::Always, rooms, 64);
}

#[divan::bench(args = [1, 64], sample_count = 50)]
fn buffered(bencher: Bencher<'_, '_>, rooms: u64) {
    in_flight(bencher, SyncPolicy::Interval(Duration::from_millis(100)), rooms, 1);
}

/// A room of 10,000 messages, one in ten of them edited.
fn large_room(setup: &Setup) -> RoomId {
    let mut room = setup.rooms(1).remove(0);
    setup.runtime.block_on(async {
        for _ in 0..100 {
            room.append(&*setup.store, 100).await;
        }
        let projection = Projection {
            head: RoomHead { seq: Seq(room.seq), ..RoomHead::default() },
            states: (1..=1_000).map(|n| (Seq(n * 10), Bytes::from_static(&[b'y'; 100]))).collect(),
            ..Projection::default()
        };
        setup.store.append(room.id, room.epoch, &[], &projection).await.expect("append");
    });
    room.id
}

#[divan::bench]
fn newest_50(bencher: Bencher<'_, '_>) {
    let setup = setup(SyncPolicy::Always);
    let room = large_room(&setup);
    bencher.bench_local(|| {
        let page = setup.store.read_log(room, Seq(u64::MAX), Direction::Backward, 50);
        assert_eq!(setup.runtime.block_on(page).expect("page").len(), 50);
    });
}

#[divan::bench]
fn forward_50_from_the_middle(bencher: Bencher<'_, '_>) {
    let setup = setup(SyncPolicy::Always);
    let room = large_room(&setup);
    bencher.bench_local(|| {
        let page = setup.store.read_log(room, Seq(5_000), Direction::Forward, 50);
        assert_eq!(setup.runtime.block_on(page).expect("page").len(), 50);
    });
}

#[divan::bench]
fn states_of_a_page_of_50(bencher: Bencher<'_, '_>) {
    let setup = setup(SyncPolicy::Always);
    let room = large_room(&setup);
    bencher.bench_local(|| {
        let states = setup.store.message_states(room, Seq(5_001), Seq(5_050));
        assert_eq!(setup.runtime.block_on(states).expect("states").len(), 5);
    });
}

#[divan::bench]
fn head(bencher: Bencher<'_, '_>) {
    let setup = setup(SyncPolicy::Always);
    let room = large_room(&setup);
    bencher.bench_local(|| setup.runtime.block_on(setup.store.head(room)).expect("head"));
}
