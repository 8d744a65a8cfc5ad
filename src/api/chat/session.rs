//! A session: commands going in, answers and events coming out, on one stream. All of it is driven by the answer's
//! body, in the connection's own task: what is ready goes out together.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream as _, StreamExt as _, stream::FuturesUnordered};
use http::HeaderMap;
use http_body::Frame;
use prost::Message as _;
use tertulia_proto::chat::v1::{self as pb, session_request::Command};
use tonic::{
    Code, Status,
    body::Body,
    codec::{Codec as _, Streaming},
};

use super::{
    Caller, ChatService, Reply, RequestCodec,
    expiring::Expiring,
    kinds,
    stream::{Chunk, Pump, grpc_response, open_stream, trailers},
};
use crate::{
    actors::ops::{Turn, Turns},
    api::{
        answers::{ConnectionUse, Held},
        auth::AuthError,
        convert,
        deadline::Begun,
        intake::Charge,
        status::{ApiError, with_reason},
        wire::{self, Dialect},
    },
    telemetry::panics::{self, Panicked},
};

/// Commands of one session under way at a time; beyond, it is not read from.
const COMMANDS_MAX: usize = 256;
/// Bytes of commands of one session under way at a time; beyond, it is not read from.
const BYTES_MAX: usize = 1 << 20;
/// Larger answers count until they are taken.
const HELD_MIN: usize = 16 * 1024;
/// `SessionReply.error` in chat.v1.
const REPLY_ERROR: u32 = 2;
/// `SessionReply.send_message`.
const SENT: u32 = 30;

type Input = Streaming<pb::SessionRequest>;
type Opening = Pin<Box<dyn Future<Output = Result<(Pump, Input), Status>> + Send>>;
type Running = Pin<Box<dyn Future<Output = Done> + Send>>;

/// A command that was done or refused.
struct Done {
    request_id: u64,
    tag: u32,
    reply: Reply,
    held: Option<Held>,
    /// Bytes of the command.
    bytes: usize,
}

enum State {
    Opening(Opening),
    Open {
        pump: Box<Pump>,
        input: Option<Box<Input>>,
        running: FuturesUnordered<Running>,
        turns: Box<Turns>,
        /// Bytes of the commands that are running.
        in_hand: usize,
    },
    /// Nothing is read or told any more; the commands that were begun are answered, then comes the status.
    Closing {
        running: FuturesUnordered<Running>,
        status: Status,
    },
    Ending(Status),
    Ended,
}

/// The body of a session's answer.
struct SessionBody {
    commands: Commands,
    chunk: Chunk,
    /// While the session is not open yet; then its pump looks.
    expiring: Expiring,
    state: State,
}

impl ChatService {
    pub(super) fn session(self, request: http::Request<Body>) -> http::Response<axum::body::Body> {
        let (mut parts, body) = request.into_parts();
        let connection = parts.extensions.get::<ConnectionUse>().cloned().unwrap_or_default();
        let begun = Begun::of(&mut parts.extensions);
        let caller = match Caller::of(&parts.extensions) {
            Ok(caller) => caller,
            Err(error) => return Status::from(error).into_http(),
        };
        let decoder = RequestCodec::<pb::SessionRequest>::default().decoder();
        let input = Streaming::new_request(decoder, body, None, Some(self.message_bytes_max));
        let opening: Opening = Box::pin(open(self.clone(), caller.clone(), parts.headers, input));
        let expiring = Expiring::new(caller.expiry);
        let (chunk, state) = (Chunk::default(), State::Opening(opening));
        let commands = Commands { chat: self, caller, connection, begun };
        grpc_response(SessionBody { commands, chunk, expiring, state })
    }
}

async fn open(
    chat: ChatService,
    caller: Caller,
    headers: HeaderMap,
    mut input: Input,
) -> Result<(Pump, Input), Status> {
    let first = std::future::poll_fn(|cx| Pin::new(&mut input).poll_next(cx)).await.transpose().map_err(with_reason)?;
    let Some(Command::Open(open)) = first.and_then(|request| request.command) else {
        return Err(ApiError::new(Code::FailedPrecondition, "session_not_open", "the first request must open").into());
    };
    let commands_only = open.commands_only;
    let request = pb::StreamMessagesRequest {
        client_id: open.client_id,
        room_id: open.room_id,
        cursors: open.cursors,
        presence_of: open.presence_of,
        attempt: open.attempt,
    };
    let mut open = open_stream(request, &headers)?;
    open.commands_only = commands_only;
    let reader = chat.open_reader(&caller, open).await?;
    Ok((Pump::new(&chat.door, &caller, Dialect::Session, reader), input))
}

