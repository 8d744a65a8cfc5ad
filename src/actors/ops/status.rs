//! How far messages have come, for every answer that carries one of the caller's own: [`crate::domain::status`] over the
//! members of the room, in its live state or in its rows.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Access, Node};
use crate::{
    actors::error::{Call, CallError},
    domain::{
        ids::{RoomId, Seq, UserId},
        message::Message,
        position::Position,
        room::Author,
        status::{COUNTED_MAX, Place, Status, Tally},
    },
    storage::codec,
};

/// Rows read at a time.
const PAGE: usize = 1_000;
/// Pages of positions read at most for a room that sleeps: those who left keep theirs.
const POSITION_PAGES_MAX: usize = 20;
/// Members looked at for one answer, however many rooms it is about. What is beyond is not looked at, and the status
/// says so.
pub(super) const LOOKS_PER_ANSWER: usize = 20_000;

/// How far the caller's own messages in an answer have come.
#[derive(Clone, Debug, Default)]
pub struct Statuses(HashMap<(RoomId, Seq), Status>);

impl Statuses {
    /// Of a message; none if it is not the caller's own.
    #[must_use]
    pub fn of(&self, message: &Message) -> Option<Status> {
        self.0.get(&(message.room, message.seq)).copied()
    }
}

impl Node {
    /// How far those of `messages` have come that are the author's own.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn statuses(&self, author: Author, messages: &[Arc<Message>]) -> Call<Statuses> {
        let mut rooms: BTreeMap<RoomId, Vec<Place>> = BTreeMap::new();
        for message in messages.iter().filter(|message| message.sender == author.user) {
            rooms.entry(message.room).or_default().push(Place::of(message));
        }
        let mut statuses = Statuses::default();
        let mut looks = LOOKS_PER_ANSWER;
        for (room, places) in rooms {
            let access = match self.access(author, room).await {
                Ok(access) => access,
                // Gone since the messages were read.
                Err(CallError::Rejected(_)) => continue,
                Err(error) => return Err(error),
            };
            let tally = self.tally(&access, places, &mut looks).await?;
            statuses.0.extend(tally.statuses().map(|(place, status)| ((room, place.seq), status)));
        }
        Ok(statuses)
    }

    /// How far one message has come, if it is the author's own. Takes what it looks at from `looks`.
    pub(super) async fn status_of(
        &self,
        author: Author,
        access: &Access,
        message: &Message,
        looks: &mut usize,
    ) -> Call<Option<Status>> {
        if message.sender != author.user {
            return Ok(None);
        }
        let tally = self.tally(access, vec![Place::of(message)], looks).await?;
        Ok(tally.statuses().next().map(|(_, status)| status))
    }

    async fn tally(&self, access: &Access, places: Vec<Place>, looks: &mut usize) -> Call<Tally> {
        let look = COUNTED_MAX.min(*looks);
        *looks = looks.saturating_sub(look.min(access.head.members as usize));
        if let Some(handle) = &access.awake {
            return Ok(handle.read(|state| Tally::of_room(state, places, look)));
        }
        let mut tally = Tally::new(places);
        if access.head.members as usize > look {
            tally.set_at_least();
        }
        let members = self.context.store.members(access.room, UserId(0), look).await?;
        let last = members.last().map_or(UserId(0), |(user, _)| *user);
        let mut positions = self.positions_up_to(access.room, last).await?;
        for (user, body) in members {
            let position = positions.remove(&user).unwrap_or_default();
            tally.member(user, codec::decode_member(&body)?.joined_seq, &position);
        }
        if tally.wants_former() {
            // What is left belongs to those who left, or was not read.
            positions.extend(self.positions_after(access.room, last).await?);
            positions.iter().for_each(|(user, position)| tally.former(*user, position));
        }
        Ok(tally)
    }

    async fn positions_up_to(&self, room: RoomId, last: UserId) -> Call<BTreeMap<UserId, Position>> {
        let (mut positions, mut after) = (BTreeMap::new(), UserId(0));
        for _ in 0..POSITION_PAGES_MAX {
            if after >= last {
                break;
            }
            let page = self.context.store.positions(room, after, PAGE).await?;
            let is_whole = page.len() < PAGE;
            after = page.last().map_or(after, |(user, _)| *user);
            positions.extend(page);
            if is_whole {
                break;
            }
        }
        Ok(positions)
    }

    async fn positions_after(&self, room: RoomId, last: UserId) -> Call<Vec<(UserId, Position)>> {
        Ok(self.context.store.positions(room, last, COUNTED_MAX).await?)
    }
}
