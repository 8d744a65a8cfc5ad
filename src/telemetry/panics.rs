//! Panics: caught where a call is polled, so that they end that call alone, and said in one line of the log.
//!
//! The line says where it happened and, if the code has a fixed text for it, what. A text that was put together for the
//! occasion may hold what people write to each other: it is said nowhere.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind, set_hook},
    pin::Pin,
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use prometheus_client::metrics::counter::Counter;

/// Calls that panicked, in this process.
static CALLS: LazyLock<Counter> = LazyLock::new(Counter::default);

thread_local! {
    /// Whether somebody waits on this thread who will say what is caught.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    /// Of the panic that is on its way to them.
    static PLACE: RefCell<Option<Place>> = const { RefCell::new(None) };
}

/// Where something panicked, and its fixed text.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Place {
    at: String,
    what: &'static str,
}

impl Place {
    fn new(location: Option<&Location<'_>>, payload: &dyn Any) -> Self {
        let what = payload.downcast_ref::<&'static str>().copied().unwrap_or("(its text is not told)");
        Self { at: location.map_or_else(String::new, ToString::to_string), what }
    }
}

/// From now on panics are said in the log, and nowhere else. A second call changes nothing.
pub fn watch() {
    static IS_WATCHED: AtomicBool = AtomicBool::new(false);
    if !IS_WATCHED.swap(true, Relaxed) {
        set_hook(Box::new(note));
    }
}

fn note(panic: &PanicHookInfo<'_>) {
    let place = Place::new(panic.location(), panic.payload());
    if CATCHING.get() {
        PLACE.set(Some(place));
    } else {
        // The checks of whole runs look for the first two words.
        tracing::error!(at = place.at, what = place.what, "panicked");
    }
}

/// What was to be done has panicked, and was done in part or not at all.
#[derive(Debug)]
pub struct Panicked(Place);

impl Panicked {
    /// Counts it, and says it of the call of this method; empty if that has no name that is known.
    pub fn note(&self, method: &str) {
        CALLS.inc();
        tracing::error!(at = self.0.at, what = self.0.what, method, "a call panicked");
    }
}

/// How many calls have panicked.
#[must_use]
pub fn calls() -> Counter {
    CALLS.clone()
}

/// Does a piece of work. After a panic what it had in hand is to be dropped, and not looked at.
///
/// # Errors
/// When it panics.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let is_nested = CATCHING.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(is_nested);
    // Without the hook the place is not known.
    done.map_err(|payload| Panicked(PLACE.take().unwrap_or_else(|| Place::new(None, &*payload))))
}

/// [`catch`] of one poll.
///
/// # Errors
/// When it panics: then what was polled is to be polled no more.
pub fn catch_poll<T>(
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<Result<T, Panicked>> {
    match catch(|| poll(cx)) {
        Ok(polled) => polled.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    }
}

/// [`catch`] of a future.
///
/// # Errors
/// When it panics.
pub fn caught<F: Future>(mut work: Pin<&mut F>) -> impl Future<Output = Result<F::Output, Panicked>> {
    poll_fn(move |cx| catch_poll(cx, |cx| work.as_mut().poll(cx)))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn a_text_that_may_hold_contents_is_not_told() {
        let fixed: Box<dyn Any + Send> = Box::new("no such state");
        assert_eq!(Place::new(Some(Location::caller()), &*fixed).what, "no such state");
        assert!(Place::new(Some(Location::caller()), &*fixed).at.contains("panics.rs"));
        let made: Box<dyn Any + Send> = Box::new(format!("cannot read {:?}", "what Ana wrote"));
        let told = Place::new(None, &*made);
        assert!(!told.what.contains("Ana"), "{told:?}");
    }

    #[tokio::test]
    async fn what_panics_after_it_has_waited_is_caught_too() {
        let work = async {
            tokio::task::yield_now().await;
            panic!("no such state")
        };
        let result: Result<(), Panicked> = caught(pin!(work)).await;
        assert!(result.is_err());
        assert!(!CATCHING.get(), "whoever comes next speaks for itself");
        assert_eq!(caught(pin!(async { 7 })).await.unwrap(), 7);
    }
}
