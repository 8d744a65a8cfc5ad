//! One stream's reading end: turns what waits in its queue, and what it missed, into one sequence in which every room's
//! events come in order and once.
//!
//! It is a cursor for each room and nothing more: an event is passed on when it follows the cursor, dropped when it is
//! behind it, and when there is a gap the log is read until there is none.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll, Waker},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

use super::{
    UserMsg, UserShared,
    sight::{Look, Sight},
};
use crate::{
    actors::{
        Context,
        hub::RoomHub,
        stream::{CloseReason, EventBatch, Item, Moment, StreamQueue},
    },
    domain::{
        ids::{RoomId, Seq, UserId},
        view::{Seen, View},
    },
    storage::StoreError,
};

/// Events read from the log at a time.
const PAGE: usize = 200;

/// What a stream says next.
#[derive(Debug)]
pub enum Output {
    /// Events, shared with other streams.
    Batch(Arc<EventBatch>),
    /// Events of one room for this stream alone, as its reader sees them.
    Events(Vec<Seen>),
    /// A moment.
    Moment(Arc<Moment>),
    /// A room that the client's cursors do not know joins the stream after this place.
    Announce(RoomId, Seq),
    /// The client's cursors name a room that is not the user's (any more).
    Left(RoomId),
    /// Events are not given: they start at the first place, and the stream goes on after the second. What the client
    /// holds of the room up to the third may not be true any more.
    Resync(RoomId, Seq, Seq, Seq),
    /// The stream is alive.
    Heartbeat,
    /// The server ends the stream.
    Closed(CloseReason),
    /// The log cannot be read; the client comes back with its cursors.
    Failed(StoreError),
}

/// Where a stream stands in a room.
#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) seq: Seq,
    pub(crate) hub: Arc<RoomHub>,
    /// The event that began the membership in which the stream stands; 0 while it was not looked up.
    pub(crate) joined: Seq,
    /// What the user's list says of that ([`super::list::Listed::joined`]).
    pub(crate) listed: Seq,
    /// Whether the reader hid messages in an earlier membership; none while it was not looked up.
    pub(crate) hid_before: Option<bool>,
    /// The user has left, and was told so: nothing after this place is for them, until they join again.
    pub(crate) ended: Option<Seq>,
    /// The client was not told that the user is a member (again).
    pub(crate) is_news: bool,
}

impl Cursor {
    /// At a place in the room; whether the user was a member there is looked up before anything is read.
    pub(crate) const fn new(seq: Seq, hub: Arc<RoomHub>) -> Self {
        Self { seq, hub, joined: Seq(0), listed: Seq(0), hid_before: None, ended: None, is_news: false }
    }

    /// At the beginning of a membership.
    fn joining(joined: Seq, hub: Arc<RoomHub>) -> Self {
        Self { joined, listed: joined, is_news: true, ..Self::new(Seq(joined.0.saturating_sub(1)), hub) }
    }

    /// Goes on with a later membership.
    fn rejoin(&mut self, joined: Seq) {
        *self = Self::joining(joined, Arc::clone(&self.hub));
    }
}

#[derive(Debug)]
pub(crate) enum Todo {
    Say(Output),
    CatchUp {
        room: RoomId,
        until: Option<Seq>,
    },
    Forget(RoomId, Seq),
    /// The client has not heard what its user did in the room on another device.
    Refresh(RoomId),
}

type Fetch = Pin<Box<dyn Future<Output = (RoomId, Option<Seq>, Result<Look, StoreError>)> + Send>>;

/// Says from time to time that the stream is alive.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    at: Instant,
    timer: Pin<Box<Sleep>>,
    /// Whom the timer wakes. A stream looks here after everything it says, and the timer itself is memory that nobody
    /// else has touched for long.
    armed: Option<Waker>,
}