/// The turn of a command: sends to a room enter it in the order in which they were given.
fn turn(turns: &mut Turns, request: &pb::SessionRequest) -> Turn {
    let Some(Command::SendMessage(send)) = &request.command else {
        return Turn::default();
    };
    convert::room_id(&send.room_id).map_or_else(|_| Turn::default(), |room| turns.take(room))
}

/// What the commands of a session share.
#[derive(Clone)]
struct Commands {
    chat: ChatService,
    caller: Caller,
    connection: ConnectionUse,
    begun: Begun,
}

impl Commands {
    /// Counts a request's bytes until it is answered.
    fn hold(&self, bytes: usize) -> Result<Arc<Charge>, ApiError> {
        self.chat.door.intake.hold(self.caller.author.user, bytes)
    }

    /// Does one request of a session.
    async fn run(
        self,
        (request, bytes): (pb::SessionRequest, usize),
        turn: Turn,
        under_way: Result<Arc<Charge>, ApiError>,
    ) -> Done {
        let request_id = request.request_id;
        let refused = |error| Done { request_id, tag: 0, reply: Err(error), held: None, bytes };
        let _under_way = match under_way {
            Ok(charge) => charge,
            Err(error) => return refused(error),
        };
        let Some(command) = request.command else {
            return refused(ApiError::new(Code::InvalidArgument, "unknown_command", "no command"));
        };
        let held = match self.admit(&command).await {
            Ok(held) => held,
            Err(error) => return refused(error),
        };
        let method = ChatService::method_of(&command);
        if !kinds::is_read(method) {
            self.begun.begin();
        }
        let (tag, reply) = match command {
            Command::SendMessage(send) => (SENT, self.chat.send_message_in_turn(&self.caller, send, turn).await),
            command => self.chat.command(&self.caller, command).await,
        };
        Done { request_id, tag, reply: kinds::settled(method, &held, reply), held: Some(held), bytes }
    }

    /// [`Commands::run`], which is answered also when it panics.
    async fn answer(
        self,
        request: (pb::SessionRequest, usize),
        turn: Turn,
        under_way: Result<Arc<Charge>, ApiError>,
    ) -> Done {
        let (request_id, bytes) = (request.0.request_id, request.1);
        let method = request.0.command.as_ref().map_or("", ChatService::method_of);
        let work = pin!(self.run(request, turn, under_way));
        panics::caught(work).await.unwrap_or_else(|panicked| panicked_on(&panicked, (request_id, bytes), method))
    }

    /// Lets a command in, as the door does with a call. The token may have ended while the command waited.
    async fn admit(&self, command: &Command) -> Result<Held, ApiError> {
        let Self { chat, caller, connection, .. } = self;
        chat.door.limits.call(caller.author.user, caller.author.admin).await?;
        let (method, bytes) = (ChatService::method_of(command), ChatService::bytes_of(command));
        let held = chat.reserve(connection, caller, method, bytes).await?;
        chat.door.still_holds(caller)?;
        Ok(held)
    }
}

/// A command that panics is answered like any other that fails; what it held is given back.
fn panicked_on(panicked: &Panicked, (request_id, bytes): (u64, usize), method: &str) -> Done {
    panicked.note(method);
    Done { request_id, tag: 0, reply: Err(ApiError::panicked(!kinds::is_read(method))), held: None, bytes }
}

fn put_reply(chunk: &mut Chunk, done: Done) {
    let Done { request_id, tag, reply, held, bytes: _ } = done;
    match reply {
        Ok(bytes) => {
            wire::put_reply_frame(chunk.buffer(), request_id, tag, &bytes);
            // A chunk may hold small ones as it may hold events.
            chunk.hold(held.filter(|_| bytes.len() > HELD_MIN));
        }
        Err(error) => {
            let told = pb::SessionError {
                code: error.code(),
                message: error.message().to_owned(),
                info: Some(error.info().clone()),
            };
            wire::put_reply_frame(chunk.buffer(), request_id, REPLY_ERROR, &told.encode_to_vec());
        }
    }
}

