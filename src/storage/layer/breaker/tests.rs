//! The circuit by its clock, and the decorator over a store that fails.

use std::time::Duration;

use super::*;
use crate::{
    circuit::CircuitState,
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
    in_a_row: 30,
    open_min: Duration::from_secs(1),
    open_max: Duration::from_secs(3),
    trials: 2,
    hung_after: Duration::from_secs(1),
};

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
