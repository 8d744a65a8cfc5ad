//! External references are unique over the whole store, which no single partition can say: each is reserved by a
//! lightweight transaction before the message that has it is written.
//!
//! A reservation alone shows nothing: a message is found by its reference only once its append is carried out. One that
//! its writer left behind is taken over as soon as it is certain that the message never came to be.

use super::{
    Core, error,
    rows::{number, uuid},
    seats::Seat,
};
use crate::{
    domain::ids::{Epoch, ExternalRef, MessageId, RoomId},
    storage::{Record, Result, StoreError, StoreErrorKind},
};

const OP: &str = "append";

/// A reference and the message that has it.
pub(super) type Reserved = (ExternalRef, MessageId);

/// Who reserved a reference: message, room, epoch of the append.
type Holder = (MessageId, RoomId, Epoch);

impl Core {
    /// Reserves the references of all records, or none of them.
    ///
    /// # Errors
    /// `Conflict` if another message has one of them; `Overloaded` if that is not decided yet.
    pub(super) async fn reserve(&self, room: RoomId, seat: &mut Seat, records: &[Record]) -> Result<Vec<Reserved>> {
        let mut reserved: Vec<Reserved> = Vec::new();
        for message in records.iter().filter_map(|record| record.message.as_ref()) {
            let Some(external) = &message.external else { continue };
            let is_twice = reserved.iter().any(|(other, _)| other == external);
            let result = if is_twice {
                Err(error::conflict(OP, "two messages of one append have this external reference"))
            } else {
                self.reserve_one(external, (message.id, room, seat.epoch)).await
            };
            if let Err(failed) = result {
                self.unreserve(room, seat, reserved).await;
                return Err(failed);
            }
            reserved.push((external.clone(), message.id));
        }
        Ok(reserved)
    }

    async fn reserve_one(&self, external: &ExternalRef, new: Holder) -> Result<()> {
        for _ in 0..8 {
            match self.holder(external).await? {
                None => {
                    let row =
                        (&external.source, &external.chat, &external.message, new.0.0, uuid(new.1), number(new.2.0));
                    if self.settle(self.database.transact(OP, &self.statements.reservation_put, row).await)? {
                        return Ok(());
                    }
                }
                Some(holder) if holder == new => return Ok(()),
                // Who reserves for the same room under a newer epoch has taken it over.
                Some(holder) if holder.1 == new.1 && holder.2 > new.2 => return Err(error::fenced(OP)),
                Some(holder) => {
                    self.check_left_behind(external, holder, new).await?;
                    let row = (
                        (new.0.0, uuid(new.1), number(new.2.0)),
                        (&external.source, &external.chat, &external.message),
                        (holder.0.0, uuid(holder.1), number(holder.2.0)),
                    );
                    let ((a, b, c), (d, e, f), (g, h, i)) = row;
                    let taken =
                        self.database.transact(OP, &self.statements.reservation_take, (a, b, c, d, e, f, g, h, i));
                    if self.settle(taken.await)? {
                        return Ok(());
                    }
                }
            }
        }
        Err(StoreError::new(StoreErrorKind::Overloaded, OP))
    }

    /// An outcome that is not known is looked up in the next round.
    fn settle(&self, result: Result<bool>) -> Result<bool> {
        match result {
            Err(failed) if failed.outcome() == crate::storage::Outcome::Unknown => Ok(false),
            other => other,
        }
    }

    async fn holder(&self, external: &ExternalRef) -> Result<Option<Holder>> {
        let key = (&external.source, &external.chat, &external.message);
        let row = self.database.row::<(i64, uuid::Uuid, i64)>(OP, &self.statements.reservation_read, key).await?;
        Ok(row.map(|(id, room, epoch)| (MessageId(id), RoomId(room.into_bytes()), Epoch(epoch.cast_unsigned()))))
    }

    /// Fails unless the message that `holder` reserved for is not there and never will be.
    async fn check_left_behind(&self, external: &ExternalRef, holder: Holder, new: Holder) -> Result<()> {
        // Asked for first: an owner that is settled has carried out whatever it found.
        let is_settled = if holder.1 == new.1 {
            // One append of a room is in flight, and this is it: an older owner's is settled, its own are done.
            true
        } else {
            let marker = self.marker(OP, holder.1).await?;
            // An empty log has no row that closes it: what comes late would count.
            marker.epoch > holder.2 && marker.head.is_some_and(|head| head.seq.0 > 0)
        };
        let key = (&external.source, &external.chat, &external.message);
        let found = self.database.row::<super::rows::RefRow>(OP, &self.statements.external_read, key).await?;
        if let Some((_, _, id)) = found
            && id != new.0.0
        {
            return Err(error::conflict(OP, "another message has this external reference"));
        }
        if is_settled { Ok(()) } else { Err(StoreError::new(StoreErrorKind::Overloaded, OP)) }
    }

    /// Gives reservations back, as well as it can: those it cannot are taken over when they are asked for. If one may be
    /// given back later yet, the seat is lost: the same append made again under the same epoch would have the same
    /// reservation, and lose it.
    pub(super) async fn unreserve(&self, room: RoomId, seat: &mut Seat, reserved: Vec<Reserved>) {
        for (external, id) in reserved {
            let row = (&external.source, &external.chat, &external.message, id.0, uuid(room), number(seat.epoch.0));
            if let Err(failed) = self.database.transact(OP, &self.statements.reservation_drop, row).await {
                seat.is_lost |= failed.outcome() == crate::storage::Outcome::Unknown;
                tracing::debug!(error = %failed, "a reservation of an external reference stays");
            }
        }
    }
}
