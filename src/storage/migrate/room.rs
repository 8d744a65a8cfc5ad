//! One room: its log, in pages, behind what the destination has; then all that stands beside the log.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    MigrateError, Result, Work,
    end::may_pass,
    overlay::{self, Kinds},
};
use crate::{
    domain::ids::{Epoch, RoomId, Seq},
    storage::{Direction, MessageRef, Projection, Record, RoomHead, consumers},
};

/// Bodies of one append, bytes: well within what every backend takes at once.
pub(super) const APPEND_BYTES: usize = 1 << 20;
/// Look-ups of one room under way at once.
pub(super) const LOOK_UPS: usize = 16;

/// How far one room has been brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Brought {
    /// All of it.
    Done,
    /// A message of it comes after one of this other room that the destination does not have yet.
    WaitsFor(RoomId),
}

/// What a room's turn is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Turn {
    /// Wait for other rooms where the order of client ids asks for it.
    pub(super) in_order: bool,
    /// Leave the room in the destination's journal of active rooms.
    pub(super) stays_active: bool,
    /// Also compare what people hid who have left since, and have no list that names the room.
    pub(super) thorough: bool,
}

/// A room on its way.
#[derive(Debug)]
pub(super) struct Bring<'a> {
    pub(super) work: &'a Work,
    pub(super) room: RoomId,
    /// The source's head, read before anything else: what follows is at least as new.
    pub(super) head: RoomHead,
    /// Newest event that the destination had at the beginning.
    pub(super) had: Seq,
    epoch: Option<Epoch>,
    wrote_log: bool,
}

/// Brings a room over, from whatever state the destination is in.
pub(super) async fn bring(work: &Work, room: RoomId, turn: Turn) -> Result<Brought> {
    let in_room = |source| MigrateError::Room { room, source: Box::new(source) };
    bring_room(work, room, turn).await.map_err(in_room)
}

async fn bring_room(work: &Work, room: RoomId, turn: Turn) -> Result<Brought> {
    let head = work.from.ask(|s| s.head(room)).await?.unwrap_or_default();
    let had = work.to.ask(|s| s.head(room)).await?;
    let carried = work.to.ask(|s| s.cursor(consumers::MIGRATE, room)).await?;
    let had_head = had.unwrap_or_default();
    let mut this = Bring { work, room, head, had: had_head.seq, epoch: None, wrote_log: false };
    this.same_history().await?;
    // Only of what was complete it is known which kinds of events are new.
    let mut kinds = if carried == this.had && carried > Seq(0) { Kinds::default() } else { Kinds::all() };
    if let Some(other) = this.log(had_head, turn.in_order, &mut kinds).await? {
        this.give_back(turn.stays_active).await?;
        return Ok(Brought::WaitsFor(other));
    }
    let head_differs = had != Some(head) && !this.wrote_log;
    overlay::bring(&mut this, &kinds, head_differs).await?;
    overlay::beside(&this, turn.thorough).await?;
    work.to.ask(|s| s.put_cursor(consumers::MIGRATE, room, head.seq)).await?;
    this.give_back(turn.stays_active).await?;
    Ok(Brought::Done)
}

