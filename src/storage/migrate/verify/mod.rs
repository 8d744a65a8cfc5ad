//! Comparing two stores row by row, in both directions: what is missing, what is extra, what differs, and where.
//!
//! Rooms are compared in parallel, each row with its content (epochs aside, which are a matter of each store). The
//! differences come sorted, so that the first one is the same whatever the parallelism.

use std::{collections::BTreeSet, fmt, sync::Arc};

use parking_lot::Mutex;

use super::{
    Options, Progress, Result, Work,
    pages::{Join, Pair, Rows},
    rooms::{active_rooms, all_rooms, each},
};
use crate::{
    domain::ids::{RoomId, UserId},
    storage::Store,
};

mod compare;
mod messages;
mod room;
mod user;

/// Differences that are kept; more are only counted.
const KEPT: usize = 100;

/// How a row differs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The destination does not have it.
    Missing,
    /// The source does not have it.
    Extra,
    /// Both have it, and it says something else.
    Different {
        /// Which part of it.
        field: &'static str,
        /// The source's; of a body its length and the beginning of its SHA-256.
        from: String,
        /// The destination's.
        to: String,
    },
}

/// One row that is not the same in both stores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct Difference {
    /// The room it belongs to.
    pub room: Option<String>,
    /// The user it belongs to.
    pub user: Option<i64>,
    /// Name of the table, as in the data model.
    pub table: &'static str,
    /// The rest of its key.
    pub key: String,
    /// How it differs.
    pub what: What,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.table)?;
        if let Some(room) = &self.room {
            write!(f, ", room {room}")?;
        }
        if let Some(user) = self.user {
            write!(f, ", user {user}")?;
        }
        if !self.key.is_empty() {
            write!(f, ", {}", self.key)?;
        }
        match &self.what {
            What::Missing => write!(f, ": missing in the destination"),
            What::Extra => write!(f, ": only in the destination"),
            What::Different { field, from, to } => {
                write!(f, ": {field} is {from} in the source, {to} in the destination")
            }
        }
    }
}

/// What a comparison found.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Verdict {
    /// Whether there is no difference at all.
    pub equal: bool,
    /// Rooms compared.
    pub rooms: u64,
    /// Users compared.
    pub users: u64,
    /// Events of logs compared.
    pub events: u64,
    /// Messages among them.
    pub messages: u64,
    /// How many differences there are.
    pub differences_total: u64,
    /// The first ones, sorted by room, user, table and key.
    pub differences: Vec<Difference>,
}

/// The differences found so far: the smallest ones.
#[derive(Debug, Default)]
struct Found {
    kept: Mutex<BTreeSet<Difference>>,
    total: std::sync::atomic::AtomicU64,
}

impl Found {
    fn add(&self, difference: Difference) {
        let mut kept = self.kept.lock();
        if kept.insert(difference) {
            self.total.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        if kept.len() > KEPT {
            kept.pop_last();
        }
    }
}

/// Where rows are that are being compared, and where differences go.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    found: &'a Found,
    room: Option<RoomId>,
    user: Option<UserId>,
}

impl Place<'_> {
    fn of(self, user: UserId) -> Self {
        Self { user: Some(user), ..self }
    }

    fn differs(&self, table: &'static str, key: impl fmt::Display, what: What) {
        let room = self.room.map(|room| room.to_string());
        let user = self.user.map(|user| user.0);
        self.found.add(Difference { room, user, table, key: key.to_string(), what });
    }

    /// Compares one field of a row that both have.
    fn field<T: PartialEq>(
        &self,
        table: &'static str,
        key: impl fmt::Display,
        field: &'static str,
        (from, to): (&T, &T),
        show: impl Fn(&T) -> String,
    ) {
        if from != to {
            self.differs(table, key, What::Different { field, from: show(from), to: show(to) });
        }
    }
}

/// Compares everything that both stores hold.
///
/// # Errors
/// When a store fails for longer than the patience.
pub async fn verify(
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    options: Options,
    progress: Arc<Progress>,
) -> Result<Verdict> {
    let work = Work::new(from, to, options, progress);
    let found = Arc::new(Found::default());
    let (mut rooms, mut users) = (0, 0);
    compare_rooms(&work, &found, |count| rooms += count).await?;
    user::compare_all(&work, &found, |count| users += count).await?;
    compare_jobs(&work, &found).await?;
    compare_journals(&work, &found).await?;
    let differences: Vec<_> = std::mem::take(&mut *found.kept.lock()).into_iter().collect();
    let differences_total = found.total.load(std::sync::atomic::Ordering::Relaxed);
    let (events, messages) = (work.progress.events(), work.progress.messages());
    Ok(Verdict { equal: differences_total == 0, rooms, users, events, messages, differences_total, differences })
}

/// Rooms that either store has, each in a task.
async fn compare_rooms(work: &Arc<Work>, found: &Arc<Found>, done: impl FnMut(u64)) -> Result<()> {
    let pairs = joined(all_rooms(&work.from), all_rooms(&work.to));
    let compare = |pair: Pair<RoomId>| {
        let (work, found) = (Arc::clone(work), Arc::clone(found));
        async move {
            let place = |room| Place { found: &found, room: Some(room), user: None };
            work.progress.add_rooms_total(1);
            match pair {
                Pair::From(room) => place(room).differs("room", "", What::Missing),
                Pair::To(room) => place(room).differs("room", "", What::Extra),
                Pair::Both(room, _) => room::compare(&work, place(room), room).await?,
            }
            work.progress.add_room();
            Ok(1)
        }
    };
    each(work.options.parallel, pairs, compare, done).await
}

/// The pairs of two streams as a stream.
fn joined<'a, T: Ord + Copy + Send + Sync + 'a>(from: Rows<'a, T>, to: Rows<'a, T>) -> Rows<'a, Pair<T>> {
    let join = Join::new(from, to, |row| *row);
    let next = |mut join: Join<'a, T, T>| async move { Ok(join.next().await?.map(|pair| (pair, join))) };
    Box::pin(futures_util::stream::try_unfold(join, next))
}

async fn compare_jobs(work: &Work, found: &Found) -> Result<()> {
    let (from, to) = (work.from.ask(|s| s.join_jobs()).await?, work.to.ask(|s| s.join_jobs()).await?);
    let mut join = Join::new(super::pages::at_hand(from), super::pages::at_hand(to), |(room, _)| *room);
    while let Some(pair) = join.next().await? {
        let place = |room| Place { found, room: Some(room), user: None };
        match pair {
            Pair::From((room, _)) => place(room).differs("join job", "", What::Missing),
            Pair::To((room, _)) => place(room).differs("join job", "", What::Extra),
            Pair::Both((room, from), (_, to)) => {
                place(room).field("join job", "", "state", (&from, &to), compare::body);
            }
        }
    }
    Ok(())
}

async fn compare_journals(work: &Work, found: &Found) -> Result<()> {
    let mut join = Join::new(active_rooms(&work.from), active_rooms(&work.to), |room| *room);
    while let Some(pair) = join.next().await? {
        let place = |room| Place { found, room: Some(room), user: None };
        match pair {
            Pair::From(room) => place(room).differs("journal", "", What::Missing),
            Pair::To(room) => place(room).differs("journal", "", What::Extra),
            Pair::Both(..) => {}
        }
    }
    Ok(())
}
