//! How fast appends are. Not a test: `cargo test --lib storage::postgres::tests::rates -- --ignored --nocapture`.
//! Of what it prints, rates of the development profile on a busy machine are lower bounds.

use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use super::*;
use crate::{
    domain::ids::{Epoch, MessageId, Ordinal, Seq, UserId},
    storage::{LogStore as _, Position, Projection, Record, RoomHead, conformance::message},
};

const RUN: Duration = Duration::from_secs(4);

/// A room with its next place, as its actor would know it.
struct Room {
    id: RoomId,
    epoch: Epoch,
    seq: u64,
    number: u64,
}

impl Room {
    async fn claimed(store: &PostgresStore, number: u64) -> Self {
        let mut id = [0x40; 16];
        // Spread like random ids.
        id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let epoch = store.claim(RoomId(id)).await.unwrap();
        let head = store.head(RoomId(id)).await.unwrap().unwrap_or_default();
        Self { id: RoomId(id), epoch, seq: head.seq.0, number }
    }

    /// Appends `len` messages of 150 bytes in one batch, with what a send changes.
    async fn append(&mut self, store: &PostgresStore, len: u64) {
        static NEXT_ID: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1);
        let record = |seq: u64| {
            let mut record = message(self.id, seq, self.number.cast_signed());
            let key = record.message.as_mut().unwrap();
            key.id = MessageId(NEXT_ID.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
            key.client_id.0 = format!("01890a5d-ac96-774b-bcce-{:012}", key.id.0).into();
            Record { body: bytes::Bytes::from(vec![7; 150]), ..record }
        };
        let records: Vec<_> = (self.seq + 1..=self.seq + len).map(record).collect();
        self.seq += len;
        let position = Position { sent_n: Ordinal(self.seq), ..Position::default() };
        let projection = Projection {
            head: RoomHead { seq: Seq(self.seq), n: Ordinal(self.seq), ..RoomHead::default() },
            positions: vec![(UserId(self.number.cast_signed()), position)],
            ..Projection::default()
        };
        store.append(self.id, self.epoch, &records, &projection).await.unwrap();
    }
}

fn report(what: &str, mut took: Vec<Duration>, messages: u64, ran: Duration) {
    took.sort_unstable();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    let rate = |count: f64| count / ran.as_secs_f64();
    println!(
        "{what:<44} {:>8.0} messages/s {:>8.0} appends/s  p50 {:>6.2} ms  p99 {:>6.2} ms",
        rate(messages as f64),
        rate(took.len() as f64),
        at(0.5),
        at(0.99)
    );
}

async fn one_room(store: &PostgresStore, number: u64, batch: u64) {
    let mut room = Room::claimed(store, number).await;
    for _ in 0..50 {
        room.append(store, batch).await;
    }
    let (began, mut took) = (Instant::now(), Vec::new());
    while began.elapsed() < RUN {
        let at = Instant::now();
        room.append(store, batch).await;
        took.push(at.elapsed());
    }
    let messages = took.len() as u64 * batch;
    report(&format!("one room, one append of {batch} in flight"), took, messages, began.elapsed());
}

async fn many_rooms(store: &PostgresStore, rooms: u64, in_flight: usize, lanes: usize) {
    let began = Instant::now();
    let ids: Vec<Room> = stream::iter(0..rooms).map(|n| Room::claimed(store, 1_000 + n)).buffered(64).collect().await;
    println!("{rooms} rooms claimed in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    let free = Arc::new(parking_lot::Mutex::new(std::collections::VecDeque::from(ids)));
    let began = Instant::now();
    let sender = |_| {
        let free = Arc::clone(&free);
        async move {
            let mut took = Vec::new();
            while began.elapsed() < RUN {
                let mut room = free.lock().pop_front().expect("more rooms than senders");
                let at = Instant::now();
                room.append(store, 1).await;
                took.push(at.elapsed());
                free.lock().push_back(room);
            }
            took
        }
    };
    let took: Vec<_> = futures_util::future::join_all((0..in_flight).map(sender)).await.concat();
    let messages = took.len() as u64;
    report(&format!("{rooms} rooms, {in_flight} in flight, {lanes} lanes"), took, messages, began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, and needs a quiet machine"]
async fn rates() {
    for lanes in [1, 2, 3, 4, 8] {
        let Some((options, _guard)) = schema() else { return };
        let store = PostgresStore::open(&PostgresOptions { append_lanes: lanes, ..options }).await.unwrap();
        if lanes == 1 {
            for (number, batch) in [(1, 1), (2, 16), (3, 64), (4, 256)] {
                one_room(&store, number, batch).await;
            }
        }
        many_rooms(&store, 500, 64, lanes).await;
        many_rooms(&store, 500, 128, lanes).await;
        store.close().await.unwrap();
    }
}
