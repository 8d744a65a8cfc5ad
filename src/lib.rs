//! Tertulia.
pub mod api;
