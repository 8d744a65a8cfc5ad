//! The same call in every dialect of the one port gives the same answer, and the same reason when it fails.

use serde_json::{Value, json};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::{
    caller::{group, say},
    sandbox::Sandbox,
    web::{ConnectStream, Http, frame, reason_of},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_answer_in_all_dialects() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    let message = say(&ana, &id, "¡hola! 👋").await;
    let http = Http::new(&sandbox, 1);
    let calls = [
        ("GetRoom", json!({"room_id": id})),
        ("GetRooms", json!({"limit": 1})),
        ("GetMessageHistory", json!({"room_id": id})),
        ("GetMessage", json!({"message_id": message["id"]})),
        ("GetTokens", json!({})),
        ("GetRoom", json!({"room_id": "nada"})),
        ("GetRoom", json!({"room_id": "7f1c1d2e-0000-4000-8000-00000000beef"})),
        ("GetStatus", json!({})),
    ];
    for (name, json) in calls {
        let grpc = ana.ask(name, json.clone()).await.map_err(|refusal| refusal.reason);
        assert_eq!(http.grpc_web(name, &json, false).await, grpc, "gRPC-Web {name}");
        assert_eq!(http.grpc_web(name, &json, true).await, grpc, "gRPC-Web text {name}");
        assert_eq!(http.connect_json(name, &json).await, grpc, "Connect JSON {name}");
        assert_eq!(http.connect_proto(name, &json).await, grpc, "Connect proto {name}");
        assert_eq!(http.connect_get(name, &json).await, grpc, "Connect GET {name}");
    }
    let sent = http.connect_json("SendMessage", &json!({"roomId": id, "content": "por JSON"})).await.unwrap();
    assert_eq!(sent["message"]["content"], "por JSON");
    let by_get = http
        .client
        .get(format!("{}/chat.v1.ChatService/SendMessage?connect=v1&encoding=json&message=%7B%7D", http.base));
    assert_eq!(by_get.bearer_auth(&http.token).send().await.unwrap().status(), 405, "GET changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_before_the_service_has_a_reason_too() {
    let sandbox = Sandbox::start().await;
    let http = Http::new(&sandbox, 1);
    let huge = json!({"room_id": "x", "content": "x".repeat(10 << 20)});
    let cases = [
        ("no JSON", "application/json", b"{".to_vec(), 400, "malformed"),
        ("wrong type", "application/json", br#"{"room_id": 7}"#.to_vec(), 400, "malformed"),
        ("unknown field", "application/json", br#"{"rooom": "x"}"#.to_vec(), 400, "malformed"),
        ("not UTF-8", "application/json", b"{\"room_id\": \"\xff\"}".to_vec(), 400, "malformed"),
        ("no protobuf", "application/proto", vec![0xff; 9], 400, "malformed"),
        ("10 MB", "application/json", huge.to_string().into(), 429, "too_long"),
    ];
    for (what, kind, body, status, reason) in cases {
        let response = http.post("SendMessage", kind, body).send().await.unwrap();
        let seen = response.status().as_u16();
        let header = response.headers().get("tertulia-reason").cloned();
        let error: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
        assert_eq!(seen, status, "{what}: {error}");
        assert_eq!(reason_of(&error), reason, "{what}: {error}");
        assert_eq!(header.unwrap(), reason, "{what}");
    }
    let open = frame(0, br#"{"clientId": "c"}"#);
    let late = http.post("StreamMessages", "application/connect+json", open).header("connect-timeout-ms", "300");
    let mut late = ConnectStream::new(late.send().await.unwrap());
    let end = loop {
        if let (2, end) = late.next().await {
            break end;
        }
    };
    assert_eq!((&end["error"]["code"], reason_of(&end["error"]).as_str()), (&json!("deadline_exceeded"), "deadline"));
    let nobody = http
        .client
        .post(format!("{}/chat.v1.ChatService/GetRooms", http.base))
        .header("content-type", "application/json")
        .body("{}");
    let error: Value = nobody.send().await.unwrap().json().await.unwrap();
    assert_eq!((&error["code"], reason_of(&error).as_str()), (&json!("unauthenticated"), "token_missing"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_over_connect_and_grpc_web() {
    let mut sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), Http::new(&sandbox, 2));
    let id = group(&ana, &[2]).await;
    let open = json!({"clientId": "browser", "cursors": {id.as_str(): "1"}}).to_string();
    let response =
        ben.post("StreamMessages", "application/connect+json", frame(0, open.as_bytes())).send().await.unwrap();
    let mut stream = ConnectStream::new(response);
    let (flags, first) = stream.next().await;
    assert!(flags == 0 && first.get("connected").is_some(), "{first}");
    let web = ben.post(
        "StreamMessages",
        "application/grpc-web+proto",
        frame(0, &Http::proto("StreamMessages", &json!({"client_id": "web"}))),
    );
    let mut web = web.send().await.unwrap();
    say(&ana, &id, "¿me lees?").await;
    let (_, event) = stream.next().await;
    assert_eq!((&event["message"]["content"], &event["seq"]), (&json!("¿me lees?"), &json!("2")));
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("¿me lees?") {
        seen.extend(
            tokio::time::timeout(crate::listener::PATIENCE, web.chunk()).await.unwrap().unwrap().expect("more"),
        );
    }
    let no_id = ben.post("StreamMessages", "application/connect+json", frame(0, b"{}")).send().await.unwrap();
    let (flags, end) = ConnectStream::new(no_id).next().await;
    assert_eq!(
        (flags, &end["error"]["code"], reason_of(&end["error"]).as_str()),
        (2, &json!("invalid_argument"), "client_id_needed")
    );

    let server = sandbox.take_server();
    let (stopped, end) = tokio::join!(server.stop(), stream.next());
    stopped.unwrap();
    assert_eq!(
        (end.0, &end.1["error"]["code"], reason_of(&end.1["error"]).as_str()),
        (2, &json!("unavailable"), "draining")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_reflection_and_metrics() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    say(&ana, &id, "uno").await;
    let mut health = HealthClient::new(ana.channel.clone());
    for service in ["", "chat.v1.ChatService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1, "{service}");
    }
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(ana.channel.clone());
    let mut answers = reflection.server_reflection_info(tokio_stream::once(list)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(services)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list")
    };
    let names: Vec<String> = services.service.into_iter().map(|service| service.name).collect();
    for service in ["chat.v1.ChatService", "tokens.v1.TokensService", "admin.v1.AdminService"] {
        assert!(names.iter().any(|name| name == service), "{names:?}");
    }
    let http = Http::new(&sandbox, 1);
    let get = async |path: &str| {
        let response = http.client.get(sandbox.url(path)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(get("/health/live").await, (200, "live\n".to_owned()));
    let mut checks =
        r#"{"name":"server","status":"ok"},{"name":"keys","status":"ok"},{"name":"store","status":"ok"}"#.to_owned();
    if !super::store::is_embedded() {
        checks += &format!(r#",{{"name":"{}","status":"ok"}}"#, super::store::name());
    }
    assert_eq!(get("/health/ready").await, (200, format!(r#"{{"ready":true,"checks":[{checks}]}}"#)));
    let (status, metrics) = get("/metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("# TYPE chat_messages_sent_total counter"), "{metrics}");
    assert!(!metrics.contains(&id), "no label for each room");
    assert_eq!(get("/nada").await.0, 404);
    let preflight = http.client.request(reqwest::Method::OPTIONS, sandbox.url("/chat.v1.ChatService/GetRooms"));
    let preflight = preflight
        .header("origin", "https://e.org")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    let allowed = preflight.send().await.unwrap();
    assert_eq!(allowed.headers()["access-control-allow-origin"], "*");
}
