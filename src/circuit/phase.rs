//! What a circuit remembers.

use std::time::Duration;

use tokio::time::Instant;

use super::CircuitState;

/// See the module.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) phase: Phase,
    /// How long it was open the last time.
    pub(super) open_for: Duration,
    /// Grows with each change of phase: a call that was let through in an earlier phase says nothing about this one.
    pub(super) round: u64,
    pub(super) opened: u64,
    /// Why the service refuses, since it last served.
    pub(super) why: Option<&'static str>,
}

/// What the circuit does with calls, and what it counts while it does so.
#[derive(Debug)]
pub(super) enum Phase {
    Closed { now: Counts, before: Counts, since: Instant, in_a_row: u32 },
    Open { until: Instant },
    HalfOpen { under_way: u32, good: u32 },
}

/// Calls of a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) calls: u32,
    pub(super) failures: u32,
}

impl Inner {
    pub(super) const fn state(&self) -> CircuitState {
        match self.phase {
            Phase::Closed { .. } => CircuitState::Closed,
            Phase::Open { .. } => CircuitState::Open,
            Phase::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }
}

/// The phase of a circuit that closes now.
pub(super) fn closed(now: Instant) -> Phase {
    Phase::Closed { now: Counts::default(), before: Counts::default(), since: now, in_a_row: 0 }
}
