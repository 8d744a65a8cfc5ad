//! What is looked at when the store is opened: are all commits there, and do the active rooms' logs have no gap?

use std::{collections::HashSet, fmt};

use fjall::PersistMode;

use super::{
    super::{
        fault::{Fault, Outcome},
        keys::{self, Key, Table},
        rows::{self, Control},
    },
    Tables,
    commit::{RING, RING_NAME, ring_key},
    witness::Testimony,
};
use crate::{
    domain::ids::{RoomId, Seq},
    storage::{error::StoreErrorKind, types::Direction},
};

/// Newest events of an active room that are looked at.
const EVENTS_PER_ROOM: u64 = 1_000;
/// Events that are looked at altogether; when they are used up, only heads are.
const EVENTS_MAX: u64 = 1_000_000;

/// Result of [`commits`].
#[derive(Debug)]
pub enum Found {
    /// So many commits, all there.
    Whole(u64),
    /// Some are not.
    Lost(Lost),
}

/// Commits that were acknowledged and are not there.
#[derive(Debug)]
pub struct Lost {
    /// The newest commit that is there.
    pub newest: u64,
    /// Missing ones before it.
    pub holes: Vec<u64>,
    /// What the witness says.
    pub testimony: Testimony,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let newest = self.newest;
        let holes = self.holes.len();
        match self.testimony {
            Testimony::Commits(commits) => {
                let missing = u64::try_from(holes).unwrap_or(u64::MAX) + commits.saturating_sub(newest);
                write!(f, "{missing} acknowledged commits are missing: ")?;
                write!(f, "{commits} were made, the newest found is {newest}, {holes} before it are not there")
            }
            Testimony::Absent | Testimony::Unreadable => {
                let what = if self.testimony == Testimony::Absent { "missing" } else { "damaged" };
                write!(f, "the commit witness is {what}, so that nobody knows whether commits are missing after ")?;
                write!(f, "{newest}; {holes} before it are not there")
            }
        }
    }
}

/// Compares the commits among the rows with the witness.
pub fn commits(tables: &Tables, testimony: Testimony) -> Outcome<Found> {
    let first = Key::of(Table::Meta).bytes(RING_NAME);
    let mut found = HashSet::new();
    tables.scan(first.as_ref(), first.clone().end().as_ref(), Direction::Forward, &mut |_, value| {
        found.insert(rows::decode_number(value)?);
        Ok(true)
    })?;
    let newest = found.iter().copied().max().unwrap_or_default();
    let oldest = newest.saturating_sub(RING) + 1;
    let holes: Vec<u64> = (oldest..=newest).filter(|commit| !found.contains(commit)).collect();
    let is_whole = match testimony {
        Testimony::Commits(commits) => newest >= commits,
        Testimony::Absent => newest == 0,
        Testimony::Unreadable => false,
    };
    if is_whole && holes.is_empty() {
        return Ok(Found::Whole(newest));
    }
    Ok(Found::Lost(Lost { newest, holes, testimony }))
}

/// Makes the holes look whole again, after they were reported and given up.
pub fn forget(tables: &Tables, lost: &Lost) -> Outcome<()> {
    let mut batch = tables.db.batch().durability(Some(PersistMode::SyncAll));
    for commit in &lost.holes {
        batch.insert(&tables.rows, ring_key(*commit).slice(), rows::encode_number(*commit));
    }
    Ok(batch.commit()?)
}

/// Checks the newest events of every room in the journal.
pub fn rooms(tables: &Tables) -> Outcome<()> {
    let first = Key::of(Table::Journal);
    let mut budget = EVENTS_MAX;
    tables.scan(first.as_ref(), first.clone().end().as_ref(), Direction::Forward, &mut |key, _| {
        let room = keys::parse(key, Table::Journal, "journal key")?.room()?;
        budget = budget.saturating_sub(check_room(tables, room, budget.min(EVENTS_PER_ROOM))?);
        Ok(true)
    })
}

/// Checks the head and the newest `depth` events of a room; returns how many it looked at.
fn check_room(tables: &Tables, room: RoomId, depth: u64) -> Outcome<u64> {
    let control = tables.rows.get(keys::control(room).as_ref())?;
    let control = control.ok_or_else(|| damaged(room, "was claimed and has no control row", Seq(0)))?;
    let head = Control::decode(&control)?.head.unwrap_or_default().seq;
    let depth = depth.clamp(1, EVENTS_PER_ROOM).min(head.0);
    let (first, end) = (Key::of(Table::Log).room(room), keys::log(room, head).after());
    let mut expected = head;
    if depth == 0 {
        return Ok(0);
    }
    tables.scan(first.as_ref(), end.as_ref(), Direction::Backward, &mut |key, _| {
        let mut key = keys::parse(key, Table::Log, "log key")?;
        key.room()?;
        if key.seq()? != expected {
            return Err(damaged(room, "lacks the event", expected));
        }
        expected = Seq(expected.0 - 1);
        Ok(head.0 - expected.0 < depth)
    })?;
    if head.0 - expected.0 < depth {
        return Err(damaged(room, "lacks the event", expected));
    }
    Ok(depth)
}

fn damaged(room: RoomId, what: &str, seq: Seq) -> Fault {
    let why = format!("room {room} {what} {seq}: its log is damaged");
    Fault::because(StoreErrorKind::Corrupt, why)
}
