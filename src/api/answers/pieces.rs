//! An answer's body in pieces, and how much of it was taken. Knows nothing of time.

use std::{
    io::IoSlice,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire},
    },
    task::{Context, Poll, Waker, ready},
};

use axum::body::Body;
use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;
use http::Response;
use http_body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;

use super::{BoundElsewhere, ConnectionUse, Held, budget::Unasked};

/// A frame of HTTP/2. The protocol takes a piece when it may send a byte of it, and then holds all of it.
const PIECE_BYTES: usize = 16 * 1024;

/// What was handed to the protocol of one answer, and what of that it has sent.
#[derive(Debug, Default)]
pub(super) struct Progress {
    handed: AtomicU64,
    taken: AtomicU64,
    all_taken: AtomicWaker,
    /// Given back with the last piece.
    held: OnceLock<Arc<Held>>,
    unasked: Mutex<Option<Unasked>>,
}

impl Progress {
    /// Bytes that the protocol holds.
    pub(super) fn outstanding(&self) -> u64 {
        self.handed.load(Acquire).saturating_sub(self.taken())
    }

    /// Bytes that were sent, or dropped with their stream.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Acquire)
    }

    /// Whether no more than one piece was handed out yet.
    fn is_short(&self) -> bool {
        self.handed.load(Acquire) <= PIECE_BYTES as u64
    }

    /// Ready once the protocol holds nothing.
    pub(super) fn poll_all_taken(&self, waker: &Waker) -> Poll<()> {
        self.all_taken.register(waker);
        if self.outstanding() == 0 { Poll::Ready(()) } else { Poll::Pending }
    }

    fn hand(self: &Arc<Self>, bytes: Bytes) -> Piece {
        self.handed.fetch_add(bytes.len() as u64, AcqRel);
        Piece { bytes, progress: Arc::clone(self) }
    }

    fn take(&self, bytes: usize) {
        let taken = self.taken.fetch_add(bytes as u64, AcqRel) + bytes as u64;
        if taken == self.handed.load(Acquire) {
            self.all_taken.wake();
        }
    }
}

/// A part of an answer in the protocol's hands.
#[derive(Debug)]
pub(in crate::api) struct Piece {
    bytes: Bytes,
    progress: Arc<Progress>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(into)
    }

    fn advance(&mut self, bytes: usize) {
        self.bytes.advance(bytes);
        self.progress.take(bytes);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if self.bytes.has_remaining() {
            self.progress.take(self.bytes.len());
        }
    }
}

/// A body that is handed out in pieces.
///
/// One of several pieces ends when the protocol has sent the last of them: as long as it has not ended its stream can be
/// reset, which is all that a client loses who does not take the rest. What has ended could only go with its connection,
/// and with what others have on it. A short answer does not wait: its end goes out with it, in one write.
#[derive(Debug)]
pub(in crate::api) struct Outgoing {
    inner: Body,
    rest: Bytes,
    /// What comes after the last piece: trailers, or nothing.
    end: Option<Option<Frame<Piece>>>,
    progress: Arc<Progress>,
    /// Where it counts if nothing was reserved for it.
    unasked: Option<ConnectionUse>,
}

impl Outgoing {
    /// Wraps the body of an answer, and takes over what was reserved for it.
    pub(super) fn of(
        mut response: Response<Body>,
        progress: Arc<Progress>,
        connection: &ConnectionUse,
    ) -> Response<Self> {
        let extensions = response.extensions_mut();
        let mut unasked = extensions.remove::<BoundElsewhere>().is_none().then(|| connection.clone());
        if let Some(held) = extensions.remove::<Arc<Held>>() {
            let _ = progress.held.set(held);
            unasked = None;
        }
        response.map(|inner| Self { inner, rest: Bytes::new(), end: None, progress, unasked })
    }

    /// Counts what was made. Whether it may wait.
    fn count(&self, bytes: usize) -> bool {
        if let Some(held) = self.progress.held.get() {
            // JSON and base64 are larger than what was answered.
            held.grow_to(bytes);
        }
        let Some(connection) = &self.unasked else {
            return true;
        };
        // What was counted before is in the protocol's hands, which are small.
        self.progress.unasked.lock().take();
        let counted = connection.unasked(bytes);
        let may_wait = counted.is_some();
        *self.progress.unasked.lock() = counted;
        may_wait
    }

    /// Whether the end may be told.
    fn poll_may_end(&self, cx: &Context<'_>) -> Poll<()> {
        if self.progress.is_short() { Poll::Ready(()) } else { self.progress.poll_all_taken(cx.waker()) }
    }

    fn piece(&mut self) -> Frame<Piece> {
        let piece = self.rest.split_to(self.rest.len().min(PIECE_BYTES));
        Frame::data(self.progress.hand(piece))
    }
}

impl HttpBody for Outgoing {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let this = &mut *self;
        if !this.rest.is_empty() {
            return Poll::Ready(Some(Ok(this.piece())));
        }
        if this.end.is_none() {
            let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx)?);
            match frame.map(Frame::into_data) {
                Some(Ok(data)) => {
                    if !this.count(data.len()) {
                        return Poll::Ready(Some(Err(axum::Error::new("too many answers wait on the connection"))));
                    }
                    this.rest = data;
                    return Poll::Ready(Some(Ok(this.piece())));
                }
                Some(Err(frame)) => {
                    this.end = Some(Some(Frame::trailers(frame.into_trailers().unwrap_or_default())));
                }
                None => this.end = Some(None),
            }
        }
        ready!(this.poll_may_end(cx));
        Poll::Ready(this.end.take().flatten().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        let may_end = self.progress.is_short() || self.progress.outstanding() == 0;
        self.rest.is_empty() && self.end.is_none() && self.inner.is_end_stream() && may_end
    }

    fn size_hint(&self) -> SizeHint {
        let (mut hint, rest) = (self.inner.size_hint(), self.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn an_answer_goes_out_whole_whatever_its_size() {
        for len in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 100_000] {
            let whole: Vec<u8> = (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let progress = Arc::<Progress>::default();
            let mut out = Outgoing::of(
                Response::new(Body::from(whole.clone())),
                Arc::clone(&progress),
                &ConnectionUse::default(),
            )
            .into_body();
            let mut seen = Vec::new();
            while let Some(frame) = out.frame().await {
                let hint = out.size_hint().exact().unwrap();
                let mut piece = frame.unwrap().into_data().unwrap();
                assert!(piece.remaining() <= PIECE_BYTES);
                assert_eq!(progress.outstanding(), piece.remaining() as u64);
                seen.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
                assert_eq!(hint + seen.len() as u64, len as u64, "the size is known throughout");
            }
            assert_eq!(seen, whole);
            assert!(out.is_end_stream());
            assert_eq!((progress.outstanding(), progress.taken()), (0, len as u64));
        }
    }

    #[tokio::test]
    async fn a_piece_that_is_dropped_is_out_of_the_protocols_hands() {
        let progress = Arc::<Progress>::default();
        let mut out =
            Outgoing::of(Response::new(Body::from(vec![0; 9])), Arc::clone(&progress), &ConnectionUse::default())
                .into_body();
        let mut piece = out.frame().await.unwrap().unwrap().into_data().unwrap();
        piece.advance(4);
        assert_eq!((progress.outstanding(), progress.taken()), (5, 4));
        assert!(progress.poll_all_taken(Waker::noop()).is_pending());
        drop(piece);
        assert!(progress.poll_all_taken(Waker::noop()).is_ready());
    }
}
