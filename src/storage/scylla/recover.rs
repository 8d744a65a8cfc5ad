//! Taking a room over: what rule 3 of the protocol asks of a new owner before it serves.
//!
//! Only after its claim is committed it reads the tail; writes the last batch back under its own epoch, so that what it
//! has seen stays and what it has not seen is void; passes the gate; and carries out the projection of that batch, which
//! the last owner may not have come to.

use std::sync::Arc;

use super::{
    Core,
    apply::Mark,
    erase, error,
    gate::Gate,
    resolve::LogRow,
    rows::{BatchKey, LogGet, LogPut, block, number, uuid},
    seats::Seat,
    session::Write,
    stamp, wal,
};
use crate::{
    domain::ids::{Epoch, RoomId, Seq},
    storage::{Projection, Record, Result},
};

const OP: &str = "claim";

/// A batch of the tail.
#[derive(Debug)]
pub(super) struct Batch {
    key: BatchKey,
    rows: Vec<LogGet>,
    pub(super) projection: Projection,
    encoded: Vec<u8>,
}

impl Batch {
    /// Its events.
    pub(super) fn records(&self, op: &'static str) -> Result<Vec<Record>> {
        self.rows.iter().map(|row| row.clone().record(op)).collect()
    }
}

impl Core {
    /// The seat of a room that was claimed with `epoch`, after a claim with `old`.
    ///
    /// # Errors
    /// `Fenced` if the room was claimed by somebody else meanwhile; `Corrupt` if the log ends before its head.
    pub(super) async fn recover(
        self: &Arc<Self>,
        room: RoomId,
        old: Epoch,
        epoch: Epoch,
        gate: Arc<Gate>,
    ) -> Result<Seat> {
        let marker = self.marker(OP, room).await?;
        let from = Seq(marker.first.0.max(1));
        let (rows, amendment) = tokio::try_join!(self.tail(OP, room, from), self.amendment(room))?;
        if rows.last().is_some_and(|row| row.epoch() > epoch) {
            // The gate would say so, but what was written back before it would have what the newer owner forgets only of its own.
            return Err(error::fenced(OP));
        }
        let committed = marker.head.unwrap_or_default().seq;
        if rows.last().map_or(0, |row| row.seq().0) < committed.0 {
            return Err(error::corrupt(OP, format!("the log of room {room} ends before event {committed}")));
        }
        let batches = self.batches(room, rows).await?;
        let mut seat = Seat { head: marker.head, first: marker.first, stamp: marker.stamp, ..Seat::fresh(epoch, gate) };
        seat.stamp = batches.iter().map(|batch| batch.key.stamp).fold(seat.stamp, i64::max);
        // An amendment of an older owner is void, as its rows would be.
        let amendment = amendment.filter(|(by, ..)| *by == marker.epoch || (marker.epoch.0 == 0 && *by == old));
        seat.stamp = amendment.iter().map(|(_, at, _)| *at).fold(seat.stamp, i64::max);

        seat.stamp = stamp::taking(seat.stamp, marker.epoch, epoch);
        if let Some(last) = batches.last() {
            self.write_back(last, epoch).await?;
        }
        self.pass(room, epoch, &mut seat.gate).await?;
        for batch in &batches {
            // Under the old owner's number: this one is settled when all is done.
            self.apply_batch(room, batch, marker.epoch, epoch).await?;
            seat.first = batch.key.first;
            seat.head = Some(batch.projection.head);
        }
        if let Some((by, at, projection)) = amendment {
            let mark = Mark { first: seat.first, epoch: marker.epoch, stamp: at, owner: epoch };
            self.apply(OP, room, (&[], &projection), mark).await?;
            if let Some(rest) = erase::settled(&projection) {
                self.settle_amendment(OP, room, (by, at), rest).await?;
            }
            if at > batches.last().map_or(0, |batch| batch.key.stamp) {
                seat.head = Some(projection.head);
            }
        }
        self.put_marker(OP, room, &seat).await?;
        Ok(seat)
    }

    /// The batches that these rows are.
    pub(super) async fn batches(&self, room: RoomId, rows: Vec<LogGet>) -> Result<Vec<Batch>> {
        let mut batches: Vec<Batch> = Vec::new();
        let mut open: Vec<LogGet> = Vec::new();
        for row in rows {
            let is_last = row.reach() <= row.seq();
            open.push(row);
            if is_last {
                batches.extend(self.batch(room, std::mem::take(&mut open)).await?);
            }
        }
        Ok(batches)
    }

