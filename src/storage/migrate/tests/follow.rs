//! A second store that follows the first one while it is written to: brought up to date, cut off, killed, and made the
//! first one.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{
    ANA, BEN, EVA, Position, Projection, RoomPrefs, assert_equal, bytes, compared, full, memory, options,
    order::Writer, pair, town,
};
use crate::{
    domain::ids::{RoomId, Seq, UserId},
    storage::{
        Direction, Store,
        conformance::{head, message, room},
        consumers::MESSAGE_IDS,
        layer::{
            faulty::{FaultPlan, Faults, Faulty},
            mirrored::{Marks, Mirrored},
        },
        migrate::{Following, follow},
    },
    tasks::{self, TaskKind},
};

/// A first store that is followed by a second one.
struct Followed {
    store: Arc<dyn Store>,
    marks: Marks,
    stop: CancellationToken,
    follower: JoinHandle<bool>,
}

fn followed(from: &Arc<dyn Store>, to: &Arc<dyn Store>) -> Followed {
    let (marks, stop) = (Marks::of_unknown(), CancellationToken::new());
    let store = Arc::new(Mirrored::new(Arc::clone(from), marks.clone()).reading_from(Arc::clone(to)));
    let following = Following::new(marks.clone());
    let follow = follow(Arc::clone(from), Arc::clone(to), following, options(), stop.clone());
    let follower = tasks::spawn(TaskKind::Migrate, follow);
    Followed { store, marks, stop, follower }
}

