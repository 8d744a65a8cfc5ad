//! How far a room has come, and how far each member has come in it. What is unread follows from both: [`super::unread`].

use super::{
    event::{Event, EventBody},
    ids::{MessageId, Ordinal, Seq},
};

/// The newest numbers of a room; one small row, rewritten with every append.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RoomHead {
    /// Newest event.
    pub seq: Seq,
    /// Newest message's ordinal.
    pub n: Ordinal,
    /// Newest message's seq; 0 if there is none.
    pub message_seq: Seq,
    /// Newest message's id; 0 if there is none. Ids of a room never get smaller.
    pub message_id: MessageId,
    /// Time of the newest message (the creation if none), milliseconds since the Unix epoch.
    pub activity_ms: i64,
    /// Number of members; 0 when the room was deleted.
    pub members: u32,
}

impl RoomHead {
    /// The numbers after one more event.
    #[must_use]
    pub fn after(self, event: &Event) -> Self {
        let mut head = Self { seq: event.seq, ..self };
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        match &event.body {
            EventBody::Message(message) => {
                head.n = message.n;
                head.message_seq = message.seq;
                head.message_id = message.id;
                head.activity_ms = event.at_ms;
            }
            EventBody::Created { members, .. } => {
                head.activity_ms = event.at_ms;
                head.members = count(members.len());
            }
            EventBody::Joined { members } => head.members = head.members.saturating_add(count(members.len())),
            EventBody::Left { users, .. } => head.members = head.members.saturating_sub(count(users.len())),
            EventBody::Edited(_)
            | EventBody::Deleted(_)
            | EventBody::Reacted { .. }
            | EventBody::Pinned { .. }
            | EventBody::MemberChanged { .. }
            | EventBody::InfoChanged(_) => {}
            EventBody::Closed => head.members = 0,
        }
        head
    }
}

/// How far a member has come in a room. Every field only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Position {
    /// Read up to here.
    pub read_seq: Seq,
    /// Ordinal of the newest message at or before `read_seq`; or of a later one that was read without showing it (across
    /// a block).
    pub read_n: Ordinal,
    /// Delivered up to here.
    pub delivered_seq: Seq,
    /// Ordinal of the member's own newest message.
    pub sent_n: Ordinal,
    /// Ordinal of the newest message that does not count for the member (sent before joining or clearing).
    pub floor_n: Ordinal,
    /// Greatest floor of all memberships and clearings: [`crate::domain::room::Member::floor`] says what holds now.
    pub floor_seq: Seq,
}

impl Position {
    /// Field by field the greater of both: how positions are stored, so that they never move back.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            read_seq: self.read_seq.max(other.read_seq),
            read_n: self.read_n.max(other.read_n),
            delivered_seq: self.delivered_seq.max(other.delivered_seq),
            sent_n: self.sent_n.max(other.sent_n),
            floor_n: self.floor_n.max(other.floor_n),
            floor_seq: self.floor_seq.max(other.floor_seq),
        }
    }
}

impl Position {
    /// Messages up to `head` after what this member has seen. Never negative.
    #[must_use]
    pub fn behind(&self, head: Ordinal) -> u64 {
        head.0.saturating_sub(self.seen().0)
    }

    /// Ordinal up to which nothing is unread: the greatest of what they read, what they sent themselves, and what does
    /// not count for them.
    #[must_use]
    pub fn seen(&self) -> Ordinal {
        self.read_n.max(self.sent_n).max(self.floor_n)
    }
}
