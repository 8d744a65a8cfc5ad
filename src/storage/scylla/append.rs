//! An append: decided under the room's seat, written to the log, let through the gate, carried out, acknowledged.
//!
//! The order decides: before the gate is passed nothing is written but the log's rows and look-ups that lead to them, so
//! no reader sees what may turn out to be void; the head comes last, so who sees it finds all that came with it. Past the
//! gate, plain messages are acknowledged, and their head follows ([`super::trail`]); everything else is carried out first.
//! So behind the head a next owner finds plain batches that count, and one last batch that may be half done.

use std::sync::Arc;

use super::{
    Core,
    apply::Mark,
    error,
    rows::{BatchKey, LogPut, number, uuid},
    seats::{Locked, Pending, Seat},
    stamp, wal,
};
use crate::{
    domain::ids::{Epoch, RoomId, Seq},
    storage::{Outcome, Projection, Record, Result, StoreErrorKind, limits},
};

const OP: &str = "append";

/// Bytes of one body that fit one mutation of the database, with all that goes with it.
const BODY_BYTES_MAX: usize = 15 << 20;

/// Whether these are the same events, whoever wrote them first.
pub(super) fn are_alike(stored: &[Record], records: &[Record]) -> bool {
    let alike = |(stored, record): (&Record, &Record)| *stored == Record { epoch: stored.epoch, ..record.clone() };
    stored.len() == records.len() && stored.iter().zip(records).all(alike)
}

/// What to do with an append.
enum Decision {
    /// It is stored already, if these events are.
    Compare,
    /// Write it.
    Write,
}

impl Core {
    /// Appends, see [`crate::storage::LogStore::append`].
    pub(super) async fn append(
        self: &Arc<Self>,
        room: RoomId,
        epoch: Epoch,
        mut records: Vec<Record>,
        projection: Projection,
    ) -> Result<()> {
        limits::check_append(&records, &projection).map_err(|why| error::invalid(OP, why))?;
        if records.iter().any(|record| record.body.len() > BODY_BYTES_MAX) {
            return Err(error::invalid(OP, "a body of more than 15 MiB does not fit one mutation"));
        }
        for (seq, body) in &projection.redacted {
            // Sent and deleted in one batch: the content is never stored, and a retry compares with what is.
            records.iter_mut().filter(|record| record.seq == *seq).for_each(|record| record.body = body.clone());
        }
        for record in &mut records {
            record.epoch = epoch;
        }
        let mut seat = self.seats.lock(room).await;
        let result = self.append_at(room, epoch, records, projection, &mut seat).await;
        let is_fenced = result.as_ref().is_err_and(|failed| failed.kind() == StoreErrorKind::Fenced);
        // A caller with an older epoch says nothing about the seat.
        if is_fenced && seat.as_ref().is_some_and(|seat| seat.epoch == epoch) {
            self.seats.released(room, epoch);
            seat.give_up();
        }
        self.seats.unlock(seat);
        result
    }

    async fn append_at(
        self: &Arc<Self>,
        room: RoomId,
        epoch: Epoch,
        records: Vec<Record>,
        projection: Projection,
        locked: &mut Locked,
    ) -> Result<()> {
        self.sit(room, epoch, locked).await?;
        let Some(seat) = locked.as_mut() else { return Err(error::fenced(OP)) };
        if let Some(pending) = &seat.pending {
            // The same again is carried on with. Other records under the same key would mix with what may still land:
            // they need a new claim.
            if pending.records == records && pending.projection == projection {
                return self.carry_out(room, seat).await;
            }
            return Err(error::fenced(OP));
        }
        if !records.is_empty() && is_plain(&records, &projection) {
            self.trails.keep_up(OP, room).await?;
        } else {
            // What it changes comes after all that was acknowledged before it.
            self.trails.caught_up(OP, room).await?;
        }
        match decide(seat.seq(), &records, &projection) {
            Err(refused) => {
                // To be fenced says more than to be wrong, and comes first.
                self.pass(room, seat.epoch, &mut seat.gate).await?;
                Err(refused)
            }
            Ok(Decision::Compare) => {
                self.pass(room, seat.epoch, &mut seat.gate).await?;
                self.compare(room, seat.seq(), &records).await
            }
            Ok(Decision::Write) if records.is_empty() => self.amend(room, seat, projection).await,
            Ok(Decision::Write) => {
                let reserved = self.reserve(room, seat, &records).await?;
                let stamp = stamp::after(seat.stamp, self.clocks.now_ms());
                seat.pending = Some(Pending { records, projection, stamp, is_tried: false });
                let result = self.carry_out(room, seat).await;
                if result.as_ref().is_err_and(|failed| failed.outcome() == Outcome::NotApplied) {
                    self.unreserve(room, seat, reserved).await;
                }
                result
            }
        }
    }