impl Heartbeat {
    pub(crate) fn first_at(at: Instant) -> Self {
        Self { at, timer: Box::pin(tokio::time::sleep_until(at)), armed: None }
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>, every: Duration) -> Poll<()> {
        let is_armed = self.armed.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_armed && Instant::now() < self.at {
            return Poll::Pending;
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            self.armed = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.armed = None;
        self.at = Instant::now() + every;
        self.timer.as_mut().reset(self.at);
        Poll::Ready(())
    }
}

/// The reading end of a stream. Dropping it closes the stream.
pub struct StreamReader {
    pub(crate) user: UserId,
    pub(crate) context: Arc<Context>,
    pub(crate) shared: Arc<UserShared>,
    pub(crate) owner: ractor::ActorRef<UserMsg>,
    pub(crate) queue: Arc<StreamQueue>,
    pub(crate) cursors: HashMap<RoomId, Cursor>,
    pub(crate) todo: VecDeque<Todo>,
    pub(super) fetch: Option<Fetch>,
    pub(crate) heartbeat: Heartbeat,
    /// Among all streams of the user; given back with the reader.
    pub(crate) place: Option<super::place::Place>,
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader")
            .field("user", &self.user)
            .field("rooms", &self.cursors.len())
            .finish_non_exhaustive()
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        self.queue.shut();
        let _ = self.owner.cast(UserMsg::Closed { queue: Arc::clone(&self.queue) });
    }
}

