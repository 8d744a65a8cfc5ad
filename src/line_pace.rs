//! Log lines that may come by the thousand: a few a second are written, what is left out is counted and said by the next
//! one. A database that is gone must not fill the disk with words.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lines in one [`SPAN`].
const LINES_MAX: u32 = 5;
const SPAN: Duration = Duration::from_secs(1);

/// The pace of one kind of line.
#[derive(Debug)]
pub struct LinePace(Mutex<Window>);

#[derive(Debug)]
struct Window {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl LinePace {
    /// Nothing was written yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Window { since: None, lines: 0, left_out: 0 }))
    }

    /// Whether there is a line for one more, and how many had none before it.
    pub fn line(&self) -> Option<u64> {
        self.line_at(Instant::now())
    }

    fn line_at(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock();
        if window.since.is_none_or(|since| now.saturating_duration_since(since) >= SPAN) {
            (window.since, window.lines) = (Some(now), 0);
        }
        if window.lines == LINES_MAX {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

impl Default for LinePace {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_are_bounded_and_what_is_left_out_is_said() {
        let (pace, now) = (LinePace::new(), Instant::now());
        let lines: Vec<_> = (0..1_000).filter_map(|_| pace.line_at(now)).collect();
        assert_eq!(lines, [0; LINES_MAX as usize]);
        let later = now + SPAN;
        assert_eq!(pace.line_at(later), Some(1_000 - u64::from(LINES_MAX)));
        assert_eq!(pace.line_at(later), Some(0), "said once");
    }
}
