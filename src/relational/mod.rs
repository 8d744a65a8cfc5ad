//! Bringing in what an earlier system kept in relational tables (`room`, `room_member`, `room_message` and what stands
//! beside them) in PostgreSQL: each room becomes a log, as if it had been lived here.
//!
//! The rows are read as they are, whatever columns there are beside the known ones; the events that follow from them are
//! applied to a [`crate::domain::room::RoomState`] and written through the store contract, so that all projections
//! come for free. A message is known again by its external reference, so that an import that was killed, or is made
//! again, goes on where it was. What cannot be brought, or only in another form, is counted with an example.
//!
//! Must not know a backend, or who runs it. `docs/migrating.md` has the rules for each odd case.

use std::{fmt::Debug, sync::Arc};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

mod member;
mod message;
mod odd;
mod room;
mod row;
mod source;
mod writer;

pub use odd::{Odd, Oddities};
pub use source::{Source, SourceError};

use crate::{
    domain::ids::RoomId,
    storage::{
        Store, StoreError,
        migrate::{Pace, Progress},
    },
};

/// Keys of content that clients encrypted.
pub trait ClientKeys: Debug + Send + Sync {
    /// The `encryption_data` of a new room.
    fn fresh(&self, room: RoomId) -> String;

    /// Whether a configured master key opens this `encryption_data`.
    fn opens(&self, encryption_data: &str) -> bool;

    /// Whether `content` decrypts to text under the key in `encryption_data`.
    fn decrypts(&self, encryption_data: &str, content: &str) -> bool;
}

/// How to go about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Rooms at a time, each with a connection of its own; at least 1.
    pub parallel: usize,
    /// Most rows read a second; 0 is without limit.
    pub rows_per_s: u64,
    /// The time of the import, milliseconds since the Unix epoch: nothing is dated later.
    pub now_ms: i64,
}

/// What an import did.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Rooms gone through.
    pub rooms: u64,
    /// Rooms that had nothing new.
    pub rooms_unchanged: u64,
    /// Messages written.
    pub messages: u64,
    /// Messages that were there already.
    pub messages_before: u64,
    /// Reactions written.
    pub reactions: u64,
    /// What was not brought as it was, and how often.
    pub odd: Vec<Odd>,
}

/// An import stopped. Making it again goes on where it was.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The tables cannot be read.
    #[error("the source")]
    Source(#[from] SourceError),
    /// The store failed.
    #[error("the destination store failed")]
    Store(#[from] StoreError),
    /// A room could not be brought.
    #[error("room {room}")]
    Room {
        /// Which.
        room: RoomId,
        /// Why.
        #[source]
        source: Box<ImportError>,
    },
}

type Result<T> = std::result::Result<T, ImportError>;

/// What all rooms of one import share.
#[derive(Debug)]
struct Work {
    source: Source,
    to: Arc<dyn Store>,
    keys: Arc<dyn ClientKeys>,
    odd: Oddities,
    pace: Pace,
    progress: Arc<Progress>,
    now_ms: i64,
}

impl Work {
    async fn rows(&self, rows: usize) {
        self.progress.add_rows(rows);
        self.pace.rows(rows).await;
    }
}

/// Brings everything of `source` into `to`, which nothing else writes to meanwhile.
///
/// # Errors
/// [`ImportError`]. What was brought stays.
pub async fn import(
    source: Source,
    to: Arc<dyn Store>,
    keys: Arc<dyn ClientKeys>,
    options: Options,
    progress: Arc<Progress>,
) -> Result<Report> {
    let (pace, now_ms) = (Pace::new(options.rows_per_s), options.now_ms);
    let work = Work { source, to, keys, odd: Oddities::default(), pace, progress, now_ms };
    let rooms = work.source.rooms(&work.odd).await?;
    work.progress.add_rooms_total(rooms.len());
    work.source.note_strangers(&work.odd).await?;
    let in_room = |room, source| ImportError::Room { room, source: Box::new(source) };
    let done: Vec<_> = stream::iter(rooms.into_iter().map(|source| {
        let work = &work;
        async move {
            let id = source.id;
            let brought = room::bring(work, source).await.map_err(|error| in_room(id, error))?;
            work.progress.add_room();
            Ok::<_, ImportError>(brought)
        }
    }))
    .buffer_unordered(options.parallel.max(1))
    .try_collect()
    .await?;
    let mut report = Report { rooms: done.len() as u64, odd: work.odd.list(), ..Report::default() };
    for brought in done {
        report.rooms_unchanged += u64::from(brought.unchanged);
        report.messages += brought.messages;
        report.messages_before += brought.messages_before;
        report.reactions += brought.reactions;
    }
    Ok(report)
}
