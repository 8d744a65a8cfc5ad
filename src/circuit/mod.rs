//! When to stop asking, and when to try again: the state of a circuit, with time as an argument.
//!
//! It knows nothing of stores. Whoever asks a service that may be gone has one for it, and tells it how each call went.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

mod options;
#[cfg(test)]
mod tests;

pub use options::{CircuitOpen, CircuitOptions, CircuitState, Verdict};

/// A circuit, shared by all who call the service.
#[derive(Debug)]
pub struct Circuit {
    name: &'static str,
    options: CircuitOptions,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    phase: Phase,
    /// How long it was open the last time.
    open_for: Duration,
    /// Grows with each change of phase: a call that was let through in an earlier phase says nothing about this one.
    round: u64,
    opened: u64,
}

#[derive(Debug)]
enum Phase {
    Closed { now: Counts, before: Counts, since: Instant, in_a_row: u32 },
    Open { until: Instant },
    HalfOpen { under_way: u32, good: u32 },
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    calls: u32,
    failures: u32,
}

/// Leave to make one call. Dropped without a verdict, it gives its own: see [`CircuitOptions::hung_after`].
#[derive(Debug)]
pub struct Leave<'a> {
    circuit: &'a Circuit,
    began: Instant,
    round: u64,
    told: bool,
}

impl Circuit {
    /// A closed circuit; `name` is the service, for log and metrics.
    #[must_use]
    pub fn new(name: &'static str, options: CircuitOptions) -> Self {
        let phase = closed(Instant::now());
        Self { name, options, inner: Mutex::new(Inner { phase, open_for: Duration::ZERO, round: 0, opened: 0 }) }
    }

    /// Name of the service.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it does with calls now.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        match self.inner.lock().phase {
            Phase::Closed { .. } => CircuitState::Closed,
            Phase::Open { .. } => CircuitState::Open,
            Phase::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    /// Whether a call at `now` may be let through; changes nothing.
    #[must_use]
    pub fn admits(&self, now: Instant) -> bool {
        match self.inner.lock().phase {
            Phase::Closed { .. } => true,
            Phase::Open { until } => now >= until,
            Phase::HalfOpen { under_way, .. } => under_way < self.options.trials,
        }
    }

    /// How often it has opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.inner.lock().opened
    }

    /// Asks for leave to make a call at `now`.
    ///
    /// # Errors
    /// When the service is not to be called at present.
    pub fn enter(&self, now: Instant) -> Result<Leave<'_>, CircuitOpen> {
        let mut inner = self.inner.lock();
        if let Phase::Open { until } = inner.phase {
            if now < until {
                return Err(CircuitOpen { retry_after: until - now });
            }
            self.change(&mut inner, Phase::HalfOpen { under_way: 0, good: 0 });
        }
        if let Phase::HalfOpen { under_way, .. } = &mut inner.phase {
            if *under_way >= self.options.trials {
                return Err(CircuitOpen { retry_after: self.options.open_min });
            }
            *under_way += 1;
        }
        Ok(Leave { circuit: self, began: now, round: inner.round, told: false })
    }

    fn record(&self, round: u64, verdict: Verdict, now: Instant) {
        let mut inner = self.inner.lock();
        if inner.round != round {
            return;
        }
        let trips = match &mut inner.phase {
            Phase::Closed { now: counts, before, since, in_a_row } => {
                let elapsed = now.saturating_duration_since(*since);
                if elapsed >= self.options.window {
                    *before = if elapsed < self.options.window * 2 { *counts } else { Counts::default() };
                    (*counts, *since) = (Counts::default(), now);
                }
                counts.calls += u32::from(verdict != Verdict::Unclear);
                counts.failures += u32::from(verdict == Verdict::Bad);
                *in_a_row = match verdict {
                    Verdict::Good => 0,
                    Verdict::Bad => *in_a_row + 1,
                    Verdict::Unclear => *in_a_row,
                };
                let (calls, failures) = (counts.calls + before.calls, counts.failures + before.failures);
                let is_share = failures >= self.options.failures_min
                    && f64::from(failures) >= f64::from(calls) * self.options.failure_share;
                verdict == Verdict::Bad && (is_share || *in_a_row >= self.options.in_a_row)
            }
            Phase::HalfOpen { under_way, good } => {
                *under_way = under_way.saturating_sub(1);
                *good += u32::from(verdict == Verdict::Good);
                verdict == Verdict::Bad
            }
            Phase::Open { .. } => false,
        };
        let heals = matches!(inner.phase, Phase::HalfOpen { good, .. } if good >= self.options.trials);
        if trips {
            inner.open_for = (inner.open_for * 2).clamp(self.options.open_min, self.options.open_max);
            inner.opened += 1;
            let until = now + inner.open_for;
            self.change(&mut inner, Phase::Open { until });
        } else if heals {
            inner.open_for = Duration::ZERO;
            self.change(&mut inner, closed(now));
        }
    }

    fn change(&self, inner: &mut Inner, phase: Phase) {
        inner.round += 1;
        match &phase {
            Phase::Open { .. } => {
                tracing::warn!(service = self.name, open_ms = inner.open_for.as_millis(), "circuit opened");
            }
            Phase::HalfOpen { .. } => tracing::debug!(service = self.name, "circuit tries"),
            Phase::Closed { .. } => tracing::info!(service = self.name, "circuit closed"),
        }
        inner.phase = phase;
    }
}

fn closed(now: Instant) -> Phase {
    Phase::Closed { now: Counts::default(), before: Counts::default(), since: now, in_a_row: 0 }
}

impl Leave<'_> {
    /// Says how the call went, which ended at `now`.
    pub fn end(mut self, verdict: Verdict, now: Instant) {
        self.told = true;
        self.circuit.record(self.round, verdict, now);
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let now = Instant::now();
        let hung = now.saturating_duration_since(self.began) >= self.circuit.options.hung_after;
        self.circuit.record(self.round, if hung { Verdict::Bad } else { Verdict::Unclear }, now);
    }
}
