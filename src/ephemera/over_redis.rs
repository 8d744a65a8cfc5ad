//! Ephemera in Redis. Times are Redis's own, so that nodes need not agree on one.
//!
//! | key | what | forgotten |
//! |---|---|---|
//! | `rate:u…`, `rate:a…`, `rate:r…` | theoretical arrival time of the next use (GCRA), microseconds | when it is full again |
//! | `typing:ROOM` | sorted set of users, by when they stop | 10 s after the last one typed |
//! | `streams:USER` | sorted set of `client:node`, by when it is no longer believed | three heartbeats after the last one |
//! | `seen:USER` | when the last stream closed | after a week |
//!
//! A node says again every [`HEARTBEAT`] which streams it has: an emptied Redis knows them after that time, and those of
//! a node that died are forgotten.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::{Script, ScriptInvocation, pipe};
use tokio::sync::mpsc;
use xxhash_rust::xxh3::xxh3_64;

use super::{Bucket, Ephemera, Presence, Rate, TYPING_FOR};
use crate::{
    domain::ids::{RoomId, UserId},
    redis_link::{Gone, RedisLink},
    tasks::{self, TaskKind},
};

/// Pause between two times a node says which streams it has.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream that nobody speaks of is believed in for so long.
const STREAM_FOR: Duration = Duration::from_secs(45);
/// How long it is known when a user was last here.
const SEEN_FOR: Duration = Duration::from_secs(7 * 86_400);
/// Streams said again in one go.
const CHUNK: usize = 500;
/// Closed streams that wait to be told; beyond them they are forgotten by themselves.
const CLOSED_MAX: usize = 4_096;

const NOW_US: &str = "local t = redis.call('TIME') local now = t[1] * 1000000 + t[2]\n";
const TAKE: &str = r"
local every, span = tonumber(ARGV[1]), tonumber(ARGV[2])
local next = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + every
if next - now > span then return next - now - span end
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
return 0";
const SPEND: &str = r"
local every, span, uses = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local next = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + every * uses
next = math.min(next, now + span)
redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
return 0";
const TYPE: &str = r"
local span = tonumber(ARGV[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now + span * 1000), ARGV[1])
redis.call('PEXPIRE', KEYS[1], span)
return 1";
const TYPING: &str = r"
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return redis.call('ZRANGE', KEYS[1], 0, ARGV[1])";
const OPEN: &str = r"
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
local client, max, span, others = ARGV[1] .. ':', tonumber(ARGV[3]), tonumber(ARGV[4]), 0
for _, stream in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if string.sub(stream, 1, #client) ~= client then others = others + 1 end
end
if others >= max then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', now + span * 1000), client .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], span)
return 1";
const AGAIN: &str = r"
local span = tonumber(ARGV[1])
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, string.format('%.0f', now + span * 1000), ARGV[i + 1])
  redis.call('PEXPIRE', key, span)
end
return #KEYS";
/// Closings may arrive in any order: when a user was last here only grows.
const CLOSED: &str = r"
for i = 1, #KEYS, 2 do
  redis.call('ZREM', KEYS[i], ARGV[i + 1])
  if tonumber(redis.call('GET', KEYS[i + 1]) or 0) < tonumber(ARGV[i + 2]) then
    redis.call('SET', KEYS[i + 1], ARGV[i + 2], 'PX', ARGV[1])
  end
end
return #KEYS";
const PRESENCE: &str = r"
local answer = {}
for i = 1, #KEYS, 2 do
  answer[i] = redis.call('ZCOUNT', KEYS[i], string.format('(%.0f', now), '+inf')
  answer[i + 1] = tonumber(redis.call('GET', KEYS[i + 1]) or 0)
end
return answer";

/// Typists that are told of; more is a crowd.
const TYPISTS_MAX: isize = 50;

/// See the module.
#[derive(Debug)]
pub struct OverRedis {
    link: RedisLink,
    node: String,
    scripts: Scripts,
    own: Arc<Own>,
    closed: mpsc::Sender<Closed>,
}

struct Scripts {
    take: Script,
    spend: Script,
    begin_typing: Script,
    typing: Script,
    open: Script,
    presence: Script,
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scripts").finish_non_exhaustive()
    }
}

