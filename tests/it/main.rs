//! The server as its users have it: a real one on a free port of the loopback, reached over the network.
//!
//! One binary for all of it. Every test starts its own server in its own directory ([`sandbox`]); none knows of the
//! server's insides.
#![allow(clippy::unwrap_used, reason = "a test says so by panicking")]

mod caller;
mod listener;
mod raw;
mod sandbox;
mod stalled;
mod store;
mod web;

mod admin;
mod answers;
mod bad_input;
mod bad_tokens;
mod by_the_page;
mod command_line;
mod crowd;
mod deadlines;
mod dialects;
mod door;
mod endings;
mod every_field;
mod expiry;
mod forms;
mod keys;
mod limits;
mod messages;
mod migrate;
mod numbers;
mod operators;
#[cfg(feature = "testkit")]
mod redis;
mod relational;
mod restart;
mod rooms;
mod secrets;
mod session;
mod speak;
mod streams;
mod surface;
mod tokens;
mod tour;
mod views;
