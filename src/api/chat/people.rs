//! Commands about users.

use tertulia_proto::chat::v1 as pb;

use super::{Caller, ChatService, Reply, encoded};
use crate::{
    api::convert,
    domain::{
        ids::UserId,
        limits,
        privacy::WhoMayAdd,
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

    pub(super) async fn get_privacy(&self, caller: &Caller, _: pb::GetPrivacyRequest) -> Reply {
        let who = self.door.node.privacy(caller.author).await?;
        encoded(&pb::GetPrivacyResponse { who_may_add: who_may_add(who) as i32 })
    }

    pub(super) async fn set_privacy(&self, caller: &Caller, request: pb::SetPrivacyRequest) -> Reply {
        let who = match pb::WhoMayAdd::try_from(request.who_may_add) {
            Ok(pb::WhoMayAdd::Unspecified) => return Err(Reject::invalid("who_may_add", Flaw::Missing).into()),
            Ok(pb::WhoMayAdd::Everyone) => WhoMayAdd::Everyone,
            Ok(pb::WhoMayAdd::SharingARoom) => WhoMayAdd::SharingARoom,
            Ok(pb::WhoMayAdd::Nobody) => WhoMayAdd::Nobody,
            Err(_) => return Err(Reject::invalid("who_may_add", Flaw::OutOfRange).into()),
        };
        self.door.node.set_privacy(caller.author, who).await?;
        encoded(&pb::SetPrivacyResponse { who_may_add: who_may_add(who) as i32 })
    }

    pub(super) async fn set_typing(&self, caller: &Caller, request: pb::SetTypingRequest) -> Reply {
        self.door.node.typing(caller.author, convert::room_id(&request.room_id)?, request.typing).await?;
        encoded(&pb::SetTypingResponse {})
    }

    pub(super) async fn get_presence(&self, caller: &Caller, request: pb::GetPresenceRequest) -> Reply {
        if request.user_ids.is_empty() {
            return Err(Reject::invalid("user_ids", Flaw::Missing).into());
        }
        count("user_ids", request.user_ids.len(), limits::PRESENCE_MAX)?;
        let users: Vec<UserId> = request.user_ids.into_iter().map(UserId).collect();
        let presences =
            self.door.node.presence_for(caller.author, &users).await?.into_iter().map(|(user, online, last_seen)| {
                pb::Presence { user_id: user.0, online, last_seen_at: last_seen.and_then(convert::time) }
            });
        encoded(&pb::GetPresenceResponse { presences: presences.collect() })
    }
}

const fn who_may_add(who: WhoMayAdd) -> pb::WhoMayAdd {
    match who {
        WhoMayAdd::Everyone => pb::WhoMayAdd::Everyone,
        WhoMayAdd::SharingARoom => pb::WhoMayAdd::SharingARoom,
        WhoMayAdd::Nobody => pb::WhoMayAdd::Nobody,
    }
}
