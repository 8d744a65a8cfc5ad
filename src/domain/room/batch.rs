//! Sends and reads that go into one append. They do not depend on each other but for numbers and client ids, so any
//! number of them can be decided against the same durable state.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Author, Change, ReadTo, RoomState, RoomType, Speech};
use crate::domain::{
    event::{Event, EventBody},
    ids::{BodyHash, ClientMessageId, MessageId, Ordinal, Seq, UserId},
    message::{Draft, Message, MessageType},
    position::Position,
    reject::{Bounds, Flaw, Reject},
};

/// What became of a send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It is the event with this index in the batch.
    New(usize),
    /// It is already in the room.
    Before(Arc<Message>),
    /// The batch already has it, at this index.
    Again(usize),
    /// The caller looked for the client id when the log was too short: look again up to the present end.
    LookAgain,
}

/// Sends and reads being gathered.
#[derive(Debug)]
pub struct Batch<'a> {
    state: &'a RoomState,
    now_ms: i64,
    seq: Seq,
    n: Ordinal,
    last_id: MessageId,
    events: Vec<Event>,
    fresh: HashMap<(UserId, ClientMessageId), usize>,
    positions: BTreeMap<UserId, Position>,
}

/// A send: who, what, under which id.
#[derive(Debug)]
pub struct Send {
    /// Who.
    pub author: Author,
    /// What.
    pub draft: Arc<Draft>,
    /// The sender's own id of it.
    pub client_id: ClientMessageId,
    /// Hash of what it says.
    pub hash: BodyHash,
    /// The client id was not found in the log up to here.
    pub absent_until: Seq,
}

impl<'a> Batch<'a> {
    /// An empty batch at `now_ms` (since the Unix epoch).
    #[must_use]
    pub fn new(state: &'a RoomState, now_ms: i64) -> Self {
        Self {
            state,
            now_ms,
            seq: state.head.seq,
            n: state.head.n,
            last_id: state.head.message_id,
            events: Vec::new(),
            fresh: HashMap::new(),
            positions: BTreeMap::new(),
        }
    }

    /// Events gathered so far.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Decides a send. `id` makes a message id greater than the one it is given.
    ///
    /// # Errors
    /// [`Reject`] when the room's rules do not allow it.
    pub fn send(&mut self, send: &Send, id: impl FnOnce(MessageId) -> MessageId) -> Result<Sent, Reject> {
        let author = send.author;
        if let Some(seq) = self.state.recent(author.user, &send.client_id) {
            let Some(message) = self.state.warm_message(seq) else {
                return Ok(Sent::LookAgain);
            };
            return if message.is_repeated_by(send.hash) {
                Ok(Sent::Before(Arc::clone(message)))
            } else {
                Err(Reject::ClientMessageIdReused)
            };
        }
        let key = (author.user, send.client_id.clone());
        if let Some(index) = self.fresh.get(&key) {
            let same = self.events.get(*index).and_then(Event::message).is_some_and(|m| m.is_repeated_by(send.hash));
            return if same { Ok(Sent::Again(*index)) } else { Err(Reject::ClientMessageIdReused) };
        }
        if send.absent_until < self.state.known_after() {
            return Ok(Sent::LookAgain);
        }
        self.state.may_send(author, &send.draft)?;
        let message = Arc::new(self.message(send, id));
        let index = self.events.len();
        self.seq = message.seq;
        self.n = message.n;
        self.last_id = message.id;
        self.events.push(Event {
            room: self.state.id,
            seq: message.seq,
            n: message.n,
            at_ms: self.now_ms,
            actor: message.sender,
            body: EventBody::Message(message),
        });
        self.fresh.insert(key, index);
        Ok(Sent::New(index))
    }

    fn message(&self, send: &Send, id: impl FnOnce(MessageId) -> MessageId) -> Message {
        Message {
            id: id(self.last_id),
            room: self.state.id,
            seq: self.seq.next(),
            n: self.n.next(),
            sender: send.author.user,
            at_ms: self.now_ms,
            client_id: send.client_id.clone(),
            hash: send.hash,
            draft: Arc::clone(&send.draft),
            edited_at_ms: 0,
            edits: Vec::new(),
            deleted: false,
            reactions: Vec::new(),
            pinned: false,
            wire: Default::default(),
        }
    }

