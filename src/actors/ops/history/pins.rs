//! Pinned messages.

use std::sync::Arc;

use crate::{
    actors::{
        error::{Call, CallError},
        ops::{Access, Node},
    },
    domain::{
        ids::{MessageId, RoomId, Seq},
        limits,
        message::Message,
        page::{self, Filling, PageBound},
        reject::Reject,
        room::{Author, Command},
    },
};

/// How often a pin gives way to another, before others who pin at the same time are let have it.
const GIVES_WAY_MAX: usize = 4;

/// A page of pinned messages.
#[derive(Clone, Debug, Default)]
pub struct PinPage {
    /// Newest pin first.
    pub messages: Vec<Arc<Message>>,
    /// Where to go on: pins older than this one. None at the end.
    pub next: Option<Seq>,
}

impl Node {
    /// Pins or unpins a message. Where as many are pinned as may be, one more takes the place of the oldest that its
    /// author cannot see, and so could not unpin: one that they cleared, have hidden, or joined too late for.
    ///
    /// # Errors
    /// [`CallError`]; [`Reject::TooManyPins`] if the author sees all that are pinned.
    pub async fn pin(&self, author: Author, id: MessageId, pinned: bool) -> Call<()> {
        for _ in 0..GIVES_WAY_MAX {
            match self.on_message(author, id, |message| Command::Pin { message, pinned }).await {
                Err(CallError::Rejected(Reject::TooManyPins)) => {}
                done => return done.map(drop),
            }
            let (access, _) = self.locate(author, id).await?;
            let message = self.oldest_unseen_pin(author, &access).await?.ok_or(Reject::TooManyPins)?;
            self.command(author, access.room, Command::GiveWay { message }).await?;
        }
        Err(Reject::TooManyPins.into())
    }

    async fn oldest_unseen_pin(&self, author: Author, access: &Access) -> Call<Option<Seq>> {
        let mut pins = self.pins(access).await?;
        pins.sort_unstable_by_key(|(_, pin)| *pin);
        for (seq, _) in pins {
            let store = &self.context.store;
            if seq <= access.floor() || !store.hidden_messages(author.user, access.room, seq, seq).await?.is_empty() {
                return Ok(Some(seq));
            }
        }
        Ok(None)
    }

    /// Pinned messages with their pins.
    async fn pins(&self, access: &Access) -> Call<Vec<(Seq, Seq)>> {
        match &access.awake {
            Some(handle) => Ok(handle.read(|state| state.pins.clone())),
            None => Ok(self.context.store.pins(access.room, limits::PINS_MAX).await?),
        }
    }

    /// A room's pinned messages, newest pin first, without those that the author has hidden; those whose pin is older
    /// than `before`, if given.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn pinned(
        &self,
        author: Author,
        room: RoomId,
        before: Option<Seq>,
        bound: impl Into<PageBound> + Send,
    ) -> Call<PinPage> {
        let bound = bound.into();
        let access = self.access(author, room).await?;
        let mut pins = self.pins(&access).await?;
        pins.retain(|(seq, pin)| *seq > access.floor() && before.is_none_or(|before| *pin < before));
        pins.sort_unstable_by_key(|(_, pin)| std::cmp::Reverse(*pin));
        let mut found = PinPage::default();
        let mut filling = Filling::new(bound);
        let mut last = None;
        for (seq, pin) in pins {
            let mut message: Vec<_> = self.message_at(&access, seq).await?.into_iter().collect();
            self.drop_hidden(author, &access, &mut message).await?;
            let Some(message) = message.pop() else { continue };
            if !filling.takes(page::bytes_of(&message)) {
                found.next = last;
                break;
            }
            last = Some(pin);
            found.messages.push(message);
        }
        Ok(found)
    }
}
