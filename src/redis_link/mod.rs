//! A connection to Redis, which may be slow, emptied or gone at any time.
//!
//! Whoever uses it must be right without it: an answer that does not come is [`Gone`], soon, and the circuit sees to it
//! that a Redis that hangs is not waited for by everyone. A Redis that refuses to serve, for whatever reason, is as good as
//! gone: it is tried again until it serves. It must not know what is kept there.

use std::{fmt, sync::Arc, time::Duration};

use redis::{
    Client, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, Pipeline, RedisError, Script, ScriptInvocation,
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::{
    circuit::{Circuit, CircuitOpen, CircuitOptions},
    tasks::{self, TaskKind},
};

mod line;
mod refusal;
#[cfg(test)]
mod tests;

use line::Line;

/// Where Redis is, and how long it is waited for.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its password, if it asks for one.
    pub password: Option<SecretString>,
    /// Before every key, so that several systems can share one Redis.
    pub prefix: String,
    /// An answer that takes longer does not come.
    pub timeout: Duration,
    /// When to stop asking.
    pub circuit: CircuitOptions,
}

impl RedisOptions {
    /// Redis at `host` and `port`, with defaults for the rest.
    #[must_use]
    pub fn at(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            password: None,
            prefix: "tertulia:".to_owned(),
            timeout: Duration::from_millis(100),
            circuit: CircuitOptions { in_a_row: 5, hung_after: Duration::from_millis(50), ..CircuitOptions::default() },
        }
    }
}

/// No answer. Not worth a log line each: the circuit writes one when it opens.
#[derive(Debug, thiserror::Error)]
pub enum Gone {
    /// It was not asked.
    #[error(transparent)]
    Open(#[from] CircuitOpen),
    /// It failed.
    #[error("redis failed")]
    Failed(#[from] RedisError),
}

/// The connection; clones share it. Made without connecting, and connects again by itself, whatever the reason was that it
/// could not be used.
#[derive(Clone)]
pub struct RedisLink {
    line: Arc<Line>,
    prefix: Arc<str>,
}

impl fmt::Debug for RedisLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisLink")
            .field("prefix", &self.prefix)
            .field("circuit", &self.line.circuit)
            .finish_non_exhaustive()
    }
}

impl RedisLink {
    /// A link; Redis need not be there. Must be called within a runtime.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(options: &RedisOptions) -> Result<Self, RedisError> {
        let mut info = ConnectionAddr::Tcp(options.host.clone(), options.port).into_connection_info()?;
        if let Some(password) = &options.password {
            let settings = info.redis_settings().clone().set_password(password.expose_secret());
            info = info.set_redis_settings(settings);
        }
        let circuit = Circuit::new("redis", options.circuit);
        let probe_key = format!("{}probe", options.prefix);
        let line = Arc::new(Line::new(Client::open(info)?, options.timeout, circuit, probe_key)?);
        tasks::spawn(TaskKind::Ephemera, line::watch(Arc::downgrade(&line)));
        Ok(Self { line, prefix: options.prefix.as_str().into() })
    }

    /// Its circuit, for health and metrics.
    #[must_use]
    pub fn circuit(&self) -> Arc<Circuit> {
        Arc::clone(&self.line.circuit)
    }

    /// Whether it is worth asking: the circuit is not open, or may try again.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.line.circuit.admits(Instant::now())
    }

    /// A key: prefix, `tag`, `id`.
    #[must_use]
    pub fn key(&self, tag: &str, id: impl fmt::Display) -> String {
        format!("{}{tag}:{id}", self.prefix)
    }

    /// Sends commands together and takes their answers.
    ///
    /// # Errors
    /// [`Gone`]; what was asked may have been done all the same.
    pub async fn run<T: FromRedisValue>(&self, pipe: &Pipeline) -> Result<T, Gone> {
        self.line.asked(|mut connection| async move { pipe.query_async(&mut connection).await }).await
    }

    /// Runs a script; Redis is sent its text when it does not know it.
    ///
    /// # Errors
    /// [`Gone`]; as above.
    pub async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        fill: impl FnOnce(&mut ScriptInvocation<'_>) + Send,
    ) -> Result<T, Gone> {
        let mut invocation = script.prepare_invoke();
        fill(&mut invocation);
        self.line.asked(|mut connection| async move { invocation.invoke_async(&mut connection).await }).await
    }
}

#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