    /// Finds the seat for an append under `epoch`, if this process holds the claim.
    async fn sit(self: &Arc<Self>, room: RoomId, epoch: Epoch, locked: &mut Locked) -> Result<()> {
        if let Some(seat) = locked.as_ref() {
            if seat.is_lost {
                return Err(error::fenced(OP));
            }
            if epoch == seat.epoch {
                return Ok(());
            }
            if epoch < seat.epoch {
                return Err(error::fenced(OP));
            }
        }
        let Some((claimed, generation)) = self.claim_of(OP, room).await? else {
            return Err(error::invalid(OP, "an epoch that no claim has returned"));
        };
        if epoch < claimed {
            return Err(error::fenced(OP));
        }
        if epoch > claimed {
            return Err(error::invalid(OP, "an epoch that no claim has returned"));
        }
        let gate = self.gate().await?;
        // Another process has it, or this one had it in an earlier life, or under a generation fenced since.
        let is_here = generation == gate.generation()
            || self.own.contains(&generation)
                && self.swap_claim(room, (epoch, generation), (epoch, gate.generation())).await?;
        if !is_here {
            return Err(error::fenced(OP));
        }
        // The seat was given up with nothing open: the head row says all.
        self.trails.caught_up(OP, room).await?;
        let marker = self.marker(OP, room).await?;
        **locked = Some(Seat {
            head: marker.head,
            first: marker.first,
            stamp: stamp::after(marker.stamp, 0),
            may_trail: false,
            ..Seat::fresh(epoch, gate)
        });
        Ok(())
    }

    /// Log, gate, projection: from wherever it stopped.
    async fn carry_out(self: &Arc<Self>, room: RoomId, seat: &mut Seat) -> Result<()> {
        let Some(pending) = &mut seat.pending else { return Ok(()) };
        let Pending { records, projection, stamp, is_tried } = pending.clone();
        pending.is_tried = true;
        if records.is_empty() {
            self.amend_past_gate(room, seat, &projection, stamp).await?;
            seat.head = Some(projection.head);
            seat.pending = None;
            return Ok(());
        }
        let first = records.first().map_or(Seq(0), |record| record.seq);
        let key = BatchKey { room, first, last: projection.head.seq, stamp };
        let mut encoded = Some(wal::encode(&projection));
        let rows = records.iter().map(|record| {
            let projection = if record.seq == key.last { encoded.take() } else { None };
            LogPut::new(&key, record, record.body.clone(), seat.epoch, projection, stamp)
        });
        let rows = rows.collect();
        let lookups = self.put_lookups(OP, room, &records, stamp);
        let (written, found) = tokio::join!(self.put_rows(OP, rows), lookups);
        if let Err(failed) = written {
            if is_tried {
                // What an earlier attempt has written is there, whatever became of this one.
                return Err(error::open(OP, failed));
            }
            if failed.outcome() == Outcome::NotApplied {
                seat.pending = None;
            }
            return Err(failed);
        }
        found.map_err(|failed| error::open(OP, failed))?;
        if let Err(failed) = self.pass(room, seat.epoch, &mut seat.gate).await {
            if failed.kind() != StoreErrorKind::Fenced {
                // The rows are written.
                return Err(error::open(OP, failed));
            }
            let verdict = self.judged(room, seat.epoch, &records).await;
            if verdict.as_ref().is_err_and(|failed| failed.kind() == StoreErrorKind::Fenced) {
                self.take_back(room, &records, seat.epoch, stamp).await;
            }
            if verdict.is_ok() || verdict.as_ref().is_err_and(|failed| failed.kind() == StoreErrorKind::Fenced) {
                // It is in the next owner's log, or never will be in any. Either way this seat is done.
                seat.pending = None;
            }
            return verdict;
        }
        let mark = Mark { first, epoch: seat.epoch, stamp, owner: seat.epoch };
        if seat.may_trail && is_plain(&records, &projection) {
            self.trail(room, (&records, &projection), mark);
        } else {
            // The log has it, so it has happened: whatever went wrong is repaired by a retry or by the next owner.
            let done = self.apply_and_settle(OP, room, (&records, &projection), mark).await;
            done.map_err(|failed| error::open(OP, failed))?;
        }
        seat.head = Some(projection.head);
        seat.first = first;
        seat.stamp = stamp;
        seat.pending = None;
        Ok(())
    }

