//! A stand-in for the server: keeps messages in memory, acknowledges at once, can be told to misbehave.

use std::{collections::HashMap, net::SocketAddr, pin::Pin, sync::Arc, thread};

use futures_util::{Stream, StreamExt as _, stream};
use jsonwebtoken::{DecodingKey, Validation};
use parking_lot::Mutex;
use tertulia_proto::chat::v1::{
    self, Event, SessionRequest, SessionResponse,
    chat_service_server::{ChatService, ChatServiceServer},
    event::Event as What,
    session_reply::Result as Outcome,
    session_request::Command,
    session_response::Frame,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    metadata::MetadataValue,
    transport::{Server, server::TcpIncoming},
};

/// The secret of all tests.
pub(crate) const SECRET: &str = "6162636465666768696a6b6c6d6e6f707172737475767778797a303132333435";

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Sends with a greater number are refused as too many.
    pub(crate) refuse_after: Option<i64>,
    /// This send reaches nobody.
    pub(crate) lose: Option<i64>,
    /// This send reaches everybody twice.
    pub(crate) double: Option<i64>,
    /// All streams end at this send.
    pub(crate) hang_up: Option<i64>,
}

#[derive(Clone)]
pub(crate) struct Fake {
    faults: Faults,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    sends: i64,
    rooms: HashMap<String, Room>,
    streams: HashMap<i64, mpsc::Sender<Result<Event, Status>>>,
}

#[derive(Default)]
struct Room {
    members: Vec<i64>,
    messages: Vec<v1::Message>,
}

/// Starts a server on a free port, on a thread of its own.
pub(crate) fn start(faults: Faults) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let fake = Fake { faults, state: Arc::default() };
    thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let service = ChatServiceServer::new(fake);
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
                .await
        })
    });
    address
}

fn refusal() -> Status {
    let mut status = Status::resource_exhausted("slow down, please");
    status.metadata_mut().insert("tertulia-reason", MetadataValue::from_static("rate_limited"));
    status
}

impl Fake {
    fn send(&self, sender_id: i64, request: v1::SendMessageRequest) -> Result<v1::SendMessageResponse, Status> {
        let mut state = self.state.lock();
        state.sends += 1;
        let send = state.sends;
        if self.faults.refuse_after.is_some_and(|after| send > after) {
            return Err(refusal());
        }
        let room = state.rooms.get_mut(&request.room_id).ok_or_else(|| Status::not_found("room"))?;
        let n = i64::try_from(room.messages.len()).unwrap() + 1;
        let message = v1::Message {
            id: n,
            room_id: request.room_id.clone(),
            seq: n,
            n,
            sender_id,
            content: request.content,
            client_message_id: request.client_message_id,
            ..Default::default()
        };
        room.messages.push(message.clone());
        let members = room.members.clone();
        let times = match send {
            _ if self.faults.lose == Some(send) => 0,
            _ if self.faults.double == Some(send) => 2,
            _ => 1,
        };
        for member in members.iter().flat_map(|m| vec![m; times]) {
            if let Some(stream) = state.streams.get(member) {
                let event = Event {
                    room_id: request.room_id.clone(),
                    seq: n,
                    event: Some(What::Message(message.clone())),
                    ..Default::default()
                };
                stream.try_send(Ok(event)).unwrap();
            }
        }
        if self.faults.hang_up == Some(send) {
            state.streams.clear();
        }
        Ok(v1::SendMessageResponse {
            message: Some(message),
            duplicate: false,
            durability: v1::Durability::Buffered.into(),
            epoch: 1,
        })
    }

    fn listen(&self, user: i64) -> ReceiverStream<Result<Event, Status>> {
        let (sender, receiver) = mpsc::channel(1 << 14);
        let connected = Event { event: Some(What::Connected(v1::Connected { interval_s: 15 })), ..Default::default() };
        sender.try_send(Ok(connected)).unwrap();
        self.state.lock().streams.insert(user, sender);
        ReceiverStream::new(receiver)
    }

    fn command(&self, user: i64, request: SessionRequest) -> SessionResponse {
        let Some(Command::SendMessage(send)) = request.command else { panic!("unexpected command") };
        let result = match self.send(user, send) {
            Ok(response) => Outcome::SendMessage(response),
            Err(status) => Outcome::Error(v1::SessionError {
                code: status.code().into(),
                message: status.message().to_owned(),
                info: Some(v1::ErrorInfo { reason: "rate_limited".into(), ..Default::default() }),
            }),
        };
        let reply = v1::SessionReply { request_id: request.request_id, result: Some(result) };
        SessionResponse { frame: Some(Frame::Reply(reply)) }
    }
}

