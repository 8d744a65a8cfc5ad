//! The second store: opened beside the one that serves, brought what is written there, and told apart by terms.
//!
//! Nothing here holds the server up. A second store that is away is opened when it comes back, and what was written
//! meanwhile is brought then. What it lacks, and why, is in the log, in the metrics and in `/health/ready`.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures_util::FutureExt as _;
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::store::{self, Opened};
use crate::{
    config::{Config, Place},
    error::Chain,
    storage::{
        Store, StoreError, StoreErrorKind,
        layer::mirrored::Marks,
        migrate::{
            Following, Options, Patience, follow,
            lead::{self, LeadError, Term},
        },
    },
    tasks::{self, TaskKind},
};

/// A start waits this long for the second store to open.
const OPEN_WAIT: Duration = Duration::from_secs(10);

/// With one call to a store. What fails for longer is marked again and shows as trouble, so there is no need for more.
const PATIENCE: Patience =
    Patience { tries: 3, wait_min: Duration::from_millis(50), wait_max: Duration::from_millis(500) };

/// The follower of the store that serves.
#[derive(Debug)]
pub(super) struct Mirror {
    following: Following,
    stop: CancellationToken,
    /// Ends with whether the second store has everything.
    task: AbortOnDropHandle<bool>,
}

/// What the follower's task works with.
#[derive(Debug)]
struct Follower {
    config: Config,
    place: Place,
    /// The second store, if it is open already.
    to: Option<Arc<dyn Store>>,
    from: Arc<dyn Store>,
    term: Term,
    following: Following,
    stop: CancellationToken,
}

impl Mirror {
    /// Begins a term of the store that serves, and follows it if the configuration says so. With `in_spite`, also if
    /// that store lacks what the other one took.
    ///
    /// # Errors
    /// When the store must not be served, or its terms cannot be read.
    pub(super) async fn start(config: &Config, serves: &Opened, in_spite: bool) -> anyhow::Result<Option<Self>> {
        let from = serves.plain();
        let Some(place) = config.storage.follows.clone() else {
            lead::begin_alone(&*from, in_spite).await.context("this store must not be served")?;
            return Ok(None);
        };
        let opened = match timeout(OPEN_WAIT, store::open(config, &place, false)).await {
            Ok(opened) => opened.map(|opened| opened.plain()),
            Err(elapsed) => Err(elapsed.into()),
        };
        let following = Following::new(Marks::of_unknown());
        let (to, other) = match opened {
            Ok(to) => (Some(Arc::clone(&to)), Ok(to)),
            Err(error) => {
                away(&following, &error);
                (None, Err(StoreError::because(StoreErrorKind::Unavailable, "open", error)))
            }
        };
        let other = other.as_ref().map(AsRef::as_ref).map_err(StoreError::twin);
        let term = lead::begin(&*from, other, in_spite).await.context("this store must not be served")?;
        let stop = CancellationToken::new();
        let (config, beside) = (config.clone(), (following.clone(), stop.clone()));
        tracing::info!(term, serves = from.name(), "a second store follows");
        let follower = Follower { config, place, to, from, term, following: beside.0, stop: beside.1 };
        let task = AbortOnDropHandle::new(tasks::spawn(TaskKind::Mirror, follower.run()));
        Ok(Some(Self { following, stop, task }))
    }

    /// Marks for the store that serves.
    pub(super) fn marks(&self) -> Marks {
        self.following.marks().clone()
    }

    /// How the follower stands.
    pub(super) fn following(&self) -> Following {
        self.following.clone()
    }

    /// Refuses further writes, brings what is left for at most `limit`, and says whether that was everything.
    pub(super) async fn stop(self, limit: Duration) {
        let marks = self.following.marks();
        marks.close();
        self.stop.cancel();
        tracing::info!(waiting = marks.behind(), "bringing what is left to the second store");
        let left = match timeout(limit, self.task).await {
            Ok(Ok(true)) => {
                tracing::info!("the second store has everything, and may be served");
                return;
            }
            Ok(Ok(false)) => "not all could be brought",
            Ok(Err(_)) => "the follower failed",
            Err(_) => "no time was left",
        };
        let waiting = marks.behind();
        tracing::warn!(
            left,
            waiting,
            "the second store lacks some of what was written; it is refused as the one that serves until it has \
             followed once more and was stopped in order"
        );
    }
}

impl Follower {
    async fn run(mut self) -> bool {
        let Some(to) = self.opened().await else { return false };
        let rows_per_s = self.config.storage.mirror_rows_per_s;
        let options = Options { rows_per_s, patience: PATIENCE, ..Options::default() };
        let (from, following) = (Arc::clone(&self.from), self.following.clone());
        let mut whole = follow(from, Arc::clone(&to), following, options, self.stop.clone()).boxed().await;
        if whole && let Err(error) = lead::ended(&*to, self.term).await {
            tracing::warn!(error = %Chain(&error), "the second store has everything and could not be told so");
            whole = false;
        }
        if let Err(error) = to.close().await {
            tracing::warn!(error = %Chain(&error), "the second store did not close");
        }
        whole
    }

    /// The second store, once it is there; none at the end.
    async fn opened(&mut self) -> Option<Arc<dyn Store>> {
        if let Some(to) = self.to.take() {
            return Some(to);
        }
        let waits = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(Duration::from_secs(10))
            .without_max_times()
            .with_jitter()
            .build();
        for wait in waits {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(wait) => {}
            }
            let opened = tokio::select! {
                () = self.stop.cancelled() => return None,
                opened = self.open() => opened,
            };
            match opened {
                Ok(to) => return Some(to),
                Err(error) if is_served(&error) => {
                    tracing::error!(error = format!("{error:#}"), "the second store was served itself: not followed");
                    self.following.set_trouble(Some("was served itself meanwhile; see the log"));
                    self.stop.cancelled().await;
                    return None;
                }
                Err(error) => away(&self.following, &error),
            }
        }
        None
    }

    /// On a thread of its own: the future that opens a store borrows from its options in a way that a task cannot move.
    async fn open(&self) -> anyhow::Result<Arc<dyn Store>> {
        let (config, place) = (self.config.clone(), self.place.clone());
        let runtime = tokio::runtime::Handle::current();
        let open = move || runtime.block_on(store::open(&config, &place, false));
        let to = tokio::task::spawn_blocking(open).await.context("the thread that opens")??.plain();
        lead::told(&*to, self.term).await?;
        Ok(to)
    }
}

fn is_served(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(LeadError::Behind { .. }))
}

fn away(following: &Following, error: &anyhow::Error) {
    tracing::warn!(error = format!("{error:#}"), "the second store cannot be opened, will be tried again");
    following.set_trouble(Some("cannot be opened; what it lacks is brought when it can"));
}
