//! What stands before a backend behind a network, in order.

use std::{sync::Arc, time::Duration};

use super::{
    breaker::Breaker,
    cached::{CacheObserver, CacheOptions, Cached},
    deadline::{Deadline, Deadlines},
    retrying::{RetryOptions, Retrying},
};
use crate::{
    circuit::{Circuit, CircuitOptions},
    redis_link::RedisLink,
    storage::Store,
};

/// Each attempt has this long: short enough that the whole call has time for another.
const ATTEMPT: Deadlines = Deadlines { read: Duration::from_secs(2), write: Duration::from_secs(4) };

/// A backend with its layers.
#[derive(Debug)]
pub struct Network {
    /// The outermost of them; encryption comes around it.
    pub store: Arc<dyn Store>,
    /// Whether the backend is called at present.
    pub circuit: Arc<Circuit>,
}

/// From the outside in: cache (if there is one), retries, breaker, a deadline for each attempt, backend. `deadlines` are
/// those of the whole call, which the layer outside of encryption holds. Must be called within a runtime.
#[must_use]
pub fn behind_network(
    backend: Arc<dyn Store>,
    deadlines: Deadlines,
    cache: Option<(RedisLink, Arc<dyn CacheObserver>)>,
) -> Network {
    let breaker = Breaker::new(Arc::new(Deadline::new(backend, ATTEMPT)), CircuitOptions::default());
    let circuit = breaker.circuit();
    let options = RetryOptions { deadlines, ..RetryOptions::default() };
    let retrying: Arc<dyn Store> = Arc::new(Retrying::new(Arc::new(breaker), options));
    let store = match cache {
        Some((link, observer)) => Arc::new(Cached::new(retrying, link, CacheOptions::default(), observer)),
        None => retrying,
    };
    Network { store, circuit }
}
