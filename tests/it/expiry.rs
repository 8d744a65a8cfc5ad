//! A token opens calls, streams and sessions for as long as it is valid, and not a moment longer.

use std::time::Duration;

use prost::Message as _;
use serde_json::json;
use tertulia_proto::chat::v1::{
    self as pb, event::Event as Happened, session_reply::Result as Answer, session_request::Command,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::{
    caller::{Refusal, User, group, say},
    endings::{Drained, drain, flood},
    listener::{PATIENCE, send, stream_request},
    raw::Raw,
    sandbox::Sandbox,
    stalled::{self, Stalled},
};

/// For clocks that differ: tokens count this long after their `exp`.
const LEEWAY_MS: i64 = 30_000;

/// A token that counts for `left_ms` more, all of it leeway.
pub(crate) fn brief(sandbox: &Sandbox, user: i64, left_ms: i64) -> String {
    sandbox.mint(user, false, Duration::from_secs(60), 60_000 + LEEWAY_MS - left_ms)
}

/// Until the door refuses the token.
async fn until_expired(caller: &User) {
    let started = Instant::now();
    while caller.ask("GetRooms", json!({})).await.is_ok() {
        assert!(started.elapsed() < PATIENCE, "the token never ends");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_opens_calls_opens_and_keeps_streams() {
    let sandbox = Sandbox::with(&[("streams.heartbeat_ms", "1000")]).await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    // Expired 8 s ago by the letter.
    let late = sandbox.caller(Some(&brief(&sandbox, 2, 22_000)));
    late.ok("GetRooms", json!({})).await;
    let mut stream = late.listen("phone", &[]).await;
    // Two heartbeats: there was a look at the token.
    for _ in 0..2 {
        stream.seek(|event| matches!(event.event, Some(Happened::Connected(_))).then_some(())).await;
    }
    say(&ana, &id, "sigue").await;
    stream.contents_until("sigue").await;
    let open = pb::SessionOpen { client_id: "bot".to_owned(), ..Default::default() };
    let mut session = late.session(open).await.unwrap();
    let Answer::SendMessage(_) = session.ask(send(&id, "yo también")).await else { panic!("not an ack") };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_stream_ends_with_its_token_not_with_a_heartbeat() {
    let sandbox = Sandbox::with(&[("streams.heartbeat_ms", "600000")]).await;
    let caller = sandbox.caller(Some(&brief(&sandbox, 1, 3_000)));
    let mut stream = caller.listen("c", &[]).await;
    let open = pb::SessionOpen { client_id: "s".to_owned(), ..Default::default() };
    let mut session = caller.session(open).await.unwrap();
    // A session that was never opened ends too.
    let (held, requests) = mpsc::channel::<pb::SessionRequest>(1);
    let mut never = caller.stub().session(caller.signed(ReceiverStream::new(requests))).await.unwrap().into_inner();
    stream.end().await.is(Code::Unauthenticated, "token_expired", "");
    session.end().await.unwrap().is(Code::Unauthenticated, "token_expired", "");
    let end = timeout(PATIENCE, never.message()).await.expect("an end in time");
    Refusal::from(end.unwrap_err()).is(Code::Unauthenticated, "token_expired", "");
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_always_has_answers_ends_with_its_token() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    for _ in 0..4 {
        say(&ana, &id, &"x".repeat(60_000)).await;
    }
    let caller = sandbox.caller(Some(&brief(&sandbox, 2, 3_000)));
    let request = pb::GetMessageHistoryRequest { room_id: id, ..Default::default() };
    let requests = flood(move |_| Command::GetMessageHistory(request.clone()));
    let Drained { done, end } = drain(&caller, requests, |_| {}).await;
    end.is(Code::Unauthenticated, "token_expired", "");
    assert!(done > 0, "it was served while the token counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_stream_gives_nothing_of_its_queue_after_the_end() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    let token = brief(&sandbox, 2, 3_000);
    let stalled = Stalled::connect(sandbox.addr(), &token, 0).await;
    let answer = stalled.grpc("StreamMessages", &stream_request("phone", &[])).await;
    let body = stalled::head(answer).await.unwrap().into_body();
    let before: Vec<String> = (0..10).map(|n| format!("antes {n}")).collect();
    for content in &before {
        say(&ana, &id, content).await;
    }
    until_expired(&sandbox.caller(Some(&token))).await;
    say(&ana, &id, "después").await;
    stalled.open(1 << 20).await;
    let (messages, end) = stalled::rest(body).await;
    let contents: Vec<String> = messages
        .into_iter()
        .filter_map(|bytes| match pb::Event::decode(bytes).unwrap().event {
            Some(Happened::Message(message)) => Some(message.content),
            _ => None,
        })
        .collect();
    assert_eq!(contents, Vec::<String>::new(), "events that waited");
    assert_eq!(end.unwrap()["tertulia-reason"], "token_expired");
}

/// The rest of the request comes when the token has ended: over every service, and for what only reads too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_takes_longer_than_the_token_is_not_served() {
    let sandbox = Sandbox::start().await;
    let token = brief(&sandbox, 1, 2_000);
    let admin = sandbox.mint(1, true, Duration::from_secs(60), 60_000 + LEEWAY_MS - 2_000);
    let mut begun = Vec::new();
    for (method, token) in [
        ("chat.v1.ChatService/CreateRoom", &token),
        ("chat.v1.ChatService/GetRooms", &token),
        ("tokens.v1.TokensService/GetTokens", &token),
        ("admin.v1.AdminService/ListRooms", &admin),
    ] {
        let mut slow = Raw::connect(&sandbox).await;
        slow.write(format!(
            "POST /{method} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{{"
        ))
        .await;
        begun.push((method, slow));
    }
    until_expired(&sandbox.caller(Some(&token))).await;
    for (method, mut slow) in begun {
        slow.write("}").await;
        let answer = slow.answer().await;
        assert!(answer.starts_with("HTTP/1.1 401") && answer.contains("token_expired"), "{method}: {answer}");
    }
}
