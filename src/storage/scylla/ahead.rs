//! How far a room has come, for those who only read it: the head, and what the log has ahead of it.
//!
//! An owner acknowledges plain messages before it writes the head ([`super::trail`]). Its own process waits for that. Any
//! other takes the rows ahead of the head for what they are once it has made sure, in the order that the gate has: first
//! the rows are read by a quorum (which leaves them on one: both databases repair what a read finds missing before they
//! answer), then the claim and its fence. Still the writer's, so whoever takes the room over later will find them.

use std::time::Duration;

use super::{Core, append::is_plain, reading::Marker, resolve::LogRow};
use crate::{
    domain::ids::{Epoch, RoomId, Seq, UserId},
    storage::{Position, Result, RoomHead, StoreError, StoreErrorKind},
};

/// Pauses while a room is being taken over.
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
    /// `Unavailable` if the room is being taken over and that does not end.
    pub(super) async fn seen(&self, op: &'static str, room: RoomId) -> Result<Seen> {
        self.trails.caught_up(op, room).await?;
        let mut pauses = PAUSES_MS.into_iter();
        loop {
            let marker = self.marker(op, room).await?;
            if self.is_exact(room, marker.epoch, marker.closed) {
                return Ok(marker.into());
            }
            if let Some(seen) = self.ahead(op, room, &marker).await? {
                return Ok(seen);
            }
            let Some(pause) = pauses.next() else {
                return Err(StoreError::because(StoreErrorKind::Unavailable, op, "the room is being taken over"));
            };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    /// Whether a room's head covers all that was acknowledged: its newest owner has left it, or is this process, whose
    /// trail the caller has waited for.
    pub(super) fn is_exact(&self, room: RoomId, owner: Epoch, closed: Epoch) -> bool {
        owner <= closed || self.seats.is_own(room, owner)
    }

    /// The head with what the log has ahead of it; none if it cannot be told yet.
    async fn ahead(&self, op: &'static str, room: RoomId, marker: &Marker) -> Result<Option<Seen>> {
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
        let Some((_, generation)) = claim.filter(|(epoch, _)| *epoch == newest) else { return Ok(None) };
        let is_fenced = self.is_fenced(op, generation).await?;
        Ok((!is_fenced).then_some(seen))
    }
}
