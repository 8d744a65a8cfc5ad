//! Pages of one room.

use super::{Page, PageAt, Run};
use crate::{
    actors::{
        error::Call,
        ops::{Access, Node},
        room::load,
    },
    domain::{
        ids::{MessageId, RoomId, Seq},
        room::Author,
    },
    storage::{Direction, Record, codec},
};

/// Log rows read at most for one page.
const SCAN_MAX: usize = 20_000;

impl Node {
    /// A page of a room's messages.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn history(&self, author: Author, room: RoomId, at: PageAt, limit: usize) -> Call<Page> {
        let access = self.access(author, room).await?;
        let mut at = at;
        let mut page = self.page(&access, at, limit).await?;
        let mut ends = ends_of(&page);
        self.drop_hidden(author, &access, &mut page.messages).await?;
        // A page of which nothing is left would leave the reader without a place to go on from.
        while let (true, Some((first, last))) = (page.messages.is_empty(), ends) {
            at = match at {
                PageAt::After(_) if page.has_more_after => PageAt::After(last),
                PageAt::Newest | PageAt::Before(_) if page.has_more_before => PageAt::Before(first),
                _ => break,
            };
            page = self.page(&access, at, limit).await?;
            ends = ends_of(&page);
            self.drop_hidden(author, &access, &mut page.messages).await?;
        }
        if page.messages.iter().any(|m| m.sender == author.user) {
            (page.delivered_by_all, page.read_by_all) = self.reached_by_all(&access, author.user).await?;
        }
        Ok(page)
    }

    /// The place of a message that pages are asked relative to.
    ///
    /// # Errors
    /// [`Reject::MessageNotFound`].
    pub async fn page_anchor(&self, author: Author, room: RoomId, id: MessageId) -> Call<Seq> {
        self.seq_of(author, room, id).await
    }

    async fn page(&self, access: &Access, at: PageAt, limit: usize) -> Call<Page> {
        let end = access.head.seq.next();
        match at {
            PageAt::Newest => self.before(access, end, limit).await.map(|run| page(run, Run::default(), false)),
            PageAt::Before(seq) => {
                let newer = seq <= access.head.message_seq;
                self.before(access, seq.min(end), limit).await.map(|run| page(run, Run::default(), newer))
            }
            PageAt::After(seq) => {
                let run = self.after(access, seq.max(access.floor()), limit).await?;
                let oldest = run.messages.first();
                let first = oldest.map_or_else(|| seq.next().min(end), |m| m.seq);
                let older = !self.before(access, first, 1).await?.messages.is_empty();
                let more = run.more;
                Ok(Page { has_more_before: older, has_more_after: more, messages: run.messages, ..Page::default() })
            }
            PageAt::Around(seq) => {
                let half = limit / 2;
                let before = self.before(access, seq, half).await?;
                let after = self.after(access, Seq(seq.0.saturating_sub(1)).max(access.floor()), limit - half).await?;
                let newer = after.more;
                Ok(page(before, after, newer))
            }
        }
    }

    /// Up to `limit` messages before `seq`.
    pub(in crate::actors::ops) async fn before(&self, access: &Access, seq: Seq, limit: usize) -> Call<Run> {
        let floor = access.floor();
        if let Some(run) = access.awake.as_ref().and_then(|handle| {
            handle.read(|state| {
                let tail = state.tail();
                let end = tail.partition_point(|m| m.seq < seq);
                let start = tail.partition_point(|m| m.seq <= floor);
                let whole = state.tail_after() <= floor;
                let first = end.saturating_sub(limit).max(start);
                let enough = end >= start && (whole || end.saturating_sub(start) > limit);
                enough.then(|| Run {
                    messages: tail.range(first..end.max(first)).cloned().collect(),
                    more: first > start,
                })
            })
        }) {
            return Ok(run);
        }
        let mut sent = Vec::new();
        let mut before = seq;
        let mut scanned = 0;
        let mut more = false;
        'scan: while scanned < SCAN_MAX && before > floor.next() {
            let rows = self.context.store.read_log(access.room, before, Direction::Backward, 2 * limit + 16).await?;
            scanned += rows.len();
            let Some(last) = rows.last() else { break };
            before = last.seq;
            for row in rows.iter().filter(|row| row.message.is_some()) {
                if row.seq <= floor {
                    break 'scan;
                }
                if sent.len() == limit {
                    more = true;
                    break 'scan;
                }
                sent.push(codec::decode_message(access.room, row)?);
            }
        }
        more |= scanned >= SCAN_MAX;
        sent.reverse();
        Ok(Run { messages: load::present(&*self.context.store, access.room, sent).await?, more })
    }

    /// Up to `limit` messages after `seq`.
    async fn after(&self, access: &Access, seq: Seq, limit: usize) -> Call<Run> {
        if let Some(run) = access.awake.as_ref().and_then(|handle| {
            handle.read(|state| {
                let tail = state.tail();
                let start = tail.partition_point(|m| m.seq <= seq);
                let end = (start + limit).min(tail.len());
                (state.tail_after() <= seq)
                    .then(|| Run { messages: tail.range(start..end).cloned().collect(), more: end < tail.len() })
            })
        }) {
            return Ok(run);
        }
        let mut sent = Vec::new();
        let mut after = seq;
        let mut scanned = 0;
        let mut more = false;
        'scan: while scanned < SCAN_MAX {
            let rows: Vec<Record> =
                self.context.store.read_log(access.room, after, Direction::Forward, 2 * limit + 16).await?;
            scanned += rows.len();
            let Some(last) = rows.last() else { break };
            after = last.seq;
            for row in rows.iter().filter(|row| row.message.is_some()) {
                if sent.len() == limit {
                    more = true;
                    break 'scan;
                }
                sent.push(codec::decode_message(access.room, row)?);
            }
        }
        more |= scanned >= SCAN_MAX;
        Ok(Run { messages: load::present(&*self.context.store, access.room, sent).await?, more })
    }
}

/// First and last place of a page.
fn ends_of(page: &Page) -> Option<(Seq, Seq)> {
    Some((page.messages.first()?.seq, page.messages.last()?.seq))
}

fn page(older: Run, newer: Run, has_more_after: bool) -> Page {
    let has_more_before = older.more;
    let messages = older.messages.into_iter().chain(newer.messages).collect();
    Page { messages, has_more_before, has_more_after, ..Page::default() }
}
