//! Random lives of a room: what anybody may ask of it, in any order, and a naive account of what must have come of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{MEMBERS_MAX, NOW_MS, OWNER, ROOM, info};
use crate::domain::{
    event::{Event, EventBody},
    ids::{ClientMessageId, Epoch, MessageId, Ordinal, Seq, UserId},
    message::{Draft, Message, MessageType},
    position::{Position, RoomHead},
    reject::Reject,
    room::{Author, Batch, Change, Command, ReadTo, Role, RoomState, RoomType, Send, Sent, Subject},
    snowflake::Snowflakes,
};

/// One request of a batch. Numbers that choose among what is there are taken modulo how much that is.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Send {
        author: Author,
        client: u8,
        draft: Box<Draft>,
        /// How long ago the caller looked for the client id, in events.
        stale: u64,
    },
    Read {
        author: Author,
        back: Option<u64>,
        delivered_only: bool,
    },
    Clear(Author),
}

/// One thing that happens to the room.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Batch(Vec<Item>),
    Command(Author, Command),
    Blocked(bool),
    Clock(i64),
    /// The room falls asleep and is loaded again, with fewer messages warm.
    Reload(usize),
}

/// A room and the naive account of it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) state: RoomState,
    pub(crate) log: Vec<Event>,
    /// Messages in their present states.
    pub(crate) messages: BTreeMap<Seq, Arc<Message>>,
    pub(crate) reactions: BTreeSet<(Seq, UserId, String)>,
    /// Events before which nothing counts as unread: joins and clearings.
    floors: BTreeMap<UserId, Seq>,
    reads: BTreeMap<UserId, Seq>,
    /// How much of it others are shown.
    shown: BTreeMap<UserId, Seq>,
    ids: Snowflakes,
    now_ms: i64,
    tail_max: usize,
    tail_bytes: usize,
}

/// What one append does, and the state it is done to.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) before: RoomState,
    pub(crate) change: Change,
}

impl World {
    pub(crate) fn new(room_type: RoomType, tail_max: usize) -> (Self, Done) {
        let mut world = Self {
            state: RoomState::empty(ROOM, Epoch(1), tail_max),
            log: Vec::new(),
            messages: BTreeMap::new(),
            reactions: BTreeSet::new(),
            floors: BTreeMap::new(),
            reads: BTreeMap::new(),
            shown: BTreeMap::new(),
            ids: Snowflakes::new(1),
            now_ms: NOW_MS,
            tail_max,
            tail_bytes: usize::MAX,
        };
        let mut members = vec![(OWNER, Role::Owner), (UserId(2), Role::Member)];
        if room_type != RoomType::P2p {
            members.push((UserId(3), Role::Member));
        }
        let command = Command::Create { info: Arc::new(info(room_type)), members };
        let author = Author { user: OWNER, admin: false };
        let done = world.command(author, command).unwrap();
        (world, done)
    }

    /// The same world, whose room keeps about so many bytes of messages warm.
    pub(crate) fn with_tail_bytes(self, tail_bytes: usize) -> Self {
        Self { state: self.state.with_tail_bytes(tail_bytes), tail_bytes, ..self }
    }

    /// Does a step; returns what was written, if anything was.
    pub(crate) fn step(&mut self, step: Step) -> Option<Done> {
        match step {
            Step::Batch(items) => Some(self.batch(items)),
            Step::Command(author, command) => {
                let command = self.aimed(command);
                self.command(author, command).ok()
            }
            Step::Blocked(blocked) => {
                self.state.blocked = blocked;
                None
            }
            Step::Clock(by_ms) => {
                self.now_ms += by_ms;
                None
            }
            Step::Reload(tail_max) => {
                self.reload(tail_max);
                None
            }
        }
    }

