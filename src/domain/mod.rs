//! The rules of a chat, pure: no I/O, no clock, no async. What happens is decided here and nowhere else.

pub mod emoji;
pub mod event;
pub mod fold;
pub mod form;
pub mod ids;
pub mod invariants;
pub mod limits;
pub mod message;
pub mod page;
pub mod position;
pub mod privacy;
pub mod profile;
pub mod reject;
pub mod room;
pub mod room_list;
pub mod snowflake;
pub mod status;
pub mod unread;
pub mod view;
