//! The outside face of the server: what clients call, and who they are.

mod adding;
mod admin;
pub mod answers;
pub mod auth;
mod caller;
mod chat;
pub mod connect;
mod connection;
mod convert;
mod deadline;
mod gate;
mod grpc_health;
pub mod grpc_rules;
pub mod grpc_web;
mod guests;
mod health;
mod intake;
pub mod limits;
mod listener;
mod networks;
mod raw;
mod refusals;
pub mod serve;
mod socket;
pub mod status;
mod tokens;
mod wire;
