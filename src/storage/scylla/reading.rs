//! Reading a room's log: up to the committed head, block by block.
//!
//! The head row is written only after an append has passed its gate, so what it covers never changes again. Below it
//! there is no gap; one is reported, not skipped. How far behind it a reader may look is decided in `ahead`.

use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::{DeserializeRow, value::CqlTimestamp};

use super::{
    Core, error,
    resolve::{LogRow, resolve},
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
        let read = |of: u64| async move {
            let mut rows = self.raw(op, room, number(of), from, to).await?;
            // Pages may begin and end inside a batch: whether it is whole was settled when it was committed.
            rows.iter_mut().for_each(LogGet::forget_batch);
            Ok(rows)
        };
        match counting(from, to, read).await? {
            Ok(log) => log.into_iter().map(|row| row.record(op)).collect(),
            Err(missing) => Err(error::corrupt(op, format!("event {missing} of room {room} is missing"))),
        }
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

/// The rows that count of all places `from..=to`, out of blocks as `read` finds them; or the first place without one.
///
/// While a room is taken over, its last batch is written again, the later blocks first. Of blocks read at once an earlier one
/// may be newer than a later one, whose rows seem void then. Read in order they cannot.
async fn counting<R: LogRow, F: Future<Output = Result<Vec<R>>>>(
    from: Seq,
    to: Seq,
    read: impl Fn(u64) -> F,
) -> Result<std::result::Result<Vec<R>, Seq>> {
    let expected = to.0 - from.0 + 1;
    let mut missing = from;
    for at_once in [AT_ONCE, 1] {
        let pages = stream::iter(from.0 / BLOCK..=to.0 / BLOCK).map(&read).buffered(at_once);
        let pages: Vec<Vec<R>> = pages.try_collect().await?;
        let log = resolve(pages.into_iter().flatten(), from);
        let len = u64::try_from(log.len()).unwrap_or(u64::MAX);
        if len >= expected {
            return Ok(Ok(log));
        }
        missing = Seq(from.0 + len);
    }
    Ok(Err(missing))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{super::rows::Place, *};

    const EDGE: u64 = BLOCK;

    /// A batch over the edge of two blocks, under this epoch.
    fn row(seq: u64, epoch: u64) -> Place {
        (Seq(seq), Epoch(epoch), Seq(seq))
    }

    #[tokio::test]
    async fn a_batch_that_is_written_again_meanwhile_is_read() {
        // The later block is read before it is written again, the earlier one after that.
        let is_written_again = AtomicBool::new(false);
        let is_written_again = &is_written_again;
        let read = |of: u64| async move {
            if of == 0 {
                tokio::task::yield_now().await;
                let epoch = if is_written_again.load(Ordering::Relaxed) { 2 } else { 1 };
                return Ok(vec![row(EDGE - 1, epoch)]);
            }
            let epoch = if is_written_again.swap(true, Ordering::Relaxed) { 2 } else { 1 };
            Ok(vec![row(EDGE, epoch)])
        };
        let log = counting(Seq(EDGE - 1), Seq(EDGE), read).await.unwrap();
        assert_eq!(log, Ok(vec![row(EDGE - 1, 2), row(EDGE, 2)]));
    }

    #[tokio::test]
    async fn what_is_missing_is_said() {
        let read = |of: u64| std::future::ready(Ok(if of == 0 { vec![row(EDGE - 1, 1)] } else { Vec::new() }));
        assert_eq!(counting(Seq(EDGE - 1), Seq(EDGE), read).await.unwrap(), Err(Seq(EDGE)));
    }
}
