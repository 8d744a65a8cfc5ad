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
    newest: HashMap<RoomId, oneshot::Receiver<()>>,
}

/// The right to enter a room after those who were there before. Dropping it lets the next one in.
#[derive(Debug, Default)]
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    after: Option<oneshot::Sender<()>>,
}

impl Turns {
    /// A turn at a room, after all that were taken there before.
    pub fn take(&mut self, room: RoomId) -> Turn {
        if self.newest.len() >= ROOMS_MAX {
            self.newest.retain(|_, turn| is_waited_for(turn));
        }
        let (pass, next) = oneshot::channel();
        let before = self.newest.insert(room, next);
        Turn { before: before.and_then(|mut turn| is_waited_for(&mut turn).then_some(turn)), after: Some(pass) }
    }
}

impl Turn {
    /// Waits until those before have entered or given up.
    pub(super) async fn come(&mut self) {
        if let Some(before) = &mut self.before {
            // Nothing is ever sent: that it is closed is the news.
            let _ = before.await;
            self.before = None;
        }
    }

    /// Lets the next one in.
    pub(super) fn pass(&mut self) {
        self.after = None;
    }
}

fn is_waited_for(turn: &mut oneshot::Receiver<()>) -> bool {
    matches!(turn.try_recv(), Err(oneshot::error::TryRecvError::Empty))
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
