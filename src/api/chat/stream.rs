//! What streams carry: a [`StreamReader`]'s outputs as frames, gathered into chunks, and the body of StreamMessages.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_util::Stream as _;
use http::HeaderMap;
use http_body::Frame;
use prost::Message as _;
use tertulia_proto::chat::v1::{self as pb, event::Event as Happened};
use tonic::{
    Code, Status,
    body::Body,
    codec::{Codec as _, Streaming},
};

use super::{Caller, ChatService, RequestCodec, expiring::Expiring};
use crate::{
    actors::{
        Node,
        error::CallError,
        ops::UserProfile,
        stream::{CloseReason, EventBatch},
        user::{Attempt, OpenStream, Output, StreamReader},
    },
    api::{
        answers::{BoundElsewhere, Held},
        auth::AuthError,
        caller::Door,
        convert,
        status::ApiError,
        wire::{self, Dialect},
    },
    domain::{
        event::Event,
        ids::{RoomId, Seq, UserId},
        limits,
        reject::{Bounds, Reject, count, text},
        room::{Author, Role},
        view::Seen,
    },
    telemetry::metrics::Connected,
};

/// Bytes of frames handed to the connection at a time, at least.
const CHUNK_BYTES: usize = 64 * 1024;

/// Reasons that say that a room is no more for the reader.
const GONE: [&str; 2] = ["room_not_found", "room_deleted"];

/// Frames being gathered. A single shared piece is passed on without a copy.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    first: Option<Bytes>,
    more: BytesMut,
    /// For answers among them; given back when the chunk is taken.
    held: Vec<Held>,
}

/// A chunk, and what it holds.
struct HeldBytes {
    bytes: Bytes,
    _held: Vec<Held>,
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Chunk {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.first.as_ref().map_or(0, Bytes::len) + self.more.len() >= CHUNK_BYTES
    }

    fn push(&mut self, piece: Bytes) {
        if self.is_empty() {
            self.first = Some(piece);
        } else {
            self.buffer().extend_from_slice(&piece);
        }
    }

    /// Where to write frames that nobody shares.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        if let Some(first) = self.first.take() {
            self.more.extend_from_slice(&first);
        }
        &mut self.more
    }

    /// Notes that room was made for what was put.
    pub(super) fn hold(&mut self, held: Option<Held>) {
        self.held.extend(held);
    }

    pub(super) fn take(&mut self) -> Bytes {
        let bytes = self.first.take().unwrap_or_else(|| self.more.split().freeze());
        if self.held.is_empty() {
            return bytes;
        }
        Bytes::from_owner(HeldBytes { bytes, _held: std::mem::take(&mut self.held) })
    }
}

/// What is looked up before it can be said: a room for its announcement, or the names of members.
type Announcing = Pin<Box<dyn Future<Output = Result<Bytes, ApiError>> + Send>>;

/// Turns a reader's outputs into frames.
pub(super) struct Pump {
    node: Node,
    author: Author,
    expiring: Expiring,
    dialect: Dialect,
    reader: StreamReader,
    announcing: Option<Announcing>,
    /// Events read from a log that wait for an announcement before them.
    read: VecDeque<Seen>,
    _client: Connected,
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pump").field("reader", &self.reader).finish_non_exhaustive()
    }
}

impl Pump {
    pub(super) fn new(door: &Door, caller: &Caller, dialect: Dialect, reader: StreamReader) -> Self {
        Self {
            node: door.node.clone(),
            _client: door.metrics.client(dialect.name()),
            author: caller.author,
            expiring: Expiring::new(caller.expiry),
            dialect,
            reader,
            announcing: None,
            read: VecDeque::new(),
        }
    }

