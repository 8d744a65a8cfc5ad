//! What a circuit is told, and what it says.

use std::time::Duration;

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

    /// What is wrong with a service whose circuit is in this state, if it does not say so itself.
    pub(super) const fn trouble(self) -> Option<&'static str> {
        match self {
            Self::Closed => None,
            Self::Open => Some("does not answer; circuit open"),
            Self::HalfOpen => Some("does not answer reliably; being tried"),
        }
    }
}

/// How a call went, for the circuit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The service answered, whatever it said.
    Good,
    /// It answered that it will not serve, for this reason: it is as good as gone, and need not be asked several times.
    Refused(&'static str),
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