    /// Decides a move of the author's read (or, with `delivered_only`, delivered) position. Reading implies delivery.
    /// Returns the position as it will be.
    ///
    /// # Errors
    /// [`Reject`] when the author is no member or the position lies beyond the room's end.
    pub fn read(&mut self, author: Author, to: ReadTo, delivered_only: bool) -> Result<Position, Reject> {
        self.state.member(author)?;
        let head = self.state.head;
        let (seq, n) = match to {
            ReadTo::Head => (head.seq, head.n),
            ReadTo::At { seq, n } => (seq, n.min(head.n)),
        };
        if seq > head.seq {
            return Err(Reject::out_of("up_to_seq", Bounds::Between(0, head.seq.0.cast_signed())));
        }
        let before = self.positions.get(&author.user).copied().unwrap_or_else(|| self.state.position(author.user));
        let step = if !self.state.shows_reading() {
            // Nobody is shown it: the author's own unread number is all that changes.
            Position { read_n: if delivered_only { Ordinal(0) } else { n }, ..Position::default() }
        } else if delivered_only {
            Position { delivered_seq: seq, ..Position::default() }
        } else {
            Position { read_seq: seq, read_n: n, delivered_seq: seq, ..Position::default() }
        };
        let after = before.merge(step);
        if after != before {
            self.positions.insert(author.user, after);
        }
        Ok(after)
    }

    /// Decides that everything so far no longer exists for the author (p2p alone).
    ///
    /// # Errors
    /// [`Reject`] when the author is no member or the room is not p2p.
    pub fn clear(&mut self, author: Author) -> Result<Position, Reject> {
        self.state.member(author)?;
        if self.state.live_info().is_none_or(|info| info.room_type != RoomType::P2p) {
            return Err(Reject::WrongRoomType);
        }
        let head = self.state.head;
        let before = self.positions.get(&author.user).copied().unwrap_or_else(|| self.state.position(author.user));
        let after = before.merge(Position { floor_n: head.n, floor_seq: head.seq, ..Position::default() });
        self.positions.insert(author.user, after);
        Ok(after)
    }

    /// What the batch does.
    #[must_use]
    pub fn finish(self) -> Change {
        Change { events: self.events, positions: self.positions.into_iter().collect(), ..Change::default() }
    }
}

impl RoomState {
    /// The author's membership in a live room.
    ///
    /// # Errors
    /// [`Reject::RoomDeleted`], [`Reject::RoomNotFound`].
    pub fn member(&self, author: Author) -> Result<&super::Member, Reject> {
        let member = self.members.get(&author.user).ok_or(Reject::RoomNotFound)?;
        if self.live_info().is_none() {
            return Err(Reject::RoomDeleted);
        }
        Ok(member)
    }

    /// Whether the author may send this here.
    pub(super) fn may_send(&self, author: Author, draft: &Draft) -> Result<(), Reject> {
        let special = draft.message_type == MessageType::System || draft.original_at_ms != 0;
        if special && !author.admin {
            return Err(Reject::AdminOnly);
        }
        if draft.message_type == MessageType::System {
            // Said by the server or a sibling, whoever's token carries it.
            if self.live_info().is_none() {
                self.member(author)?;
            }
        } else {
            self.member(author)?;
            self.may_speak(author, Speech::Words)?;
        }
        self.may_mention(&draft.mentions)
    }

    /// Whether these users may be mentioned here.
    pub(super) fn may_mention(&self, mentions: &[UserId]) -> Result<(), Reject> {
        if mentions.is_empty() {
            return Ok(());
        }
        if self.info.as_ref().is_some_and(|info| info.room_type == RoomType::P2p) {
            return Err(Reject::invalid("mentions", Flaw::NotAllowedHere));
        }
        if mentions.iter().all(|user| self.members.contains_key(user)) { Ok(()) } else { Err(Reject::MemberNotFound) }
    }
}
