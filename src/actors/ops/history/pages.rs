//! Pages of one room.

use std::sync::Arc;

use super::{Page, PageAt};
use crate::{
    actors::{
        error::Call,
        fair_share::Spent,
        ops::{
            Access, Node,
            walk::{Run, Walk},
        },
    },
    domain::{
        ids::{MessageId, RoomId, Seq},
        page::PageBound,
        room::Author,
    },
    storage::{Direction, RoomPrefs, ordinals::Effort},
};

/// A read of the store costs as much as so many rows.
const ROWS_PER_READ: usize = 4;

impl Node {
    /// A page of a room's messages.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn history(
        &self,
        author: Author,
        room: RoomId,
        at: PageAt,
        bound: impl Into<PageBound> + Send,
    ) -> Call<Page> {
        let bound = bound.into();
        let access = self.access(author, room).await?;
        let prefs = self.prefs_of(author, room).await?;
        let reading = Reading { node: self, author, access: &access, prefs, effort: Effort::new(bound.reads) };
        let page = reading.page(at, bound).await?;
        self.charge_reads(author, bound.reads, &reading.effort);
        Ok(page)
    }

    /// The place of a message that pages are asked relative to.
    ///
    /// # Errors
    /// [`crate::domain::reject::Reject::MessageNotFound`].
    pub async fn page_anchor(&self, author: Author, room: RoomId, id: MessageId) -> Call<Seq> {
        self.seq_of(author, room, id).await
    }

    /// Charges what a page has cost to its reader's rate: next to nothing, unless much that is not theirs to see, or
    /// that they have hidden, lay between.
    pub(super) fn charge_reads(&self, author: Author, allowed: usize, effort: &Effort) {
        let reads = allowed.saturating_sub(effort.left());
        self.context.shares.charge(author.user, Spent::rows(reads * ROWS_PER_READ));
    }

    /// The reader's own settings for a room.
    pub(in crate::actors::ops) async fn prefs_of(&self, author: Author, room: RoomId) -> Call<RoomPrefs> {
        let entry = self.context.store.room_of(author.user, room).await?;
        Ok(entry.map(|entry| entry.prefs).unwrap_or_default())
    }
}

/// One page as it is read.
struct Reading<'a> {
    node: &'a Node,
    author: Author,
    access: &'a Access,
    prefs: RoomPrefs,
    effort: Effort,
}

impl Reading<'_> {
    fn walk(&self, direction: Direction, from: Seq) -> Walk {
        let store = Arc::clone(&self.node.context.store);
        let (access, effort) = (self.access.clone(), self.effort.clone());
        Walk::new(store, access, self.author.user, self.prefs, (direction, from), effort)
    }

    /// The messages before a place.
    async fn before(&self, seq: Seq, bound: PageBound) -> Call<Run> {
        self.walk(Direction::Backward, seq).run(bound).await
    }

    /// The messages after a place.
    async fn after(&self, seq: Seq, bound: PageBound) -> Call<Run> {
        self.walk(Direction::Forward, seq).run(bound).await
    }

    async fn page(&self, at: PageAt, bound: PageBound) -> Call<Page> {
        let end = self.access.head.seq.next();
        let none = PageBound { items: 0, ..bound };
        match at {
            PageAt::Newest => {
                let older = self.before(end, bound).await?;
                Ok(page(older, Run { at: self.access.head.seq, ..Run::default() }))
            }
            PageAt::Before(seq) => {
                let older = self.before(seq, bound).await?;
                let newer = self.after(just_before(seq), none).await?;
                Ok(page(older, newer))
            }
            PageAt::After(seq) => {
                let newer = self.after(seq, bound).await?;
                let older = self.before(seq.next().min(end), none).await?;
                Ok(page(older, newer))
            }
            PageAt::Around(seq) => {
                let half = bound.items / 2;
                // The message itself first: it is on the page however large it is.
                let newer = PageBound { items: bound.items - half, bytes: bound.bytes / 2, ..bound };
                let newer = self.after(just_before(seq), newer).await?;
                let bytes = newer.filling.map_or(bound.bytes, |filling| filling.bytes_left() + bound.bytes / 2);
                let older = self.before(seq, PageBound { items: half, bytes, ..bound }).await?;
                Ok(page(older, newer))
            }
        }
    }
}

const fn just_before(seq: Seq) -> Seq {
    Seq(seq.0.saturating_sub(1))
}

/// Puts both sides of a page together. Whoever goes on from its ends meets each message once.
fn page(older: Run, newer: Run) -> Page {
    Page {
        has_more_before: older.more,
        has_more_after: newer.more,
        next_before: older.more.then_some(older.at),
        next_after: newer.more.then_some(newer.at),
        messages: older.messages.into_iter().chain(newer.messages).collect(),
        ..Page::default()
    }
}
