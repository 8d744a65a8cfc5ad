//! Reading what was said: pages, single messages, pins, receipts.

mod merged;
mod pages;
mod pins;
mod receipts;

use std::sync::Arc;

pub use pins::PinPage;
pub(in crate::actors::ops) use receipts::TotalsCache;
pub use receipts::{Receipt, Receipts};

use super::{Access, Node};
use crate::{
    actors::error::Call,
    domain::{
        ids::{ExternalRef, MessageId, Seq},
        message::Message,
        reject::Reject,
        room::Author,
    },
};

/// Where a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageAt {
    /// The newest messages.
    Newest,
    /// Those before this place.
    Before(Seq),
    /// Those after this place.
    After(Seq),
    /// Those on both sides of this place, and it.
    Around(Seq),
}

/// A page of messages, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Arc<Message>>,
    /// Whether there are older ones. A search that took too long to tell says so too: the next page may be empty.
    pub has_more_before: bool,
    /// Whether there are newer ones.
    pub has_more_after: bool,
    /// Where the older ones are, if there are: before this place.
    pub next_before: Option<Seq>,
    /// Where the newer ones are, if there are: after this place.
    pub next_after: Option<Seq>,
    /// Where the older ones of all rooms are, if there are: those with a smaller id.
    pub next_before_id: Option<MessageId>,
}

impl Node {
    /// One message.
    ///
    /// # Errors
    /// [`Reject::MessageNotFound`].
    pub async fn message(&self, author: Author, id: MessageId) -> Call<Page> {
        let (access, found) = self.locate(author, id).await?;
        self.single(author, &access, found.seq).await
    }

    /// One message by its twin's id.
    ///
    /// # Errors
    /// [`Reject::MessageNotFound`].
    pub async fn message_by_external(&self, author: Author, external: &ExternalRef) -> Call<Page> {
        let found = self.context.store.find_external(external).await?.ok_or(Reject::MessageNotFound)?;
        let (access, found) = self.locate_ref(author, found).await?;
        self.single(author, &access, found.seq).await
    }

    async fn single(&self, author: Author, access: &Access, seq: Seq) -> Call<Page> {
        let message = self.message_at(access, seq).await?.ok_or(Reject::MessageNotFound)?;
        let mut messages = vec![message];
        self.drop_hidden(author, access, &mut messages).await?;
        if messages.is_empty() {
            return Err(Reject::MessageNotFound.into());
        }
        Ok(Page { messages, ..Page::default() })
    }
}
