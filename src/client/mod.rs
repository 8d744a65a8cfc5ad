//! Programs that talk to a running server over its public API: the IRC importer, the history checker.
//!
//! What is here sees a server as any client does. It may use the wire types, tonic, tokio and pure `domain` code, and
//! must not reach for storage, actors or anything else inside the server.

pub mod check;
pub mod irc;
pub mod wire;
