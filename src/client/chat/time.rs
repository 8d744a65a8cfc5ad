//! What the coming of the connection and the going of time change in the model.
//!
//! What may wait is done once a tick, so that a flood of events does not become a flood of calls.

use std::collections::BTreeSet;

use super::{
    input::Effect,
    model::{Link, Model},
    room::RoomState,
    timeline::Loaded,
};

/// Calls for the same purpose that one tick may ask for.
const PER_TICK_MAX: usize = 32;
/// Between two questions who is online, in milliseconds.
const PRESENCE_MS: i64 = 30_000;
/// Users one such question may name.
const PRESENCE_MAX: usize = 1_000;

impl Model {
    pub(super) fn up(&mut self, effects: &mut Vec<Effect>) {
        if self.listed && self.link == Link::Connecting {
            // The stream began where the list just read ends.
            self.link = Link::Up { behind: BTreeSet::new() };
        } else {
            // Until the list says otherwise every room may be behind.
            self.link = Link::Up { behind: self.rooms.keys().cloned().collect() };
            effects.push(Effect::LoadRooms);
        }
        self.load_history(effects);
        let waiting: Vec<String> = self.rooms.keys().cloned().collect();
        for room_id in waiting {
            if let Some(room) = self.rooms.get_mut(&room_id) {
                room.send_after_ms = 0;
            }
            self.send_next(&room_id, effects);
        }
    }

    pub(super) fn tick(&mut self, now_ms: i64, effects: &mut Vec<Effect>) {
        self.now_ms = now_ms;
        if self.notice.as_ref().is_some_and(|notice| notice.until_ms <= now_ms) {
            self.notice = None;
        }
        for room in self.rooms.values_mut() {
            room.typing.retain(|_, until| *until > now_ms);
        }
        if !self.is_up() {
            return;
        }
        self.mark_read(effects);
        self.flush_rooms(effects);
        if now_ms >= self.presence_at_ms + PRESENCE_MS {
            self.ask_presence(effects);
        }
    }

    /// What the user has before their eyes is read.
    fn mark_read(&mut self, effects: &mut Vec<Effect>) {
        if !self.attended || self.overlay.is_some() {
            return;
        }
        let Some(room) = self.room_mut() else { return };
        let at_newest = room.anchor.is_none() && room.timeline.loaded == Loaded::Yes;
        if let Some(up_to_seq) = room.timeline.newest_seq().filter(|_| at_newest && room.unread > 0) {
            room.unread = 0;
            // Read is delivered as well.
            room.delivered_seq = room.delivered_seq.max(up_to_seq);
            effects.push(Effect::MarkRead { room_id: room.id().to_owned(), up_to_seq });
        }
    }

    /// What piled up since the last tick: sends to repeat, deliveries, messages to read again.
    fn flush_rooms(&mut self, effects: &mut Vec<Effect>) {
        let mut left = PER_TICK_MAX;
        let mut sending = Vec::new();
        for room in self.rooms.values_mut() {
            if !room.timeline.pending.is_empty() {
                sending.push(room.id().to_owned());
            }
            if left == 0 {
                continue;
            }
            if room.unread > 0 && room.counted_seq > room.delivered_seq {
                left -= 1;
                room.delivered_seq = room.counted_seq;
                effects.push(Effect::MarkDelivered { room_id: room.id().to_owned(), up_to_seq: room.counted_seq });
            }
            for message_id in room.timeline.take_stale() {
                left = left.saturating_sub(1);
                effects.push(Effect::LoadMessage { message_id });
            }
        }
        for room_id in sending {
            self.send_next(&room_id, effects);
        }
    }

    /// The next tick asks who is online, once for however many reasons.
    pub(super) const fn want_presence(&mut self) {
        self.presence_at_ms = i64::MIN / 2;
    }

    /// Asks who of those we talk to alone is online.
    fn ask_presence(&mut self, effects: &mut Vec<Effect>) {
        self.presence_at_ms = self.now_ms;
        let user_ids = self.partners();
        if !user_ids.is_empty() {
            effects.push(Effect::LoadPresence { user_ids });
        }
    }

    /// Those we talk to alone, most recent first, as many as one may ask for.
    pub(super) fn partners(&self) -> Vec<i64> {
        let rooms = self.order.iter().filter_map(|id| self.rooms.get(id));
        rooms.filter_map(RoomState::partner).take(PRESENCE_MAX).collect()
    }
}
