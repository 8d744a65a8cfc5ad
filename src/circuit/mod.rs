//! When to stop asking, and when to try again: the state of a circuit, with time as an argument.
//!
//! It knows nothing of stores. Whoever asks a service that may be gone has one for it, and tells it how each call went.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CircuitOptions {
    /// Failures are counted over this time.
    pub window: Duration,
    /// It opens at this many failures within the window …
    pub failures_min: u32,
    /// … if they are at least this share of the calls, 0 to 1.
    pub failure_share: f64,
    /// It opens as well at this many failures with nothing good between them: a busy service's good past would else
    /// keep it closed for most of the window after it is gone.
    pub in_a_row: u32,
    /// How long it stays open at first. Each failed try doubles it.
    pub open_min: Duration,
    /// How long it stays open at most.
    pub open_max: Duration,
    /// Calls let through at a time while trying, and that must go well before it closes.
    pub trials: u32,
    /// A call given up by its caller after this time counts as failed: a service that hangs fails no call by itself.
    pub hung_after: Duration,
}

impl Default for CircuitOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            failures_min: 5,
            failure_share: 0.5,
            in_a_row: 20,
            open_min: Duration::from_millis(200),
            open_max: Duration::from_secs(15),
            trials: 3,
            hung_after: Duration::from_secs(1),
        }
    }
}

/// What a circuit does with calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum CircuitState {
    /// Lets them through.
    Closed,
    /// Refuses them at once.
    Open,
    /// Lets a few through, to see.
    HalfOpen,
}

impl CircuitState {
    /// Name for people and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How a call went, for the circuit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The service answered, whatever it said.
    Good,
    /// It did not, or not in time.
    Bad,
    /// The call tells nothing about the service.
    Unclear,
}

/// The circuit refuses calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the circuit is open for another {} ms", retry_after.as_millis())]
pub struct CircuitOpen {
    /// When it will try again.
    pub retry_after: Duration,
}

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

#[cfg(test)]
mod tests;
