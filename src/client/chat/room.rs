//! One room of the list: what the server said of it, and what was learnt since.
//!
//! Owns names, unread and the open history of one room; must not know other rooms.

use std::collections::HashMap;

use tertulia_proto::chat::v1::{Message, MessageType, Participant, Room, RoomType};

use super::{
    composer::Composer,
    input::Effect,
    text,
    timeline::{Entry, Timeline},
};

/// Where the bottom of the history's window stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    /// The entry at the bottom.
    pub(super) seq: i64,
    /// How many of its last lines are below the window.
    pub(super) cut: usize,
}

/// A room the user is in.
#[derive(Debug)]
pub(super) struct RoomState {
    pub(super) info: Room,
    names: HashMap<i64, String>,
    pub(super) timeline: Timeline,
    pub(super) unread: i64,
    /// Up to which seq `unread` has counted.
    pub(super) counted_seq: i64,
    /// Greatest seq seen on the stream.
    pub(super) seen_seq: i64,
    /// Greatest seq of others' messages that we have told the server about as delivered.
    pub(super) delivered_seq: i64,
    /// None: the window follows the newest.
    pub(super) anchor: Option<Anchor>,
    /// Entry picked with the arrow keys.
    pub(super) picked: Option<i64>,
    /// User to the time at which their typing is forgotten.
    pub(super) typing: HashMap<i64, i64>,
    pub(super) draft: Composer,
    /// Id of the message being answered; 0 for none.
    pub(super) reply_to: i64,
    /// No send before this time: the last one failed.
    pub(super) send_after_ms: i64,
    /// Failed sends in a row.
    pub(super) send_failures: u32,
}

impl RoomState {
    pub(super) fn new(info: Room) -> Self {
        let mut room = Self {
            names: HashMap::new(),
            timeline: Timeline::default(),
            unread: info.unread_count,
            counted_seq: info.last_seq,
            seen_seq: info.last_seq,
            delivered_seq: 0,
            anchor: None,
            picked: None,
            typing: HashMap::new(),
            draft: Composer::default(),
            reply_to: 0,
            send_after_ms: 0,
            send_failures: 0,
            info: Room::default(),
        };
        room.learn(info);
        room
    }

    /// Takes the server's newer view in; an older one gives names alone.
    pub(super) fn update(&mut self, info: Room) {
        if info.last_seq < self.counted_seq {
            self.learn_names(&info);
            self.info.preferences = info.preferences;
            return;
        }
        self.unread = info.unread_count;
        self.counted_seq = info.last_seq;
        self.learn(info);
    }

    fn learn(&mut self, info: Room) {
        self.learn_names(&info);
        self.info = info;
    }

    fn learn_names(&mut self, info: &Room) {
        for participant in info.participants.iter().chain(&info.partner) {
            self.learn_participant(participant);
        }
        if let Some(message) = &info.last_message {
            self.learn_sender(message);
        }
    }

    pub(super) fn learn_participant(&mut self, participant: &Participant) {
        let name = if participant.nickname.is_empty() { &participant.name } else { &participant.nickname };
        if !name.is_empty() {
            self.names.insert(participant.user_id, short_name(name));
        }
    }

    pub(super) fn learn_sender(&mut self, message: &Message) {
        if !message.sender_name.is_empty() {
            // A nickname from the list of participants is better than the name at the time of sending.
            self.names.entry(message.sender_id).or_insert_with(|| short_name(&message.sender_name));
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.info.id
    }

    pub(super) fn is_p2p(&self) -> bool {
        self.info.r#type() == RoomType::P2p
    }

    pub(super) fn partner(&self) -> Option<i64> {
        self.info.partner.as_ref().filter(|_| self.is_p2p()).map(|partner| partner.user_id)
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.info.preferences.as_ref().is_some_and(|preferences| preferences.pinned)
    }

    pub(super) fn is_hidden(&self) -> bool {
        self.info.preferences.as_ref().is_some_and(|preferences| preferences.hidden)
    }

    /// What to call a user.
    pub(super) fn name_of(&self, user_id: i64) -> String {
        self.names.get(&user_id).cloned().unwrap_or_else(|| format!("user {user_id}"))
    }

    /// What to call who wrote a message: what came from elsewhere has the name it had there.
    pub(super) fn sender_of(&self, message: &Message) -> String {
        let known = self.names.get(&message.sender_id).filter(|_| message.original_at.is_none());
        known.cloned().unwrap_or_else(|| sender_name(message))
    }

    /// What to call the room.
    pub(super) fn title(&self) -> String {
        match self.partner() {
            Some(partner) => self.name_of(partner),
            None if self.info.name.is_empty() => "(no name)".to_owned(),
            None => text::clean(&self.info.name).replace('\n', " "),
        }
    }

    /// What the room list is ordered by: pinned first, then the latest activity.
    pub(super) fn rank(&self) -> (bool, i64, i32) {
        let at = self.info.last_activity_at.unwrap_or_default();
        (!self.is_pinned(), -at.seconds, -at.nanos)
    }

    /// Something of the log was seen on the stream.
    pub(super) fn saw(&mut self, seq: i64) {
        self.seen_seq = self.seen_seq.max(seq);
        self.info.last_seq = self.info.last_seq.max(seq);
    }

    /// A new message moves the room up and counts as unread, once.
    pub(super) fn count(&mut self, message: &Message, me: i64) {
        if message.seq <= self.counted_seq {
            return;
        }
        self.counted_seq = message.seq;
        self.unread = match message.sender_id == me {
            true => 0,
            false => self.unread + i64::from(message.r#type() != MessageType::SystemMessage),
        };
        self.info.last_n = self.info.last_n.max(message.n);
        self.info.last_activity_at = message.created_at;
        self.info.last_message = Some(message.clone());
        if let Some(preferences) = &mut self.info.preferences {
            preferences.hidden = false;
        }
    }

    /// Something that may have counted as unread is gone: how much is left only the server knows.
    pub(super) fn recount(&self, effects: &mut Vec<Effect>) {
        if self.unread > 0 {
            effects.push(Effect::LoadRoom { room_id: self.info.id.clone() });
        }
    }

    /// The entry before or after another one.
    pub(super) fn neighbour(&self, seq: i64, later: bool) -> Option<(i64, &Entry)> {
        let entries = self.timeline.entries();
        let found = if later { entries.range(seq + 1..).next() } else { entries.range(..seq).next_back() };
        found.map(|(seq, entry)| (*seq, entry))
    }

    /// Who is typing, by name.
    pub(super) fn typists(&self, now_ms: i64) -> Vec<String> {
        let typing = self.typing.iter().filter(|(_, until)| **until > now_ms);
        let mut names: Vec<String> = typing.map(|(user, _)| self.name_of(*user)).collect();
        names.sort();
        names
    }
}

/// The name that a message itself says.
pub(super) fn sender_name(message: &Message) -> String {
    let name = short_name(&message.sender_name);
    if name.is_empty() { format!("user {}", message.sender_id) } else { name }
}

fn short_name(name: &str) -> String {
    text::shorten(&text::clean(name), 24)
}