/// The streams of this node, by user and client; how many of each, because one that is replaced ends later.
type Streams = HashMap<(UserId, u64), usize>;

#[derive(Debug, Default)]
struct Own(Mutex<Streams>);

/// The last stream of a client that closed on this node.
#[derive(Debug)]
struct Closed {
    user: UserId,
    client: u64,
    at_ms: i64,
}

fn script(body: &str) -> Script {
    Script::new(&format!("{NOW_US}{body}"))
}

impl OverRedis {
    /// Ephemera of the node called `node` (any text that no other node has). Must be called within a runtime; its tasks
    /// end when it is dropped.
    #[must_use]
    pub fn new(link: RedisLink, node: impl Into<String>) -> Self {
        Self::beating(link, node, HEARTBEAT)
    }

    /// With another pause between heartbeats.
    pub(super) fn beating(link: RedisLink, node: impl Into<String>, heartbeat: Duration) -> Self {
        let (node, own) = (node.into(), Arc::new(Own::default()));
        let (closed, closing) = mpsc::channel(CLOSED_MAX);
        let teller = Teller { link: link.clone(), node: node.clone(), again: script(AGAIN), gone: script(CLOSED) };
        tasks::spawn(TaskKind::Ephemera, teller.tell(Arc::downgrade(&own), closing, heartbeat));
        let scripts = Scripts {
            take: script(TAKE),
            spend: script(SPEND),
            begin_typing: script(TYPE),
            typing: script(TYPING),
            open: script(OPEN),
            presence: script(PRESENCE),
        };
        Self { link, node, scripts, own, closed }
    }

    fn rate_key(&self, bucket: Bucket) -> String {
        match bucket {
            Bucket::User(user) => self.link.key("rate:u", user.0),
            Bucket::Admin(user) => self.link.key("rate:a", user.0),
            Bucket::Room(room) => self.link.key("rate:r", room),
        }
    }

    async fn presence_of(&self, users: &[UserId]) -> Result<Vec<Presence>, Gone> {
        let answers: Vec<i64> = self
            .link
            .script(&self.scripts.presence, |call| {
                for user in users {
                    call.key(streams_key(&self.link, *user)).key(seen_key(&self.link, *user));
                }
            })
            .await?;
        let presence = |pair: &[i64]| Presence {
            online: pair[0] > 0,
            last_seen_ms: Some(pair[1]).filter(|seen| pair[0] == 0 && *seen > 0),
        };
        Ok(answers.chunks_exact(2).map(presence).collect())
    }
}

/// Microseconds between two uses, and how far ahead of now the next one may be.
fn arrival_us(rate: Rate) -> (u64, u64) {
    let every_us = 1_000_000 / u64::from(rate.per_s.max(1));
    (every_us, every_us * u64::from(rate.burst.max(1)))
}

fn streams_key(link: &RedisLink, user: UserId) -> String {
    link.key("streams", user.0)
}

fn seen_key(link: &RedisLink, user: UserId) -> String {
    link.key("seen", user.0)
}

