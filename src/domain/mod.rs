//! The rules of a chat as values and functions: no I/O, no clock, no async.

pub mod invariants;
