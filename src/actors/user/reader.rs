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

use super::UserMsg;
use crate::{
    actors::{
        Context,
        hub::RoomHub,
        stream::{CloseReason, EventBatch, Item, Moment, StreamQueue},
    },
    domain::{
        event::{Event, EventBody},
        ids::{RoomId, Seq, UserId},
    },
    storage::{Direction, Store, StoreError, codec},
};

/// Events read from the log at a time.
const PAGE: usize = 200;

/// What a stream says next.
#[derive(Debug)]
pub enum Output {
    /// Events, shared with other streams.
    Batch(Arc<EventBatch>),
    /// Events of one room, read from its log for this stream.
    Events(Vec<Event>),
    /// A moment.
    Moment(Arc<Moment>),
    /// A room that the client's cursors do not know joins the stream after this place.
    Announce(RoomId, Seq),
    /// The client's cursors name a room that is not the user's (any more).
    Left(RoomId),
    /// Events cannot be given any more (or never were): they start at the first place, the stream goes on after the
    /// second.
    Resync(RoomId, Seq, Seq),
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
    /// The user has left: nothing after the place is for them, until they join again.
    pub(crate) ended: bool,
    /// The newest event by which the user left, as far as the client was told of it.
    pub(crate) left: Seq,
    /// The client was told that the room is not theirs, though the log goes on for them.
    pub(crate) dismissed: bool,
}

impl Cursor {
    pub(crate) const fn new(seq: Seq, hub: Arc<RoomHub>) -> Self {
        Self { seq, hub, ended: false, left: Seq(0), dismissed: false }
    }
}

#[derive(Debug)]
pub(crate) enum Todo {
    Say(Output),
    CatchUp { room: RoomId, until: Option<Seq> },
    Forget(RoomId, Seq),
}

/// What was read for a stream.
#[derive(Debug)]
pub(crate) enum Read {
    /// Events, and whether the user's membership ends with the last of them.
    Page(Vec<Event>, bool),
    /// There is too much to be given up to this place; and whether the user is a member.
    TooMuch(Seq, bool),
}

type Page = Result<Read, StoreError>;

