//! Tertulia: an actor-based, stateful chat server that other products embed.

pub mod domain;
pub mod storage;
