//! Following a store that is being written to: what its [`Marks`] name is brought to a second store, again and again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Options, Progress, Result, Work, journal,
    pages::at_hand,
    room::{self, Brought, Turn},
    rooms::{self, Copied, Waiting, each},
    users,
};
use crate::{
    error::Chain,
    storage::{
        Store,
        layer::mirrored::{Changed, Marks},
    },
};

/// Pause after something could not be brought.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two turns, so that what is written in a burst comes over in one.
const GATHER: Duration = Duration::from_millis(20);
/// Between two looks at writes that have not ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How a follower stands: what it has to bring, since when, and why it cannot. Clones share it.
#[derive(Clone, Debug)]
pub struct Following {
    marks: Marks,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// Everything that was written before has been brought.
    level_at: Instant,
    trouble: Option<&'static str>,
}

impl Following {
    /// Of a follower of the store with these marks, which begins now.
    #[must_use]
    pub fn new(marks: Marks) -> Self {
        Self { marks, state: Arc::new(Mutex::new(State { level_at: Instant::now(), trouble: None })) }
    }

    /// What has to be brought.
    #[must_use]
    pub const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// How old the oldest write may be that has not been brought.
    #[must_use]
    pub fn lag(&self) -> Duration {
        if self.marks.is_level() { Duration::ZERO } else { self.state.lock().level_at.elapsed() }
    }

    /// Why nothing can be brought at present; the log says more.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        self.state.lock().trouble
    }

    /// Says why nothing can be brought, or that it can again.
    pub fn set_trouble(&self, trouble: Option<&'static str>) {
        self.state.lock().trouble = trouble;
    }

    fn level_at(&self, at: Instant) {
        self.state.lock().level_at = at;
    }
}

/// Brings what is marked to `to` until `stop`; then what is left, and what is still being written meanwhile. Returns
/// whether `to` has everything; true only if nothing was written any more.
///
/// The marks begin with everything ([`Marks::of_unknown`]), so that each follower compares both stores once: whatever an
/// earlier one did not bring is found by that, and nothing about it needs to be remembered. What fails is marked again;
/// the first store is never held up. The journal of active rooms is brought at the end. Dropped, it stops where it is.
pub async fn follow(
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    following: Following,
    options: Options,
    stop: CancellationToken,
) -> bool {
    let marks = &following.marks;
    let work = Work::new(from, to, options, Arc::new(Progress::default()));
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            () = marks.news() => {}
        }
        let pause = if turn(&work, &following).await { GATHER } else { PAUSE };
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
    }
    while !marks.is_level() {
        if !turn(&work, &following).await {
            return false;
        }
        if !marks.is_level() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    match journal::copy(&work).await {
        Ok(()) => marks.is_level(),
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "the second store's journal is behind");
            false
        }
    }
}

/// Brings what is marked now; whether all of it came over.
async fn turn(work: &Arc<Work>, following: &Following) -> bool {
    let (marks, began) = (&following.marks, Instant::now());
    let changed = marks.take();
    if changed.everything {
        tracing::info!("comparing both stores, to bring what the second one lacks");
    }
    let error = bring(work, &changed).await.err();
    let all = error.is_none();
    marks.brought(if all { Changed::default() } else { changed.clone() });
    if all {
        following.level_at(began);
    }
    let compared = all && changed.everything;
    match error {
        Some(error) => {
            let waiting = marks.behind();
            tracing::warn!(error = %Chain(&error), waiting, "the second store is behind, will be tried again");
            following.set_trouble(Some("does not take what is brought; tried again and again"));
        }
        None if following.trouble().is_some() || compared => {
            let took_ms = began.elapsed().as_millis();
            tracing::info!(took_ms, waiting = marks.behind(), "the second store follows");
            following.set_trouble(None);
        }
        None => {}
    }
    all
}

/// Brings rooms and users.
async fn bring(work: &Arc<Work>, changed: &Changed) -> Result<()> {
    if changed.everything {
        journal::keys(work).await?;
        rooms::copy(work, BTreeSet::new()).await?;
        users::copy(work).await?;
        return journal::jobs(work).await;
    }
    let bring_room = |room| {
        let work = Arc::clone(work);
        async move {
            let turn = Turn { in_order: true, stays_active: false, thorough: false };
            Ok((room, room::bring(&work, room, turn).await?))
        }
    };
    let mut waiting = Waiting::new();
    let brought = |(room, brought)| {
        if let Brought::WaitsFor(other) = brought {
            waiting.insert(room, other);
        }
    };
    let all = changed.rooms.iter().copied().collect();
    each(work.options.parallel, at_hand(all), bring_room, brought).await?;
    rooms::settle(work, &Arc::default(), waiting, &mut Copied::default()).await?;
    journal::jobs(work).await?;
    let all: Vec<_> = changed.users.iter().copied().collect();
    users::bring_these(work, &all).await
}
