//! From a connection to the hub: what each message of each kind of stream means to the run.

use prost::Message as _;
use tertulia_proto::chat::v1;

use crate::{
    hub::{Hub, Order},
    scan::{self, Answer, Frame},
    wire::{Call, End, Sink},
};

/// One client's access to the hub.
pub(crate) struct Lane<'a> {
    /// The run.
    pub(crate) hub: &'a mut Hub,
    /// The client.
    pub(crate) client: usize,
    /// Whether it is ready as soon as it is connected, having no stream.
    pub(crate) streamless: bool,
}

impl Sink for Lane<'_> {
    fn arrived(&mut self) {
        self.hub.now_ns = self.hub.clock().now_ns();
    }

    fn settled(&mut self) {
        if self.streamless {
            self.hub.alive(self.client);
        } else {
            self.hub.outbox.push((self.client, Order::Open));
        }
    }

    fn message(&mut self, call: Call, body: &[u8]) {
        match call {
            Call::Events => match scan::event(body) {
                Ok(event) => self.hub.event(self.client, event),
                Err(_) => self.hub.error("malformed", "event"),
            },
            Call::Session => match scan::frame(body) {
                Ok(Frame::Event(event)) => self.hub.event(self.client, event),
                Ok(Frame::Reply(id, Answer::Sent(body))) => self.hub.acked(id.wrapping_sub(1), body),
                Ok(Frame::Reply(id, Answer::Error(body))) => {
                    let (word, example) = session_error(body);
                    self.hub.refused(id.wrapping_sub(1), &word, example);
                }
                Ok(Frame::Reply(_, Answer::Other)) | Err(_) => self.hub.error("malformed", "frame of a session"),
            },
            Call::Send(number) => self.hub.acked(number, body),
            Call::Page(began_ns) => self.hub.page(self.client, began_ns, body),
        }
    }

    fn ended(&mut self, call: Call, end: End) {
        match (call, end) {
            (Call::Send(_) | Call::Page(_), End::Ok) => {}
            (Call::Send(number), End::Failed(word, example)) => self.hub.refused(number, &word, example),
            (Call::Page(_), End::Failed(word, example)) => {
                self.hub.error(&word, example);
                self.hub.delayed.push(Some(self.client));
            }
            (Call::Events | Call::Session, End::Failed(word, example)) => {
                self.hub.error(&word, example);
                self.hub.broken = true;
            }
            (Call::Events | Call::Session, End::Ok) => {
                self.hub.error("stream_ended", "the server ended a stream");
                self.hub.broken = true;
            }
        }
    }
}

fn session_error(body: &[u8]) -> (String, String) {
    match v1::SessionError::decode(body) {
        Ok(e) => {
            let reason = e.info.map(|i| i.reason).filter(|r| !r.is_empty());
            (reason.unwrap_or_else(|| format!("grpc_{}", e.code)), e.message)
        }
        Err(_) => ("malformed".into(), "session error".into()),
    }
}
