//! Finds messages in a log by their ordinals, over any store.
//!
//! Every row of a log says how many messages there are up to it (`n`), so how many lie in a stretch is known from the
//! rows at its two ends. That makes a long stretch without messages, or with none that a reader has not hidden, cost
//! single rows in the number of its length's digits, and no index. Must not read what is in a body.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use super::{Direction, Record, Result, Store, StoreError, StoreErrorKind};
use crate::domain::ids::{MessageId, Ordinal, RoomId, Seq, UserId};

/// A message that was found is within so many rows of the place given for it: as many as are worth reading at once.
pub const WITHIN: u64 = 32;
/// Rows in which only a message's id is looked for: they are read whole all the same.
const WITHIN_FOR_ID: u64 = 8;
/// Hidden messages read at once.
const HIDDEN_SLICE: u64 = 1_024;

/// What one call may still ask of the store. Shared by all that works for the call.
#[derive(Clone, Debug)]
pub struct Effort(Arc<AtomicUsize>);

impl Effort {
    /// So many reads of up to [`WITHIN`] rows.
    #[must_use]
    pub fn new(reads: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(reads)))
    }

    /// Takes what a read of `rows` rows costs.
    pub fn spend(&self, rows: usize) {
        let cost = 1 + rows / usize::try_from(WITHIN).unwrap_or(usize::MAX);
        let less = |left: usize| Some(left.saturating_sub(cost));
        // Always changed: the closure never refuses.
        let _before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// How many reads are left.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.left() == 0
    }
}

/// A place between two rows, and the ordinal of the newest message before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// The row just before the place.
    pub seq: Seq,
    /// Its ordinal.
    pub n: Ordinal,
}

/// What a search for a message says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// It is among the [`WITHIN`] rows that end (searching backward) or begin just after (searching forward) here.
    At(Seq),
    /// There is none.
    Nothing,
    /// There is none up to here, and no effort left to look further.
    Spent(Seq),
}

/// Messages that a user has hidden.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HiddenBy {
    /// Who.
    pub user: UserId,
    /// There are none from here on.
    pub before: Seq,
}

/// Searches one room's log.
#[derive(Clone, Debug)]
pub struct Ordinals<'a> {
    store: &'a dyn Store,
    room: RoomId,
    hidden: Option<HiddenBy>,
    effort: Effort,
    within: u64,
}

/// What is known of a stretch.
enum Stretch {
    /// It has messages besides these hidden ones.
    Some(Vec<Seq>),
    None,
    /// It has more messages than hidden ones are read at once.
    TooLong,
}

impl<'a> Ordinals<'a> {
    /// A search for messages that are not `hidden`.
    #[must_use]
    pub fn new(store: &'a dyn Store, room: RoomId, hidden: Option<HiddenBy>, effort: Effort) -> Self {
        Self { store, room, hidden, effort, within: WITHIN }
    }

    /// The edge after the row at `seq`.
    ///
    /// # Errors
    /// [`StoreError`]; `Corrupt` if the log has no such row.
    pub async fn edge(&self, seq: Seq) -> Result<Edge> {
        Ok(Edge { seq, n: self.row(seq).await?.map_or(Ordinal(0), |row| row.n) })
    }

    /// The row at `seq`; none before the first.
    async fn row(&self, seq: Seq) -> Result<Option<Record>> {
        if seq == Seq(0) {
            return Ok(None);
        }
        self.effort.spend(1);
        let row = self.store.record(self.room, seq).await?;
        let missing = || format!("room {}: the log has no seq {seq}", self.room);
        let row = row.ok_or_else(|| StoreError::because(StoreErrorKind::Corrupt, "ordinals", missing()))?;
        Ok(Some(row))
    }

