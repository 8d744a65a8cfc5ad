//! Unread: how many messages a member has not seen, without those that count for nobody (deleted for all, or the
//! system's) and those that the member has hidden for themselves. Pure arithmetic; nothing is counted per member.

#[cfg(any(test, feature = "testkit"))]
use std::collections::HashMap;

#[cfg(any(test, feature = "testkit"))]
use super::event::{Event, EventBody};
use super::{ids::Ordinal, message::MessageType};

/// Runs of neighbouring ordinals that are known at most; the oldest are forgotten first.
const RUNS_MAX: usize = 512;

/// Ordinals of a room's messages that count as unread for nobody, as runs of neighbours. There are few of them, and of
/// few of those it matters: only what lies above somebody's position is ever asked for. When there are more than
/// `RUNS_MAX` runs, the oldest is forgotten: for a member who is that far behind, what is in it counts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Uncounted {
    /// First and last ordinal of each run, in order, not touching one another.
    runs: Vec<(u64, u64)>,
}

impl Uncounted {
    /// From runs as [`Uncounted::runs`] gives them. What is out of order is put in order.
    #[must_use]
    pub fn from_runs(runs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut all = Self::default();
        runs.into_iter().filter(|(first, last)| first <= last).for_each(|(first, last)| all.add_run(first, last));
        all
    }

    /// What a whole log makes of it: the same that was added as it went, unless more was there than is kept.
    #[cfg(any(test, feature = "testkit"))]
    #[must_use]
    pub fn of_log<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let (mut all, mut ordinals) = (Self::default(), HashMap::new());
        for event in events {
            if let Some(message) = event.message() {
                ordinals.insert(message.seq, message.n);
                if !counts(message.draft.message_type) {
                    all.add(message.n);
                }
            }
            if let EventBody::Deleted(target) = &event.body {
                ordinals.get(&target.seq).into_iter().for_each(|n| all.add(*n));
            }
        }
        all
    }

    /// First and last ordinal of each run, in order.
    #[must_use]
    pub fn runs(&self) -> &[(u64, u64)] {
        &self.runs
    }

    /// Says that this message counts for nobody.
    pub fn add(&mut self, n: Ordinal) {
        self.add_run(n.0, n.0);
    }

    fn add_run(&mut self, first: u64, last: u64) {
        // The runs that the new one touches, or overlaps, become one with it.
        let from = self.runs.partition_point(|(_, end)| end.saturating_add(1) < first);
        let to = self.runs.partition_point(|(start, _)| *start <= last.saturating_add(1));
        let touched = self.runs.get(from..to).unwrap_or_default();
        let start = touched.first().map_or(first, |(start, _)| first.min(*start));
        let end = touched.last().map_or(last, |(_, end)| last.max(*end));
        self.runs.splice(from..to.max(from), [(start, end)]);
        if self.runs.len() > RUNS_MAX {
            self.runs.remove(0);
        }
    }

    /// Whether this message counts for nobody.
    #[must_use]
    pub fn contains(&self, n: Ordinal) -> bool {
        let at = self.runs.partition_point(|(_, last)| *last < n.0);
        self.runs.get(at).is_some_and(|(first, _)| *first <= n.0)
    }

    /// How many messages after `seen` count for nobody.
    #[must_use]
    pub fn after(&self, seen: Ordinal) -> u64 {
        let behind = self.runs.iter().rev().take_while(|(_, last)| *last > seen.0);
        behind.map(|(first, last)| last - (*first - 1).max(seen.0)).sum()
    }
}

/// Whether a message of this type counts as unread once it is sent. What the system says of a room is read with it, and
/// asks for nobody's attention.
#[must_use]
pub const fn counts(message_type: MessageType) -> bool {
    matches!(message_type, MessageType::User)
}

/// An unread number and what it is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unread {
    /// Messages after the member's position.
    pub behind: u64,
    /// Of these, how many count for nobody.
    pub uncounted: u64,
    /// Of the others, how many the member has hidden for themselves.
    pub hidden: u64,
}

impl Unread {
    /// Of a member who has seen what is up to `seen`, in a room whose newest message is `head`. `hidden` has what the
    /// member has hidden, perhaps more than matters, each once.
    #[must_use]
    pub fn new(seen: Ordinal, head: Ordinal, uncounted: &Uncounted, hidden: &[Ordinal]) -> Self {
        let of_own = hidden.iter().filter(|n| **n > seen && **n <= head && !uncounted.contains(**n)).count();
        Self {
            behind: head.0.saturating_sub(seen.0),
            // The room may have gone on since its head was read.
            uncounted: uncounted.after(seen).saturating_sub(uncounted.after(head)),
            hidden: of_own as u64,
        }
    }

    /// The number.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.behind.saturating_sub(self.uncounted).saturating_sub(self.hidden)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_become_one_run() {
        let mut uncounted = Uncounted::default();
        for n in [5, 9, 7, 6, 5] {
            uncounted.add(Ordinal(n));
        }
        assert_eq!(uncounted.runs(), [(5, 7), (9, 9)]);
        uncounted.add(Ordinal(8));
        assert_eq!(uncounted.runs(), [(5, 9)]);
    }

    #[test]
    fn the_oldest_run_is_forgotten_first() {
        let mut uncounted = Uncounted::default();
        let many = RUNS_MAX as u64 + 3;
        (1..=many).for_each(|i| uncounted.add(Ordinal(2 * i)));
        assert_eq!(uncounted.runs().len(), RUNS_MAX);
        assert!(!uncounted.contains(Ordinal(6)) && uncounted.contains(Ordinal(8)));
        assert_eq!(uncounted.after(Ordinal(7)), RUNS_MAX as u64);
    }

    proptest! {
        #[test]
        fn the_number_is_what_counting_gives(
            gone in prop::collection::vec(1_u64..60, 0..40),
            own in prop::collection::btree_set(1_u64..60, 0..10),
            head in 0_u64..60,
            seen in 0_u64..60,
        ) {
            let mut uncounted = Uncounted::default();
            gone.iter().for_each(|n| uncounted.add(Ordinal(*n)));
            let hidden: Vec<Ordinal> = own.iter().map(|n| Ordinal(*n)).collect();
            let gone: BTreeSet<u64> = gone.into_iter().collect();
            let naive = (seen + 1..=head).filter(|n| !gone.contains(n) && !own.contains(n)).count() as u64;
            let unread = Unread::new(Ordinal(seen), Ordinal(head), &uncounted, &hidden);
            prop_assert_eq!(unread.count(), naive);
            prop_assert!((0..70).all(|n| uncounted.contains(Ordinal(n)) == gone.contains(&n)));
            prop_assert_eq!(Uncounted::from_runs(uncounted.runs().iter().copied()), uncounted);
        }
    }
}
