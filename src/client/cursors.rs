//! Where a client stands in each room, and the guard that an event is handed on once.
//!
//! Pure; must not know how events arrive.

use std::collections::HashMap;

use tertulia_proto::chat::v1::{Event, Room, event};

/// What to do with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// New: hand it on.
    New,
    /// New, but at least one event before it is missing although nothing announced that.
    AfterGap,
    /// Seen before: drop it.
    Duplicate,
}

/// Room id to the last `seq` handed on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cursors {
    /// The reader; 0 if unknown, and then leaving is not recognised.
    user_id: i64,
    seen: HashMap<String, i64>,
}

impl Cursors {
    pub(crate) fn new(user_id: i64, seen: HashMap<String, i64>) -> Self {
        Self { user_id, seen }
    }

    pub(crate) const fn map(&self) -> &HashMap<String, i64> {
        &self.seen
    }

    /// Starts each room after the state that `rooms` shows.
    pub(crate) fn seed<'a>(&mut self, rooms: impl IntoIterator<Item = &'a Room>) {
        for room in rooms {
            self.seen.insert(room.id.clone(), room.last_seq);
        }
    }

    /// Judges an event and moves the room's cursor.
    pub(crate) fn admit(&mut self, event: &Event) -> Verdict {
        let verdict = if event.seq > 0 { self.advance(&event.room_id, event.seq) } else { Verdict::New };
        if verdict != Verdict::Duplicate {
            self.follow(event);
        }
        verdict
    }

    fn advance(&mut self, room_id: &str, seq: i64) -> Verdict {
        let Some(cursor) = self.seen.get_mut(room_id) else {
            self.seen.insert(room_id.to_owned(), seq);
            return Verdict::New;
        };
        if seq <= *cursor {
            return Verdict::Duplicate;
        }
        let verdict = if seq == *cursor + 1 { Verdict::New } else { Verdict::AfterGap };
        *cursor = seq;
        verdict
    }

    /// Events that move a cursor by what they say, not by their own seq.
    fn follow(&mut self, event: &Event) {
        match &event.event {
            Some(event::Event::ResyncRequired(resync)) => {
                // The stream goes on after this seq whatever was seen before, also when that is lower.
                self.seen.insert(event.room_id.clone(), resync.resumed_after_seq);
            }
            Some(event::Event::RoomJoin(join)) if event.seq == 0 => {
                if let Some(room) = &join.room {
                    let cursor = self.seen.entry(event.room_id.clone()).or_insert(0);
                    *cursor = room.last_seq.max(*cursor);
                }
            }
            Some(event::Event::RoomLeave(leave)) if leave.user_ids.contains(&self.user_id) => {
                self.seen.remove(&event.room_id);
            }
            Some(event::Event::RoomUpdate(update)) if update.deleted => {
                self.seen.remove(&event.room_id);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tertulia_proto::chat::v1::{Message, ResyncRequired, RoomJoin, RoomLeave};

    use super::*;

    fn event(seq: i64, body: event::Event) -> Event {
        Event { room_id: "r".to_owned(), seq, event: Some(body), ..Event::default() }
    }

    fn message(seq: i64) -> Event {
        event(seq, event::Event::Message(Message::default()))
    }

    #[test]
    fn each_seq_passes_once_and_gaps_are_told() {
        let mut cursors = Cursors::default();
        assert_eq!(cursors.admit(&message(4)), Verdict::New);
        assert_eq!(cursors.admit(&message(5)), Verdict::New);
        assert_eq!(cursors.admit(&message(5)), Verdict::Duplicate);
        assert_eq!(cursors.admit(&message(3)), Verdict::Duplicate);
        assert_eq!(cursors.admit(&message(7)), Verdict::AfterGap);
        assert_eq!(cursors.map()["r"], 7);
    }

    #[test]
    fn a_resync_moves_the_cursor_in_either_direction() {
        let mut cursors = Cursors::new(1, HashMap::from([("r".to_owned(), 10)]));
        for (to, next) in [(40, 41), (20, 21)] {
            let resync = ResyncRequired { from_seq: 11, resumed_after_seq: to, drop_up_to_seq: to };
            assert_eq!(cursors.admit(&event(0, event::Event::ResyncRequired(resync))), Verdict::New);
            assert_eq!(cursors.admit(&message(next)), Verdict::New);
        }
    }

    #[test]
    fn a_room_announced_with_its_state_goes_on_after_it() {
        let mut cursors = Cursors::default();
        let room = Room { last_seq: 9, ..Room::default() };
        cursors.admit(&event(0, event::Event::RoomJoin(RoomJoin { room: Some(room), ..RoomJoin::default() })));
        assert_eq!(cursors.admit(&message(9)), Verdict::Duplicate);
        assert_eq!(cursors.admit(&message(10)), Verdict::New);
    }

    #[test]
    fn only_the_readers_own_leaving_forgets_the_room() {
        let mut cursors = Cursors::new(1, HashMap::from([("r".to_owned(), 10)]));
        let leave =
            |user| event::Event::RoomLeave(RoomLeave { user_ids: vec![user], removed: false, ..RoomLeave::default() });
        cursors.admit(&event(11, leave(2)));
        assert_eq!(cursors.map()["r"], 11);
        cursors.admit(&event(12, leave(1)));
        assert!(cursors.map().is_empty());
    }
}
