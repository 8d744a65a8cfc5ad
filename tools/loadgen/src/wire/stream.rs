//! One stream: gRPC's framing of messages in both directions, and how a call ends.
//!
//! Knows of HTTP/2 only the window that bounds what may be sent.

use anyhow::{Result, bail};

use super::{frame, hpack::Status};

/// gRPC puts one flag byte and four bytes of length before each message.
const PREFIX_LEN: usize = 5;
/// Greatest message accepted; a page of 200 is far below.
const MESSAGE_MAX: usize = 4 << 20;

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// StreamMessages.
    Events,
    /// Session.
    Session,
    /// Unary SendMessage of the message with this number.
    Send(u64),
    /// Unary GetMessageHistory, begun at this time.
    Page(u64),
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Status 0.
    Ok,
    /// Any other status, or none: a word for counting (the reason if the server gives one) and the details.
    Failed(String, String),
}

/// Takes what a connection receives.
pub(crate) trait Sink {
    /// Bytes have just been read; whatever follows arrived now.
    fn arrived(&mut self);
    /// The server's settings are known: streams may be opened.
    fn settled(&mut self);
    /// One message of a stream.
    fn message(&mut self, call: Call, body: &[u8]);
    /// A stream has ended.
    fn ended(&mut self, call: Call, end: End);
}

/// A stream of a connection.
#[derive(Debug)]
pub(super) struct Stream {
    /// Odd, growing.
    pub(super) id: u32,
    /// What it is for.
    pub(super) call: Call,
    /// Bytes the server lets us send; may be negative after a change of settings.
    pub(super) window: i64,
    /// Bytes received since the last grant.
    pub(super) received: u32,
    /// Start of a message that has not arrived wholly.
    partial: Vec<u8>,
    /// Messages waiting to be framed.
    staged: Vec<u8>,
    /// Whether nothing follows what is staged.
    half_close: bool,
}

impl Stream {
    /// A new stream; with `half_close` its first message is the only one.
    pub(super) fn new(id: u32, call: Call, window: i64, half_close: bool) -> Self {
        Self { id, call, window, received: 0, partial: Vec::new(), staged: Vec::new(), half_close }
    }

    /// Appends a message to what is to be sent.
    pub(super) fn stage(&mut self, body: &[u8]) {
        self.staged.push(0);
        self.staged.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.staged.extend_from_slice(body);
    }

    /// Turns what is staged into DATA frames, as far as this stream's and the connection's window allow.
    pub(super) fn put_frames(&mut self, out: &mut Vec<u8>, conn_window: &mut i64) {
        let mut at = 0;
        while at < self.staged.len() {
            let window = usize::try_from(self.window.min(*conn_window)).unwrap_or(0);
            let len = (self.staged.len() - at).min(window).min(frame::PAYLOAD_MAX);
            if len == 0 {
                break;
            }
            let last = self.half_close && at + len == self.staged.len();
            let flags = if last { frame::END_STREAM } else { 0 };
            frame::put_head(out, len, frame::DATA, flags, self.id);
            out.extend_from_slice(&self.staged[at..at + len]);
            let spent = i64::try_from(len).unwrap_or(i64::MAX);
            *conn_window -= spent;
            self.window -= spent;
            at += len;
        }
        self.staged.drain(..at);
    }

    /// Hands on the whole messages in `bytes`, and keeps the start of the next.
    ///
    /// # Errors
    /// When they are compressed or too great.
    pub(super) fn take(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        if self.partial.is_empty() {
            let used = whole_messages(self.call, bytes, sink)?;
            self.partial.extend_from_slice(&bytes[used..]);
        } else {
            self.partial.extend_from_slice(bytes);
            let used = whole_messages(self.call, &self.partial, sink)?;
            self.partial.drain(..used);
        }
        Ok(())
    }
}

/// Hands on the whole messages at the start of `bytes` and says how many bytes they were.
fn whole_messages(call: Call, bytes: &[u8], sink: &mut impl Sink) -> Result<usize> {
    let mut at = 0;
    while let Some([flag, len @ ..]) = bytes[at..].first_chunk::<PREFIX_LEN>() {
        let len = u32::from_be_bytes(*len) as usize;
        if *flag != 0 || len > MESSAGE_MAX {
            bail!("gRPC message with flag {flag} and length {len}");
        }
        let Some(body) = bytes.get(at + PREFIX_LEN..at + PREFIX_LEN + len) else {
            break;
        };
        sink.message(call, body);
        at += PREFIX_LEN + len;
    }
    Ok(at)
}

impl From<Status> for End {
    fn from(status: Status) -> Self {
        match status.grpc {
            Some(0) => End::Ok,
            Some(code) => {
                let word = if status.reason.is_empty() { format!("grpc_{code}") } else { status.reason };
                End::Failed(word, format!("status {code}: {}", status.message))
            }
            None => End::Failed("no_status".into(), format!("HTTP status {}", status.http)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Collected(Vec<Vec<u8>>);

    impl Sink for Collected {
        fn arrived(&mut self) {}
        fn settled(&mut self) {}
        fn message(&mut self, _: Call, body: &[u8]) {
            self.0.push(body.to_vec());
        }
        fn ended(&mut self, _: Call, _: End) {}
    }

    /// What one stream frames, another takes, however it is cut.
    #[test]
    fn messages_survive_any_cut() {
        let messages = [vec![1; 5], Vec::new(), vec![2; 300]];
        for step in [1, 3, 4, 5, 6, 100, 1_000] {
            let mut stream = Stream::new(1, Call::Session, 1 << 20, false);
            messages.iter().for_each(|m| stream.stage(m));
            let mut collected = Collected::default();
            let bytes = stream.staged.clone();
            for piece in bytes.chunks(step) {
                stream.take(piece, &mut collected).unwrap();
            }
            assert_eq!(collected.0, messages);
        }
    }

    #[test]
    fn windows_hold_back_what_does_not_fit() {
        let mut stream = Stream::new(1, Call::Events, 8, true);
        stream.stage(b"abcdefg");
        let (mut out, mut conn_window) = (Vec::new(), 100);
        stream.put_frames(&mut out, &mut conn_window);
        assert_eq!((out.len(), out[4], stream.window, conn_window), (9 + 8, 0, 0, 92));
        stream.put_frames(&mut out, &mut conn_window);
        assert_eq!(out.len(), 17);
        stream.window += 10;
        stream.put_frames(&mut out, &mut conn_window);
        assert_eq!((out.len(), out[17 + 4]), (17 + 9 + 4, frame::END_STREAM));
    }
}
