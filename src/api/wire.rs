//! Bytes on the wire, made once and shared: a message's own bytes go into its event, into every page that holds it and
//! into the sender's answer. Protobuf lets encoded fields stand side by side, so these are put together, not made again.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::{
    Message as _,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
};

use super::convert;
use crate::{
    actors::{
        ops::UserProfile,
        stream::{EventBatch, Moment},
    },
    domain::{
        event::{Event, EventBody},
        message::Message,
        status::Status,
    },
};

/// `Event.message` in chat.v1.
const EVENT_MESSAGE: u32 = 11;
/// `Message.status` in chat.v1.
const MESSAGE_STATUS: u32 = 21;
/// `Message.status_counts` in chat.v1.
const MESSAGE_STATUS_COUNTS: u32 = 24;
/// `SessionResponse.event` and `.reply` in chat.v1.
const SESSION_EVENT: u32 = 1;
const SESSION_REPLY: u32 = 2;
/// `SessionReply.request_id` in chat.v1.
const REPLY_REQUEST_ID: u32 = 1;

/// A message as anyone sees it, encoded.
pub(super) fn message(message: &Message) -> Bytes {
    message.wire.0.get_or_init(|| convert::message(message).encode_to_vec().into()).clone()
}

/// Puts a length-delimited field that holds `parts` one after the other.
pub(super) fn put_field(out: &mut BytesMut, tag: u32, parts: &[&[u8]]) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(parts.iter().map(|part| part.len() as u64).sum(), out);
    parts.iter().for_each(|part| out.put_slice(part));
}

fn field_len(tag: u32, len: usize) -> usize {
    encoded_len_varint(u64::from(tag << 3)) + encoded_len_varint(len as u64) + len
}

/// Puts field `tag` that holds `message`, with its status if it is the viewer's own.
pub(super) fn put_message(out: &mut BytesMut, tag: u32, message: &Message, status: Option<Status>) {
    let bytes = self::message(message);
    let mut own = BytesMut::new();
    if let Some(status) = status {
        encode_key(MESSAGE_STATUS, WireType::Varint, &mut own);
        encode_varint(convert::reached(status.reached) as u64, &mut own);
        put_field(&mut own, MESSAGE_STATUS_COUNTS, &[&convert::status_counts(&status).encode_to_vec()]);
    }
    put_field(out, tag, &[&bytes, &own]);
}

/// An event as anyone sees it, encoded; with the profiles of its [`Event::people`].
pub(super) fn event(event: &Event, profiles: &[UserProfile]) -> Bytes {
    let envelope = convert::envelope(event);
    let EventBody::Message(message) = &event.body else {
        return convert::named_event(event, profiles).encode_to_vec().into();
    };
    let bytes = self::message(message);
    let mut out = BytesMut::with_capacity(envelope.encoded_len() + field_len(EVENT_MESSAGE, bytes.len()));
    envelope.encode_raw(&mut out);
    put_field(&mut out, EVENT_MESSAGE, &[&bytes]);
    out.freeze()
}

/// Puts the five bytes before a gRPC message of `len` bytes, uncompressed.
fn put_frame_head(out: &mut BytesMut, len: usize) {
    out.put_u8(0);
    out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
}

/// Puts a gRPC frame with an encoded event, as StreamMessages carries it.
pub(super) fn put_stream_frame(out: &mut BytesMut, event: &[u8]) {
    out.reserve(event.len() + 5);
    put_frame_head(out, event.len());
    out.put_slice(event);
}

/// Puts a gRPC frame with an encoded event, as a Session carries it.
pub(super) fn put_session_frame(out: &mut BytesMut, event: &[u8]) {
    let len = field_len(SESSION_EVENT, event.len());
    out.reserve(len + 5);
    put_frame_head(out, len);
    put_field(out, SESSION_EVENT, &[event]);
}

/// Puts a gRPC frame with the answer to a session's command: field `tag` of SessionReply holds `result`.
pub(super) fn put_reply_frame(out: &mut BytesMut, request_id: u64, tag: u32, result: &[u8]) {
    let id_len = encoded_len_varint(u64::from(REPLY_REQUEST_ID << 3)) + encoded_len_varint(request_id);
    let reply_len = id_len + field_len(tag, result.len());
    let len = field_len(SESSION_REPLY, reply_len);
    out.reserve(len + 5);
    put_frame_head(out, len);
    encode_key(SESSION_REPLY, WireType::LengthDelimited, out);
    encode_varint(reply_len as u64, out);
    encode_key(REPLY_REQUEST_ID, WireType::Varint, out);
    encode_varint(request_id, out);
    put_field(out, tag, &[result]);
}

/// How a stream's frames are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    /// StreamMessages.
    Stream,
    /// Session.
    Session,
}

impl Dialect {
    /// Name for metrics.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Session => "session",
        }
    }

    /// Puts a frame with an encoded event.
    pub(super) fn put(self, out: &mut BytesMut, event: &[u8]) {
        match self {
            Self::Stream => put_stream_frame(out, event),
            Self::Session => put_session_frame(out, event),
        }
    }

    /// A frame with an encoded event.
    pub(super) fn frame(self, event: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        self.put(&mut out, event);
        out.freeze()
    }

    /// The frames of a batch, with the profiles of its people.
    pub(super) fn frames(self, batch: &EventBatch, mut profiles: &[UserProfile]) -> Bytes {
        let mut out = BytesMut::new();
        for one in &batch.events {
            let of_one = if batch.is_plain { 0 } else { one.people().len().min(profiles.len()) };
            let (own, others) = profiles.split_at(of_one);
            self.put(&mut out, &event(one, own));
            profiles = others;
        }
        out.freeze()
    }

    /// The frames of a batch, made by the first who asks. The profiles of its people must have been looked up.
    pub(super) fn batch(self, batch: &EventBatch) -> Bytes {
        let slot = match self {
            Self::Stream => &batch.stream_wire,
            Self::Session => &batch.session_wire,
        };
        let profiles = batch.profiles.get().map_or(&[][..], Vec::as_slice);
        slot.get_or_init(|| self.frames(batch, profiles)).clone()
    }

    /// The frame of a moment, made by the first who asks.
    pub(super) fn moment(self, moment: &Moment) -> Bytes {
        let slot = match self {
            Self::Stream => &moment.stream_wire,
            Self::Session => &moment.session_wire,
        };
        slot.get_or_init(|| {
            let mut out = BytesMut::new();
            self.put(&mut out, &convert::moment(moment).encode_to_vec());
            out.freeze()
        })
        .clone()
    }
}

