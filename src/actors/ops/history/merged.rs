//! Pages of all of a user's rooms, by time.

use std::sync::Arc;

use super::Page;
use crate::{
    actors::{
        error::{Call, CallError},
        ops::{Access, Node},
        user::ListFilter,
    },
    domain::{
        ids::{MessageId, RoomId, Seq},
        message::Message,
        room::Author,
    },
    storage::Direction,
};

/// Rooms opened at most for one page of all rooms.
const MERGE_ROOMS_MAX: usize = 500;

impl Node {
    /// The newest messages of all the author's rooms with an id smaller than `before`, oldest first.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn merged_history(&self, author: Author, before: Option<MessageId>, limit: usize) -> Call<Page> {
        let filter = ListFilter { include_hidden: true, ..ListFilter::default() };
        let shared = self.users.warm(author.user).await?;
        let mut rooms: Vec<(MessageId, RoomId)> =
            shared.list.lock().filtered(&filter).map(|listed| (listed.head().message_id, listed.hub.id())).collect();
        rooms.sort_unstable_by(|a, b| b.cmp(a));
        let mut newest: Vec<Arc<Message>> = Vec::new();
        let mut more = rooms.len() > MERGE_ROOMS_MAX;
        for (newest_id, room) in rooms.into_iter().take(MERGE_ROOMS_MAX) {
            // Once the page is full, a room whose newest message is older than its last adds nothing.
            if newest.get(limit).is_some_and(|m| m.id > newest_id) {
                more = true;
                break;
            }
            let access = match self.access(author, room).await {
                Ok(access) => access,
                Err(CallError::Rejected(_)) => continue,
                Err(error) => return Err(error),
            };
            let end = match before {
                Some(id) => self.first_not_before(&access, id).await?,
                None => access.head.seq.next(),
            };
            let mut run = self.before(&access, end, limit + 1).await?.messages;
            self.drop_hidden(author, &access, &mut run).await?;
            newest.extend(run);
            newest.sort_unstable_by_key(|message| std::cmp::Reverse(message.id));
            newest.truncate(limit + 1);
        }
        more |= newest.len() > limit;
        newest.truncate(limit);
        newest.reverse();
        Ok(Page { messages: newest, has_more_before: more, has_more_after: before.is_some(), ..Page::default() })
    }

    /// The first place whose message (or any after it) has an id not smaller than `id`: ids grow with places.
    async fn first_not_before(&self, access: &Access, id: MessageId) -> Call<Seq> {
        let (mut low, mut high) = (access.floor().next(), access.head.seq.next());
        while low < high {
            let middle = Seq(low.0 + (high.0 - low.0) / 2);
            let mut at = Seq(middle.0 - 1);
            let next = loop {
                let rows = self.context.store.read_log(access.room, at, Direction::Forward, 32).await?;
                let found = rows.iter().find_map(|row| row.message.as_ref().map(|key| (row.seq, key.id)));
                match (found, rows.last()) {
                    (Some(found), _) => break Some(found),
                    (None, Some(last)) => at = last.seq,
                    (None, None) => break None,
                }
            };
            match next {
                Some((seq, found)) if found < id => low = seq.next(),
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
