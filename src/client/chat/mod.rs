//! `tertulia chat`: a terminal client, written against the public API alone.
//!
//! `model` holds the state and decides, without I/O; `view` draws it; `run` connects both to the terminal and the
//! server. Nothing here may import the server's inside.

mod command;
mod composer;
#[cfg(test)]
mod fixture;
mod input;
mod keys;
mod layout;
mod live;
mod model;
#[cfg(test)]
mod model_tests;
mod outcome;
mod perform;
mod room;
mod run;
mod scroll;
mod submit;
mod terminal;
mod text;
mod time;
mod timeline;
mod view;
#[cfg(test)]
mod view_tests;

pub use run::{ChatError, ChatOptions, run};
