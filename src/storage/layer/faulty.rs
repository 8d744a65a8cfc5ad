//! A store that fails as real ones do, for tests and the simulation: before a write, after it, late, slowly, out of order.
//!
//! Seeded: the same calls in the same order meet the same faults. It waits only by the runtime's clock.

use std::{future::Future, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{prelude::*, store_around};
use crate::storage::error::{StoreError, StoreErrorKind};

/// Probabilities of each fault, 0 to 1, and the bounds of delays.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Faults {
    /// A write fails and does not happen.
    pub fail_before: f64,
    /// A write happens and fails.
    pub fail_after: f64,
    /// An append fails at once and happens later, after a delay. Other writes fail after happening instead.
    pub late: f64,
    /// A write waits before it happens.
    pub delay_before: f64,
    /// A write waits after it happened: completions come in another order than effects.
    pub delay_after: f64,
    /// A read fails.
    pub read_fail: f64,
    /// A read waits, then reads.
    pub read_delay: f64,
    /// Shortest delay.
    pub delay_min: Duration,
    /// Longest delay.
    pub delay_max: Duration,
}

/// A handle on the faults of a running store; all clones are the same plan.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan(Arc<Mutex<Faults>>);

impl FaultPlan {
    /// A plan that begins with `faults`.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        Self(Arc::new(Mutex::new(faults)))
    }

    /// Changes the faults of calls yet to come.
    pub fn set(&self, faults: Faults) {
        *self.0.lock() = faults;
    }

    /// The present faults.
    #[must_use]
    pub fn get(&self) -> Faults {
        *self.0.lock()
    }
}

/// A store that fails according to a plan.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Store>,
    plan: FaultPlan,
    random: Mutex<StdRng>,
}

/// What one call will meet.
#[derive(Clone, Copy, Debug)]
struct Fate {
    before: Duration,
    after: Duration,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Well,
    FailsBefore(StoreErrorKind),
    FailsAfter(StoreErrorKind),
    Late(Duration),
}

impl Faulty {
    /// Lets the calls to `inner` fail by `plan`, with randomness of `seed`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, seed: u64, plan: FaultPlan) -> Self {
        Self { inner, plan, random: Mutex::new(StdRng::seed_from_u64(seed)) }
    }

    /// Draws what a call will meet. Always draws as many numbers, so that a changed plan does not shift later fates.
    fn fate(&self, op: Op) -> Fate {
        let faults = self.plan.get();
        let mut random = self.random.lock();
        let mut roll = || random.random::<f64>();
        let [ends, kinds, waits_before, waits_after, long_before, long_after] = std::array::from_fn(|_| roll());
        drop(random);
        let span = faults.delay_max.saturating_sub(faults.delay_min);
        let delay = |happens: bool, part: f64| {
            if happens { faults.delay_min + span.mul_f64(part) } else { Duration::ZERO }
        };
        if !op.is_write {
            let fails = End::FailsBefore(pick(kinds, &[StoreErrorKind::Timeout, StoreErrorKind::Unavailable]));
            return Fate {
                before: delay(waits_before < faults.read_delay, long_before),
                after: Duration::ZERO,
                end: if ends < faults.read_fail { fails } else { End::Well },
            };
        }
        let unknown = [StoreErrorKind::Timeout, StoreErrorKind::Unavailable];
        let before = [StoreErrorKind::Overloaded, StoreErrorKind::Timeout, StoreErrorKind::Unavailable];
        let end = if ends < faults.fail_before {
            End::FailsBefore(pick(kinds, &before))
        } else if ends < faults.fail_before + faults.fail_after {
            End::FailsAfter(pick(kinds, &unknown))
        } else if ends < faults.fail_before + faults.fail_after + faults.late {
            End::Late(delay(true, long_after))
        } else {
            End::Well
        };
        Fate {
            before: delay(waits_before < faults.delay_before, long_before),
            after: delay(waits_after < faults.delay_after, long_after),
            end,
        }
    }

    async fn around<T, F>(&self, op: Op, call: impl Fn() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        self.meet(op, self.fate(op), call()).await
    }

    async fn meet<T>(&self, op: Op, fate: Fate, call: impl Future<Output = Result<T>> + Send) -> Result<T> {
        pause(fate.before).await;
        if let End::FailsBefore(kind) = fate.end {
            return Err(injected(kind, op));
        }
        let result = call.await;
        pause(fate.after).await;
        match fate.end {
            End::FailsAfter(kind) => Err(injected(kind, op)),
            End::Late(_) => Err(injected(StoreErrorKind::Timeout, op)),
            End::Well | End::FailsBefore(_) => result,
        }
    }

    async fn append_around(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        let op = Op::write("append");
        let fate = self.fate(op);
        let End::Late(delay) = fate.end else {
            return self.meet(op, fate, self.inner.append(room, epoch, records, projection)).await;
        };
        let (inner, records, projection) = (Arc::clone(&self.inner), records.to_vec(), projection.clone());
        #[allow(clippy::disallowed_methods, reason = "a write that nobody waits for is the fault")]
        tokio::spawn(async move {
            pause(delay).await;
            // Whatever becomes of it: its caller was told that nobody knows.
            drop(inner.append(room, epoch, &records, &projection).await);
        });
        pause(fate.before).await;
        Err(injected(StoreErrorKind::Timeout, op))
    }
}

