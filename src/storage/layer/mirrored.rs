//! Notes what a store is told to change, so that a follower ([`crate::storage::migrate::follow()`]) can bring it to a
//! second store; and, if asked to, reads logs from there.
//!
//! A write marks its room or user when it has ended, however it ended (also dropped), before its caller hears of it. One
//! whose outcome is unknown may happen yet: it marks once more when it can no longer. A mark says only that something may
//! differ: what it is, the follower finds by comparing. Marks live in memory; a follower that starts compares everything,
//! and so finds again what a crash has made it forget.
//!
//! Stands below the encryption: both stores hold the same sealed bytes.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::prelude::*;
use crate::storage::error::{Outcome, StoreError};

/// Rooms, and users, that are remembered one by one; beyond, everything counts as changed.
const MARKS_MAX: usize = 100_000;
/// After this time a write whose outcome is unknown is taken to have happened, or never to: longer than an attempt's
/// deadline with the timeouts as they come. A longer timeout of a database is not known here.
const DOUBT: Duration = Duration::from_secs(5);
/// Doubtful writes that are remembered one by one; beyond, the last ones count as everything.
const DOUBTS_MAX: usize = 10_000;

/// What has changed in a store since it was last brought to the second one. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Marks(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    changed: Mutex<Changed>,
    /// Taken and not yet brought.
    under_way: Mutex<Changed>,
    /// Written with an unknown outcome, and when that is settled; the oldest first.
    doubts: Mutex<VecDeque<(Instant, Changed)>>,
    /// Writes that have begun and not ended.
    writing: AtomicUsize,
    closed: AtomicBool,
    news: Notify,
}

/// Rooms and users that may differ in the second store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changed {
    /// All of them: nothing is known about any.
    pub everything: bool,
    /// Rooms.
    pub rooms: BTreeSet<RoomId>,
    /// Users.
    pub users: BTreeSet<UserId>,
}

impl Changed {
    /// Everything may differ.
    #[must_use]
    pub fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.rooms.is_empty() && self.users.is_empty()
    }

    fn add(&mut self, other: Self) {
        self.everything |= other.everything;
        self.rooms.extend(other.rooms);
        self.users.extend(other.users);
        if self.everything || self.rooms.len() > MARKS_MAX || self.users.len() > MARKS_MAX {
            *self = Self::everything();
        }
    }

    fn has_room(&self, room: RoomId) -> bool {
        self.everything || self.rooms.contains(&room)
    }
}

/// The server is on its way out: what was written now would not reach the second store.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("closed for writes: the other store takes over")]
struct Closed;

/// A write under way. Marks when it goes.
#[derive(Debug)]
struct Guard<'a> {
    marks: &'a Marks,
    changed: Changed,
    /// Nobody has said yet that it certainly happened, or certainly not.
    doubtful: bool,
}

