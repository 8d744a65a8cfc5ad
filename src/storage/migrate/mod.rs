//! Moving what one store holds to another one: [`copy()`], [`verify()`], and [`follow()`] beside a running server.
//!
//! Written against the contract alone, so that it works between any two backends and through any layers: below the
//! encryption bodies are copied as they are sealed, through it they are sealed anew.
//!
//! Everything is idempotent and picks up where the destination is: the log goes on behind the destination's head, rows
//! beside the log are compared and the differences written, and a cursor in the destination ([`super::consumers::MIGRATE`])
//! says up to which event a room is complete. So a copy that was killed at any point is simply made again, and one made
//! again while the source is being written to brings over what changed.
//!
//! A room's epoch is a matter of each store and is not moved. Nothing here knows what is in a body.

use std::sync::Arc;

use futures_util::TryStreamExt as _;

mod end;
mod follow;
mod journal;
pub mod lead;
mod overlay;
mod pace;
mod pages;
mod room;
mod rooms;
#[cfg(test)]
mod tests;
mod users;
pub mod verify;

pub use end::{MigrateError, Patience, Side};
pub use follow::{Following, follow};
pub(crate) use pace::Pace;
pub use pace::Progress;
pub use rooms::Copied;
pub use verify::{Difference, Verdict, What, verify};

use super::Store;
use end::End;

/// Result of a part of a migration.
pub type Result<T> = std::result::Result<T, MigrateError>;

/// How to go about it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Options {
    /// Rooms, and pages of users, at a time; at least 1.
    pub parallel: usize,
    /// Most rows read from the source a second; 0 is without limit.
    pub rows_per_s: u64,
    /// Rows of one page, at least 1.
    pub page: usize,
    /// How long to try again what may succeed later.
    pub patience: Patience,
}

impl Default for Options {
    fn default() -> Self {
        Self { parallel: 4, rows_per_s: 0, page: 256, patience: Patience::default() }
    }
}

/// The two stores and what all parts of one migration share.
#[derive(Debug)]
struct Work {
    from: End,
    to: End,
    options: Options,
    pace: Pace,
    progress: Arc<Progress>,
}

impl Work {
    fn new(from: Arc<dyn Store>, to: Arc<dyn Store>, options: Options, progress: Arc<Progress>) -> Arc<Self> {
        let options = Options { parallel: options.parallel.max(1), page: options.page.max(1), ..options };
        Arc::new(Self {
            from: End::new(Side::From, from, options.patience),
            to: End::new(Side::To, to, options.patience),
            options,
            pace: Pace::new(options.rows_per_s),
            progress,
        })
    }

    /// Counts rows of the source, and waits if they are too many for the pace.
    async fn rows(&self, rows: usize) {
        self.progress.add_rows(rows);
        self.pace.rows(rows).await;
    }
}

/// Brings everything that `from` holds to `to`. `to` is empty, or holds what an earlier copy brought.
///
/// # Errors
/// When a store fails for longer than the patience, or `to` holds something else. What was brought stays; making the
/// copy again goes on from there.
pub async fn copy(
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    options: Options,
    progress: Arc<Progress>,
) -> Result<Copied> {
    let work = Work::new(from, to, options, progress);
    journal::keys(&work).await?;
    let active = rooms::active_rooms(&work.from).try_collect().await?;
    let copied = rooms::copy(&work, active).await?;
    users::copy(&work).await?;
    journal::copy(&work).await?;
    Ok(copied)
}
