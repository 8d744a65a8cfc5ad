//! What a room's rules cost a batch of 64 sends: `cargo bench --bench room_core`.
//!
//! The rows that matter are `decide` and `apply`: they run for every append, under the room's lock.

use std::{collections::BTreeMap, sync::Arc};

use divan::{Bencher, black_box, counter::ItemsCount};
use tertulia::{
    domain::{
        ids::{ClientMessageId, Epoch, MessageId, RoomId, UserId},
        message::Draft,
        room::{Author, Batch, Change, Command, Role, RoomInfo, RoomState, RoomType, Send, Subject},
        snowflake::Snowflakes,
    },
    storage::project,
};

const ROOM: RoomId = RoomId([7; 16]);
const NOW_MS: i64 = 1_790_000_000_000;
const SENDS: usize = 64;
/// Messages a room keeps warm by default.
const WARM: usize = 256;

fn main() {
    divan::main();
}

fn author(user: i64) -> Author {
    Author { user: UserId(user), admin: false }
}

fn sends(round: usize) -> Vec<Send> {
    let one = |i: usize| {
        let draft = Draft { content: "m".repeat(100), sender_name: String::from("Ana"), ..Draft::default() };
        Send {
            author: author(1 + i64::try_from(i % 4).unwrap_or(0)),
            hash: draft.hash(ROOM),
            draft: Arc::new(draft),
            client_id: ClientMessageId(format!("client-{round}-{i}").into()),
            absent_until: tertulia::domain::ids::Seq(u64::MAX),
        }
    };
    (0..SENDS).map(one).collect()
}

fn decided(state: &RoomState, sends: &[Send]) -> Change {
    let mut ids = Snowflakes::new(1);
    let mut batch = Batch::new(state, NOW_MS);
    for send in sends {
        batch.send(send, |floor: MessageId| ids.next(NOW_MS, floor)).expect("the senders are members");
    }
    batch.finish()
}

/// A group of `members` whose warm tail is full.
fn room(members: usize) -> RoomState {
    let mut state = RoomState::empty(ROOM, Epoch(1), WARM);
    let info = RoomInfo {
        id: ROOM,
        room_type: RoomType::Group,
        name: String::from("the corner table"),
        description: String::new(),
        picture: String::new(),
        created_at_ms: NOW_MS,
        creator: UserId(1),
        members_can_send: true,
        join_all_users: false,
        history_visible: false,
        encryption_data: String::new(),
        deleted: false,
        denied: Vec::new(),
        creation: Default::default(),
    };
    let members: BTreeMap<UserId, Role> =
        (1..=i64::try_from(members).unwrap_or(i64::MAX)).map(|user| (UserId(user), Role::Owner)).collect();
    let create = Command::Create { info: Arc::new(info), members: members.into_iter().collect() };
    let change = state.decide(author(1), &create, &Subject::default(), NOW_MS, usize::MAX).expect("a room can be made");
    state.apply(&change);
    for round in 0..2 * WARM / SENDS {
        let change = decided(&state, &sends(round));
        state.apply(&change);
    }
    state
}

#[divan::bench(args = [4, 1_000, 100_000])]
fn decide(bencher: Bencher<'_, '_>, members: usize) {
    let (state, sends) = (room(members), sends(1_000));
    bencher.counter(ItemsCount::new(SENDS)).bench_local(|| decided(black_box(&state), &sends));
}

#[divan::bench(args = [4, 1_000, 100_000])]
fn apply(bencher: Bencher<'_, '_>, members: usize) {
    let state = room(members);
    let change = decided(&state, &sends(1_000));
    bencher
        .counter(ItemsCount::new(SENDS))
        .with_inputs(|| state.clone())
        .bench_local_refs(|state| state.apply(black_box(&change)));
}

/// The rows that go to the store: encoding included.
#[divan::bench(args = [4, 1_000])]
fn rows(bencher: Bencher<'_, '_>, members: usize) {
    let state = room(members);
    let change = decided(&state, &sends(1_000));
    bencher.counter(ItemsCount::new(SENDS)).bench_local(|| project::rows(black_box(&state), &change));
}

/// What tells a retry from another message, once a send.
#[divan::bench(args = [100, 1_000, 65_536])]
fn hash(bencher: Bencher<'_, '_>, bytes: usize) {
    let draft = Draft { content: "m".repeat(bytes), ..Draft::default() };
    bencher.bench_local(|| black_box(&draft).hash(ROOM));
}
