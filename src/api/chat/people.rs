//! Commands about users.

use tertulia_proto::chat::v1 as pb;

use super::{Caller, ChatService, Reply, encoded};
use crate::{
    api::convert,
    domain::{
        ids::UserId,
        limits,
        reject::{Flaw, Reject, count},
    },
};

impl ChatService {
    pub(super) async fn block_user(&self, caller: &Caller, request: pb::BlockUserRequest) -> Reply {
        self.door.node.block(caller.author, convert::user_id("user_id", request.user_id)?, true).await?;
        encoded(&pb::BlockUserResponse {})
    }

    pub(super) async fn unblock_user(&self, caller: &Caller, request: pb::UnblockUserRequest) -> Reply {
        self.door.node.block(caller.author, convert::user_id("user_id", request.user_id)?, false).await?;
        encoded(&pb::UnblockUserResponse {})
    }

    pub(super) async fn get_blocked_users(&self, caller: &Caller, _: pb::GetBlockedUsersRequest) -> Reply {
        let users = self.door.node.blocked_users(caller.author).await?.into_iter();
        let users = users.map(|(id, profile)| pb::User { id: id.0, name: profile.name, picture: profile.picture });
        encoded(&pb::GetBlockedUsersResponse { users: users.collect() })
    }

    pub(super) async fn set_typing(&self, caller: &Caller, request: pb::SetTypingRequest) -> Reply {
        self.door.node.typing(caller.author, convert::room_id(&request.room_id)?, request.typing).await?;
        encoded(&pb::SetTypingResponse {})
    }

    pub(super) async fn get_presence(&self, _: &Caller, request: pb::GetPresenceRequest) -> Reply {
        if request.user_ids.is_empty() {
            return Err(Reject::invalid("user_ids", Flaw::Missing).into());
        }
        count("user_ids", request.user_ids.len(), limits::PRESENCE_MAX)?;
        let users: Vec<UserId> = request.user_ids.into_iter().map(UserId).collect();
        let presences = self.door.node.presence(&users).await.into_iter().map(|(user, online, last_seen)| {
            pb::Presence { user_id: user.0, online, last_seen_at: last_seen.and_then(convert::time) }
        });
        encoded(&pb::GetPresenceResponse { presences: presences.collect() })
    }
}
