//! Whether the server lives and whether it shall get calls, as HTTP for those who keep it running.
//!
//! `grpc.health.v1` says the same in another form ([`super::grpc_health`]). Alive is the process. Ready is what it needs to answer: each dependency is named with how it stands and why. What the
//! server can do without (Redis, a second store) makes it degraded and not unready, or one Redis that is gone would take
//! every node out.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::auth::Verifier;
use crate::{
    actors::Node,
    storage::pulse::{Pulse, Trouble},
    telemetry::metrics::Metrics,
};

/// The store has this long to answer.
const STORE_WAIT: Duration = Duration::from_secs(2);

/// A second store that is behind for longer than this is worth a word.
const MIRROR_LAG: Duration = Duration::from_secs(5);

/// A report is given to all who ask within this time: whoever asks often asks the store no more for it.
const REPORT_AGE_MAX: Duration = Duration::from_millis(250);

/// What health is read from.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) node: Node,
    pub(super) metrics: Arc<Metrics>,
    pub(super) draining: CancellationToken,
    pub(super) verifier: Verifier,
    pub(super) pulse: Pulse,
    pub(super) last: LastReport,
}

/// The newest report, and when it was made.
pub(super) type LastReport = Arc<Mutex<Option<(Instant, Report)>>>;

/// How one dependency stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Check {
    name: &'static str,
    status: Standing,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Standing {
    Ok,
    /// Something is missing that the server can do without.
    Degraded,
    /// The server cannot answer.
    Failed,
}

/// How everything stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Report {
    pub(super) ready: bool,
    checks: Vec<Check>,
}

impl Health {
    /// The routes.
    pub(super) fn routes(self) -> Router {
        Router::new()
            .route("/health/live", get(|| async { "live\n" }))
            .route("/health/ready", get(ready))
            .with_state(self)
    }

    /// How everything stands now, or did a moment ago; that the server goes down is known at once.
    pub(super) async fn report(&self) -> Report {
        if self.draining.is_cancelled() {
            // Whatever the store does, and however long it takes to say.
            let checks = vec![Check::new("server", Some("draining"), Standing::Failed)];
            return Report { ready: false, checks };
        }
        let mut last = self.last.lock().await;
        if let Some((at, report)) = &*last
            && at.elapsed() < REPORT_AGE_MAX
        {
            return report.clone();
        }
        let report = self.look().await;
        *last = Some((Instant::now(), report.clone()));
        report
    }

    async fn look(&self) -> Report {
        let store = self.store().await;
        let mut checks = vec![
            Check::new("server", None, Standing::Failed),
            Check::new(
                "keys",
                (!self.verifier.is_ready()).then_some("no keys to verify tokens with"),
                Standing::Failed,
            ),
            Check::new("store", store, Standing::Failed),
        ];
        for circuit in self.metrics.circuits() {
            let of_store = store.filter(|_| circuit.name() == self.metrics.database());
            let reason = either(circuit.trouble(), of_store);
            checks.push(Check::new(circuit.name(), reason, Standing::Degraded));
        }
        if self.metrics.mirror().is_some() {
            checks.push(Check::new("mirror", self.mirror(), Standing::Degraded));
        }
        Report { ready: checks.iter().all(|check| check.status < Standing::Failed), checks }
    }

    /// Why the second store is behind.
    fn mirror(&self) -> Option<&'static str> {
        let following = self.metrics.mirror()?;
        if let Some(trouble) = following.trouble() {
            return Some(trouble);
        }
        if following.marks().behind().is_none() {
            return Some("is being compared with the store that serves");
        }
        (following.lag() > MIRROR_LAG).then_some("is behind by more than 5 s; chat_mirror_lag_seconds says how much")
    }

    async fn store(&self) -> Option<&'static str> {
        match timeout(STORE_WAIT, self.node.check_store()).await {
            Ok(Ok(())) => self.pulse.trouble().map(Trouble::as_str),
            Ok(Err(error)) => {
                tracing::warn!(error = %crate::error::Chain(&error), "the store does not answer");
                Some("answers with an error; see the log")
            }
            Err(_) => Some("does not answer"),
        }
    }
}

impl Check {
    fn new(name: &'static str, reason: Option<&'static str>, bad: Standing) -> Self {
        let status = if reason.is_none() { Standing::Ok } else { bad };
        Self { name, status, reason }
    }
}

/// Why a service behind a circuit is not well. The store's own circuit is judged by the store's answer too: of a database
/// that has just failed to answer it is not said that all is well because its circuit has not opened yet.
fn either(of_circuit: Option<&'static str>, of_store: Option<&'static str>) -> Option<&'static str> {
    of_circuit.or(of_store)
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let report = health.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let retry = (!report.ready).then_some([(http::header::RETRY_AFTER, "1")]);
    (status, retry, Json(report))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_fails_is_not_well_before_its_circuit_opens() {
        assert_eq!(either(None, None), None);
        assert_eq!(either(None, Some("does not answer")), Some("does not answer"));
        assert_eq!(either(Some("circuit open"), Some("does not answer")), Some("circuit open"));
    }
}