impl Guard<'_> {
    fn ended<T>(&mut self, result: &Result<T>) {
        self.doubtful = result.as_ref().is_err_and(|error| error.outcome() == Outcome::Unknown);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        if self.doubtful {
            self.marks.doubt(changed.clone());
        }
        self.marks.put(changed);
        self.marks.0.writing.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Marks {
    /// Marks for a store about which nothing is known yet.
    #[must_use]
    pub fn of_unknown() -> Self {
        let marks = Self::default();
        marks.put(Changed::everything());
        marks
    }

    /// Marks what changed.
    pub fn put(&self, changed: Changed) {
        if !changed.is_empty() {
            self.0.changed.lock().add(changed);
            self.0.news.notify_one();
        }
    }

    /// Marks once more when what may happen yet can no longer.
    fn doubt(&self, changed: Changed) {
        let mut doubts = self.0.doubts.lock();
        if doubts.len() >= DOUBTS_MAX
            && let Some((due, last)) = doubts.back_mut()
        {
            (*due, *last) = (Instant::now() + DOUBT, Changed::everything());
        } else {
            doubts.push_back((Instant::now() + DOUBT, changed));
        }
    }

    /// Marks the doubtful writes that are settled by now; says when the next one is.
    fn settle(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut doubts = self.0.doubts.lock();
        while let Some((due, _)) = doubts.front() {
            if *due > now {
                return Some(*due);
            }
            if let Some((_, changed)) = doubts.pop_front() {
                self.put(changed);
            }
        }
        None
    }

    /// Takes all marks; they count as under way until [`Marks::brought`].
    #[must_use]
    pub fn take(&self) -> Changed {
        self.settle();
        // Both locks: no moment in which a mark is in neither place.
        let mut changed = self.0.changed.lock();
        let taken = std::mem::take(&mut *changed);
        self.0.under_way.lock().add(taken.clone());
        taken
    }

    /// What was taken has been brought, but for `left`.
    pub fn brought(&self, left: Changed) {
        let mut changed = self.0.changed.lock();
        changed.add(left);
        *self.0.under_way.lock() = Changed::default();
    }

    /// Waits until there is a mark.
    pub async fn news(&self) {
        loop {
            let next = self.settle();
            if !self.0.changed.lock().is_empty() {
                return;
            }
            let settled = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.0.news.notified() => {}
                () = settled => {}
            }
        }
    }

    /// Refuses all writes from now on.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
    }

    /// Whether everything that was ever written has been brought: no mark, no write under way, none in doubt.
    #[must_use]
    pub fn is_level(&self) -> bool {
        let at_rest = self.0.writing.load(Ordering::Acquire) == 0 && self.0.doubts.lock().is_empty();
        at_rest && self.behind() == Some(0)
    }

    /// How many rooms and users the second store may be behind with; none while nothing at all is known.
    #[must_use]
    pub fn behind(&self) -> Option<usize> {
        let (changed, under_way) = (self.0.changed.lock(), self.0.under_way.lock());
        let known = !changed.everything && !under_way.everything;
        known.then(|| {
            let rooms = changed.rooms.union(&under_way.rooms).count();
            rooms + changed.users.union(&under_way.users).count()
        })
    }

    fn has_room(&self, room: RoomId) -> bool {
        let (changed, under_way) = (self.0.changed.lock(), self.0.under_way.lock());
        changed.has_room(room) || under_way.has_room(room)
    }

    fn begin(&self, op: &'static str, changed: Changed) -> Result<Guard<'_>> {
        // Counted before it is asked: who closes and then sees nobody writing has seen everybody.
        self.0.writing.fetch_add(1, Ordering::AcqRel);
        let mut guard = Guard { marks: self, changed, doubtful: true };
        if self.0.closed.load(Ordering::Acquire) {
            (guard.changed, guard.doubtful) = (Changed::default(), false);
            return Err(StoreError::not_tried(op, Closed));
        }
        Ok(guard)
    }

    fn room(&self, op: &'static str, room: RoomId) -> Result<Guard<'_>> {
        self.begin(op, Changed { rooms: [room].into(), ..Changed::default() })
    }

    fn user(&self, op: &'static str, user: UserId) -> Result<Guard<'_>> {
        self.begin(op, Changed { users: [user].into(), ..Changed::default() })
    }
}

/// A store whose changes are marked.
#[derive(Debug)]
pub struct Mirrored {
    inner: Arc<dyn Store>,
    marks: Marks,
    /// Where logs of rooms without marks are read.
    reads: Option<Arc<dyn Store>>,
}

impl Mirrored {
    /// Marks what is written to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, marks: Marks) -> Self {
        Self { inner, marks, reads: None }
    }

    /// Reads logs, and what hangs on messages, from `mirror` wherever it is not behind. What decides (claims, heads,
    /// members, positions, pairs, look-ups) stays with the first store. Right only while all writes go through this
    /// process.
    #[must_use]
    pub fn reading_from(self, mirror: Arc<dyn Store>) -> Self {
        Self { reads: Some(mirror), ..self }
    }

    /// The second store, if it has all of `room`.
    fn mirror_of(&self, room: RoomId) -> Option<&dyn Store> {
        self.reads.as_deref().filter(|_| !self.marks.has_room(room))
    }
}

/// Implements the contract: each method with what it marks.
macro_rules! marked {
    (@call $self:ident, nothing(), $method:ident, $call:expr) => {
        $call.await
    };
    (@call $self:ident, $mark:ident($key:expr), $method:ident, $call:expr) => {{
        let mut write = $self.marks.$mark(stringify!($method), $key)?;
        let result = $call.await;
        write.ended(&result);
        result
    }};
    ($($contract:ident {
        $($mark:ident($($key:expr)?) $method:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*
        $({ $($extra:tt)* })?
    })*) => {
        $(
            #[async_trait::async_trait]
            impl $contract for Mirrored {
                $(
                    async fn $method(&self, $($arg: $ty),*) -> Result<$out> {
                        marked! { @call self, $mark($($key)?), $method, self.inner.$method($($arg),*) }
                    }
                )*
                $($($extra)*)?
            }
        )*
    };
}

/// Reads from the second store if it is not behind and answers, otherwise from the first.
macro_rules! read {
    ($self:ident, $room:ident, $method:ident($($arg:expr),*)) => {{
        if let Some(mirror) = $self.mirror_of($room)
            && let Ok(found) = mirror.$method($($arg),*).await
        {
            return Ok(found);
        }
        $self.inner.$method($($arg),*).await
    }};
}

marked! {
    CursorStore {
        room(room) put_cursor(consumer: &str, room: RoomId, seq: Seq) -> ();
        nothing() cursor(consumer: &str, room: RoomId) -> Seq;
    }
    RoomStore {
        nothing() room(room: RoomId) -> Option<Bytes>;
        nothing() rooms(after: Option<RoomId>, limit: usize) -> Vec<RoomId>;
        nothing() members(room: RoomId, after: UserId, limit: usize) -> Vec<(UserId, Bytes)>;
        nothing() member(room: RoomId, user: UserId) -> Option<Bytes>;
        nothing() positions(room: RoomId, after: UserId, limit: usize) -> Vec<(UserId, Position)>;
        nothing() position(room: RoomId, user: UserId) -> Position;
        room(fresh) p2p_room(a: UserId, b: UserId, fresh: RoomId) -> RoomId;
        nothing() find_p2p_room(a: UserId, b: UserId) -> Option<RoomId>;
        room(room) put_sync_state(room: RoomId, source: &str, state: Bytes) -> ();
        nothing() sync_state(room: RoomId, source: &str) -> Option<Bytes>;
        nothing() sync_states(room: RoomId) -> Vec<(String, Bytes)>;
        room(room) put_join_job(room: RoomId, state: Option<Bytes>) -> ();
        nothing() join_job(room: RoomId) -> Option<Bytes>;
        nothing() join_jobs() -> Vec<(RoomId, Bytes)>;
    }
    UserStore {
        nothing() rooms_of(user: UserId, after: Option<RoomId>, limit: usize) -> Vec<RoomListEntry>;
        nothing() room_of(user: UserId, room: RoomId) -> Option<RoomListEntry>;
        user(user) put_prefs(user: UserId, room: RoomId, prefs: RoomPrefs) -> ();
        user(user) hide_message(user: UserId, room: RoomId, seq: Seq) -> bool;
        nothing() hidden_messages(user: UserId, room: RoomId, from: Seq, to: Seq) -> Vec<Seq>;
        user(user) put_profile(user: UserId, profile: Bytes) -> ();
        nothing() profiles(users: &[UserId]) -> Vec<Option<Bytes>>;
        nothing() known_users(after: UserId, limit: usize) -> Vec<UserId>;
        user(by) put_block(by: UserId, whom: UserId, blocked: bool) -> bool;
        nothing() has_block(by: UserId, whom: UserId) -> bool;
        nothing() blocks(by: UserId, after: UserId, limit: usize) -> Vec<UserId>;
        user(user) put_device(user: UserId, device: &DeviceRow) -> ();
        user(user) remove_device(user: UserId, client_id: &str) -> ();
        nothing() devices(user: UserId) -> Vec<DeviceRow>;
    }
    LogStore {
        room(room) claim(room: RoomId) -> Epoch;
        nothing() release(room: RoomId, epoch: Epoch) -> ();
        nothing() active_rooms(after: Option<RoomId>, limit: usize) -> Vec<RoomId>;
        nothing() head(room: RoomId) -> Option<RoomHead>;
        nothing() heads(rooms: &[RoomId]) -> Vec<Option<RoomHead>>;
        nothing() find_message(id: MessageId) -> Option<MessageRef>;
        nothing() find_client_message(sender: UserId, client_id: &ClientMessageId) -> Option<MessageRef>;
        nothing() find_external(external: &ExternalRef) -> Option<MessageRef>;
        nothing() has_reaction(room: RoomId, row: &ReactionRow) -> bool;
        {
            async fn append(
                &self,
                room: RoomId,
                epoch: Epoch,
                records: &[Record],
                projection: &Projection,
            ) -> Result<Durability> {
                let mut write = self.marks.room("append", room)?;
                let result = self.inner.append(room, epoch, records, projection).await;
                write.ended(&result);
                result
            }

            /// Epochs are the first store's own: a page that comes from the second one carries its.
            async fn read_log(&self, room: RoomId, from: Seq, direction: Direction, limit: usize) -> Result<Vec<Record>> {
                read!(self, room, read_log(room, from, direction, limit))
            }

            async fn record(&self, room: RoomId, seq: Seq) -> Result<Option<Record>> {
                read!(self, room, record(room, seq))
            }

            async fn message_states(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<(Seq, Bytes)>> {
                read!(self, room, message_states(room, from, to))
            }

            async fn reactions(
                &self,
                room: RoomId,
                seq: Seq,
                after: Option<(UserId, String)>,
                limit: usize,
            ) -> Result<Vec<ReactionRow>> {
                if let Some(mirror) = self.mirror_of(room)
                    && let Ok(found) = mirror.reactions(room, seq, after.clone(), limit).await
                {
                    return Ok(found);
                }
                self.inner.reactions(room, seq, after, limit).await
            }

            async fn pins(&self, room: RoomId, limit: usize) -> Result<Vec<(Seq, Seq)>> {
                read!(self, room, pins(room, limit))
            }
        }
    }
    Store {
        {
            fn name(&self) -> &'static str {
                self.inner.name()
            }

            async fn close(&self) -> Result<()> {
                self.inner.close().await
            }
        }
    }
}
