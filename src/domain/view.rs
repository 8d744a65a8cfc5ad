//! What a reader may see of a room. The one rule: pages, streams, search, pins and replies ask it.
//!
//! Owns the decision. The facts come from elsewhere: how far down the reader sees is in their position, since when they
//! are a member in their row, and what they have hidden for themselves is asked of the store.

use std::collections::BTreeSet;

use super::{
    event::{Event, EventBody},
    ids::{RoomId, Seq, UserId},
    position::Position,
    room::Member,
};

/// How much of a room's log is for one reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// Nothing up to here is for the reader: it was before they joined a room that hides its past, or they cleared it.
    pub floor: Seq,
    /// The event by which the reader's present membership began; 0 if it is not known.
    pub joined: Seq,
}

impl View {
    /// The view of one with this position and row; no row: of one who has left, or reads by the admin role.
    #[must_use]
    pub fn of(position: &Position, member: Option<&Member>) -> Self {
        let floor = member.map_or(position.floor_seq, |member| member.floor(*position));
        Self { floor, joined: member.map_or(Seq(0), |member| member.joined_seq) }
    }

    /// Whether what happened at `seq` is for the reader, unless they have hidden it.
    #[must_use]
    pub fn reaches(&self, seq: Seq) -> bool {
        seq > self.floor
    }

    /// Where a stream begins: it gives nothing from before the reader's present membership. What they may see of it is
    /// in the pages.
    #[must_use]
    pub fn stream_after(&self) -> Seq {
        self.floor.max(Seq(self.joined.0.saturating_sub(1)))
    }

    /// Whether the reader may have hidden the message at `seq`, by the number of those they have hidden since they
    /// joined. What was hidden in an earlier membership stays hidden, and is not counted.
    #[must_use]
    pub fn may_have_hidden(&self, seq: Seq, counted: u32) -> bool {
        counted > 0 || seq < self.joined || self.joined == Seq(0)
    }

    /// What the reader sees of an event that happened while they were a member. Of an event about a message that they
    /// may not see, or have hidden, nothing is told but that the log goes on.
    #[must_use]
    pub fn see(&self, event: Event, hidden: &BTreeSet<Seq>) -> Seen {
        let is_shown = |seq: Seq| self.reaches(seq) && !hidden.contains(&seq);
        if self.reaches(event.seq) && event.about().is_none_or(is_shown) {
            return Seen::Whole(event);
        }
        Seen::Veiled { room: event.room, seq: event.seq, at_ms: event.at_ms }
    }
}

/// What a reader sees of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// All of it.
    Whole(Event),
    /// That something happened.
    Veiled {
        /// The room.
        room: RoomId,
        /// Place in the log.
        seq: Seq,
        /// Milliseconds since the Unix epoch.
        at_ms: i64,
    },
}

impl Seen {
    /// Place in the log.
    #[must_use]
    pub const fn seq(&self) -> Seq {
        match self {
            Self::Whole(event) => event.seq,
            Self::Veiled { seq, .. } => *seq,
        }
    }

    /// The event, if it is for the reader.
    #[must_use]
    pub const fn event(&self) -> Option<&Event> {
        match self {
            Self::Whole(event) => Some(event),
            Self::Veiled { .. } => None,
        }
    }
}

impl Event {
    /// The message that the event is, or tells something of.
    #[must_use]
    pub fn about(&self) -> Option<Seq> {
        match &self.body {
            EventBody::Message(_) => Some(self.seq),
            EventBody::Edited(message) => Some(message.seq),
            EventBody::Deleted(target) | EventBody::Reacted { target, .. } | EventBody::Pinned { target, .. } => {
                Some(target.seq)
            }
            EventBody::Created { .. }
            | EventBody::Joined { .. }
            | EventBody::Left { .. }
            | EventBody::MemberChanged { .. }
            | EventBody::InfoChanged(_)
            | EventBody::Closed => None,
        }
    }

    /// The message before it that the event tells something of.
    #[must_use]
    pub fn about_earlier(&self) -> Option<Seq> {
        self.about().filter(|seq| *seq < self.seq)
    }

    /// Whether `user` becomes a member by it.
    #[must_use]
    pub fn joins(&self, user: UserId) -> bool {
        match &self.body {
            EventBody::Created { members, .. } | EventBody::Joined { members } => {
                members.iter().any(|(who, _)| *who == user)
            }
            _ => false,
        }
    }

    /// Whether `user`'s membership ends with it. They see it, and nothing after it.
    #[must_use]
    pub fn parts(&self, user: UserId) -> bool {
        matches!(&self.body, EventBody::Left { users, .. } if users.contains(&user))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{event::Target, ids::MessageId, ids::Ordinal, room::Role};

    fn event(seq: u64, body: EventBody) -> Event {
        Event { room: RoomId([1; 16]), seq: Seq(seq), n: Ordinal(0), at_ms: 7, actor: UserId(1), body }
    }

    fn reaction(seq: u64, to: u64) -> Event {
        let target = Target { id: MessageId(1), seq: Seq(to) };
        event(seq, EventBody::Reacted { target, reaction: "+1".to_owned(), removed: false })
    }

    fn joined(seq: u64, user: i64) -> Event {
        event(seq, EventBody::Joined { members: vec![(UserId(user), Role::Member)] })
    }

    fn left(seq: u64, user: i64) -> Event {
        event(seq, EventBody::Left { users: vec![UserId(user)], removed: false, heir: None })
    }

    #[test]
    fn of_what_happens_to_an_unseen_message_nothing_is_told() {
        let view = View { floor: Seq(10), joined: Seq(11) };
        let veiled = Seen::Veiled { room: RoomId([1; 16]), seq: Seq(12), at_ms: 7 };
        assert_eq!(view.see(reaction(12, 10), &BTreeSet::new()), veiled);
        assert_eq!(view.see(reaction(12, 11), &BTreeSet::from([Seq(11)])), veiled);
        assert_eq!(view.see(reaction(12, 11), &BTreeSet::from([Seq(10)])), Seen::Whole(reaction(12, 11)));
        assert_eq!(view.see(joined(12, 5), &BTreeSet::from([Seq(12)])), Seen::Whole(joined(12, 5)));
        assert!(view.see(joined(10, 5), &BTreeSet::new()).event().is_none());
    }

    #[test]
    fn what_was_hidden_before_one_joined_again_is_not_counted() {
        let view = View { floor: Seq(0), joined: Seq(20) };
        assert!(view.may_have_hidden(Seq(19), 0) && view.may_have_hidden(Seq(21), 1));
        assert!(!view.may_have_hidden(Seq(20), 0));
        assert!(View::default().may_have_hidden(Seq(20), 0), "not known: ask");
    }

    #[test]
    fn joining_and_parting_concern_those_named() {
        assert!(joined(3, 5).joins(UserId(5)) && !joined(3, 5).joins(UserId(6)));
        assert!(left(3, 5).parts(UserId(5)) && !left(3, 5).parts(UserId(6)) && !joined(3, 5).parts(UserId(5)));
    }

    proptest! {
        #[test]
        fn nothing_at_or_below_the_floor_is_ever_whole(seq in 1_u64..100, to in 1_u64..100, floor in 0_u64..100) {
            let view = View { floor: Seq(floor), joined: Seq(floor + 1) };
            let seen = view.see(reaction(seq, to), &BTreeSet::new());
            prop_assert_eq!(seen.event().is_some(), seq > floor && to > floor);
            prop_assert_eq!(seen.seq(), Seq(seq));
        }
    }
}