    /// The newest message after `floor` and before `end`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest(&self, floor: Seq, end: Edge) -> Result<Found> {
        let (mut high, mut step, mut step_max) = (end, WITHIN, u64::MAX);
        while high.seq > floor && high.n > Ordinal(0) {
            // A store in this process answers at once: others have their turn.
            tokio::task::yield_now().await;
            if self.effort.is_spent() {
                return Ok(Found::Spent(high.seq));
            }
            let low = self.edge(Seq(high.seq.0.saturating_sub(step)).max(floor)).await?;
            match self.stretch(low, high).await? {
                Stretch::Some(hidden) => return self.narrow(Direction::Backward, low, high, &hidden).await,
                Stretch::TooLong => (step, step_max) = (HIDDEN_SLICE, HIDDEN_SLICE),
                Stretch::None => (high, step) = (low, step.saturating_mul(2).min(step_max)),
            }
        }
        Ok(Found::Nothing)
    }

    /// The oldest message after `start` and before `end`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn oldest(&self, start: Edge, end: Edge) -> Result<Found> {
        let (mut low, mut step, mut step_max) = (start, WITHIN, u64::MAX);
        while low.seq < end.seq && low.n < end.n {
            // A store in this process answers at once: others have their turn.
            tokio::task::yield_now().await;
            if self.effort.is_spent() {
                return Ok(Found::Spent(low.seq));
            }
            let seq = Seq(low.seq.0.saturating_add(step));
            let high = if seq >= end.seq { end } else { self.edge(seq).await? };
            match self.stretch(low, high).await? {
                Stretch::Some(hidden) => return self.narrow(Direction::Forward, low, high, &hidden).await,
                Stretch::TooLong => (step, step_max) = (HIDDEN_SLICE, HIDDEN_SLICE),
                Stretch::None => (low, step) = (high, step.saturating_mul(2).min(step_max)),
            }
        }
        Ok(Found::Nothing)
    }

    /// What lies after `low` and before `high`.
    async fn stretch(&self, low: Edge, high: Edge) -> Result<Stretch> {
        let messages = high.n.0.saturating_sub(low.n.0);
        if messages == 0 {
            return Ok(Stretch::None);
        }
        let Some(hidden) = self.hidden.filter(|hidden| low.seq.next() < hidden.before) else {
            return Ok(Stretch::Some(Vec::new()));
        };
        if messages > HIDDEN_SLICE {
            return Ok(Stretch::TooLong);
        }
        let hidden = self.store.hidden_messages(hidden.user, self.room, low.seq.next(), high.seq).await?;
        self.effort.spend(hidden.len());
        let has_more = messages > hidden.len() as u64;
        Ok(if has_more { Stretch::Some(hidden) } else { Stretch::None })
    }

    /// Halves a stretch that has such a message until it is short enough to be read.
    async fn narrow(&self, towards: Direction, mut low: Edge, mut high: Edge, hidden: &[Seq]) -> Result<Found> {
        let has_some = |low: Edge, high: Edge| {
            let first = hidden.partition_point(|seq| *seq <= low.seq);
            let end = hidden.partition_point(|seq| *seq <= high.seq);
            high.n.0.saturating_sub(low.n.0) > (end - first) as u64
        };
        while high.seq.0 - low.seq.0 > self.within {
            let middle = self.edge(Seq(low.seq.0 + (high.seq.0 - low.seq.0) / 2)).await?;
            match towards {
                Direction::Backward if has_some(middle, high) => low = middle,
                Direction::Backward => high = middle,
                Direction::Forward if has_some(low, middle) => high = middle,
                Direction::Forward => low = middle,
            }
        }
        Ok(Found::At(if towards == Direction::Backward { high.seq } else { low.seq }))
    }

    /// The newest message after `floor` and at or before `last`, hidden or not.
    async fn newest_key(&self, floor: Seq, last: Seq) -> Result<Option<(Seq, MessageId)>> {
        let Some(row) = self.row(last).await?.filter(|_| last > floor) else { return Ok(None) };
        if let Some(found) = key_of(&row) {
            return Ok(Some(found));
        }
        let any = Self { hidden: None, within: WITHIN_FOR_ID, ..self.clone() };
        let Found::At(last) = any.newest(floor, Edge { seq: last, n: row.n }).await? else { return Ok(None) };
        let rows = usize::try_from(WITHIN_FOR_ID).unwrap_or(usize::MAX);
        let rows = self.store.read_log(self.room, last.next(), Direction::Backward, rows).await?;
        Ok(rows.iter().filter(|row| row.seq > floor).find_map(key_of))
    }

    /// The newest message after `floor` and at or before `last` whose id is smaller than `id`, hidden or not: ids grow
    /// with places. Looks near `last` first, where pages of what is new end. The effort counts what that costs and must
    /// not run out: there is no half of the answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn newest_below(&self, floor: Seq, last: Seq, id: MessageId) -> Result<Option<(Seq, MessageId)>> {
        let Some(newest) = self.newest_key(floor, last).await? else { return Ok(None) };
        if newest.1 < id {
            return Ok(Some(newest));
        }
        // What is asked for lies after `low` and before `high`, or is `best`.
        let (mut low, mut high, mut best, mut step) = (floor, newest.0, None, WITHIN / 2);
        while high.0 - low.0 > 1 {
            let is_first_way = best.is_none() && low == floor;
            let middle = Seq(low.0 + (high.0 - low.0) / 2);
            let probe = if is_first_way { Seq(high.0.saturating_sub(step)).max(middle) } else { middle };
            step = step.saturating_mul(2);
            match self.newest_key(low, probe).await? {
                Some((seq, found)) if found < id => (low, best) = (probe, Some((seq, found))),
                Some((seq, _)) => high = seq,
                None => low = probe,
            }
        }
        Ok(best)
    }
}

fn key_of(row: &Record) -> Option<(Seq, MessageId)> {
    row.message.as_ref().map(|key| (row.seq, key.id))
}