    async fn batch(&self, room: RoomId, rows: Vec<LogGet>) -> Result<Option<Batch>> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(None) };
        let key = BatchKey { room, first: first.seq(), last: last.seq(), stamp: last.stamp() };
        let values = (uuid(room), block(last.seq()), last.seq, number(last.epoch().0));
        let row = self.database.row::<(Option<Vec<u8>>,)>(OP, &self.statements.log_projection, values).await?;
        let encoded = row.and_then(|(projection,)| projection);
        let encoded = encoded.ok_or_else(|| error::corrupt(OP, "a batch without its projection"))?;
        let projection = wal::decode(encoded.clone());
        let projection = projection.ok_or_else(|| error::corrupt(OP, "a projection does not decode"))?;
        Ok(Some(Batch { key, rows, projection, encoded }))
    }

    /// Writes a batch again under a newer fence. Its events keep the epoch that wrote them first, and the rows the
    /// batch's own time: what was redacted since is redacted here as well.
    async fn write_back(&self, batch: &Batch, fence: Epoch) -> Result<()> {
        let mut rows = Vec::with_capacity(batch.rows.len());
        for row in &batch.rows {
            let record = row.clone().record(OP)?;
            let projection = (record.seq == batch.key.last).then(|| batch.encoded.clone());
            let body = record.body.clone();
            rows.push(LogPut::new(&batch.key, &record, body, fence, projection, batch.key.stamp));
        }
        self.put_rows(OP, rows).await
    }

    /// Carries out a batch of an older owner, `by` whose number the room is settled until now.
    async fn apply_batch(&self, room: RoomId, batch: &Batch, by: Epoch, owner: Epoch) -> Result<()> {
        let records = batch.records(OP)?;
        self.put_lookups(OP, room, &records, batch.key.stamp).await?;
        let mark = Mark { first: batch.key.first, epoch: by, stamp: batch.key.stamp, owner };
        self.apply(OP, room, (&records, &batch.projection), mark).await?;
        // Its writer may have forgotten already what a frozen owner has read before that, and writes again.
        if !batch.projection.states.is_empty() || records.iter().any(|record| record.message.is_none()) {
            self.settle_batch(OP, room, (batch.key.last, batch.key.stamp), &batch.projection, owner).await?;
        }
        Ok(())
    }

    /// What the newest owner changed without an event: epoch, stamp, projection.
    async fn amendment(&self, room: RoomId) -> Result<Option<(Epoch, i64, Projection)>> {
        let statement = &self.statements.amendment_last;
        let row = self.database.row::<(i64, i64, Vec<u8>)>(OP, statement, (uuid(room),)).await?;
        let Some((epoch, at, encoded)) = row else { return Ok(None) };
        let projection = wal::decode(encoded).ok_or_else(|| error::corrupt(OP, "an amendment does not decode"))?;
        Ok(Some((Epoch(epoch.cast_unsigned()), at, projection)))
    }

    /// Writes rows of one batch, in parts: what is in one block, and not too large for one mutation. The batch counts
    /// when it is whole. The last part is written first: when a batch is written back, a part before it that landed
    /// alone would make what follows void.
    pub(super) async fn put_rows(&self, op: &'static str, rows: Vec<LogPut>) -> Result<()> {
        let mut parts: Vec<Vec<Write>> = Vec::new();
        let (mut of, mut size) = (None, 0);
        for row in rows {
            let bytes = row.size();
            if of != Some(row.block) || size + bytes > PART_BYTES {
                parts.push(Vec::new());
                size = 0;
            }
            of = Some(row.block);
            size += bytes;
            if let Some(part) = parts.last_mut() {
                part.push((self.statements.log_put.clone(), Box::new(row)));
            }
        }
        let mut result = Ok(());
        for (number, part) in parts.into_iter().rev().enumerate() {
            result = self.database.write_all(op, part).await;
            if number > 0 {
                // The parts before it are there already.
                result = result.map_err(|failed| error::open(op, failed));
            }
            if result.is_err() {
                break;
            }
        }
        result
    }
}

/// Bytes of one mutation of the log, at most, unless one row alone has more. Cassandra's default limit is 16 MiB.
const PART_BYTES: usize = 4 << 20;