fn member(client: u64, node: &str) -> String {
    format!("{client:016x}:{node}")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Ephemera for OverRedis {
    async fn take(&self, bucket: Bucket, rate: Rate) -> Result<(), Duration> {
        let key = self.rate_key(bucket);
        let (every_us, span_us) = arrival_us(rate);
        let fill = |call: &mut ScriptInvocation<'_>| {
            call.key(key).arg(every_us).arg(span_us);
        };
        match self.link.script::<u64>(&self.scripts.take, fill).await {
            // Without an answer the node's own limits stand alone.
            Ok(0) | Err(_) => Ok(()),
            Ok(wait_us) => Err(Duration::from_micros(wait_us)),
        }
    }

    async fn spent(&self, bucket: Bucket, rate: Rate, uses: u32) {
        let key = self.rate_key(bucket);
        let (every_us, span_us) = arrival_us(rate);
        let fill = |call: &mut ScriptInvocation<'_>| {
            call.key(key).arg(every_us).arg(span_us).arg(uses);
        };
        if let Err(error) = self.link.script::<u64>(&self.scripts.spend, fill).await {
            tracing::debug!(%error, "a rate was not charged");
        }
    }

    async fn set_typing(&self, room: RoomId, user: UserId, typing: bool) {
        let key = self.link.key("typing", room);
        let told = if typing {
            let fill = |call: &mut ScriptInvocation<'_>| {
                call.key(key).arg(user.0).arg(millis(TYPING_FOR));
            };
            self.link.script::<i64>(&self.scripts.begin_typing, fill).await.map(drop)
        } else {
            self.link.run(pipe().zrem(key, user.0).ignore()).await
        };
        if let Err(error) = told {
            tracing::debug!(%error, "typing was not told");
        }
    }

    async fn typing(&self, room: RoomId) -> Vec<UserId> {
        let key = self.link.key("typing", room);
        let fill = |call: &mut ScriptInvocation<'_>| {
            call.key(key).arg(TYPISTS_MAX - 1);
        };
        let users: Vec<i64> = self.link.script(&self.scripts.typing, fill).await.unwrap_or_default();
        let mut users: Vec<UserId> = users.into_iter().map(UserId).collect();
        users.sort_unstable();
        users
    }

    async fn stream_opens(&self, user: UserId, client_id: &str, max: usize) -> bool {
        let client = xxh3_64(client_id.as_bytes());
        let key = streams_key(&self.link, user);
        let fill = |call: &mut ScriptInvocation<'_>| {
            call.key(key).arg(format!("{client:016x}")).arg(&self.node).arg(max).arg(millis(STREAM_FOR));
        };
        let refused = matches!(self.link.script::<u8>(&self.scripts.open, fill).await, Ok(0));
        if !refused {
            *self.own.0.lock().entry((user, client)).or_default() += 1;
        }
        !refused
    }

    fn stream_closed(&self, user: UserId, client_id: &str, now_ms: i64) {
        let client = xxh3_64(client_id.as_bytes());
        let mut own = self.own.0.lock();
        let Some(count) = own.get_mut(&(user, client)) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            own.remove(&(user, client));
            // Not told, it is forgotten by itself.
            let _ = self.closed.try_send(Closed { user, client, at_ms: now_ms });
        }
    }

    async fn presence(&self, users: &[UserId]) -> Vec<Presence> {
        match self.presence_of(users).await {
            Ok(presence) if presence.len() == users.len() => presence,
            Ok(_) | Err(_) => vec![Presence::default(); users.len()],
        }
    }
}

/// Tells Redis what closed, and from time to time what is open.
struct Teller {
    link: RedisLink,
    node: String,
    again: Script,
    gone: Script,
}

impl Teller {
    async fn tell(self, own: Weak<Own>, mut closing: mpsc::Receiver<Closed>, heartbeat: Duration) {
        let mut beat = tokio::time::interval(heartbeat);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut batch = Vec::with_capacity(CHUNK);
        loop {
            tokio::select! {
                taken = closing.recv_many(&mut batch, CHUNK) => {
                    if taken == 0 {
                        return;
                    }
                    self.tell_closed(&batch).await;
                    batch.clear();
                }
                _ = beat.tick() => {
                    let Some(own) = own.upgrade() else { return };
                    let open: Vec<(UserId, u64)> = own.0.lock().keys().copied().collect();
                    drop(own);
                    for chunk in open.chunks(CHUNK) {
                        self.tell_open(chunk).await;
                    }
                }
            }
        }
    }

    async fn tell_closed(&self, closed: &[Closed]) {
        let fill = |call: &mut ScriptInvocation<'_>| {
            call.arg(millis(SEEN_FOR));
            for Closed { user, client, at_ms } in closed {
                call.key(streams_key(&self.link, *user)).arg(member(*client, &self.node));
                call.key(seen_key(&self.link, *user)).arg(*at_ms);
            }
        };
        if let Err(error) = self.link.script::<i64>(&self.gone, fill).await {
            tracing::debug!(%error, "closed streams were not told");
        }
    }

    async fn tell_open(&self, open: &[(UserId, u64)]) {
        let fill = |call: &mut ScriptInvocation<'_>| {
            call.arg(millis(STREAM_FOR));
            for (user, client) in open {
                call.key(streams_key(&self.link, *user)).arg(member(*client, &self.node));
            }
        };
        if let Err(error) = self.link.script::<i64>(&self.again, fill).await {
            tracing::debug!(%error, "open streams were not told");
        }
    }
}
