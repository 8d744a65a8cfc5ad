//! What stored forms cost: `cargo bench --bench codec`.
//!
//! The row that matters is `decode_page`: fifty messages, which is what a client asks for when it opens a room.

use std::sync::Arc;

use divan::{Bencher, black_box, counter::ItemsCount};
use tertulia::{
    domain::{
        event::{Event, EventBody},
        ids::{BodyHash, ClientMessageId, MessageId, Ordinal, RoomId, Seq, UserId},
        message::{Draft, Message},
    },
    storage::{Record, codec},
};

const ROOM: RoomId = RoomId([7; 16]);
const PAGE: u64 = 50;

fn main() {
    divan::main();
}

fn message(seq: u64, bytes: usize) -> Message {
    Message {
        id: MessageId(i64::try_from(seq).unwrap_or(i64::MAX)),
        room: ROOM,
        seq: Seq(seq),
        n: Ordinal(seq),
        sender: UserId(1),
        at_ms: 1_790_000_000_000,
        client_id: ClientMessageId("0190f7c5-7c5b-7d5e-8f1a-3b2c1d0e9f8a".into()),
        hash: BodyHash([0xab; 16]),
        draft: Arc::new(Draft { content: "m".repeat(bytes), sender_name: String::from("Ana"), ..Draft::default() }),
        edited_at_ms: 0,
        edits: Vec::new(),
        deleted: false,
        reactions: Vec::new(),
        pinned: false,
        wire: Default::default(),
    }
}

fn event(message: Message) -> Event {
    Event {
        room: ROOM,
        seq: message.seq,
        n: message.n,
        at_ms: message.at_ms,
        actor: message.sender,
        body: EventBody::Message(Arc::new(message)),
    }
}

#[divan::bench(args = [100, 1_000, 65_536])]
fn encode_event(bencher: Bencher<'_, '_>, bytes: usize) {
    let event = event(message(1, bytes));
    bencher.bench_local(|| codec::encode_event(black_box(&event)));
}

#[divan::bench(args = [100, 1_000, 65_536])]
fn decode_event(bencher: Bencher<'_, '_>, bytes: usize) {
    let record = codec::encode_event(&event(message(1, bytes)));
    bencher.bench_local(|| codec::decode_event(ROOM, black_box(&record)));
}

#[divan::bench(args = [100, 1_000])]
fn decode_page(bencher: Bencher<'_, '_>, bytes: usize) {
    let records: Vec<Record> = (1..=PAGE).map(|seq| codec::encode_event(&event(message(seq, bytes)))).collect();
    bencher.counter(ItemsCount::new(PAGE)).bench_local(|| {
        let page: Result<Vec<Message>, _> =
            black_box(&records).iter().map(|record| codec::decode_message(ROOM, record)).collect();
        page
    });
}

/// A message with edits and reactions: what a page reads beside the log.
#[divan::bench(args = [100, 1_000])]
fn decode_state(bencher: Bencher<'_, '_>, bytes: usize) {
    let mut changed = message(1, bytes);
    changed.edits = (2..12).map(Seq).collect();
    changed.reactions = (0..8).map(|i| (format!("r{i}"), i)).collect();
    let body = codec::encode_state(&changed);
    bencher.bench_local(|| codec::decode_state(ROOM, black_box(&body)));
}
