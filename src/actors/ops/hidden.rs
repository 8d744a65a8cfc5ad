//! What readers hide for themselves: a hidden message is shown to its reader nowhere, and to all others as before.

use std::sync::Arc;

use super::{
    Access, Node,
    walk::{self, Walk},
};
use crate::{
    actors::{error::Call, stream::MomentBody},
    domain::{
        ids::{MessageId, Seq},
        message::Message,
        room::Author,
    },
    storage::{
        Direction, RoomPrefs,
        ordinals::{Effort, HiddenBy},
    },
};

/// Reads of the store that looking for the last message a reader has not hidden may cost. One who has hidden thousands
/// in a row is shown none.
const LOOK_BACK: usize = 100;

impl Node {
    /// Hides a message for the author alone, and tells the author's other devices.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn hide(&self, author: Author, id: MessageId) -> Call<()> {
        let (access, found) = self.locate(author, id).await?;
        let _lock = self.user_lock(author.user).lock().await;
        let store = &self.context.store;
        let (user, room, seq) = (author.user, access.room, found.seq);
        let mut prefs = store.room_of(user, room).await?.map_or_else(RoomPrefs::default, |entry| entry.prefs);
        let is_hidden = !store.hidden_messages(user, room, seq, seq).await?.is_empty();
        if is_hidden && prefs.hidden_messages > 0 {
            return Ok(());
        }
        if access.member.is_some() {
            // The count first: pages are searched for hidden messages only where there may be some.
            prefs.hidden_messages = prefs.hidden_messages.saturating_add(1);
            store.put_prefs(user, room, prefs).await?;
            self.users.prefs_changed(user, room, prefs);
        }
        store.hide_message(user, room, seq).await?;
        if access.member.is_some() {
            // Once more: who has looked for hidden messages since has not found this one.
            self.users.prefs_changed(user, room, prefs);
        }
        self.users.tell_own(user, Some(room), MomentBody::Hidden { id, seq });
        Ok(())
    }

    /// Leaves out what the reader has hidden for themselves.
    pub(super) async fn drop_hidden(
        &self,
        author: Author,
        access: &Access,
        messages: &mut Vec<Arc<Message>>,
    ) -> Call<()> {
        if messages.is_empty() {
            return Ok(());
        }
        let entry = self.context.store.room_of(author.user, access.room).await?;
        let prefs = entry.map(|entry| entry.prefs).unwrap_or_default();
        self.drop_hidden_by(author, access, prefs, messages).await
    }

    /// [`Node::drop_hidden`] for one whose settings for the room are at hand.
    async fn drop_hidden_by(
        &self,
        author: Author,
        access: &Access,
        prefs: RoomPrefs,
        messages: &mut Vec<Arc<Message>>,
    ) -> Call<()> {
        // The count goes with the membership; what was hidden in an earlier one, or by an admin without any, stays so.
        let before = match &access.member {
            Some(member) if prefs.hidden_messages == 0 => member.joined_seq,
            _ => Seq(u64::MAX),
        };
        let by = HiddenBy { user: author.user, before };
        let hidden = walk::hidden_among(&*self.context.store, access, by, messages).await?;
        messages.retain(|message| hidden.binary_search(&message.seq).is_err());
        Ok(())
    }

    /// The newest message of a room that the reader may see and has not hidden.
    pub(super) async fn last_shown(
        &self,
        author: Author,
        access: &Access,
        prefs: RoomPrefs,
    ) -> Call<Option<Arc<Message>>> {
        let newest = access.head.message_seq;
        if newest <= access.floor() {
            return Ok(None);
        }
        let mut messages: Vec<Arc<Message>> = self.message_at(access, newest).await?.into_iter().collect();
        self.drop_hidden_by(author, access, prefs, &mut messages).await?;
        if messages.is_empty() {
            let store = Arc::clone(&self.context.store);
            let from = (Direction::Backward, newest);
            let mut walk = Walk::new(store, access.clone(), author.user, prefs, from, Effort::new(LOOK_BACK));
            messages = walk.next(1).await?;
        }
        Ok(messages.pop())
    }
}
