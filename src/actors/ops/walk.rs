//! Walks a room's messages as one reader sees them, a few at a time: those in the writer's memory, then those in the
//! store, without what is not theirs to see and without what they have hidden. Long stretches without any are not read
//! but leapt over ([`Ordinals`]).

use std::sync::Arc;

use super::Access;
use crate::{
    actors::{error::Call, room::load},
    domain::{
        ids::{Seq, UserId},
        message::Message,
        page::{self, Filling, PageBound},
    },
    storage::{
        Direction, RoomPrefs, Store, codec,
        ordinals::{Edge, Effort, Found, HiddenBy, Ordinals, WITHIN},
    },
};

/// Log rows read at once.
const ROWS_MAX: usize = 64;
/// Log rows read at first for a few messages.
const ROWS_MIN: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Walk {
    store: Arc<dyn Store>,
    access: Access,
    hidden: HiddenBy,
    direction: Direction,
    /// Backward: messages before this place are left to walk. Forward: those after it.
    at: Seq,
    rows: usize,
    ended: bool,
    /// Whether a step was made: the first is made whatever the effort, so that whoever asks again and again comes on.
    moved: bool,
    effort: Effort,
}

/// Messages found in one direction, and where more are.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// In seq order.
    pub(super) messages: Vec<Arc<Message>>,
    /// Whether there may be more: there are, unless the effort was spent.
    pub(super) more: bool,
    /// From where they are walked: before it, or after it.
    pub(super) at: Seq,
    /// What the page has taken.
    pub(super) filling: Option<Filling>,
}

impl Walk {
    /// Walks from a place: backward the messages before it, forward those after it.
    pub(super) fn new(
        store: Arc<dyn Store>,
        access: Access,
        reader: UserId,
        prefs: RoomPrefs,
        (direction, from): (Direction, Seq),
        effort: Effort,
    ) -> Self {
        let before = match &access.member {
            // The count goes with the membership; what was hidden in an earlier one, or by an admin without any, stays.
            Some(member) if prefs.hidden_messages == 0 => member.joined_seq,
            _ => Seq(u64::MAX),
        };
        let at = match direction {
            Direction::Backward => from.min(access.head.seq.next()),
            Direction::Forward => from.max(access.floor()),
        };
        let hidden = HiddenBy { user: reader, before };
        Self { store, access, hidden, direction, at, rows: 0, ended: false, moved: false, effort }
    }

    /// Where the walk is.
    pub(super) const fn at(&self) -> Seq {
        self.at
    }

    /// The reader sees what is after this place.
    pub(super) fn floor(&self) -> Seq {
        self.access.floor()
    }

    /// Whether there is nothing left to walk.
    pub(super) const fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next messages, up to `want` and at least one, in the order of the walk. None when it has ended, or when the
    /// effort is spent.
    pub(super) async fn next(&mut self, want: usize) -> Call<Vec<Arc<Message>>> {
        loop {
            self.ended |= match self.direction {
                Direction::Backward => self.at <= self.access.floor().next(),
                Direction::Forward => self.at >= self.access.head.seq,
            };
            if self.ended || (self.moved && self.effort.is_spent()) {
                return Ok(Vec::new());
            }
            if self.moved {
                // A store in this process answers at once: others have their turn.
                tokio::task::yield_now().await;
            }
            self.moved = true;
            let (mut messages, is_warm) = match self.warm(want) {
                Some(messages) => (messages, true),
                None => (self.cold(want).await?, false),
            };
            self.drop_hidden(&mut messages).await?;
            if !messages.is_empty() {
                return Ok(messages);
            }
            if !is_warm {
                self.leap().await?;
            }
        }
    }

    /// Messages in the memory of the room's writer; none if it has none of those that come next.
    fn warm(&mut self, want: usize) -> Option<Vec<Arc<Message>>> {
        let (at, floor, end) = (self.at, self.access.floor(), self.access.head.seq);
        let (messages, at) = self.access.awake.as_ref()?.read(|state| {
            let tail = state.tail();
            let low = state.tail_after().max(floor);
            match self.direction {
                Direction::Backward if at > low.next() => {
                    let first = tail.partition_point(|m| m.seq <= low);
                    let end = tail.partition_point(|m| m.seq < at).max(first);
                    let start = end.saturating_sub(want).max(first);
                    let messages: Vec<_> = tail.range(start..end).rev().cloned().collect();
                    let at = if start == first { low.next() } else { messages.last().map_or(at, |m| m.seq) };
                    Some((messages, at))
                }
                Direction::Forward if at >= state.tail_after() => {
                    let start = tail.partition_point(|m| m.seq <= at);
                    let last = tail.partition_point(|m| m.seq <= end).max(start);
                    let messages: Vec<_> = tail.range(start..last.min(start + want)).cloned().collect();
                    let at = if start + want >= last { end } else { messages.last().map_or(at, |m| m.seq) };
                    Some((messages, at))
                }
                Direction::Backward | Direction::Forward => None,
            }
        })?;
        self.at = at;
        Some(messages)
    }