impl Bring<'_> {
    /// Refuses a destination whose log is no beginning of the source's.
    async fn same_history(&self) -> Result<()> {
        let diverged = |what: String| Err(MigrateError::Diverged { what });
        if self.had > self.head.seq {
            return diverged(format!("it has event {}, the source ends at {}", self.had, self.head.seq));
        }
        if self.had == Seq(0) {
            return Ok(());
        }
        let (room, seq) = (self.room, self.had);
        let ours = self.work.from.ask(|s| s.record(room, seq)).await?;
        let theirs = self.work.to.ask(|s| s.record(room, seq)).await?;
        // Bodies change when messages are deleted.
        let plain = |record: Record| Record { epoch: Epoch(0), body: Default::default(), ..record };
        if ours.map(plain) == theirs.map(plain) {
            return Ok(());
        }
        diverged(format!("event {seq} is another one"))
    }

    /// Appends what follows the destination's head, up to a message that has to wait for the room that is returned.
    async fn log(&mut self, had: RoomHead, in_order: bool, kinds: &mut Kinds) -> Result<Option<RoomId>> {
        let (work, room, page) = (self.work, self.room, self.work.options.page);
        let mut head = RoomHead { members: 0, ..had };
        while head.seq < self.head.seq {
            let after = head.seq;
            let limit = page.min(usize::try_from(self.head.seq.0 - after.0).unwrap_or(page));
            let mut records = work.from.ask(|s| s.read_log(room, after, Direction::Forward, limit)).await?;
            work.rows(records.len()).await;
            if records.is_empty() {
                let what = format!("the source's log ends at {after}, its head is at {}", self.head.seq);
                return Err(MigrateError::Diverged { what });
            }
            let waits = if in_order { self.first_waiting(&records).await? } else { None };
            records.truncate(waits.map_or(records.len(), |(place, _)| place));
            for part in parts(&records) {
                kinds.note(part);
                head = part.iter().fold(head, step);
                let at_end = head.seq == self.head.seq;
                let projection = Projection { head: if at_end { self.head } else { head }, ..Projection::default() };
                self.append(part, &projection).await?;
                self.wrote_log = at_end;
                work.progress.add_events(part.len());
                work.progress.add_messages(part.iter().filter(|record| record.message.is_some()).count());
            }
            if let Some((_, other)) = waits {
                return Ok(Some(other));
            }
        }
        Ok(None)
    }

    /// The first record whose client id belongs to a message of another room that the destination does not have yet,
    /// and that room: whichever comes first keeps the id.
    async fn first_waiting(&self, records: &[Record]) -> Result<Option<(usize, RoomId)>> {
        let looks: Vec<_> = records.iter().enumerate().map(|(place, record)| self.waits(place, record)).collect();
        let mut waiting = stream::iter(looks).buffered(LOOK_UPS);
        while let Some(waits) = waiting.try_next().await? {
            if waits.is_some() {
                return Ok(waits);
            }
        }
        Ok(None)
    }

    async fn waits(&self, place: usize, record: &Record) -> Result<Option<(usize, RoomId)>> {
        let Some(message) = &record.message else {
            return Ok(None);
        };
        let (sender, client_id) = (record.actor, &message.client_id);
        let keeps = self.work.from.ask(|s| s.find_client_message(sender, client_id)).await?;
        let is_elsewhere = |found: &MessageRef| found.room != self.room;
        let Some(keeps) = keeps.filter(is_elsewhere) else {
            return Ok(None);
        };
        let has = self.work.to.ask(|s| s.find_client_message(sender, client_id)).await?;
        Ok((has.as_ref() != Some(&keeps)).then_some((place, keeps.room)))
    }

    /// Appends under a claim of the destination's room. After an unknown outcome the room is claimed again, so that what
    /// may still arrive is refused.
    pub(super) async fn append(&mut self, records: &[Record], projection: &Projection) -> Result<()> {
        let (to, room) = (&self.work.to, self.room);
        let mut waits = to.patience().waits();
        loop {
            let epoch = match self.epoch {
                Some(epoch) => epoch,
                None => to.ask(|s| s.claim(room)).await?,
            };
            self.epoch = Some(epoch);
            let Err(error) = to.store().append(room, epoch, records, projection).await else {
                return Ok(());
            };
            let Some(wait) = waits.next().filter(|_| may_pass(&error)) else {
                return Err(to.failed(error));
            };
            self.epoch = None;
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes the room out of the destination's journal, if it was put there.
    async fn give_back(&mut self, stays_active: bool) -> Result<()> {
        let (to, room) = (&self.work.to, self.room);
        match self.epoch.take() {
            Some(epoch) if !stays_active => to.ask(|s| s.release(room, epoch)).await,
            Some(_) | None => Ok(()),
        }
    }
}

/// The head after one more record, as far as a record tells it.
fn step(head: RoomHead, record: &Record) -> RoomHead {
    let head = RoomHead { seq: record.seq, n: record.n, ..head };
    match &record.message {
        Some(message) => {
            RoomHead { message_seq: record.seq, message_id: message.id, activity_ms: record.at_ms, ..head }
        }
        None => head,
    }
}

/// Cuts a page into what goes into one append each.
fn parts(records: &[Record]) -> Vec<&[Record]> {
    let mut parts = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (place, record) in records.iter().enumerate() {
        if place > first && bytes + record.body.len() > APPEND_BYTES {
            parts.push(&records[first..place]);
            (first, bytes) = (place, 0);
        }
        bytes += record.body.len();
    }
    parts.extend(Some(&records[first..]).filter(|part| !part.is_empty()));
    parts
}
