//! All rooms, some at a time, each in a task of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream::FuturesUnordered};
use tokio_util::task::AbortOnDropHandle;

use super::{
    MigrateError, Result, Work,
    end::End,
    pages::{Rows, at_hand, pages},
    room::{self, Brought, Turn},
};
use crate::{
    domain::ids::RoomId,
    tasks::{self, TaskKind},
};

/// Rooms of one page of ids.
const ROOMS: usize = 1_000;

/// What a copy did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Copied {
    /// Rooms gone through.
    pub rooms: u64,
    /// Times that a room had to wait for another one, because both have a message of one sender with one client id.
    pub waits: u64,
    /// Rooms copied without waiting any longer: the source does not say which of such messages came first.
    pub out_of_order: u64,
}

/// All rooms of a store.
pub(super) fn all_rooms(end: &End) -> Rows<'_, RoomId> {
    pages(ROOMS, None, |room: &RoomId| Some(*room), |after| end.ask(move |s| s.rooms(after, ROOMS)))
}

/// Rooms that are in a store's journal.
pub(super) fn active_rooms(end: &End) -> Rows<'_, RoomId> {
    pages(ROOMS, None, |room: &RoomId| Some(*room), |after| end.ask(move |s| s.active_rooms(after, ROOMS)))
}

/// Runs `work` for each item, at most `parallel` at a time, each in a task.
pub(super) async fn each<T, O, F>(
    parallel: usize,
    mut items: Rows<'_, T>,
    work: impl Fn(T) -> F,
    mut done: impl FnMut(O),
) -> Result<()>
where
    O: Send + 'static,
    F: Future<Output = Result<O>> + Send + 'static,
{
    // Dropped, they end: nobody writes to the destination behind the back of the next run.
    let mut tasks = FuturesUnordered::new();
    loop {
        let item = if tasks.len() < parallel { items.try_next().await? } else { None };
        match item {
            Some(item) => tasks.push(AbortOnDropHandle::new(tasks::spawn(TaskKind::Migrate, work(item)))),
            None => match tasks.next().await {
                Some(ended) => done(ended.map_err(MigrateError::Task)??),
                None => return Ok(()),
            },
        }
    }
}

/// Copies all rooms. Those that wait for others come again, as long as that helps.
/// Of those in `active` the claim is kept.
pub(super) async fn copy(work: &Arc<Work>, active: BTreeSet<RoomId>) -> Result<Copied> {
    count(work).await?;
    let active = Arc::new(active);
    let mut copied = Copied::default();
    let waiting = round(work, &active, all_rooms(&work.from), true).await?.counted(&mut copied);
    settle(work, &active, waiting, &mut copied).await?;
    Ok(copied)
}

/// Brings rooms that wait, each for another one, until none does.
pub(super) async fn settle(
    work: &Arc<Work>,
    active: &Arc<BTreeSet<RoomId>>,
    mut waiting: Waiting,
    copied: &mut Copied,
) -> Result<()> {
    while !waiting.is_empty() {
        copied.waits += waiting.len() as u64;
        // What is waited for may have been written since its room was brought.
        let others: BTreeSet<_> = waiting.values().filter(|of| !waiting.contains_key(of)).copied().collect();
        work.progress.add_rooms_total(others.len());
        let again = round(work, active, at_hand(others.into_iter().collect()), true).await?.waiting;
        let (before, rooms) = (work.progress.events(), waiting.len());
        waiting = round(work, active, at_hand(waiting.into_keys().collect()), true).await?.counted(copied);
        // Those that were waited for are there as far as they go, and did not help.
        let is_stuck = again.is_empty() && waiting.len() == rooms && work.progress.events() == before;
        waiting.extend(again);
        if is_stuck {
            copied.out_of_order += rooms as u64;
            tracing::warn!(rooms, "messages with one client id in several rooms, in no order");
            waiting = round(work, active, at_hand(waiting.into_keys().collect()), false).await?.counted(copied);
        }
    }
    Ok(())
}

async fn count(work: &Work) -> Result<()> {
    let mut rooms = all_rooms(&work.from).try_chunks(ROOMS);
    while let Some(chunk) = rooms.try_next().await.map_err(|error| error.1)? {
        work.progress.add_rooms_total(chunk.len());
    }
    Ok(())
}

/// Rooms that wait, each for another one.
pub(super) type Waiting = BTreeMap<RoomId, RoomId>;

/// What became of some rooms.
struct Round {
    done: u64,
    waiting: Waiting,
}

impl Round {
    fn counted(self, copied: &mut Copied) -> Waiting {
        copied.rooms += self.done;
        self.waiting
    }
}

async fn round(
    work: &Arc<Work>,
    active: &Arc<BTreeSet<RoomId>>,
    rooms: Rows<'_, RoomId>,
    in_order: bool,
) -> Result<Round> {
    let mut round = Round { done: 0, waiting: Waiting::new() };
    let bring = |id: RoomId| {
        let (work, active) = (Arc::clone(work), Arc::clone(active));
        async move {
            let turn = Turn { in_order, stays_active: active.contains(&id), thorough: true };
            Ok((id, room::bring(&work, id, turn).await?))
        }
    };
    let done = |(id, brought)| match brought {
        Brought::Done => {
            round.done += 1;
            work.progress.add_room();
        }
        Brought::WaitsFor(other) => drop(round.waiting.insert(id, other)),
    };
    each(work.options.parallel, rooms, bring, done).await?;
    Ok(round)
}
