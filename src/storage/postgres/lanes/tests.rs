//! Lanes with a worker that needs no server.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::storage::StoreErrorKind;

#[derive(Debug)]
struct Number(u32);

impl Job for Number {
    type Out = u32;

    fn room(&self) -> Option<RoomId> {
        (self.0 < 10).then(|| RoomId([u8::try_from(self.0 % 5).expect("below 5"); 16]))
    }

    fn size(&self) -> (usize, usize) {
        (1_000, 0)
    }
}

/// Doubles; panics at 13.
struct Double;

impl Worker<Number> for Double {
    async fn work(&self, group: Vec<Ticket<Number>>) -> HeldUp<Number> {
        for ticket in group {
            self.work_alone(ticket).await;
        }
        Vec::new()
    }

    async fn work_alone(&self, ticket: Ticket<Number>) -> Option<Ticket<Number>> {
        assert_ne!(ticket.job.0, 13, "asked for");
        let doubled = ticket.job.0 * 2;
        ticket.answer(Ok(doubled));
        None
    }
}

fn tickets(numbers: impl IntoIterator<Item = u32>) -> VecDeque<Ticket<Number>> {
    numbers.into_iter().map(|number| Ticket::new(Number(number), oneshot::channel().0)).collect()
}

fn numbers(tickets: impl IntoIterator<Item = Ticket<Number>>) -> Vec<u32> {
    tickets.into_iter().map(|ticket| ticket.job.0).collect()
}

#[test]
fn a_group_has_one_job_of_a_room_and_not_too_many() {
    let mut waiting = tickets([3, 8, 1, 20, 21, 22, 23]);
    assert_eq!(numbers(next_group(&mut waiting)), [20, 21, 1, 3], "8 writes to the room of 3; 22 is one too many");
    assert_eq!(numbers(next_group(&mut waiting)), [22, 23, 8]);
    assert!(next_group(&mut waiting).is_empty());
}

