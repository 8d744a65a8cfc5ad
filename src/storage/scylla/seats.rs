//! The rooms that this process writes: each a seat behind its own lock, so that one append of a room is in flight.
//!
//! A seat is a cache of what the database says and may be dropped at any time, except while an append's outcome is not
//! known: then it is what keeps other records from being written under the same key.

use std::sync::Arc;

use dashmap::DashMap;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::gate::Gate;
use crate::{
    domain::ids::{Epoch, RoomId, Seq},
    storage::{Projection, Record, RoomHead},
};

/// An append on its way.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) records: Vec<Record>,
    pub(super) projection: Projection,
    pub(super) stamp: i64,
    /// Whether it was begun to be written: then it may be there, whatever a later attempt is told.
    pub(super) is_tried: bool,
}

/// A claimed room.
#[derive(Debug)]
pub(super) struct Seat {
    /// The claimed epoch.
    pub(super) epoch: Epoch,
    /// The gate of the generation that the claim hangs on.
    pub(super) gate: Arc<Gate>,
    /// Numbers after the newest append that is done.
    pub(super) head: Option<RoomHead>,
    /// First place of the newest batch.
    pub(super) first: Seq,
    /// Greatest stamp used.
    pub(super) stamp: i64,
    /// The append whose outcome is not known.
    pub(super) pending: Option<Pending>,
    /// Nothing may be appended from here any more: it is not known what is written under this claim.
    pub(super) is_lost: bool,
    /// Whether the head row may be behind the log: not after a release, which says that it is not.
    pub(super) may_trail: bool,
}

impl Seat {
    /// A room that nobody ever wrote.
    pub(super) fn fresh(epoch: Epoch, gate: Arc<Gate>) -> Self {
        Self { epoch, gate, head: None, first: Seq(0), stamp: 0, pending: None, is_lost: false, may_trail: true }
    }

    /// Place of the newest event.
    pub(super) fn seq(&self) -> Seq {
        self.head.unwrap_or_default().seq
    }
}

type Slot = Arc<Mutex<Option<Seat>>>;

/// All seats.
#[derive(Debug, Default)]
pub(super) struct Seats {
    rooms: DashMap<RoomId, Slot>,
    /// The newest claim of each room that this process has and has not released.
    own: DashMap<RoomId, Epoch>,
}

/// One room's seat, locked.
#[derive(Debug)]
pub(super) struct Locked {
    room: RoomId,
    slot: Slot,
    guard: OwnedMutexGuard<Option<Seat>>,
}

impl Seats {
    /// Locks a room's seat, which may be empty.
    pub(super) async fn lock(&self, room: RoomId) -> Locked {
        loop {
            let slot = Arc::clone(&self.rooms.entry(room).or_default());
            let guard = Arc::clone(&slot).lock_owned().await;
            // Somebody may have removed it while this waited.
            if self.rooms.get(&room).is_some_and(|present| Arc::ptr_eq(&present, &slot)) {
                return Locked { room, slot, guard };
            }
        }
    }

    /// Whether this process claimed the room with this epoch, and has not released it.
    pub(super) fn is_own(&self, room: RoomId, epoch: Epoch) -> bool {
        self.own.get(&room).is_some_and(|own| *own == epoch)
    }

    /// Notes a claim.
    pub(super) fn claimed(&self, room: RoomId, epoch: Epoch) {
        self.own.insert(room, epoch);
    }

    /// Forgets a claim.
    pub(super) fn released(&self, room: RoomId, epoch: Epoch) {
        self.own.remove_if(&room, |_, own| *own <= epoch);
    }

    /// Unlocks. An empty seat is forgotten.
    pub(super) fn unlock(&self, locked: Locked) {
        if locked.guard.is_none() {
            self.rooms.remove_if(&locked.room, |_, present| Arc::ptr_eq(present, &locked.slot));
        }
    }
}

impl Locked {
    /// Empties the seat, unless it must be remembered that something under its claim is open.
    pub(super) fn give_up(&mut self) {
        match self.guard.as_mut() {
            Some(seat) if seat.pending.is_some() => seat.is_lost = true,
            Some(seat) if seat.is_lost => {}
            _ => *self.guard = None,
        }
    }
}

impl std::ops::Deref for Locked {
    type Target = Option<Seat>;

    fn deref(&self) -> &Self::Target {
        &self.guard
    }
}

impl std::ops::DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.guard
    }
}
