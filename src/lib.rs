//! Tertulia.

pub mod client;