impl StreamReader {
    /// Who reads.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// The next thing to say.
    pub async fn next(&mut self) -> Output {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next thing to say. After `Closed` or `Failed` there is nothing more.
    pub fn poll_next(&mut self, cx: &mut TaskContext<'_>) -> Poll<Output> {
        // Before looking, so that what comes in between wakes us.
        self.queue.register(cx);
        loop {
            if let Some(fetch) = &mut self.fetch {
                let Poll::Ready((room, until, events)) = fetch.as_mut().poll(cx) else {
                    return self.poll_heartbeat(cx);
                };
                self.fetch = None;
                match self.fetched(room, until, events) {
                    Some(output) => return Poll::Ready(output),
                    None => continue,
                }
            }
            match self.todo.pop_front() {
                Some(Todo::Say(output)) => return Poll::Ready(output),
                Some(Todo::Forget(room, at)) => {
                    if let Some(output) = self.forget(room, at) {
                        return Poll::Ready(output);
                    }
                    continue;
                }
                Some(Todo::Refresh(room)) => {
                    let known = self.cursors.get(&room).filter(|c| c.ended.is_none() && !c.is_news);
                    if let Some(at) = known.map(|c| c.seq) {
                        return Poll::Ready(Output::Resync(room, at.next(), at, at));
                    }
                    continue;
                }
                Some(Todo::CatchUp { room, until }) => {
                    if let Some(output) = self.catch_up(room, until) {
                        return Poll::Ready(output);
                    }
                    continue;
                }
                None => {}
            }
            match self.queue.pop() {
                Some(item) => {
                    if let Some(output) = self.take(item) {
                        return Poll::Ready(output);
                    }
                }
                None => match self.queue.pop_behind() {
                    Some((room, is_stale)) => {
                        self.todo.push_back(Todo::CatchUp { room, until: None });
                        if is_stale {
                            self.todo.push_back(Todo::Refresh(room));
                        }
                    }
                    None => return self.poll_heartbeat(cx),
                },
            }
        }
    }

    fn poll_heartbeat(&mut self, cx: &mut TaskContext<'_>) -> Poll<Output> {
        self.heartbeat.poll(cx, self.context.options.heartbeat).map(|()| Output::Heartbeat)
    }

    fn take(&mut self, item: Item) -> Option<Output> {
        match item {
            Item::Batch(batch) => self.take_batch(batch),
            Item::Moment(moment) => Some(Output::Moment(moment)),
            Item::Joined(room, after) => {
                self.joined(room, after);
                None
            }
            Item::Left(room, at) => {
                self.todo.push_back(Todo::CatchUp { room, until: Some(at) });
                self.todo.push_back(Todo::Forget(room, at));
                None
            }
            Item::Close(reason) => Some(Output::Closed(reason)),
        }
    }

    fn joined(&mut self, room: RoomId, after: Seq) {
        let joined = after.next();
        match self.cursors.entry(room) {
            Entry::Vacant(free) => {
                free.insert(Cursor::joining(joined, self.context.hubs.get(room)));
            }
            Entry::Occupied(known) => {
                let cursor = known.into_mut();
                // An item that waited while the log was read ahead says nothing new.
                if cursor.ended.is_some_and(|ended| joined > ended) {
                    cursor.rejoin(joined);
                }
            }
        }
        self.todo.push_back(Todo::CatchUp { room, until: None });
    }

    /// The user left the room by the event at `at`, or by one before it.
    fn forget(&mut self, room: RoomId, at: Seq) -> Option<Output> {
        let cursor = self.cursors.get(&room)?;
        if at < cursor.joined {
            // The stream is in a later membership already.
            return None;
        }
        let is_told = cursor.ended.is_some();
        self.cursors.remove(&room);
        (!is_told).then_some(Output::Left(room))
    }

    fn take_batch(&mut self, batch: Arc<EventBatch>) -> Option<Output> {
        let cursor = self.cursors.get_mut(&batch.room).filter(|c| c.ended.is_none())?;
        if batch.first() != cursor.seq.next() {
            if batch.last() > cursor.seq {
                // A gap, or an overlap: the log has what is missing, and this batch too.
                self.todo.push_back(Todo::CatchUp { room: batch.room, until: None });
            }
            return None;
        }
        (cursor.seq, cursor.is_news) = (batch.last(), false);
        if batch.is_plain {
            return Some(Output::Batch(batch));
        }
        // Who leaves does so alone in a batch.
        cursor.ended = batch.events.iter().find(|event| event.parts(self.user)).map(|event| event.seq);
        self.check(batch)
    }

    /// Says what the reader sees of a batch that may be about messages that are not for them.
    fn check(&mut self, batch: Arc<EventBatch>) -> Option<Output> {
        let (room, late) = (batch.room, batch.late_view(self.user));
        if batch.about_earlier().is_none() {
            return Some(Output::Batch(batch));
        }
        let sight = self.sight(room)?;
        if late.is_none() && sight.counted() == Some(0) {
            return Some(Output::Batch(batch));
        }
        let view = late.unwrap_or(View { floor: Seq(0), joined: sight.joined });
        self.fetch = Some(Box::pin(async move { (room, None, sight.check(view, batch).await) }));
        None
    }

    fn sight(&self, room: RoomId) -> Option<Sight> {
        let cursor = self.cursors.get(&room)?;
        Some(Sight {
            store: Arc::clone(&self.context.store),
            shared: Arc::clone(&self.shared),
            room,
            user: self.user,
            joined: cursor.joined,
            listed: cursor.listed,
            hid_before: cursor.hid_before,
        })
    }

    /// Starts to read what the stream has missed in a room.
    fn catch_up(&mut self, room: RoomId, until: Option<Seq>) -> Option<Output> {
        let cursor = self.cursors.get(&room).filter(|c| c.ended.is_none())?;
        let head = cursor.hub.head().map_or(Seq(0), |head| head.seq);
        let (after, target) = (cursor.seq, until.unwrap_or(head));
        if after >= target {
            return None;
        }
        let limit = PAGE.min(usize::try_from(target.0 - after.0).unwrap_or(PAGE));
        let is_too_much = target.0 - after.0 > self.context.options.catch_up_max;
        let sight = self.sight(room)?;
        self.fetch = Some(Box::pin(async move { (room, until, sight.look(after, target, limit, is_too_much).await) }));
        None
    }

    fn fetched(&mut self, room: RoomId, until: Option<Seq>, look: Result<Look, StoreError>) -> Option<Output> {
        let cursor = self.cursors.get_mut(&room)?;
        match look {
            Ok(Look::Page(page)) => {
                let last = page.events.last()?.seq();
                debug_assert_eq!(page.events.first().map(Seen::seq), Some(cursor.seq.next()), "the log has no gaps");
                (cursor.seq, cursor.joined) = (last, page.joined);
                (cursor.hid_before, cursor.is_news) = (page.hid_before, false);
                cursor.ended = page.has_parted.then_some(last);
                self.todo.push_front(Todo::CatchUp { room, until });
                Some(Output::Events(page.events))
            }
            Ok(Look::Skip { to, joined }) => {
                let after = cursor.seq;
                (cursor.seq, cursor.joined) = (to, joined);
                cursor.hid_before = None;
                self.todo.push_front(Todo::CatchUp { room, until });
                let resync = Output::Resync(room, after.next(), to, to);
                if !std::mem::take(&mut cursor.is_news) {
                    return Some(resync);
                }
                // The event of joining is not given: the client learns of the room in another way.
                self.todo.push_front(Todo::Say(resync));
                Some(Output::Announce(room, after))
            }
            Ok(Look::Gone(target)) => {
                cursor.ended = Some(target.max(cursor.seq));
                Some(Output::Left(room))
            }
            Ok(Look::Checked { events, hid_before }) => {
                cursor.hid_before = hid_before;
                Some(Output::Events(events))
            }
            Err(error) => Some(Output::Failed(error)),
        }
    }
}
