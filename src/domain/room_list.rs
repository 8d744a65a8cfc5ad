//! The order of a user's rooms, and how pages go through it while it changes.
//!
//! Rooms stand by their newest message's id, not by a clock: ids grow with every message, so that a clock that was ahead
//! for a while keeps nothing on top. A room without messages stands where its first one would have, had it been sent when
//! the room was made.
//!
//! A room that gets a message goes to the front, where pages have been already. So pages go through the rooms as they
//! stood at the first page, without those that have got a message since, and then through those, the longest moved
//! first: every room that was there at the first page is on some page at least once.

use super::{
    ids::{MessageId, RoomId},
    position::RoomHead,
    snowflake,
};

/// A place in a room list: pinned first, then by newest message, then by id. Smaller comes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ListKey {
    /// Not pinned.
    pub unpinned: bool,
    /// Minus the newest message's id.
    pub older: i64,
    /// Breaks ties.
    pub room: RoomId,
}

impl ListKey {
    /// Where a room with this head stands.
    #[must_use]
    pub fn new(room: RoomId, head: &RoomHead, pinned: bool) -> Self {
        let newest =
            if head.message_id == MessageId(0) { snowflake::first_at(head.activity_ms) } else { head.message_id };
        Self { unpinned: !pinned, older: -newest.0, room }
    }

    /// The newest message's id, as far as the order knows it.
    #[must_use]
    pub const fn newest(&self) -> i64 {
        -self.older
    }
}

/// Where a page begins or ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Spot {
    /// Among the rooms that stand where they stood at the first page.
    Still(ListKey),
    /// Among those with a message since, by newest message.
    Moved(i64, RoomId),
}

/// How far pages have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListPlace {
    /// Newest message at the first page.
    pub since: i64,
    /// The last room shown.
    pub last: Spot,
}

/// What is left of a list for the pages after `after`, smallest first, and the place that a page which ends at a spot
/// leads on to.
#[derive(Clone, Copy, Debug)]
pub struct Paging {
    since: i64,
    after: Option<Spot>,
}

impl Paging {
    /// Goes on at `after`; the first page is of the list with these `keys`.
    #[must_use]
    pub fn new(after: Option<ListPlace>, keys: impl Iterator<Item = ListKey>) -> Self {
        match after {
            Some(place) => Self { since: place.since, after: Some(place.last) },
            None => Self { since: keys.map(|key| key.newest()).max().unwrap_or(i64::MAX), after: None },
        }
    }

    /// Where a room stands; none if a page before has shown it there.
    #[must_use]
    pub fn spot(&self, key: ListKey) -> Option<Spot> {
        let spot = if key.newest() > self.since { Spot::Moved(key.newest(), key.room) } else { Spot::Still(key) };
        self.after.is_none_or(|after| spot > after).then_some(spot)
    }

    /// Where to go on after `last`.
    #[must_use]
    pub const fn place(&self, last: Spot) -> ListPlace {
        ListPlace { since: self.since, last }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn key(room: u8, newest: i64, pinned: bool) -> ListKey {
        let head = RoomHead { message_id: MessageId(newest), ..RoomHead::default() };
        ListKey::new(RoomId([room; 16]), &head, pinned)
    }

    #[test]
    fn a_clock_that_was_ahead_keeps_nothing_on_top() {
        let at = |message_id, activity_ms| RoomHead {
            message_id: MessageId(message_id),
            activity_ms,
            ..RoomHead::default()
        };
        let ahead = ListKey::new(RoomId([1; 16]), &at(100, 9_000_000_000_000), false);
        let later = ListKey::new(RoomId([2; 16]), &at(101, 1_800_000_000_000), false);
        assert!(later < ahead, "what was sent last comes first");
    }

    #[test]
    fn a_room_without_messages_stands_by_when_it_was_made() {
        let made = RoomHead { activity_ms: snowflake::EPOCH_MS + 5, ..RoomHead::default() };
        let (before, after) =
            (snowflake::first_at(snowflake::EPOCH_MS + 4), snowflake::first_at(snowflake::EPOCH_MS + 6));
        let made = ListKey::new(RoomId([1; 16]), &made, false);
        assert!(before.0 < made.newest() && made.newest() < after.0);
    }

    proptest! {
        /// Whatever gets a message between the pages, every room of the first page's moment is seen, none twice where it
        /// has not moved, and the pages end.
        #[test]
        fn every_room_is_on_some_page(
            rooms in prop::collection::btree_map(0_u8..40, (1_i64..50, any::<bool>()), 0..40),
            moves in prop::collection::vec(prop::collection::vec(0_u8..40, 0..4), 0..60),
            limit in 1_usize..7,
        ) {
            let mut newest: BTreeMap<u8, (i64, bool)> = rooms.clone();
            let (mut next_id, mut after, mut seen, mut twice) = (1_000, None, BTreeSet::new(), BTreeSet::new());
            let mut moved = BTreeSet::new();
            let mut moves = moves.into_iter();
            loop {
                let keys: Vec<ListKey> = newest.iter().map(|(room, (id, pinned))| key(*room, *id, *pinned)).collect();
                let paging = Paging::new(after, keys.iter().copied());
                let mut spots: Vec<(Spot, RoomId)> =
                    keys.iter().filter_map(|key| Some((paging.spot(*key)?, key.room))).collect();
                spots.sort_unstable();
                let more = spots.len() > limit;
                spots.truncate(limit);
                for (_, room) in &spots {
                    if !seen.insert(room.0[0]) {
                        twice.insert(room.0[0]);
                    }
                }
                let Some((last, _)) = spots.last().filter(|_| more) else { break };
                after = Some(paging.place(*last));
                for room in moves.next().unwrap_or_default() {
                    if let Some((id, _)) = newest.get_mut(&room) {
                        next_id += 1;
                        *id = next_id;
                        moved.insert(room);
                    }
                }
            }
            prop_assert_eq!(seen, rooms.keys().copied().collect::<BTreeSet<u8>>());
            prop_assert!(twice.is_subset(&moved));
        }
    }
}
