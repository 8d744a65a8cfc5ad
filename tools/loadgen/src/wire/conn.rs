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
    hpack::{self, Encoder},
    stream::{Call, End, Sink, Stream},
};

/// A window is granted again once this much of it is used.
const GRANT_AT: u32 = frame::WINDOW / 2;

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
    pub(crate) fn open(&mut self, call: Call, path: &str, token: &str, body: &[u8], half_close: bool) -> Result<()> {
        if self.streams.len() >= self.streams_max as usize {
            bail!("the server allows {} streams a connection", self.streams_max);
        }
        let id = self.stream_next;
        self.stream_next =
            id.checked_add(2).filter(|next| *next < 1 << 31).ok_or_else(|| anyhow!("out of stream ids"))?;
        let mut block = Vec::with_capacity(512);
        self.encoder.request(&mut block, &self.authority, path, token);
        frame::put_head(&mut self.out, block.len(), frame::HEADERS, frame::END_HEADERS, id);
        self.out.extend_from_slice(&block);
        let mut stream = Stream::new(id, call, self.window_initial, half_close);
        stream.stage(body);
        self.streams.push(stream);
        Ok(())
    }

    /// Stages a message on the open stream of `call`; false if there is none.
    pub(crate) fn send(&mut self, call: Call, body: &[u8]) -> bool {
        let stream = self.streams.iter_mut().find(|s| s.call == call);
        let Some(stream) = stream else { return false };
        stream.stage(body);
        true
    }

    /// Writes what is staged as far as windows and socket allow. False: the socket is full, poll on.
    ///
    /// # Errors
    /// Those of the socket.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        for stream in &mut self.streams {
            stream.put_frames(&mut self.out, &mut self.window);
        }
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
                let (stream, ends, mut block) = self.block.take().ok_or_else(|| anyhow!("stray continuation"))?;
                block.extend_from_slice(payload);
                self.take_block(Head { stream, ..head }, ends, &block, sink)?;
            }
            frame::RST_STREAM => {
                let what = format!("stream reset by the server, code {}", frame::number(payload));
                self.end(head.stream, End::Failed("stream_reset".into(), what), sink);
            }
            frame::SETTINGS if head.flags & frame::ACK == 0 => self.take_settings(payload, sink),
            frame::PING if head.flags & frame::ACK == 0 => {
                frame::put_head(&mut self.out, payload.len(), frame::PING, frame::ACK, 0);
                self.out.extend_from_slice(payload);
            }
            frame::GOAWAY => {
                let text = String::from_utf8_lossy(payload.get(8..).unwrap_or_default()).into_owned();
                bail!("the server said goaway, code {} {text}", frame::number(payload.get(4..).unwrap_or_default()));
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
        stream.take(body, sink)?;
        if head.flags & frame::END_STREAM != 0 {
            let end = End::Failed("no_status".into(), "stream ended without a status".into());
            self.end(head.stream, end, sink);
        }
        Ok(())
    }

    fn take_block(&mut self, head: Head, ends: bool, block: &[u8], sink: &mut impl Sink) -> Result<()> {
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
        let end = End::from(status);
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
}
