//! A gRPC client over plain HTTP/2, made for measuring: one thread, no allocation per message, no copy.
//!
//! The generator shares the machine with the server it measures, and a thousand general-purpose clients would cost
//! more than the server. This one hands the bytes of each message to a [`Sink`] where they lie in the read buffer,
//! and coalesces what is sent. It does what a correct peer must (windows, pings, settings) and nothing else: no TLS,
//! no compression, no pushes.

mod conn;
mod frame;
mod hpack;
mod stream;

pub(crate) use conn::Conn;
pub(crate) use stream::{Call, End, Sink};
