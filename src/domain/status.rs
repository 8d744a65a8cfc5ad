//! How far a message has come: one function of the positions of those who could get it. It is the same for every answer
//! and event, and nothing is kept for it.
//!
//! - Who was a member when the message was sent *counts*, as long as they are one; its sender does not. Who joins later,
//!   or comes back, does not count, whatever they may read.
//! - Who has read up to a place has read, and got, all before it; so has who sent a later message.
//! - A message is as far as everyone who counts has come. Who leaves takes nothing away by that.
//! - If nobody who counts is left, it is as far as anyone of those who left had come.
//! - In a room of more than [`COUNTED_MAX`] members only so many are looked at. Then the numbers are *at least* so
//!   great, and the message is as far as any of these has come.

use std::collections::BTreeMap;

use super::{
    ids::{Ordinal, Seq, UserId},
    message::Message,
    position::Position,
    room::RoomState,
};

/// Members looked at, at most.
pub const COUNTED_MAX: usize = 5_000;

/// How far a message has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Reached {
    /// Into the log.
    #[default]
    Sent,
    /// To a device.
    Delivered,
    /// It was read.
    Read,
}

/// A message's status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// How far it has come.
    pub reached: Reached,
    /// Members who have got it.
    pub delivered_to: u32,
    /// Members who have read it.
    pub read_by: u32,
    /// Members who count.
    pub of: u32,
    /// The room has more members than were looked at: the numbers may be greater.
    pub at_least: bool,
}

/// Where a message stands, and whose it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its place in the log.
    pub seq: Seq,
    /// Its ordinal.
    pub n: Ordinal,
    /// Who sent it.
    pub sender: UserId,
}

impl Place {
    /// Of a message.
    #[must_use]
    pub const fn of(message: &Message) -> Self {
        Self { seq: message.seq, n: message.n, sender: message.sender }
    }

    /// Whether a member who joined at `joined` counts for the message.
    #[must_use]
    pub fn counts(&self, user: UserId, joined: Seq) -> bool {
        user != self.sender && joined < self.seq
    }

    /// How far the message has come with someone who counts.
    #[must_use]
    pub fn reached(&self, position: &Position) -> Reached {
        if position.read_seq >= self.seq || position.sent_n >= self.n {
            Reached::Read
        } else if position.delivered_seq >= self.seq {
            Reached::Delivered
        } else {
            Reached::Sent
        }
    }
}

/// The statuses of several messages of one room, of one walk over its members.
#[derive(Debug)]
pub struct Tally {
    /// In the order of the log.
    places: Vec<Place>,
    /// At each place, how many more (or fewer) than at the one before count, have got it, and have read it.
    steps: Vec<[i64; 3]>,
    /// What senders would add to their own messages.
    own: BTreeMap<UserId, (Seq, Position)>,
    of_former: Vec<Reached>,
    at_least: bool,
}

impl Tally {
    /// Of these messages, in any order.
    #[must_use]
    pub fn new(places: impl IntoIterator<Item = Place>) -> Self {
        let mut places: Vec<Place> = places.into_iter().collect();
        places.sort_unstable_by_key(|place| place.seq);
        places.dedup_by_key(|place| place.seq);
        let own = places.iter().map(|place| (place.sender, (Seq(u64::MAX), Position::default()))).collect();
        let (steps, of_former) = (vec![[0; 3]; places.len() + 1], vec![Reached::Sent; places.len()]);
        Self { places, steps, own, of_former, at_least: false }
    }

    /// Of messages of a room, by its live state; at most `look` members are looked at.
    #[must_use]
    pub fn of_room(state: &RoomState, places: Vec<Place>, look: usize) -> Self {
        let mut tally = Self::new(places);
        tally.at_least = state.members.len() > look;
        for (user, member) in state.members.iter().take(look) {
            tally.member(*user, member.joined_seq, &state.position(*user));
        }
        if tally.wants_former() {
            let former = state.positions.iter().filter(|(user, _)| !state.members.contains_key(user));
            former.take(COUNTED_MAX).for_each(|(user, position)| tally.former(*user, position));
        }
        tally
    }

    /// Says that not all members will be looked at.
    pub const fn set_at_least(&mut self) {
        self.at_least = true;
    }

    /// Takes in a member.
    pub fn member(&mut self, user: UserId, joined: Seq, position: &Position) {
        if let Some(own) = self.own.get_mut(&user) {
            *own = (joined, *position);
        }
        // What someone counts for, has got and has read are stretches of the log that begin where they joined.
        let first = self.places.partition_point(|place| place.seq <= joined);
        let up_to = |reached: Reached| self.places.partition_point(|place| place.reached(position) >= reached);
        for (kind, end) in [self.places.len(), up_to(Reached::Delivered), up_to(Reached::Read)].into_iter().enumerate()
        {
            if end > first {
                self.steps[first][kind] += 1;
                self.steps[end][kind] -= 1;
            }
        }
    }

    /// Whether nobody who counts is left for some message: then those who left are worth a look.
    #[must_use]
    pub fn wants_former(&self) -> bool {
        !self.at_least && self.statuses().any(|(_, status)| status.of == 0)
    }

    /// Takes in someone who is no member any more, by what their position still tells.
    pub fn former(&mut self, user: UserId, position: &Position) {
        for (place, best) in self.places.iter().zip(&mut self.of_former) {
            if user != place.sender && position.floor_n < place.n {
                *best = (*best).max(place.reached(position));
            }
        }
    }

    /// The statuses, in the order of the log.
    pub fn statuses(&self) -> impl Iterator<Item = (Place, Status)> {
        let mut sums = [0_i64; 3];
        self.places.iter().zip(&self.steps).zip(&self.of_former).map(move |((place, step), former)| {
            for (sum, step) in sums.iter_mut().zip(step) {
                *sum += step;
            }
            let [of, delivered_to, read_by] = self.without_sender(place, sums);
            let reached = match (of, self.at_least) {
                (0, _) => *former,
                (_, true) => reached(1, delivered_to, read_by),
                (of, false) => reached(of, delivered_to, read_by),
            };
            (*place, Status { reached, delivered_to, read_by, of, at_least: self.at_least })
        })
    }

    fn without_sender(&self, place: &Place, sums: [i64; 3]) -> [u32; 3] {
        let mut sums = sums;
        if let Some((joined, position)) = self.own.get(&place.sender)
            && *joined < place.seq
        {
            let reached = place.reached(position);
            for (sum, least) in sums.iter_mut().zip([Reached::Sent, Reached::Delivered, Reached::Read]) {
                *sum -= i64::from(reached >= least);
            }
        }
        sums.map(|sum| u32::try_from(sum).unwrap_or(0))
    }
}

fn reached(needed: u32, delivered_to: u32, read_by: u32) -> Reached {
    if read_by >= needed {
        Reached::Read
    } else if delivered_to >= needed {
        Reached::Delivered
    } else {
        Reached::Sent
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
