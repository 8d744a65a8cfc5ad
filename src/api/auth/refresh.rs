//! Keys that follow their sources.
//!
//! One task reads the sources; callers only ask for it and read what is there. So a slow key server
//! holds up nobody whose key is known, and a caller that goes away takes no refresh with it.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::KeyError;
use super::keys::{KeySet, VerificationKey};
use super::options::AuthOptions;
use super::source::{Source, read_file};

/// Pause after a refresh that failed, unless the regular one is shorter.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// The current keys and the way to newer ones.
#[derive(Debug)]
pub(super) struct Refresher {
    current: ArcSwap<KeySet>,
    // Held while sources are read, which awaits: hence the asynchronous mutex.
    slots: tokio::sync::Mutex<Vec<Slot>>,
    demand: Mutex<Demand>,
    wake: Notify,
    finished: watch::Sender<Finished>,
    every: Duration,
    demand_every: Duration,
    wait_max: Duration,
}

/// A source and what it held when it was last read.
#[derive(Debug)]
struct Slot {
    source: Source,
    hash: Option<[u8; 32]>,
    keys: Option<Vec<Arc<VerificationKey>>>,
}

#[derive(Debug, Default)]
struct Demand {
    /// How many refreshes have begun.
    begun: u64,
    /// A refresh with a greater number has been asked for and has not finished.
    pending_after: Option<u64>,
    last: Option<Instant>,
}

/// How the last refresh ended.
#[derive(Clone, Copy, Debug, Default)]
struct Finished {
    /// The how-manieth refresh it was, from 1; 0 if none has finished.
    number: u64,
    ok: bool,
}

impl Refresher {
    /// Reads everything that is on this machine; addresses are read by [`Refresher::run`].
    pub(super) fn new(options: &AuthOptions) -> Result<Self, KeyError> {
        if options.sources.is_empty() {
            return Err(KeyError::NoSource);
        }
        let mut slots = Vec::with_capacity(options.sources.len());
        for source in &options.sources {
            let mut slot = Slot::new(Source::new(source.clone(), options.fetch_timeout)?);
            slot.load_local()?;
            slots.push(slot);
        }
        Ok(Self {
            current: ArcSwap::from_pointee(key_set(0, &slots)),
            slots: tokio::sync::Mutex::new(slots),
            demand: Mutex::default(),
            wake: Notify::new(),
            finished: watch::Sender::default(),
            every: options.refresh_every.max(Duration::from_secs(1)),
            demand_every: options.refresh_on_demand_every,
            wait_max: options.refresh_wait_max,
        })
    }

    pub(super) fn current(&self) -> Guard<Arc<KeySet>> {
        self.current.load()
    }

    /// Refreshes for ever, at the interval and when asked for.
    pub(super) async fn run(&self) {
        loop {
            let pause = if self.refresh().await { self.every } else { self.every.min(RETRY_AFTER) };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    /// Reads all sources once. A source that fails keeps the keys it had. Answers whether all could
    /// be read.
    pub(super) async fn refresh(&self) -> bool {
        let mut slots = self.slots.lock().await;
        let number = {
            let mut demand = self.demand.lock();
            demand.begun += 1;
            demand.begun
        };
        let mut ok = true;
        let mut changed = false;
        for slot in slots.iter_mut() {
            match slot.load().await {
                Ok(news) => changed |= news,
                Err(err) => {
                    ok = false;
                    warn!(error = chain(&err), "verification keys not refreshed");
                }
            }
        }
        if changed {
            let set = key_set(self.current.load().generation + 1, &slots);
            info!(keys = set.keys.len(), generation = set.generation, "verification keys changed");
            self.current.store(Arc::new(set));
        }
        drop(slots);
        // In this order: whoever still sees the request pending has subscribed before the news.
        let mut demand = self.demand.lock();
        demand.pending_after = demand.pending_after.filter(|after| number <= *after);
        drop(demand);
        self.finished.send_replace(Finished { number, ok });
        ok
    }

    /// Asks for a refresh and waits for it to end, at most `refresh_wait_max`. Does nothing if the
    /// last one that was asked for is too recent. Answers whether the sources could be read.
    pub(super) async fn demand(&self) -> bool {
        let mut finished = self.finished.subscribe();
        let Some(after) = self.request() else {
            return finished.borrow().ok;
        };
        let end = finished.wait_for(|end| end.number > after);
        match timeout(self.wait_max, end).await {
            Ok(Ok(end)) => end.ok,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    /// Asks for a refresh, unless one was asked for too recently. Any refresh with a greater number
    /// than the answer will do.
    fn request(&self) -> Option<u64> {
        let mut demand = self.demand.lock();
        if demand.pending_after.is_some() {
            return demand.pending_after;
        }
        let now = Instant::now();
        let is_recent = |last: Instant| now.duration_since(last) < self.demand_every;
        if demand.last.is_some_and(is_recent) {
            return None;
        }
        // A refresh that is under way may have read its source before the key was there; it will do
        // only for whoever waits for any key at all.
        let after = if self.current.load().complete { demand.begun } else { self.finished.borrow().number };
        demand.pending_after = Some(after);
        demand.last = Some(now);
        self.wake.notify_one();
        Some(after)
    }
}

impl Slot {
    fn new(source: Source) -> Self {
        Self { source, hash: None, keys: None }
    }

    fn load_local(&mut self) -> Result<(), KeyError> {
        match &self.source {
            Source::Url { .. } => Ok(()),
            Source::Fixed(_) => self.take(&[]).map(drop),
            Source::File(path, _) => {
                let content = read_file(path)?;
                self.take(&content).map(drop)
            }
        }
    }

    async fn load(&mut self) -> Result<bool, KeyError> {
        match self.source.read().await? {
            None => Ok(false),
            Some(content) => self.take(&content),
        }
    }

    /// Whether the keys are others than before.
    fn take(&mut self, content: &[u8]) -> Result<bool, KeyError> {
        let hash = Sha256::digest(content).into();
        if self.hash == Some(hash) {
            return Ok(false);
        }
        let keys = self.source.parse(content)?;
        self.keys = Some(keys.into_iter().map(Arc::new).collect());
        self.hash = Some(hash);
        Ok(true)
    }
}

fn key_set(generation: u64, slots: &[Slot]) -> KeySet {
    KeySet {
        generation,
        complete: slots.iter().all(|slot| slot.keys.is_some()),
        named: slots.iter().any(|slot| slot.source.is_named()),
        keys: slots.iter().flat_map(|slot| slot.keys.iter().flatten().cloned()).collect(),
    }
}

/// The error and its causes in one line.
fn chain(err: &dyn std::error::Error) -> String {
    std::iter::successors(Some(err), |err| err.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
