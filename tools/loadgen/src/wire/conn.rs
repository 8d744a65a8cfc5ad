//! One connection: its streams, windows and buffers.
//!
//! Must not know what the messages mean; that is the [`Sink`]'s business.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use anyhow::{Result, anyhow, bail};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

use super::{
    frame::{self, Head},
    hpack::{self, Encoder, Status},
};

/// gRPC puts one flag byte and four bytes of length before each message.
const PREFIX_LEN: usize = 5;
/// Greatest message accepted; a page of 200 is far below.
const MESSAGE_MAX: usize = 4 << 20;
/// A window is granted again once this much of it is used.
const GRANT_AT: u32 = frame::WINDOW / 2;

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

#[derive(Debug)]
struct Stream {
    id: u32,
    call: Call,
    /// Bytes the server lets us send; may be negative after a change of settings.
    window: i64,
    /// Bytes received since the last grant.
    received: u32,
    /// Start of a message that has not arrived wholly.
    partial: Vec<u8>,
    /// Messages waiting to be framed.
    staged: Vec<u8>,
    /// Whether nothing follows what is staged.
    half_close: bool,
}

/// A connection. Dropping it closes the socket.
#[derive(Debug)]
pub(crate) struct Conn {
    sock: TcpStream,
    authority: String,
    encoder: Encoder,
    streams: Vec<Stream>,
    stream_next: u32,
    streams_max: u32,
    window: i64,
    window_initial: i64,
    received: u32,
    out: Vec<u8>,
    out_at: usize,
    rest: Vec<u8>,
    /// Header block under way: stream, whether it ends the stream, bytes.
    block: Option<(u32, bool, Vec<u8>)>,
    /// The last block that said status 0: unary calls end with the same bytes again and again.
    block_ok: Vec<u8>,
    settled: bool,
}

impl Conn {
    /// Takes a connected socket; the first flush says hello.
    pub(crate) fn new(sock: TcpStream, authority: String) -> Self {
        let mut out = Vec::with_capacity(256);
        frame::put_hello(&mut out);
        Self {
            sock,
            authority,
            encoder: Encoder::default(),
            streams: Vec::new(),
            stream_next: 1,
            streams_max: u32::MAX,
            window: 65_535,
            window_initial: 65_535,
            received: 0,
            out,
            out_at: 0,
            rest: Vec::new(),
            block: None,
            block_ok: Vec::new(),
            settled: false,
        }
    }

    /// Opens a stream and stages its first message.
    ///
    /// # Errors
    /// When the server allows no more streams, or all stream ids are used.
    pub(crate) fn open(
        &mut self,
        call: Call,
        path: &str,
        token: &str,
        body: &[u8],
        half_close: bool,
    ) -> Result<()> {
        if self.streams.len() >= self.streams_max as usize {
            bail!(
                "the server allows {} streams a connection",
                self.streams_max
            );
        }
        let id = self.stream_next;
        self.stream_next = id
            .checked_add(2)
            .filter(|next| *next < 1 << 31)
            .ok_or_else(|| anyhow!("out of stream ids"))?;
        let mut block = Vec::with_capacity(512);
        self.encoder
            .request(&mut block, &self.authority, path, token);
        frame::put_head(
            &mut self.out,
            block.len(),
            frame::HEADERS,
            frame::END_HEADERS,
            id,
        );
        self.out.extend_from_slice(&block);
        let mut stream = Stream {
            id,
            call,
            window: self.window_initial,
            received: 0,
            partial: Vec::new(),
            staged: Vec::new(),
            half_close,
        };
        stage(&mut stream.staged, body);
        self.streams.push(stream);
        Ok(())
    }

    /// Stages a message on the open stream of `call`; false if there is none.
    pub(crate) fn send(&mut self, call: Call, body: &[u8]) -> bool {
        let stream = self.streams.iter_mut().find(|s| s.call == call);
        let Some(stream) = stream else { return false };
        stage(&mut stream.staged, body);
        true
    }

