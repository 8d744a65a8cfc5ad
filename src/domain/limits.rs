//! The bounds of everything a caller may send. Bytes are bytes of UTF-8.

/// Longest message text.
pub const CONTENT_BYTES_MAX: usize = 65_536;
/// Longest room name, nickname, query.
pub const NAME_BYTES_MAX: usize = 255;
/// Longest room description.
pub const DESCRIPTION_BYTES_MAX: usize = 4_096;
/// Longest URL.
pub const URL_BYTES_MAX: usize = 2_048;
/// Longest client message id and client id.
pub const CLIENT_ID_BYTES_MAX: usize = 128;
/// Most mentions of a message.
pub const MENTIONS_MAX: usize = 100;
/// Most attachments of a message.
pub const ATTACHMENTS_MAX: usize = 20;
/// Most metadata entries of a message.
pub const METADATA_ENTRIES_MAX: usize = 32;
/// Longest metadata key.
pub const METADATA_KEY_BYTES_MAX: usize = 64;
/// Longest metadata value.
pub const METADATA_VALUE_BYTES_MAX: usize = 1_024;
/// Longest media type and file name of an attachment.
pub const ATTACHMENT_NAME_BYTES_MAX: usize = 255;
/// Longest name of another system.
pub const SOURCE_BYTES_MAX: usize = 64;
/// Longest chat and message id of another system.
pub const EXTERNAL_ID_BYTES_MAX: usize = 128;
/// Longest position of a synchronisation.
pub const SYNC_POSITION_BYTES_MAX: usize = 4_096;
/// Longest reaction.
pub const REACTION_BYTES_MAX: usize = 64;
/// Most different reactions of one message.
pub const REACTIONS_MAX: usize = 50;
/// Most edits of one message.
pub const EDITS_MAX: usize = 100;
/// Most pinned messages of a room.
pub const PINS_MAX: usize = 100;
/// Most members who left with DENY that a room remembers; beyond, the oldest are forgotten.
pub const DENIED_MAX: usize = 1_000;
/// Most users named in one call.
pub const USERS_PER_CALL_MAX: usize = 1_000;
/// Most devices of a user.
pub const DEVICES_MAX: usize = 32;
/// Longest push token.
pub const DEVICE_TOKEN_BYTES_MAX: usize = 4_096;
/// Most rooms a user may pin.
pub const PINNED_ROOMS_MAX: usize = 100;
/// Shortest search.
pub const SEARCH_BYTES_MIN: usize = 2;
/// Most users a stream may watch for presence.
pub const PRESENCE_MAX: usize = 1_000;
