//! Reads the few fields that are measured out of encoded messages, without decoding the rest.
//!
//! Field numbers are those of `chat.v1`; a test holds them against the generated types.

/// A message that is not well-formed protobuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What an event is to the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The stream is alive.
    Connected,
    /// A new message: its ordinal in the room and its content.
    Message {
        /// From 1, without gaps.
        n: i64,
        /// As sent.
        content: &'a [u8],
    },
    /// The stream has lost something.
    Resync,
    /// Anything else.
    Other,
}

/// What a frame of a session is to the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// An event.
    Event(Event<'a>),
    /// An answer: the request's id, and the encoded `SendMessageResponse` or `SessionError`.
    Reply(u64, Answer<'a>),
}

/// The outcome of a command, encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer<'a> {
    /// A `SendMessageResponse`.
    Sent(&'a [u8]),
    /// A `SessionError`.
    Error(&'a [u8]),
    /// None of them.
    Other,
}

/// Reads an `Event`.
pub(crate) fn event(body: &[u8]) -> Result<Event<'_>, Malformed> {
    for field in Fields(body) {
        match field? {
            (10, _) => return Ok(Event::Connected),
            (11, Value::Bytes(message)) => return self::message(message),
            (24, _) => return Ok(Event::Resync),
            (12.., _) => return Ok(Event::Other),
            _ => {}
        }
    }
    Ok(Event::Other)
}

fn message(body: &[u8]) -> Result<Event<'_>, Malformed> {
    let (mut n, mut content) = (0, &[][..]);
    for field in Fields(body) {
        match field? {
            (4, Value::Number(v)) => n = v.cast_signed(),
            (7, Value::Bytes(v)) => {
                content = v;
                // Fields come in order from every encoder in use; what follows is not needed.
                if n != 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    Ok(Event::Message { n, content })
}

/// Reads a `SessionResponse`.
pub(crate) fn frame(body: &[u8]) -> Result<Frame<'_>, Malformed> {
    for field in Fields(body) {
        match field? {
            (1, Value::Bytes(v)) => return Ok(Frame::Event(event(v)?)),
            (2, Value::Bytes(v)) => return reply(v),
            _ => {}
        }
    }
    Err(Malformed)
}

fn reply(body: &[u8]) -> Result<Frame<'_>, Malformed> {
    let (mut id, mut answer) = (0, Answer::Other);
    for field in Fields(body) {
        match field? {
            (1, Value::Number(v)) => id = v,
            (2, Value::Bytes(v)) => answer = Answer::Error(v),
            (30, Value::Bytes(v)) => answer = Answer::Sent(v),
            _ => {}
        }
    }
    Ok(Frame::Reply(id, answer))
}

/// Reads `durability` and `duplicate` of a `SendMessageResponse`.
pub(crate) fn sent(body: &[u8]) -> Result<(u64, bool), Malformed> {
    let (mut durability, mut duplicate) = (0, false);
    for field in Fields(body) {
        match field? {
            (2, Value::Number(v)) => duplicate = v != 0,
            (3, Value::Number(v)) => durability = v,
            _ => {}
        }
    }
    Ok((durability, duplicate))
}

/// Counts the messages of a `GetMessageHistoryResponse`.
pub(crate) fn page_len(body: &[u8]) -> Result<usize, Malformed> {
    let mut len = 0;
    for field in Fields(body) {
        len += usize::from(field?.0 == 1);
    }
    Ok(len)
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of an encoded message, one level deep.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field.ok_or(Malformed))
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u32, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.bytes(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.bytes(len)?)
            }
            5 => self.bytes(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        Some((u32::try_from(key >> 3).ok()?, value))
    }

    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(len)?;
        self.0 = tail;
        Some(head)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (i, byte) in self.0.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.0 = &self.0[i + 1..];
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use tertulia_proto::chat::v1;

    use super::*;

    fn message() -> v1::Message {
        v1::Message {
            id: 1 << 60,
            room_id: "room".into(),
            seq: 1_000,
            n: 999,
            sender_id: -5,
            content: "text".into(),
            created_at: Some(prost_types::Timestamp { seconds: 5, nanos: 6 }),
            ..Default::default()
        }
    }

    fn event_of(event: v1::event::Event) -> v1::Event {
        v1::Event { room_id: "room".into(), seq: 1_000, event: Some(event), ..Default::default() }
    }

    #[test]
    fn events() {
        let bytes = event_of(v1::event::Event::Message(message())).encode_to_vec();
        assert_eq!(event(&bytes), Ok(Event::Message { n: 999, content: b"text" }));
        let bytes = event_of(v1::event::Event::Connected(v1::Connected { interval_s: 15 })).encode_to_vec();
        assert_eq!(event(&bytes), Ok(Event::Connected));
        let bytes = event_of(v1::event::Event::ResyncRequired(v1::ResyncRequired::default())).encode_to_vec();
        assert_eq!(event(&bytes), Ok(Event::Resync));
        let bytes = event_of(v1::event::Event::Typing(v1::Typing::default())).encode_to_vec();
        assert_eq!(event(&bytes), Ok(Event::Other));
    }

    #[test]
    fn replies() {
        let response = v1::SendMessageResponse {
            message: Some(message()),
            duplicate: true,
            durability: v1::Durability::Synced.into(),
            epoch: 3,
        };
        let encoded = response.encode_to_vec();
        let reply =
            v1::SessionReply { request_id: 300, result: Some(v1::session_reply::Result::SendMessage(response)) };
        let bytes = v1::SessionResponse { frame: Some(v1::session_response::Frame::Reply(reply)) }.encode_to_vec();
        assert_eq!(frame(&bytes), Ok(Frame::Reply(300, Answer::Sent(&encoded))));
        assert_eq!(sent(&encoded), Ok((2, true)));

        let error = v1::SessionError { code: 8, ..Default::default() };
        let encoded = error.encode_to_vec();
        let reply = v1::SessionReply { request_id: 7, result: Some(v1::session_reply::Result::Error(error)) };
        let bytes = v1::SessionResponse { frame: Some(v1::session_response::Frame::Reply(reply)) }.encode_to_vec();
        assert_eq!(frame(&bytes), Ok(Frame::Reply(7, Answer::Error(&encoded))));
    }

    #[test]
    fn pages_and_rubbish() {
        let page = v1::GetMessageHistoryResponse {
            messages: vec![message(); 50],
            has_more_before: true,
            ..Default::default()
        };
        assert_eq!(page_len(&page.encode_to_vec()), Ok(50));
        assert_eq!(page_len(&[0x0a, 0x05, 1]), Err(Malformed));
        assert_eq!(frame(&[0xff; 12]), Err(Malformed));
    }
}
