//! What travels from rooms to the streams of users: shared batches, moments, and the bounded queue before each stream.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::ops::UserProfile;
use crate::{
    domain::{
        event::{Event, EventBody},
        ids::{MessageId, RoomId, Seq, UserId},
        status::Status,
        view::View,
    },
    storage::RoomPrefs,
};

/// Events of one append, on their way to everyone who listens. The bytes for each dialect of the wire are made by the
/// first stream that needs them and shared by all.
#[derive(Debug)]
pub struct EventBatch {
    /// The room.
    pub room: RoomId,
    /// In order, without gaps; never empty.
    pub events: Vec<Arc<Event>>,
    /// Frames of a StreamMessages answer.
    pub stream_wire: OnceLock<Bytes>,
    /// Frames of a Session.
    pub session_wire: OnceLock<Bytes>,
    /// The profiles of those whom the events show ([`EventBatch::people`]), looked up by the first stream that needs them.
    pub profiles: OnceCell<Vec<UserProfile>>,
    /// Whether all of them are new messages: there is nothing about anything earlier, and nobody comes or goes.
    pub is_plain: bool,
    /// Listeners from whom an earlier message that the batch is about may be hidden, by user.
    late: Vec<(UserId, View)>,
    size: usize,
}

impl EventBatch {
    /// A batch of events of `room`.
    #[must_use]
    pub fn new(room: RoomId, events: Vec<Arc<Event>>) -> Self {
        let size = events.iter().map(|event| weight(event)).sum();
        let is_plain = events.iter().all(|event| event.message().is_some());
        let (stream_wire, session_wire) = (OnceLock::new(), OnceLock::new());
        let profiles = OnceCell::new();
        Self { room, events, stream_wire, session_wire, profiles, is_plain, late: Vec::new(), size }
    }

    /// Whom the events show as members.
    #[must_use]
    pub fn people(&self) -> Vec<UserId> {
        if self.is_plain {
            return Vec::new();
        }
        self.events.iter().flat_map(|event| event.people()).collect()
    }

    /// The earliest message that the batch is about without bringing it.
    #[must_use]
    pub fn about_earlier(&self) -> Option<Seq> {
        if self.is_plain {
            return None;
        }
        self.events.iter().filter_map(|event| event.about_earlier()).min()
    }

    /// The same batch, for an audience in which some came later than what it is about.
    #[must_use]
    pub fn with_late(mut self, mut late: Vec<(UserId, View)>) -> Self {
        late.sort_unstable_by_key(|(user, _)| *user);
        self.late = late;
        self
    }

    /// What the user sees of the room, if it may be less than all that the batch is about.
    #[must_use]
    pub fn late_view(&self, user: UserId) -> Option<View> {
        let found = self.late.binary_search_by_key(&user, |(user, _)| *user).ok()?;
        self.late.get(found).map(|(_, view)| *view)
    }

    /// Place of the first event.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.events.first().map_or(Seq(0), |e| e.seq)
    }

    /// Place of the last event.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.events.last().map_or(Seq(0), |e| e.seq)
    }
}

/// About how many bytes an event takes in a queue.
fn weight(event: &Event) -> usize {
    256 + match &event.body {
        EventBody::Message(message) | EventBody::Edited(message) => message.draft.content.len(),
        _ => 0,
    }
}

/// Something that is told and not kept.
#[derive(Debug)]
pub struct Moment {
    /// The room; none for presence.
    pub room: Option<RoomId>,
    /// Who caused it.
    pub user: UserId,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What.
    pub body: MomentBody,
    /// Frames of a StreamMessages answer.
    pub stream_wire: OnceLock<Bytes>,
    /// Frames of a Session.
    pub session_wire: OnceLock<Bytes>,
}

impl Moment {
    /// A moment at `at_ms`.
    #[must_use]
    pub const fn new(room: Option<RoomId>, user: UserId, at_ms: i64, body: MomentBody) -> Self {
        Self { room, user, at_ms, body, stream_wire: OnceLock::new(), session_wire: OnceLock::new() }
    }
}

/// What a moment says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MomentBody {
    /// Typing, or stopped.
    Typing(bool),
    /// A position moved.
    Position {
        /// Read up to here.
        read: Seq,
        /// Delivered up to here.
        delivered: Seq,
    },
    /// To a sender: the user of the moment has got, or read, messages.
    Status {
        /// The newest of the sender's concerned.
        up_to: Seq,
        /// How far that one has come with all.
        status: Status,
    },
    /// A watched user came or went.
    Presence {
        /// Whether they are online now.
        online: bool,
    },
    /// The reader hid a message for themselves.
    Hidden {
        /// The message.
        id: MessageId,
        /// Its place.
        seq: Seq,
    },
    /// The reader changed their settings for the room.
    Preferences {
        /// As they are now.
        prefs: RoomPrefs,
        /// Whether they hide the room now.
        hidden: bool,
    },
    /// The reader cleared the room for themselves.
    Cleared {
        /// Up to here.
        up_to: Seq,
    },
    /// The reader blocked a user, or took that back.
    Block {
        /// Whom.
        whom: UserId,
        /// Whether they are blocked now.
        blocked: bool,
    },
}