    /// Ready with the reason when the token has ended. To be asked before anything is read or handed out.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        self.expiring
            .poll(cx, self.node.now_ms())
            .map(|()| AuthError::Expired)
            .map(|error| ApiError::from(error).into())
    }

    /// Gathers what there is, until the chunk is full. Ready with the reason when the stream must end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>, chunk: &mut Chunk) -> Poll<Status> {
        while !chunk.is_full() {
            // Before whatever is said: what happened while the token counted is for it no more once it has ended.
            if let Poll::Ready(expired) = self.poll_expired(cx) {
                return Poll::Ready(expired);
            }
            if let Some(announcing) = &mut self.announcing {
                let Poll::Ready(event) = announcing.as_mut().poll(cx) else {
                    return Poll::Pending;
                };
                self.announcing = None;
                match event {
                    Ok(frames) => chunk.push(frames),
                    // Gone again since: nothing to announce.
                    Err(error) if GONE.contains(&error.info().reason.as_str()) => {}
                    Err(error) => return Poll::Ready(error.into()),
                }
                self.say_read(chunk);
                continue;
            }
            if !self.read.is_empty() {
                self.say_read(chunk);
                continue;
            }
            let Poll::Ready(output) = self.reader.poll_next(cx) else {
                return Poll::Pending;
            };
            if let Some(end) = self.say(output, chunk) {
                return Poll::Ready(end);
            }
        }
        Poll::Pending
    }

    fn say(&mut self, output: Output, chunk: &mut Chunk) -> Option<Status> {
        match output {
            Output::Batch(batch) if batch.profiles.get().is_none() && !batch.people().is_empty() => {
                let (node, dialect) = (self.node.clone(), self.dialect);
                self.announcing = Some(Box::pin(async move { Ok(named(&node, dialect, &batch).await) }));
            }
            Output::Batch(batch) => chunk.push(self.dialect.batch(&batch)),
            Output::Moment(moment) => chunk.push(self.dialect.moment(&moment)),
            Output::Events(events) => {
                self.read.extend(events);
                self.say_read(chunk);
            }
            Output::Announce(room, seq) => self.announce(room, seq, None),
            Output::Left(room) => {
                let leave = pb::RoomLeave { user_ids: vec![self.author.user.0], ..Default::default() };
                self.put(chunk, Some(room), Happened::RoomLeave(leave));
            }
            Output::Resync(room, from, resumed, stale) => {
                let (from_seq, resumed_after_seq) = (convert::number(from.0), convert::number(resumed.0));
                let drop_up_to_seq = convert::number(stale.0);
                let resync = pb::ResyncRequired { from_seq, resumed_after_seq, drop_up_to_seq };
                self.put(chunk, Some(room), Happened::ResyncRequired(resync));
            }
            Output::Heartbeat => {
                let interval_s = i32::try_from(self.node.options().heartbeat.as_secs()).unwrap_or(i32::MAX);
                self.put(chunk, None, Happened::Connected(pb::Connected { interval_s }));
            }
            Output::Closed(reason) => return Some(closed(reason)),
            Output::Failed(error) => return Some(ApiError::from(error).into()),
        }
        None
    }

    /// Says what was read from a log, up to an event by which the reader joins: that one brings the room along.
    fn say_read(&mut self, chunk: &mut Chunk) {
        while let Some(seen) = self.read.pop_front() {
            match seen {
                Seen::Whole(event) if event.joins(self.author.user) => {
                    self.announce(event.room, event.seq, Some(event));
                    return;
                }
                Seen::Whole(event) if !event.people().is_empty() => {
                    let (node, dialect) = (self.node.clone(), self.dialect);
                    self.announcing = Some(Box::pin(async move {
                        let profiles = profiles(&node, &event).await;
                        Ok(dialect.frame(&wire::event(&event, &profiles)))
                    }));
                    return;
                }
                Seen::Whole(event) => self.dialect.put(chunk.buffer(), &wire::event(&event, &[])),
                Seen::Veiled { room, seq, at_ms } => {
                    self.dialect.put(chunk.buffer(), &convert::veiled(room, seq, at_ms).encode_to_vec());
                }
            }
            if chunk.is_full() {
                return;
            }
        }
    }

    /// Brings a room into the stream: by the event of joining, if the log has it at hand.
    fn announce(&mut self, room: RoomId, seq: Seq, joining: Option<Event>) {
        let (node, author, dialect) = (self.node.clone(), self.author, self.dialect);
        self.announcing = Some(Box::pin(async move {
            let event = announce(&node, author, room, seq, joining).await?;
            Ok(dialect.frame(&event.encode_to_vec()))
        }));
    }

    fn put(&self, chunk: &mut Chunk, room: Option<RoomId>, happened: Happened) {
        let event = pb::Event {
            room_id: room.map(|room| room.to_string()).unwrap_or_default(),
            at: convert::time(self.node.now_ms()),
            event: Some(happened),
            ..Default::default()
        };
        self.dialect.put(chunk.buffer(), &event.encode_to_vec());
    }
}

