//! Sessions that end while commands are under way: what is done is answered, whatever ends them.

use serde_json::json;
use tertulia::tasks::{self, TaskKind};
use tertulia_proto::chat::v1::{
    self as pb, session_reply::Result as Answer, session_request::Command, session_response::Frame,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::{
    caller::{Refusal, User, group, number},
    expiry::brief,
    listener::{PATIENCE, send},
    sandbox::Sandbox,
};

/// Sends that are answered before something ends the session.
const DONE_BEFORE: i64 = 300;

fn open() -> pb::SessionOpen {
    pb::SessionOpen { client_id: "flood".to_owned(), commands_only: true, ..Default::default() }
}

/// Commands as fast as the session takes them.
pub(crate) fn flood(command: impl Fn(u64) -> Command + Send + 'static) -> ReceiverStream<pb::SessionRequest> {
    let (requests, received) = mpsc::channel(1_024);
    tasks::spawn(TaskKind::Client, async move {
        let first = pb::SessionRequest { request_id: 0, command: Some(Command::Open(open())) };
        let mut sent = requests.send(first).await;
        for request_id in 1.. {
            if sent.is_err() {
                return;
            }
            sent = requests.send(pb::SessionRequest { request_id, command: Some(command(request_id)) }).await;
        }
    });
    ReceiverStream::new(received)
}

/// How a session went.
pub(crate) struct Drained {
    /// Commands that were done, as far as the answers say.
    pub(crate) done: i64,
    pub(crate) end: Refusal,
}

/// Reads a session to its end. `heed` is told of every command that was done, how many they are.
pub(crate) async fn drain(
    caller: &User,
    requests: ReceiverStream<pb::SessionRequest>,
    mut heed: impl FnMut(i64),
) -> Drained {
    let mut frames = caller.stub().session(caller.signed(requests)).await.unwrap().into_inner();
    let mut done = 0;
    let read = async {
        loop {
            match frames.message().await {
                Ok(Some(pb::SessionResponse { frame: Some(Frame::Reply(reply)) })) => match reply.result.unwrap() {
                    // Where the answers cannot be made as fast as they are asked for, some are refused.
                    Answer::Error(error) => {
                        let info = error.info.unwrap();
                        assert!(["token_expired", "overloaded", "draining"].contains(&&*info.reason), "{info:?}");
                        assert!(!info.outcome_unknown, "{info:?}");
                    }
                    _ => {
                        done += 1;
                        heed(done);
                    }
                },
                Ok(_) => {}
                Err(status) => break Refusal::from(status),
            }
        }
    };
    let end = timeout(PATIENCE, read).await.expect("the session ends");
    Drained { done, end }
}

/// Messages in a room, as somebody else sees them.
pub(crate) async fn messages(sandbox: &Sandbox, room: &str) -> i64 {
    number(&sandbox.user(1).ok("GetRoom", json!({"room_id": room})).await, "/room/last_n")
}

/// User 2 floods a room until the session ends.
struct Flooding {
    room: String,
    reading: JoinHandle<Drained>,
}

impl Flooding {
    /// Comes back when some were answered and many are under way. Their texts are what `content` makes of their numbers.
    async fn begin(sandbox: &Sandbox, content: fn(u64) -> String) -> Self {
        let room = group(&sandbox.user(1), &[2]).await;
        let (enough, is_enough) = oneshot::channel();
        let (caller, to) = (sandbox.user(2), room.clone());
        let reading = tasks::spawn(TaskKind::Client, async move {
            let mut enough = Some(enough);
            let heed = move |done| {
                if done >= DONE_BEFORE
                    && let Some(enough) = enough.take()
                {
                    let _ = enough.send(());
                }
            };
            drain(&caller, flood(move |n| send(&to, &content(n))), heed).await
        });
        timeout(PATIENCE, is_enough).await.expect("commands are done").expect("the session goes on");
        Self { room, reading }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_another_session_of_the_client() {
    let sandbox = Sandbox::start().await;
    let flooding = Flooding::begin(&sandbox, |n| n.to_string()).await;
    let _other = sandbox.user(2).session(open()).await.unwrap();
    let Drained { done, end } = flooding.reading.await.unwrap();
    end.is(Code::Aborted, "stream_replaced", "");
    assert_eq!(messages(&sandbox, &flooding.room).await, done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_request_that_cannot_be_read() {
    let sandbox = Sandbox::start().await;
    let content = |n: u64| if n == 2_000 { "x".repeat(8 << 20) } else { n.to_string() };
    let flooding = Flooding::begin(&sandbox, content).await;
    let Drained { done, end } = flooding.reading.await.unwrap();
    end.is(Code::ResourceExhausted, "too_long", "");
    assert_eq!(messages(&sandbox, &flooding.room).await, done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_server_that_goes_down() {
    let mut sandbox = Sandbox::start().await;
    let flooding = Flooding::begin(&sandbox, |n| n.to_string()).await;
    sandbox.stop().await;
    let Drained { done, end } = flooding.reading.await.unwrap();
    end.is(Code::Unavailable, "draining", "");
    sandbox.start_again().await;
    assert_eq!(messages(&sandbox, &flooding.room).await, done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_the_end_of_its_token() {
    let sandbox = Sandbox::start().await;
    let room = group(&sandbox.user(1), &[2]).await;
    let (caller, to) = (sandbox.caller(Some(&brief(&sandbox, 2, 3_000))), room.clone());
    let Drained { done, end } = drain(&caller, flood(move |n| send(&to, &n.to_string())), |_| {}).await;
    end.is(Code::Unauthenticated, "token_expired", "");
    assert!(done > 0);
    assert_eq!(messages(&sandbox, &room).await, done);
}
