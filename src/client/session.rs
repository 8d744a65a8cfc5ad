//! The live side: all events of a user's rooms over a Session or StreamMessages that is reopened when it breaks.
//!
//! Owns the stream, its cursors and the waits between two tries; must not interpret events beyond their place in
//! the log. It is driven by its owner's polls and starts no task of its own.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    time::Duration,
};

use futures_util::future::BoxFuture;
use tertulia_proto::chat::v1::{
    Connected, Event, Room, RoomJoin, SessionOpen, SessionRequest, SessionResponse, StreamAttempt,
    StreamMessagesRequest, event, session_request, session_response,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{
    commands::LiveCommands,
    cursors::{Cursors, Verdict},
    error::ClientError,
    live::{LiveItem, LiveMode, LiveOptions, LiveStats},
    unary::Client,
};

/// Commands on their way into a session; more wait in their callers.
const COMMANDS_QUEUED_MAX: usize = 64;
/// Reason with which a stream ends when another one of the same client id begins.
const REPLACED: &str = "stream_replaced";
/// The server's interval between two `connected` until it says otherwise.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(15);

/// A stream of events that survives the connection, the server and the network.
pub struct LiveClient {
    client: Client,
    options: LiveOptions,
    cursors: Cursors,
    /// False until the cursors say where each room stands.
    seeded: bool,
    stats: LiveStats,
    /// Tells the server which of two openings is the newer when they arrive in the wrong order.
    attempt: StreamAttempt,
    commands: LiveCommands,
    /// Told before anything else is awaited.
    ready: VecDeque<LiveItem>,
    phase: Phase,
}

enum Phase {
    Start,
    Opening(BoxFuture<'static, Result<Opened, ClientError>>),
    Live(Box<Live>),
    Waiting(Instant),
}

struct Opened {
    frames: Frames,
    /// Read because nothing told where the rooms stand.
    rooms: Vec<Room>,
    out: Option<mpsc::Sender<SessionRequest>>,
}

struct Live {
    frames: Frames,
    /// Without a frame by then the stream is dead.
    silent_until: Instant,
    silence: Duration,
    opened_at: Instant,
}

enum Frames {
    Session(Streaming<SessionResponse>),
    Stream(Streaming<Event>),
}

#[expect(clippy::large_enum_variant, reason = "lives for one turn; a box would cost an allocation a frame")]
enum Step {
    Open,
    Opened(Result<Opened, ClientError>),
    Frame(Result<Option<SessionResponse>, ClientError>),
}

impl fmt::Debug for LiveClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveClient")
            .field("client_id", &self.options.client_id)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl LiveClient {
    /// Prepares; nothing is sent before the first `next`.
    #[must_use]
    pub fn new(client: Client, mut options: LiveOptions) -> Self {
        let given = options.cursors.take();
        let seeded = given.is_some();
        let commands = LiveCommands::new(client.deadline());
        Self {
            cursors: Cursors::new(options.user_id, given.unwrap_or_default()),
            client,
            options,
            seeded,
            stats: LiveStats::default(),
            attempt: StreamAttempt { process: rand::random(), number: 0 },
            commands,
            ready: VecDeque::new(),
            phase: Phase::Start,
        }
    }

    /// Room id to the seq of the last event handed on: keep it to resume in another process.
    #[must_use]
    pub const fn cursors(&self) -> &HashMap<String, i64> {
        self.cursors.map()
    }

    /// What happened so far.
    #[must_use]
    pub const fn stats(&self) -> LiveStats {
        self.stats
    }

    /// Sends commands over the session.
    #[must_use]
    pub fn commands(&self) -> LiveCommands {
        self.commands.clone()
    }

    /// Watches others from the next opening on.
    pub fn set_presence_of(&mut self, users: Vec<i64>) {
        self.options.presence_of = users;
    }

    /// Tries again at once instead of at the end of the wait.
    pub fn retry_now(&mut self) {
        if matches!(self.phase, Phase::Waiting(_)) {
            self.phase = Phase::Start;
        }
    }

    /// The next item. May be dropped and called again without losing anything.
    ///
    /// # Errors
    /// What no other try would change: a bad token, a room that is not the caller's, another stream with the same
    /// client id. Calling again tries once more all the same.
    pub async fn next(&mut self) -> Result<LiveItem, ClientError> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(item);
            }
            match self.step().await {
                Step::Open => self.phase = Phase::Opening(self.open()),
                Step::Opened(Ok(opened)) => self.go_live(opened),
                Step::Frame(Ok(Some(frame))) => self.frame(frame),
                Step::Frame(Ok(None)) => self.broke(ClientError::Lost { sent: true })?,
                Step::Opened(Err(error)) | Step::Frame(Err(error)) => self.broke(error)?,
            }
        }
    }

    /// Awaits whatever the phase waits for; changes nothing, so that it may be dropped.
    async fn step(&mut self) -> Step {
        match &mut self.phase {
            Phase::Start => Step::Open,
            Phase::Opening(opening) => Step::Opened(opening.await),
            Phase::Live(live) => Step::Frame(live.next().await),
            Phase::Waiting(until) => {
                sleep_until(*until).await;
                Step::Open
            }
        }
    }

    fn open(&mut self) -> BoxFuture<'static, Result<Opened, ClientError>> {
        let client = self.client.clone();
        let options = self.options.clone();
        let mut cursors = self.cursors.clone();
        self.attempt.number += 1;
        let attempt = self.attempt;
        // A server cannot tell what an empty map missed, so the rooms themselves must.
        let read_rooms = !self.seeded || cursors.map().is_empty();
        Box::pin(async move {
            let mut rooms = Vec::new();
            if read_rooms {
                rooms = read_state(&client, options.room_id.as_deref()).await?;
                cursors.seed(&rooms);
            }
            let deadline = client.deadline();
            let opening = open_stream(client, options, cursors.map().clone(), attempt);
            let (frames, out) =
                timeout(deadline, opening).await.map_err(|_| ClientError::Deadline { after: deadline })??;
            Ok(Opened { frames, rooms, out })
        })
    }

    fn go_live(&mut self, opened: Opened) {
        let first = !self.seeded;
        self.seeded = true;
        self.cursors.seed(&opened.rooms);
        self.stats.opened += 1;
        if let Some(out) = opened.out {
            self.commands.opened(out);
        }
        self.ready.push_back(LiveItem::Up);
        if !first {
            // The rooms that came while nobody listened: as the server would have announced them.
            self.ready.extend(opened.rooms.into_iter().map(announced));
        }
        let now = Instant::now();
        let silence = silence(INTERVAL_DEFAULT);
        self.phase =
            Phase::Live(Box::new(Live { frames: opened.frames, silent_until: now + silence, silence, opened_at: now }));
    }

    fn frame(&mut self, frame: SessionResponse) {
        match frame.frame {
            Some(session_response::Frame::Event(event)) => self.event(event),
            Some(session_response::Frame::Reply(reply)) => self.commands.answered(reply),
            None => {}
        }
    }

    fn event(&mut self, event: Event) {
        if let Some(event::Event::Connected(connected)) = &event.event {
            if let Phase::Live(live) = &mut self.phase {
                live.heard(*connected);
            }
            return;
        }
        match self.cursors.admit(&event) {
            Verdict::Duplicate => {
                self.stats.duplicates += 1;
                tracing::warn!(room = %event.room_id, seq = event.seq, "event received twice");
                return;
            }
            Verdict::AfterGap => {
                self.stats.gaps += 1;
                tracing::warn!(room = %event.room_id, seq = event.seq, "events before this one are missing");
            }
            Verdict::New => {}
        }
        if matches!(event.event, Some(event::Event::ResyncRequired(_))) {
            self.stats.resyncs += 1;
        }
        self.stats.events += 1;
        self.ready.push_back(LiveItem::Event(Box::new(event)));
    }

    fn broke(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.commands.closed();
        if let Phase::Live(live) = &self.phase
            && live.opened_at.elapsed() >= self.options.backoff.cap()
        {
            // Only a stream that lasted proves that the server is well again.
            self.options.backoff.reset();
        }
        let final_ = is_final(&error);
        let retry_in = self.options.backoff.next_wait(error.retry_after());
        self.phase = Phase::Waiting(Instant::now() + retry_in);
        if final_ {
            return Err(error);
        }
        self.ready.push_back(LiveItem::Down { error, retry_in });
        Ok(())
    }
}

