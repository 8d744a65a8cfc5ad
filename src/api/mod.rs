//! The outside faces of the server.
pub mod connect;