    fn batch(&mut self, items: Vec<Item>) -> Done {
        let before = self.state.clone();
        let mut batch = Batch::new(&before, self.now_ms);
        let mut expected: Vec<(usize, ClientMessageId)> = Vec::new();
        for item in items {
            match item {
                Item::Send { author, client, draft, stale } => {
                    let client_id = ClientMessageId(format!("c{client}").into());
                    let answer = self.send(&mut batch, author, &client_id, *draft, stale);
                    if let Some(Ok(Sent::New(index))) = answer {
                        expected.push((index, client_id));
                    }
                }
                Item::Read { author, back, delivered_only } => self.read(&mut batch, author, back, delivered_only),
                Item::Clear(author) => {
                    if batch.clear(author).is_ok() {
                        self.floors.insert(author.user, before.head.seq);
                    }
                }
            }
        }
        let events = batch.events().len();
        assert_eq!(events, expected.len(), "every event was answered as new");
        let change = batch.finish();
        for (index, client_id) in expected {
            let message = change.events[index].message().unwrap();
            assert_eq!(message.client_id, client_id, "an answer tells of its own event");
        }
        self.apply(before, change)
    }

    /// Sends as a caller does: looks for the client id some time ago, and again when told to.
    fn send(
        &mut self,
        batch: &mut Batch<'_>,
        author: Author,
        client_id: &ClientMessageId,
        draft: Draft,
        stale: u64,
    ) -> Option<Result<Sent, Reject>> {
        let end = self.state.head.seq;
        let mut send = Send {
            author,
            hash: draft.hash(ROOM),
            draft: Arc::new(draft),
            client_id: client_id.clone(),
            absent_until: Seq(end.0.saturating_sub(stale)),
        };
        for _ in 0..2 {
            if self.logged(author.user, client_id, send.absent_until) {
                return None;
            }
            match batch.send(&send, |floor| self.ids.next(self.now_ms, floor)) {
                Ok(Sent::LookAgain) => send.absent_until = end,
                answer => return Some(answer),
            }
        }
        panic!("told to look again after looking up to the end");
    }

    /// Whether the log holds the client id at or before `until`.
    fn logged(&self, user: UserId, client_id: &ClientMessageId, until: Seq) -> bool {
        self.log
            .iter()
            .take_while(|event| event.seq <= until)
            .filter_map(Event::message)
            .any(|m| m.sender == user && m.client_id == *client_id)
    }

    fn read(&mut self, batch: &mut Batch<'_>, author: Author, back: Option<u64>, delivered_only: bool) {
        let to = match back {
            None => ReadTo::Head,
            Some(back) => {
                let seq = Seq(self.state.head.seq.0.saturating_sub(back));
                ReadTo::At { seq, n: self.ordinal_at(seq) }
            }
        };
        let seq = match to {
            ReadTo::Head => self.state.head.seq,
            ReadTo::At { seq, .. } => seq,
        };
        let Ok(position) = batch.read(author, to, delivered_only) else {
            return;
        };
        let is_shown = !(self.state.blocked && self.state.info.as_ref().unwrap().room_type == RoomType::P2p);
        assert!(!is_shown || position.delivered_seq >= seq, "what is read is delivered");
        if !delivered_only {
            let read = self.reads.entry(author.user).or_default();
            *read = (*read).max(seq);
            let shown = self.shown.entry(author.user).or_default();
            if is_shown {
                *shown = (*shown).max(seq);
            }
            assert_eq!(position.read_seq, *shown, "reading never moves back, nor across a block");
        }
    }

    /// Ordinal of the newest message at or before `seq`, by the log.
    pub(crate) fn ordinal_at(&self, seq: Seq) -> Ordinal {
        let upto = self.log.iter().filter(|event| event.seq <= seq);
        upto.filter_map(Event::message).map(|m| m.n).max().unwrap_or_default()
    }

    /// Points a command at a message that is there, if there is one.
    fn aimed(&self, mut command: Command) -> Command {
        let places: Vec<Seq> = self.messages.keys().copied().collect();
        if let (
            Command::Edit { message, .. }
            | Command::Delete { message }
            | Command::React { message, .. }
            | Command::Pin { message, .. }
            | Command::GiveWay { message },
            false,
        ) = (&mut command, places.is_empty())
        {
            let index = usize::try_from(message.0).unwrap() % (places.len() + 1);
            *message = places.get(index).copied().unwrap_or(Seq(u64::MAX));
        }
        command
    }