impl Drop for LiveClient {
    fn drop(&mut self) {
        self.commands.closed();
    }
}

impl Live {
    async fn next(&mut self) -> Result<Option<SessionResponse>, ClientError> {
        let frame = timeout_at(self.silent_until, self.frames.next()).await;
        let frame = frame.map_err(|_| ClientError::Deadline { after: self.silence })??;
        self.silent_until = Instant::now() + self.silence;
        Ok(frame)
    }

    fn heard(&mut self, connected: Connected) {
        if let Ok(interval_s @ 1..) = u64::try_from(connected.interval_s) {
            self.silence = silence(Duration::from_secs(interval_s));
            self.silent_until = Instant::now() + self.silence;
        }
    }
}

impl Frames {
    async fn next(&mut self) -> Result<Option<SessionResponse>, ClientError> {
        match self {
            Self::Session(frames) => Ok(frames.message().await?),
            Self::Stream(events) => {
                let event = events.message().await?;
                Ok(event.map(|event| SessionResponse { frame: Some(session_response::Frame::Event(event)) }))
            }
        }
    }
}

/// Two of the server's beats and a half.
fn silence(interval: Duration) -> Duration {
    interval.mul_f64(2.5)
}

fn is_final(error: &ClientError) -> bool {
    // Coming back would only end the newer stream in turn.
    error.reason() == REPLACED || !error.is_transient()
}