fn closed(reason: CloseReason) -> Status {
    match reason {
        CloseReason::Replaced => {
            ApiError::new(Code::Aborted, "stream_replaced", "another stream has this client id").into()
        }
        CloseReason::Interrupted => {
            let message = "what served the stream has ended";
            ApiError::new(Code::Unavailable, "stream_interrupted", message).into()
        }
        CloseReason::Draining => ApiError::new(Code::Unavailable, "draining", "the server is going down").into(),
    }
}

/// What is known of those whom an event shows. Without an answer the event is told all the same, without names.
async fn profiles(node: &Node, event: &Event) -> Vec<UserProfile> {
    node.profiles(&event.people()).await.unwrap_or_default()
}

/// The frames of a batch with the names of its people, which are looked up once for all who listen.
async fn named(node: &Node, dialect: Dialect, batch: &EventBatch) -> Bytes {
    let look_up = || async { node.profiles(&batch.people()).await };
    match batch.profiles.get_or_try_init(look_up).await {
        Ok(_) => dialect.batch(batch),
        Err(_) => dialect.frames(batch, &[]),
    }
}

/// The event that brings a room into a stream: it stands at the room's newest place, or is the event of joining, and
/// carries the room.
async fn announce(
    node: &Node,
    author: Author,
    room: RoomId,
    seq: Seq,
    joining: Option<Event>,
) -> Result<pb::Event, ApiError> {
    let said = match &joining {
        Some(event) => Some(convert::named_event(event, &profiles(node, event).await)),
        None => None,
    };
    let summary = match (node.room(author, room).await, said.clone()) {
        (Ok(summary), _) => summary,
        // Gone again since: what happened is told all the same, without the room.
        (Err(CallError::Rejected(_)), Some(said)) => return Ok(said),
        (Err(error), _) => return Err(error.into()),
    };
    let UserProfile { name, picture } = node.profiles(&[author.user]).await?.pop().unwrap_or_default();
    let bare = convert::bare_participant(author.user, summary.role.unwrap_or(Role::Member));
    let me = pb::Participant { name, picture, ..bare };
    let mut join = pb::RoomJoin { participants: vec![me], room: Some(convert::room(&summary)) };
    let mut event = pb::Event {
        room_id: room.to_string(),
        seq: convert::number(seq.0),
        at: convert::time(node.now_ms()),
        user_id: author.user.0,
        event: None,
    };
    if let Some(said) = said {
        (event.at, event.user_id) = (said.at, said.user_id);
        if let Some(Happened::RoomJoin(said)) = said.event {
            join.participants = said.participants;
        }
    }
    event.event = Some(Happened::RoomJoin(join));
    Ok(event)
}

