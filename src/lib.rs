//! Tertulia: an actor-based, stateful chat server that other products embed.

pub mod actors;
pub mod api;
pub mod circuit;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod ephemera;
pub mod error;
pub mod events;
pub mod line_pace;
pub mod redis_link;
pub mod relational;
pub mod secret_file;
pub mod server;
pub mod storage;
pub mod tasks;
pub mod telemetry;
