//! Pinned messages.

use std::sync::Arc;

use crate::{
    actors::{error::Call, ops::Node},
    domain::{ids::RoomId, limits, message::Message, room::Author},
};

impl Node {
    /// A room's pinned messages, newest pin first, without those that the author has hidden.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn pinned(&self, author: Author, room: RoomId) -> Call<Vec<Arc<Message>>> {
        let access = self.access(author, room).await?;
        let mut pins = match &access.awake {
            Some(handle) => handle.read(|s| s.pins.clone()),
            None => self.context.store.pins(room, limits::PINS_MAX).await?,
        };
        pins.retain(|(seq, _)| *seq > access.floor());
        pins.sort_unstable_by_key(|(_, pin)| std::cmp::Reverse(*pin));
        let mut messages = Vec::with_capacity(pins.len());
        for (seq, _) in pins {
            messages.extend(self.message_at(&access, seq).await?);
        }
        self.drop_hidden(author, &access, &mut messages).await?;
        Ok(messages)
    }
}
