//! The stored forms: one message type for each body. Tags are never reused.

use std::collections::BTreeMap;

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Draft {
    #[prost(string, tag = "1")]
    pub(super) content: String,
    #[prost(bool, tag = "2")]
    pub(super) encrypted: bool,
    #[prost(int64, tag = "3")]
    pub(super) reply_to: i64,
    #[prost(int64, repeated, tag = "4")]
    pub(super) mentions: Vec<i64>,
    #[prost(message, optional, tag = "5")]
    pub(super) forwarded: Option<Forwarded>,
    #[prost(message, repeated, tag = "6")]
    pub(super) attachments: Vec<Attachment>,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(super) metadata: BTreeMap<String, String>,
    #[prost(uint32, tag = "8")]
    pub(super) message_type: u32,
    #[prost(int64, tag = "9")]
    pub(super) original_at_ms: i64,
    #[prost(string, tag = "10")]
    pub(super) sender_name: String,
    #[prost(string, repeated, tag = "11")]
    pub(super) external: Vec<String>,
    #[prost(bool, tag = "12")]
    pub(super) deleted: bool,
    /// Of a log row alone: the hash of what was sent. Older programs kept it beside the body.
    #[prost(bytes = "vec", tag = "13")]
    pub(super) hash: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Forwarded {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) room: Vec<u8>,
    #[prost(int64, tag = "2")]
    pub(super) message: i64,
    #[prost(int64, tag = "3")]
    pub(super) sender: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Attachment {
    #[prost(string, tag = "1")]
    pub(super) url: String,
    #[prost(string, tag = "2")]
    pub(super) mime: String,
    #[prost(int64, tag = "3")]
    pub(super) size: i64,
    #[prost(string, tag = "4")]
    pub(super) name: String,
    #[prost(int32, tag = "5")]
    pub(super) width: i32,
    #[prost(int32, tag = "6")]
    pub(super) height: i32,
}

/// A message in a state other than the one it was sent in; complete.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct State {
    #[prost(int64, tag = "1")]
    pub(super) id: i64,
    #[prost(uint64, tag = "2")]
    pub(super) seq: u64,
    #[prost(uint64, tag = "3")]
    pub(super) n: u64,
    #[prost(int64, tag = "4")]
    pub(super) sender: i64,
    #[prost(int64, tag = "5")]
    pub(super) at_ms: i64,
    #[prost(string, tag = "6")]
    pub(super) client_id: String,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) hash: Vec<u8>,
    #[prost(message, optional, tag = "8")]
    pub(super) draft: Option<Draft>,
    #[prost(int64, tag = "9")]
    pub(super) edited_at_ms: i64,
    #[prost(uint64, repeated, tag = "10")]
    pub(super) edits: Vec<u64>,
    #[prost(message, repeated, tag = "11")]
    pub(super) reactions: Vec<Reaction>,
    #[prost(bool, tag = "12")]
    pub(super) pinned: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Reaction {
    #[prost(string, tag = "1")]
    pub(super) reaction: String,
    #[prost(uint32, tag = "2")]
    pub(super) count: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Info {
    #[prost(uint32, tag = "1")]
    pub(super) room_type: u32,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) description: String,
    #[prost(string, tag = "4")]
    pub(super) picture: String,
    #[prost(int64, tag = "5")]
    pub(super) created_at_ms: i64,
    #[prost(int64, tag = "6")]
    pub(super) creator: i64,
    #[prost(bool, tag = "7")]
    pub(super) members_can_send: bool,
    #[prost(bool, tag = "8")]
    pub(super) join_all_users: bool,
    #[prost(bool, tag = "9")]
    pub(super) history_visible: bool,
    #[prost(string, tag = "10")]
    pub(super) encryption_data: String,
    #[prost(bool, tag = "11")]
    pub(super) deleted: bool,
    /// Of a room's row alone: runs of messages that count as unread for nobody. For each, how far it begins after the
    /// one before, and how far its end is from its beginning.
    #[prost(uint64, repeated, tag = "12")]
    pub(super) uncounted: Vec<u64>,
    #[prost(int64, repeated, tag = "14")]
    pub(super) denied: Vec<i64>,
    #[prost(bytes = "vec", tag = "15")]
    pub(super) creation: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Member {
    #[prost(uint32, tag = "1")]
    pub(super) role: u32,
    #[prost(bool, optional, tag = "2")]
    pub(super) can_send: Option<bool>,
    #[prost(string, tag = "3")]
    pub(super) nickname: String,
    #[prost(int64, tag = "4")]
    pub(super) joined_at_ms: i64,
    #[prost(uint64, tag = "5")]
    pub(super) joined_seq: u64,
    #[prost(uint64, optional, tag = "6")]
    pub(super) floor_seq: Option<u64>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Happened {
    #[prost(message, optional, tag = "1")]
    pub(super) info: Option<Info>,
    #[prost(message, repeated, tag = "2")]
    pub(super) members: Vec<UserRole>,
    #[prost(int64, repeated, tag = "3")]
    pub(super) users: Vec<i64>,
    #[prost(bool, tag = "4")]
    pub(super) flag: bool,
    #[prost(int64, tag = "5")]
    pub(super) user: i64,
    #[prost(message, optional, tag = "6")]
    pub(super) member: Option<Member>,
    #[prost(int64, tag = "7")]
    pub(super) target_id: i64,
    #[prost(uint64, tag = "8")]
    pub(super) target_seq: u64,
    #[prost(string, tag = "9")]
    pub(super) reaction: String,
    #[prost(message, optional, tag = "10")]
    pub(super) message: Option<State>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct UserRole {
    #[prost(int64, tag = "1")]
    pub(super) user: i64,
    #[prost(uint32, tag = "2")]
    pub(super) role: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Profile {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) picture: String,
    /// When the token was issued that said the name, and when it expires.
    #[prost(int64, tag = "3")]
    pub(super) name_issued_at_ms: i64,
    #[prost(int64, tag = "4")]
    pub(super) name_expires_at_ms: i64,
    /// The same of the picture.
    #[prost(int64, tag = "5")]
    pub(super) picture_issued_at_ms: i64,
    #[prost(int64, tag = "6")]
    pub(super) picture_expires_at_ms: i64,
    #[prost(uint32, tag = "8")]
    pub(super) who_may_add: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Device {
    #[prost(string, tag = "1")]
    pub(super) token: String,
    #[prost(uint32, tag = "2")]
    pub(super) platform: u32,
    #[prost(int64, tag = "3")]
    pub(super) registered_at_ms: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Sync {
    #[prost(string, tag = "1")]
    pub(super) position: String,
    #[prost(int64, tag = "2")]
    pub(super) updated_at_ms: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct JoinJob {
    #[prost(int64, tag = "1")]
    pub(super) after_user: i64,
    #[prost(uint64, tag = "2")]
    pub(super) processed: u64,
    #[prost(bool, tag = "3")]
    pub(super) done: bool,
    #[prost(uint32, tag = "4")]
    pub(super) stop: u32,
}
