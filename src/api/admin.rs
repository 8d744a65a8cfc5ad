//! `admin.v1.AdminService`: for operators and checkers, behind the admin role.

use tertulia_proto::admin::v1::{
    GetStatusRequest, GetStatusResponse, ListRoomActorsRequest, ListRoomActorsResponse, ListRoomsRequest,
    ListRoomsResponse, LogEntry, MemberPosition, ObserveRoomRequest, ObserveRoomResponse, ObserveUserRequest,
    ObserveUserResponse, PassivateRoomRequest, PassivateRoomResponse, ReadLogRequest, ReadLogResponse,
    ReadPositionsRequest, ReadPositionsResponse, RoomActor, StreamInfo, admin_service_server::AdminService,
};
use tertulia_proto::chat::v1::Room;
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status};

use super::{caller::Door, convert, status::ApiError};
use crate::{
    actors::{ops::StoredRoom, room::RoomObservation},
    domain::{ids::UserId, unread::Unread},
};

/// Rooms, events on a page when the caller does not say.
const PAGE_DEFAULT: usize = 100;
/// See above.
const PAGE_MAX: usize = 1_000;
/// Positions on a page when the caller does not say.
const POSITIONS_DEFAULT: usize = 1_000;
/// See above.
const POSITIONS_MAX: usize = 10_000;

/// The service.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    pub(super) door: Door,
    pub(super) started_at_ms: i64,
    pub(super) draining: CancellationToken,
}

impl Admin {
    fn enter(&self, extensions: &Extensions) -> Result<(), ApiError> {
        self.door.caller(extensions)?.must_be_admin()
    }
}

fn stored_room(room: &StoredRoom) -> Room {
    Room {
        last_seq: convert::number(room.head.seq.0),
        last_n: convert::number(room.head.n.0),
        participants_count: i32::try_from(room.head.members).unwrap_or(i32::MAX),
        last_activity_at: convert::time(room.head.activity_ms),
        ..convert::info(&room.info)
    }
}

fn actor(room: RoomObservation) -> RoomActor {
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    RoomActor {
        room_id: room.room,
        epoch: convert::number(room.epoch),
        last_seq: convert::number(room.last_seq),
        last_n: convert::number(room.last_n),
        queued: count(room.queued),
        in_flight: count(room.in_flight),
        listeners: count(room.listeners),
        members: count(room.members),
        warm_messages: count(room.warm_messages),
        published_seq: convert::number(room.published_seq),
        idle_ms: room.idle_ms,
    }
}

