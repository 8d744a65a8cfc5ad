//! The log of one room, event by event: numbers without gaps, one effect a send, members, unread counted naively.

use std::collections::{HashMap, HashSet};

use super::Violation;

/// What an event does, as far as the checker cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message; `ObservedEvent::message` holds it.
    Message,
    /// An edit, deletion, reaction or pin of the message with this id.
    About {
        /// The message.
        message_id: i64,
    },
    /// Members came or went; `joined` and `left` say who.
    Members,
    /// The room was deleted for all.
    RoomDeleted,
    /// Anything else: settings, roles, nicknames.
    Other,
}

/// One event of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedEvent {
    /// Its place.
    pub seq: i64,
    /// Epoch of its writer; 0 if not known, and then not checked.
    pub epoch: i64,
    /// Ordinal of the newest message up to and including it, as the log states it; none if not known.
    pub head_n: Option<i64>,
    /// What it does.
    pub kind: Kind,
    /// The message, if it is one.
    pub message: Option<ObservedMessage>,
    /// Who joined.
    pub joined: Vec<i64>,
    /// Who left or was removed.
    pub left: Vec<i64>,
}

/// A message as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedMessage {
    /// Its ordinal.
    pub n: i64,
    /// Its id.
    pub id: i64,
    /// Who sent it.
    pub sender: i64,
    /// The sender's id of the send; empty if there was none.
    pub client_message_id: String,
    /// Any hash of the body.
    pub body_hash: u64,
    /// Whether the server or a sibling sent it; such a sender need not be a member.
    pub system: bool,
}

/// Where one member stands.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    /// Newest ordinal when they joined, or as a report said.
    floor_n: i64,
    read_n: i64,
}

/// Follows the log of one room from its first event.
#[derive(Debug, Default)]
pub struct HistoryChecker {
    last_seq: i64,
    last_epoch: i64,
    /// (seq, message), by ordinal.
    messages: Vec<(i64, ObservedMessage)>,
    ids: HashSet<i64>,
    /// (sender, client message id) to index in `messages`.
    sends: HashMap<(i64, String), usize>,
    standings: HashMap<i64, Standing>,
    members: HashSet<i64>,
    /// Where the room ended.
    deleted_at: Option<i64>,
    acked: Vec<Acked>,
    /// Ids of messages that were deleted for all.
    deleted: HashSet<i64>,
    found: Vec<Violation>,
}

#[derive(Debug)]
struct Acked {
    seq: i64,
    id: i64,
    sender: i64,
    client_message_id: String,
}

impl HistoryChecker {
    /// For a room that has no event yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next event of the log.
    ///
    /// # Errors
    /// The first violation that this event shows. It and any further ones are kept for [`Self::finish`], and the
    /// checker goes on from what it saw.
    pub fn observe(&mut self, event: &ObservedEvent) -> Result<(), Violation> {
        let before = self.found.len();
        self.check_place(event);
        self.check_members(event);
        if let Some(message) = &event.message {
            self.check_message(event.seq, message);
        }
        match event.kind {
            Kind::About { message_id } if !self.ids.contains(&message_id) => {
                self.found.push(Violation::UnknownMessage { seq: event.seq, message_id });
            }
            Kind::RoomDeleted => self.deleted_at = Some(event.seq),
            Kind::About { .. } | Kind::Message | Kind::Members | Kind::Other => {}
        }
        if let Some(found) = event.head_n.filter(|found| *found != self.last_n()) {
            self.found.push(Violation::HeadOrdinal { seq: event.seq, expected: self.last_n(), found });
        }
        self.found.get(before).map_or(Ok(()), |first| Err(first.clone()))
    }

    fn check_place(&mut self, event: &ObservedEvent) {
        let expected = self.last_seq + 1;
        if event.seq != expected {
            self.found.push(Violation::SeqGap { expected, found: event.seq });
        }
        if event.epoch != 0 && event.epoch < self.last_epoch {
            let (seq, before) = (event.seq, self.last_epoch);
            self.found.push(Violation::EpochWentBack { seq, before, found: event.epoch });
        }
        if let Some(deleted_at) = self.deleted_at {
            self.found.push(Violation::AfterDeletion { seq: event.seq, deleted_at });
        }
        self.last_seq = self.last_seq.max(event.seq);
        self.last_epoch = self.last_epoch.max(event.epoch);
    }

    fn check_members(&mut self, event: &ObservedEvent) {
        for user in &event.joined {
            if !self.members.insert(*user) {
                self.found.push(Violation::JoinedTwice { seq: event.seq, user: *user });
            }
            let floor_n = self.last_n();
            self.standings.entry(*user).or_default().floor_n = floor_n;
        }
        for user in &event.left {
            if !self.members.remove(user) {
                self.found.push(Violation::LeftNotMember { seq: event.seq, user: *user });
            }
        }
    }

