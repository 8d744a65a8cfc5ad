//! What a node is put together from, by whoever starts one.

use std::sync::Arc;

use crate::{
    actors::{Observer, Options, RoomKeys},
    clock::SharedClock,
    domain::snowflake::Snowflakes,
    ephemera::Ephemera,
    events::EventBus,
    storage::Store,
};

/// What a node is made of.
#[derive(Debug)]
pub struct Parts {
    /// Where it keeps everything.
    pub store: Arc<dyn Store>,
    /// Where it publishes.
    pub bus: Arc<dyn EventBus>,
    /// What it tells other nodes, and may forget.
    pub ephemera: Arc<dyn Ephemera>,
    /// The time.
    pub clock: SharedClock,
    /// Keys for clients.
    pub keys: Arc<dyn RoomKeys>,
    /// Makes the ids of messages.
    pub ids: Snowflakes,
    /// Is told what happens.
    pub observer: Arc<dyn Observer>,
    /// Settings.
    pub options: Options,
}
