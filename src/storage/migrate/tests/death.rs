//! Copies that die: dropped at any point, with stores that fail, and made again.

use std::{sync::Arc, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{Options, assert_equal, compared, copied, memory, options, town};
use crate::storage::{
    Store,
    layer::faulty::{FaultPlan, Faults, Faulty},
    migrate::{self, Progress},
};

const fn troubles() -> Faults {
    Faults {
        fail_before: 0.05,
        fail_after: 0.05,
        late: 0.03,
        delay_before: 0.3,
        delay_after: 0.3,
        read_fail: 0.03,
        read_delay: 0.3,
        delay_min: Duration::from_millis(1),
        delay_max: Duration::from_millis(9),
    }
}

/// Dropped after a random time, again and again, over a failing destination and a failing source.
async fn dies(seed: u64, plan: Faults) -> u32 {
    let (from, to) = (town().await, memory());
    let failing = |store: &Arc<dyn Store>, seed| -> Arc<dyn Store> {
        Arc::new(Faulty::new(Arc::clone(store), seed, FaultPlan::new(plan)))
    };
    let (failing_from, failing_to) = (failing(&from, seed), failing(&to, seed + 1_000));
    let mut random = StdRng::seed_from_u64(seed);
    let (mut deaths, mut limit_ms) = (0, 20);
    loop {
        let parallel = random.random_range(1..5);
        let options = Options { parallel, page: 101, ..options() };
        let copy = migrate::copy(Arc::clone(&failing_from), Arc::clone(&failing_to), options, Arc::default());
        let time = Duration::from_millis(random.random_range(1..limit_ms));
        match tokio::time::timeout(time, copy).await {
            Ok(done) => {
                done.unwrap();
                break;
            }
            Err(_) => deaths += 1,
        }
        limit_ms += limit_ms / 4;
    }
    // What was on its way when the last one died arrives now.
    tokio::time::sleep(Duration::from_secs(1)).await;
    copied(&from, &to).await.unwrap();
    assert_equal(&compared(&from, &to).await);
    deaths
}

#[tokio::test(start_paused = true)]
async fn killed_at_any_point_it_goes_on() {
    let mut deaths = 0;
    for seed in 0..4 {
        deaths += dies(seed, troubles()).await;
    }
    assert!(deaths > 40, "only {deaths} deaths");
}

/// Without faults a copy that dies loses nothing that it had done.
#[tokio::test(start_paused = true)]
async fn events_are_written_once() {
    let (from, to) = (town().await, memory());
    let delays = Faults { fail_before: 0.0, fail_after: 0.0, late: 0.0, read_fail: 0.0, ..troubles() };
    let slow: Arc<dyn Store> = Arc::new(Faulty::new(Arc::clone(&to), 1, FaultPlan::new(delays)));
    let progress = Arc::new(Progress::default());
    let mut deaths = 0;
    loop {
        let copy = migrate::copy(Arc::clone(&from), Arc::clone(&slow), options(), Arc::clone(&progress));
        let time = Duration::from_millis(if deaths < 20 { 100 } else { 1_000_000 });
        if tokio::time::timeout(time, copy).await.is_ok() {
            break;
        }
        deaths += 1;
    }
    assert_equal(&compared(&from, &to).await);
    let all: u64 = 2_501 + 3 + (10..30).sum::<u64>();
    // An append that was under way at a death is not counted by the run that died.
    assert!(progress.events() <= all && progress.events() + deaths * 7 * 3 >= all, "{} of {all}", progress.events());
    assert!(deaths > 5, "only {deaths} deaths");
}

#[tokio::test(start_paused = true)]
async fn patience_has_an_end() {
    let from = town().await;
    let dead = Faulty::new(memory(), 1, FaultPlan::new(Faults { fail_before: 1.0, ..Faults::default() }));
    let to: Arc<dyn Store> = Arc::new(dead);
    let error = copied(&from, &to).await.unwrap_err();
    assert!(crate::error::Chain(&error).to_string().contains("the destination store failed"), "{error}");
}
