//! Commands about rooms and their members.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use tertulia_proto::chat::v1 as pb;

use super::{Caller, ChatService, Reply, encoded};
use crate::{
    actors::{ops::NewRoom, user::ListFilter},
    api::{convert, status::ApiError},
    domain::{
        form,
        ids::{RoomId, UserId},
        reject::{Flaw, Reject},
        room::{InfoPatch, MemberPatch},
        room_list::{ListKey, ListPlace, Spot},
    },
};

/// Rooms on a page of GetRooms when the caller does not say.
const ROOMS_DEFAULT: usize = 50;
/// See above.
const ROOMS_MAX: usize = 200;
/// Members on a page when the caller does not say.
const MEMBERS_DEFAULT: usize = 100;
/// See above.
const MEMBERS_MAX: usize = 1_000;

impl ChatService {
    pub(super) async fn create_room(&self, caller: &Caller, request: pb::CreateRoomRequest) -> Reply {
        let room_type = convert::room_type_in(request.r#type)?.ok_or(Reject::invalid("type", Flaw::Missing))?;
        form::name("name", &request.name)?;
        form::description("description", &request.description)?;
        self.door.url_schemes.check("picture", &request.picture)?;
        let new = NewRoom {
            room_type,
            participants: request.participants.into_iter().map(UserId).collect(),
            name: request.name,
            description: request.description,
            picture: request.picture,
            join_all_users: request.join_all_users,
            members_can_send: request.members_can_send,
            history_visible: request.history_visible,
            client_room_id: request.client_room_id,
        };
        let plan = self.door.node.plan_room(caller.author, new).await?;
        self.count_adding(caller, plan.adds())?;
        let made = self.door.node.make_room(caller.author, plan).await?;
        encoded(&pb::CreateRoomResponse {
            room: Some(convert::room(&made.room)),
            created: made.created,
            not_added: made.not_added.into_iter().map(|user| user.0).collect(),
        })
    }

    /// Counts whom the caller adds to rooms; the admin role is free.
    fn count_adding(&self, caller: &Caller, count: usize) -> Result<(), ApiError> {
        if caller.author.admin { Ok(()) } else { self.door.limits.adding(caller.author.user, count) }
    }

    pub(super) async fn get_room(&self, caller: &Caller, request: pb::GetRoomRequest) -> Reply {
        let room = self.door.node.room(caller.author, convert::room_id(&request.room_id)?).await?;
        encoded(&pb::GetRoomResponse { room: Some(convert::room(&room)) })
    }

    pub(super) async fn get_rooms(&self, caller: &Caller, request: pb::GetRoomsRequest) -> Reply {
        let limit = convert::limit(request.limit, ROOMS_DEFAULT, ROOMS_MAX)?;
        let filter =
            ListFilter { room_type: convert::room_type_in(request.r#type)?, include_hidden: request.include_hidden };
        let after = list_place(&request.cursor)?;
        let page = self.door.node.list(caller.author, &filter, &request.query, after, limit).await?;
        encoded(&pb::GetRoomsResponse {
            rooms: page.rooms.iter().map(convert::room).collect(),
            next_cursor: page.next.map(list_cursor).unwrap_or_default(),
            total: convert::small(page.total),
            unread_total: convert::number(page.unread_total),
            unread_unmuted: convert::number(page.unread_unmuted),
        })
    }

    pub(super) async fn update_room(&self, caller: &Caller, request: pb::UpdateRoomRequest) -> Reply {
        let id = convert::room_id(&request.room_id)?;
        form::name("name", request.name.as_deref().unwrap_or_default())?;
        form::description("description", request.description.as_deref().unwrap_or_default())?;
        self.door.url_schemes.check("picture", request.picture.as_deref().unwrap_or_default())?;
        let patch = InfoPatch {
            name: request.name,
            description: request.description,
            picture: request.picture,
            members_can_send: request.members_can_send,
            history_visible: request.history_visible,
        };
        let room = self.door.node.update_room(caller.author, id, patch).await?;
        encoded(&pb::UpdateRoomResponse { room: Some(convert::room(&room)) })
    }

    pub(super) async fn delete_room(&self, caller: &Caller, request: pb::DeleteRoomRequest) -> Reply {
        self.door.node.delete_room(caller.author, convert::room_id(&request.room_id)?).await?;
        encoded(&pb::DeleteRoomResponse {})
    }

    pub(super) async fn get_room_participants(
        &self,
        caller: &Caller,
        request: pb::GetRoomParticipantsRequest,
    ) -> Reply {
        let id = convert::room_id(&request.room_id)?;
        let limit = convert::limit(request.limit, MEMBERS_DEFAULT, MEMBERS_MAX)?;
        let after = UserId(request.after_user_id);
        let found = self.door.node.participants(caller.author, id, after, limit, &request.query).await?;
        encoded(&pb::GetRoomParticipantsResponse {
            participants: found.people.iter().map(convert::person).collect(),
            has_more: found.next.is_some(),
            total: i32::try_from(found.members).unwrap_or(i32::MAX),
            next_after_user_id: found.next.unwrap_or_default().0,
        })
    }

    pub(super) async fn add_participants(&self, caller: &Caller, request: pb::AddParticipantsRequest) -> Reply {
        let id = convert::room_id(&request.room_id)?;
        let users = request.user_ids.into_iter().map(UserId).collect();
        let plan = self.door.node.plan_adding(caller.author, id, users).await?;
        self.count_adding(caller, plan.adds())?;
        let (added, not_added) = self.door.node.add_planned(caller.author, plan).await?;
        encoded(&pb::AddParticipantsResponse {
            added: added.into_iter().map(|user| user.0).collect(),
            not_added: not_added.into_iter().map(|user| user.0).collect(),
        })
    }

    pub(super) async fn remove_participants(&self, caller: &Caller, request: pb::RemoveParticipantsRequest) -> Reply {
        let id = convert::room_id(&request.room_id)?;
        let users = request.user_ids.into_iter().map(UserId).collect();
        let removed = self.door.node.remove_members(caller.author, id, users).await?;
        encoded(&pb::RemoveParticipantsResponse { removed: removed.into_iter().map(|user| user.0).collect() })
    }

    pub(super) async fn update_participant(&self, caller: &Caller, request: pb::UpdateParticipantRequest) -> Reply {
        let id = convert::room_id(&request.room_id)?;
        let user = match request.user_id {
            0 => caller.author.user,
            other => convert::user_id("user_id", other)?,
        };
        let can_send = match pb::SendRight::try_from(request.send_right) {
            Ok(pb::SendRight::Unspecified) => None,
            Ok(pb::SendRight::FollowRoom) => Some(None),
            Ok(pb::SendRight::Allow) => Some(Some(true)),
            Ok(pb::SendRight::Deny) => Some(Some(false)),
            Err(_) => return Err(Reject::invalid("send_right", Flaw::OutOfRange).into()),
        };
        form::name("nickname", request.nickname.as_deref().unwrap_or_default())?;
        let patch = MemberPatch { role: convert::role_in(request.role)?, can_send, nickname: request.nickname };
        let person = self.door.node.change_member(caller.author, id, user, patch).await?;
        encoded(&pb::UpdateParticipantResponse { participant: Some(convert::person(&person)) })
    }

    pub(super) async fn leave_room(&self, caller: &Caller, request: pb::LeaveRoomRequest) -> Reply {
        self.door.node.leave(caller.author, convert::room_id(&request.room_id)?).await?;
        encoded(&pb::LeaveRoomResponse {})
    }

    pub(super) async fn set_room_preferences(&self, caller: &Caller, request: pb::SetRoomPreferencesRequest) -> Reply {
        let id = convert::room_id(&request.room_id)?;
        let muted = match request.muted_until {
            Some(until) => Some(convert::millis("muted_until", Some(until))?),
            None => None,
        };
        let (prefs, hidden) =
            self.door.node.set_prefs(caller.author, id, request.pinned, muted, request.hidden).await?;
        encoded(&pb::SetRoomPreferencesResponse { preferences: Some(convert::prefs(prefs, hidden)) })
    }

    pub(super) async fn get_join_progress(&self, caller: &Caller, request: pb::GetJoinProgressRequest) -> Reply {
        let id = convert::room_id(&request.room_id)?;
        let progress = self.door.node.join_progress(caller.author, id).await?;
        encoded(&pb::GetJoinProgressResponse {
            processed: convert::number(progress.processed),
            total: convert::number(progress.total),
            done: progress.done,
            stopped_reason: progress.stopped.map(|why| why.reason().to_owned()).unwrap_or_default(),
        })
    }

    pub(super) async fn explain_unread(&self, caller: &Caller, request: pb::ExplainUnreadRequest) -> Reply {
        let id = convert::room_id(&request.room_id)?;
        let user = if request.user_id == 0 { caller.author.user } else { UserId(request.user_id) };
        let explained = self.door.node.explain_unread(caller.author, id, user).await?;
        let position = explained.position;
        encoded(&pb::ExplainUnreadResponse {
            unread_count: convert::number(explained.unread.count()),
            last_n: convert::number(explained.last_n.0),
            read_n: convert::number(position.read_n.0),
            own_last_n: convert::number(position.sent_n.0),
            floor_n: convert::number(position.floor_n.0),
            read_seq: convert::number(position.read_seq.0),
            uncounted: convert::number(explained.unread.uncounted),
            hidden: convert::number(explained.unread.hidden),
        })
    }

    pub(super) async fn set_sync_state(&self, caller: &Caller, request: pb::SetSyncStateRequest) -> Reply {
        let id = convert::room_id(&request.room_id)?;
        self.door.node.set_sync_state(caller.author, id, &request.source, &request.position).await?;
        encoded(&pb::SetSyncStateResponse {})
    }

    pub(super) async fn get_sync_state(&self, caller: &Caller, request: pb::GetSyncStateRequest) -> Reply {
        let id = convert::room_id(&request.room_id)?;
        let state = self.door.node.sync_state(caller.author, id, &request.source).await?;
        let source = request.source;
        let state = state.map(|state| pb::SyncState {
            source,
            position: state.position,
            updated_at: convert::time(state.updated_at_ms),
        });
        encoded(&pb::GetSyncStateResponse { state })
    }
}

/// First byte of a cursor: its form, and where it is. Those of former forms had 0 and 1.
const CURSOR_PINNED: u8 = 2;
const CURSOR_UNPINNED: u8 = 3;
const CURSOR_MOVED: u8 = 4;

/// A place in a room list as an opaque cursor.
fn list_cursor(place: ListPlace) -> String {
    let (kind, number, room) = match place.last {
        Spot::Still(key) => (if key.unpinned { CURSOR_UNPINNED } else { CURSOR_PINNED }, key.older, key.room),
        Spot::Moved(newest, room) => (CURSOR_MOVED, newest, room),
    };
    let mut bytes = vec![kind];
    bytes.extend(place.since.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend(room.0);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads [`list_cursor`]; none for an empty one.
pub(super) fn list_place(cursor: &str) -> Result<Option<ListPlace>, ApiError> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| ApiError::cursor())?;
    let (kind, rest) = bytes.split_first().ok_or_else(ApiError::cursor)?;
    let (since, rest) = rest.split_first_chunk().ok_or_else(ApiError::cursor)?;
    let (number, room) = rest.split_first_chunk().ok_or_else(ApiError::cursor)?;
    let room = RoomId(room.try_into().map_err(|_| ApiError::cursor())?);
    let (since, number) = (i64::from_be_bytes(*since), i64::from_be_bytes(*number));
    let last = match *kind {
        CURSOR_PINNED | CURSOR_UNPINNED => {
            Spot::Still(ListKey { unpinned: *kind == CURSOR_UNPINNED, older: number, room })
        }
        CURSOR_MOVED => Spot::Moved(number, room),
        _ => return Err(ApiError::cursor()),
    };
    Ok(Some(ListPlace { since, last }))
}