    fn check_message(&mut self, seq: i64, message: &ObservedMessage) {
        let expected = self.last_n() + 1;
        if message.n != expected {
            self.found.push(Violation::OrdinalGap { seq, expected, found: message.n });
        }
        if let Some((_, last)) = self.messages.last().filter(|(_, last)| last.id >= message.id) {
            self.found.push(Violation::IdNotGrowing { seq, before: last.id, found: message.id });
        }
        if !message.system && !self.members.contains(&message.sender) {
            self.found.push(Violation::SenderNotMember { seq, user: message.sender });
        }
        let client_message_id = message.client_message_id.clone();
        if !client_message_id.is_empty() {
            let index = self.messages.len();
            let key = (message.sender, client_message_id.clone());
            let first = *self.sends.entry(key).or_insert(index);
            if first != index {
                let (sender, first) = (message.sender, self.messages[first].0);
                self.found.push(Violation::Doubled { sender, client_message_id, first, second: seq });
            }
        }
        self.ids.insert(message.id);
        self.messages.push((seq, message.clone()));
    }

    /// States that a send was acknowledged; [`Self::finish`] looks for it. Before or after the event is observed.
    pub fn expect_acked(&mut self, seq: i64, id: i64, sender: i64, client_message_id: &str) {
        self.acked.push(Acked { seq, id, sender, client_message_id: client_message_id.to_owned() });
    }

    /// States that a message was deleted for all: from now on it counts as unread for nobody.
    pub fn set_deleted(&mut self, message_id: i64) {
        self.deleted.insert(message_id);
    }

    /// States a member's positions, for [`Self::naive_unread`]. `read_n` is the ordinal up to which they have read, `floor_n` is the newest ordinal that the member may
    /// not see; none keeps the one of the join.
    pub fn set_position(&mut self, user: i64, read_n: i64, floor_n: Option<i64>) {
        let standing = self.standings.entry(user).or_default();
        standing.read_n = read_n;
        standing.floor_n = floor_n.unwrap_or(standing.floor_n);
    }

    /// Unread messages of a user, counted one by one: after the floor, after the read position, after their own last;
    /// without those that were deleted, and the system's.
    #[must_use]
    pub fn naive_unread(&self, user: i64) -> i64 {
        let standing = self.standings.get(&user).copied().unwrap_or_default();
        let own_last_n = self.own_last_n(user);
        let unread = |(_, message): &&(i64, ObservedMessage)| {
            let counts = !message.system && !self.deleted.contains(&message.id);
            counts && message.n > standing.read_n && message.n > standing.floor_n && message.n > own_last_n
        };
        to_i64(self.messages.iter().filter(unread).count())
    }

    /// Ordinal of the newest message at or before `seq`; 0 if there is none.
    #[must_use]
    pub fn ordinal_at(&self, seq: i64) -> i64 {
        to_i64(self.messages.partition_point(|(at, _)| *at <= seq))
    }

    /// Ordinal of the newest message with this sender, system messages included; 0 if there is none.
    #[must_use]
    pub fn own_last_n(&self, user: i64) -> i64 {
        let own = self.messages.iter().rev().find(|(_, message)| message.sender == user);
        own.map_or(0, |(_, message)| message.n)
    }

    /// Seq of the newest event.
    #[must_use]
    pub fn last_seq(&self) -> i64 {
        self.last_seq
    }

    /// Ordinal of the newest message.
    #[must_use]
    pub fn last_n(&self) -> i64 {
        self.messages.last().map_or(0, |(_, message)| message.n)
    }

    /// Who is a member after the newest event.
    #[must_use]
    pub fn members(&self) -> &HashSet<i64> {
        &self.members
    }

    /// Seq of the room's deletion; none while it is open.
    #[must_use]
    pub fn deleted_at(&self) -> Option<i64> {
        self.deleted_at
    }

    /// Seq and content of the message with this id.
    #[must_use]
    pub fn find(&self, id: i64) -> Option<(i64, &ObservedMessage)> {
        let at = self.messages.iter().position(|(_, message)| message.id == id)?;
        self.messages.get(at).map(|(seq, message)| (*seq, message))
    }

    /// Everything that was found wrong, acknowledged sends included.
    #[must_use]
    pub fn finish(mut self) -> Vec<Violation> {
        for acked in std::mem::take(&mut self.acked) {
            self.check_acked(acked);
        }
        self.found
    }

    fn check_acked(&mut self, acked: Acked) {
        let Acked { seq, id, sender, client_message_id } = acked;
        let by_send = self.sends.get(&(sender, client_message_id.clone())).copied();
        let by_id = || self.messages.iter().position(|(_, message)| message.id == id && message.sender == sender);
        match by_send.or_else(by_id).map(|index| (self.messages[index].0, self.messages[index].1.id)) {
            None => self.found.push(Violation::AckedLost { seq, id, sender, client_message_id }),
            Some((found_seq, found_id)) if (found_seq, found_id) != (seq, id) => {
                let moved = Violation::AckedMoved { seq, id, sender, client_message_id, found_seq, found_id };
                self.found.push(moved);
            }
            Some(_) => {}
        }
    }
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).expect("a count of things in memory fits")
}
