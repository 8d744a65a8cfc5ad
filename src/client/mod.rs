//! A client over the public gRPC API, for our own programs: the terminal client, the importer, the checker, tests.
//!
//! Knows the contract (`tertulia_proto`) and the transport, and nothing of the server's inside: what a program can
//! do through here, any other client can do as well. It may use pure `domain` code.

mod backoff;
pub mod chat;
pub mod check;
mod commands;
mod cursors;
mod error;
pub mod irc;
mod live;
mod session;
#[cfg(test)]
mod session_tests;
mod throttle;
mod unary;
pub mod wire;

pub use backoff::Backoff;
pub use commands::{Command, LiveCommands, Reply};
pub use error::{ClientError, Refusal};
pub use live::{LiveItem, LiveMode, LiveOptions, LiveStats};
pub use session::LiveClient;
pub use unary::{Client, ClientOptions};
