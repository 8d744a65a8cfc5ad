//! Answers that their clients do not take: they are bounded, they end, and they cost nobody else anything.

use std::time::Duration;

use prost::Message as _;
use serde_json::json;
use socket2::{Domain, Socket, Type};
use tertulia::tasks::{self, TaskKind};
use tertulia_proto::chat::v1::{self as pb, session_reply::Result as Answer, session_request::Command};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::Instant};

use crate::{
    caller::{User, group, say},
    listener::{PATIENCE, stream_request},
    sandbox::Sandbox,
    stalled::{self, Stalled},
    web::frame,
};

/// A room whose newest page has about `kb` kilobytes.
async fn room_of(ana: &User, kb: usize) -> String {
    let id = group(ana, &[2]).await;
    for _ in 0..kb.div_ceil(50) {
        say(ana, &id, &"palabra ".repeat(6_400)).await;
    }
    id
}

fn history(room: &str) -> pb::GetMessageHistoryRequest {
    pb::GetMessageHistoryRequest { room_id: room.to_owned(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_wait_are_bounded_and_end() {
    let flags = [("server.answer_bytes_per_user", "2097152"), ("server.write_timeout_ms", "2000")];
    let sandbox = Sandbox::with(&flags).await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = room_of(&ana, 400).await;
    let stalled = Stalled::connect(sandbox.addr(), &sandbox.token(2), 0).await;
    let mut calls = Vec::new();
    for _ in 0..40 {
        calls.push(stalled.grpc("GetMessageHistory", &history(&id)).await);
    }
    let (mut refused, mut given) = (0, Vec::new());
    for call in calls {
        let answer = stalled::head(call).await.unwrap();
        match answer.headers().get("tertulia-reason") {
            Some(reason) => {
                assert_eq!(
                    (reason.to_str().unwrap(), answer.headers()["grpc-status"].to_str().unwrap()),
                    ("overloaded", "8")
                );
                assert!(answer.headers().contains_key("tertulia-retry-after-ms"));
                assert!(!answer.headers().contains_key("tertulia-outcome"), "it was not done");
                refused += 1;
            }
            None => given.push(answer.into_body()),
        }
        ana.ok("GetRooms", json!({})).await;
    }
    assert!(given.len() <= 5 && refused >= 35, "two megabytes hold five answers of 400 KB: {}", given.len());
    for body in given {
        assert!(stalled::rest(body).await.1.is_err(), "nobody takes it: it is reset");
    }
    ben.ok("GetMessageHistory", json!({"room_id": id})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_waits_for_ever_whatever_the_dialect() {
    let sandbox = Sandbox::with(&[("server.write_timeout_ms", "400")]).await;
    let ana = sandbox.user(1);
    let id = room_of(&ana, 200).await;
    let page = history(&id).encode_to_vec();
    let asked = json!({"roomId": id}).to_string().into_bytes();
    let stream = stream_request("phone", &[]).encode_to_vec();
    let open = pb::SessionOpen { client_id: "bot".to_owned(), ..Default::default() };
    let open = pb::SessionRequest { request_id: 0, command: Some(Command::Open(open)) };
    let chat = |method: &str| format!("/chat.v1.ChatService/{method}");
    let calls = [
        (chat("GetMessageHistory"), "application/grpc", frame(0, &page)),
        (chat("GetMessageHistory"), "application/grpc-web+proto", frame(0, &page)),
        (chat("GetMessageHistory"), "application/json", asked),
        (chat("GetMessageHistory"), "application/proto", page),
        (chat("StreamMessages"), "application/grpc", frame(0, &stream)),
        (chat("StreamMessages"), "application/connect+proto", frame(0, &stream)),
        (chat("Session"), "application/grpc", frame(0, &open.encode_to_vec())),
        ("/tokens.v1.TokensService/GetTokens".to_owned(), "application/grpc", frame(0, b"")),
        ("/admin.v1.AdminService/GetStatus".to_owned(), "application/grpc", frame(0, b"")),
    ];
    let token = sandbox.mint(1, true, Duration::from_secs(3_600), 0);
    let stalled = Stalled::connect(sandbox.addr(), &token, 0).await;
    for (path, kind, body) in calls {
        let answer = stalled::head(stalled.begin(&path, kind, body).await).await.unwrap();
        assert_eq!(answer.headers().get("tertulia-reason"), None, "{path} {kind}");
        let (_, end) = stalled::rest(answer.into_body()).await;
        let error = end.expect_err("it is reset");
        assert!(error.is_reset() && error.is_remote(), "{path} {kind}: {error}");
    }
    // The connection lives on.
    let answer = stalled.grpc("GetMessageHistory", &history(&id)).await;
    let body = stalled::head(answer).await.unwrap().into_body();
    stalled.open(1 << 20).await;
    let (messages, end) = stalled::rest(body).await;
    assert_eq!((messages.len(), end.unwrap()["grpc-status"].to_str().unwrap()), (1, "0"));
}

/// Of a connection that many share, as a proxy's, only that one's stream is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_just_before_the_end_loses_a_stream_and_no_connection() {
    let sandbox = Sandbox::with(&[("server.write_timeout_ms", "400")]).await;
    let ana = sandbox.user(1);
    let id = room_of(&ana, 100).await;
    let (page, asked) = (history(&id).encode_to_vec(), json!({"roomId": id}).to_string().into_bytes());
    for (kind, body) in [
        ("application/grpc", frame(0, &page)),
        ("application/grpc-web+proto", frame(0, &page)),
        ("application/json", asked),
        ("application/proto", page),
    ] {
        let path = "/chat.v1.ChatService/GetMessageHistory";
        let free = Stalled::connect(sandbox.addr(), &sandbox.token(1), 1 << 20).await;
        let answer = stalled::head(free.begin(path, kind, body.clone()).await).await.unwrap();
        let (whole, _) = stalled::bytes(answer.into_body(), true).await;
        let window = u32::try_from(whole.len() - 1_000).unwrap();
        let stalled = Stalled::connect(sandbox.addr(), &sandbox.token(1), window).await;
        let answer = stalled::head(stalled.begin(path, kind, body).await).await.unwrap();
        let (part, end) = stalled::bytes(answer.into_body(), false).await;
        let error = end.expect_err("it is reset");
        assert!(error.is_reset() && error.is_remote(), "{kind}: {error}");
        assert!(part.len() <= window as usize, "{kind}");
        let others = stalled.grpc("GetRooms", &pb::GetRoomsRequest::default()).await;
        let (_, end) = stalled::rest(stalled::head(others).await.unwrap().into_body()).await;
        assert_eq!(end.unwrap()["grpc-status"].to_str().unwrap(), "0", "{kind}: the connection lives on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_protocol_holds_goes_with_its_connection() {
    let sandbox = Sandbox::with(&[("server.write_timeout_ms", "400")]).await;
    let ana = sandbox.user(1);
    group(&ana, &[2]).await;
    let mut stalled = Stalled::connect(sandbox.addr(), &sandbox.token(1), 10).await;
    let answer = stalled.grpc("GetRooms", &pb::GetRoomsRequest::default()).await;
    let body = stalled::head(answer).await.unwrap().into_body();
    stalled.closed().await;
    drop(body);
    ana.ok("GetRooms", json!({})).await;
}

/// A number of `/metrics`.
async fn metric(client: &reqwest::Client, sandbox: &Sandbox, name: &str) -> f64 {
    let shown = client.get(sandbox.url("/metrics")).send().await.unwrap().text().await.unwrap();
    let line = shown.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {shown}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_takes_nothing_is_closed() {
    let sandbox = Sandbox::with(&[("server.write_timeout_ms", "400")]).await;
    let ana = sandbox.user(1);
    let id = room_of(&ana, 400).await;
    // Its own connection is one of those.
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let quiet = metric(&client, &sandbox, "chat_sockets_open").await;
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&sandbox.addr().into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut socket = TcpStream::from_std(socket.into()).unwrap();
    let body = json!({"roomId": id}).to_string();
    let token = sandbox.token(2);
    let one = format!(
        "POST /chat.v1.ChatService/GetMessageHistory HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\
         content-type: application/json\r\nauthorization: Bearer {token}\r\n\r\n{body}",
        body.len()
    );
    // More than the system's buffers hold: the writing ends with the connection, and the looking begins with it.
    let writing = tasks::spawn(TaskKind::Client, async move {
        let _ = socket.write_all(one.repeat(60).as_bytes()).await;
        socket
    });
    let started = Instant::now();
    let mut seen = false;
    loop {
        let open = metric(&client, &sandbox, "chat_sockets_open").await;
        seen |= open > quiet;
        if seen && open <= quiet {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "it is held for ever");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(metric(&client, &sandbox, "chat_answer_bytes_waiting").await, 0.0);
    drop(writing.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_gets_all_of_many_large_answers() {
    let sandbox = Sandbox::with(&[("server.answer_bytes_per_user", "2097152")]).await;
    let ana = sandbox.user(1);
    let id = room_of(&ana, 400).await;
    let open = pb::SessionOpen { client_id: "bot".to_owned(), commands_only: true, ..Default::default() };
    let mut session = ana.session(open).await.unwrap();
    let mut asked = Vec::new();
    for _ in 0..60 {
        asked.push(session.post(Some(Command::GetMessageHistory(history(&id)))).await);
    }
    for request in asked {
        match session.answer(request).await {
            Answer::GetMessageHistory(page) => assert_eq!(page.messages.len(), 8),
            other => panic!("{other:?}"),
        }
    }
    let calls = (0..60).map(|_| ana.ask("GetMessageHistory", json!({"room_id": id})));
    for answer in futures_util::future::join_all(calls).await {
        answer.unwrap();
    }
}
