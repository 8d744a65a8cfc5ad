//! Pages of all of a user's rooms, by time: a merge of the rooms' own messages by id, from the newest downwards. A room
//! is opened only when its newest message can be on the page.

use std::{
    collections::{BinaryHeap, VecDeque},
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};

use super::Page;
use crate::{
    actors::{
        error::{Call, CallError},
        ops::{Access, Node, walk::Walk},
        user::ListFilter,
    },
    domain::{
        ids::{MessageId, RoomId, Seq},
        message::Message,
        page::{self, Filling, PageBound},
        room::Author,
    },
    storage::{
        Direction,
        ordinals::{Effort, Ordinals},
    },
};

/// A page of many rooms may cost so many times the reads of one of a single room.
const EFFORTS: usize = 4;
/// Rooms in which the page's beginning is looked for at once.
const ANCHORS_AT_ONCE: usize = 16;
/// Rooms opened at once.
const OPENED_AT_ONCE: usize = 8;
/// Messages read from a room at once.
const CHUNK: usize = 8;

/// A room that may have messages for the page, and where its messages begin that are.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// No message left in the room that the reader sees has a greater id.
    newest: MessageId,
    room: RoomId,
    /// The place of that message.
    seq: Seq,
}

/// An opened room.
#[derive(Debug)]
struct Source {
    walk: Walk,
    /// Messages that were read and are not on the page yet, newest first.
    read: VecDeque<Arc<Message>>,
}

/// What the rooms' order is decided by: the greatest comes first.
type Turn = (MessageId, usize);

/// A page as it is merged.
struct Merge<'a> {
    node: &'a Node,
    author: Author,
    effort: Effort,
    /// Looking for places, which no page can do without: charged and not bounded.
    searching: Effort,
    rooms: Vec<(Candidate, Option<Source>)>,
    turns: BinaryHeap<Turn>,
}