/// Checks what a stream is to be opened with.
pub(super) fn open_stream(request: pb::StreamMessagesRequest, headers: &HeaderMap) -> Result<OpenStream, ApiError> {
    let client_id = match request.client_id {
        given if !given.is_empty() => given,
        _ => headers.get("client-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned(),
    };
    if client_id.is_empty() {
        return Err(ApiError::client_id_needed());
    }
    text("client_id", &client_id, 1, limits::CLIENT_ID_BYTES_MAX)?;
    count("presence_of", request.presence_of.len(), limits::PRESENCE_MAX)?;
    if request.presence_of.iter().any(|user| *user < 1) {
        return Err(Reject::out_of("presence_of", Bounds::From(1)).into());
    }
    Ok(OpenStream {
        client_id,
        attempt: request.attempt.map(|attempt| Attempt { process: attempt.process, number: attempt.number }),
        room: convert::optional_room_id(&request.room_id)?,
        cursors: convert::cursors(request.cursors)?,
        presence_of: request.presence_of.into_iter().map(UserId).collect(),
        commands_only: false,
    })
}

impl ChatService {
    /// Opens a stream for a caller; a single room must be one the caller belongs to.
    pub(super) async fn open_reader(&self, caller: &Caller, mut open: OpenStream) -> Result<StreamReader, ApiError> {
        if let Some(room) = open.room {
            self.door.node.access(caller.author, room).await?.member.ok_or(Reject::RoomNotFound)?;
        }
        open.presence_of = self.door.node.watchable(caller.author, &open.presence_of).await?;
        Ok(self.door.node.users().open(caller.author.user, open).await?)
    }

    pub(super) async fn stream_messages(self, request: http::Request<Body>) -> http::Response<axum::body::Body> {
        let (parts, body) = request.into_parts();
        let opened = async {
            let caller = Caller::of(&parts.extensions).map_err(Status::from)?;
            let decoder = RequestCodec::<pb::StreamMessagesRequest>::default().decoder();
            let mut requests = Streaming::new_request(decoder, body, None, Some(self.message_bytes_max));
            let request = std::future::poll_fn(|cx| Pin::new(&mut requests).poll_next(cx)).await;
            let request = request.unwrap_or_else(|| Err(Status::invalid_argument("no request")))?;
            self.door.still_holds(&caller)?;
            let open = open_stream(request, &parts.headers)?;
            let reader = self.open_reader(&caller, open).await?;
            Ok::<_, Status>(Pump::new(&self.door, &caller, Dialect::Stream, reader))
        };
        match opened.await {
            Ok(pump) => grpc_response(StreamBody { pump, chunk: Chunk::default(), state: State::Open }),
            Err(status) => status.into_http(),
        }
    }
}

/// A gRPC answer with this body.
pub(super) fn grpc_response<B>(body: B) -> http::Response<axum::body::Body>
where
    B: http_body::Body<Data = Bytes, Error = Status> + Send + 'static,
{
    let mut response = http::Response::new(axum::body::Body::new(body));
    let value = http::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(http::header::CONTENT_TYPE, value);
    // A chunk, and what the stream's queue may hold.
    response.extensions_mut().insert(BoundElsewhere);
    response
}

/// The trailers that end a gRPC answer.
pub(super) fn trailers(status: &Status) -> Frame<Bytes> {
    let mut headers = HeaderMap::new();
    if status.add_header(&mut headers).is_err() {
        headers.insert("grpc-status", http::HeaderValue::from_static("13"));
    }
    Frame::trailers(headers)
}

#[derive(Debug)]
enum State {
    Open,
    Ending(Status),
    Ended,
}

/// The body of StreamMessages' answer.
#[derive(Debug)]
struct StreamBody {
    pump: Pump,
    chunk: Chunk,
    state: State,
}

impl http_body::Body for StreamBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if matches!(this.state, State::Open)
            && let Poll::Ready(end) = this.pump.poll_fill(cx, &mut this.chunk)
        {
            this.state = State::Ending(end);
        }
        if !this.chunk.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(this.chunk.take()))));
        }
        match std::mem::replace(&mut this.state, State::Ended) {
            State::Open => {
                this.state = State::Open;
                Poll::Pending
            }
            State::Ending(status) => Poll::Ready(Some(Ok(trailers(&status)))),
            State::Ended => Poll::Ready(None),
        }
    }
}
