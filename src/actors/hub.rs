//! The meeting point of a room and those who listen: the room's newest numbers and its audience on this node.
//!
//! A hub lives as long as anyone holds it, whether the room is awake or not: a user's room list holds the hubs of its
//! rooms, an awake room holds its own. It knows nothing of rules.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::DashMap;
use parking_lot::RwLock;

use super::stream::{EventBatch, Item, Moment, StreamQueue};
use crate::domain::{
    fold::fold,
    ids::{RoomId, Seq, UserId},
    position::RoomHead,
    unread::Uncounted,
};

/// Someone who listens to a room.
#[derive(Clone, Debug)]
struct Listener {
    user: UserId,
    queue: Arc<StreamQueue>,
}

#[derive(Debug, Default)]
struct Audience {
    listeners: Vec<Listener>,
    /// Users who have left, by the event by which they did, until their actor knows it: a stream that opens meanwhile
    /// must not listen.
    parted: HashMap<UserId, Seq>,
}

/// One room's hub.
#[derive(Debug)]
pub struct RoomHub {
    id: RoomId,
    head: RwLock<Option<RoomHead>>,
    told: RwLock<Option<Seq>>,
    name: RwLock<Option<Arc<str>>>,
    positions_version: AtomicU64,
    uncounted: RwLock<Option<Arc<Uncounted>>>,
    audience: RwLock<Audience>,
    registry: Weak<DashMap<RoomId, Weak<RoomHub>>>,
}

impl RoomHub {
    /// The room.
    #[must_use]
    pub const fn id(&self) -> RoomId {
        self.id
    }

    /// The newest durable numbers, if anyone has told them yet.
    #[must_use]
    pub fn head(&self) -> Option<RoomHead> {
        *self.head.read()
    }

    /// Tells the newest numbers; older ones than known change nothing.
    pub fn set_head(&self, head: RoomHead) {
        let mut slot = self.head.write();
        if slot.is_none_or(|old| old.seq <= head.seq) {
            *slot = Some(head);
        }
    }

    /// Up to where a room on this node has told what happened; none if no room of this hub was awake yet.
    #[must_use]
    pub fn told(&self) -> Option<Seq> {
        *self.told.read()
    }

    /// The room's name without accents and case, if anyone has told it yet.
    #[must_use]
    pub fn folded_name(&self) -> Option<Arc<str>> {
        self.name.read().clone()
    }

    /// Tells the room's name.
    pub fn set_name(&self, name: &str) {
        *self.name.write() = Some(fold(name).into());
    }

    /// What counts as unread for nobody in the room, if anyone has told it yet.
    #[must_use]
    pub fn uncounted(&self) -> Option<Arc<Uncounted>> {
        self.uncounted.read().clone()
    }

    /// Tells what counts as unread for nobody, as the room's writer has it.
    pub fn set_uncounted(&self, uncounted: &Arc<Uncounted>) {
        let mut slot = self.uncounted.write();
        if slot.as_ref().is_none_or(|known| !Arc::ptr_eq(known, uncounted)) {
            *slot = Some(Arc::clone(uncounted));
        }
    }

    /// Takes what the store says of it, unless the room's writer has said something. Returns what holds.
    pub fn learn_uncounted(&self, stored: Arc<Uncounted>) -> Arc<Uncounted> {
        Arc::clone(self.uncounted.write().get_or_insert(stored))
    }

    /// Changes whenever a position in the room moves: what was read at an older version may be outdated.
    #[must_use]
    pub fn positions_version(&self) -> u64 {
        self.positions_version.load(Ordering::Acquire)
    }

    /// Says that a position has moved.
    pub fn positions_moved(&self) {
        self.positions_version.fetch_add(1, Ordering::Release);
    }