    /// Messages among the next rows of the log.
    async fn cold(&mut self, want: usize) -> Call<Vec<Arc<Message>>> {
        let (room, floor, end) = (self.access.room, self.access.floor(), self.access.head.seq);
        let first_rows = (want + 2).clamp(ROWS_MIN, usize::try_from(WITHIN).unwrap_or(ROWS_MAX));
        self.rows = if self.rows == 0 { first_rows } else { self.rows };
        let rows = self.store.read_log(room, self.at, self.direction, self.rows).await?;
        self.effort.spend(self.rows);
        self.rows = (self.rows * 2).min(ROWS_MAX);
        let Some(last) = rows.last() else {
            self.ended = true;
            return Ok(Vec::new());
        };
        self.at = last.seq;
        let mut sent = Vec::new();
        for row in rows.iter().filter(|row| row.message.is_some() && row.seq > floor && row.seq <= end) {
            sent.push(codec::decode_message(room, row)?);
            if sent.len() == want {
                self.at = row.seq;
                break;
            }
        }
        if self.direction == Direction::Backward {
            sent.reverse();
        }
        let mut messages = load::present(&*self.store, room, sent).await?;
        if self.direction == Direction::Backward {
            messages.reverse();
        }
        Ok(messages)
    }

    /// Leaves out what the reader has hidden.
    async fn drop_hidden(&self, messages: &mut Vec<Arc<Message>>) -> Call<()> {
        let hidden = hidden_among(&*self.store, &self.access, self.hidden, messages).await?;
        messages.retain(|message| hidden.binary_search(&message.seq).is_err());
        Ok(())
    }

    /// Goes to the next message that the reader sees.
    async fn leap(&mut self) -> Call<()> {
        let search = Ordinals::new(&*self.store, self.access.room, Some(self.hidden), self.effort.clone());
        let (floor, head) = (self.access.floor(), self.access.head);
        let found = match self.direction {
            Direction::Backward if self.at > floor.next() => {
                search.newest(floor, search.edge(Seq(self.at.0 - 1)).await?).await?
            }
            Direction::Forward if self.at < head.seq => {
                search.oldest(search.edge(self.at).await?, Edge { seq: head.seq, n: head.n }).await?
            }
            Direction::Backward | Direction::Forward => Found::Nothing,
        };
        match found {
            Found::At(seq) | Found::Spent(seq) => {
                self.at = if self.direction == Direction::Backward { seq.next() } else { seq };
                self.rows = usize::try_from(WITHIN).unwrap_or(ROWS_MAX);
            }
            Found::Nothing => self.ended = true,
        }
        Ok(())
    }

    /// Fills a page.
    pub(super) async fn run(&mut self, bound: PageBound) -> Call<Run> {
        let mut filling = Filling::new(bound);
        let mut messages = Vec::new();
        let mut at = self.at;
        let more = 'page: loop {
            let chunk = self.next(filling.items_left() + 1).await?;
            if chunk.is_empty() {
                at = self.at;
                break !self.ended;
            }
            for message in chunk {
                if !filling.takes(page::bytes_of(&message)) {
                    break 'page true;
                }
                at = message.seq;
                messages.push(message);
            }
        };
        if self.direction == Direction::Backward {
            messages.reverse();
        }
        Ok(Run { messages, more, at, filling: Some(filling) })
    }
}

/// Places of those messages, in any order, that a reader has hidden; in order.
pub(super) async fn hidden_among(
    store: &dyn Store,
    access: &Access,
    by: HiddenBy,
    messages: &[Arc<Message>],
) -> Call<Vec<Seq>> {
    let (Some(first), Some(last)) = (messages.iter().min_by_key(|m| m.seq), messages.iter().max_by_key(|m| m.seq))
    else {
        return Ok(Vec::new());
    };
    if first.seq >= by.before {
        return Ok(Vec::new());
    }
    // Only messages are hidden: there are no more of them than messages.
    let between = last.n.0.saturating_sub(first.n.0);
    if between <= 4 * (messages.len() as u64) + WITHIN {
        return Ok(store.hidden_messages(by.user, access.room, first.seq, last.seq).await?);
    }
    let mut hidden = Vec::new();
    for message in messages {
        hidden.extend(store.hidden_messages(by.user, access.room, message.seq, message.seq).await?);
    }
    hidden.sort_unstable();
    Ok(hidden)
}
