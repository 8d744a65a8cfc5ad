//! What a user sets: changed in each life of a server, and in effect in that life and in the next.

use tertulia::client::Client;
use tertulia_proto::{
    chat::v1::{
        BlockUserRequest, GetBlockedUsersRequest, GetPrivacyRequest, GetRoomRequest, GetSyncStateRequest,
        RoomPreferences, SetPrivacyRequest, SetRoomPreferencesRequest, SetSyncStateRequest, UnblockUserRequest,
        WhoMayAdd,
    },
    tokens::v1::{DeviceToken, GetTokensRequest, Platform, RegisterTokenRequest, RemoveTokenRequest},
};

use super::{data::TestRoom, server::Address};

/// Whom they block and let speak again.
const STRANGER: i64 = 7_900_001;
/// 2100-01-01, seconds since 1970.
const FAR_AWAY_S: i64 = 4_102_444_800;
const SOURCE: &str = "elsewhere";

/// A user's settings. Each number stands for values that differ in everything from those of the one before it.
pub(crate) struct Settings {
    user: i64,
    room: String,
}

/// What is in effect.
#[derive(PartialEq, Eq, Debug)]
struct Seen {
    pinned: bool,
    muted_until_s: Option<i64>,
    blocked: Vec<i64>,
    who_may_add: i32,
    tokens: Vec<String>,
    position: String,
}

impl Seen {
    fn of(number: i64) -> Self {
        let is_odd = number % 2 == 1;
        Self {
            pinned: is_odd,
            muted_until_s: is_odd.then_some(FAR_AWAY_S + number),
            blocked: if is_odd { vec![STRANGER] } else { Vec::new() },
            who_may_add: (if is_odd { WhoMayAdd::Nobody } else { WhoMayAdd::Everyone }).into(),
            tokens: if is_odd { vec![format!("token {number}")] } else { Vec::new() },
            position: format!("position {number}"),
        }
    }
}

fn seconds(seconds: i64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds, nanos: 0 }
}

impl Settings {
    /// Of somebody in the room.
    pub(crate) fn of(room: &TestRoom) -> Self {
        Self { user: room.crowd[3], room: room.id.clone() }
    }

    fn client(&self, at: &Address) -> Client {
        at.client(self.user, false)
    }

    /// Sets everything.
    pub(crate) async fn set(&self, at: &Address, number: i64) {
        let (client, wanted) = (self.client(at), Seen::of(number));
        let preferences = SetRoomPreferencesRequest {
            room_id: self.room.clone(),
            pinned: Some(wanted.pinned),
            // A time that has passed unmutes.
            muted_until: Some(seconds(wanted.muted_until_s.unwrap_or(1))),
            hidden: None,
        };
        client.set_room_preferences(preferences).await.unwrap();
        if wanted.blocked.is_empty() {
            client.unblock_user(UnblockUserRequest { user_id: STRANGER }).await.unwrap();
        } else {
            client.block_user(BlockUserRequest { user_id: STRANGER }).await.unwrap();
        }
        client.set_privacy(SetPrivacyRequest { who_may_add: wanted.who_may_add }).await.unwrap();
        let mut devices = at.devices(self.user);
        match wanted.tokens.first() {
            Some(token) => {
                let token = DeviceToken {
                    token: token.clone(),
                    platform: Platform::Ios.into(),
                    client_id: "phone".to_owned(),
                    registered_at: None,
                };
                devices.register_token(RegisterTokenRequest { token: Some(token) }).await.unwrap();
            }
            None => {
                devices.remove_token(RemoveTokenRequest { client_id: "phone".to_owned() }).await.unwrap();
            }
        }
        let (source, position) = (SOURCE.to_owned(), wanted.position);
        let state = SetSyncStateRequest { room_id: self.room.clone(), source, position };
        at.operator().set_sync_state(state).await.unwrap();
    }

    /// Sees to it that what was set last is what holds.
    pub(crate) async fn assert_in_effect(&self, at: &Address, number: i64) {
        assert_eq!(self.seen(at).await, Seen::of(number), "settings {number} of user {}", self.user);
    }

    async fn seen(&self, at: &Address) -> Seen {
        let client = self.client(at);
        let room = client.get_room(GetRoomRequest { room_id: self.room.clone() }).await.unwrap().room.unwrap();
        let RoomPreferences { pinned, muted_until, .. } = room.preferences.unwrap();
        let blocked = client.get_blocked_users(GetBlockedUsersRequest {}).await.unwrap().users;
        let privacy = client.get_privacy(GetPrivacyRequest {}).await.unwrap();
        let tokens = at.devices(self.user).get_tokens(GetTokensRequest {}).await.unwrap().into_inner().tokens;
        let state = GetSyncStateRequest { room_id: self.room.clone(), source: SOURCE.to_owned() };
        let state = at.operator().get_sync_state(state).await.unwrap().state.unwrap();
        Seen {
            pinned,
            muted_until_s: muted_until.map(|until| until.seconds),
            blocked: blocked.into_iter().map(|user| user.id).collect(),
            who_may_add: privacy.who_may_add,
            tokens: tokens.into_iter().map(|token| token.token).collect(),
            position: state.position,
        }
    }
}
