//! The messages of one room as far as they are known, and those on their way out.
//!
//! Owns order and identity (by `seq`); must not know how anything is drawn or fetched.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use prost_types::Timestamp;
use tertulia_proto::chat::v1::{Message, MessageStatus};

/// Entries kept for one room; older ones are read again when scrolled to.
const ENTRIES_MAX: usize = 5_000;

/// Something with a place in the log.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// A message in its present state.
    Message(Box<Message>),
    /// A remark, such as who joined.
    Info { text: String, at: Option<Timestamp> },
}

impl Entry {
    pub(super) fn at(&self) -> Option<&Timestamp> {
        match self {
            Self::Message(message) => written_at(message),
            Self::Info { at, .. } => at.as_ref(),
        }
    }
}

/// When a message was written: elsewhere, if it came from there.
pub(super) fn written_at(message: &Message) -> Option<&Timestamp> {
    message.original_at.as_ref().or(message.created_at.as_ref())
}

/// How far a message of ours has come that the server has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PendingState {
    /// Waits for its turn, or for the connection.
    Queued,
    /// The server has it, or will be asked again.
    InFlight,
    /// The server refused it for good.
    Failed(String),
}

/// A message of ours that the server has not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) client_message_id: String,
    pub(super) content: String,
    pub(super) reply_to: i64,
    pub(super) state: PendingState,
}

/// How much of the history was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Loaded {
    #[default]
    No,
    Loading,
    Yes,
}

/// Entries by seq, without a hole between the oldest and the newest.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    entries: BTreeMap<i64, Entry>,
    seq_of: HashMap<i64, i64>,
    pub(super) pending: Vec<Pending>,
    pub(super) loaded: Loaded,
    pub(super) loading_older: bool,
    pub(super) has_older: bool,
    /// What the reader has cleared: nothing up to here is shown again.
    cleared_seq: i64,
    /// Newest pages on their way that were asked for before all was forgotten.
    outdated: u32,
    /// Messages to read again: something happened to them that cannot be worked out from here.
    stale: BTreeSet<i64>,
}

impl Timeline {
    pub(super) const fn entries(&self) -> &BTreeMap<i64, Entry> {
        &self.entries
    }

    pub(super) fn newest_seq(&self) -> Option<i64> {
        self.entries.last_key_value().map(|(seq, _)| *seq)
    }

    pub(super) fn oldest_seq(&self) -> Option<i64> {
        self.entries.first_key_value().map(|(seq, _)| *seq)
    }

    pub(super) fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.entries.values().filter_map(|entry| match entry {
            Entry::Message(message) => Some(message.as_ref()),
            Entry::Info { .. } => None,
        })
    }

    pub(super) fn by_id(&self, id: i64) -> Option<&Message> {
        match self.entries.get(self.seq_of.get(&id)?)? {
            Entry::Message(message) => Some(message),
            Entry::Info { .. } => None,
        }
    }

    pub(super) fn by_id_mut(&mut self, id: i64) -> Option<&mut Message> {
        match self.entries.get_mut(self.seq_of.get(&id)?)? {
            Entry::Message(message) => Some(message),
            Entry::Info { .. } => None,
        }
    }

    /// The message with an ordinal.
    pub(super) fn by_number(&self, n: i64) -> Option<&Message> {
        self.messages().rev().find(|message| message.n == n)
    }

    /// Puts a message in its place, in its present state. One of ours ends its wait.
    pub(super) fn put(&mut self, mut message: Message, me: i64) {
        if message.seq <= self.cleared_seq {
            return;
        }
        if let Some(known) = self.by_id(message.id) {
            // Events go to all and carry no status of their sender's; what was reached stays so.
            message.status = message.status.max(known.status);
        }
        if message.sender_id == me {
            self.pending.retain(|pending| {
                pending.client_message_id.is_empty() || pending.client_message_id != message.client_message_id
            });
        }
        self.seq_of.insert(message.id, message.seq);
        self.entries.insert(message.seq, Entry::Message(Box::new(message)));
    }

    /// Puts a message in its place if the room's history is, or is being, read up to there.
    pub(super) fn put_live(&mut self, message: Message, me: i64) {
        if self.loaded == Loaded::No {
            self.pending
                .retain(|pending| message.sender_id != me || pending.client_message_id != message.client_message_id);
            return;
        }
        self.put(message, me);
    }

    /// Puts a remark in its place.
    pub(super) fn remark(&mut self, seq: i64, text: String, at: Option<Timestamp>) {
        if self.loaded != Loaded::No && seq > 0 {
            self.entries.entry(seq).or_insert(Entry::Info { text, at });
        }
    }

    /// Forgets a message that the reader hid.
    pub(super) fn remove(&mut self, id: i64) {
        if let Some(seq) = self.seq_of.remove(&id) {
            self.entries.remove(&seq);
        }
    }

    /// Forgets what the reader has cleared.
    pub(super) fn drop_up_to(&mut self, seq: i64) {
        self.cleared_seq = self.cleared_seq.max(seq);
        self.entries = self.entries.split_off(&(seq + 1));
        self.seq_of.retain(|_, at| *at > seq);
        self.has_older = false;
    }

    /// Forgets what was read, not what is on its way out.
    pub(super) fn forget(&mut self) {
        let (pending, cleared_seq) = (std::mem::take(&mut self.pending), self.cleared_seq);
        let outdated = self.outdated + u32::from(self.loaded == Loaded::Loading);
        *self = Self { pending, cleared_seq, outdated, ..Self::default() };
    }

    /// Whether the newest page that has just come was asked for before all was forgotten: what it says may be outdated.
    pub(super) fn is_outdated(&mut self) -> bool {
        let is_outdated = self.outdated > 0;
        self.outdated = self.outdated.saturating_sub(1);
        is_outdated
    }

    /// The message changed in a way that only the server knows; read it again. One that is not here matters only
    /// while a page that may hold its older state is on its way.
    pub(super) fn mark_stale(&mut self, id: i64) {
        if self.seq_of.contains_key(&id) || self.loaded == Loaded::Loading || self.loading_older {
            self.stale.insert(id);
        }
    }

    pub(super) fn take_stale(&mut self) -> BTreeSet<i64> {
        if self.loaded == Loaded::Loading || self.loading_older {
            return BTreeSet::new();
        }
        let mut stale = std::mem::take(&mut self.stale);
        stale.retain(|id| self.seq_of.contains_key(id));
        stale
    }

    /// Our messages up to a seq have come at least so far.
    pub(super) fn raise_status(&mut self, me: i64, up_to_seq: i64, status: MessageStatus) {
        for (_, entry) in self.entries.range_mut(..=up_to_seq).rev() {
            let Entry::Message(message) = entry else {
                continue;
            };
            if message.sender_id != me {
                continue;
            }
            if message.status >= status as i32 {
                // Positions only grow: whatever is older has come at least as far.
                break;
            }
            message.status = status as i32;
        }
    }

    /// The next of ours to go out: one at a time, so that they arrive in the order they were written in.
    pub(super) fn next_to_send(&mut self) -> Option<&mut Pending> {
        let next = self.pending.iter_mut().find(|pending| !matches!(pending.state, PendingState::Failed(_)))?;
        (next.state == PendingState::Queued).then_some(next)
    }

    /// Drops the oldest entries above the bound; they can be read again.
    pub(super) fn trim(&mut self) {
        while self.entries.len() > ENTRIES_MAX {
            if let Some((_, Entry::Message(message))) = self.entries.pop_first() {
                self.seq_of.remove(&message.id);
            }
            self.has_older = true;
        }
    }
}
