//! Ends what a token keeps open, in the moment in which the token ends. Says nothing to the client.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

use crate::api::auth::Expiry;

/// The clock that tokens go by may be set, a timer goes on: it is compared this often.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A token's end, waited for.
#[derive(Debug)]
pub(super) struct Expiring {
    expiry: Expiry,
    look_at: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// Whom the timer wakes; it is not touched in between, since a stream looks here before everything it says.
    armed: Option<Waker>,
}

impl Expiring {
    pub(super) fn new(expiry: Expiry) -> Self {
        Self { expiry, look_at: Instant::now(), timer: None, armed: None }
    }

    /// Ready once the token has ended; wakes the task then, whatever else it waits for.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now_ms: i64) -> Poll<()> {
        if self.expiry.has_passed(now_ms) {
            return Poll::Ready(());
        }
        let now = Instant::now();
        if now < self.look_at && self.armed.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.look_at = now + self.expiry.left(now_ms).min(LOOK_EVERY);
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.look_at)));
        timer.as_mut().reset(self.look_at);
        if timer.as_mut().poll(cx).is_ready() {
            // The clocks differ by less than a timer can tell: look again.
            cx.waker().wake_by_ref();
        }
        self.armed = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::clock::{Clock as _, TokioClock};

    #[tokio::test(start_paused = true)]
    async fn an_idle_stream_is_woken_at_the_end_and_not_before() {
        let clock = TokioClock::starting_at(0);
        let started = Instant::now();
        let mut expiring = Expiring::new(Expiry::new(200_000, 30_000));
        poll_fn(|cx| expiring.poll(cx, clock.now_ms())).await;
        let waited = started.elapsed();
        assert!(waited >= Duration::from_secs(230) && waited < Duration::from_millis(230_010), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_is_noticed() {
        let started = Instant::now();
        let mut expiring = Expiring::new(Expiry::new(3_600_000, 0));
        let clock = TokioClock::starting_at(0);
        let set = || clock.now_ms() + if started.elapsed() > Duration::from_secs(10) { 3_600_000 } else { 0 };
        poll_fn(|cx| expiring.poll(cx, set())).await;
        assert!(started.elapsed() <= LOOK_EVERY + Duration::from_secs(1));
    }

    #[test]
    fn what_has_ended_needs_no_timer() {
        let mut expiring = Expiring { expiry: Expiry::new(5, 0), look_at: Instant::now(), timer: None, armed: None };
        assert!(expiring.poll(&mut Context::from_waker(Waker::noop()), 5).is_ready());
    }
}
