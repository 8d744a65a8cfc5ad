//! A room's log as the checkers want it: what each entry does, and what every message has become in the end. Pure.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use tertulia_proto::{
    admin::v1::{LogEntry, MemberPosition},
    chat::v1::{Event, ExplainUnreadResponse, Message, MessageType, event},
};

use crate::domain::invariants::{HistoryChecker, Kind, ObservedEvent, ObservedMessage, Violation};

/// Follows a log from its first entry.
#[derive(Default)]
pub(super) struct RoomLog {
    checker: HistoryChecker,
    /// Present state of every message, by seq.
    messages: BTreeMap<i64, Present>,
    /// Seq of each message, by id.
    seqs: std::collections::HashMap<i64, i64>,
    /// What the checker does not know of.
    found: Vec<Violation>,
}

/// What a message is now.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Present {
    id: i64,
    n: i64,
    sender: i64,
    client_message_id: String,
    content: String,
    deleted: bool,
}

impl RoomLog {
    pub(super) fn observe(&mut self, entry: &LogEntry) {
        let Some(event) = &entry.event else { return };
        // What it finds is kept in the checker until the end.
        let _kept = self.checker.observe(&observed(entry, event));
        match &event.event {
            Some(event::Event::Message(message)) => {
                self.seqs.insert(message.id, event.seq);
                self.messages.insert(event.seq, present(message));
            }
            Some(event::Event::Edited(edited)) => {
                let Some(message) = &edited.message else {
                    return;
                };
                self.change(message.id, |present| present.content.clone_from(&message.content));
            }
            Some(event::Event::Deleted(deleted)) => {
                self.checker.set_deleted(deleted.message_id);
                self.change(deleted.message_id, |present| {
                    present.deleted = true;
                    present.content.clear();
                });
            }
            _ => {}
        }
    }

    fn change(&mut self, id: i64, change: impl FnOnce(&mut Present)) {
        // A message that is not there is the checker's finding.
        if let Some(present) = self.seqs.get(&id).and_then(|seq| self.messages.get_mut(seq)) {
            change(present);
        }
    }

    pub(super) fn last_seq(&self) -> i64 {
        self.checker.last_seq()
    }

    pub(super) fn last_n(&self) -> i64 {
        self.checker.last_n()
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.checker.deleted_at().is_some()
    }

    /// Holds the list of members and their positions against the log.
    pub(super) fn check_positions(&mut self, positions: &[MemberPosition]) {
        for user in self.checker.members() {
            if positions.binary_search_by_key(user, |position| position.user_id).is_err() {
                self.found.push(Violation::MembersDiffer { user: *user, by_log: true });
            }
        }
        for position in positions {
            self.check_position(position);
        }
    }

    fn check_position(&mut self, at: &MemberPosition) {
        let user = at.user_id;
        let last_seq = self.last_seq();
        if !self.checker.members().contains(&user) {
            self.found.push(Violation::MembersDiffer { user, by_log: false });
        }
        for position in [at.read_seq, at.delivered_seq].into_iter().filter(|position| *position > last_seq) {
            self.found.push(Violation::PositionBeyondLog { user, position, last_seq });
        }
        // A message before the floor counts for nothing, so what was sent before a member came back may be forgotten.
        let own_last_n = self.checker.own_last_n(user).max(at.floor_n);
        // Who reads across a block is not seen to: their number goes ahead of the place that is shown.
        let read_n = self.checker.ordinal_at(at.read_seq).max(at.read_n.min(self.last_n()));
        let ordinals = [("read_n", read_n, at.read_n), ("own_last_n", own_last_n, at.own_last_n.max(at.floor_n))];
        for (what, expected, found) in ordinals.into_iter().filter(|(_, expected, found)| expected != found) {
            self.found.push(Violation::PositionOrdinal { user, what, expected, found });
        }
        self.checker.set_position(user, at.read_n, Some(at.floor_n));
        let (counted, reported) = (self.checker.naive_unread(user), at.unread_count);
        if counted != reported {
            self.found.push(Violation::Unread { user, counted, reported });
        }
    }

    /// Holds an explanation against its own arithmetic and, when both speak of the same moment, against the position.
    pub(super) fn check_explanation(&mut self, at: &MemberPosition, why: &ExplainUnreadResponse) {
        let user = at.user_id;
        let behind = (why.last_n - why.read_n.max(why.own_last_n).max(why.floor_n)).max(0);
        let counted = behind - why.uncounted - why.hidden;
        let same_moment = why.last_n == self.last_n() && why.read_seq == at.read_seq;
        // What a user has hidden is theirs alone to know; positions count it.
        let expected = if same_moment { at.unread_count - why.hidden } else { counted };
        for counted in [counted, expected].into_iter().filter(|counted| *counted != why.unread_count) {
            self.found.push(Violation::Unread { user, counted, reported: why.unread_count });
        }
    }