type Fetch = Pin<Box<dyn Future<Output = (RoomId, Option<Seq>, Page)> + Send>>;

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
    pub(crate) owner: ractor::ActorRef<UserMsg>,
    pub(crate) queue: Arc<StreamQueue>,
    pub(crate) cursors: HashMap<RoomId, Cursor>,
    pub(crate) todo: VecDeque<Todo>,
    pub(crate) fetch: Option<Fetch>,
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
                    Some(room) => self.todo.push_back(Todo::CatchUp { room, until: None }),
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
        let hub = self.context.hubs.get(room);
        let head = hub.head().map_or(Seq(0), |head| head.seq);
        let cursor = match self.cursors.entry(room) {
            Entry::Vacant(free) => Some(free.insert(Cursor::new(after, hub))),
            Entry::Occupied(known) => {
                let cursor = known.into_mut();
                // An item that waited while the log was read ahead says nothing new.
                let is_new = cursor.ended && after >= cursor.left;
                is_new.then(|| {
                    // What the log had of the new membership may have been given already.
                    cursor.seq = cursor.seq.max(after);
                    cursor.ended = false;
                    cursor
                })
            }
        };
        if let Some(cursor) = cursor {
            let too_far = head.0.saturating_sub(cursor.seq.0) > self.context.options.catch_up_max;
            if std::mem::take(&mut cursor.dismissed) || too_far {
                // The event of joining is not given: the client learns of the room in another way.
                let from = cursor.seq;
                self.todo.push_back(Todo::Say(Output::Announce(room, from)));
            }
        }
        self.todo.push_back(Todo::CatchUp { room, until: None });
    }

    /// The user left the room by the event at `at`.
    fn forget(&mut self, room: RoomId, at: Seq) -> Option<Output> {
        let cursor = self.cursors.get_mut(&room)?;
        let is_told = cursor.left >= at;
        cursor.left = cursor.left.max(at);
        if cursor.seq > at {
            // Events of a later membership were read ahead, or events were left out: this is how far the client is.
            cursor.ended = true;
            cursor.dismissed |= !is_told;
        } else {
            self.cursors.remove(&room);
        }
        (!is_told).then_some(Output::Left(room))
    }

    fn take_batch(&mut self, batch: Arc<EventBatch>) -> Option<Output> {
        let cursor = self.cursors.get_mut(&batch.room).filter(|c| !c.ended)?;
        if batch.first() == cursor.seq.next() {
            cursor.seq = batch.last();
            // Who leaves does so alone in a batch.
            if let [event] = batch.events.as_slice()
                && leaves(event, self.user)
            {
                cursor.left = event.seq;
            }
            return Some(Output::Batch(batch));
        }
        if batch.last() > cursor.seq {
            // A gap, or an overlap: the log has what is missing, and this batch too.
            self.todo.push_back(Todo::CatchUp { room: batch.room, until: None });
        }
        None
    }

    /// Starts to read what the stream has missed in a room.
    fn catch_up(&mut self, room: RoomId, until: Option<Seq>) -> Option<Output> {
        let cursor = self.cursors.get_mut(&room).filter(|c| !c.ended)?;
        let head = cursor.hub.head().map_or(Seq(0), |head| head.seq);
        let target = until.unwrap_or(head);
        if cursor.seq >= target {
            return None;
        }
        let (store, after, user) = (Arc::clone(&self.context.store), cursor.seq, self.user);
        let limit = PAGE.min(usize::try_from(target.0 - after.0).unwrap_or(PAGE));
        let too_much = target.0 - after.0 > self.context.options.catch_up_max;
        self.fetch = Some(Box::pin(async move {
            let page = if too_much {
                // Whose room it is no more is told that, not to read it again.
                let member = store.member(room, user).await;
                member.map(|member| Read::TooMuch(target, member.is_some()))
            } else {
                read(&*store, room, user, after, limit).await
            };
            (room, until, page)
        }));
        None
    }

    fn fetched(&mut self, room: RoomId, until: Option<Seq>, events: Page) -> Option<Output> {
        let cursor = self.cursors.get_mut(&room)?;
        let (events, ended) = match events {
            Ok(Read::Page(events, ended)) => (events, ended),
            Ok(Read::TooMuch(target, true)) => {
                let from = cursor.seq.next();
                cursor.seq = target;
                return Some(Output::Resync(room, from, target));
            }
            Ok(Read::TooMuch(target, false)) => {
                (cursor.seq, cursor.left) = (target, target);
                (cursor.ended, cursor.dismissed) = (true, true);
                return Some(Output::Left(room));
            }
            Err(error) => return Some(Output::Failed(error)),
        };
        let last = events.last()?.seq;
        debug_assert_eq!(events.first().map(|e| e.seq), Some(cursor.seq.next()), "the log has no gaps");
        cursor.seq = last;
        cursor.ended = ended;
        if let Some(left) = events.iter().rfind(|event| leaves(event, self.user)) {
            cursor.left = left.seq;
        }
        self.todo.push_front(Todo::CatchUp { room, until });
        Some(Output::Events(events))
    }
}

/// Reads what comes after `after` for `user`. What came after they left is not for them, unless they are back and may
/// see it: the log alone does not say so, the membership does.
async fn read(store: &dyn Store, room: RoomId, user: UserId, after: Seq, limit: usize) -> Page {
    let records = store.read_log(room, after, Direction::Forward, limit).await?;
    let mut events: Vec<Event> =
        records.iter().map(|record| codec::decode_event(room, record)).collect::<Result<_, StoreError>>()?;
    let Some(left) = events.iter().rposition(|event| leaves(event, user)) else {
        return Ok(Read::Page(events, false));
    };
    let joins = |event: &Event| match &event.body {
        EventBody::Joined { members } => members.iter().any(|(who, _)| *who == user),
        _ => false,
    };
    if events[left..].iter().any(joins) {
        return Ok(Read::Page(events, false));
    }
    let member = store.member(room, user).await?;
    let member = member.map(|body| codec::decode_member(&body)).transpose()?;
    let ended = member.is_none_or(|member| member.joined_seq < events[left].seq);
    if ended {
        events.truncate(left + 1);
    }
    Ok(Read::Page(events, ended))
}

fn leaves(event: &Event, user: UserId) -> bool {
    matches!(&event.body, EventBody::Left { users, .. } if users.contains(&user))
}
