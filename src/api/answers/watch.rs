//! Streams of which the client takes nothing. Knows nothing of HTTP but that a stream that is dropped is reset.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

use super::pieces::Progress;

/// Looks at a stream within the time in which it must get on.
const LOOKS: u32 = 4;

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// By itself; nothing of it is left.
    Done,
    /// The client took nothing: the stream was dropped.
    Dropped,
    /// The client took nothing of what the protocol alone holds: only the end of the connection ends that.
    Stuck,
}

/// Runs a stream to its end, and until all of it is taken.
pub(super) async fn watch(stream: impl Future<Output = ()>, progress: Arc<Progress>, limit: Duration) -> Ended {
    let mut stall = Stall::new(limit);
    let is_done = {
        let mut stream = pin!(stream);
        poll_fn(|cx| match stream.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending => stall.poll(&progress, cx).map(|()| false),
        })
        .await
    };
    if !is_done {
        return Ended::Dropped;
    }
    poll_fn(|cx| match progress.poll_all_taken(cx.waker()) {
        Poll::Ready(()) => Poll::Ready(Ended::Done),
        Poll::Pending => stall.poll(&progress, cx).map(|()| Ended::Stuck),
    })
    .await
}

/// A look from time to time at what was taken. There is one timer while the protocol holds something, which is not
/// touched in between: a stream comes here after everything it says.
struct Stall {
    every: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_armed: bool,
    look_at: Instant,
    taken: u64,
    looks: u32,
}

impl Stall {
    fn new(limit: Duration) -> Self {
        Self { every: limit / LOOKS, timer: None, is_armed: false, look_at: Instant::now(), taken: 0, looks: 0 }
    }

    /// Ready when nothing was taken for so long. To be polled by the same task always.
    fn poll(&mut self, progress: &Progress, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_armed {
            if progress.outstanding() == 0 {
                return Poll::Pending;
            }
            (self.taken, self.looks) = (progress.taken(), 0);
            return self.arm(cx);
        }
        if Instant::now() < self.look_at {
            return Poll::Pending;
        }
        if progress.outstanding() == 0 {
            self.is_armed = false;
            return Poll::Pending;
        }
        if progress.taken() == self.taken {
            self.looks += 1;
            if self.looks == LOOKS {
                return Poll::Ready(());
            }
        } else {
            (self.taken, self.looks) = (progress.taken(), 0);
        }
        self.arm(cx)
    }

    fn arm(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.is_armed = true;
        self.look_at = Instant::now() + self.every;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(self.look_at)));
        timer.as_mut().reset(self.look_at);
        if timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use bytes::{Buf as _, Bytes};
    use http::Response;
    use http_body_util::BodyExt as _;
    use tokio::time::sleep;

    use super::*;
    use crate::{
        api::answers::{
            ConnectionUse,
            pieces::{Outgoing, Piece},
        },
        tasks::{self, TaskKind},
    };

    const LIMIT: Duration = Duration::from_secs(30);

    fn answer(bytes: usize) -> (Arc<Progress>, Outgoing) {
        let progress = Arc::<Progress>::default();
        let body = Body::from(Bytes::from(vec![0; bytes]));
        (Arc::clone(&progress), Outgoing::of(Response::new(body), progress, &ConnectionUse::default()).into_body())
    }

    async fn piece(out: &mut Outgoing) -> Piece {
        out.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_is_not_taken_is_dropped() {
        let (progress, mut out) = answer(10);
        let started = Instant::now();
        let stream = async move {
            let _held = piece(&mut out).await;
            std::future::pending().await
        };
        assert_eq!(watch(stream, Arc::clone(&progress), LIMIT).await, Ended::Dropped);
        assert!(started.elapsed() >= LIMIT && started.elapsed() < LIMIT + Duration::from_secs(1));
        assert_eq!(progress.outstanding(), 0, "what it held went with it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_waited_for() {
        let (progress, mut out) = answer(10);
        let started = Instant::now();
        let stream = async move {
            let mut piece = piece(&mut out).await;
            for _ in 0..10 {
                sleep(Duration::from_secs(29)).await;
                piece.advance(1);
            }
        };
        assert_eq!(watch(stream, progress, LIMIT).await, Ended::Done);
        assert_eq!(started.elapsed(), Duration::from_secs(290));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_with_nothing_to_say_may_take_its_time() {
        let (progress, mut out) = answer(10);
        let stream = async move {
            drop(piece(&mut out).await);
            sleep(Duration::from_secs(3_600)).await;
            drop(piece(&mut answer(1).1).await);
        };
        assert_eq!(watch(stream, progress, LIMIT).await, Ended::Done);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_protocol_alone_holds_is_stuck_or_taken() {
        let (progress, mut out) = answer(10);
        let held = piece(&mut out).await;
        assert_eq!(watch(async {}, Arc::clone(&progress), LIMIT).await, Ended::Stuck);
        let taking = tasks::spawn(TaskKind::Client, async move {
            sleep(Duration::from_secs(20)).await;
            drop(held);
        });
        assert_eq!(watch(async {}, progress, LIMIT).await, Ended::Done);
        taking.await.unwrap();
    }
}
