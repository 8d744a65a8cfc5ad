//! One connection to Redis under its circuit, made again when it cannot be used.
//!
//! The driver connects again by itself when a connection breaks, and keeps for ever one that was refused (a password that
//! was wrong for a moment); so that one is thrown away here. While the circuit tries whether Redis is back, each trial
//! first asks for what all calls together need, a write by a script: a Redis that only answers reads is not back.

use std::{sync::Weak, time::Duration};

use arc_swap::ArcSwap;
use redis::{
    Client, RedisResult, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use tokio::time::{Instant, sleep};

use super::{Gone, refusal};
use crate::circuit::{Circuit, CircuitState, Verdict};

/// How often Redis is looked at if nobody asks it anything, so that health knows.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while it is away; the circuit says when it really is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What every use of Redis needs: a script that writes and reads.
const PROBE: &str = "redis.call('SET', KEYS[1], '1', 'PX', 1000) return redis.call('EXISTS', KEYS[1])";

/// See the module.
pub(super) struct Line {
    client: Client,
    config: ConnectionManagerConfig,
    connection: ArcSwap<ConnectionManager>,
    pub(super) circuit: std::sync::Arc<Circuit>,
    probe: Script,
    probe_key: String,
}

impl Line {
    /// Does not connect yet.
    pub(super) fn new(client: Client, timeout: Duration, circuit: Circuit, probe_key: String) -> RedisResult<Self> {
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(timeout))
            .set_connection_timeout(Some(timeout * 2))
            // The circuit decides when to try again; a caller waits for one attempt.
            .set_number_of_retries(0);
        let first = ConnectionManager::new_lazy_with_config(client.clone(), config.clone())?;
        let (connection, probe) = (ArcSwap::from_pointee(first), Script::new(PROBE));
        Ok(Self { client, config, connection, circuit: circuit.into(), probe, probe_key })
    }

    /// Makes one call, if the circuit lets it.
    pub(super) async fn asked<T, F>(&self, call: impl FnOnce(ConnectionManager) -> F) -> Result<T, Gone>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let leave = self.circuit.enter(Instant::now())?;
        let connection = self.connection.load_full();
        let result = if self.circuit.is_tried_by(&leave) {
            match self.look(ConnectionManager::clone(&connection)).await {
                Ok(()) => call(ConnectionManager::clone(&connection)).await,
                Err(failed) => Err(failed),
            }
        } else {
            call(ConnectionManager::clone(&connection)).await
        };
        let verdict = refusal::verdict(&result);
        leave.end(verdict, Instant::now());
        if matches!(verdict, Verdict::Refused(_)) {
            self.connect_anew(&connection);
        }
        Ok(result?)
    }

    async fn look(&self, mut connection: ConnectionManager) -> RedisResult<()> {
        self.probe.key(&self.probe_key).invoke_async::<i64>(&mut connection).await.map(drop)
    }

    /// Puts a connection in the place of `old`, unless somebody else has.
    fn connect_anew(&self, old: &std::sync::Arc<ConnectionManager>) {
        match ConnectionManager::new_lazy_with_config(self.client.clone(), self.config.clone()) {
            Ok(next) => drop(self.connection.compare_and_swap(old, std::sync::Arc::new(next))),
            Err(error) => tracing::debug!(%error, "no new connection to redis can be made"),
        }
    }
}

/// Looks at Redis from time to time, until the line is dropped.
pub(super) async fn watch(line: Weak<Line>) {
    loop {
        let Some(line) = line.upgrade() else { return };
        // The circuit keeps what came of it.
        let _ = line.asked(|connection| line.look(connection)).await;
        let is_well = line.circuit.state() == CircuitState::Closed;
        drop(line);
        sleep(if is_well { LOOK_EVERY } else { LOOK_AGAIN }).await;
    }
}