#[cfg(test)]
mod tests {
    use tertulia_proto::chat::v1 as pb;

    use super::*;
    use crate::domain::{ids::UserId, status::Reached};

    #[test]
    fn a_reply_put_together_is_the_reply_encoded() {
        let result = pb::MarkMessagesAsReadResponse { read_seq: 300, unread_count: 7 };
        let mut out = BytesMut::new();
        put_reply_frame(&mut out, 1 << 40, 36, &result.encode_to_vec());
        let reply = pb::SessionReply {
            request_id: 1 << 40,
            result: Some(pb::session_reply::Result::MarkMessagesAsRead(result)),
        };
        let whole = pb::SessionResponse { frame: Some(pb::session_response::Frame::Reply(reply)) };
        assert_eq!(out[5..], whole.encode_to_vec());
        assert_eq!(out[..5], [0, 0, 0, 0, u8::try_from(whole.encoded_len()).unwrap()]);
    }

    #[test]
    fn an_own_message_put_together_is_the_message_encoded() {
        let sent = Message {
            id: crate::domain::ids::MessageId(9),
            room: crate::domain::ids::RoomId([7; 16]),
            seq: crate::domain::ids::Seq(3),
            n: crate::domain::ids::Ordinal(2),
            sender: UserId(1),
            at_ms: 5,
            client_id: crate::domain::ids::ClientMessageId("c".into()),
            hash: crate::domain::ids::BodyHash([0; 16]),
            draft: Default::default(),
            edited_at_ms: 0,
            edits: Vec::new(),
            deleted: false,
            reactions: Vec::new(),
            pinned: false,
            wire: Default::default(),
        };
        let status = Status { reached: Reached::Delivered, delivered_to: 2, read_by: 1, of: 3, at_least: true };
        for status in [None, Some(status)] {
            let mut out = BytesMut::new();
            put_message(&mut out, 1, &sent, status);
            let whole = pb::GetMessageResponse { message: Some(convert::message_with(&sent, status)) };
            assert_eq!(pb::GetMessageResponse::decode(out).unwrap(), whole);
        }
    }

    #[test]
    fn a_session_event_put_together_is_the_event_encoded() {
        let event = pb::Event { seq: 5, user_id: 9, ..Default::default() };
        let mut out = BytesMut::new();
        put_session_frame(&mut out, &event.encode_to_vec());
        let whole = pb::SessionResponse { frame: Some(pb::session_response::Frame::Event(event)) };
        assert_eq!(out[5..], whole.encode_to_vec());
    }

    /// Pages are bounded by what messages weigh in the domain, which knows no encoding.
    #[test]
    fn no_message_is_longer_than_it_weighs() {
        use crate::domain::{ids, message, page};
        let text = |len: usize| "ä".repeat(len);
        for len in [0, 1, 60, 9_000] {
            let few = len.min(64);
            let file = message::Attachment {
                url: text(len),
                mime: text(few),
                size: i64::MAX,
                name: text(few),
                width: -1,
                height: i32::MAX,
            };
            let draft = message::Draft {
                content: text(len),
                encrypted: true,
                reply_to: ids::MessageId(i64::MAX),
                mentions: vec![UserId(-1); few],
                forwarded_from: Some(message::ForwardedFrom {
                    room: ids::RoomId([7; 16]),
                    message: ids::MessageId(i64::MAX),
                    sender: UserId(i64::MAX),
                }),
                attachments: vec![file; few],
                metadata: (0..few).map(|i| (format!("{i}{}", text(few)), text(len))).collect(),
                external: Some(ids::ExternalRef { source: text(few), chat: text(len), message: text(len) }),
                message_type: message::MessageType::System,
                original_at_ms: -62_135_596_800_000,
                sender_name: text(len),
            };
            let message = Message {
                id: ids::MessageId(i64::MAX),
                room: ids::RoomId([7; 16]),
                seq: ids::Seq(u64::MAX),
                n: ids::Ordinal(u64::MAX),
                sender: UserId(i64::MAX),
                at_ms: 253_402_300_799_999,
                client_id: ids::ClientMessageId(text(few).into()),
                hash: ids::BodyHash([0; 16]),
                draft: std::sync::Arc::new(draft),
                edited_at_ms: 253_402_300_799_999,
                edits: Vec::new(),
                deleted: true,
                reactions: (0..few).map(|_| (text(few), u32::MAX)).collect(),
                pinned: true,
                wire: Default::default(),
            };
            let mut out = BytesMut::new();
            let most = u32::MAX;
            let status = Status { reached: Reached::Read, delivered_to: most, read_by: most, of: most, at_least: true };
            put_message(&mut out, 1, &message, Some(status));
            let weight = page::bytes_of(&message);
            assert!(out.len() <= weight, "{} bytes weigh {weight}", out.len());
            assert!(weight <= out.len() * 2 + 400, "{} bytes weigh {weight}", out.len());
        }
    }
}
