//! Tertulia: an actor-based, stateful chat server that other products embed.

pub mod actors;
pub mod clock;
pub mod domain;
pub mod error;
pub mod events;
pub mod storage;
pub mod tasks;
