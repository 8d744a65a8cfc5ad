//! Reading what was said: pages, single messages, pins, receipts.

use std::sync::Arc;

use super::{Access, Node};
use crate::{
    actors::{error::Call, room::load, user::ListFilter},
    domain::{
        ids::{ExternalRef, MessageId, RoomId, Seq, UserId},
        limits,
        message::Message,
        position::Position,
        reject::Reject,
        room::Author,
    },
    storage::{Direction, Record, codec},
};

/// Log rows read at most for one page.
const SCAN_MAX: usize = 20_000;
/// Members beyond which a message's status is not worked out of all their positions.
const STATUS_MEMBERS_MAX: usize = 5_000;
/// Rooms opened at most for one page of all rooms.
const MERGE_ROOMS_MAX: usize = 500;

/// Where a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageAt {
    /// The newest messages.
    Newest,
    /// Those before this place.
    Before(Seq),
    /// Those after this place.
    After(Seq),
    /// Those on both sides of this place, and it.
    Around(Seq),
}

/// A page of messages, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Arc<Message>>,
    /// Whether there are older ones.
    pub has_more_before: bool,
    /// Whether there are newer ones.
    pub has_more_after: bool,
    /// Everyone but the reader has got messages up to here.
    pub delivered_by_all: Seq,
    /// Everyone but the reader has read messages up to here.
    pub read_by_all: Seq,
}

/// How far a member has come with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The member.
    pub user: UserId,
    /// Whether it was delivered to them.
    pub delivered: bool,
    /// Whether they have read it.
    pub read: bool,
}

/// How far all members have come with a message.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    /// A page of members, by id, without the sender.
    pub receipts: Vec<Receipt>,
    /// How many have read it.
    pub read: usize,
    /// How many have got it.
    pub delivered: usize,
    /// Whether the page is not the last.
    pub has_more: bool,
}

