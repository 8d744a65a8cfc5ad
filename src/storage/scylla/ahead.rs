//! How far a room has come, for those who only read it: the head, and what the log has ahead of it.
//!
//! An owner acknowledges plain messages before it writes the head ([`super::trail`]). Its own process waits for that. Any
//! other takes the rows ahead of the head for what they are once it has made sure, in this order: the rows are read by a
//! quorum (which leaves them on one: both databases repair what a read finds missing before they answer), and the claim
//! read after that is still their writer's. So whoever takes the room over later reads the log later, and finds them.
//! Their look-ups by id may be missing until then.

use std::{sync::Arc, time::Duration};

use super::{Core, append::is_plain, error, reading::Marker, resolve::LogRow};
use crate::{
    domain::ids::{Epoch, RoomId, Seq, UserId},
    storage::{Position, Result, RoomHead, StoreError, StoreErrorKind},
    tasks::{self, TaskKind},
};

/// Pauses while a room is being taken over. After them it is not expected to end by itself.
const PAUSES_MS: [u64; 8] = [5, 10, 20, 50, 100, 200, 400, 800];

/// How far a room has come.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Numbers of the newest append.
    pub(super) head: Option<RoomHead>,
    /// Positions that are not in their rows yet.
    pub(super) positions: Vec<(UserId, Position)>,
}

impl From<Marker> for Seen {
    fn from(marker: Marker) -> Self {
        Self { head: marker.head, positions: Vec::new() }
    }
}

impl Core {
    /// How far the room has come, with all that was acknowledged before this call.
    ///
    /// # Errors
    /// `Unavailable` if others keep taking the room over.
    pub(super) async fn seen(self: &Arc<Self>, op: &'static str, room: RoomId) -> Result<Seen> {
        self.seen_to(op, room, Seq(u64::MAX)).await
    }

    /// [`Core::seen`], for who needs to know no more than up to `enough`.
    pub(super) async fn seen_to(self: &Arc<Self>, op: &'static str, room: RoomId, enough: Seq) -> Result<Seen> {
        self.trails.caught_up(op, room).await?;
        for pause in PAUSES_MS {
            if let Some(seen) = self.look(op, room, enough).await? {
                return Ok(seen);
            }
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.take_and_leave(op, room).await?;
        let seen = self.look(op, room, enough).await?;
        seen.ok_or_else(|| StoreError::because(StoreErrorKind::Unavailable, op, "the room is being taken over"))
    }

    async fn look(&self, op: &'static str, room: RoomId, enough: Seq) -> Result<Option<Seen>> {
        let marker = self.marker(op, room).await?;
        let is_enough = marker.head.is_some_and(|head| head.seq >= enough);
        if is_enough || self.is_exact(room, marker.epoch, marker.closed) {
            return Ok(Some(marker.into()));
        }
        self.ahead(op, room, &marker).await
    }

    /// Takes over a room that somebody has begun to take over and does not end, as after a crash, and leaves it. It stays
    /// in the journal: what else follows its newest messages is not done.
    async fn take_and_leave(self: &Arc<Self>, op: &'static str, room: RoomId) -> Result<()> {
        let core = Arc::clone(self);
        let taking = tasks::spawn(TaskKind::Append, async move {
            // This process may be at it itself; then that ended here.
            let seat = core.seats.lock(room).await;
            let result = if seat.is_none() { core.finish_taking(op, room).await } else { Ok(()) };
            core.seats.unlock(seat);
            result
        });
        taking.await.map_err(|_| error::stopped(op))?
    }

    async fn finish_taking(self: &Arc<Self>, op: &'static str, room: RoomId) -> Result<()> {
        if self.look(op, room, Seq(u64::MAX)).await?.is_some() {
            return Ok(());
        }
        let taken = self.take(room).await?;
        tracing::info!(%room, epoch = %taken.epoch, "took over a room that somebody had not finished taking over");
        self.put_closed(op, room, taken.epoch).await
    }

    /// Whether a room's head covers all that was acknowledged: its newest owner has left it, or is this process, whose
    /// trail the caller has waited for. The first owner of a room (0: it has not written a head) has left nothing yet.
    pub(super) fn is_exact(&self, room: RoomId, owner: Epoch, closed: Epoch) -> bool {
        owner.0 > 0 && owner <= closed || self.seats.is_own(room, owner)
    }

    /// The head with what the log has ahead of it; none if it cannot be told yet.
    pub(super) async fn ahead(&self, op: &'static str, room: RoomId, marker: &Marker) -> Result<Option<Seen>> {
        let mut seen = Seen::from(*marker);
        let covered = marker.head.unwrap_or_default().seq;
        // From the newest batch that the head covers: what is before a row may make it void.
        let rows = self.tail(op, room, Seq(marker.first.0.max(1))).await?;
        let Some(newest) = rows.last().filter(|row| row.seq() > covered).map(LogRow::epoch) else {
            return Ok(Some(seen));
        };
        if newest < marker.epoch {
            // Landed late: who settled the room did not find them, and closed the log before them.
            return Ok(Some(seen));
        }
        if newest > marker.epoch.max(Epoch(1)) {
            // Its writer is taking the room over, or has come to its end meanwhile: the marker will say.
            return Ok(None);
        }
        let rows = rows.into_iter().filter(|row| row.seq() > covered).collect();
        for batch in self.batches(room, rows).await? {
            let records = batch.records(op)?;
            if !is_plain(&records, &batch.projection) {
                // It is acknowledged when all that follows it is there; then the head is as well.
                break;
            }
            seen.head = Some(batch.projection.head);
            seen.positions.extend(batch.projection.positions);
        }
        let claim = self.claim_of(op, room).await?;
        Ok(claim.is_some_and(|(epoch, _)| epoch == newest).then_some(seen))
    }
}