#[tonic::async_trait]
impl AdminService for Admin {
    async fn get_status(&self, request: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        self.enter(request.extensions())?;
        let status = self.door.node.status();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        Ok(Response::new(GetStatusResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: status.store.to_owned(),
            started_at: convert::time(self.started_at_ms),
            rooms_awake: count(status.rooms_awake),
            users_awake: count(status.users_awake),
            streams: count(status.streams),
            commands_in_flight: count(status.commands_in_flight),
            draining: self.draining.is_cancelled(),
        }))
    }

    async fn list_rooms(&self, request: Request<ListRoomsRequest>) -> Result<Response<ListRoomsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.enter(&extensions)?;
        let after = convert::optional_room_id(&request.after_room_id).map_err(ApiError::from)?;
        let limit = convert::limit(request.limit, PAGE_DEFAULT, PAGE_MAX).map_err(ApiError::from)?;
        let rooms = self.door.node.stored_rooms(after, limit + 1).await.map_err(ApiError::from)?;
        let has_more = rooms.len() > limit;
        Ok(Response::new(ListRoomsResponse { rooms: rooms.iter().take(limit).map(stored_room).collect(), has_more }))
    }

    async fn read_log(&self, request: Request<ReadLogRequest>) -> Result<Response<ReadLogResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.enter(&extensions)?;
        let room = convert::room_id(&request.room_id).map_err(ApiError::from)?;
        let after = convert::seq("after_seq", request.after_seq).map_err(ApiError::from)?;
        let limit = convert::limit(request.limit, PAGE_DEFAULT, PAGE_MAX).map_err(ApiError::from)?;
        let log = self.door.node.log(room, after, limit + 1).await.map_err(ApiError::from)?;
        let has_more = log.len() > limit;
        let entry = |(event, epoch): &(crate::domain::event::Event, crate::domain::ids::Epoch)| LogEntry {
            event: Some(convert::event(event)),
            epoch: convert::number(epoch.0),
            n: convert::number(event.n.0),
        };
        Ok(Response::new(ReadLogResponse { entries: log.iter().take(limit).map(entry).collect(), has_more }))
    }

    async fn read_positions(
        &self,
        request: Request<ReadPositionsRequest>,
    ) -> Result<Response<ReadPositionsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.enter(&extensions)?;
        let room = convert::room_id(&request.room_id).map_err(ApiError::from)?;
        let limit = convert::limit(request.limit, POSITIONS_DEFAULT, POSITIONS_MAX).map_err(ApiError::from)?;
        let after = UserId(request.after_user_id);
        let (positions, head, uncounted) =
            self.door.node.all_positions(room, after, limit + 1).await.map_err(ApiError::from)?;
        let has_more = positions.len() > limit;
        let position = |(user, position): &(UserId, crate::domain::position::Position)| MemberPosition {
            user_id: user.0,
            read_seq: convert::number(position.read_seq.0),
            delivered_seq: convert::number(position.delivered_seq.0),
            read_n: convert::number(position.read_n.0),
            own_last_n: convert::number(position.sent_n.0),
            floor_n: convert::number(position.floor_n.0),
            unread_count: convert::number(Unread::new(position.seen(), head.n, &uncounted, &[]).count()),
        };
        let positions = positions.iter().take(limit).map(position).collect();
        Ok(Response::new(ReadPositionsResponse { positions, has_more }))
    }

    async fn list_room_actors(
        &self,
        request: Request<ListRoomActorsRequest>,
    ) -> Result<Response<ListRoomActorsResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.enter(&extensions)?;
        let after = convert::optional_room_id(&request.after_room_id).map_err(ApiError::from)?;
        let limit = convert::limit(request.limit, PAGE_DEFAULT, PAGE_MAX).map_err(ApiError::from)?;
        let mut awake = self.door.node.rooms().all_awake();
        awake.retain(|room| after.is_none_or(|after| room.id() > after));
        awake.sort_unstable_by_key(crate::actors::room::RoomHandle::id);
        let has_more = awake.len() > limit;
        let mut rooms = Vec::with_capacity(awake.len().min(limit));
        for room in awake.into_iter().take(limit) {
            rooms.extend(room.observe().await.map(actor));
        }
        Ok(Response::new(ListRoomActorsResponse { rooms, has_more }))
    }

    async fn observe_room(
        &self,
        request: Request<ObserveRoomRequest>,
    ) -> Result<Response<ObserveRoomResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.enter(&extensions)?;
        let room = convert::room_id(&request.room_id).map_err(ApiError::from)?;
        let observed = match self.door.node.rooms().awake(room) {
            Some(handle) => handle.observe().await.map(actor),
            None => None,
        };
        Ok(Response::new(ObserveRoomResponse { room: observed }))
    }

    async fn observe_user(
        &self,
        request: Request<ObserveUserRequest>,
    ) -> Result<Response<ObserveUserResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.enter(&extensions)?;
        let user = convert::user_id("user_id", request.user_id).map_err(ApiError::from)?;
        let observed = self.door.node.users().observe(user).await;
        let awake = observed.is_some();
        let observed = observed.unwrap_or_default();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let streams = observed.streams.into_iter().map(|stream| StreamInfo {
            client_id: stream.client_id,
            queued_bytes: count(stream.queued_bytes),
            rooms_behind: count(stream.rooms_behind),
            delivered: convert::number(stream.delivered),
        });
        Ok(Response::new(ObserveUserResponse { awake, rooms: count(observed.rooms), streams: streams.collect() }))
    }

    async fn passivate_room(
        &self,
        request: Request<PassivateRoomRequest>,
    ) -> Result<Response<PassivateRoomResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        self.enter(&extensions)?;
        let room = convert::room_id(&request.room_id).map_err(ApiError::from)?;
        let passivated = self.door.node.rooms().passivate(room).await;
        Ok(Response::new(PassivateRoomResponse { passivated }))
    }
}