    /// Adds a stream of `user`, who is a member by the event at `since` at the earliest. Returns whether it listens now:
    /// not if the user has left by a later event.
    pub fn listen(&self, user: UserId, since: Seq, queue: &Arc<StreamQueue>) -> bool {
        let mut audience = self.audience.write();
        if audience.parted.get(&user).is_some_and(|at| *at > since) {
            return false;
        }
        if !audience.listeners.iter().any(|l| Arc::ptr_eq(&l.queue, queue)) {
            audience.listeners.push(Listener { user, queue: Arc::clone(queue) });
        }
        true
    }

    /// Takes the streams of users away who left the room by the event at `at`: they are given what comes up to it, and
    /// nothing after it. The actors of those `online` are about to be told.
    pub fn part(&self, users: &[UserId], at: Seq, online: impl Fn(UserId) -> bool) {
        let mut audience = self.audience.write();
        audience.parted.extend(users.iter().filter(|user| online(**user)).map(|user| (*user, at)));
        audience.listeners.retain(|listener| {
            let stays = !users.contains(&listener.user);
            if !stays {
                listener.queue.push_control(Item::Left(self.id, at));
            }
            stays
        });
    }

    /// The user is a member again, or their actor knows that they left by the event at `at`.
    pub fn forget_parting(&self, user: UserId, at: Seq) {
        let is_known = |audience: &Audience| audience.parted.get(&user).is_some_and(|parted| *parted <= at);
        if is_known(&self.audience.read()) {
            let mut audience = self.audience.write();
            if is_known(&audience) {
                audience.parted.remove(&user);
            }
        }
    }

    /// Takes a stream away; returns whether it listened.
    pub fn unlisten(&self, queue: &Arc<StreamQueue>) -> bool {
        let mut audience = self.audience.write();
        let before = audience.listeners.len();
        audience.listeners.retain(|l| !Arc::ptr_eq(&l.queue, queue));
        if audience.listeners.is_empty() {
            audience.listeners.shrink_to_fit();
        }
        audience.listeners.len() < before
    }

    /// Says that everything up to `seq` has been told.
    pub fn set_told(&self, seq: Seq) {
        let mut told = self.told.write();
        *told = (*told).max(Some(seq));
    }

    /// Users who listen.
    #[must_use]
    pub fn audience(&self) -> BTreeSet<UserId> {
        self.audience.read().listeners.iter().map(|l| l.user).collect()
    }

    /// Gives a batch to everyone.
    pub fn tell(&self, batch: EventBatch) {
        self.set_told(batch.last());
        let audience = self.audience.read();
        if audience.listeners.is_empty() {
            return;
        }
        let batch = Arc::new(batch);
        for listener in &audience.listeners {
            listener.queue.push_batch(&batch);
        }
    }

    /// Gives a moment to everyone but `but`, or to `only`.
    pub fn tell_moment(&self, moment: &Arc<Moment>, only: Option<UserId>, but: Option<UserId>) {
        for listener in self.audience.read().listeners.iter() {
            if only.is_none_or(|user| user == listener.user) && but != Some(listener.user) {
                listener.queue.push_moment(moment);
            }
        }
    }

    /// How many streams listen.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.audience.read().listeners.len()
    }
}

impl Drop for RoomHub {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.remove_if(&self.id, |_, hub| hub.strong_count() == 0);
        }
    }
}

/// All hubs of a node.
#[derive(Clone, Debug, Default)]
pub struct Hubs {
    registry: Arc<DashMap<RoomId, Weak<RoomHub>>>,
}

impl Hubs {
    /// The room's hub; the same for all who hold it at the same time.
    #[must_use]
    pub fn get(&self, id: RoomId) -> Arc<RoomHub> {
        let mut slot = self.registry.entry(id).or_default();
        if let Some(hub) = slot.upgrade() {
            return hub;
        }
        let hub = Arc::new(RoomHub {
            id,
            head: RwLock::default(),
            told: RwLock::default(),
            name: RwLock::default(),
            positions_version: AtomicU64::new(0),
            uncounted: RwLock::default(),
            audience: RwLock::default(),
            registry: Arc::downgrade(&self.registry),
        });
        *slot = Arc::downgrade(&hub);
        hub
    }
}
