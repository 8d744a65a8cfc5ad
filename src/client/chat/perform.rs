//! Carries effects out: one call each, its answer as an outcome.
//!
//! Must not hold state; the model decides what follows.

use tertulia_proto::chat::v1 as pb;

use super::input::{Effect, Failure, Outcome, Page};
use crate::client::{Client, ClientError};

/// Messages in one page of history.
const HISTORY_PAGE: i32 = 50;
/// Hits of one search.
const SEARCH_PAGE: i32 = 50;

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self { transient: error.is_transient(), text: error.to_string() }
    }
}

/// Carries an effect out. None for those that are not calls.
pub(super) async fn perform(client: Client, effect: Effect) -> Option<Outcome> {
    Some(match effect {
        Effect::LoadRooms => Outcome::Rooms(client.all_rooms().await.map_err(Failure::from)),
        Effect::LoadRoom { room_id } => load_room(&client, room_id).await,
        Effect::LoadHistory { room_id, before_seq } => load_history(&client, room_id, before_seq).await,
        Effect::LoadMessage { message_id } => {
            let request = pb::GetMessageRequest { message_id, external_ref: None };
            let result = client.get_message(request).await.map(|answer| answer.message);
            Outcome::Message { what: "cannot read a message", result: present(result) }
        }
        Effect::Send { room_id, client_message_id, content, reply_to } => {
            send(&client, room_id, client_message_id, content, reply_to).await
        }
        Effect::Edit { message_id, content } => {
            let request = pb::EditMessageRequest { message_id, content, ..Default::default() };
            let result = client.edit_message(request).await.map(|answer| answer.message);
            Outcome::Message { what: "cannot edit", result: present(result) }
        }
        Effect::CreateGroup { name, user_ids } => {
            let r#type = pb::RoomType::Group.into();
            let request = pb::CreateRoomRequest { r#type, participants: user_ids, name, ..Default::default() };
            Outcome::Created(present(client.create_room(request).await.map(|answer| answer.room)))
        }
        Effect::CreateDm { user_id } => {
            let r#type = pb::RoomType::P2p.into();
            let request = pb::CreateRoomRequest { r#type, participants: vec![user_id], ..Default::default() };
            Outcome::Created(present(client.create_room(request).await.map(|answer| answer.room)))
        }
        Effect::Leave { room_id } => {
            let result = client.leave_room(pb::LeaveRoomRequest { room_id: room_id.clone() }).await;
            Outcome::Left { room_id, result: done(result) }
        }
        Effect::Star { room_id, pinned } => star(&client, room_id, pinned).await,
        Effect::Search { room_id, query } => {
            let request =
                pb::SearchMessagesRequest { room_id, query: query.clone(), limit: SEARCH_PAGE, ..Default::default() };
            let result = client.search_messages(request).await.map(|answer| answer.messages);
            Outcome::Found { query, result: result.map_err(Failure::from) }
        }
        Effect::LoadPresence { user_ids } => {
            let result = client.get_presence(pb::GetPresenceRequest { user_ids }).await;
            Outcome::Presence(result.map(|answer| answer.presences).map_err(Failure::from))
        }
        Effect::Reconnect | Effect::Quit => return None,
        other => small(&client, other).await?,
    })
}

/// Those whose answer says nothing but that it was done.
async fn small(client: &Client, effect: Effect) -> Option<Outcome> {
    Some(match effect {
        Effect::Delete { message_id } => {
            let request = pb::DeleteMessageRequest { message_id, for_me: false };
            Outcome::Other { what: "cannot delete", result: done(client.delete_message(request).await) }
        }
        Effect::React { message_id, reaction, remove } => {
            let request = pb::ReactToMessageRequest { message_id, reaction, remove };
            Outcome::Other { what: "cannot react", result: done(client.react_to_message(request).await) }
        }
        Effect::Pin { message_id, pinned: true } => {
            let result = client.pin_message(pb::PinMessageRequest { message_id }).await;
            Outcome::Other { what: "cannot pin", result: done(result) }
        }
        Effect::Pin { message_id, pinned: false } => {
            let result = client.unpin_message(pb::UnpinMessageRequest { message_id }).await;
            Outcome::Other { what: "cannot unpin", result: done(result) }
        }
        Effect::MarkRead { room_id, up_to_seq } => {
            let request = pb::MarkMessagesAsReadRequest { room_id: room_id.clone(), up_to_seq, ..Default::default() };
            Outcome::Read { room_id, result: done(client.mark_messages_as_read(request).await) }
        }
        Effect::MarkDelivered { room_id, up_to_seq } => {
            let request = pb::MarkMessagesAsDeliveredRequest { room_id, up_to_seq };
            // The next message says it again.
            let _ = client.mark_messages_as_delivered(request).await;
            return None;
        }
        Effect::Typing { room_id, typing } => {
            // Worth no complaint, and no second try.
            let _ = client.set_typing(pb::SetTypingRequest { room_id, typing }).await;
            return None;
        }
        _ => return None,
    })
}

async fn load_room(client: &Client, room_id: String) -> Outcome {
    let result = client.get_room(pb::GetRoomRequest { room_id: room_id.clone() }).await;
    Outcome::Room { room_id, result: present(result.map(|answer| answer.room)) }
}

async fn star(client: &Client, room_id: String, pinned: bool) -> Outcome {
    let request =
        pb::SetRoomPreferencesRequest { room_id: room_id.clone(), pinned: Some(pinned), ..Default::default() };
    match client.set_room_preferences(request).await {
        Ok(_) => load_room(client, room_id).await,
        Err(error) => Outcome::Other { what: "cannot move the room", result: Err(error.into()) },
    }
}

async fn load_history(client: &Client, room_id: String, before_seq: Option<i64>) -> Outcome {
    let mut request = pb::GetMessageHistoryRequest {
        room_id: room_id.clone(),
        before_seq: before_seq.unwrap_or(0),
        limit: HISTORY_PAGE,
        ..Default::default()
    };
    let result = loop {
        match client.get_message_history(request.clone()).await {
            // Nothing up to there that the reader sees: it goes on from the place the answer gives.
            Ok(page) if page.messages.is_empty() && page.has_more_before && page.next_before_seq > 0 => {
                request.before_seq = page.next_before_seq;
            }
            other => break other,
        }
    };
    let result = result.map(|page| Page { messages: page.messages, has_older: page.has_more_before });
    Outcome::History { room_id, before_seq, result: result.map_err(Failure::from) }
}

async fn send(client: &Client, room_id: String, client_message_id: String, content: String, reply_to: i64) -> Outcome {
    let request = pb::SendMessageRequest {
        room_id: room_id.clone(),
        content,
        client_message_id: client_message_id.clone(),
        reply_to,
        ..Default::default()
    };
    let result = client.send_message(request).await.map(|answer| answer.message);
    Outcome::Sent { room_id, client_message_id, result: present(result) }
}

fn present<T>(result: Result<Option<T>, ClientError>) -> Result<T, Failure> {
    result?.ok_or_else(|| ClientError::Unexpected { what: "an answer without its content" }.into())
}

fn done<T>(result: Result<T, ClientError>) -> Result<(), Failure> {
    result.map(|_| ()).map_err(Failure::from)
}