    fn command(&mut self, author: Author, command: Command) -> Result<Done, Reject> {
        let subject = Subject {
            message: command.message().and_then(|seq| self.messages.get(&seq).cloned()),
            has_reaction: match &command {
                Command::React { message, reaction, .. } => {
                    self.reactions.contains(&(*message, author.user, reaction.clone()))
                }
                _ => false,
            },
        };
        let change = self.state.decide(author, &command, &subject, self.now_ms, MEMBERS_MAX)?;
        Ok(self.apply(self.state.clone(), change))
    }

    fn apply(&mut self, before: RoomState, change: Change) -> Done {
        self.state.apply(&change);
        for event in &change.events {
            match &event.body {
                EventBody::Message(message) => {
                    self.messages.insert(message.seq, Arc::clone(message));
                }
                EventBody::Joined { members } => {
                    for (user, _) in members {
                        self.floors.insert(*user, event.seq);
                    }
                }
                EventBody::Reacted { target, reaction, removed } => {
                    let row = (target.seq, event.actor, reaction.clone());
                    let changed = if *removed { self.reactions.remove(&row) } else { self.reactions.insert(row) };
                    assert!(changed, "a reaction event says something new");
                }
                EventBody::Deleted(target) => self.reactions.retain(|(seq, ..)| *seq != target.seq),
                _ => {}
            }
        }
        if let Some(message) = &change.touched {
            self.messages.insert(message.seq, Arc::clone(message));
        }
        self.log.extend(change.events.iter().cloned());
        Done { before, change }
    }

    /// Builds the state anew from what a store keeps.
    fn reload(&mut self, tail_max: usize) {
        let mut state = RoomState::empty(ROOM, Epoch(self.state.epoch.0 + 1), tail_max);
        state.head = self.state.head;
        state.info.clone_from(&self.state.info);
        state.members.clone_from(&self.state.members);
        state.positions.clone_from(&self.state.positions);
        state.pins.clone_from(&self.state.pins);
        state.blocked = self.state.blocked;
        state.uncounted = Arc::clone(&self.state.uncounted);
        let skip = self.messages.len().saturating_sub(tail_max.max(1));
        let after = match skip.checked_sub(1) {
            Some(last) => *self.messages.keys().nth(last).unwrap(),
            None => Seq(0),
        };
        let mut state = state.with_tail_bytes(self.tail_bytes);
        state.warm(after, self.messages.values().skip(skip).cloned());
        self.tail_max = tail_max;
        self.state = state;
    }

    /// The head, counted anew from the log.
    pub(crate) fn recounted_head(&self) -> RoomHead {
        let newest = self.log.iter().filter_map(Event::message).next_back();
        let first_ms = self.log.first().map_or(0, |event| event.at_ms);
        RoomHead {
            seq: self.log.last().map_or(Seq(0), |event| event.seq),
            n: newest.map_or(Ordinal(0), |m| m.n),
            message_seq: newest.map_or(Seq(0), |m| m.seq),
            message_id: newest.map_or(MessageId(0), |m| m.id),
            activity_ms: newest.map_or(first_ms, |m| m.at_ms),
            members: u32::try_from(self.state.live_info().map_or(0, |_| self.state.members.len())).unwrap(),
        }
    }

    /// Messages after the last one that the user read, sent or need not see, counted one by one, without what was
    /// deleted and what the system said.
    pub(crate) fn naive_unread(&self, user: UserId) -> u64 {
        let messages = || self.log.iter().filter_map(Event::message);
        let own = messages().filter(|m| m.sender == user).map(|m| m.seq).max().unwrap_or_default();
        let seen = own
            .max(self.reads.get(&user).copied().unwrap_or_default())
            .max(self.floors.get(&user).copied().unwrap_or_default());
        let counts = |m: &&Arc<Message>| m.draft.message_type == MessageType::User && !self.messages[&m.seq].deleted;
        messages().filter(|m| m.seq > seen).filter(counts).count() as u64
    }

    pub(crate) fn position(&self, user: UserId) -> Position {
        self.state.position(user)
    }
}
