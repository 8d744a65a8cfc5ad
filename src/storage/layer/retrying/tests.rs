//! Each rule of the table, over stores that fail.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::*;
use crate::{
    circuit::CircuitOptions,
    domain::ids::Ordinal,
    storage::{
        conformance::{self, Fixture, filled, head, kind, member, message, room},
        embedded::EmbeddedStore,
        layer::{
            breaker::Breaker,
            encrypted::{Encrypted, toy::ToySealer},
            faulty::{FaultPlan, Faults, Faulty},
        },
    },
    store_conformance,
};

fn memory() -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::in_memory())
}

fn retrying(inner: impl Store) -> Retrying {
    Retrying::new(Arc::new(inner), RetryOptions::default())
}

/// As over a network: each attempt may fail before or after it happened, and the suite must not notice.
fn over_a_bad_network() -> Fixture {
    let faults = Faults { read_fail: 0.05, fail_before: 0.02, ..Faults::default() };
    let inner = Faulty::new(memory(), 7, FaultPlan::new(faults));
    let retrying = Retrying::new(Arc::new(inner), RetryOptions { attempts_max: 9, ..RetryOptions::default() });
    Fixture::new(Encrypted::new(Arc::new(retrying), Arc::new(ToySealer::default())))
}

fn network_stack() -> Fixture {
    let broken = Breaker::new(memory(), CircuitOptions::default());
    Fixture::new(Encrypted::new(Arc::new(retrying(broken)), Arc::new(ToySealer::default())))
}

store_conformance!(over_memory, Fixture::new(Retrying::new(memory(), RetryOptions::default())));
store_conformance!(with_breaker_and_encryption, network_stack());

/// A store that does with its next writes what a script says, and counts the attempts.
#[derive(Debug)]
struct Scripted {
    inner: Arc<dyn Store>,
    script: Mutex<VecDeque<Step>>,
    attempts: Mutex<Vec<&'static str>>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Happens, and fails.
    After(StoreErrorKind),
    /// Fails without happening.
    Before(StoreErrorKind),
}

use Step::{After, Before};
use StoreErrorKind::{Conflict, Fenced, Overloaded, Timeout, Unavailable};

impl Scripted {
    async fn around<T, F>(&self, op: Op, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        self.attempts.lock().push(op.name);
        let step = self.script.lock().pop_front();
        match step {
            None => call().await,
            Some(Before(kind)) => Err(StoreError::new(kind, op.name)),
            Some(After(kind)) => {
                call().await?;
                Err(StoreError::new(kind, op.name))
            }
        }
    }

    async fn append_around(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        self.around(Op::write("append"), || self.inner.append(room, epoch, records, projection)).await
    }
}

store_around!(Scripted);

struct Bench {
    scripted: Arc<Scripted>,
    store: Retrying,
}

impl Bench {
    fn new() -> Self {
        let scripted = Arc::new(Scripted { inner: memory(), script: Mutex::default(), attempts: Mutex::default() });
        let store = Retrying::new(Arc::clone(&scripted) as _, RetryOptions::default());
        Self { scripted, store }
    }

    fn script(&self, steps: &[Step]) {
        self.scripted.attempts.lock().clear();
        *self.scripted.script.lock() = steps.iter().copied().collect();
    }

