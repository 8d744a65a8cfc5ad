//! What is neither a room's nor a user's turn: join jobs, message ids, and the journal of active rooms.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Result, Work,
    pages::{Join, Pair},
    rooms::active_rooms,
};
use crate::storage::consumers;

/// Brings join jobs, up to when message ids were made, and the journal. A room that was awake when the source's process
/// died is woken by the first process on the destination, so that what it had not passed on goes out.
pub(super) async fn copy(work: &Arc<Work>) -> Result<()> {
    jobs(work).await?;
    let (name, of) = consumers::MESSAGE_IDS;
    let made = work.from.ask(|s| s.cursor(name, of)).await?;
    work.to.ask(|s| s.put_cursor(name, of, made)).await?;
    let mut join = Join::new(active_rooms(&work.from), active_rooms(&work.to), |room| *room);
    while let Some(pair) = join.next().await? {
        match pair {
            Pair::From(room) => work.to.ask(|s| s.claim(room)).await.map(drop)?,
            Pair::To(room) => {
                let epoch = work.to.ask(|s| s.claim(room)).await?;
                work.to.ask(|s| s.release(room, epoch)).await?;
            }
            Pair::Both(..) => {}
        }
    }
    Ok(())
}

/// Brings what tells the master keys that bodies are sealed with: there are few.
pub(super) async fn keys(work: &Work) -> Result<()> {
    for (name, sealed) in work.from.ask(|s| s.sync_states(consumers::STORE)).await? {
        if name.starts_with(consumers::MASTER_KEY) {
            work.to.ask(|s| s.put_sync_state(consumers::STORE, &name, sealed.clone())).await?;
        }
    }
    Ok(())
}

/// Brings the join jobs: there are few.
pub(super) async fn jobs(work: &Work) -> Result<()> {
    let from: BTreeMap<_, _> = work.from.ask(|s| s.join_jobs()).await?.into_iter().collect();
    let to: BTreeMap<_, _> = work.to.ask(|s| s.join_jobs()).await?.into_iter().collect();
    for (room, state) in from.iter().filter(|(room, state)| to.get(room) != Some(state)) {
        work.to.ask(|s| s.put_join_job(*room, Some(state.clone()))).await?;
    }
    for room in to.keys().filter(|room| !from.contains_key(room)) {
        work.to.ask(|s| s.put_join_job(*room, None)).await?;
    }
    Ok(())
}
