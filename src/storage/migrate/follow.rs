//! Following a store that is being written to: what its [`Marks`] name is brought to a second store, again and again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    MigrateError, Options, Progress, Result, Work, journal,
    pages::at_hand,
    room::{self, Brought, Turn},
    rooms::{self, each},
    users,
};
use crate::storage::{
    Store,
    layer::mirrored::{Changed, Marks},
};

/// Pause after something could not be brought.
const PAUSE: Duration = Duration::from_secs(1);

/// Brings what `marks` name to `to` until `stop`; then, once more, what is left. Returns whether `to` has everything.
///
/// The marks begin with everything ([`Marks::of_unknown`]), so that each follower compares both stores once: whatever an
/// earlier one did not bring is found by that, and nothing about it needs to be remembered. What fails is marked again;
/// the first store is never held up. The journal of active rooms is brought at the end.
pub async fn follow(
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    marks: Marks,
    options: Options,
    stop: CancellationToken,
) -> bool {
    let work = Work::new(from, to, options, Arc::new(Progress::default()));
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            () = marks.news() => {}
        }
        let brought = tokio::select! {
            () = stop.cancelled() => {
                // What was under way may be half done.
                marks.brought(Changed::everything());
                break;
            }
            brought = turn(&work, &marks) => brought,
        };
        if !brought {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
    let settled = turn(&work, &marks).await && marks.behind() == Some(0);
    match journal::copy(&work).await {
        Ok(()) => settled,
        Err(error) => {
            tracing::warn!(error = %crate::error::Chain(&error), "the second store's journal is behind");
            false
        }
    }
}

/// Brings what is marked now; whether all of it came over.
async fn turn(work: &Arc<Work>, marks: &Marks) -> bool {
    let changed = marks.take();
    let (left, error) = match bring(work, &changed).await {
        Ok(left) => (left, None),
        Err(error) => (changed, Some(error)),
    };
    let all = left.is_empty();
    marks.brought(left);
    if let Some(error) = error {
        tracing::warn!(error = %crate::error::Chain(&error), "the second store is behind, will be tried again");
    }
    all
}

/// Brings rooms and users; returns those that have to come again.
async fn bring(work: &Arc<Work>, changed: &Changed) -> Result<Changed> {
    if changed.everything {
        rooms::copy(work, BTreeSet::new()).await?;
        users::copy(work).await?;
        journal::jobs(work).await?;
        return Ok(Changed::default());
    }
    let waiting = Arc::new(Mutex::new(BTreeSet::new()));
    let bring_room = |room| {
        let (work, waiting) = (Arc::clone(work), Arc::clone(&waiting));
        async move {
            let turn = Turn { in_order: true, stays_active: false, thorough: false };
            if room::bring(&work, room, turn).await? == Brought::Waits {
                waiting.lock().insert(room);
            }
            Ok::<_, MigrateError>(())
        }
    };
    let all = changed.rooms.iter().copied().collect();
    each(work.options.parallel, at_hand(all), bring_room, drop).await?;
    journal::jobs(work).await?;
    let all: Vec<_> = changed.users.iter().copied().collect();
    users::bring_these(work, &all).await?;
    let rooms = std::mem::take(&mut *waiting.lock());
    Ok(Changed { rooms, ..Changed::default() })
}