impl Followed {
    async fn caught_up(&self) {
        while self.marks.behind() != Some(0) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn stopped(self) -> bool {
        self.stop.cancel();
        self.follower.await.unwrap()
    }

    async fn killed(self) {
        self.follower.abort();
        drop(self.follower.await);
    }
}

/// Writes of all kinds, number `round`.
async fn busy(store: &dyn Store, round: u64) {
    for number in 10..30 {
        say(store, room(number)).await;
    }
    let user = UserId(i64::try_from(round).unwrap() + 100);
    store.put_profile(user, Bytes::from(format!("round {round}"))).await.unwrap();
    store.put_block(BEN, EVA, round.is_multiple_of(2)).await.unwrap();
    store.put_sync_state(pair(), "irc", Bytes::from(format!("round {round}"))).await.unwrap();
    store.put_join_job(pair(), round.is_multiple_of(3).then(|| bytes("job"))).await.unwrap();
    store.put_prefs(ANA, full(), RoomPrefs { muted_until_ms: 7, ..RoomPrefs::default() }).await.unwrap();
    store.hide_message(ANA, full(), Seq(round + 1)).await.unwrap();
    store.put_cursor("bus", pair(), Seq(round)).await.unwrap();
}

async fn say(store: &dyn Store, room: RoomId) {
    let epoch = store.claim(room).await.unwrap();
    let last = store.head(room).await.unwrap().unwrap();
    let seq = last.seq.0 + 1;
    let positions = vec![(ANA, Position { read_seq: last.seq, ..Position::default() })];
    let projection = Projection { positions, ..head(seq) };
    store.append(room, epoch, &[message(room, seq, 1)], &projection).await.unwrap();
    store.release(room, epoch).await.unwrap();
    let newest = store.read_log(room, last.seq, Direction::Forward, 9).await.unwrap();
    assert_eq!(newest.len(), 1, "a read sees what was acknowledged before it, from wherever it comes");
}

fn slow(store: &Arc<dyn Store>, seed: u64) -> (Arc<dyn Store>, FaultPlan) {
    let delay_max = Duration::from_millis(4);
    let faults = Faults {
        fail_before: 0.05,
        fail_after: 0.05,
        delay_before: 0.5,
        read_delay: 0.2,
        delay_max,
        ..Faults::default()
    };
    let plan = FaultPlan::new(faults);
    (Arc::new(Faulty::new(Arc::clone(store), seed, plan.clone())), plan)
}

#[tokio::test(start_paused = true)]
async fn the_second_store_catches_up_and_stays() {
    let (from, to) = (town().await, memory());
    let (slow, _) = slow(&to, 1);
    let followed = followed(&from, &slow);
    for round in 0..20 {
        busy(&*followed.store, round).await;
        tokio::time::sleep(Duration::from_millis(50 * (round % 5))).await;
    }
    followed.caught_up().await;
    busy(&*followed.store, 21).await;
    from.put_cursor(MESSAGE_IDS.0, MESSAGE_IDS.1, Seq(2_000)).await.unwrap();
    assert!(followed.stopped().await, "a follower that is stopped brings what is left");
    assert_eq!(to.cursor(MESSAGE_IDS.0, MESSAGE_IDS.1).await.unwrap(), Seq(2_000));
    assert_equal(&compared(&from, &to).await);
}

/// The second store gave the first one's client id to a third room: a damage, which must not hold all else up.
#[tokio::test(start_paused = true)]
async fn a_room_that_waits_in_vain_is_brought_all_the_same() {
    let (from, to) = (memory(), memory());
    let followed = followed(&from, &to);
    followed.caught_up().await;
    Writer::new(&to, 8).await.say("x").await;
    let (mut one, mut two) = (Writer::new(&followed.store, 1).await, Writer::new(&followed.store, 2).await);
    one.say("x").await;
    two.say("x").await;
    tokio::time::timeout(Duration::from_secs(600), followed.caught_up()).await.expect("the second store is level");
    assert!(followed.stopped().await);
    assert_eq!(to.head(room(2)).await.unwrap().unwrap().seq, Seq(2));
}

#[tokio::test(start_paused = true)]
async fn a_second_store_that_is_away_holds_nobody_up() {
    let (from, to) = (town().await, memory());
    let (slow, plan) = slow(&to, 2);
    let followed = followed(&from, &slow);
    followed.caught_up().await;
    let working = plan.get();
    plan.set(Faults { fail_before: 1.0, read_fail: 1.0, ..Faults::default() });
    for round in 0..5 {
        busy(&*followed.store, round).await;
        tokio::time::sleep(Duration::from_secs(20)).await;
    }
    assert!(followed.marks.behind().is_some_and(|behind| behind > 20));
    plan.set(working);
    followed.caught_up().await;
    assert!(followed.stopped().await);
    assert_equal(&compared(&from, &to).await);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_the_next_one_finds_what_is_missing() {
    let (from, to) = (town().await, memory());
    let (slow, _) = slow(&to, 3);
    for round in 0..15 {
        let followed = followed(&from, &slow);
        busy(&*followed.store, round).await;
        tokio::time::sleep(Duration::from_millis(30 * round)).await;
        busy(&*followed.store, round + 100).await;
        followed.killed().await;
    }
    assert!(!compared(&from, &to).await.equal, "there was something to find");
    let last = followed(&from, &slow);
    last.caught_up().await;
    assert!(last.stopped().await);
    assert_equal(&compared(&from, &to).await);
}

/// Phases 1 to 4 and back: the second becomes the first, is written to, and the old one follows it.
#[tokio::test(start_paused = true)]
async fn there_and_back() {
    let (old, new) = (town().await, memory());
    let there = followed(&old, &new);
    busy(&*there.store, 1).await;
    there.caught_up().await;
    busy(&*there.store, 2).await;
    assert!(there.stopped().await);
    assert_equal(&compared(&old, &new).await);

    let back = followed(&new, &old);
    busy(&*back.store, 3).await;
    back.caught_up().await;
    busy(&*back.store, 4).await;
    assert!(back.stopped().await);
    assert_equal(&compared(&new, &old).await);

    let again = followed(&old, &new);
    busy(&*again.store, 5).await;
    assert!(again.stopped().await);
    assert_equal(&compared(&old, &new).await);
}
