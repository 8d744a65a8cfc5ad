//! The outside faces of the server.
pub mod connect;
pub mod grpc_rules;
