//! Finding text: the log is read newest first and looked through, so many rows a call.
//!
//! There is no index: what is stored is sealed, and an index of its words would not be. The price is time that grows
//! with the room, and it is paid by whoever searches, page by page: in slices of their own share of the node, charged to
//! their rate.

use std::sync::Arc;

use super::{Access, Node};
use crate::{
    actors::{
        error::{Call, CallError},
        fair_share::{RowsAtOnce, Spent},
        room::load,
        user::ListFilter,
    },
    domain::{
        fold,
        ids::{RoomId, Seq},
        limits,
        message::Message,
        page::{self, Filling},
        reject::text,
        room::Author,
    },
    storage::{Direction, codec},
};

/// Log rows looked through at most in one call.
const ROWS_PER_CALL: usize = 20_000;
/// Bytes looked through at most in one call.
const BYTES_PER_CALL: usize = 16 << 20;
/// Log rows read at a time, at most.
const PAGE_ROWS: usize = 128;
/// Bytes read at a time, about.
const PAGE_BYTES: usize = 256 << 10;
/// Opening a room costs as much as looking through so many rows.
const ROWS_PER_ROOM: usize = 8;

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Newest first within each room.
    pub messages: Vec<Arc<Message>>,
    /// Where to go on; none when all was looked through.
    pub next: Option<(RoomId, Seq)>,
}

/// A search under way. It moves into each slice and comes back from it.
#[derive(Debug)]
struct Hunt {
    author: Author,
    needle: Arc<str>,
    filling: Filling,
    /// Whether what was found next is for another page.
    is_full: bool,
    /// The one room that was asked for is missed when it is gone; of all the author's rooms, one may be.
    must_be_there: bool,
    /// Rooms not yet looked through, the next one last.
    rooms: Vec<RoomId>,
    /// Where to begin in the first of them.
    from: Option<Seq>,
    /// The room being looked through.
    open: Option<(Access, Seq)>,
    at_once: RowsAtOnce,
    found: Vec<Arc<Message>>,
}

impl Node {
    /// Finds text in one room, or in all the author's rooms (by room id).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn search(
        &self,
        author: Author,
        room_asked: Option<RoomId>,
        query: &str,
        from: Option<(RoomId, Seq)>,
        limit: usize,
    ) -> Call<Found> {
        text("query", query, limits::SEARCH_BYTES_MIN, limits::NAME_BYTES_MAX)?;
        let needle = fold::needle("query", query)?.into();
        let mut share = self.share(author.user).await?;
        let mut rooms = match room_asked {
            Some(room) => vec![room],
            None => {
                let shared = self.users.warm(author.user).await?;
                let filter = ListFilter { include_hidden: true, ..ListFilter::default() };
                shared.list.lock().filtered(&filter).map(|listed| listed.hub.id()).collect()
            }
        };
        rooms.retain(|room| from.is_none_or(|(start, _)| *room >= start));
        rooms.reverse();
        let mut hunt = Hunt {
            author,
            needle,
            filling: Filling::new(limit.into()),
            is_full: false,
            must_be_there: room_asked.is_some(),
            from: from.filter(|(room, _)| rooms.last() == Some(room)).map(|(_, seq)| seq),
            rooms,
            open: None,
            at_once: RowsAtOnce::new(PAGE_ROWS, PAGE_BYTES),
            found: Vec::new(),
        };
        loop {
            let node = self.clone();
            hunt = share.run(async move { hunt.slice(&node).await }).await?;
            let Spent { rows, bytes } = share.spent();
            // Who has used up their rate goes on when they ask again.
            let is_enough = rows >= ROWS_PER_CALL || bytes >= BYTES_PER_CALL || share.owes();
            if hunt.is_over() || is_enough {
                return Ok(hunt.end());
            }
        }
    }

    fn matches(&self, access: &Access, message: &Message, needle: &str) -> bool {
        if message.deleted {
            return false;
        }
        if !message.draft.encrypted {
            return fold::contains(&message.draft.content, needle);
        }
        let plain = self.context.keys.decrypt(&access.info.encryption_data, &message.draft.content);
        plain.is_some_and(|plain| fold::contains(&plain, needle))
    }
}

impl Hunt {
    fn is_over(&self) -> bool {
        self.is_full || self.filling.items_left() == 0 || (self.open.is_none() && self.rooms.is_empty())
    }

    fn end(self) -> Found {
        let next = match (&self.open, self.rooms.last()) {
            (Some((access, before)), _) => Some((access.room, *before)),
            // Before the room's first step: from its end.
            (None, Some(room)) => Some((*room, Seq(i64::MAX.unsigned_abs()))),
            (None, None) => None,
        };
        Found { messages: self.found, next }
    }

    /// Looks through a few pages.
    async fn slice(mut self, node: &Node) -> Call<(Self, Spent)> {
        let mut spent = Spent::default();
        while !self.is_over() && !spent.is_slice() {
            match self.open.take() {
                None => self.open_next(node, &mut spent).await?,
                Some((access, before)) => self.page(node, access, before, &mut spent).await?,
            }
        }
        Ok((self, spent))
    }

    async fn open_next(&mut self, node: &Node, spent: &mut Spent) -> Call<()> {
        let Some(room) = self.rooms.pop() else {
            return Ok(());
        };
        spent.add(Spent::rows(ROWS_PER_ROOM));
        let from = self.from.take();
        match node.access(self.author, room).await {
            Ok(access) => {
                let end = access.head.seq.next();
                self.open = Some((access, from.map_or(end, |seq| seq.min(end))));
                Ok(())
            }
            // Deleted, or left, since the list was read.
            Err(CallError::Rejected(_)) if !self.must_be_there => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Looks through a page of the log before `before`, and leaves the room open if there is more.
    async fn page(&mut self, node: &Node, access: Access, before: Seq, spent: &mut Spent) -> Call<()> {
        if before <= access.floor().next() {
            return Ok(());
        }
        let store = &*node.context.store;
        let read = store.read_log(access.room, before, Direction::Backward, self.at_once.get()).await?;
        let Some(mut last) = read.last().map(|row| row.seq) else {
            return Ok(());
        };
        let bytes = read.iter().map(|row| row.body.len()).sum();
        self.at_once.learn(read.len(), bytes);
        spent.add(Spent { rows: read.len(), bytes });
        let visible = read.iter().rev().filter(|row| row.message.is_some() && row.seq > access.floor());
        let sent = visible.map(|row| codec::decode_message(access.room, row)).collect::<Result<Vec<_>, _>>()?;
        let mut matching = load::present(store, access.room, sent).await?;
        matching.retain(|message| node.matches(&access, message, &self.needle));
        node.drop_hidden(self.author, &access, &mut matching).await?;
        for message in matching.into_iter().rev() {
            if !self.filling.takes(page::bytes_of(&message)) {
                // Those after it are looked through again for the next page.
                self.is_full = true;
                last = message.seq.next();
                break;
            }
            if self.filling.items_left() == 0 {
                last = message.seq;
                self.found.push(message);
                break;
            }
            self.found.push(message);
        }
        self.open = Some((access, last));
        Ok(())
    }
}
