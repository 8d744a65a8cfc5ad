//! Who is online on this node, and who wants to know. Kept in memory alone: presence is no truth.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;

use super::stream::{Moment, MomentBody, StreamQueue};
use crate::domain::ids::UserId;

/// Users whose last visit is remembered.
const LAST_SEEN_MAX: usize = 100_000;

#[derive(Debug, Default)]
struct Board {
    online: HashMap<UserId, usize>,
    watchers: HashMap<UserId, Vec<Arc<StreamQueue>>>,
    last_seen: HashMap<UserId, i64>,
    last_seen_order: VecDeque<UserId>,
}

/// The node's board of presence.
#[derive(Debug, Default)]
pub struct Presence {
    board: Mutex<Board>,
}

impl Presence {
    /// A stream of `user` opened.
    pub fn opened(&self, user: UserId, now_ms: i64) {
        let mut board = self.board.lock();
        let streams = board.online.entry(user).or_default();
        *streams += 1;
        if *streams == 1 {
            board.tell(user, true, now_ms);
        }
    }

    /// A stream of `user` closed.
    pub fn closed(&self, user: UserId, now_ms: i64) {
        let mut board = self.board.lock();
        let Some(streams) = board.online.get_mut(&user) else {
            return;
        };
        *streams -= 1;
        if *streams == 0 {
            board.online.remove(&user);
            board.remember(user, now_ms);
            board.tell(user, false, now_ms);
        }
    }

    /// A stream wants to know of these users, and is told how they stand.
    pub fn watch(&self, users: &[UserId], queue: &Arc<StreamQueue>, now_ms: i64) {
        let mut board = self.board.lock();
        for user in users {
            board.watchers.entry(*user).or_default().push(Arc::clone(queue));
            let online = board.online.contains_key(user);
            queue.push_moment(&Arc::new(Moment::new(None, *user, now_ms, MomentBody::Presence { online })));
        }
    }

    /// A stream no longer wants to know.
    pub fn unwatch(&self, users: &[UserId], queue: &Arc<StreamQueue>) {
        let mut board = self.board.lock();
        for user in users {
            if let Some(watchers) = board.watchers.get_mut(user) {
                watchers.retain(|w| !Arc::ptr_eq(w, queue));
                if watchers.is_empty() {
                    board.watchers.remove(user);
                }
            }
        }
    }

    /// Whether a user is online, and when they were last (milliseconds since the Unix epoch) if they are not.
    #[must_use]
    pub fn of(&self, user: UserId) -> (bool, Option<i64>) {
        let board = self.board.lock();
        let online = board.online.contains_key(&user);
        (online, board.last_seen.get(&user).copied().filter(|_| !online))
    }

    /// Users online.
    #[must_use]
    pub fn online(&self) -> usize {
        self.board.lock().online.len()
    }

    /// Streams open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.board.lock().online.values().sum()
    }
}

impl Board {
    fn tell(&self, user: UserId, online: bool, now_ms: i64) {
        let Some(watchers) = self.watchers.get(&user) else {
            return;
        };
        let moment = Arc::new(Moment::new(None, user, now_ms, MomentBody::Presence { online }));
        watchers.iter().for_each(|queue| queue.push_moment(&moment));
    }

    fn remember(&mut self, user: UserId, now_ms: i64) {
        if self.last_seen.insert(user, now_ms).is_none() {
            self.last_seen_order.push_back(user);
        }
        while self.last_seen_order.len() > LAST_SEEN_MAX {
            if let Some(old) = self.last_seen_order.pop_front() {
                self.last_seen.remove(&old);
            }
        }
    }
}