    async fn compare(&self, room: RoomId, head: Seq, records: &[Record]) -> Result<()> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        if first.seq.0 == 0 || last.seq > head {
            return Err(error::conflict(OP, "some of the records are stored, some are not"));
        }
        let stored = self.committed(OP, room, first.seq, last.seq).await?;
        if are_alike(&stored, records) {
            return Ok(());
        }
        Err(error::conflict(OP, "another event is stored at this seq"))
    }

    /// A projection without an event. Positions are one mutation; more than that is written down before it is done.
    async fn amend(self: &Arc<Self>, room: RoomId, seat: &mut Seat, projection: Projection) -> Result<()> {
        self.pass(room, seat.epoch, &mut seat.gate).await?;
        let stamp = stamp::after(seat.stamp, self.clocks.now_ms());
        seat.stamp = stamp;
        let result = self.amend_past_gate(room, seat, &projection, stamp).await;
        match &result {
            Ok(()) => seat.head = Some(projection.head),
            Err(failed) if failed.outcome() == Outcome::Unknown => {
                // What may be half done is finished by whoever claims the room next, or by a retry.
                seat.pending = Some(Pending { records: Vec::new(), projection, stamp, is_tried: true });
            }
            Err(_) => {}
        }
        result
    }

    async fn amend_past_gate(
        self: &Arc<Self>,
        room: RoomId,
        seat: &mut Seat,
        projection: &Projection,
        stamp: i64,
    ) -> Result<()> {
        let only_positions =
            Projection { head: projection.head, positions: projection.positions.clone(), ..Projection::default() };
        if *projection == only_positions && seat.head == Some(projection.head) {
            // The head stays as it is: its stamp would be one that no next owner finds anywhere.
            self.put_positions(OP, room, projection).await.map_err(|failed| error::open(OP, failed))?;
            return self.pass(room, seat.epoch, &mut seat.gate).await.map_err(|failed| error::open(OP, failed));
        }
        let row = (uuid(room), number(seat.epoch.0), stamp, wal::encode(projection), stamp);
        self.database.write(OP, &self.statements.amendment_put, row).await?;
        self.pass(room, seat.epoch, &mut seat.gate).await.map_err(|failed| error::open(OP, failed))?;
        let mark = Mark { first: seat.first, epoch: seat.epoch, stamp, owner: seat.epoch };
        let done = self.apply_and_settle(OP, room, (&[], projection), mark).await;
        done.map_err(|failed| error::open(OP, failed))?;
        // Who has claimed the room meanwhile may have read it before this was there: then this is not acknowledged.
        self.pass(room, seat.epoch, &mut seat.gate).await.map_err(|failed| error::open(OP, failed))
    }
}

/// Whether nothing follows but the head and positions.
pub(super) fn is_plain(records: &[Record], projection: &Projection) -> bool {
    let Projection {
        head: _,
        room,
        members,
        removed,
        positions: _,
        states,
        redacted,
        reacted,
        unreacted,
        pinned,
        unpinned,
    } = projection;
    let is_external = |record: &Record| record.message.as_ref().is_some_and(|message| message.external.is_some());
    room.is_none()
        && members.is_empty()
        && removed.is_empty()
        && states.is_empty()
        && redacted.is_empty()
        && reacted.is_empty()
        && unreacted.is_empty()
        && pinned.is_empty()
        && unpinned.is_empty()
        && !records.iter().any(is_external)
}

/// What to do with an append to a room whose newest event is at `stored`.
fn decide(stored: Seq, records: &[Record], projection: &Projection) -> Result<Decision> {
    if records.windows(2).any(|pair| pair[0].seq.0.checked_add(1) != Some(pair[1].seq.0)) {
        return Err(error::conflict(OP, "a gap between the records"));
    }
    match records.first() {
        Some(first) if first.seq <= stored => return Ok(Decision::Compare),
        Some(first) if first.seq.0 - 1 != stored.0 => return Err(error::conflict(OP, "a gap before the records")),
        None if projection.head.seq != stored => return Err(error::conflict(OP, "numbers of another head")),
        Some(_) | None => {}
    }
    if projection.redacted.iter().any(|(seq, _)| seq.0 == 0 || *seq > projection.head.seq) {
        return Err(error::conflict(OP, "no event to redact at this seq"));
    }
    Ok(Decision::Write)
}
