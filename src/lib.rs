//! Tertulia.