fn pick(part: f64, kinds: &[StoreErrorKind]) -> StoreErrorKind {
    let mut share = 0.0;
    for kind in kinds {
        share += 1.0 / f64::from(u32::try_from(kinds.len()).unwrap_or(1));
        if part < share {
            return *kind;
        }
    }
    StoreErrorKind::Unavailable
}

fn injected(kind: StoreErrorKind, op: Op) -> StoreError {
    StoreError::because(kind, op.name, "injected fault")
}

/// No await at all for no delay: a plan without faults changes no order.
async fn pause(delay: Duration) {
    if delay > Duration::ZERO {
        tokio::time::sleep(delay).await;
    }
}

store_around!(Faulty);

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;
    use crate::storage::{
        Outcome,
        conformance::{event, head, kind, room},
        embedded::EmbeddedStore,
    };

    fn faulty(seed: u64, faults: Faults) -> Faulty {
        Faulty::new(Arc::new(EmbeddedStore::in_memory()), seed, FaultPlan::new(faults))
    }

    #[tokio::test]
    async fn failing_before_does_nothing_and_failing_after_does_all() {
        let store = faulty(1, Faults::default());
        let epoch = store.claim(room(1)).await.unwrap();
        store.plan.set(Faults { fail_before: 1.0, ..Faults::default() });
        assert!(store.append(room(1), epoch, &[event(1)], &head(1)).await.is_err());
        assert_eq!(store.head(room(1)).await.unwrap(), None);
        store.plan.set(Faults { fail_after: 1.0, ..Faults::default() });
        let error = store.append(room(1), epoch, &[event(1)], &head(1)).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "what happened must not be called undone");
        assert_eq!(store.head(room(1)).await.unwrap().unwrap().seq, Seq(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_append_happens_after_its_error() {
        let delay = Duration::from_secs(3);
        let store = faulty(1, Faults { delay_min: delay, delay_max: delay, ..Faults::default() });
        let epoch = store.claim(room(1)).await.unwrap();
        store.plan.set(Faults { late: 1.0, ..store.plan.get() });
        assert_eq!(kind(store.append(room(1), epoch, &[event(1)], &head(1)).await), StoreErrorKind::Timeout);
        assert_eq!(store.head(room(1)).await.unwrap(), None);
        tokio::time::sleep(delay * 2).await;
        assert_eq!(store.head(room(1)).await.unwrap().unwrap().seq, Seq(1));
    }

    #[tokio::test(start_paused = true)]
    async fn completions_are_reordered_and_a_seed_repeats_itself() {
        let faults = Faults { delay_after: 0.9, delay_max: Duration::from_secs(1), ..Faults::default() };
        let run = async |seed: u64| {
            let store = faulty(seed, faults);
            let order = Mutex::new(Vec::new());
            let claim = async |number: u32| {
                store.claim(room(number)).await.unwrap();
                order.lock().push(number);
            };
            join_all((0..20).map(claim)).await;
            order.into_inner()
        };
        let first = run(7).await;
        assert_ne!(first, (0..20).collect::<Vec<_>>());
        assert_eq!(first, run(7).await);
        assert_ne!(first, run(8).await);
    }

    #[tokio::test]
    async fn reads_fail_too_and_the_plan_changes_at_run_time() {
        let store = faulty(1, Faults { read_fail: 1.0, ..Faults::default() });
        assert!(store.head(room(1)).await.is_err());
        store.plan.clone().set(Faults::default());
        store.head(room(1)).await.unwrap();
    }
}