    /// Holds a stretch of history, oldest first and up to the newest message, against the log. `whole_after` is the
    /// ordinal after which it claims to be complete; none if it is only the newest part.
    pub(super) fn check_history(&mut self, history: &[Message], whole_after: Option<i64>) {
        let last_seq = self.last_seq();
        let history: Vec<_> = history.iter().filter(|message| message.seq <= last_seq).collect();
        let first = history.first().map_or(i64::MAX, |message| message.seq);
        let expected = self.messages.iter().filter(|(seq, present)| match whole_after {
            Some(floor_n) => present.n > floor_n,
            None => **seq >= first,
        });
        let mut expected = expected.peekable();
        for message in history {
            while let Some((seq, missing)) = expected.next_if(|(seq, _)| **seq < message.seq) {
                self.found.push(Violation::HistoryLacks { seq: *seq, id: missing.id });
            }
            match expected.next_if(|(seq, present)| **seq == message.seq && present.id == message.id) {
                Some((_, present)) => self.found.extend(difference(present, message)),
                None => {
                    let expected = expected.peek().map_or(0, |(_, present)| present.id);
                    self.found.push(Violation::HistoryExtra { seq: message.seq, id: message.id, expected });
                }
            }
        }
        let missing = expected.map(|(seq, missing)| Violation::HistoryLacks { seq: *seq, id: missing.id });
        self.found.extend(missing);
    }

    /// Everything that was found.
    pub(super) fn finish(self) -> Vec<Violation> {
        let mut found = self.checker.finish();
        found.extend(self.found);
        found
    }
}

fn difference(present: &Present, message: &Message) -> Option<Violation> {
    let same = [
        ("ordinal", present.n == message.n),
        ("sender", present.sender == message.sender_id),
        ("deletion", present.deleted == message.deleted),
        ("content", present.content == message.content),
        ("client message id", present.deleted || present.client_message_id == message.client_message_id),
    ];
    let (what, _) = same.into_iter().find(|(_, same)| !same)?;
    Some(Violation::HistoryDiffers { seq: message.seq, id: message.id, what })
}

fn present(message: &Message) -> Present {
    Present {
        id: message.id,
        n: message.n,
        sender: message.sender_id,
        client_message_id: message.client_message_id.clone(),
        content: message.content.clone(),
        deleted: message.deleted,
    }
}

fn observed(entry: &LogEntry, event: &Event) -> ObservedEvent {
    let (mut message, mut joined, mut left) = (None, Vec::new(), Vec::new());
    let kind = match &event.event {
        Some(event::Event::Message(sent)) => {
            message = Some(observed_message(sent));
            Kind::Message
        }
        Some(event::Event::Edited(edited)) => {
            Kind::About { message_id: edited.message.as_ref().map_or(0, |message| message.id) }
        }
        Some(event::Event::Deleted(deleted)) => Kind::About { message_id: deleted.message_id },
        Some(event::Event::Reaction(reaction)) => Kind::About { message_id: reaction.message_id },
        Some(event::Event::Pinned(pinned)) => Kind::About { message_id: pinned.message_id },
        Some(event::Event::RoomJoin(join)) => {
            joined.extend(join.participants.iter().map(|participant| participant.user_id));
            Kind::Members
        }
        Some(event::Event::RoomLeave(leave)) => {
            left.extend(&leave.user_ids);
            Kind::Members
        }
        Some(event::Event::RoomUpdate(update)) if update.deleted => Kind::RoomDeleted,
        _ => Kind::Other,
    };
    ObservedEvent { seq: event.seq, epoch: entry.epoch, head_n: Some(entry.n), kind, message, joined, left }
}

fn observed_message(sent: &Message) -> ObservedMessage {
    let mut hasher = DefaultHasher::new();
    (&sent.content, sent.reply_to, &sent.mentions).hash(&mut hasher);
    ObservedMessage {
        n: sent.n,
        id: sent.id,
        sender: sent.sender_id,
        client_message_id: sent.client_message_id.clone(),
        body_hash: hasher.finish(),
        system: sent.r#type == i32::from(MessageType::SystemMessage),
    }
}
