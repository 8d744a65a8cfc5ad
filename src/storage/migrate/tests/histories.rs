//! Random lives of several rooms, by the real rules, copied whole or in the middle of them.

use std::sync::Arc;

use proptest::prelude::*;

use super::{assert_equal, compared, copied, memory, options};
use crate::{
    domain::{
        event::EventBody,
        ids::{Epoch, MessageId, RoomId, Seq, UserId},
        invariants::{HistoryChecker, Kind, ObservedEvent, ObservedMessage},
        room::{
            RoomType,
            tests::{
                ROOM,
                life::a_life,
                world::{Done, Step, World},
            },
        },
    },
    storage::{Direction, Record, Store, codec, conformance::room, migrate, project},
};

type Life = (RoomType, usize, Vec<Step>);

/// A room that lives in a store. Message ids are made different from those of other rooms.
struct Living {
    id: RoomId,
    number: i64,
    world: World,
    steps: std::vec::IntoIter<Step>,
    epoch: Epoch,
}

impl Living {
    async fn born(store: &dyn Store, number: u32, (room_type, tail_max, steps): Life) -> Self {
        // The first one keeps its real id, so that what is stored still reads as events.
        let id = if number == 0 { ROOM } else { room(number) };
        let (world, done) = World::new(room_type, tail_max);
        let epoch = store.claim(id).await.unwrap();
        let mut this = Self { id, number: i64::from(number), world, steps: steps.into_iter(), epoch };
        this.write(store, &done).await;
        this
    }

    async fn write(&mut self, store: &dyn Store, done: &Done) {
        let (mut records, mut projection) = project::rows(&done.before, &done.change);
        let shift = |id: MessageId| if id.0 == 0 { id } else { MessageId(id.0 + (self.number << 50)) };
        for key in records.iter_mut().filter_map(|record| record.message.as_mut()) {
            key.id = shift(key.id);
        }
        projection.head.message_id = shift(projection.head.message_id);
        store.append(self.id, self.epoch, &records, &projection).await.unwrap();
    }

    /// Does up to `steps` of what is left; whether there is more.
    async fn live(&mut self, store: &dyn Store, steps: usize) -> bool {
        for _ in 0..steps {
            let Some(step) = self.steps.next() else {
                return false;
            };
            let user = UserId(i64::try_from(self.steps.len()).unwrap() % 6 + 1);
            store.put_profile(user, format!("{}", self.steps.len()).into()).await.unwrap();
            store.hide_message(user, self.id, self.world.state.head.seq).await.unwrap();
            if let Some(done) = self.world.step(step) {
                self.write(store, &done).await;
            }
        }
        true
    }
}

/// Lets all rooms live for some steps each, in turns.
async fn live(store: &dyn Store, rooms: &mut [Living], mut turns: usize) {
    let mut more = true;
    while more && turns > 0 {
        turns -= 1;
        more = false;
        for living in rooms.iter_mut() {
            more |= living.live(store, 3).await;
        }
    }
}

async fn born(store: &dyn Store, lives: Vec<Life>) -> Vec<Living> {
    let mut rooms = Vec::new();
    for (number, life) in (0..).zip(lives) {
        rooms.push(Living::born(store, number, life).await);
    }
    rooms
}

async fn log(store: &dyn Store, room: RoomId) -> Vec<Record> {
    store.read_log(room, Seq(0), Direction::Forward, usize::MAX).await.unwrap()
}

/// What must hold in every room holds in the copy.
async fn check_invariants(store: &dyn Store) {
    let mut checker = HistoryChecker::new();
    for record in log(store, ROOM).await {
        let event = codec::decode_event(ROOM, &record).unwrap();
        let (mut joined, mut left) = (Vec::new(), Vec::new());
        let kind = match &event.body {
            EventBody::Message(_) => Kind::Message,
            EventBody::Created { members, .. } | EventBody::Joined { members } => {
                joined = members.iter().map(|(user, _)| user.0).collect();
                Kind::Members
            }
            EventBody::Left { users, .. } => {
                left = users.iter().map(|user| user.0).collect();
                Kind::Members
            }
            EventBody::Closed => Kind::RoomDeleted,
            _ => Kind::Other,
        };
        let message = event.message().map(|m| ObservedMessage {
            n: m.n.0.cast_signed(),
            id: m.id.0,
            sender: m.sender.0,
            client_message_id: m.client_id.to_string(),
            body_hash: u64::from_be_bytes(std::array::from_fn(|place| m.hash.0[place])),
            system: true,
        });
        let observed = ObservedEvent {
            seq: event.seq.0.cast_signed(),
            epoch: record.epoch.0.cast_signed(),
            head_n: Some(event.n.0.cast_signed()),
            kind,
            message,
            joined,
            left,
        };
        checker.observe(&observed).unwrap();
    }
}

async fn whole(lives: Vec<Life>) {
    let (from, to) = (memory(), memory());
    let mut rooms = born(&*from, lives).await;
    live(&*from, &mut rooms, usize::MAX).await;
    let copied = copied(&from, &to).await.unwrap();
    assert_eq!(copied.out_of_order, 0, "the source says which message came first");
    assert_equal(&compared(&from, &to).await);
    check_invariants(&*to).await;
}

/// Copies again and again between what happens.
async fn while_it_lives(lives: Vec<Life>) {
    let (from, to) = (memory(), memory());
    let mut rooms = born(&*from, lives).await;
    for _ in 0..4 {
        live(&*from, &mut rooms, 1).await;
        copied(&from, &to).await.unwrap();
        assert_equal(&compared(&from, &to).await);
    }
    live(&*from, &mut rooms, usize::MAX).await;
    copied(&from, &to).await.unwrap();
    assert_equal(&compared(&from, &to).await);
    check_invariants(&*to).await;
}

/// A reader of a store that is written to meanwhile brings what the next copy completes.
async fn beside_a_writer(lives: Vec<Life>) {
    let (from, to) = (memory(), memory());
    let slow: Arc<dyn Store> = {
        use crate::storage::layer::faulty::{FaultPlan, Faults, Faulty};
        let delay_max = std::time::Duration::from_millis(3);
        let faults = Faults { read_delay: 0.5, delay_max, ..Faults::default() };
        Arc::new(Faulty::new(Arc::clone(&from), 7, FaultPlan::new(faults)))
    };
    let mut rooms = born(&*from, lives).await;
    let write = async {
        for _ in 0..30 {
            live(&*from, &mut rooms, 1).await;
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let read = async {
        for _ in 0..3 {
            migrate::copy(Arc::clone(&slow), Arc::clone(&to), options(), Arc::default()).await.unwrap();
        }
    };
    tokio::join!(write, read);
    copied(&from, &to).await.unwrap();
    assert_equal(&compared(&from, &to).await);
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap().block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_history_comes_over(lives in prop::collection::vec(a_life(), 1..4)) {
        run(whole(lives));
    }

    #[test]
    fn any_history_comes_over_in_parts(lives in prop::collection::vec(a_life(), 1..4)) {
        run(while_it_lives(lives));
    }

    #[test]
    fn what_changes_meanwhile_comes_with_the_next_copy(lives in prop::collection::vec(a_life(), 1..3)) {
        run(beside_a_writer(lives));
    }
}
