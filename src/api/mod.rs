//! The outside face of the server: what clients call, and who they are.

pub mod auth;
