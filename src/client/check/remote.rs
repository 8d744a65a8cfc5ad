//! The checker's calls, page by page, each tried again while the server is away.

use std::{future::Future, time::Duration};

use tertulia_proto::{
    admin::v1::{
        ListRoomsRequest, LogEntry, MemberPosition, ReadLogRequest, ReadPositionsRequest,
        admin_service_client::AdminServiceClient,
    },
    chat::v1::{
        ExplainUnreadRequest, ExplainUnreadResponse, GetMessageHistoryRequest, GetRoomRequest, Message, Room,
        chat_service_client::ChatServiceClient,
    },
};
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use super::CheckError;
use crate::client::{
    throttle::Throttle,
    wire::{self, ANSWER_BYTES_MAX, Retries, RetryPolicy},
};

const ROOMS_PAGE: i32 = 1000;
const LOG_PAGE: i32 = 1000;
const POSITIONS_PAGE: i32 = 10_000;
pub(super) const HISTORY_PAGE: i32 = 200;

pub(super) struct Remote {
    chat: ChatServiceClient<Channel>,
    admin: AdminServiceClient<Channel>,
    bearer: MetadataValue<Ascii>,
    policy: RetryPolicy,
    deadline: Duration,
    throttle: Throttle,
}

impl Remote {
    pub(super) fn new(channel: Channel, bearer: MetadataValue<Ascii>, policy: RetryPolicy, deadline: Duration) -> Self {
        let chat = ChatServiceClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let admin = AdminServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        Self { chat, admin, bearer, policy, deadline, throttle: Throttle::default() }
    }

    /// How many calls the server's rate limit has put off.
    pub(super) fn throttled(&self) -> u64 {
        self.throttle.calls()
    }

    /// Every room of the store.
    pub(super) async fn rooms(&self) -> Result<Vec<Room>, CheckError> {
        let mut rooms: Vec<Room> = Vec::new();
        loop {
            let after_room_id = rooms.last().map(|room| room.id.clone()).unwrap_or_default();
            let request = ListRoomsRequest { after_room_id, limit: ROOMS_PAGE };
            let call = |request| async { self.admin.clone().list_rooms(request).await };
            let page = self.call("ListRooms", request, call).await?;
            let more = page.has_more && !page.rooms.is_empty();
            rooms.extend(page.rooms);
            if !more {
                return Ok(rooms);
            }
        }
    }

    /// A page of the log, and whether there is more.
    pub(super) async fn log(&self, room_id: &str, after_seq: i64) -> Result<(Vec<LogEntry>, bool), CheckError> {
        let request = ReadLogRequest { room_id: room_id.to_owned(), after_seq, limit: LOG_PAGE };
        let call = |request| async { self.admin.clone().read_log(request).await };
        let page = self.call("ReadLog", request, call).await?;
        let more = page.has_more && !page.entries.is_empty();
        Ok((page.entries, more))
    }

    /// All members' positions.
    pub(super) async fn positions(&self, room_id: &str) -> Result<Vec<MemberPosition>, CheckError> {
        let mut positions: Vec<MemberPosition> = Vec::new();
        loop {
            let after_user_id = positions.last().map_or(0, |position| position.user_id);
            let request = ReadPositionsRequest { room_id: room_id.to_owned(), after_user_id, limit: POSITIONS_PAGE };
            let call = |request| async { self.admin.clone().read_positions(request).await };
            let page = self.call("ReadPositions", request, call).await?;
            let more = page.has_more && !page.positions.is_empty();
            positions.extend(page.positions);
            if !more {
                return Ok(positions);
            }
        }
    }

    /// Where a user's unread number comes from; `user_id` 0 for the admin's own.
    pub(super) async fn unread(&self, room_id: &str, user_id: i64) -> Result<ExplainUnreadResponse, CheckError> {
        let request = ExplainUnreadRequest { room_id: room_id.to_owned(), user_id };
        let call = |request| async { self.chat.clone().explain_unread(request).await };
        self.call("ExplainUnread", request, call).await
    }

    /// The room as the admin sees it; none if the admin is no member.
    pub(super) async fn own_view(&self, room_id: &str) -> Result<Option<Room>, CheckError> {
        let request = GetRoomRequest { room_id: room_id.to_owned() };
        let call = |request| async { self.chat.clone().get_room(request).await };
        match self.call("GetRoom", request, call).await {
            Ok(answer) => Ok(answer.room),
            Err(CheckError::Call { status, .. })
                if matches!(status.code(), Code::NotFound | Code::PermissionDenied) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The page of history before a seq (0: the newest), oldest first, and the seq before which there are older ones.
    pub(super) async fn history(
        &self,
        room_id: &str,
        before_seq: i64,
    ) -> Result<(Vec<Message>, Option<i64>), CheckError> {
        let request = GetMessageHistoryRequest {
            room_id: room_id.to_owned(),
            before_seq,
            limit: HISTORY_PAGE,
            ..GetMessageHistoryRequest::default()
        };
        let call = |request| async { self.chat.clone().get_message_history(request).await };
        let page = self.call("GetMessageHistory", request, call).await?;
        Ok((page.messages, page.has_more_before.then_some(page.next_before_seq)))
    }

    async fn call<Q: Clone, A, F>(
        &self,
        name: &'static str,
        message: Q,
        call: impl Fn(Request<Q>) -> F,
    ) -> Result<A, CheckError>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut retries = Retries::new(self.policy);
        loop {
            let status = match call(wire::request(message.clone(), &self.bearer, self.deadline)).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => status,
            };
            self.throttle.note(&status);
            let paused = retries.pause(status).await;
            paused.map_err(|status| CheckError::Call { call: name, status: Box::new(status) })?;
        }
    }
}
