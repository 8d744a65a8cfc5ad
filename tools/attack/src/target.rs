//! The server under attack, and callers of it: tokens, connections, pace.

use std::{collections::BTreeMap, fmt, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use tertulia_proto::chat::v1::{
    CreateRoomRequest, RoomType, SendMessageRequest, chat_service_client::ChatServiceClient,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::Mutex,
    time::{Interval, MissedTickBehavior, interval, timeout},
};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint},
};

/// Greatest answer taken.
const ANSWER_MAX: usize = 64 << 20;
/// Longest wait for one answer; a server that takes longer has let its caller down.
const CALL_MAX: Duration = Duration::from_secs(12);

/// Whom a token is for.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// The user.
    pub user: i64,
    /// Whether with the admin role.
    pub admin: bool,
    /// Seconds from now to the token's end; negative for one that has expired.
    pub valid_s: i64,
}

/// Signs tokens.
pub type Mint = Arc<dyn Fn(Who) -> String + Send + Sync>;

/// A server, and the users that one attack may call itself.
#[derive(Clone)]
pub struct Target {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Signs tokens that it accepts.
    pub mint: Mint,
    /// The first of 100,000 users of this attack's own.
    pub user_base: i64,
    /// Calls a second of one user.
    pub calls_per_s: u32,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("addr", &self.addr).field("user_base", &self.user_base).finish_non_exhaustive()
    }
}

/// A user with a connection of their own.
pub(crate) type Caller = ChatServiceClient<InterceptedService<Channel, Bearer>>;

#[derive(Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Target {
    /// The `index`-th user of the attack.
    pub(crate) const fn user(&self, index: i64) -> i64 {
        self.user_base + index
    }

    pub(crate) fn token(&self, who: Who) -> String {
        (self.mint)(who)
    }

    pub(crate) fn bearer(&self, who: Who) -> Result<Bearer> {
        Ok(Bearer(format!("Bearer {}", self.token(who)).parse().context("a token is ASCII")?))
    }

    pub(crate) fn endpoint(&self) -> Result<Endpoint> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addr)).context("an address is a URL")?;
        Ok(endpoint.connect_timeout(Duration::from_secs(5)).timeout(CALL_MAX))
    }

    /// A connection of its own for a user.
    pub(crate) fn caller(&self, user: i64) -> Result<Caller> {
        self.caller_as(Who { user, admin: false, valid_s: 3_600 })
    }

    pub(crate) fn caller_as(&self, who: Who) -> Result<Caller> {
        let channel = self.endpoint()?.connect_lazy();
        let client = ChatServiceClient::with_interceptor(channel, self.bearer(who)?);
        Ok(client.max_decoding_message_size(ANSWER_MAX))
    }

    /// A bare connection, from another address of the loopback where there is one: shares of connections are by address.
    pub(crate) async fn socket(&self) -> std::io::Result<TcpStream> {
        if self.addr.ip() == std::net::Ipv4Addr::LOCALHOST {
            let socket = TcpSocket::new_v4()?;
            if socket.bind(SocketAddr::from(([127, 0, 0, 2], 0))).is_ok() {
                return connected(socket.connect(self.addr)).await;
            }
        }
        connected(TcpStream::connect(self.addr)).await
    }

    /// No faster than one user may call.
    pub(crate) fn pace(&self) -> Pace {
        Pace::per_second(self.calls_per_s)
    }

    /// A group of `owner` with these others.
    pub(crate) async fn group(&self, owner: i64, others: Vec<i64>) -> Result<String> {
        let request = CreateRoomRequest {
            r#type: RoomType::Group.into(),
            name: format!("attack {owner}"),
            participants: others,
            history_visible: Some(true),
            ..CreateRoomRequest::default()
        };
        let answer = self.caller(owner)?.create_room(request).await.context("make a room")?;
        Ok(answer.into_inner().room.context("the answer has its room")?.id)
    }

    /// Fills a room: `writers`, who are members, send `count` texts between them, as fast as their rates let them.
    pub(crate) async fn fill(
        &self,
        room: &str,
        writers: std::ops::Range<i64>,
        count: usize,
        text: impl Fn(usize) -> String,
    ) -> Result<()> {
        let text = &text;
        let users = usize::try_from(writers.end - writers.start)?;
        let mut tasks = tokio::task::JoinSet::new();
        for (index, user) in writers.enumerate() {
            let mut caller = self.caller(self.user(user))?;
            let texts: Vec<String> = (index..count).step_by(users).map(text).collect();
            let room = room.to_owned();
            tasks.spawn(async move {
                for content in texts {
                    say(&mut caller, &room, content).await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.context("a writer failed")??;
        }
        Ok(())
    }
}

/// Longest wait for a connection: a server that is full leaves it waiting.
async fn connected(connect: impl Future<Output = std::io::Result<TcpStream>>) -> std::io::Result<TcpStream> {
    timeout(Duration::from_secs(5), connect).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// Sends a message; again when told to come later.
async fn say(caller: &mut Caller, room: &str, content: String) -> Result<()> {
    let request = SendMessageRequest { room_id: room.to_owned(), content, ..SendMessageRequest::default() };
    for _ in 0..600 {
        match caller.send_message(request.clone()).await {
            Ok(_) => return Ok(()),
            Err(status) if matches!(status.code(), tonic::Code::ResourceExhausted | tonic::Code::Unavailable) => {
                tokio::time::sleep(retry_after(&status)).await;
            }
            Err(status) => return Err(status).context("fill a room"),
        }
    }
    anyhow::bail!("a room could not be filled: refused for too long")
}

/// When a refused call may come again.
pub(crate) fn retry_after(status: &Status) -> Duration {
    let told = status.metadata().get("tertulia-retry-after-ms");
    let ms = told.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(100);
    Duration::from_millis(ms).clamp(Duration::from_millis(5), Duration::from_secs(2))
}

/// Why a call failed, in a word.
pub(crate) fn reason(status: &Status) -> String {
    let told = status.metadata().get("tertulia-reason").and_then(|value| value.to_str().ok());
    told.map_or_else(|| format!("{:?}", status.code()), str::to_owned)
}

/// Counts by word.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub(crate) fn count<T>(&mut self, answer: &Result<T, Status>) {
        let word = answer.as_ref().err().map_or_else(|| "ok".to_owned(), reason);
        self.add(word, 1);
    }

    pub(crate) fn add(&mut self, word: String, count: u64) {
        *self.0.entry(word).or_default() += count;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(word, count)| self.add(word, count));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(|(word, count)| format!("{count} {word}")).collect();
        f.write_str(&if all.is_empty() { "none".to_owned() } else { all.join(", ") })
    }
}

/// A rate of calls, shared by who calls under it.
#[derive(Clone, Debug)]
pub struct Pace(Arc<Mutex<Interval>>);

impl Pace {
    /// At most so many a second, at least one.
    #[must_use]
    pub fn per_second(calls: u32) -> Self {
        let mut ticks = interval(Duration::from_secs(1) / calls.max(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self(Arc::new(Mutex::new(ticks)))
    }

    /// Returns when the next call may go out.
    pub(crate) async fn turn(&self) {
        self.0.lock().await.tick().await;
    }
}
