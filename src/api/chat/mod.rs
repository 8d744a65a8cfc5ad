//! `chat.v1.ChatService`: one table of commands, reached by single calls and through sessions alike.
//!
//! The service is routed by hand rather than by the generated trait, for two reasons: a session carries the same
//! commands, and answers that hold messages are put together from bytes that exist already (see [`super::wire`]).

mod expiring;
mod kinds;
mod messages;
mod people;
mod rooms;
mod session;
mod stream;

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use prost::Message;
use tertulia_proto::chat::v1::{self as pb, session_request::Command};
use tonic::{Code, Status, body::Body, server::NamedService};
use tonic_prost::ProstCodec;

use super::{
    answers::ConnectionUse,
    caller::{Caller, Door},
    deadline::Begun,
    raw::{RawCodec, RawReply},
    status::ApiError,
};

/// An encoded answer.
type Reply = Result<Bytes, ApiError>;

fn encoded(message: &impl Message) -> Reply {
    Ok(message.encode_to_vec().into())
}

/// The service.
#[derive(Clone, Debug)]
pub(super) struct ChatService {
    pub(super) door: Door,
    pub(super) message_bytes_max: usize,
}

impl NamedService for ChatService {
    const NAME: &'static str = "chat.v1.ChatService";
}

/// What every command has: its name in the service, the variant and tag that carry it in a session, its handler.
macro_rules! commands {
    ($($method:literal $variant:ident $tag:literal $handler:ident;)*) => {
        impl ChatService {
            async fn call(self, method: &str, request: http::Request<Body>) -> http::Response<axum::body::Body> {
                match method {
                    // Boxed one by one: otherwise each call would have the size of the largest.
                    $($method => Box::pin(self.unary($method, request, |chat, caller, request| async move {
                        chat.$handler(&caller, request).await
                    })).await,)*
                    "StreamMessages" => self.stream_messages(request).await,
                    "Session" => self.session(request),
                    _ => Status::unimplemented("no such method").into_http(),
                }
            }

            /// The method that a session's command is.
            const fn method_of(command: &Command) -> &'static str {
                match command {
                    $(Command::$variant(_) => $method,)*
                    Command::Open(_) => "Open",
                }
            }

            /// Bytes of a session's command.
            fn bytes_of(command: &Command) -> usize {
                match command {
                    $(Command::$variant(request) => request.encoded_len(),)*
                    Command::Open(_) => 0,
                }
            }

            /// Does a session's command; returns the tag of its answer and the answer.
            async fn command(&self, caller: &Caller, command: Command) -> (u32, Reply) {
                match command {
                    $(Command::$variant(request) => ($tag, self.$handler(caller, request).await),)*
                    Command::Open(_) => (0, Err(ApiError::new(Code::FailedPrecondition, "unknown_command", "the session is open"))),
                }
            }
        }
    };
}

commands! {
    "CreateRoom" CreateRoom 10 create_room;
    "GetRoom" GetRoom 11 get_room;
    "GetRooms" GetRooms 12 get_rooms;
    "UpdateRoom" UpdateRoom 13 update_room;
    "DeleteRoom" DeleteRoom 14 delete_room;
    "GetRoomParticipants" GetRoomParticipants 15 get_room_participants;
    "AddParticipants" AddParticipants 16 add_participants;
    "RemoveParticipants" RemoveParticipants 17 remove_participants;
    "UpdateParticipant" UpdateParticipant 18 update_participant;
    "LeaveRoom" LeaveRoom 19 leave_room;
    "SetRoomPreferences" SetRoomPreferences 20 set_room_preferences;
    "BlockUser" BlockUser 21 block_user;
    "UnblockUser" UnblockUser 22 unblock_user;
    "GetBlockedUsers" GetBlockedUsers 23 get_blocked_users;
    "GetJoinProgress" GetJoinProgress 24 get_join_progress;
    "GetPrivacy" GetPrivacy 25 get_privacy;
    "SetPrivacy" SetPrivacy 26 set_privacy;
    "SendMessage" SendMessage 30 send_message;
    "GetMessage" GetMessage 31 get_message;
    "GetMessageHistory" GetMessageHistory 32 get_message_history;
    "EditMessage" EditMessage 33 edit_message;
    "DeleteMessage" DeleteMessage 34 delete_message;
    "ReactToMessage" ReactToMessage 35 react_to_message;
    "MarkMessagesAsRead" MarkMessagesAsRead 36 mark_messages_as_read;
    "MarkMessagesAsDelivered" MarkMessagesAsDelivered 37 mark_messages_as_delivered;
    "SearchMessages" SearchMessages 38 search_messages;
    "PinMessage" PinMessage 39 pin_message;
    "UnpinMessage" UnpinMessage 40 unpin_message;
    "GetPinnedMessages" GetPinnedMessages 41 get_pinned_messages;
    "GetMessageReceipts" GetMessageReceipts 42 get_message_receipts;
    "SetTyping" SetTyping 43 set_typing;
    "GetPresence" GetPresence 44 get_presence;
    "ExplainUnread" ExplainUnread 45 explain_unread;
    "SetSyncState" SetSyncState 46 set_sync_state;
    "GetSyncState" GetSyncState 47 get_sync_state;
}

impl ChatService {
    /// Serves one call with one request and one answer.
    async fn unary<Req, F, R>(
        self,
        method: &'static str,
        mut request: http::Request<Body>,
        handle: F,
    ) -> http::Response<axum::body::Body>
    where
        Req: Message + Default + Send + 'static,
        F: Fn(Self, Caller, Req) -> R + Clone + Send + 'static,
        R: Future<Output = Reply> + Send + 'static,
    {
        let max = self.message_bytes_max;
        let connection = request.extensions().get::<ConnectionUse>().cloned().unwrap_or_default();
        let begun = Begun::of(request.extensions_mut());
        let mut grpc =
            tonic::server::Grpc::new(RawCodec::<Req>::default()).apply_max_message_size_config(Some(max), None);
        let serve = tower::service_fn(move |request: tonic::Request<Req>| {
            let (chat, handle) = (self.clone(), handle.clone());
            let (connection, begun) = (connection.clone(), begun.clone());
            async move {
                let (_, extensions, request) = request.into_parts();
                let caller = Caller::of(&extensions)?;
                let held = chat.reserve(&connection, &caller, method, request.encoded_len()).await?;
                chat.door.still_holds(&caller)?;
                begun.begin();
                let answer = kinds::settled(method, &held, handle(chat, caller, request).await)?;
                let mut response = tonic::Response::new(RawReply(answer));
                response.extensions_mut().insert(Arc::new(held));
                Ok::<_, Status>(response)
            }
        });
        grpc.unary(serve, request).await.map(axum::body::Body::new)
    }
}

/// A codec for the requests of a stream.
pub(super) type RequestCodec<Req> = ProstCodec<pb::Event, Req>;

impl tower::Service<http::Request<Body>> for ChatService {
    type Response = http::Response<axum::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let chat = self.clone();
        // Until a command begins, nothing has happened.
        Begun::of(request.extensions_mut()).wait();
        Box::pin(async move {
            let path = request.uri().path().to_owned();
            let method = path.rsplit('/').next().unwrap_or_default();
            Ok(chat.call(method, request).await)
        })
    }
}