    /// Writes what is staged as far as windows and socket allow. False: the socket is full, poll on.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        self.frame_staged();
        while self.out_at < self.out.len() {
            match self.sock.try_write(&self.out[self.out_at..]) {
                Ok(written) => self.out_at += written,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        self.out.clear();
        self.out_at = 0;
        Ok(true)
    }

    /// Writes what is staged and registers for more room if the socket is full.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.flush()? {
            match self.sock.poll_write_ready(cx) {
                Poll::Ready(done) => done?,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Reads once into `scratch` and hands on what came. `scratch` must hold more than a frame.
    ///
    /// # Errors
    /// End of the connection, or a peer that breaks the protocol.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        sink: &mut impl Sink,
    ) -> Poll<Result<()>> {
        let kept = self.rest.len();
        let mut buf = ReadBuf::new(&mut scratch[kept..]);
        ready!(Pin::new(&mut self.sock).poll_read(cx, &mut buf))?;
        let read = buf.filled().len();
        if read == 0 {
            return Poll::Ready(Err(anyhow!("connection closed by the server")));
        }
        scratch[..kept].copy_from_slice(&self.rest);
        self.rest.clear();
        sink.arrived();
        Poll::Ready(self.take_frames(&scratch[..kept + read], sink))
    }

    fn take_frames(&mut self, mut bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        while let Some(head) = Head::parse(bytes) {
            if head.len > frame::PAYLOAD_MAX {
                bail!("frame of {} bytes", head.len);
            }
            let Some(payload) = bytes.get(frame::HEAD_LEN..frame::HEAD_LEN + head.len) else {
                break;
            };
            self.take_frame(head, payload, sink)?;
            bytes = &bytes[frame::HEAD_LEN + head.len..];
        }
        self.rest.extend_from_slice(bytes);
        Ok(())
    }

    fn take_frame(&mut self, head: Head, payload: &[u8], sink: &mut impl Sink) -> Result<()> {
        match head.kind {
            frame::DATA => self.take_data(head, payload, sink)?,
            frame::HEADERS => {
                let block = head.strip(payload).ok_or_else(|| anyhow!("bad padding"))?;
                self.take_block(head, head.flags & frame::END_STREAM != 0, block, sink)?;
            }
            frame::CONTINUATION => {
                let (stream, ends, mut block) = self
                    .block
                    .take()
                    .ok_or_else(|| anyhow!("stray continuation"))?;
                block.extend_from_slice(payload);
                self.take_block(Head { stream, ..head }, ends, &block, sink)?;
            }
            frame::RST_STREAM => {
                let what = format!(
                    "stream reset by the server, code {}",
                    frame::number(payload)
                );
                self.end(head.stream, End::Failed("stream_reset".into(), what), sink);
            }
            frame::SETTINGS if head.flags & frame::ACK == 0 => self.take_settings(payload, sink),
            frame::PING if head.flags & frame::ACK == 0 => {
                frame::put_head(&mut self.out, payload.len(), frame::PING, frame::ACK, 0);
                self.out.extend_from_slice(payload);
            }
            frame::GOAWAY => {
                let text =
                    String::from_utf8_lossy(payload.get(8..).unwrap_or_default()).into_owned();
                bail!(
                    "the server said goaway, code {} {text}",
                    frame::number(payload.get(4..).unwrap_or_default())
                );
            }
            frame::WINDOW_UPDATE => {
                let more = i64::from(frame::number(payload));
                if head.stream == 0 {
                    self.window += more;
                } else if let Some(stream) = self.streams.iter_mut().find(|s| s.id == head.stream) {
                    stream.window += more;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn take_settings(&mut self, payload: &[u8], sink: &mut impl Sink) {
        for (id, value) in frame::settings(payload) {
            match id {
                1 if !self.settled => self.encoder.table_size(value),
                3 => self.streams_max = value,
                4 => {
                    let change = i64::from(value) - self.window_initial;
                    self.window_initial += change;
                    self.streams.iter_mut().for_each(|s| s.window += change);
                }
                _ => {}
            }
        }
        frame::put_head(&mut self.out, 0, frame::SETTINGS, frame::ACK, 0);
        if !self.settled {
            self.settled = true;
            sink.settled();
        }
    }

    fn take_data(&mut self, head: Head, payload: &[u8], sink: &mut impl Sink) -> Result<()> {
        let used = u32::try_from(payload.len())?;
        self.received += used;
        if self.received >= GRANT_AT {
            frame::put_window_update(&mut self.out, 0, self.received);
            self.received = 0;
        }
        let body = head.strip(payload).ok_or_else(|| anyhow!("bad padding"))?;
        // A stream that is gone: what was under way when it ended.
        let Some(stream) = self.streams.iter_mut().find(|s| s.id == head.stream) else {
            return Ok(());
        };
        stream.received += used;
        if stream.received >= GRANT_AT {
            frame::put_window_update(&mut self.out, stream.id, stream.received);
            stream.received = 0;
        }
        take_messages(stream, body, sink)?;
        if head.flags & frame::END_STREAM != 0 {
            let end = End::Failed("no_status".into(), "stream ended without a status".into());
            self.end(head.stream, end, sink);
        }
        Ok(())
    }

    fn take_block(
        &mut self,
        head: Head,
        ends: bool,
        block: &[u8],
        sink: &mut impl Sink,
    ) -> Result<()> {
        if head.flags & frame::END_HEADERS == 0 {
            self.block = Some((head.stream, ends, block.to_vec()));
            return Ok(());
        }
        if !ends {
            return Ok(());
        }
        if !self.block_ok.is_empty() && block == self.block_ok {
            self.end(head.stream, End::Ok, sink);
            return Ok(());
        }
        let status = hpack::status(block).ok_or_else(|| anyhow!("unreadable header block"))?;
        let end = outcome(status);
        if end == End::Ok {
            self.block_ok = block.to_vec();
        }
        self.end(head.stream, end, sink);
        Ok(())
    }

    fn end(&mut self, id: u32, end: End, sink: &mut impl Sink) {
        if let Some(at) = self.streams.iter().position(|s| s.id == id) {
            let stream = self.streams.swap_remove(at);
            sink.ended(stream.call, end);
        }
    }

    /// Turns staged bytes into DATA frames, as far as the windows allow.
    fn frame_staged(&mut self) {
        for stream in self.streams.iter_mut().filter(|s| !s.staged.is_empty()) {
            let mut at = 0;
            while at < stream.staged.len() {
                let window = usize::try_from(self.window.min(stream.window)).unwrap_or(0);
                let len = (stream.staged.len() - at)
                    .min(window)
                    .min(frame::PAYLOAD_MAX);
                if len == 0 {
                    break;
                }
                let last = stream.half_close && at + len == stream.staged.len();
                let flags = if last { frame::END_STREAM } else { 0 };
                frame::put_head(&mut self.out, len, frame::DATA, flags, stream.id);
                self.out.extend_from_slice(&stream.staged[at..at + len]);
                let spent = i64::try_from(len).unwrap_or(i64::MAX);
                self.window -= spent;
                stream.window -= spent;
                at += len;
            }
            stream.staged.drain(..at);
        }
    }
}

/// Appends a message in gRPC's framing.
fn stage(staged: &mut Vec<u8>, body: &[u8]) {
    staged.push(0);
    staged.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    staged.extend_from_slice(body);
}

/// Hands on the whole messages in `bytes`, and keeps the start of the next.
fn take_messages(stream: &mut Stream, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
    if stream.partial.is_empty() {
        let used = whole_messages(stream.call, bytes, sink)?;
        stream.partial.extend_from_slice(&bytes[used..]);
    } else {
        stream.partial.extend_from_slice(bytes);
        let used = whole_messages(stream.call, &stream.partial, sink)?;
        stream.partial.drain(..used);
    }
    Ok(())
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

fn outcome(status: Status) -> End {
    match status.grpc {
        Some(0) => End::Ok,
        Some(code) => {
            let word = if status.reason.is_empty() {
                format!("grpc_{code}")
            } else {
                status.reason
            };
            End::Failed(word, format!("status {code}: {}", status.message))
        }
        None => End::Failed("no_status".into(), format!("HTTP status {}", status.http)),
    }
}
