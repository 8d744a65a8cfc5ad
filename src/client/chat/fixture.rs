//! Rooms, messages and keys for the tests of the terminal client.

use prost_types::Timestamp;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use tertulia_proto::chat::v1::{
    Event, Message, MessageType, Participant, Presence, Room, RoomPreferences, RoomType, event::Event as Body,
};

use super::{
    input::{Effect, Failure, Input, Outcome, Page},
    model::Model,
};

/// 2026-11-21 09:00 UTC.
const MORNING: i64 = 1_795_251_600;
pub(super) const ME: i64 = 1;
pub(super) const ANN: i64 = 2;
pub(super) const BOB: i64 = 3;

pub(super) fn at(minute: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: MORNING + 60 * minute, nanos: 0 })
}

fn participant(user_id: i64) -> Participant {
    let name = match user_id {
        ME => "Me Myself",
        ANN => "Ann",
        _ => "Bob",
    };
    Participant { user_id, name: name.to_owned(), ..Participant::default() }
}

/// A group of the three; its log ends at `last_seq`.
pub(super) fn group(id: &str, name: &str, last_seq: i64) -> Room {
    Room {
        id: id.to_owned(),
        r#type: RoomType::Group.into(),
        name: name.to_owned(),
        last_seq,
        last_activity_at: at(last_seq),
        participants: [ME, ANN, BOB].map(participant).to_vec(),
        participants_count: 3,
        preferences: Some(RoomPreferences::default()),
        ..Room::default()
    }
}

/// The room with Ann alone.
pub(super) fn dm(id: &str, last_seq: i64) -> Room {
    Room {
        id: id.to_owned(),
        r#type: RoomType::P2p.into(),
        last_seq,
        last_activity_at: at(last_seq),
        partner: Some(participant(ANN)),
        participants_count: 2,
        preferences: Some(RoomPreferences::default()),
        ..Room::default()
    }
}

/// A message whose number, minute and id follow from its seq.
pub(super) fn message(room_id: &str, seq: i64, sender_id: i64, content: &str) -> Message {
    Message {
        id: 1_000 + seq,
        room_id: room_id.to_owned(),
        seq,
        n: seq,
        sender_id,
        r#type: MessageType::UserMessage.into(),
        content: content.to_owned(),
        created_at: at(seq),
        ..Message::default()
    }
}

pub(super) fn event(room_id: &str, seq: i64, user_id: i64, body: Body) -> Input {
    Input::Event(Box::new(Event { room_id: room_id.to_owned(), seq, at: at(seq), user_id, event: Some(body) }))
}

pub(super) fn arrives(message: Message) -> Input {
    let (room_id, seq, sender_id) = (message.room_id.clone(), message.seq, message.sender_id);
    event(&room_id, seq, sender_id, Body::Message(message))
}

pub(super) fn done(outcome: Outcome) -> Input {
    Input::Done(Box::new(outcome))
}

pub(super) fn listed(rooms: Vec<Room>) -> Input {
    done(Outcome::Rooms(Ok(rooms)))
}

pub(super) fn online(user_id: i64) -> Input {
    let presence = Presence { user_id, online: true, last_seen_at: None };
    done(Outcome::Presence(Ok(vec![presence])))
}

pub(super) fn page(room_id: &str, before_seq: Option<i64>, messages: Vec<Message>, has_older: bool) -> Input {
    let result = Ok(Page { messages, has_older });
    done(Outcome::History { room_id: room_id.to_owned(), before_seq, result })
}

pub(super) fn sent(room_id: &str, id: &str, result: Result<Message, Failure>) -> Input {
    done(Outcome::Sent { room_id: room_id.to_owned(), client_message_id: id.to_owned(), result })
}

pub(super) fn failure(transient: bool) -> Failure {
    Failure { text: "no such luck".to_owned(), transient }
}

pub(super) fn down() -> Input {
    Input::Down { error: "the stream was lost".to_owned(), retry_in_ms: 3_000 }
}

/// Up, with these rooms, the first open and its history read.
pub(super) fn model(rooms: Vec<Room>, history: Vec<Message>) -> Model {
    let mut model = Model::new(ME, "s");
    model.update(listed(rooms));
    model.update(Input::Up);
    let open = model.open.clone().unwrap();
    model.update(page(&open, None, history, false));
    model
}

pub(super) fn press(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    model.update(Input::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

pub(super) fn press_with(model: &mut Model, code: KeyCode, modifiers: KeyModifiers) -> Vec<Effect> {
    model.update(Input::Key(KeyEvent::new(code, modifiers)))
}

/// Types a line and presses Enter; what typing itself asks for is left out.
pub(super) fn say(model: &mut Model, line: &str) -> Vec<Effect> {
    for c in line.chars() {
        press(model, KeyCode::Char(c));
    }
    let mut effects = press(model, KeyCode::Enter);
    effects.retain(|effect| !matches!(effect, Effect::Typing { .. }));
    effects
}
