//! One sender's message with one client id in two rooms: the room that had it first keeps the id.

use std::sync::Arc;

use super::{
    super::{
        Copied, Work,
        room::{Brought, Turn, bring},
        rooms::{Waiting, settle},
    },
    assert_equal, bytes, compared, copied, memory, options,
};
use crate::{
    domain::ids::{ClientMessageId, Epoch, RoomId},
    storage::{
        Projection, Record, Store,
        conformance::{head, message, room},
    },
};

fn said(room: RoomId, seq: u64, client_id: &str) -> Record {
    let mut record = message(room, seq, 1);
    if let Some(key) = &mut record.message {
        key.client_id = ClientMessageId(client_id.into());
    }
    record
}

pub(super) struct Writer {
    store: Arc<dyn Store>,
    room: RoomId,
    epoch: Epoch,
    seq: u64,
}

impl Writer {
    pub(super) async fn new(store: &Arc<dyn Store>, number: u32) -> Self {
        let epoch = store.claim(room(number)).await.unwrap();
        let mut this = Self { store: Arc::clone(store), room: room(number), epoch, seq: 0 };
        this.say("hello").await;
        this
    }

    pub(super) async fn say(&mut self, client_id: &str) {
        self.seq += 1;
        let client_id = if client_id == "hello" { format!("hello {}", self.room) } else { client_id.to_owned() };
        let record = said(self.room, self.seq, &client_id);
        let projection = Projection { room: Some(bytes("settings")), ..head(self.seq) };
        self.store.append(self.room, self.epoch, &[record], &projection).await.unwrap();
    }
}

#[tokio::test]
async fn the_first_room_keeps_the_id() {
    let (from, to) = (memory(), memory());
    let mut rooms = Vec::new();
    for number in 1..=5 {
        rooms.push(Writer::new(&from, number).await);
    }
    // Each id is first said in a later room: every room waits for the next one.
    for (client_id, places) in [("d", [4, 3]), ("c", [3, 2]), ("b", [2, 1]), ("a", [1, 0])] {
        for place in places {
            rooms[place].say(client_id).await;
        }
    }
    // And once the other way round, later.
    rooms[0].say("z").await;
    rooms[4].say("z").await;
    let copied = copied(&from, &to).await.unwrap();
    assert!(copied.waits > 0 && copied.out_of_order == 0, "{copied:?}");
    assert_equal(&compared(&from, &to).await);
}

/// The room that had the id first was brought before it was said there: it has to come again.
#[tokio::test]
async fn a_room_that_was_brought_too_early_comes_again() {
    let (from, to) = (memory(), memory());
    let (mut one, mut two) = (Writer::new(&from, 1).await, Writer::new(&from, 2).await);
    let work = Work::new(Arc::clone(&from), Arc::clone(&to), options(), Arc::default());
    let turn = Turn { in_order: true, stays_active: false, thorough: true };
    assert_eq!(bring(&work, one.room, turn).await.unwrap(), Brought::Done);
    one.say("x").await;
    two.say("x").await;
    assert_eq!(bring(&work, two.room, turn).await.unwrap(), Brought::WaitsFor(one.room));
    let mut copied = Copied::default();
    settle(&work, &Arc::default(), Waiting::from([(two.room, one.room)]), &mut copied).await.unwrap();
    assert_eq!(copied, Copied { rooms: 1, waits: 1, out_of_order: 0 });
    // What is beside the rooms.
    super::copied(&from, &to).await.unwrap();
    assert_equal(&compared(&from, &to).await);
}

/// The destination gave the id to a third room, and the one that is waited for has something new each time.
#[tokio::test]
async fn a_room_that_waits_in_vain_does_not_wait_for_ever() {
    let (from, to) = (memory(), memory());
    let (mut one, mut two) = (Writer::new(&from, 1).await, Writer::new(&from, 2).await);
    one.say("x").await;
    two.say("x").await;
    Writer::new(&to, 8).await.say("x").await;
    let writes = async {
        loop {
            one.say(&format!("{}", one.seq)).await;
            tokio::task::yield_now().await;
        }
    };
    let copy = tokio::time::timeout(std::time::Duration::from_secs(30), copied(&from, &to));
    let copied = tokio::select! { biased; copied = copy => copied, () = writes => unreachable!("it goes on for ever") };
    assert_eq!(copied.expect("it ends").unwrap().out_of_order, 1);
}

/// A source whose look-ups lead in a circle can only be damaged: everything is brought, and the comparison says what
/// could not be.
#[tokio::test]
async fn a_circle_is_broken_and_named() {
    let (from, to) = (memory(), memory());
    let (mut one, mut two) = (Writer::new(&from, 1).await, Writer::new(&from, 2).await);
    // The destination gives the ids away before.
    let other = Writer::new(&to, 9).await;
    drop(other);
    one.say("x").await;
    two.say("x").await;
    let mut thief = Writer::new(&to, 8).await;
    thief.say("x").await;
    let copied = copied(&from, &to).await.unwrap();
    assert_eq!((copied.rooms, copied.out_of_order), (2, 1));
    let verdict = compared(&from, &to).await;
    let found: Vec<String> = verdict.differences.iter().map(ToString::to_string).collect();
    assert!(
        found.iter().any(|line| line.starts_with("client message id") && line.contains("x of user 1")),
        "{found:?}"
    );
    assert!(found.iter().any(|line| line.contains(&room(8).to_string())), "{found:?}");
}
