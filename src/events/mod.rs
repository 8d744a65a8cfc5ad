//! The event bus: what a room tells the world outside the node's own streams.
//!
//! The bus is transport, not truth: a room publishes its log in order, at least once, under stable ids
//! ([`BusEvent::id`]); whatever the bus loses can be published again from the log.

use std::{fmt::Debug, sync::Arc};

use async_trait::async_trait;
use thiserror::Error;

use crate::domain::{event::Event, ids::Epoch};

mod in_process;

pub use in_process::{InProcessBus, Subscription};

/// An event on the bus.
#[derive(Clone, Debug)]
pub struct BusEvent {
    /// Epoch of the writer that published it.
    pub epoch: Epoch,
    /// What happened.
    pub event: Arc<Event>,
}

impl BusEvent {
    /// `room:seq`: the same however often the event is published.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}:{}", self.event.room, self.event.seq)
    }
}

/// Publishing failed; the events are to be published again.
#[derive(Debug, Error)]
#[error("the bus did not take the events")]
pub struct BusError {
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Where a node publishes.
#[async_trait]
pub trait EventBus: Debug + Send + Sync + 'static {
    /// Publishes events of one room, in seq order. When it returns, the bus is responsible for them.
    ///
    /// # Errors
    /// [`BusError`]: some or all may have been published.
    async fn publish(&self, events: &[BusEvent]) -> Result<(), BusError>;

    /// Whether anybody listens. When nobody can, a room need not build what it would publish.
    fn is_heard(&self) -> bool;
}
