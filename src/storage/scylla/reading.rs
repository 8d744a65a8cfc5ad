//! Reading a room's log: up to the committed head, block by block.
//!
//! The head row is written only after an append has passed its gate, so what it covers never changes again. Below it
//! there is no gap; one is reported, not skipped. How far behind it a reader may look is decided in `ahead`.

use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::{DeserializeRow, value::CqlTimestamp};

use super::{
    Core, error,
    resolve::resolve,
    rows::{BLOCK, LogGet, block, bound, number, uuid},
};
use crate::{
    domain::ids::{Epoch, MessageId, Ordinal, RoomId, Seq},
    storage::{Record, Result, RoomHead},
};

/// Blocks read at once.
const AT_ONCE: usize = 4;

/// How far a room has come, and by whose hand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marker {
    /// Numbers of the newest append; none if there was none.
    pub(super) head: Option<RoomHead>,
    /// First place of the newest batch.
    pub(super) first: Seq,
    /// Newest owner that has taken the room over completely.
    pub(super) epoch: Epoch,
    /// Greatest stamp known.
    pub(super) stamp: i64,
    /// Newest owner that has left the room with nothing behind the head.
    pub(super) closed: Epoch,
}

#[derive(DeserializeRow)]
struct MarkerGet {
    head_seq: Option<i64>,
    head_n: Option<i64>,
    head_message_seq: Option<i64>,
    head_message_id: Option<i64>,
    head_activity_at: Option<CqlTimestamp>,
    head_members: Option<i64>,
    head_first: Option<i64>,
    head_epoch: Option<i64>,
    head_stamp: Option<i64>,
    head_closed: Option<i64>,
}

impl MarkerGet {
    fn marker(self, op: &'static str) -> Result<Marker> {
        let members = self.head_members.unwrap_or_default();
        let members = u32::try_from(members).map_err(|_| error::corrupt(op, "a number of members"))?;
        let of = |value: Option<i64>| value.unwrap_or_default().cast_unsigned();
        let head = self.head_seq.map(|seq| RoomHead {
            seq: Seq(seq.cast_unsigned()),
            n: Ordinal(of(self.head_n)),
            message_seq: Seq(of(self.head_message_seq)),
            message_id: MessageId(self.head_message_id.unwrap_or_default()),
            activity_ms: self.head_activity_at.map_or(0, |at| at.0),
            members,
        });
        Ok(Marker {
            head,
            first: Seq(of(self.head_first)),
            epoch: Epoch(of(self.head_epoch)),
            stamp: self.head_stamp.unwrap_or_default(),
            closed: Epoch(of(self.head_closed)),
        })
    }
}

impl Core {
    /// How far the room has come.
    pub(super) async fn marker(&self, op: &'static str, room: RoomId) -> Result<Marker> {
        let row = self.database.row::<MarkerGet>(op, &self.statements.head_read, (uuid(room),)).await?;
        row.map_or_else(|| Ok(Marker::default()), |row| row.marker(op))
    }

    /// All rows of one block between two places, whoever wrote them.
    pub(super) async fn raw(&self, op: &'static str, room: RoomId, of: i64, from: Seq, to: Seq) -> Result<Vec<LogGet>> {
        let values = (uuid(room), of, bound(from.0), bound(to.0));
        self.database.rows(op, &self.statements.log_range, values, usize::MAX, |row: LogGet| Ok(row.whole())).await
    }

    /// The events `from..=to`, which the head covers.
    ///
    /// # Errors
    /// `Corrupt` if one is missing.
    pub(super) async fn committed(&self, op: &'static str, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Record>> {
        if from > to {
            return Ok(Vec::new());
        }
        let blocks = from.0 / BLOCK..=to.0 / BLOCK;
        let pages = stream::iter(blocks).map(|of| self.raw(op, room, number(of), from, to)).buffered(AT_ONCE);
        let pages: Vec<Vec<LogGet>> = pages.try_collect().await?;
        // Pages may begin and end inside a batch: whether it is whole was settled when it was committed.
        let mut rows: Vec<LogGet> = pages.into_iter().flatten().collect();
        rows.iter_mut().for_each(LogGet::forget_batch);
        let log = resolve(rows, from);
        let expected = to.0 - from.0 + 1;
        if u64::try_from(log.len()).is_ok_and(|len| len < expected) {
            let missing = from.0 + u64::try_from(log.len()).unwrap_or_default();
            return Err(error::corrupt(op, format!("event {missing} of room {room} is missing")));
        }
        log.into_iter().map(|row| row.record(op)).collect()
    }

    /// The resolved rows from `from` on, also those that no head covers yet.
    pub(super) async fn tail(&self, op: &'static str, room: RoomId, from: Seq) -> Result<Vec<LogGet>> {
        let mut rows = Vec::new();
        let mut of = block(from);
        loop {
            rows.extend(self.raw(op, room, of, from, Seq(u64::MAX)).await?);
            // A batch may reach into the next block.
            let reach = rows.iter().map(LogGet::reach).max().map_or(of, block);
            let end = resolve(rows.iter().map(LogGet::place), from).last().map_or(of, |(seq, _, _)| block(seq.next()));
            if reach.max(end) <= of {
                return Ok(resolve(rows, from));
            }
            of += 1;
        }
    }
}
