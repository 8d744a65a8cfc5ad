//! The importer's calls over gRPC.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use prost_types::Timestamp;
use tertulia_proto::{
    admin::v1::{ReadLogRequest, admin_service_client::AdminServiceClient},
    chat::v1::{
        AddParticipantsRequest, CreateRoomRequest, Event, GetRoomsRequest, LeaveRoomRequest, Role, RoomType,
        SendMessageRequest, UpdateParticipantRequest, chat_service_client::ChatServiceClient,
    },
};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use super::{
    OWNER_ID, OnAck, TokenFor,
    engine::{Done, Port},
};
use crate::client::{
    irc::plan::{OWNER_NAME, Op, Outgoing},
    wire::{self, ANSWER_BYTES_MAX},
};

const ROOMS_PAGE: i32 = 200;
const LOG_PAGE: i32 = 1000;

pub(super) struct GrpcPort {
    chat: ChatServiceClient<Channel>,
    admin: AdminServiceClient<Channel>,
    token_for: TokenFor,
    names: HashMap<i64, String>,
    tokens: Mutex<HashMap<i64, MetadataValue<Ascii>>>,
    deadline: Duration,
    on_ack: Option<OnAck>,
}

impl GrpcPort {
    pub(super) fn new(channel: Channel, token_for: TokenFor, names: HashMap<i64, String>, deadline: Duration) -> Self {
        let chat = ChatServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let admin = AdminServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        Self { chat, admin, token_for, names, tokens: Mutex::default(), deadline, on_ack: None }
    }

    pub(super) fn telling(mut self, on_ack: Option<OnAck>) -> Self {
        self.on_ack = on_ack;
        self
    }

    fn request<T>(&self, user: i64, message: T) -> Result<Request<T>, Status> {
        let cached = self.tokens.lock().get(&user).cloned();
        let token = match cached {
            Some(token) => token,
            None => self.mint(user)?,
        };
        Ok(wire::request(message, &token, self.deadline))
    }

    fn mint(&self, user: i64) -> Result<MetadataValue<Ascii>, Status> {
        let name = self.names.get(&user).map_or(OWNER_NAME, String::as_str);
        let token = wire::bearer(&(self.token_for)(user, name))
            .ok_or_else(|| Status::unauthenticated(format!("no token for user {user}")))?;
        self.tokens.lock().insert(user, token.clone());
        Ok(token)
    }

    /// A token that the server does not take any more is minted anew for the next try.
    fn forget_token(&self, user: i64, status: Status) -> Status {
        if status.code() == Code::Unauthenticated {
            self.tokens.lock().remove(&user);
        }
        status
    }

    async fn send(&self, room_id: &str, message: &Outgoing, reply_to: i64) -> Result<Done, Status> {
        let request = SendMessageRequest {
            room_id: room_id.to_owned(),
            content: message.content.clone(),
            client_message_id: message.client_message_id.clone(),
            reply_to,
            mentions: message.mentions.clone(),
            metadata: message.metadata.clone().into_iter().collect(),
            system: message.system,
            original_sender_name: message.sender_name.clone(),
            original_at: Some(Timestamp { seconds: message.original_at, nanos: 0 }),
            ..SendMessageRequest::default()
        };
        let request = self.request(message.user, request)?;
        let answer = self.chat.clone().send_message(request).await;
        let answer = answer.map_err(|status| self.forget_token(message.user, status))?.into_inner();
        let message_id = answer.message.as_ref().map(|message| message.id);
        let message_id = message_id.ok_or_else(|| Status::data_loss("a send was answered without its message"))?;
        if let Some(on_ack) = &self.on_ack {
            on_ack(&answer);
        }
        Ok(Done { message_id, duplicate: answer.duplicate })
    }

    async fn add(&self, room_id: &str, user: i64) -> Result<(), Status> {
        let request = AddParticipantsRequest { room_id: room_id.to_owned(), user_ids: vec![user] };
        let answer = self.chat.clone().add_participants(self.request(OWNER_ID, request)?).await;
        answer.map(drop).map_err(|status| self.forget_token(OWNER_ID, status))
    }

    async fn leave(&self, room_id: &str, user: i64) -> Result<(), Status> {
        let request = self.request(user, LeaveRoomRequest { room_id: room_id.to_owned() })?;
        let answer = self.chat.clone().leave_room(request).await;
        answer.map(drop).map_err(|status| self.forget_token(user, status))
    }

    async fn rename(&self, room_id: &str, user: i64, nickname: &str) -> Result<(), Status> {
        let request = UpdateParticipantRequest {
            room_id: room_id.to_owned(),
            nickname: Some(nickname.to_owned()),
            ..UpdateParticipantRequest::default()
        };
        let answer = self.chat.clone().update_participant(self.request(user, request)?).await;
        answer.map(drop).map_err(|status| self.forget_token(user, status))
    }
}

#[async_trait]
impl Port for GrpcPort {
    async fn find_room(&self, name: &str) -> Result<Option<String>, Status> {
        let mut cursor = String::new();
        loop {
            let request = GetRoomsRequest {
                limit: ROOMS_PAGE,
                cursor,
                query: name.to_owned(),
                r#type: RoomType::Group.into(),
                include_hidden: true,
            };
            let answer = self.chat.clone().get_rooms(self.request(OWNER_ID, request)?).await;
            let page = answer.map_err(|status| self.forget_token(OWNER_ID, status))?.into_inner();
            let own = page
                .rooms
                .into_iter()
                .find(|room| room.name == name && room.role == i32::from(Role::Owner) && !room.deleted);
            if own.is_some() || page.next_cursor.is_empty() {
                return Ok(own.map(|room| room.id));
            }
            cursor = page.next_cursor;
        }
    }

    async fn create_room(&self, name: &str, first_member: i64) -> Result<String, Status> {
        let request = CreateRoomRequest {
            r#type: RoomType::Group.into(),
            participants: vec![first_member],
            name: name.to_owned(),
            description: "Imported from IRC".to_owned(),
            // The channel was public: who came later could read what was said before, and answers it.
            history_visible: Some(true),
            ..CreateRoomRequest::default()
        };
        let answer = self.chat.clone().create_room(self.request(OWNER_ID, request)?).await;
        let answer = answer.map_err(|status| self.forget_token(OWNER_ID, status))?.into_inner();
        let room = answer.room.ok_or_else(|| Status::data_loss("a creation was answered without its room"))?;
        Ok(room.id)
    }

    async fn read_log(&self, room_id: &str, after_seq: i64) -> Result<Vec<Event>, Status> {
        let request = ReadLogRequest { room_id: room_id.to_owned(), after_seq, limit: LOG_PAGE };
        let answer = self.admin.clone().read_log(self.request(OWNER_ID, request)?).await;
        let page = answer.map_err(|status| self.forget_token(OWNER_ID, status))?.into_inner();
        Ok(page.entries.into_iter().filter_map(|entry| entry.event).collect())
    }

    async fn perform(&self, room_id: &str, op: &Op, reply_to: i64) -> Result<Done, Status> {
        match op {
            Op::Add { user } => self.add(room_id, *user).await?,
            Op::Leave { user } => self.leave(room_id, *user).await?,
            Op::Nickname { user, nickname } => self.rename(room_id, *user, nickname).await?,
            Op::Send(message) => return self.send(room_id, message, reply_to).await,
        }
        Ok(Done::default())
    }
}