/// The moment in which a lane goes is the one in which somebody comes: nobody is left waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_forgotten_when_a_lane_goes() {
    let lanes = Lanes::new(TaskKind::Append, Double, 1, Duration::from_secs(1));
    let all = async {
        for number in 100..50_100 {
            assert_eq!(lanes.submit(Number(number)).await.unwrap(), number * 2);
        }
    };
    tokio::time::timeout(Duration::from_secs(120), all).await.expect("no answer");
    while !lanes.is_idle() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_costs_its_group_alone() {
    let lanes = Lanes::new(TaskKind::Append, Double, 1, Duration::from_secs(1));
    assert_eq!(lanes.submit(Number(13)).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(lanes.submit(Number(14)).await.unwrap(), 28);
}

/// A step of a room.
#[derive(Debug)]
struct Step {
    room: u8,
    number: u32,
}

impl Job for Step {
    type Out = u32;

    fn room(&self) -> Option<RoomId> {
        Some(RoomId([self.room; 16]))
    }

    fn size(&self) -> (usize, usize) {
        (1, 0)
    }
}

#[derive(Default)]
struct State {
    held: HashSet<u8>,
    done: BTreeMap<u8, Vec<u32>>,
    /// How long a try alone takes.
    takes: Duration,
}

/// Which rooms are held, and what was done in each.
#[derive(Clone, Default)]
struct Rooms(Arc<Mutex<State>>);

impl Rooms {
    fn hold(&self, room: u8, is_held: bool) {
        let held = &mut self.0.lock().held;
        if is_held {
            held.insert(room)
        } else {
            held.remove(&room)
        };
    }

    fn done(&self) -> BTreeMap<u8, Vec<u32>> {
        self.0.lock().done.clone()
    }

    fn try_one(&self, ticket: Ticket<Step>) -> Option<Ticket<Step>> {
        let (room, number) = (ticket.job.room, ticket.job.number);
        let mut state = self.0.lock();
        if state.held.contains(&room) {
            return Some(ticket);
        }
        state.done.entry(room).or_default().push(number);
        drop(state);
        ticket.answer(Ok(number));
        None
    }
}

impl Worker<Step> for Rooms {
    /// As a database does it: one that is held holds up the whole group.
    async fn work(&self, group: Vec<Ticket<Step>>) -> HeldUp<Step> {
        tokio::task::yield_now().await;
        let is_held = group.iter().any(|ticket| self.0.lock().held.contains(&ticket.job.room));
        if is_held { group } else { group.into_iter().filter_map(|ticket| self.try_one(ticket)).collect() }
    }

    async fn work_alone(&self, ticket: Ticket<Step>) -> Option<Ticket<Step>> {
        let takes = self.0.lock().takes;
        tokio::time::sleep(takes).await;
        assert_ne!(ticket.job.number, 999, "asked for");
        self.try_one(ticket)
    }
}

type Steps = Arc<Lanes<Step, Rooms>>;

fn begin(lanes: &Steps, room: u8, number: u32) -> tokio::task::JoinHandle<Outcome<u32>> {
    let lanes = Arc::clone(lanes);
    tasks::spawn(TaskKind::Append, async move { lanes.submit(Step { room, number }).await })
}

/// Longer than any of them may wait. The clock is paused: what would hang fails at once.
const NEVER: Duration = Duration::from_hours(48);

async fn answer(step: tokio::task::JoinHandle<Outcome<u32>>) -> Outcome<u32> {
    tokio::time::timeout(NEVER, step).await.expect("no answer").expect("submitting does not panic")
}

async fn settled(lanes: &Steps) {
    let idle = async {
        while !lanes.is_idle() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(NEVER, idle).await.expect("somebody stays");
}

/// Rooms are held and let go while each gets its steps: all are done, in their order, once.
#[tokio::test(start_paused = true)]
async fn each_room_keeps_its_order_whoever_is_held() {
    for seed in 0..200_u64 {
        let mut random = StdRng::seed_from_u64(seed);
        let rooms = Rooms::default();
        let lanes: Steps = Arc::new(Lanes::new(TaskKind::Append, rooms.clone(), 2, Duration::from_hours(1)));
        let mut begun = Vec::new();
        let mut next = BTreeMap::<u8, u32>::new();
        for _ in 0..60 {
            let room = random.random_range(0..4_u8);
            match random.random_range(0..6_u8) {
                0 => rooms.hold(room, true),
                1 => rooms.hold(room, false),
                2 => tokio::time::sleep(Duration::from_millis(random.random_range(0..50))).await,
                _ => {
                    let number = next.entry(room).or_default();
                    *number += 1;
                    begun.push(begin(&lanes, room, *number));
                    tokio::task::yield_now().await;
                }
            }
        }
        (0..4).for_each(|room| rooms.hold(room, false));
        for step in begun {
            answer(step).await.unwrap();
        }
        let all: BTreeMap<u8, Vec<u32>> = next.into_iter().map(|(room, last)| (room, (1..=last).collect())).collect();
        assert_eq!(rooms.done(), all, "seed {seed}");
        settled(&lanes).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_room_waits_as_long_as_its_patience_and_others_do_not() {
    let rooms = Rooms::default();
    let patience = Duration::from_secs(3);
    let lanes: Steps = Arc::new(Lanes::new(TaskKind::Append, rooms.clone(), 1, patience));
    rooms.hold(1, true);
    let began = Instant::now();
    let (stuck, free) = (begin(&lanes, 1, 1), begin(&lanes, 2, 1));
    answer(free).await.unwrap();
    answer(begin(&lanes, 3, 1)).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    assert_eq!(answer(stuck).await.unwrap_err().kind(), StoreErrorKind::Overloaded);
    assert!(began.elapsed() >= patience && began.elapsed() < patience * 2);
    settled(&lanes).await;
    rooms.hold(1, false);
    answer(begin(&lanes, 1, 2)).await.unwrap();
    assert_eq!(rooms.done()[&1], [2], "what was refused is not done");
}

#[tokio::test(start_paused = true)]
async fn a_panic_aside_costs_those_of_its_round() {
    let rooms = Rooms::default();
    let lanes: Steps = Arc::new(Lanes::new(TaskKind::Append, rooms.clone(), 1, Duration::from_hours(1)));
    rooms.hold(1, true);
    let stuck = begin(&lanes, 1, 999);
    assert_eq!(answer(stuck).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    settled(&lanes).await;
    rooms.hold(1, false);
    answer(begin(&lanes, 1, 2)).await.unwrap();
    assert_eq!(rooms.done()[&1], [2]);
}

/// A slow database, and many that stepped aside: what comes too late is refused instead of written long after its caller
/// gave up.
#[tokio::test(start_paused = true)]
async fn no_try_begins_after_a_jobs_patience() {
    let rooms = Rooms::default();
    let patience = Duration::from_secs(3);
    let lanes: Steps = Arc::new(Lanes::new(TaskKind::Append, rooms.clone(), 1, patience));
    rooms.hold(1, true);
    rooms.0.lock().takes = Duration::from_secs(1);
    let began = Instant::now();
    let steps: Vec<_> = (1..=8).map(|room| begin(&lanes, room, 1)).collect();
    let (mut done, mut refused) = (0, 0);
    for step in steps {
        match answer(step).await {
            Ok(_) => done += 1,
            Err(fault) if fault.kind() == StoreErrorKind::Overloaded => refused += 1,
            Err(fault) => panic!("{fault}"),
        }
    }
    assert!(began.elapsed() <= patience + Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((done, refused, rooms.done().len()), (2, 6, 2));
    settled(&lanes).await;
}
