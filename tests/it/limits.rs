//! Bounds that a caller meets, and what they are told.

use std::time::Duration;

use prost::Message as _;
use serde_json::{Value, json};
use tertulia::client::check::{CheckOptions, check};
use tertulia_proto::chat::v1::{self as pb, session_reply::Result as Answer, session_request::Command};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::Code;

use crate::{
    caller::{Refusal, group, say},
    listener::{PATIENCE, send, stream_request},
    sandbox::Sandbox,
    web::{Http, frame, frames},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_calls_of_a_user_are_refused_with_a_time_to_wait() {
    let sandbox = Sandbox::with(&[("limits.user_per_s", "5"), ("limits.user_burst", "5")]).await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let refusal = loop {
        if let Err(refusal) = ana.ask("GetRooms", json!({})).await {
            break refusal;
        }
    };
    refusal.is(Code::ResourceExhausted, "rate_limited", "");
    let wait = refusal.retry_after_ms.unwrap();
    // Those who know HTTP alone are told in whole seconds.
    let http = Http::new(&sandbox, 3);
    let refused = loop {
        let answer = http.post("GetRooms", "application/json", b"{}".to_vec()).send().await.unwrap();
        if !answer.status().is_success() {
            break answer;
        }
    };
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    assert!((1..=1_000).contains(&wait), "{refusal:?}");
    assert_eq!(refusal.info.retry_after_ms, wait);
    ben.ok("GetRooms", json!({})).await;
    tokio::time::sleep(Duration::from_millis(wait.unsigned_abs() + 20)).await;
    ana.ok("GetRooms", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_value_is_told_what_would_do() {
    let sandbox = Sandbox::start().await;
    let (ana, http) = (sandbox.user(1), Http::new(&sandbox, 1));
    let said = async |request: Value| {
        let answer = http.post("GetRooms", "application/json", request.to_string().into()).send().await.unwrap();
        let error: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        error["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(said(json!({"limit": 201})).await, "limit: out of range: 1 to 200");
    assert_eq!(said(json!({"query": "x".repeat(256)})).await, "query: too long: at most 255 bytes");
    ana.refused("GetRooms", json!({"limit": -1})).await.is(Code::InvalidArgument, "out_of_range", "limit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_role_has_a_rate_of_its_own_and_tools_say_when_they_meet_it() {
    let rates = [("limits.user_per_s", "2"), ("limits.user_burst", "2"), ("limits.admin_per_s", "40")];
    let sandbox = Sandbox::with(&[&rates[..], &[("limits.admin_burst", "5")]].concat()).await;
    let token = sandbox.mint(3, true, Duration::from_secs(60), 0);
    let (ana, admin) = (sandbox.user(1), sandbox.caller(Some(&token)));
    for _ in 0..5 {
        admin.ok("GetRooms", json!({})).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for n in 0..2 {
        let room = ana.ok("CreateRoom", json!({"type": "p2p", "participants": [(n + 2).to_string()]})).await;
        assert_ne!(room["room"]["id"], "");
    }
    let options = CheckOptions::new(format!("http://{}", sandbox.addr()), token);
    let report = check(options).await.unwrap();
    assert!(report.ok, "{report}");
    assert!(report.throttled > 0, "40 calls a second are few: {report}");
    assert!(report.to_string().contains("put off by the server's rate limit"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_of_a_session_count_too() {
    let sandbox = Sandbox::with(&[("limits.user_per_s", "1"), ("limits.user_burst", "3")]).await;
    let ana = sandbox.user(1);
    let open = pb::SessionOpen { client_id: "bot".to_owned(), ..Default::default() };
    let mut session = ana.session(open).await.unwrap();
    let mut refused = None;
    for _ in 0..10 {
        if let Answer::Error(error) = session.ask(Command::GetRooms(pb::GetRoomsRequest::default())).await {
            refused = error.info;
        }
    }
    let info = refused.unwrap();
    assert_eq!(info.reason, "rate_limited");
    assert!(info.retry_after_ms > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_takes_so_many_sends_a_second() {
    let sandbox = Sandbox::with(&[("limits.room_per_s", "2"), ("limits.room_burst", "2")]).await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let (id, other) = (group(&ana, &[2]).await, group(&ana, &[2]).await);
    let refusal = loop {
        let sent = ben.ask("SendMessage", json!({"room_id": id, "content": "x"})).await;
        if let Err(refusal) = sent {
            break refusal;
        }
    };
    refusal.is(Code::ResourceExhausted, "rate_limited", "");
    assert!(refusal.retry_after_ms.unwrap() >= 1);
    say(&ana, &other, "aquí sí").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_are_kept() {
    let sandbox = Sandbox::start().await;
    // tonic's own client would give up by itself, before it hears the server's word.
    let http = Http::new(&sandbox, 1);
    // A request that never comes to its end.
    let mut socket = TcpStream::connect(sandbox.addr()).await.unwrap();
    let token = sandbox.token(1);
    let head = format!(
        "POST /chat.v1.ChatService/GetRooms HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\
         content-type: application/grpc-web+proto\r\nauthorization: Bearer {token}\r\n\
         grpc-timeout: 200m\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.contains("\r\n\r\n") {
        let mut part = [0; 4_096];
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut part)).await;
        let read = read.unwrap().unwrap();
        assert_ne!(read, 0, "{answer}");
        answer.push_str(&String::from_utf8_lossy(&part[..read]));
    }
    for line in ["grpc-status: 4", "tertulia-reason: deadline", "tertulia-outcome: not_applied"] {
        assert!(answer.contains(line), "{line} is not in {answer}");
    }

    let open = stream_request("phone", &[]).encode_to_vec();
    let stream =
        http.post("StreamMessages", "application/grpc-web+proto", frame(0, &open)).header("grpc-timeout", "300m");
    let stream = stream.send().await.unwrap();
    let all = tokio::time::timeout(PATIENCE, stream.bytes()).await.unwrap();
    let frames = frames(all.unwrap());
    let trailers = String::from_utf8_lossy(&frames.last().unwrap().1).into_owned();
    assert!(frames.len() > 1, "it was open");
    assert!(trailers.contains("grpc-status:4") && trailers.contains("tertulia-reason:deadline"), "{trailers}");
    sandbox.user(1).ok("GetRooms", json!({})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_has_so_many_streams_and_sessions() {
    let sandbox = Sandbox::with(&[("streams.per_user_max", "3")]).await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let mut open = Vec::new();
    for n in 0..3 {
        open.push(ana.listen(&format!("c{n}"), &[]).await);
    }
    let refused = ana.try_listen(stream_request("c3", &[])).await.err().unwrap();
    refused.is(Code::ResourceExhausted, "too_many_streams", "");
    let session = pb::SessionOpen { client_id: "c4".to_owned(), ..Default::default() };
    let mut session = ana.session(session).await.unwrap();
    session.end().await.unwrap().is(Code::ResourceExhausted, "too_many_streams", "");
    let replacing = ana.listen("c2", &[]).await;
    open.pop().unwrap().end().await.is(Code::Aborted, "stream_replaced", "");
    say(&ben, &id, "a todos").await;
    for stream in &mut open {
        stream.contents_until("a todos").await;
    }
    drop((open, replacing));
    let mut tries = 0;
    while ana.try_listen(stream_request("again", &[])).await.is_err() {
        tries += 1;
        assert!(tries < 100, "closed streams are not counted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_may_be_so_large() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    let huge = pb::SendMessageRequest { room_id: id.clone(), content: "x".repeat(10 << 20), ..Default::default() };
    let path = "/chat.v1.ChatService/SendMessage";
    let refusal = Refusal::from(ana.bytes(path, ana.signed(huge.encode_to_vec().into())).await.unwrap_err());
    refusal.is(Code::ResourceExhausted, "too_long", "");
    let open = pb::SessionOpen { client_id: "bot".to_owned(), ..Default::default() };
    let mut session = ana.session(open).await.unwrap();
    session.post(Some(send(&id, &huge.content))).await;
    session.end().await.unwrap().is(Code::ResourceExhausted, "too_long", "");

    let long = json!({"room_id": id, "content": "x".repeat(65_537)});
    ana.refused("SendMessage", long).await.is(Code::InvalidArgument, "too_long", "content");
    say(&ana, &id, &"é".repeat(32_768)).await;
}

/// What the protocol layers refuse by themselves has a reason too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_cannot_be_read_is_refused_with_a_reason() {
    let sandbox = Sandbox::start().await;
    let http = Http::new(&sandbox, 1);
    let refused = async |body: Vec<u8>, encoding: &str| {
        let request = http.post("GetRooms", "application/grpc-web+proto", body).header("grpc-encoding", encoding);
        let response = request.send().await.unwrap();
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        (header("grpc-status").unwrap(), header("tertulia-reason").unwrap())
    };
    let told = |code: Code, reason: &str| ((code as i32).to_string(), reason.to_owned());
    let empty = frame(0, b"");
    assert_eq!(refused(frame(1, b"x"), "identity").await, told(Code::Internal, "malformed"), "no encoding is named");
    assert_eq!(refused(frame(7, b""), "identity").await, told(Code::Internal, "malformed"), "no such flags");
    assert_eq!(refused(empty[..4].to_vec(), "identity").await, told(Code::Internal, "malformed"), "cut short");
    assert_eq!(refused(frame(0, b"\xff"), "identity").await, told(Code::InvalidArgument, "malformed"), "no protobuf");
    assert_eq!(refused(empty.clone(), "br").await, told(Code::Unimplemented, "malformed"), "an unknown compression");
    assert_eq!(refused([&empty[..], &empty].concat(), "identity").await, told(Code::Unimplemented, "malformed"));
}
