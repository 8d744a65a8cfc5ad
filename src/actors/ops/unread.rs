//! Unread numbers, as every answer has them: [`crate::domain::unread`] with what the store knows of it.
//!
//! A member who has seen everything costs nothing. For others the room's own row is read, once as long as anybody's list
//! holds the room; and what they have hidden, if they have hidden anything there.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{Access, Node};
use crate::{
    actors::{error::Call, hub::RoomHub, user::UserShared},
    domain::{
        ids::{Ordinal, RoomId, Seq, UserId},
        position::{Position, RoomHead},
        unread::{Uncounted, Unread},
    },
    storage::{Direction, Record, Result as StoreResult, RoomPrefs, codec},
};

/// Hidden messages looked at for one number, the newest first; a member who has hidden more than that without having
/// read them has the others counted.
const HIDDEN_MAX: usize = 256;
/// Rows of the log that are read together where most of them are looked for.
const ROWS_TOGETHER: u64 = 64;
/// Rooms' rows read at once for a list.
const ROWS_AT_ONCE: usize = 16;

impl Node {
    /// How much `user`, who stands at `position`, has not seen of a room.
    pub(super) async fn unread(
        &self,
        user: UserId,
        access: &Access,
        position: Position,
        prefs: RoomPrefs,
    ) -> Call<Unread> {
        if position.behind(access.head.n) == 0 {
            return Ok(Unread::default());
        }
        let hidden = if prefs.hidden_messages > 0 {
            self.hidden_ordinals(user, access.room, position, access.head).await?
        } else {
            Vec::new()
        };
        Ok(Unread::new(position.seen(), access.head.n, &access.uncounted, &hidden))
    }

    /// [`Node::unread`] for one whose settings for the room are not at hand.
    pub(super) async fn unread_of(&self, user: UserId, access: &Access, position: Position) -> Call<Unread> {
        if position.behind(access.head.n) == 0 {
            return Ok(Unread::default());
        }
        let entry = self.context.store.room_of(user, access.room).await?;
        self.unread(user, access, position, entry.map(|entry| entry.prefs).unwrap_or_default()).await
    }

    /// Ordinals of the newest messages after the user's position that the user has hidden.
    async fn hidden_ordinals(
        &self,
        user: UserId,
        room: RoomId,
        position: Position,
        head: RoomHead,
    ) -> StoreResult<Vec<Ordinal>> {
        // Own messages and what does not count may lie between this place and the position; the arithmetic leaves them
        // out.
        let from = position.read_seq.max(position.floor_seq).next();
        if from > head.message_seq {
            return Ok(Vec::new());
        }
        let seqs = self.newest_hidden(user, room, from, head.message_seq).await?;
        let mut rest = seqs.as_slice();
        let mut ordinals = Vec::new();
        while let Some(last) = rest.last().copied() {
            // Messages hidden one after the other are read together; each of the others costs a row.
            let near = rest.len() - rest.partition_point(|seq| seq.0 + ROWS_TOGETHER <= last.0);
            let (before, window) = rest.split_at(rest.len() - near);
            let span = window.first().map_or(0, |first| usize::try_from(last.0 - first.0 + 1).unwrap_or(usize::MAX));
            if span > 2 * near {
                ordinals.extend(self.ordinal_of(room, last).await?);
                rest = &rest[..rest.len() - 1];
                continue;
            }
            let rows = self.context.store.read_log(room, last.next(), Direction::Backward, span).await?;
            let is_hidden = |row: &&Record| row.message.is_some() && window.binary_search(&row.seq).is_ok();
            ordinals.extend(rows.iter().filter(is_hidden).map(|row| row.n));
            rest = before;
        }
        Ok(ordinals)
    }

    /// The newest messages in `from..=to` that the user has hidden, in order: [`HIDDEN_MAX`] if there are as many.
    async fn newest_hidden(&self, user: UserId, room: RoomId, from: Seq, to: Seq) -> StoreResult<Vec<Seq>> {
        let (mut to, mut width) = (to, 2 * HIDDEN_MAX as u64);
        let mut newest: Vec<Seq> = Vec::new();
        while from <= to && newest.len() < HIDDEN_MAX {
            let start = from.max(Seq(to.0.saturating_sub(width)));
            let mut seqs = self.context.store.hidden_messages(user, room, start, to).await?;
            seqs.append(&mut newest);
            newest = seqs;
            (to, width) = (Seq(start.0.saturating_sub(1)), width * 4);
        }
        newest.drain(..newest.len().saturating_sub(HIDDEN_MAX));
        Ok(newest)
    }

    /// Ordinal of the message at `seq`.
    async fn ordinal_of(&self, room: RoomId, seq: Seq) -> StoreResult<Option<Ordinal>> {
        let warm = self.rooms.awake(room).and_then(|handle| handle.read(|s| s.warm_message(seq).map(|m| m.n)));
        match warm {
            Some(n) => Ok(Some(n)),
            None => {
                let record = self.context.store.record(room, seq).await?;
                Ok(record.filter(|record| record.message.is_some()).map(|record| record.n))
            }
        }
    }

    /// What counts as unread for nobody in a room that nobody has told it of yet.
    async fn learn_uncounted(&self, hub: &RoomHub) -> StoreResult<Arc<Uncounted>> {
        let (info, uncounted) = match self.context.store.room(hub.id()).await? {
            Some(body) => codec::decode_room(hub.id(), &body).map(|(info, uncounted)| (Some(info), uncounted))?,
            None => (None, Uncounted::default()),
        };
        if let Some(info) = info
            && hub.folded_name().is_none()
        {
            hub.set_name(&info.name);
        }
        // A room that has woken meanwhile knows better.
        Ok(hub.learn_uncounted(Arc::new(uncounted)))
    }

    /// The unread numbers of rooms of a user's list; 0 for those that are not in it any more. Positions must be fresh.
    pub(super) async fn unread_in_list(
        &self,
        user: UserId,
        shared: &UserShared,
        rooms: impl Iterator<Item = RoomId>,
    ) -> Call<Vec<(RoomId, u64)>> {
        let mut known = Vec::new();
        let mut behind = Vec::new();
        {
            let list = shared.list.lock();
            for room in rooms {
                let Some(listed) = list.rooms.get(&room) else { continue };
                let (position, head) = (listed.position, listed.head());
                if position.behind(head.n) == 0 {
                    known.push((room, 0));
                } else if let (Some(uncounted), Some(hidden)) = (listed.hub.uncounted(), listed.hidden()) {
                    known.push((room, Unread::new(position.seen(), head.n, &uncounted, &hidden).count()));
                } else {
                    behind.push((Arc::clone(&listed.hub), position, head, listed.prefs));
                }
            }
        }
        let unknown = behind.into_iter().map(|(hub, position, head, prefs)| async move {
            let uncounted = match hub.uncounted() {
                Some(uncounted) => uncounted,
                None => self.learn_uncounted(&hub).await?,
            };
            let room = hub.id();
            let hidden = match prefs.hidden_messages {
                0 => Vec::new(),
                _ => self.hidden_ordinals(user, room, position, head).await?,
            };
            let unread = Unread::new(position.seen(), head.n, &uncounted, &hidden);
            if let Some(listed) = shared.list.lock().rooms.get_mut(&room).filter(|listed| listed.prefs == prefs) {
                listed.set_hidden(hidden.into());
            }
            Ok::<_, crate::actors::error::CallError>((room, unread.count()))
        });
        let read: Vec<(RoomId, u64)> = stream::iter(unknown).buffer_unordered(ROWS_AT_ONCE).try_collect().await?;
        known.extend(read);
        Ok(known)
    }
}
