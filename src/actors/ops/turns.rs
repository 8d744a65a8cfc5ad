//! The order in which one caller's sends enter their rooms, when the caller does not wait for the answers.
//!
//! What precedes a send (its look-up in the store) takes its own time; a turn makes it wait for those that were given
//! before it. It orders entries into a room's mailbox alone: from there on the room's actor keeps the order.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::domain::ids::RoomId;

/// Rooms remembered before those where nobody waits are forgotten.
const ROOMS_MAX: usize = 512;

/// Hands out the turns of one caller.
#[derive(Debug, Default)]
pub struct Turns {
    newest: HashMap<RoomId, Wait>,
}

/// Waiting for those before. Closed without a word, they have entered; one that gives up while it waits itself says whom
/// to wait for in its stead.
#[derive(Debug)]
struct Wait(oneshot::Receiver<Self>);

impl Wait {
    /// Whom to wait for now; none if all have entered.
    fn now(mut self) -> Option<Self> {
        loop {
            match self.0.try_recv() {
                Ok(instead) => self = instead,
                Err(oneshot::error::TryRecvError::Empty) => return Some(self),
                Err(oneshot::error::TryRecvError::Closed) => return None,
            }
        }
    }
}

/// The right to enter a room after those who were there before. Who drops it gives up, and lets nobody overtake those.
#[derive(Debug, Default)]
pub struct Turn {
    before: Option<Wait>,
    after: Option<oneshot::Sender<Wait>>,
}

impl Turns {
    /// A turn at a room, after all that were taken there before.
    pub fn take(&mut self, room: RoomId) -> Turn {
        if self.newest.len() >= ROOMS_MAX {
            let waiting = self.newest.drain().filter_map(|(room, turn)| Some((room, turn.now()?)));
            self.newest = waiting.collect();
        }
        let (pass, next) = oneshot::channel();
        let before = self.newest.insert(room, Wait(next));
        Turn { before: before.and_then(Wait::now), after: Some(pass) }
    }
}

impl Turn {
    /// Waits until those before have entered or given up.
    pub(super) async fn come(&mut self) {
        while let Some(before) = &mut self.before {
            self.before = (&mut before.0).await.ok();
        }
    }

    /// Lets the next one in.
    pub(super) fn pass(&mut self) {
        self.after = None;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let (Some(after), Some(before)) = (self.after.take(), self.before.take().and_then(Wait::now)) {
            // Nobody has come after it: then there is nobody to tell.
            let _ = after.send(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const ROOM: RoomId = RoomId([1; 16]);

    #[test]
    fn turns_come_in_the_order_taken() {
        let mut turns = Turns::default();
        let (mut first, mut second, mut third) = (turns.take(ROOM), turns.take(ROOM), turns.take(ROOM));
        let mut elsewhere = turns.take(RoomId([2; 16]));
        assert!(elsewhere.come().now_or_never().is_some(), "rooms are independent");
        assert!(third.come().now_or_never().is_none());
        assert!(second.come().now_or_never().is_none());
        assert!(first.come().now_or_never().is_some());
        first.pass();
        assert!(third.come().now_or_never().is_none());
        assert!(second.come().now_or_never().is_some());
        drop(second);
        assert!(third.come().now_or_never().is_some());
        assert!(turns.take(ROOM).come().now_or_never().is_none(), "the third is still to enter");
        drop(third);
        assert!(turns.take(ROOM).come().now_or_never().is_some());
    }

    #[test]
    fn who_gives_up_lets_nobody_overtake_those_before() {
        let mut turns = Turns::default();
        let mut all: Vec<Turn> = (0..1_000).map(|_| turns.take(ROOM)).collect();
        let mut last = all.pop().unwrap();
        let mut first = all.remove(0);
        drop(all);
        assert!(last.come().now_or_never().is_none(), "the first has not entered");
        let mut next = turns.take(ROOM);
        drop(last);
        assert!(next.come().now_or_never().is_none());
        assert!(first.come().now_or_never().is_some());
        first.pass();
        assert!(next.come().now_or_never().is_some());
    }

    #[test]
    fn rooms_where_nobody_waits_are_forgotten() {
        let mut turns = Turns::default();
        let room = |n: u16| RoomId(std::array::from_fn(|i| n.to_be_bytes()[i % 2]));
        let mut kept = turns.take(room(0));
        for n in 1..2_000 {
            drop(turns.take(room(n)));
        }
        assert!(turns.newest.len() <= ROOMS_MAX);
        assert!(turns.take(room(0)).come().now_or_never().is_none(), "this one is not");
        kept.pass();
    }
}
