//! Tertulia.

pub mod crypto;
