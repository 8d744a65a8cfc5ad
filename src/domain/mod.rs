//! The rules of a chat, pure: no I/O, no clock, no async. What happens is decided here and nowhere else.

pub mod ids;
