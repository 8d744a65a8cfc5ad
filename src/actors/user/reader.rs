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
    task::{Context as TaskContext, Poll},
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
        event::Event,
        ids::{RoomId, Seq, UserId},
    },
    storage::{Direction, StoreError, codec},
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
    /// A room joins the stream, with the event at this place: the reader's own joining, or the newest event of a room
    /// that the client's cursors do not know.
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
}

#[derive(Debug)]
pub(crate) enum Todo {
    Say(Output),
    CatchUp { room: RoomId, until: Option<Seq> },
    Forget(RoomId),
}

type Fetch =
    Pin<Box<dyn Future<Output = (RoomId, Option<Seq>, Result<Fetched, StoreError>)> + Send>>;

/// The place a page of the log was read after, and the page.
type Fetched = (Seq, Vec<Event>);

/// The reading end of a stream. Dropping it closes the stream.
pub struct StreamReader {
    pub(crate) user: UserId,
    pub(crate) context: Arc<Context>,
    pub(crate) owner: ractor::ActorRef<UserMsg>,
    pub(crate) queue: Arc<StreamQueue>,
    pub(crate) cursors: HashMap<RoomId, Cursor>,
    pub(crate) todo: VecDeque<Todo>,
    pub(crate) fetch: Option<Fetch>,
    pub(crate) heartbeat: Pin<Box<Sleep>>,
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
        let _ = self.owner.cast(UserMsg::Closed {
            queue: Arc::clone(&self.queue),
        });
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
                Some(Todo::Forget(room)) => {
                    // The log's own event has told the client.
                    self.cursors.remove(&room);
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
        if self.heartbeat.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        let next = Instant::now() + self.context.options.heartbeat;
        self.heartbeat.as_mut().reset(next);
        Poll::Ready(Output::Heartbeat)
    }

    fn take(&mut self, item: Item) -> Option<Output> {
        match item {
            Item::Batch(batch) => self.take_batch(batch),
            Item::Moment(moment) => Some(Output::Moment(moment)),
            Item::Joined(room, after) => {
                // The joining itself is told with the room, which the log's own event does not carry.
                let joined = after.next();
                let hub = self.context.hubs.get(room);
                if let Entry::Vacant(vacant) = self.cursors.entry(room) {
                    vacant.insert(Cursor { seq: joined, hub });
                    self.todo
                        .push_back(Todo::Say(Output::Announce(room, joined)));
                }
                self.todo.push_back(Todo::CatchUp { room, until: None });
                None
            }
            Item::Left(room, at) => {
                self.todo.push_back(Todo::CatchUp {
                    room,
                    until: Some(at),
                });
                self.todo.push_back(Todo::Forget(room));
                None
            }
            Item::Close(reason) => Some(Output::Closed(reason)),
        }
    }

    fn take_batch(&mut self, batch: Arc<EventBatch>) -> Option<Output> {
        let cursor = self.cursors.get_mut(&batch.room)?;
        if batch.first() == cursor.seq.next() {
            cursor.seq = batch.last();
            return Some(Output::Batch(batch));
        }
        if batch.last() > cursor.seq {
            // A gap, or an overlap: the log has what is missing, and this batch too.
            self.todo.push_back(Todo::CatchUp {
                room: batch.room,
                until: None,
            });
        }
        None
    }

    /// Starts to read what the stream has missed in a room.
    fn catch_up(&mut self, room: RoomId, until: Option<Seq>) -> Option<Output> {
        // A reader who is being removed reads up to the removal.
        let until = until.or_else(|| self.queue.left_at(room));
        let cursor = self.cursors.get_mut(&room)?;
        let head = cursor.hub.head().map_or(Seq(0), |head| head.seq);
        let target = until.unwrap_or(head);
        if cursor.seq >= target {
            return None;
        }
        if target.0 - cursor.seq.0 > self.context.options.catch_up_max {
            let from = cursor.seq.next();
            cursor.seq = target;
            return Some(Output::Resync(room, from, target));
        }
        let (store, after) = (Arc::clone(&self.context.store), cursor.seq);
        let limit = PAGE.min(usize::try_from(target.0 - after.0).unwrap_or(PAGE));
        let user = self.user;
        self.fetch = Some(Box::pin(async move {
            let events = async {
                // A cursor is the client's word; what the user may not see is the store's.
                let floor = store.position(room, user).await?.floor_seq;
                let after = after.max(floor);
                let records = store
                    .read_log(room, after, Direction::Forward, limit)
                    .await?;
                let events = records
                    .iter()
                    .map(|record| codec::decode_event(room, record));
                Ok((after, events.collect::<Result<_, StoreError>>()?))
            };
            (room, until, events.await)
        }));
        None
    }

    fn fetched(
        &mut self,
        room: RoomId,
        until: Option<Seq>,
        events: Result<Fetched, StoreError>,
    ) -> Option<Output> {
        let (after, events) = match events {
            Ok(fetched) => fetched,
            Err(error) => return Some(Output::Failed(error)),
        };
        let cursor = self.cursors.get_mut(&room)?;
        cursor.seq = cursor.seq.max(after);
        let last = events.last()?.seq;
        debug_assert_eq!(
            events.first().map(|e| e.seq),
            Some(cursor.seq.next()),
            "the log has no gaps"
        );
        cursor.seq = last;
        self.todo.push_front(Todo::CatchUp { room, until });
        Some(Output::Events(events))
    }
}
