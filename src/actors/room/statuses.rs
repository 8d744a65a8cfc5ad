//! Senders hear how far their messages have come when others' positions move.

use std::{collections::BTreeMap, sync::Arc};

use super::actor::Room;
use crate::{
    actors::stream::{Moment, MomentBody},
    domain::{
        event::Event,
        ids::{Seq, UserId},
        position::Position,
        room::RoomState,
        status::{COUNTED_MAX, Place, Reached, Status, Tally},
    },
};

/// Senders told at most of one move.
const SENDERS_MAX: usize = 16;
/// In a room of more members a message moves nobody's status before its sender reads or has got something: a send must
/// not cost more the more members there are.
const MEMBERS_OF_ANSWERS_MAX: usize = 64;

/// A user's position before and after it moved.
pub(super) type Move = (UserId, Position, Position);

/// Where the senders of `events` stand before them, if their sending is to be told as reading.
pub(super) fn before_answers(state: &RoomState, events: &[Event]) -> BTreeMap<UserId, Position> {
    if state.members.len() > MEMBERS_OF_ANSWERS_MAX {
        return BTreeMap::new();
    }
    let senders = events.iter().filter_map(Event::message).map(|message| message.sender);
    senders.map(|sender| (sender, state.position(sender))).collect()
}

impl Room {
    /// Tells whoever listens and has sent what was got or read by these moves. The status told is that of their newest
    /// message concerned, counted over all members: the same that any answer gives.
    pub(super) fn tell_statuses(&self, moves: &[Move]) {
        if moves.is_empty() || self.seed.shared.hub.listeners() == 0 {
            return;
        }
        let hub = &self.seed.shared.hub;
        let audience = hub.audience();
        let mut concerned: Vec<(UserId, Place)> = Vec::new();
        let statuses: BTreeMap<Seq, Status> = {
            let state = self.seed.shared.state.read();
            for (user, before, after) in moves {
                let places = newest_concerned(&state, *user, before, after, |sender| audience.contains(&sender));
                concerned.extend(places.into_iter().map(|place| (*user, place)));
            }
            if concerned.is_empty() {
                return;
            }
            let places = concerned.iter().map(|(_, place)| *place).collect();
            Tally::of_room(&state, places, COUNTED_MAX).statuses().map(|(place, status)| (place.seq, status)).collect()
        };
        let now = self.context().clock.now_ms();
        for (user, place) in concerned {
            let Some(status) = statuses.get(&place.seq) else { continue };
            let body = MomentBody::Status { up_to: place.seq, status: *status };
            hub.tell_moment(&Arc::new(Moment::new(Some(self.id), user, now, body)), Some(place.sender), None);
        }
    }
}

/// Of each sender who is to be told, the newest warm message that the move has brought further.
fn newest_concerned(
    state: &RoomState,
    user: UserId,
    before: &Position,
    after: &Position,
    is_told: impl Fn(UserId) -> bool,
) -> Vec<Place> {
    let mut found: Vec<Place> = Vec::new();
    for message in state.tail().iter().rev() {
        let place = Place::of(message);
        if place.reached(before) == Reached::Read || found.len() == SENDERS_MAX {
            break;
        }
        let is_further = place.reached(after) > place.reached(before);
        let is_new = !found.iter().any(|other| other.sender == place.sender);
        if is_further && is_new && place.sender != user && is_told(place.sender) {
            found.push(place);
        }
    }
    found
}