fn announced(room: Room) -> LiveItem {
    let room_id = room.id.clone();
    let join = RoomJoin { participants: Vec::new(), room: Some(room) };
    LiveItem::Event(Box::new(Event { room_id, event: Some(event::Event::RoomJoin(join)), ..Event::default() }))
}

/// The rooms that the stream will be about.
async fn read_state(client: &Client, room_id: Option<&str>) -> Result<Vec<Room>, ClientError> {
    let Some(room_id) = room_id else {
        return client.all_rooms().await;
    };
    let request = tertulia_proto::chat::v1::GetRoomRequest { room_id: room_id.to_owned() };
    Ok(client.get_room(request).await?.room.into_iter().collect())
}

async fn open_stream(
    client: Client,
    options: LiveOptions,
    cursors: HashMap<String, i64>,
    attempt: StreamAttempt,
) -> Result<(Frames, Option<mpsc::Sender<SessionRequest>>), ClientError> {
    let LiveOptions { client_id, room_id, presence_of, mode, .. } = options;
    let room_id = room_id.unwrap_or_default();
    let mut stub = client.stub();
    if mode == LiveMode::Stream {
        let request = StreamMessagesRequest { client_id, room_id, cursors, presence_of, attempt: Some(attempt) };
        let answer = stub.stream_messages(request).await?;
        return Ok((Frames::Stream(answer.into_inner()), None));
    }
    let open = SessionOpen { client_id, room_id, cursors, presence_of, commands_only: false, attempt: Some(attempt) };
    let (out, requests) = mpsc::channel(COMMANDS_QUEUED_MAX);
    let first = SessionRequest { request_id: 0, command: Some(session_request::Command::Open(open)) };
    out.try_send(first).map_err(|_| ClientError::Lost { sent: false })?;
    let answer = stub.session(ReceiverStream::new(requests)).await?;
    Ok((Frames::Session(answer.into_inner()), Some(out)))
}
