//! When to stop asking, and when to try again: the state of a circuit, with time as an argument.
//!
//! It knows nothing of stores. Whoever asks a service that may be gone has one for it, and tells it how each call went.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

mod options;
mod phase;
#[cfg(test)]
mod tests;

pub use options::{CircuitOpen, CircuitOptions, CircuitState, Verdict};
use phase::{Counts, Inner, Phase, closed};

/// A circuit, shared by all who call the service.
#[derive(Debug)]
pub struct Circuit {
    name: &'static str,
    options: CircuitOptions,
    inner: Mutex<Inner>,
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
        let inner = Inner { phase, open_for: Duration::ZERO, round: 0, opened: 0, why: None };
        Self { name, options, inner: Mutex::new(inner) }
    }

    /// Name of the service.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it does with calls now.
    #[must_use]
    pub fn state(&self) -> CircuitState {
        self.inner.lock().state()
    }

    /// What is wrong with the service; none while it serves.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        let inner = self.inner.lock();
        let trouble = inner.state().trouble()?;
        Some(inner.why.unwrap_or(trouble))
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

    /// Whether a call that has `leave` is one of those that decide whether the service is back.
    #[must_use]
    pub fn is_tried_by(&self, leave: &Leave<'_>) -> bool {
        let inner = self.inner.lock();
        inner.round == leave.round && inner.state() == CircuitState::HalfOpen
    }

    fn record(&self, round: u64, verdict: Verdict, now: Instant) {
        let mut inner = self.inner.lock();
        if inner.round != round {
            return;
        }
        let is_bad = matches!(verdict, Verdict::Bad | Verdict::Refused(_));
        let trips = match &mut inner.phase {
            Phase::Closed { now: counts, before, since, in_a_row } => {
                let elapsed = now.saturating_duration_since(*since);
                if elapsed >= self.options.window {
                    *before = if elapsed < self.options.window * 2 { *counts } else { Counts::default() };
                    (*counts, *since) = (Counts::default(), now);
                }
                counts.calls += u32::from(verdict != Verdict::Unclear);
                counts.failures += u32::from(is_bad);
                *in_a_row = match verdict {
                    Verdict::Good => 0,
                    Verdict::Bad | Verdict::Refused(_) => *in_a_row + 1,
                    Verdict::Unclear => *in_a_row,
                };
                let (calls, failures) = (counts.calls + before.calls, counts.failures + before.failures);
                let is_share = failures >= self.options.failures_min
                    && f64::from(failures) >= f64::from(calls) * self.options.failure_share;
                let is_enough = is_share || *in_a_row >= self.options.in_a_row;
                matches!(verdict, Verdict::Refused(_)) || is_bad && is_enough
            }
            Phase::HalfOpen { under_way, good } => {
                *under_way = under_way.saturating_sub(1);
                *good += u32::from(verdict == Verdict::Good);
                is_bad
            }
            Phase::Open { .. } => false,
        };
        let heals = matches!(inner.phase, Phase::HalfOpen { good, .. } if good >= self.options.trials);
        if trips {
            inner.why = if let Verdict::Refused(why) = verdict { Some(why) } else { None };
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
        let (name, open_ms, why) = (self.name, inner.open_for.as_millis(), inner.why.unwrap_or("does not answer"));
        match &phase {
            // Once for each time that it is gone, not for each try.
            Phase::Open { .. } if inner.state() == CircuitState::Closed => {
                tracing::warn!(service = name, open_ms, why, "circuit opened");
            }
            Phase::Open { .. } => tracing::debug!(service = name, open_ms, why, "circuit stays open"),
            Phase::HalfOpen { .. } => tracing::debug!(service = name, "circuit tries"),
            Phase::Closed { .. } => tracing::info!(service = name, "circuit closed"),
        }
        inner.phase = phase;
    }
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
