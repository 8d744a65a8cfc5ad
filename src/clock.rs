//! The time, as a value that is passed in: the system's, or one that follows a (perhaps paused) tokio clock.

use std::{fmt::Debug, sync::Arc, time::SystemTime};

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Milliseconds since the Unix epoch. May go back.
    fn now_ms(&self) -> i64;
}

/// A clock shared by all parts of a node.
pub type SharedClock = Arc<dyn Clock>;

/// The operating system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that may
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        #[cfg(feature = "testkit")]
        let now_ms = now_ms + *WRONG_BY_MS;
        now_ms
    }
}

/// Builds for tests can be given a clock that is wrong: by `TESTKIT_CLOCK_MS` in the environment.
#[cfg(feature = "testkit")]
static WRONG_BY_MS: std::sync::LazyLock<i64> = std::sync::LazyLock::new(|| {
    let given = std::env::var("TESTKIT_CLOCK_MS").ok();
    given.map_or(0, |ms| ms.parse().expect("TESTKIT_CLOCK_MS is a number of milliseconds"))
});

/// A clock that starts at a given time and follows tokio's, so that a paused test owns it.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start_ms: i64,
    started: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that says `start_ms` now.
    #[must_use]
    pub fn starting_at(start_ms: i64) -> Self {
        Self { start_ms, started: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now_ms(&self) -> i64 {
        self.start_ms + i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX / 2)
    }
}
