//! Whether a call that ran into its deadline may have happened: known between the layers that keep deadlines and the
//! services that do the calls. Knows neither clocks nor calls.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use http::Extensions;

/// How far a call has come, in its extensions. One that nobody has begun has not happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun(Arc<AtomicBool>);

impl Begun {
    /// That of a call; noted in it if it has none yet.
    pub(super) fn of(call: &mut Extensions) -> Self {
        call.get_or_insert_default::<Self>().clone()
    }

    /// From now on the call may have happened.
    pub(super) fn begin(&self) {
        self.0.store(true, SeqCst);
    }

    /// The call waits at the door of a service that will say when it begins.
    pub(super) fn wait(&self) {
        self.0.store(false, SeqCst);
    }

    /// Whether the call may have happened.
    pub(super) fn may_have_happened(&self) -> bool {
        self.0.load(SeqCst)
    }
}