impl SessionBody {
    /// Ends what the token no longer opens: commands that are under way are answered yet.
    fn close_if_expired(&mut self, cx: &mut Context<'_>) {
        match &mut self.state {
            State::Opening(_) => {
                if self.expiring.poll(cx, self.commands.chat.door.node.now_ms()).is_ready() {
                    self.state = State::Ending(ApiError::from(AuthError::Expired).into());
                }
            }
            State::Open { pump, .. } => {
                if let Poll::Ready(status) = pump.poll_expired(cx) {
                    self.close(status);
                }
            }
            State::Closing { .. } | State::Ending(_) | State::Ended => {}
        }
    }

    /// Ends an open session. Commands that were begun are answered first: they are done all the same, and who sent them
    /// would not know.
    fn close(&mut self, status: Status) {
        if let State::Open { running, .. } = &mut self.state {
            self.state = State::Closing { running: std::mem::take(running), status };
        }
    }

    /// Moves everything that can move.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(status) = self.poll_open(cx) {
            self.close(status);
        }
        if let State::Closing { running, status } = &mut self.state {
            while !self.chunk.is_full() {
                match running.poll_next_unpin(cx) {
                    Poll::Ready(Some(done)) => put_reply(&mut self.chunk, done),
                    Poll::Ready(None) => {
                        self.state = State::Ending(status.clone());
                        return;
                    }
                    Poll::Pending => return,
                }
            }
        }
    }

    /// Ready when the session must end.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let State::Open { pump, input, running, turns, in_hand } = &mut self.state else {
            return Poll::Pending;
        };
        loop {
            while running.len() < COMMANDS_MAX && *in_hand < BYTES_MAX {
                let Some(requests) = input else { break };
                match Pin::new(requests).poll_next(cx) {
                    Poll::Ready(Some(Ok(request))) => {
                        let turn = turn(turns, &request);
                        let bytes = request.encoded_len();
                        let held = self.commands.hold(bytes);
                        *in_hand += bytes;
                        running.push(Box::pin(self.commands.clone().answer((request, bytes), turn, held)));
                    }
                    Poll::Ready(Some(Err(status))) => return Poll::Ready(with_reason(status)),
                    Poll::Ready(None) => *input = None,
                    Poll::Pending => break,
                }
            }
            match running.poll_next_unpin(cx) {
                Poll::Ready(Some(done)) => {
                    *in_hand = in_hand.saturating_sub(done.bytes);
                    put_reply(&mut self.chunk, done);
                }
                // The client has nothing more to say and has been answered: the session is over.
                Poll::Ready(None) if input.is_none() => return Poll::Ready(Status::ok("")),
                Poll::Ready(None) | Poll::Pending => break,
            }
            if self.chunk.is_full() {
                return Poll::Pending;
            }
        }
        pump.poll_fill(cx, &mut self.chunk)
    }
}

impl http_body::Body for SessionBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        this.close_if_expired(cx);
        if let State::Opening(opening) = &mut this.state {
            match opening.as_mut().poll(cx) {
                Poll::Ready(Ok((pump, input))) => {
                    let (pump, input) = (Box::new(pump), Some(Box::new(input)));
                    this.state = State::Open {
                        pump,
                        input,
                        running: FuturesUnordered::new(),
                        turns: Box::default(),
                        in_hand: 0,
                    };
                }
                Poll::Ready(Err(status)) => this.state = State::Ending(status),
                Poll::Pending => return Poll::Pending,
            }
        }
        this.poll(cx);
        if !this.chunk.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(this.chunk.take()))));
        }
        match &mut this.state {
            State::Ending(status) => {
                let frame = trailers(status);
                this.state = State::Ended;
                Poll::Ready(Some(Ok(frame)))
            }
            State::Ended => Poll::Ready(None),
            State::Opening(_) | State::Open { .. } | State::Closing { .. } => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_panics_is_answered_for_itself() {
        let panicked = panics::catch::<()>(|| panic!("a mistake, with secrets")).unwrap_err();
        let done = panicked_on(&panicked, (7, 30), "SendMessage");
        let error = done.reply.unwrap_err();
        assert_eq!((done.request_id, done.bytes, error.info().reason.as_str()), (7, 30, "internal"));
        assert!(error.info().outcome_unknown && !error.message().contains("secrets"), "{error:?}");
        let read = panicked_on(&panicked, (8, 1), "GetRooms");
        assert!(!read.reply.unwrap_err().info().outcome_unknown, "a read changes nothing");
    }
}