fn user<T>(request: &Request<T>) -> Result<i64, Status> {
    #[derive(serde::Deserialize)]
    struct Claims {
        sub: String,
        name: String,
    }
    let header = request.metadata().get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let token = header.strip_prefix("Bearer ").ok_or_else(|| Status::unauthenticated("token_missing"))?;
    let claims: Claims =
        jsonwebtoken::decode(token, &DecodingKey::from_secret(SECRET.as_bytes()), &Validation::default())
            .map_err(|e| Status::unauthenticated(e.to_string()))?
            .claims;
    assert!(!claims.name.is_empty());
    claims.sub.parse().map_err(|_| Status::unauthenticated("sub"))
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send + 'a>>;

/// Calls that the generator does not make.
macro_rules! unused {
    ($($name:ident($request:ident) -> $response:ident;)*) => {
        $(fn $name<'s, 'a>(&'s self, _: Request<v1::$request>) -> Answer<'a, v1::$response>
        where
            's: 'a,
            Self: 'a,
        {
            Box::pin(async { Err(Status::unimplemented("not in the fake")) })
        })*
    };
}

#[tonic::async_trait]
impl ChatService for Fake {
    type StreamMessagesStream = ReceiverStream<Result<Event, Status>>;
    type SessionStream = Pin<Box<dyn Stream<Item = Result<SessionResponse, Status>> + Send>>;

    async fn create_room(
        &self,
        request: Request<v1::CreateRoomRequest>,
    ) -> Result<Response<v1::CreateRoomResponse>, Status> {
        let owner = user(&request)?;
        let mut state = self.state.lock();
        let id = format!("room-{}", state.rooms.len());
        let members = std::iter::once(owner).chain(request.into_inner().participants).collect();
        state.rooms.insert(id.clone(), Room { members, messages: Vec::new() });
        let room = v1::Room { id, ..Default::default() };
        Ok(Response::new(v1::CreateRoomResponse { room: Some(room), created: true, not_added: Vec::new() }))
    }

    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let user = user(&request)?;
        self.send(user, request.into_inner()).map(Response::new)
    }

    async fn get_message_history(
        &self,
        request: Request<v1::GetMessageHistoryRequest>,
    ) -> Result<Response<v1::GetMessageHistoryResponse>, Status> {
        let user = user(&request)?;
        let request = request.into_inner();
        let state = self.state.lock();
        let room = state.rooms.get(&request.room_id).filter(|r| r.members.contains(&user));
        let room = room.ok_or_else(|| Status::not_found("room"))?;
        let from = room.messages.len().saturating_sub(usize::try_from(request.limit).unwrap());
        let messages = room.messages[from..].to_vec();
        Ok(Response::new(v1::GetMessageHistoryResponse { messages, ..Default::default() }))
    }

    async fn stream_messages(
        &self,
        request: Request<v1::StreamMessagesRequest>,
    ) -> Result<Response<Self::StreamMessagesStream>, Status> {
        Ok(Response::new(self.listen(user(&request)?)))
    }

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let user = user(&request)?;
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|r| r.command);
        let Some(Command::Open(open)) = first else {
            return Err(Status::invalid_argument("open first"));
        };
        assert!(!open.client_id.is_empty());
        let events = self.listen(user);
        if open.commands_only {
            self.state.lock().streams.remove(&user);
        }
        let events = events.map(|e| e.map(|e| SessionResponse { frame: Some(Frame::Event(e)) }));
        let fake = self.clone();
        let replies = requests.map(move |r| r.map(|r| fake.command(user, r)));
        Ok(Response::new(Box::pin(stream::select(replies, events))))
    }

    unused! {
        get_room(GetRoomRequest) -> GetRoomResponse;
        get_rooms(GetRoomsRequest) -> GetRoomsResponse;
        update_room(UpdateRoomRequest) -> UpdateRoomResponse;
        delete_room(DeleteRoomRequest) -> DeleteRoomResponse;
        get_room_participants(GetRoomParticipantsRequest) -> GetRoomParticipantsResponse;
        add_participants(AddParticipantsRequest) -> AddParticipantsResponse;
        remove_participants(RemoveParticipantsRequest) -> RemoveParticipantsResponse;
        update_participant(UpdateParticipantRequest) -> UpdateParticipantResponse;
        leave_room(LeaveRoomRequest) -> LeaveRoomResponse;
        set_room_preferences(SetRoomPreferencesRequest) -> SetRoomPreferencesResponse;
        get_join_progress(GetJoinProgressRequest) -> GetJoinProgressResponse;
        get_privacy(GetPrivacyRequest) -> GetPrivacyResponse;
        set_privacy(SetPrivacyRequest) -> SetPrivacyResponse;
        block_user(BlockUserRequest) -> BlockUserResponse;
        unblock_user(UnblockUserRequest) -> UnblockUserResponse;
        get_blocked_users(GetBlockedUsersRequest) -> GetBlockedUsersResponse;
        get_message(GetMessageRequest) -> GetMessageResponse;
        edit_message(EditMessageRequest) -> EditMessageResponse;
        delete_message(DeleteMessageRequest) -> DeleteMessageResponse;
        react_to_message(ReactToMessageRequest) -> ReactToMessageResponse;
        mark_messages_as_read(MarkMessagesAsReadRequest) -> MarkMessagesAsReadResponse;
        mark_messages_as_delivered(MarkMessagesAsDeliveredRequest) -> MarkMessagesAsDeliveredResponse;
        search_messages(SearchMessagesRequest) -> SearchMessagesResponse;
        pin_message(PinMessageRequest) -> PinMessageResponse;
        unpin_message(UnpinMessageRequest) -> UnpinMessageResponse;
        get_pinned_messages(GetPinnedMessagesRequest) -> GetPinnedMessagesResponse;
        get_message_receipts(GetMessageReceiptsRequest) -> GetMessageReceiptsResponse;
        set_typing(SetTypingRequest) -> SetTypingResponse;
        get_presence(GetPresenceRequest) -> GetPresenceResponse;
        explain_unread(ExplainUnreadRequest) -> ExplainUnreadResponse;
        set_sync_state(SetSyncStateRequest) -> SetSyncStateResponse;
        get_sync_state(GetSyncStateRequest) -> GetSyncStateResponse;
    }
}