/// What waits for a stream.
#[derive(Clone, Debug)]
pub enum Item {
    /// Events of a room.
    Batch(Arc<EventBatch>),
    /// A moment.
    Moment(Arc<Moment>),
    /// A room joins the stream; its events come after this place.
    Joined(RoomId, Seq),
    /// A room leaves the stream after this place.
    Left(RoomId, Seq),
    /// The stream ends.
    Close(CloseReason),
}

/// Why the server ends a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum CloseReason {
    /// Another stream with the same client id took its place.
    Replaced,
    /// The node is going down; come back.
    Draining,
    /// What served the stream has ended; come back with the cursors.
    Interrupted,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
    behind: BTreeSet<RoomId>,
    /// Of those behind: what the user did there was not told.
    stale: BTreeSet<RoomId>,
    closed: bool,
}

/// The bounded queue before one stream. When it is full, batches are not queued but their rooms marked as *behind*:
/// the stream reads those from the log once it has caught its breath, so that nothing is lost and memory is bounded.
/// Moments are dropped then.
#[derive(Debug)]
pub struct StreamQueue {
    waiting: Mutex<Waiting>,
    waker: AtomicWaker,
    bytes_max: usize,
    delivered: AtomicU64,
}

/// The least a queue must hold besides batches: joins and leaves, which are never dropped.
const CONTROL_WEIGHT: usize = 64;

impl StreamQueue {
    /// A queue that holds about `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self { waiting: Mutex::default(), waker: AtomicWaker::new(), bytes_max, delivered: AtomicU64::new(0) }
    }

    /// Queues a batch, or marks its room as behind.
    pub fn push_batch(&self, batch: &Arc<EventBatch>) {
        {
            let mut waiting = self.waiting.lock();
            if waiting.closed {
                return;
            }
            if waiting.bytes + batch.size > self.bytes_max {
                waiting.behind.insert(batch.room);
            } else {
                waiting.bytes += batch.size;
                waiting.items.push_back(Item::Batch(Arc::clone(batch)));
            }
        }
        self.waker.wake();
    }

    /// Queues a moment if there is room.
    pub fn push_moment(&self, moment: &Arc<Moment>) {
        {
            let mut waiting = self.waiting.lock();
            if waiting.closed || waiting.bytes + CONTROL_WEIGHT > self.bytes_max {
                return;
            }
            waiting.bytes += CONTROL_WEIGHT;
            waiting.items.push_back(Item::Moment(Arc::clone(moment)));
        }
        self.waker.wake();
    }

    /// Queues what the user did elsewhere. When there is no room for it, its room is marked as behind and stale: the
    /// client will be told to read it again.
    pub fn push_own(&self, moment: &Arc<Moment>) {
        {
            let mut waiting = self.waiting.lock();
            if let Some(room) = moment.room.filter(|_| waiting.bytes + CONTROL_WEIGHT > self.bytes_max) {
                if waiting.closed {
                    return;
                }
                waiting.behind.insert(room);
                waiting.stale.insert(room);
                drop(waiting);
                self.waker.wake();
                return;
            }
        }
        self.push_moment(moment);
    }

    /// Queues a join, a leave or the end; there are few of them, and none may be lost.
    pub fn push_control(&self, item: Item) {
        {
            let mut waiting = self.waiting.lock();
            if waiting.closed {
                return;
            }
            if matches!(item, Item::Close(_)) {
                waiting.closed = true;
            }
            waiting.items.push_back(item);
        }
        self.waker.wake();
    }

    /// The next item; none when empty.
    pub fn pop(&self) -> Option<Item> {
        let mut waiting = self.waiting.lock();
        let item = waiting.items.pop_front()?;
        match &item {
            Item::Batch(batch) => {
                waiting.bytes -= batch.size;
                self.delivered.fetch_add(batch.events.len() as u64, Ordering::Relaxed);
            }
            Item::Moment(_) => waiting.bytes -= CONTROL_WEIGHT,
            Item::Joined(..) | Item::Left(..) | Item::Close(_) => {}
        }
        Some(item)
    }

    /// A room that must be read from the log, once nothing waits any more; and whether it is stale.
    pub fn pop_behind(&self) -> Option<(RoomId, bool)> {
        let mut waiting = self.waiting.lock();
        let room = waiting.behind.pop_first()?;
        let is_stale = waiting.stale.remove(&room);
        Some((room, is_stale))
    }

    /// Wakes this task at the next push.
    pub fn register(&self, cx: &std::task::Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// Takes nothing more and lets go of what waits.
    pub fn shut(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.items.clear();
        waiting.behind.clear();
        waiting.stale.clear();
        waiting.bytes = 0;
    }

    /// (bytes waiting, rooms behind, events delivered), for observers.
    #[must_use]
    pub fn observe(&self) -> (usize, usize, u64) {
        let waiting = self.waiting.lock();
        (waiting.bytes, waiting.behind.len(), self.delivered.load(Ordering::Relaxed))
    }
}
