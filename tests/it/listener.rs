//! Streams and sessions as a client holds them.

use std::{collections::HashMap, time::Duration};

use serde_json::Value;
use tertulia_proto::chat::v1::{
    self as pb, chat_service_client::ChatServiceClient, event::Event as Happened, session_request::Command,
    session_response::Frame,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::caller::{Refusal, User};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// An open StreamMessages.
pub(crate) struct Listener {
    stream: Streaming<pb::Event>,
}

/// What to open a stream with.
pub(crate) fn stream_request(client_id: &str, cursors: &[(&str, i64)]) -> pb::StreamMessagesRequest {
    pb::StreamMessagesRequest {
        client_id: client_id.to_owned(),
        cursors: cursors.iter().map(|(room, seq)| ((*room).to_owned(), *seq)).collect(),
        ..Default::default()
    }
}

impl User {
    /// The generated client, without token.
    pub(crate) fn stub(&self) -> ChatServiceClient<tonic::transport::Channel> {
        ChatServiceClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }

    /// Opens a stream; a stream that is open has said so.
    pub(crate) async fn try_listen(&self, request: pb::StreamMessagesRequest) -> Result<Listener, Refusal> {
        let stream = self.stub().stream_messages(self.signed(request)).await?;
        Ok(Listener { stream: stream.into_inner() })
    }

    /// Opens a stream of all rooms that must open.
    pub(crate) async fn listen(&self, client_id: &str, cursors: &[(&str, i64)]) -> Listener {
        let opened = self.try_listen(stream_request(client_id, cursors)).await;
        let mut listener = opened.unwrap();
        let first = listener.next().await.unwrap();
        assert!(matches!(first.event, Some(Happened::Connected(_))), "a stream begins with connected: {first:?}");
        listener
    }

    /// Opens a session.
    pub(crate) async fn session(&self, open: pb::SessionOpen) -> Result<Session, Refusal> {
        let (requests, received) = mpsc::channel(1_024);
        let first = pb::SessionRequest { request_id: 0, command: Some(Command::Open(open)) };
        requests.send(first).await.unwrap();
        let request = self.signed(ReceiverStream::new(received));
        let frames = self.stub().session(request).await?.into_inner();
        Ok(Session { requests, frames, events: Vec::new(), replies: HashMap::new(), last_id: 0 })
    }
}

impl Listener {
    /// The next event, or how the stream ended.
    pub(crate) async fn next(&mut self) -> Result<pb::Event, Refusal> {
        let next = timeout(PATIENCE, self.stream.message()).await.expect("an event in time")?;
        Ok(next.expect("a stream ends with a reason"))
    }

    /// The next event that is picked; others are passed over.
    pub(crate) async fn seek<T>(&mut self, mut pick: impl FnMut(&pb::Event) -> Option<T>) -> T {
        loop {
            let event = self.next().await.unwrap();
            if let Some(picked) = pick(&event) {
                return picked;
            }
        }
    }

    /// The next durable event.
    pub(crate) async fn durable(&mut self) -> pb::Event {
        self.seek(|event| (event.seq > 0).then(|| event.clone())).await
    }

    /// Contents of messages up to one that says `last`.
    pub(crate) async fn contents_until(&mut self, last: &str) -> Vec<String> {
        let mut contents = Vec::new();
        self.seek(|event| {
            if let Some(Happened::Message(message)) = &event.event {
                contents.push(message.content.clone());
            }
            contents.last().is_some_and(|content| content == last).then_some(())
        })
        .await;
        contents
    }

    /// Reads until the server ends the stream.
    pub(crate) async fn end(&mut self) -> Refusal {
        loop {
            if let Err(refusal) = self.next().await {
                return refusal;
            }
        }
    }
}

/// An open session.
pub(crate) struct Session {
    pub(crate) requests: mpsc::Sender<pb::SessionRequest>,
    frames: Streaming<pb::SessionResponse>,
    /// Events that came while answers were waited for.
    pub(crate) events: Vec<pb::Event>,
    replies: HashMap<u64, pb::session_reply::Result>,
    last_id: u64,
}

impl Session {
    /// Sends a command; returns its number.
    pub(crate) async fn post(&mut self, command: Option<Command>) -> u64 {
        self.last_id += 1;
        let request = pb::SessionRequest { request_id: self.last_id, command };
        self.requests.send(request).await.unwrap();
        self.last_id
    }

    /// The next frame is put where it belongs.
    pub(crate) async fn step(&mut self) -> Result<(), Refusal> {
        let frame = timeout(PATIENCE, self.frames.message()).await.expect("a frame in time")?;
        match frame.expect("a frame").frame.expect("something in it") {
            Frame::Event(event) => self.events.push(event),
            Frame::Reply(reply) => {
                let result = reply.result.expect("a result");
                let double = self.replies.insert(reply.request_id, result);
                assert!(double.is_none(), "answered twice: {}", reply.request_id);
            }
        }
        Ok(())
    }

    /// How the session ends.
    pub(crate) async fn end(&mut self) -> Option<Refusal> {
        loop {
            match timeout(PATIENCE, self.frames.message()).await.expect("an end in time") {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(status) => return Some(status.into()),
            }
        }
    }

    /// The answer to a command.
    pub(crate) async fn answer(&mut self, id: u64) -> pb::session_reply::Result {
        loop {
            if let Some(result) = self.replies.remove(&id) {
                return result;
            }
            self.step().await.unwrap();
        }
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask(&mut self, command: Command) -> pb::session_reply::Result {
        let id = self.post(Some(command)).await;
        self.answer(id).await
    }

    /// Waits for an event.
    pub(crate) async fn event<T>(&mut self, pick: impl Fn(&pb::Event) -> Option<T>) -> T {
        loop {
            if let Some(at) = self.events.iter().position(|event| pick(event).is_some()) {
                let event = self.events.remove(at);
                return pick(&event).unwrap();
            }
            self.step().await.unwrap();
        }
    }
}

/// A send as a session's command.
pub(crate) fn send(room: &str, content: &str) -> Command {
    Command::SendMessage(pb::SendMessageRequest {
        room_id: room.to_owned(),
        content: content.to_owned(),
        ..Default::default()
    })
}

/// Numbers of a JSON list.
pub(crate) fn numbers(values: &[Value]) -> Vec<i64> {
    values.iter().map(|value| value.as_i64().unwrap()).collect()
}