/// Messages found in one direction.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// In seq order.
    pub(super) messages: Vec<Arc<Message>>,
    more: bool,
}

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
    pub(super) async fn before(&self, access: &Access, seq: Seq, limit: usize) -> Call<Run> {
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

    /// Up to where everyone but `reader` has got, and has read, messages.
    pub(super) async fn reached_by_all(&self, access: &Access, reader: UserId) -> Call<(Seq, Seq)> {
        if access.head.members as usize > STATUS_MEMBERS_MAX {
            return Ok((Seq(0), Seq(0)));
        }
        let least = |positions: &mut dyn Iterator<Item = Position>| {
            let both = positions.map(|p| (p.delivered_seq.max(p.read_seq), p.read_seq));
            both.reduce(|a, b| (a.0.min(b.0), a.1.min(b.1))).unwrap_or_default()
        };
        if let Some(handle) = &access.awake {
            return Ok(handle.read(|s| {
                let mut others = s.members.keys().filter(|user| **user != reader).map(|user| s.position(*user));
                least(&mut others)
            }));
        }
        let members = self.members_page(access, UserId(0), STATUS_MEMBERS_MAX).await?;
        Ok(least(&mut members.into_iter().filter(|(user, ..)| *user != reader).map(|(_, _, position)| position)))
    }

    /// One message, and up to where everyone but the author has got and read messages.
    ///
    /// # Errors
    /// [`Reject::MessageNotFound`].
    pub async fn message(&self, author: Author, id: MessageId) -> Call<Page> {
        let (access, found) = self.locate(author, id).await?;
        self.single(author, &access, found.seq).await
    }

    /// One message by its twin's id.
    ///
    /// # Errors
    /// [`Reject::MessageNotFound`].
    pub async fn message_by_external(&self, author: Author, external: &ExternalRef) -> Call<Page> {
        let found = self.context.store.find_external(external).await?.ok_or(Reject::MessageNotFound)?;
        let (access, found) = self.locate_ref(author, found).await?;
        self.single(author, &access, found.seq).await
    }

    async fn single(&self, author: Author, access: &Access, seq: Seq) -> Call<Page> {
        let message = self.message_at(access, seq).await?.ok_or(Reject::MessageNotFound)?;
        let mut messages = vec![message];
        self.drop_hidden(author, access, &mut messages).await?;
        if messages.is_empty() {
            return Err(Reject::MessageNotFound.into());
        }
        let (delivered_by_all, read_by_all) = self.reached_by_all(access, author.user).await?;
        Ok(Page { messages, delivered_by_all, read_by_all, ..Page::default() })
    }

    /// The newest messages of all the author's rooms with an id smaller than `before`, oldest first.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn merged_history(&self, author: Author, before: Option<MessageId>, limit: usize) -> Call<Page> {
        let filter = ListFilter { include_hidden: true, ..ListFilter::default() };
        let shared = self.users.warm(author.user).await?;
        let mut rooms: Vec<(MessageId, RoomId)> =
            shared.list.lock().filtered(&filter).map(|listed| (listed.head().message_id, listed.hub.id())).collect();
        rooms.sort_unstable_by(|a, b| b.cmp(a));
        let mut newest: Vec<Arc<Message>> = Vec::new();
        let mut more = rooms.len() > MERGE_ROOMS_MAX;
        for (newest_id, room) in rooms.into_iter().take(MERGE_ROOMS_MAX) {
            // Once the page is full, a room whose newest message is older than its last adds nothing.
            if newest.get(limit).is_some_and(|m| m.id > newest_id) {
                more = true;
                break;
            }
            let access = match self.access(author, room).await {
                Ok(access) => access,
                Err(crate::actors::error::CallError::Rejected(_)) => continue,
                Err(error) => return Err(error),
            };
            let end = match before {
                Some(id) => self.first_not_before(&access, id).await?,
                None => access.head.seq.next(),
            };
            let mut run = self.before(&access, end, limit + 1).await?.messages;
            self.drop_hidden(author, &access, &mut run).await?;
            newest.extend(run);
            newest.sort_unstable_by_key(|message| std::cmp::Reverse(message.id));
            newest.truncate(limit + 1);
        }
        more |= newest.len() > limit;
        newest.truncate(limit);
        newest.reverse();
        Ok(Page { messages: newest, has_more_before: more, has_more_after: before.is_some(), ..Page::default() })
    }

    /// The first place whose message (or any after it) has an id not smaller than `id`: ids grow with places.
    async fn first_not_before(&self, access: &Access, id: MessageId) -> Call<Seq> {
        let (mut low, mut high) = (access.floor().next(), access.head.seq.next());
        while low < high {
            let middle = Seq(low.0 + (high.0 - low.0) / 2);
            let mut at = Seq(middle.0 - 1);
            let next = loop {
                let rows = self.context.store.read_log(access.room, at, Direction::Forward, 32).await?;
                let found = rows.iter().find_map(|row| row.message.as_ref().map(|key| (row.seq, key.id)));
                match (found, rows.last()) {
                    (Some(found), _) => break Some(found),
                    (None, Some(last)) => at = last.seq,
                    (None, None) => break None,
                }
            };
            match next {
                Some((seq, found)) if found < id => low = seq.next(),
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// A room's pinned messages, newest pin first, without those that the author has hidden.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn pinned(&self, author: Author, room: RoomId) -> Call<Vec<Arc<Message>>> {
        let access = self.access(author, room).await?;
        let mut pins = match &access.awake {
            Some(handle) => handle.read(|s| s.pins.clone()),
            None => self.context.store.pins(room, limits::PINS_MAX).await?,
        };
        pins.retain(|(seq, _)| *seq > access.floor());
        pins.sort_unstable_by_key(|(_, pin)| std::cmp::Reverse(*pin));
        let mut messages = Vec::with_capacity(pins.len());
        for (seq, _) in pins {
            messages.extend(self.message_at(&access, seq).await?);
        }
        self.drop_hidden(author, &access, &mut messages).await?;
        Ok(messages)
    }

    /// Who has got and who has read a message.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn receipts(&self, author: Author, id: MessageId, after: UserId, limit: usize) -> Call<Receipts> {
        let (access, found) = self.locate(author, id).await?;
        let message = self.message_at(&access, found.seq).await?.ok_or(Reject::MessageNotFound)?;
        let mut receipts = Receipts::default();
        let mut last = UserId(0);
        loop {
            let members = self.members_page(&access, last, 1_000).await?;
            for (user, _, position) in members.iter().filter(|(user, ..)| *user != message.sender) {
                let read = position.read_seq >= message.seq || position.sent_n >= message.n;
                let delivered = read || position.delivered_seq >= message.seq;
                receipts.read += usize::from(read);
                receipts.delivered += usize::from(delivered);
                if *user > after {
                    receipts.has_more = receipts.receipts.len() == limit;
                    if !receipts.has_more {
                        receipts.receipts.push(Receipt { user: *user, delivered, read });
                    }
                }
            }
            match members.last() {
                Some((user, ..)) if members.len() == 1_000 => last = *user,
                _ => return Ok(receipts),
            }
        }
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
