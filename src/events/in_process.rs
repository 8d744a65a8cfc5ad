//! The bus of a node that stands alone: subscribers are tasks of the same process.

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::{BusError, BusEvent, EventBus};

/// A bus within the process. A subscriber that falls more than the capacity behind is told how many events it missed
/// and reads them from the log.
#[derive(Debug)]
pub struct InProcessBus {
    sender: broadcast::Sender<BusEvent>,
}

/// A subscriber's end of an [`InProcessBus`].
pub type Subscription = broadcast::Receiver<BusEvent>;

impl InProcessBus {
    /// A bus that keeps `capacity` events for its slowest subscriber.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity.max(1)) }
    }

    /// All events published from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.sender.subscribe()
    }
}

#[async_trait]
impl EventBus for InProcessBus {
    async fn publish(&self, events: &[BusEvent]) -> Result<(), BusError> {
        for event in events {
            // An error says that nobody listens just now, which is no failure.
            let _ = self.sender.send(event.clone());
        }
        Ok(())
    }

    fn is_heard(&self) -> bool {
        self.sender.receiver_count() > 0
    }
}
