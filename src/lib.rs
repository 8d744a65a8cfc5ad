//! Tertulia.
#![forbid(unsafe_code)]

pub mod api;
pub mod config;
pub mod secret_file;
