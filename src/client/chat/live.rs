//! How events change the model.
//!
//! Events come once and in order; what they leave open is read again by an effect.

use tertulia_proto::chat::v1::{
    Event, Message, MessageReaction, ParticipantUpdate, Role, Room, RoomJoin, RoomLeave, RoomUpdate, StatusUpdate,
    Typing, event::Event as Body,
};

use super::{
    input::Effect,
    model::{Link, Model},
    room::RoomState,
    timeline::Loaded,
};

impl Model {
    pub(super) fn event(&mut self, event: Event, effects: &mut Vec<Effect>) {
        let Event { room_id, seq, at, user_id, event } = event;
        let Some(body) = event else {
            // Not for us, but the log has gone on.
            if let Some(room) = self.rooms.get_mut(&room_id) {
                room.saw(seq);
            }
            self.note_progress(&room_id);
            return;
        };
        if let Body::Presence(presence) = &body {
            self.online.insert(presence.user_id, presence.online);
            return;
        }
        if let Body::BlockUpdate(update) = &body {
            let with_them = self.rooms.values().filter(|room| room.partner() == Some(update.user_id));
            effects.extend(with_them.map(|room| Effect::LoadRoom { room_id: room.id().to_owned() }));
            return;
        }
        if !self.rooms.contains_key(&room_id) && !brings_room(&body) {
            self.meet(room_id, &body, effects);
            return;
        }
        if let Body::RoomJoin(join) = body {
            self.joined(&room_id, seq, at, join);
            return;
        }
        let me = self.me;
        let Some(room) = self.rooms.get_mut(&room_id) else {
            return;
        };
        room.saw(seq);
        match body {
            Body::Message(message) => self.message(&room_id, message, effects),
            Body::Edited(edited) => {
                if let Some(message) = edited.message {
                    room.edited(message, me);
                }
            }
            Body::Deleted(deleted) => {
                room.deleted(deleted.message_id);
                room.recount(effects);
            }
            Body::Hidden(hidden) => {
                room.timeline.remove(hidden.message_id);
                room.recount(effects);
            }
            Body::PreferencesUpdate(update) => {
                room.info.preferences = update.preferences;
                self.place(&room_id);
            }
            Body::RoomCleared(cleared) => {
                room.timeline.drop_up_to(cleared.up_to_seq);
                effects.push(Effect::LoadRoom { room_id: room_id.clone() });
            }
            Body::Reaction(MessageReaction { message_id, .. }) => room.timeline.mark_stale(message_id),
            Body::Pinned(pinned) => {
                room.timeline.mark_stale(pinned.message_id);
                if let Some(message) = room.timeline.by_id_mut(pinned.message_id) {
                    message.pinned = pinned.pinned;
                }
            }
            Body::Status(status) => room.status(me, status),
            Body::Read(moved) if user_id == me && moved.read_seq > 0 => {
                // Read on another device: how much is left only the server knows.
                effects.push(Effect::LoadRoom { room_id: room_id.clone() });
            }
            Body::Typing(typing) if user_id != me => {
                let now_ms = self.now_ms;
                room.typing(user_id, typing, now_ms);
            }
            Body::RoomLeave(left) => self.left(&room_id, seq, at, &left, effects),
            Body::RoomUpdate(update) => self.room_updated(&room_id, seq, at, update),
            Body::ParticipantUpdate(ParticipantUpdate { participant: Some(participant) }) => {
                room.learn_participant(&participant);
                if participant.user_id == me {
                    room.info.role = participant.role;
                }
            }
            // All of it: whatever is held may have changed, and the newest page is read again.
            Body::ResyncRequired(_) => self.resync(&room_id, effects),
            _ => {}
        }
        self.note_progress(&room_id);
    }

    /// Something happened in a room that is not in the list: it is read, and once more if that was not the end of it.
    fn meet(&mut self, room_id: String, body: &Body, effects: &mut Vec<Effect>) {
        let passing = matches!(body, Body::RoomLeave(_) | Body::Typing(_) | Body::Status(_) | Body::Read(_));
        if room_id.is_empty() || passing {
            return;
        }
        if let Some(more) = self.unknown.get_mut(&room_id) {
            *more = true;
            return;
        }
        self.unknown.insert(room_id.clone(), false);
        effects.push(Effect::LoadRoom { room_id });
    }

    /// The room has caught up once the stream has come to where the list said its log ends.
    pub(super) fn note_progress(&mut self, room_id: &str) {
        let caught_up = self.rooms.get(room_id).is_none_or(|room| room.seen_seq >= room.info.last_seq);
        if let Link::Up { behind } = &mut self.link
            && caught_up
        {
            behind.remove(room_id);
        }
    }

    fn message(&mut self, room_id: &str, message: Message, effects: &mut Vec<Effect>) {
        let me = self.me;
        let Some(room) = self.rooms.get_mut(room_id) else {
            return;
        };
        room.learn_sender(&message);
        room.typing.remove(&message.sender_id);
        room.count(&message, me);
        room.timeline.put_live(message, me);
        if room.anchor.is_none() {
            room.timeline.trim();
        }
        self.send_next(room_id, effects);
        self.place(room_id);
    }

