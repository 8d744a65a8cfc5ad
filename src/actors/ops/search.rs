//! Finding text: the log is read newest first and looked through, so many rows a call.
//!
//! There is no index: what is stored is sealed, and an index of its words would not be. The price is time that grows
//! with the room, and it is paid by whoever searches, page by page.

use std::sync::Arc;

use super::{Access, Node};
use crate::{
    actors::{
        error::{Call, CallError},
        room::load,
        user::ListFilter,
    },
    domain::{
        fold,
        ids::{RoomId, Seq},
        limits,
        message::Message,
        reject::text,
        room::Author,
    },
    storage::{Direction, codec},
};

/// Log rows looked through at most in one call.
const ROWS_PER_CALL: usize = 20_000;
/// Log rows read at a time.
const PAGE: usize = 500;

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Newest first within each room.
    pub messages: Vec<Arc<Message>>,
    /// Where to go on; none when all was looked through.
    pub next: Option<(RoomId, Seq)>,
}

impl Node {
    /// Finds text in one room, or in all the author's rooms (by room id).
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn search(
        &self,
        author: Author,
        room_asked: Option<RoomId>,
        query: &str,
        from: Option<(RoomId, Seq)>,
        limit: usize,
    ) -> Call<Found> {
        text("query", query, limits::SEARCH_BYTES_MIN, limits::NAME_BYTES_MAX)?;
        let needle = fold::fold(query);
        let mut rooms = match room_asked {
            Some(room) => vec![room],
            None => {
                let shared = self.users.warm(author.user).await?;
                let filter = ListFilter { include_hidden: true, ..ListFilter::default() };
                shared.list.lock().filtered(&filter).map(|listed| listed.hub.id()).collect()
            }
        };
        rooms.retain(|room| from.is_none_or(|(start, _)| *room >= start));
        let mut found = Found::default();
        let mut rows = 0;
        for room in rooms {
            let access = match self.access(author, room).await {
                Ok(access) => access,
                // Deleted, or left, since the list was read.
                Err(CallError::Rejected(_)) if room_asked.is_none() => continue,
                Err(error) => return Err(error),
            };
            let start = from.filter(|(id, _)| *id == room).map_or_else(|| access.head.seq.next(), |(_, seq)| seq);
            let mut of_room = Vec::new();
            found.next = self
                .search_room(&access, &needle, start, limit - found.messages.len(), &mut rows, &mut of_room)
                .await?;
            of_room.reverse();
            self.drop_hidden(author, &access, &mut of_room).await?;
            found.messages.extend(of_room.into_iter().rev());
            if found.next.is_some() {
                break;
            }
        }
        Ok(found)
    }

    /// Looks through one room before `seq`. Returns where to go on, if the call's share is used up.
    async fn search_room(
        &self,
        access: &Access,
        needle: &str,
        mut before: Seq,
        limit: usize,
        rows: &mut usize,
        found: &mut Vec<Arc<Message>>,
    ) -> Call<Option<(RoomId, Seq)>> {
        while before > access.floor().next() {
            if *rows >= ROWS_PER_CALL || found.len() >= limit {
                return Ok(Some((access.room, before)));
            }
            let page = self.context.store.read_log(access.room, before, Direction::Backward, PAGE).await?;
            let Some(last) = page.last().map(|row| row.seq) else {
                return Ok(None);
            };
            *rows += page.len();
            let visible = page.iter().rev().filter(|row| row.message.is_some() && row.seq > access.floor());
            let sent = visible.map(|row| codec::decode_message(access.room, row)).collect::<Result<Vec<_>, _>>()?;
            let present = load::present(&*self.context.store, access.room, sent).await?;
            for message in present.into_iter().rev() {
                if self.matches(access, &message, needle) {
                    before = message.seq;
                    found.push(message);
                    if found.len() >= limit {
                        return Ok(Some((access.room, before)));
                    }
                }
            }
            before = last;
        }
        Ok(None)
    }

    fn matches(&self, access: &Access, message: &Message, needle: &str) -> bool {
        if message.deleted {
            return false;
        }
        if !message.draft.encrypted {
            return fold::contains(&message.draft.content, needle);
        }
        let plain = self.context.keys.decrypt(&access.info.encryption_data, &message.draft.content);
        plain.is_some_and(|plain| fold::contains(&plain, needle))
    }
}
