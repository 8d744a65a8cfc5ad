//! How the answers to effects change the model.

use std::collections::BTreeSet;

use tertulia_proto::chat::v1::{Message, MessageStatus, Presence, Room};

use super::{
    input::{Effect, Failure, Outcome, Page},
    model::{Link, Model, Overlay},
    room::RoomState,
    timeline::{Loaded, PendingState},
};

/// Waits between two tries to send, in milliseconds: 250, 500, … up to 8 s.
const SEND_RETRY_MS: i64 = 250;

impl Model {
    pub(super) fn done(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        match outcome {
            Outcome::Rooms(Ok(rooms)) => self.rooms_listed(rooms, effects),
            Outcome::Room { room_id, result: Ok(info) } => {
                self.room_read(&room_id, info);
                if self.unknown.remove(&room_id) == Some(true) {
                    effects.push(Effect::LoadRoom { room_id });
                }
                if self.open.is_none() {
                    self.open_first(effects);
                }
            }
            Outcome::History { room_id, before_seq, result } => self.page(&room_id, before_seq, result),
            Outcome::Message { result: Ok(message), .. } => self.message_read(message),
            Outcome::Sent { room_id, client_message_id, result } => {
                self.sent(&room_id, &client_message_id, result, effects);
            }
            Outcome::Created(Ok(info)) => {
                let id = info.id.clone();
                self.room_read(&id, info);
                self.open_room(&id, effects);
                self.want_presence();
            }
            Outcome::Left { room_id, result: Ok(()) } => self.forget_room(&room_id, "you left", effects),
            Outcome::Found { query, result: Ok(messages) } => {
                self.overlay = Some(Overlay::Found { query, messages, scroll: 0 });
            }
            Outcome::Presence(Ok(presences)) => {
                self.online.extend(presences.iter().map(|Presence { user_id, online, .. }| (*user_id, *online)));
            }
            Outcome::Read { room_id, result: Err(_) } => {
                // The number shown is a promise that was not kept; the server's is true.
                effects.push(Effect::LoadRoom { room_id });
            }
            Outcome::Rooms(Err(failure)) => self.failed("cannot read the list of rooms", &failure),
            // Not ours after all, or ours no more.
            Outcome::Room { room_id, result: Err(failure) }
                if self.unknown.remove(&room_id).is_some() && !failure.transient => {}
            Outcome::Room { result: Err(failure), .. } => self.failed("cannot read the room", &failure),
            Outcome::Created(Err(failure)) => self.failed("cannot make the room", &failure),
            Outcome::Left { result: Err(failure), .. } => self.failed("cannot leave", &failure),
            Outcome::Found { result: Err(failure), .. } => self.failed("cannot search", &failure),
            Outcome::Message { what, result: Err(failure) } | Outcome::Other { what, result: Err(failure) } => {
                self.failed(what, &failure);
            }
            Outcome::Presence(Err(_)) | Outcome::Read { .. } | Outcome::Other { result: Ok(()), .. } => {}
        }
    }

    fn failed(&mut self, what: &str, failure: &Failure) {
        self.complain(format!("{what}: {}", failure.text));
    }

    fn rooms_listed(&mut self, rooms: Vec<Room>, effects: &mut Vec<Effect>) {
        for info in rooms {
            match self.rooms.get_mut(&info.id) {
                Some(room) => {
                    room.info.last_seq = room.info.last_seq.max(info.last_seq);
                    room.update(info);
                }
                None => {
                    self.rooms.insert(info.id.clone(), RoomState::new(info));
                }
            }
        }
        self.listed = true;
        self.sort();
        self.refresh_behind();
        if self.open.is_none() {
            self.open_first(effects);
        }
        self.want_presence();
    }

    fn open_first(&mut self, effects: &mut Vec<Effect>) {
        if let Some(first) = self.order.first().cloned() {
            self.open_room(&first, effects);
        }
    }

    fn refresh_behind(&mut self) {
        let rooms = self.rooms.values().filter(|room| room.seen_seq < room.info.last_seq);
        let still: BTreeSet<String> = rooms.map(|room| room.id().to_owned()).collect();
        if let Link::Up { behind } = &mut self.link {
            behind.retain(|id| still.contains(id));
        }
    }

    fn room_read(&mut self, room_id: &str, info: Room) {
        match self.rooms.get_mut(room_id) {
            Some(room) => room.update(info),
            None => {
                self.want_presence();
                self.rooms.insert(room_id.to_owned(), RoomState::new(info));
            }
        }
        self.place(room_id);
    }

    fn page(&mut self, room_id: &str, before_seq: Option<i64>, result: Result<Page, Failure>) {
        let me = self.me;
        let Some(room) = self.rooms.get_mut(room_id) else {
            return;
        };
        let timeline = &mut room.timeline;
        if before_seq.is_none() && timeline.is_outdated() {
            return;
        }
        match before_seq {
            Some(_) => timeline.loading_older = false,
            None if result.is_ok() => timeline.loaded = Loaded::Yes,
            None if timeline.loaded == Loaded::Loading => timeline.loaded = Loaded::No,
            None => {}
        }
        let page = match result {
            Ok(page) => page,
            Err(failure) => return self.failed("cannot read the history", &failure),
        };
        // A page asked for before the timeline was forgotten would leave a hole.
        if before_seq.is_some_and(|before| timeline.oldest_seq().is_none_or(|oldest| oldest > before)) {
            return;
        }
        timeline.has_older = page.has_older;
        for message in page.messages {
            room.learn_sender(&message);
            // What came live is newer than a page that was read before.
            if room.timeline.by_id(message.id).is_none() {
                room.timeline.put(message, me);
            }
        }
    }

    fn message_read(&mut self, message: Message) {
        let me = self.me;
        let Some(room) = self.rooms.get_mut(&message.room_id) else {
            return;
        };
        let (seq, status) = (message.seq, message.status());
        room.learn_sender(&message);
        if room.timeline.by_id(message.id).is_some() {
            room.timeline.put(message, me);
        }
        if matches!(status, MessageStatus::Delivered | MessageStatus::Read) {
            room.timeline.raise_status(me, seq - 1, status);
        }
    }

    fn sent(
        &mut self,
        room_id: &str,
        client_message_id: &str,
        result: Result<Message, Failure>,
        effects: &mut Vec<Effect>,
    ) {
        let (me, now_ms) = (self.me, self.now_ms);
        let Some(room) = self.rooms.get_mut(room_id) else {
            return;
        };
        let timeline = &mut room.timeline;
        let pending = timeline.pending.iter_mut().find(|pending| pending.client_message_id == client_message_id);
        match (result, pending) {
            (Ok(message), _) => {
                timeline.pending.retain(|pending| pending.client_message_id != client_message_id);
                room.send_failures = 0;
                room.count(&message, me);
                if room.timeline.by_id(message.id).is_none() {
                    room.timeline.put_live(message, me);
                }
                self.place(room_id);
            }
            (Err(failure), Some(pending)) if failure.transient => {
                pending.state = PendingState::Queued;
                room.send_failures = room.send_failures.saturating_add(1);
                room.send_after_ms = now_ms + (SEND_RETRY_MS << (room.send_failures - 1).min(5));
            }
            (Err(failure), Some(pending)) => pending.state = PendingState::Failed(failure.text),
            (Err(_), None) => {}
        }
        self.send_next(room_id, effects);
    }
}