impl Node {
    /// The newest messages of all the author's rooms with an id smaller than `before`, oldest first.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn merged_history(
        &self,
        author: Author,
        before: Option<MessageId>,
        bound: impl Into<PageBound> + Send,
    ) -> Call<Page> {
        let bound = bound.into();
        let mut filling = Filling::new(bound);
        let searching = Effort::new(usize::MAX);
        let rooms = self.candidates(author, before, &searching).await?;
        let turns = rooms.iter().enumerate().map(|(i, room)| (room.newest, i)).collect();
        let rooms = rooms.into_iter().map(|room| (room, None)).collect();
        let effort = Effort::new(EFFORTS * bound.reads);
        let mut merge = Merge { node: self, author, effort, searching, rooms, turns };
        let mut messages = Vec::new();
        let mut next = None;
        while let Some(message) = merge.newest().await? {
            if !filling.takes(page::bytes_of(&message)) {
                // All that is left has the same id at most.
                next = Some(MessageId(message.id.0 + 1));
                break;
            }
            messages.push(message);
            merge.take();
        }
        self.charge_reads(author, EFFORTS * bound.reads, &merge.effort);
        self.charge_reads(author, usize::MAX, &merge.searching);
        // Rooms that are left when nothing more was found took too long: what they have is not newer than their turn.
        let next = next.or_else(|| merge.turns.peek().map(|(id, _)| MessageId(id.0 + 1)));
        messages.reverse();
        Ok(Page {
            messages,
            has_more_before: next.is_some(),
            has_more_after: before.is_some(),
            next_before_id: next,
            ..Page::default()
        })
    }

    /// The rooms with messages whose id is smaller than `before`.
    async fn candidates(&self, author: Author, before: Option<MessageId>, searching: &Effort) -> Call<Vec<Candidate>> {
        let filter = ListFilter { include_hidden: true, ..ListFilter::default() };
        let shared = self.users.warm(author.user).await?;
        let candidate = |(room, newest, seq)| Candidate { newest, room, seq };
        let heads: Vec<Candidate> = shared
            .list
            .lock()
            .filtered(&filter)
            .map(|listed| (listed.hub.id(), listed.head().message_id, listed.head().message_seq))
            .map(candidate)
            .filter(|candidate| candidate.newest > MessageId(0))
            .collect();
        let Some(before) = before else { return Ok(heads) };
        let found = stream::iter(heads).map(|head| async move {
            if head.newest < before { Ok(Some(head)) } else { self.anchor(author, head, before, searching).await }
        });
        let found: Vec<Option<Candidate>> = found.buffer_unordered(ANCHORS_AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Where a room's messages with an id smaller than `before` begin.
    async fn anchor(
        &self,
        author: Author,
        head: Candidate,
        before: MessageId,
        searching: &Effort,
    ) -> Call<Option<Candidate>> {
        let Some(access) = self.open(author, head.room).await? else { return Ok(None) };
        let floor = access.floor();
        let warm = access.awake.as_ref().map(|handle| {
            handle.read(|state| {
                let tail = state.tail();
                let older = tail.partition_point(|m| m.id < before);
                let newest = older.checked_sub(1).and_then(|i| tail.get(i)).map(|m| (m.seq, m.id));
                (newest, state.tail_after())
            })
        });
        let search = Ordinals::new(&*self.context.store, head.room, None, searching.clone());
        let found = match warm {
            Some((Some(found), _)) => Some(found),
            Some((None, tail_after)) => search.newest_below(floor, tail_after.min(head.seq), before).await?,
            None => search.newest_below(floor, head.seq, before).await?,
        };
        let found = found.filter(|(seq, _)| *seq > floor);
        Ok(found.map(|(seq, newest)| Candidate { newest, seq, ..head }))
    }

    /// The author's view into one of the rooms in their list; none if it was deleted or left since the list was read.
    async fn open(&self, author: Author, room: RoomId) -> Call<Option<Access>> {
        match self.access(author, room).await {
            Ok(access) => Ok(Some(access)),
            Err(CallError::Rejected(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Merge<'_> {
    /// The newest message that is left. None if there is none, or if looking for it took too long: then there are turns
    /// left.
    async fn newest(&mut self) -> Call<Option<Arc<Message>>> {
        while let Some((id, i)) = self.turns.peek().copied() {
            let Some((_, Some(source))) = self.rooms.get(i) else {
                self.open().await?;
                continue;
            };
            if let Some(message) = source.read.front().filter(|message| message.id == id) {
                return Ok(Some(Arc::clone(message)));
            }
            if !self.read_on(i).await? {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Takes the message that [`Merge::newest`] gave.
    fn take(&mut self) {
        let Some((_, i)) = self.turns.pop() else { return };
        let Some((candidate, Some(source))) = self.rooms.get_mut(i) else { return };
        if let Some(taken) = source.read.pop_front() {
            // What follows is older; how much, reading on will tell.
            candidate.newest = MessageId(taken.id.0 - 1);
        }
        let next = source.read.front().map_or(candidate.newest, |message| message.id);
        if !(source.read.is_empty() && source.walk.is_ended()) {
            self.turns.push((next, i));
        }
    }

    /// Reads more of the room whose turn it is. Returns whether the merge can go on.
    async fn read_on(&mut self, i: usize) -> Call<bool> {
        let Some((candidate, Some(source))) = self.rooms.get_mut(i) else { return Ok(true) };
        source.read.extend(source.walk.next(CHUNK).await?);
        let newest = source.read.front().map(|message| message.id);
        if newest.is_some() || source.walk.is_ended() {
            self.turns.pop();
            self.turns.extend(newest.map(|newest| (newest, i)));
            return Ok(true);
        }
        // Nothing up to where the walk is: the message there says how old what is left can be.
        let (room, floor, at) = (candidate.room, source.walk.floor(), source.walk.at());
        let search = Ordinals::new(&*self.node.context.store, room, None, self.searching.clone());
        let left = search.newest_below(floor, Seq(at.0.saturating_sub(1)), MessageId(i64::MAX)).await?;
        self.turns.pop();
        self.turns.extend(left.map(|(_, id)| (id, i)));
        Ok(false)
    }

    /// Opens the rooms whose turns come next.
    async fn open(&mut self) -> Call<()> {
        let (mut turns, mut closed) = (Vec::new(), Vec::new());
        while closed.len() < OPENED_AT_ONCE
            && let Some((id, i)) = self.turns.pop()
        {
            match self.rooms.get(i) {
                Some((candidate, None)) => closed.push((i, *candidate)),
                _ => turns.push((id, i)),
            }
        }
        self.turns.extend(turns);
        let (node, author, effort) = (self.node, self.author, &self.effort);
        let opened = closed.into_iter().map(|(i, candidate)| async move {
            let Some(access) = node.open(author, candidate.room).await? else { return Ok(None) };
            let prefs = node.prefs_of(author, candidate.room).await?;
            let (store, from) = (Arc::clone(&node.context.store), (Direction::Backward, candidate.seq.next()));
            let mut walk = Walk::new(store, access, author.user, prefs, from, effort.clone());
            let read: VecDeque<_> = walk.next(CHUNK).await?.into();
            Ok::<_, CallError>(Some((i, Source { walk, read })))
        });
        for (i, source) in try_join_all(opened).await?.into_iter().flatten() {
            let newest = source.read.front().map(|message| message.id);
            let is_done = newest.is_none() && source.walk.is_ended();
            if let Some((candidate, slot)) = self.rooms.get_mut(i).filter(|_| !is_done) {
                self.turns.push((newest.unwrap_or(candidate.newest), i));
                *slot = Some(source);
            }
        }
        Ok(())
    }
}
