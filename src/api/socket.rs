//! A client's socket: its options, and how bytes go into it. Knows nothing of HTTP.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// After this silence the other side's system is asked for a sign of life.
const PROBE_AFTER: Duration = Duration::from_secs(30);
/// A connection is given up when the other side acknowledges nothing for this long.
const SILENCE_MAX: Duration = Duration::from_secs(50);
/// Probes within the rest of the silence.
const PROBES: u32 = 4;

/// Dead peers are found by the kernel: pings of HTTP/2 would cost a look at the clock and a lock at every delivery, and
/// HTTP/1.1 has none.
///
/// # Errors
/// What the system says; a socket without the options serves all the same.
pub(super) fn set_options(socket: &TcpStream) -> io::Result<()> {
    // Small frames must not wait for each other's acknowledgement.
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    let interval = (SILENCE_MAX - PROBE_AFTER) / PROBES;
    let probes = TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(interval).with_retries(PROBES);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE_MAX))?;
    Ok(())
}

/// Pieces that are this small together are put together here: copying them costs less than having the kernel gather them.
const GATHERED_MAX: usize = 1024;

/// A socket as the protocol code reads and writes it. What is one piece, or small, goes out by `send`, which costs the
/// kernel less than a gathered write; most deliveries are a frame's head and a short message.
#[derive(Debug)]
pub(super) struct Socket(TokioIo<TcpStream>);

impl Socket {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self(TokioIo::new(socket))
    }
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, piece)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match pieces {
            [piece] => Pin::new(&mut self.0).poll_write(cx, piece),
            pieces if pieces.iter().map(|piece| piece.len()).sum::<usize>() <= GATHERED_MAX => {
                let mut gathered = [0; GATHERED_MAX];
                let mut end = 0;
                for piece in pieces {
                    gathered[end..end + piece.len()].copy_from_slice(piece);
                    end += piece.len();
                }
                Pin::new(&mut self.0).poll_write(cx, &gathered[..end])
            }
            pieces => Pin::new(&mut self.0).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
