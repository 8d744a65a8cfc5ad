//! A client's socket: its options, and how bytes go into it. Knows nothing of HTTP.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

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
///
/// A client of HTTP/1.1 may shut its sending side after a request and wait for the answer, so the protocol code does not
/// take that for the end. For an answer without an end that would be wrong: who closed its browser would seem to be there
/// until a write fails. So while [`Hangups`] are listened to, a sending side that is shut ends the connection.
#[derive(Debug)]
pub(super) struct Socket<S = TcpStream> {
    io: TokioIo<S>,
    stall: Stall,
    hangups: Hangups,
}

/// Whether a client that shuts its sending side is taken to be gone.
#[derive(Clone, Default, Debug)]
pub(super) struct Hangups(Arc<AtomicBool>);

impl Hangups {
    /// From now on, or no longer.
    pub(super) fn listen(&self, listen: bool) {
        self.0.store(listen, Relaxed);
    }
}

/// What can be asked whether the other side has shut its sending side.
pub(super) trait Hangup {
    /// Fails when it has, and wakes the task when it does.
    fn poll_hangup(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Hangup for TcpStream {
    fn poll_hangup(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        match ready!(self.poll_peek(cx, &mut ReadBuf::new(&mut byte))) {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<S> Socket<S> {
    /// A socket that fails when its other side takes nothing for `write_timeout` while there is something to write.
    pub(super) fn new(socket: S, write_timeout: Duration, hangups: Hangups) -> Self {
        let stall = Stall { limit: write_timeout, since: None, timer: None };
        Self { io: TokioIo::new(socket), stall, hangups }
    }
}

/// A write that waits.
#[derive(Debug)]
struct Stall {
    limit: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    /// What a write came to, or that it has waited for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, tried: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if tried.is_ready() {
            // The timer stays: the next stall may come soon.
            self.since = None;
            return tried;
        }
        let until = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= until {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")));
            }
            // It was set for an earlier stall.
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> Read for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Hangup + Unpin> Write for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        let tried = Pin::new(&mut self.io).poll_write(cx, piece);
        self.stall.judge(cx, tried)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let tried = match pieces {
            [piece] => Pin::new(&mut self.io).poll_write(cx, piece),
            pieces if pieces.iter().map(|piece| piece.len()).sum::<usize>() <= GATHERED_MAX => {
                let mut gathered = [0; GATHERED_MAX];
                let mut end = 0;
                for piece in pieces {
                    gathered[end..end + piece.len()].copy_from_slice(piece);
                    end += piece.len();
                }
                Pin::new(&mut self.io).poll_write(cx, &gathered[..end])
            }
            pieces => Pin::new(&mut self.io).poll_write_vectored(cx, pieces),
        };
        self.stall.judge(cx, tried)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The one call that comes at every turn, whether there is something to write or not.
        if self.hangups.0.load(Relaxed)
            && let Poll::Ready(Err(error)) = self.io.inner().poll_hangup(cx)
        {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::tasks::{self, TaskKind};

    const LIMIT: Duration = Duration::from_secs(30);

    impl Hangup for tokio::io::DuplexStream {
        fn poll_hangup(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let (here, mut there) = tokio::io::duplex(10);
        let mut socket = Socket::new(here, LIMIT, Hangups::default());
        let client = tasks::spawn(TaskKind::Client, async move {
            let mut taken = [0; 10];
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                there.read_exact(&mut taken).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        let started = Instant::now();
        let mut written = 0;
        let error = loop {
            match poll_fn(|cx| Pin::new(&mut socket).poll_write(cx, &[0; 10])).await {
                Ok(bytes) => written += bytes,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(written, 210, "what the client took, and what is under way");
        assert_eq!(started.elapsed(), Duration::from_secs(20 * 29) + LIMIT);
        client.abort();
    }
}
