//! What was deleted stays in no cell: not in the rows that other epochs have left at its place, not in those that a frozen
//! owner still writes there, and not in the projections of what once came of it.
//!
//! A projection is needed until it is carried out. Those that hold states of messages, and so texts, are then replaced by
//! what is left to say: head and positions. It may be done before the head is written, which only says again what is done.
//!
//! An owner that froze while it wrote a batch back writes rows of an epoch that nobody has seen, with the batch's own
//! timestamp. They are void, or equal to what is there; so the room's owner removes, by a later timestamp, whatever may
//! still come between the epochs at a place, and never what is there.

use bytes::Bytes;

use super::{
    Core,
    apply::Mark,
    rows::{block, number, uuid},
    session::Write,
    stamp::{adding, removing},
    wal,
};
use crate::{
    domain::ids::{Epoch, RoomId, Seq},
    storage::{Projection, Record, Result},
};

/// What is left of a projection when it has been carried out; none if it says nothing that could be deleted later.
pub(super) fn settled(projection: &Projection) -> Option<Vec<u8>> {
    let rest =
        || Projection { head: projection.head, positions: projection.positions.clone(), ..Projection::default() };
    (!projection.states.is_empty()).then(|| wal::encode(&rest()))
}

/// The open ranges of epochs at a place between those that are there, up to the `owner`'s.
pub(super) fn between(epochs: &[i64], owner: i64) -> Vec<(i64, i64)> {
    let mut ends: Vec<i64> = epochs.iter().copied().filter(|epoch| *epoch < owner).collect();
    ends.sort_unstable();
    ends.insert(0, -1);
    ends.push(owner);
    ends.windows(2).map(|pair| (pair[0], pair[1])).filter(|(from, to)| to - from > 1).collect()
}

impl Core {
    /// Epochs that have left a row at this place.
    async fn epochs(&self, op: &'static str, room: RoomId, seq: Seq) -> Result<Vec<i64>> {
        let place = (uuid(room), block(seq), number(seq.0));
        let epoch = |(epoch,): (i64,)| Ok(Some(epoch));
        self.database.rows(op, &self.statements.log_epochs, place, usize::MAX, epoch).await
    }

    /// Removes what others may still write at a place, by this timestamp.
    fn shut(&self, room: RoomId, seq: Seq, epochs: &[i64], owner: Epoch, at: i64) -> Vec<Write> {
        let range = |(from, to)| -> Write {
            let row = (at, uuid(room), block(seq), number(seq.0), from, to);
            (self.statements.log_shut.clone(), Box::new(row))
        };
        between(epochs, number(owner.0)).into_iter().map(range).collect()
    }

    /// Replaces the body of an event, in every row at its place.
    pub(super) async fn redact(
        &self,
        op: &'static str,
        room: RoomId,
        (seq, body): (Seq, &Bytes),
        mark: Mark,
    ) -> Result<()> {
        let epochs = self.epochs(op, room, seq).await?;
        let mut rows = self.shut(room, seq, &epochs, mark.owner, removing(mark.stamp));
        rows.extend(epochs.into_iter().map(|epoch| -> Write {
            let row = (adding(mark.stamp), body.clone(), uuid(room), block(seq), number(seq.0), epoch);
            (self.statements.log_redact.clone(), Box::new(row))
        }));
        self.database.write_all(op, rows).await
    }

    /// Removes the rows of an append that certainly counts nowhere: its text may come to be in the log by another way, and be
    /// deleted there. As well as it can: who is killed before it leaves them.
    pub(super) async fn take_back(&self, room: RoomId, records: &[Record], epoch: Epoch, stamp: i64) {
        let by = number(epoch.0);
        let remove = |record: &Record| -> Write {
            let row = (adding(stamp), uuid(room), block(record.seq), number(record.seq.0), by - 1, by + 1);
            (self.statements.log_shut.clone(), Box::new(row))
        };
        if let Err(failed) = self.database.write_all("append", records.iter().map(remove).collect()).await {
            tracing::warn!(%room, error = %failed, "rows of an append that was refused stay");
        }
    }

    /// Removes what owners older than the settled one have changed without an event, and what they may still write there:
    /// that one has carried it out, or it is void.
    pub(super) async fn void_amendments(&self, op: &'static str, room: RoomId, mark: Mark) -> Result<()> {
        let row = (removing(mark.stamp), uuid(room), number(mark.epoch.0));
        self.database.write(op, &self.statements.amendments_void, row).await
    }

    /// Carries out an append of this owner's, and forgets how.
    pub(super) async fn apply_and_settle(
        &self,
        op: &'static str,
        room: RoomId,
        (records, projection): (&[Record], &Projection),
        mark: Mark,
    ) -> Result<()> {
        self.apply_rows(op, room, (records, projection), mark).await?;
        let head = self.apply_head(op, room, projection, mark);
        let Some(rest) = settled(projection) else { return head.await };
        let settle = async {
            if records.is_empty() {
                return self.settle_amendment(op, room, (mark.owner, mark.stamp), rest).await;
            }
            let last = projection.head.seq;
            let write = self.settle_row(room, last, number(mark.owner.0), mark.stamp, &rest);
            self.database.write_all(op, vec![write]).await
        };
        tokio::try_join!(head, settle).map(drop)
    }

    fn settle_row(&self, room: RoomId, last: Seq, epoch: i64, stamp: i64, rest: &[u8]) -> Write {
        let row = (adding(stamp), rest.to_vec(), uuid(room), block(last), number(last.0), epoch);
        (self.statements.log_settle.clone(), Box::new(row))
    }

    /// Forgets how a batch that was carried out was to be, whoever wrote it, and keeps others from writing it again.
    pub(super) async fn settle_batch(
        &self,
        op: &'static str,
        room: RoomId,
        (last, stamp): (Seq, i64),
        projection: &Projection,
        owner: Epoch,
    ) -> Result<()> {
        let epochs = self.epochs(op, room, last).await?;
        let mut rows = self.shut(room, last, &epochs, owner, removing(stamp));
        // Also if this one is forgotten already: a row that has come since may have it still.
        let rest = settled(projection).unwrap_or_else(|| wal::encode(projection));
        rows.extend(epochs.into_iter().map(|epoch| self.settle_row(room, last, epoch, stamp, &rest)));
        self.database.write_all(op, rows).await
    }

    /// The same for a change without an event: who wrote it and its stamp, and what is left of it.
    pub(super) async fn settle_amendment(
        &self,
        op: &'static str,
        room: RoomId,
        (by, stamp): (Epoch, i64),
        rest: Vec<u8>,
    ) -> Result<()> {
        let row = (uuid(room), number(by.0), stamp, rest, adding(stamp));
        self.database.write(op, &self.statements.amendment_put, row).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_in_no_range() {
        assert_eq!(between(&[], 1), [(-1, 1)]);
        assert_eq!(between(&[1], 2), [(-1, 1)]);
        assert_eq!(between(&[7, 3, 4], 9), [(-1, 3), (4, 7), (7, 9)]);
        assert_eq!(between(&[7, 3], 5), [(-1, 3), (3, 5)], "who is no owner any more removes nothing of newer ones");
        assert!(between(&[0, 1, 2], 3).is_empty());
    }
}
