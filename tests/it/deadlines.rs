//! An error on a deadline says whether the call may have happened, and it is true.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    caller::{User, group},
    listener::PATIENCE,
    sandbox::Sandbox,
    web::{Http, frame, frames},
};

/// The contents of a room's messages.
async fn contents(user: &User, room: &str) -> HashSet<String> {
    let mut contents = HashSet::new();
    let mut after = 0;
    loop {
        let page = user.ok("GetMessageHistory", json!({"room_id": room, "after_seq": after, "limit": 100})).await;
        for message in page["messages"].as_array().unwrap() {
            contents.insert(message["content"].as_str().unwrap().to_owned());
            after = after.max(message["seq"].as_i64().unwrap());
        }
        if page["has_more_after"] != json!(true) {
            return contents;
        }
    }
}

/// What was told of a send: `None` if it was acknowledged.
async fn send_in(http: &Http, timeout: (&str, &str), kind: &str, body: Vec<u8>) -> Option<String> {
    let request = http.post("SendMessage", kind, body).header(timeout.0, timeout.1);
    let response = request.send().await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let reason = header("tertulia-reason");
    let told = header("tertulia-outcome");
    let is_late = reason.as_deref() == Some("deadline");
    if is_late {
        return Some(told.expect("an error on a deadline says its outcome"));
    }
    assert_eq!((reason, told), (None, None), "a send has no other troubles here");
    let trailers = if kind.starts_with("application/grpc-web") {
        frames(response.bytes().await.unwrap()).pop().map(|(_, last)| last).unwrap_or_default()
    } else {
        Bytes::new()
    };
    let trailers = String::from_utf8_lossy(&trailers);
    if trailers.contains("grpc-status:4") {
        let told = trailers.lines().find_map(|line| line.strip_prefix("tertulia-outcome:"));
        return Some(told.expect("so do trailers").trim().to_owned());
    }
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_without_time_say_what_became_of_them() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    let http = Http::new(&sandbox, 1);
    let dialects = [
        ("application/grpc-web+proto", ("grpc-timeout", "1m")),
        ("application/grpc-web+proto", ("grpc-timeout", "400u")),
        ("application/json", ("connect-timeout-ms", "1")),
        ("application/proto", ("connect-timeout-ms", "1")),
        ("application/json", ("connect-timeout-ms", "0")),
    ];
    let mut told = Vec::new();
    for round in 0..30 {
        let sends = dialects.iter().enumerate().flat_map(|(n, (kind, timeout))| {
            (0..5).map(move |copy| (format!("{round}-{n}-{copy}"), *kind, *timeout)).collect::<Vec<_>>()
        });
        let sends = sends.map(|(content, kind, timeout)| {
            let message = json!({"room_id": id, "content": content});
            let body = match kind {
                "application/json" => message.to_string().into_bytes(),
                "application/proto" => Http::proto("SendMessage", &message),
                _ => frame(0, &Http::proto("SendMessage", &message)),
            };
            let http = &http;
            async move { (content, send_in(http, timeout, kind, body).await) }
        });
        told.extend(join_all(sends).await);
    }
    let stored = contents(&ana, &id).await;
    let late = told.iter().filter(|(_, outcome)| outcome.is_some()).count();
    assert!(late > 30, "deadlines were missed: {late}");
    for (content, outcome) in &told {
        match outcome.as_deref() {
            None => assert!(stored.contains(content), "acknowledged, so it is there: {content}"),
            Some("not_applied") => assert!(!stored.contains(content), "said not to be there: {content}"),
            Some(outcome) => assert_eq!(outcome, "unknown"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_at_the_door_has_not_happened() {
    let sandbox = Sandbox::start().await;
    for (kind, limit) in
        [("application/json", "connect-timeout-ms: 200"), ("application/grpc-web", "grpc-timeout: 200m")]
    {
        // A request that never comes to its end.
        let mut socket = TcpStream::connect(sandbox.addr()).await.unwrap();
        let token = sandbox.token(1);
        let head = format!(
            "POST /chat.v1.ChatService/SendMessage HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\
             content-type: {kind}\r\nauthorization: Bearer {token}\r\n{limit}\r\n\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.contains("\r\n\r\n") {
            let mut part = [0; 4_096];
            let read = timeout(PATIENCE, socket.read(&mut part)).await.unwrap().unwrap();
            assert_ne!(read, 0, "{answer}");
            answer.push_str(&String::from_utf8_lossy(&part[..read]));
        }
        for line in ["tertulia-reason: deadline", "tertulia-outcome: not_applied"] {
            assert!(answer.contains(line), "{line} is not in {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_connect_says_it_in_its_last_message() {
    let sandbox = Sandbox::start().await;
    let http = Http::new(&sandbox, 1);
    let body = frame(0, br#"{"clientId": "phone"}"#);
    let stream = http.post("StreamMessages", "application/connect+json", body).header("connect-timeout-ms", "300");
    let all = timeout(PATIENCE, async { stream.send().await.unwrap().bytes().await.unwrap() }).await.unwrap();
    let (flags, last) = frames(all).pop().unwrap();
    let end: serde_json::Value = serde_json::from_slice(&last).unwrap();
    assert_eq!(flags, 2);
    assert_eq!(end["error"]["code"], "deadline_exceeded");
    assert_eq!(end["metadata"]["tertulia-reason"], json!(["deadline"]));
    assert_eq!(end["metadata"]["tertulia-outcome"], json!(["not_applied"]));
}
