//! What operators and checkers read: everything, without regard to membership.

use std::sync::Arc;

use super::Node;
use crate::{
    actors::error::Call,
    domain::{
        event::Event,
        ids::{Epoch, RoomId, Seq, UserId},
        position::{Position, RoomHead},
        reject::Reject,
        room::RoomInfo,
        unread::Uncounted,
    },
    storage::{Direction, codec},
};

/// The node as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeStatus {
    /// Name of the store.
    pub store: &'static str,
    /// Rooms awake.
    pub rooms_awake: usize,
    /// Users with an actor.
    pub users_awake: usize,
    /// Streams open.
    pub streams: usize,
    /// Commands accepted and not yet answered.
    pub commands_in_flight: usize,
}

/// A room as stored.
#[derive(Clone, Debug)]
pub struct StoredRoom {
    /// Settings.
    pub info: RoomInfo,
    /// Newest numbers.
    pub head: RoomHead,
}

impl Node {
    /// Asks the store for something that is not there: whether it answers, for health.
    ///
    /// # Errors
    /// When it does not.
    pub async fn check_store(&self) -> crate::storage::Result<()> {
        self.context.store.head(RoomId([0; 16])).await.map(drop)
    }

    /// The node as a whole.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        NodeStatus {
            store: self.context.store.name(),
            rooms_awake: self.rooms.all_awake().len(),
            users_awake: self.users.awake(),
            streams: self.context.presence.streams(),
            commands_in_flight: self.context.options.in_flight_max - self.context.permits.available_permits(),
        }
    }

    /// Rooms in the store with a greater id than `after`.
    ///
    /// # Errors
    /// [`crate::actors::error::CallError`].
    pub async fn stored_rooms(&self, after: Option<RoomId>, limit: usize) -> Call<Vec<StoredRoom>> {
        let store = &self.context.store;
        let ids = store.rooms(after, limit).await?;
        let heads = store.heads(&ids).await?;
        let mut rooms = Vec::with_capacity(ids.len());
        for (id, head) in ids.into_iter().zip(heads) {
            if let Some(body) = store.room(id).await? {
                rooms.push(StoredRoom { info: codec::decode_info(id, &body)?, head: head.unwrap_or_default() });
            }
        }
        Ok(rooms)
    }

    /// Events of a room's log after `after`, with the epochs they were written under.
    ///
    /// # Errors
    /// [`Reject::RoomNotFound`].
    pub async fn log(&self, room: RoomId, after: Seq, limit: usize) -> Call<Vec<(Event, Epoch)>> {
        let store = &self.context.store;
        store.head(room).await?.ok_or(Reject::RoomNotFound)?;
        let records = store.read_log(room, after, Direction::Forward, limit).await?;
        records.iter().map(|r| Ok((codec::decode_event(room, r)?, r.epoch))).collect()
    }

    /// Positions of members with a greater id than `after`, the room's newest numbers, and what counts as unread for
    /// nobody.
    ///
    /// # Errors
    /// [`Reject::RoomNotFound`].
    pub async fn all_positions(
        &self,
        room: RoomId,
        after: UserId,
        limit: usize,
    ) -> Call<(Vec<(UserId, Position)>, RoomHead, Arc<Uncounted>)> {
        if let Some(handle) = self.rooms.awake(room) {
            return Ok(handle.read(|s| {
                let range = s.members.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
                let positions = range.take(limit).map(|(user, _)| (*user, s.position(*user))).collect();
                (positions, s.head, Arc::clone(&s.uncounted))
            }));
        }
        let store = &self.context.store;
        let head = store.head(room).await?.ok_or(Reject::RoomNotFound)?;
        let mut positions = Vec::new();
        for (user, _) in store.members(room, after, limit).await? {
            positions.push((user, store.position(room, user).await?));
        }
        let row = store.room(room).await?.map(|body| codec::decode_room(room, &body)).transpose()?;
        Ok((positions, head, Arc::new(row.map(|(_, uncounted)| uncounted).unwrap_or_default())))
    }
}
