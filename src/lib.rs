//! Tertulia.

pub mod client;
pub mod domain;