    fn attempts(&self) -> usize {
        self.scripted.attempts.lock().len()
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_in_doubt_is_made_again_and_happens_once() {
    let bench = Bench::new();
    let (epoch, _) = filled(&bench.store, room(1), 1).await;
    for (seq, step) in [(2, After(Timeout)), (3, Before(Unavailable)), (4, Before(Overloaded)), (5, After(Unavailable))]
    {
        bench.script(&[step, step]);
        bench.store.append(room(1), epoch, &[message(room(1), seq, 1)], &head(seq)).await.unwrap();
        assert_eq!(bench.attempts(), 3, "{step:?}");
    }
    let log = bench.store.read_log(room(1), Seq(0), Direction::Forward, 10).await.unwrap();
    assert_eq!(log.iter().map(|record| record.seq.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn what_is_certain_is_not_tried_again() {
    let bench = Bench::new();
    let (epoch, _) = filled(&bench.store, room(1), 1).await;
    for step in [Before(Fenced), Before(Conflict), Before(StoreErrorKind::Invalid), Before(StoreErrorKind::Corrupt)] {
        bench.script(&[step]);
        assert!(bench.store.append(room(1), epoch, &[message(room(1), 2, 1)], &head(2)).await.is_err());
        assert_eq!(bench.attempts(), 1, "{step:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_doubt_is_not_forgotten_over_a_later_certainty() {
    let bench = Bench::new();
    let (epoch, _) = filled(&bench.store, room(1), 1).await;
    // The first attempt happened; then somebody else claimed the room, so that the second one is refused.
    bench.script(&[After(Timeout), Before(Fenced)]);
    let error = bench.store.append(room(1), epoch, &[message(room(1), 2, 1)], &head(2)).await.unwrap_err();
    assert_eq!((error.kind(), error.outcome()), (Timeout, Outcome::Unknown));
    assert_eq!(bench.store.head(room(1)).await.unwrap().unwrap().seq, Seq(2), "it had happened");
}

#[tokio::test(start_paused = true)]
async fn an_append_without_records_is_made_again_only_if_it_moves_positions() {
    let bench = Bench::new();
    let (epoch, _) = filled(&bench.store, room(1), 1).await;
    let position = Position { read_n: Ordinal(1), ..Position::default() };
    let moved = Projection { positions: vec![(UserId(1), position)], ..head(1) };
    bench.script(&[After(Timeout)]);
    bench.store.append(room(1), epoch, &[], &moved).await.unwrap();
    assert_eq!(bench.attempts(), 2);
    let joined = Projection { members: vec![member(1, "a")], ..head(1) };
    bench.script(&[After(Timeout)]);
    assert_eq!(kind(bench.store.append(room(1), epoch, &[], &joined).await), Timeout);
    assert_eq!(bench.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn writes_whose_second_time_would_differ_are_left_in_doubt() {
    let bench = Bench::new();
    bench.script(&[After(Timeout)]);
    assert_eq!(kind(bench.store.put_block(UserId(1), UserId(2), true).await), Timeout);
    bench.script(&[After(Unavailable)]);
    assert_eq!(kind(bench.store.put_profile(UserId(1), Bytes::from_static(b"x")).await), Unavailable);
    assert_eq!(bench.attempts(), 1);
    bench.script(&[Before(Overloaded)]);
    assert!(bench.store.put_block(UserId(1), UserId(3), true).await.unwrap(), "nothing had happened");
    assert_eq!(bench.attempts(), 2);
    for name in IDEMPOTENT {
        assert!(["claim", "release", "put_cursor", "p2p_room"].contains(name), "{name}: say why it is safe");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_and_time_are_bounded() {
    let bench = Bench::new();
    bench.script(&[Before(Timeout); 100]);
    assert_eq!(kind(bench.store.head(room(1)).await), Timeout);
    assert_eq!(bench.attempts(), RetryOptions::default().attempts_max);

    let options = RetryOptions {
        attempts_max: 1_000,
        deadlines: Deadlines { read: Duration::from_secs(2), write: Duration::from_secs(2) },
        ..RetryOptions::default()
    };
    let patient = Retrying::new(Arc::clone(&bench.scripted) as _, options);
    bench.script(&[Before(Timeout); 1_000]);
    let began = Instant::now();
    assert_eq!(kind(patient.head(room(1)).await), Timeout);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2) && took > Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_breaker_is_final() {
    let plan = FaultPlan::new(Faults { read_fail: 1.0, ..Faults::default() });
    let broken = Breaker::new(Arc::new(Faulty::new(memory(), 1, plan)), CircuitOptions::default());
    let circuit = broken.circuit();
    let store = retrying(broken);
    while circuit.opened() == 0 {
        assert!(store.head(room(1)).await.is_err());
    }
    let began = Instant::now();
    assert_eq!(store.claim(room(1)).await.unwrap_err().outcome(), Outcome::NotApplied);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn the_suite_does_not_notice_a_bad_network() {
    for _ in 0..10 {
        conformance::append::stores_what_it_is_given(over_a_bad_network().store()).await;
        conformance::append::the_same_again_writes_nothing(over_a_bad_network().store()).await;
        conformance::paging::forward(over_a_bad_network().store()).await;
    }
}
