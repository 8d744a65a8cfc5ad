//! The circuit by its clock, and the decorator over a store that fails.

use std::time::Duration;

use super::*;
use crate::{
    storage::{
        Outcome,
        conformance::{Fixture, event, filled, head, kind, message, room},
        embedded::EmbeddedStore,
        layer::faulty::{FaultPlan, Faults, Faulty},
    },
    store_conformance,
};

fn memory() -> Arc<dyn Store> {
    Arc::new(EmbeddedStore::in_memory())
}

store_conformance!(over_memory, Fixture::new(Breaker::new(memory(), CircuitOptions::default())));

const OPTIONS: CircuitOptions = CircuitOptions {
    window: Duration::from_secs(10),
    failures_min: 3,
    failure_share: 0.5,
    open_min: Duration::from_secs(1),
    open_max: Duration::from_secs(3),
    trials: 2,
    hung_after: Duration::from_secs(1),
};

struct Bench {
    circuit: Circuit,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { circuit: Circuit::new("bench", OPTIONS), now: Instant::now() }
    }

    fn calls(&mut self, verdicts: &[Verdict]) {
        for verdict in verdicts {
            self.circuit.enter(self.now).expect("the circuit lets calls through").end(*verdict, self.now);
        }
    }

    fn wait(&mut self, seconds: f64) -> &mut Self {
        self.now += Duration::from_secs_f64(seconds);
        self
    }
}

use Verdict::{Bad, Good, Unclear};

#[tokio::test]
async fn it_opens_at_enough_failures_of_a_great_enough_share() {
    let mut few = Bench::new();
    few.calls(&[Bad, Bad]);
    assert_eq!(few.circuit.state(), CircuitState::Closed);
    few.calls(&[Unclear, Unclear, Bad]);
    assert_eq!(few.circuit.state(), CircuitState::Open);

    let mut diluted = Bench::new();
    diluted.calls(&[Good, Good, Good, Good, Bad, Bad, Bad]);
    assert_eq!(diluted.circuit.state(), CircuitState::Closed, "three of seven are less than half");
    diluted.calls(&[Bad]);
    assert_eq!(diluted.circuit.state(), CircuitState::Open);
}

#[tokio::test]
async fn old_failures_are_forgotten() {
    let mut bench = Bench::new();
    bench.calls(&[Bad, Bad]);
    bench.wait(25.0).calls(&[Good, Bad]);
    assert_eq!(bench.circuit.state(), CircuitState::Closed);
    let mut bench = Bench::new();
    bench.calls(&[Bad, Bad]);
    bench.wait(11.0).calls(&[Bad]);
    assert_eq!(bench.circuit.state(), CircuitState::Open, "the window before this one counts");
}

#[tokio::test]
async fn an_open_circuit_says_when_it_will_try_and_closes_after_good_trials() {
    let mut bench = Bench::new();
    bench.calls(&[Bad, Bad, Bad]);
    let open = bench.wait(0.25).circuit.enter(bench.now).unwrap_err();
    assert_eq!(open.retry_after, Duration::from_millis(750));
    bench.wait(0.75);
    let (first, second) = (bench.circuit.enter(bench.now).unwrap(), bench.circuit.enter(bench.now).unwrap());
    assert_eq!(bench.circuit.state(), CircuitState::HalfOpen);
    assert!(bench.circuit.enter(bench.now).is_err(), "a few at a time");
    first.end(Good, bench.now);
    second.end(Good, bench.now);
    assert_eq!(bench.circuit.state(), CircuitState::Closed);
    assert_eq!(bench.circuit.opened(), 1);
}

#[tokio::test]
async fn each_failed_trial_doubles_the_time_up_to_a_bound() {
    let mut bench = Bench::new();
    bench.calls(&[Bad, Bad, Bad]);
    for open in [1.0, 2.0, 3.0, 3.0] {
        assert!(bench.wait(open - 0.01).circuit.enter(bench.now).is_err(), "{open}");
        bench.wait(0.01).calls(&[Bad]);
    }
    assert_eq!(bench.circuit.opened(), 5);
    bench.wait(3.0).calls(&[Good, Good, Bad, Bad, Bad]);
    bench.wait(1.0).calls(&[Good]);
}

#[tokio::test]
async fn a_trial_without_a_verdict_gives_its_place_back() {
    let mut bench = Bench::new();
    bench.calls(&[Bad, Bad, Bad]);
    bench.wait(1.0);
    for _ in 0..5 {
        drop(bench.circuit.enter(bench.now).unwrap());
    }
    bench.calls(&[Unclear, Unclear, Unclear, Good, Good]);
    assert_eq!(bench.circuit.state(), CircuitState::Closed);
}

#[tokio::test]
async fn a_late_answer_of_an_earlier_phase_says_nothing() {
    let mut bench = Bench::new();
    let late = bench.circuit.enter(bench.now).unwrap();
    bench.calls(&[Bad, Bad, Bad]);
    bench.wait(1.0).calls(&[Good]);
    late.end(Bad, bench.now);
    assert_eq!(bench.circuit.state(), CircuitState::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_hangs_opens_the_circuit_though_it_never_answers() {
    let plan = FaultPlan::default();
    let store = Breaker::new(Arc::new(Faulty::new(memory(), 1, plan.clone())), OPTIONS);
    let day = Duration::from_secs(86_400);
    plan.set(Faults { read_delay: 1.0, delay_min: day, delay_max: day, ..Faults::default() });
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(10), store.head(room(1))).await.is_err());
    }
    assert_eq!(store.circuit().state(), CircuitState::Closed, "callers in a hurry say nothing about the backend");
    for _ in 0..3 {
        assert!(tokio::time::timeout(OPTIONS.hung_after, store.head(room(1))).await.is_err());
    }
    assert_eq!(store.circuit().state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn refused_calls_did_not_happen_and_the_callers_own_errors_do_not_count() {
    let plan = FaultPlan::default();
    let store = Breaker::new(Arc::new(Faulty::new(memory(), 1, plan.clone())), OPTIONS);
    let (epoch, _) = filled(&store, room(1), 1).await;
    let newer = store.claim(room(1)).await.unwrap();
    for _ in 0..10 {
        let fenced = store.append(room(1), epoch, &[event(2)], &head(2)).await;
        assert_eq!(kind(fenced), StoreErrorKind::Fenced);
        assert_eq!(kind(store.append(room(1), newer, &[event(9)], &head(9)).await), StoreErrorKind::Conflict);
    }
    assert_eq!(store.circuit().state(), CircuitState::Closed);

    plan.set(Faults { read_fail: 1.0, ..Faults::default() });
    for _ in 0..30 {
        let _ = store.head(room(1)).await;
    }
    assert_eq!(store.circuit().state(), CircuitState::Open);
    plan.set(Faults::default());
    let refused = store.append(room(1), newer, &[message(room(1), 2, 1)], &head(2)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.outcome()), (StoreErrorKind::Unavailable, Outcome::NotApplied));
    tokio::time::advance(OPTIONS.open_min).await;
    store.append(room(1), newer, &[message(room(1), 2, 1)], &head(2)).await.unwrap();
    assert_eq!(store.head(room(1)).await.unwrap().unwrap().seq.0, 2);
    assert_eq!(store.circuit().state(), CircuitState::Closed);
}
