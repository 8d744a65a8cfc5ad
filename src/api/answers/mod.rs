//! What has been made for clients and waits for them to take it: how much that may be, and for how long.
//!
//! Bytes are reserved before an answer is made (`budget`), by what such an answer may come to; they are corrected when
//! its size is known, and given back when the protocol has let go of the last of it. On its way out an answer is cut into
//! `pieces`, so that no more of it is in the protocol's hands than that can send, and what is taken is seen. A stream
//! of which the client takes nothing for too long is dropped (`watch`), which resets it; one whose short answer is wholly
//! in the protocol's hands can only go with its connection. Sockets are watched in `super::socket`.
//!
//! The module knows nothing of what is answered. Streams of events are not in the budget: each holds a chunk and what its
//! own queue may hold, and there are as many as a user may have. What is answered without a token has a small budget on
//! each connection, so that nobody's health check waits for somebody else's.

mod budget;
mod layer;
mod pieces;
mod serve;
mod watch;

use std::{sync::Arc, time::Duration};

pub(super) use self::{
    budget::{Answers, BoundElsewhere, ConnectionUse, Held},
    layer::ReserveLayer,
    serve::Watched,
};
pub use budget::AnswerLimits;

/// How answers go out.
#[derive(Clone, Copy, Debug)]
pub struct AnswerOptions {
    /// Bytes that may wait.
    pub limits: AnswerLimits,
    /// How long a client may take nothing.
    pub write_timeout: Duration,
}

impl AnswerOptions {
    pub(super) fn answers(&self) -> Arc<Answers> {
        Arc::new(Answers::new(self.limits))
    }
}