    fn joined(&mut self, room_id: &str, seq: i64, at: Option<prost_types::Timestamp>, join: RoomJoin) {
        if let Some(info) = join.room {
            match self.rooms.get_mut(room_id) {
                Some(room) => room.update(info),
                None => {
                    self.rooms.insert(room_id.to_owned(), RoomState::new(info));
                }
            }
            self.want_presence();
        }
        let me = self.me;
        if let Some(room) = self.rooms.get_mut(room_id) {
            room.saw(seq);
            for participant in &join.participants {
                room.learn_participant(participant);
            }
            let names: Vec<String> = join.participants.iter().map(|who| person(room, me, who.user_id)).collect();
            if !names.is_empty() {
                room.timeline.remark(seq, format!("{} joined", names.join(", ")), at);
            }
        }
        self.note_progress(room_id);
        self.place(room_id);
    }

    fn left(
        &mut self,
        room_id: &str,
        seq: i64,
        at: Option<prost_types::Timestamp>,
        left: &RoomLeave,
        effects: &mut Vec<Effect>,
    ) {
        if left.user_ids.contains(&self.me) {
            self.forget_room(room_id, if left.removed { "you were removed from" } else { "you left" }, effects);
            return;
        }
        let me = self.me;
        if let Some(room) = self.rooms.get_mut(room_id) {
            let names: Vec<String> = left.user_ids.iter().map(|user| person(room, me, *user)).collect();
            let did = if left.removed { "was removed" } else { "left" };
            let mut text = format!("{} {did}", names.join(", "));
            if left.new_owner_id != 0 {
                text = format!("{text}; the room's owner is now {}", person(room, me, left.new_owner_id));
            }
            if left.new_owner_id == me {
                room.info.role = Role::Owner.into();
            }
            room.timeline.remark(seq, text, at);
            let fewer = i32::try_from(left.user_ids.len()).unwrap_or(i32::MAX);
            room.info.participants_count = room.info.participants_count.saturating_sub(fewer).max(1);
        }
    }

    /// The room is no longer ours; what was to be said there is given back to no one.
    pub(super) fn forget_room(&mut self, room_id: &str, why: &str, effects: &mut Vec<Effect>) {
        let Some(room) = self.rooms.remove(room_id) else {
            return;
        };
        self.tell(format!("{why} {}", room.title()));
        self.typing_told.take_if(|(told, _)| told == room_id);
        if let Link::Up { behind } = &mut self.link {
            behind.remove(room_id);
        }
        self.sort();
        if self.open.as_deref() == Some(room_id) {
            self.open = None;
            if let Some(next) = self.order.first().cloned() {
                self.open_room(&next, effects);
            }
        }
    }

    fn room_updated(&mut self, room_id: &str, seq: i64, at: Option<prost_types::Timestamp>, update: RoomUpdate) {
        if update.deleted {
            self.forget_room(room_id, "someone deleted", &mut Vec::new());
            return;
        }
        let (Some(room), Some(info)) = (self.rooms.get_mut(room_id), update.room) else {
            return;
        };
        if room.info.name != info.name {
            room.timeline.remark(seq, format!("the room is now called {}", info.name), at);
        }
        let Room { name, description, picture, members_can_send, history_visible, .. } = info;
        room.info = Room { name, description, picture, members_can_send, history_visible, ..room.info.clone() };
    }

    /// Part of the past is missing: what is shown must be read again.
    fn resync(&mut self, room_id: &str, effects: &mut Vec<Effect>) {
        if let Some(room) = self.rooms.get_mut(room_id) {
            room.timeline.forget();
            room.anchor = None;
            room.picked = None;
        }
        effects.push(Effect::LoadRoom { room_id: room_id.to_owned() });
        if self.open.as_deref() == Some(room_id) {
            self.load_history(effects);
        }
    }
}

impl RoomState {
    fn edited(&mut self, message: Message, me: i64) {
        if self.info.last_message.as_ref().is_some_and(|last| last.id == message.id) {
            self.info.last_message = Some(message.clone());
        }
        if self.timeline.by_id(message.id).is_some() {
            self.timeline.put(message, me);
        } else {
            self.timeline.mark_stale(message.id);
        }
    }

    fn deleted(&mut self, id: i64) {
        self.timeline.mark_stale(id);
        if let Some(message) = self.timeline.by_id_mut(id) {
            message.deleted = true;
            message.content.clear();
            message.reactions.clear();
            message.attachments.clear();
        }
    }

    fn status(&mut self, me: i64, update: StatusUpdate) {
        self.timeline.raise_status(me, update.up_to_seq, update.status());
    }

    fn typing(&mut self, user_id: i64, typing: Typing, now_ms: i64) {
        if typing.typing {
            self.typing.insert(user_id, now_ms + i64::from(typing.ttl_ms.clamp(1_000, 60_000)));
        } else {
            self.typing.remove(&user_id);
        }
    }

    /// Whether the history is on the screen or on its way to it.
    pub(super) fn is_loaded(&self) -> bool {
        self.timeline.loaded == Loaded::Yes
    }
}

fn brings_room(body: &Body) -> bool {
    matches!(body, Body::RoomJoin(join) if join.room.is_some())
}

fn person(room: &RoomState, me: i64, user_id: i64) -> String {
    if user_id == me { "you".to_owned() } else { room.name_of(user_id) }
}
