//! The connection and the calls that have one answer.
//!
//! Owns address, token, deadlines and keepalive; must not hold state of rooms.

use std::{collections::HashSet, fmt, time::Duration};

use tertulia_proto::chat::v1 as pb;
use tertulia_proto::chat::v1::chat_service_client::ChatServiceClient;
use tokio::time::{Instant, sleep, timeout};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

use super::{backoff::Backoff, error::ClientError};

/// A page of 200 messages of the greatest size fits.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Page size for reading whole lists.
const PAGE: i32 = 200;

/// The generated client with our token on every call.
pub(crate) type Stub = ChatServiceClient<InterceptedService<Channel, Bearer>>;

/// How to reach a server.
#[derive(Clone)]
pub struct ClientOptions {
    /// `http://host:port`, or `host:port`. TLS is left to a proxy.
    pub server: String,
    /// JWT of the user.
    pub token: String,
    /// Longest time for one call, from sending to the whole answer.
    pub deadline: Duration,
    /// Longest time to set up a connection.
    pub connect_timeout: Duration,
    /// Time between two HTTP/2 pings, also while nothing else happens.
    pub keepalive_interval: Duration,
    /// How long a ping may stay unanswered before the connection counts as dead.
    pub keepalive_timeout: Duration,
}

impl ClientOptions {
    /// The defaults: 10 s a call, 5 s to connect, a ping each 10 s to be answered within 5 s.
    #[must_use]
    pub fn new(server: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            token: token.into(),
            deadline: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(5),
        }
    }

    fn endpoint(&self) -> Result<Endpoint, ClientError> {
        let url = match self.server.split_once("://") {
            None => format!("http://{}", self.server),
            Some(("https", _)) => {
                return Err(ClientError::Tls { url: self.server.clone() });
            }
            Some(_) => self.server.clone(),
        };
        let endpoint =
            Endpoint::from_shared(url).map_err(|source| ClientError::Address { url: self.server.clone(), source })?;
        Ok(endpoint
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .keep_alive_while_idle(true))
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions").field("server", &self.server).finish_non_exhaustive()
    }
}

/// Puts the token on every call.
#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    fn new(token: &str) -> Result<Self, ClientError> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| ClientError::Token)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// One user's connection to a server: cheap to clone, reconnects by itself, safe to share between tasks.
#[derive(Clone)]
pub struct Client {
    stub: Stub,
    deadline: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects with the default options.
    ///
    /// # Errors
    /// When the address or the token is malformed, or nobody listens there.
    pub async fn connect(server: impl Into<String>, token: impl Into<String>) -> Result<Self, ClientError> {
        Self::connect_with(&ClientOptions::new(server, token)).await
    }

    /// Connects.
    ///
    /// # Errors
    /// When the address or the token is malformed, or nobody listens there.
    pub async fn connect_with(options: &ClientOptions) -> Result<Self, ClientError> {
        let connected = options.endpoint()?.connect().await;
        let channel = connected.map_err(|source| ClientError::Connect { url: options.server.clone(), source })?;
        Self::over(channel, options)
    }

    /// Connects with the first call; must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the address or the token is malformed.
    pub fn connect_lazy(options: &ClientOptions) -> Result<Self, ClientError> {
        Self::over(options.endpoint()?.connect_lazy(), options)
    }

    fn over(channel: Channel, options: &ClientOptions) -> Result<Self, ClientError> {
        let stub = ChatServiceClient::with_interceptor(channel, Bearer::new(&options.token)?)
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        Ok(Self { stub, deadline: options.deadline })
    }

    /// The same connection with another deadline for each call.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Longest time for one call.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(crate) fn stub(&self) -> Stub {
        self.stub.clone()
    }

    /// All rooms of the caller, hidden ones too, page by page; each once, although rooms move while one reads.
    ///
    /// # Errors
    /// Those of `GetRooms`.
    pub async fn all_rooms(&self) -> Result<Vec<pb::Room>, ClientError> {
        let mut rooms = Vec::new();
        let mut known = HashSet::new();
        let mut cursor = String::new();
        loop {
            let request = pb::GetRoomsRequest { limit: PAGE, cursor, include_hidden: true, ..Default::default() };
            let page = self.get_rooms(request).await?;
            rooms.extend(page.rooms.into_iter().filter(|room| known.insert(room.id.clone())));
            if page.next_cursor.is_empty() {
                return Ok(rooms);
            }
            cursor = page.next_cursor;
        }
    }

    /// Sends until the server has answered for good, for at most `patience`. The request must carry a client
    /// message id: that is what makes the repetition have one effect.
    ///
    /// # Errors
    /// The last error: one that is not transient, or whichever came when patience ran out.
    pub async fn send_until_acked(
        &self,
        request: pb::SendMessageRequest,
        patience: Duration,
    ) -> Result<pb::SendMessageResponse, ClientError> {
        if request.client_message_id.is_empty() {
            return Err(ClientError::Unexpected { what: "send_until_acked needs a client message id" });
        }
        let give_up = Instant::now() + patience;
        let mut backoff = Backoff::default();
        loop {
            let error = match self.send_message(request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wait = backoff.next_wait(error.retry_after());
            if !error.is_transient() || Instant::now() + wait > give_up {
                return Err(error);
            }
            sleep(wait).await;
        }
    }
}

/// One method for each call with one answer: request in, answer out, within the deadline.
macro_rules! unary {
    ($($name:ident($request:ident) -> $response:ident;)*) => {
        impl Client {
            $(
                #[doc = concat!("The call `", stringify!($request), "` belongs to; the contract documents it.")]
                ///
                /// # Errors
                /// The server's refusal, or `Deadline`.
                pub async fn $name(&self, request: pb::$request) -> Result<pb::$response, ClientError> {
                    let mut request = Request::new(request);
                    // Tells the server too how long an answer is of use.
                    request.set_timeout(self.deadline);
                    let mut stub = self.stub.clone();
                    match timeout(self.deadline, stub.$name(request)).await {
                        Ok(answer) => Ok(answer?.into_inner()),
                        Err(_) => Err(ClientError::Deadline { after: self.deadline }),
                    }
                }
            )*
        }
    };
}

unary! {
    create_room(CreateRoomRequest) -> CreateRoomResponse;
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
    send_message(SendMessageRequest) -> SendMessageResponse;
    get_message(GetMessageRequest) -> GetMessageResponse;
    get_message_history(GetMessageHistoryRequest) -> GetMessageHistoryResponse;
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
