//! The forms of texts, addresses and ciphertexts, and what JSON would pass over in silence.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tonic::Code::InvalidArgument;

use crate::{
    caller::{User, each, group, say},
    sandbox::Sandbox,
    web::{Http, reason_of},
};

/// Refused as malformed, naming the field.
async fn malformed(user: &User, method: &str, request: Value, field: &str) {
    let shown = request.to_string();
    let refusal = user.refused(method, request).await;
    let seen = (refusal.code, refusal.reason.as_str(), refusal.info.field.as_str());
    assert_eq!(seen, (InvalidArgument, "malformed", field), "{method} {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_are_not_seen_or_turn_the_line_are_refused() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    let message = say(&ana, &id, "hola").await;
    for bad in ["\0", "\u{200b}", " ", "\u{202e}gpj.exe", "uno\u{7}", "\u{2066}uno"] {
        malformed(&ana, "CreateRoom", json!({"type": "group", "participants": [2], "name": bad}), "name").await;
        malformed(&ana, "UpdateRoom", json!({"room_id": id, "name": bad}), "name").await;
        malformed(&ana, "UpdateParticipant", json!({"room_id": id, "nickname": bad}), "nickname").await;
        let react = json!({"message_id": message["id"], "reaction": bad});
        malformed(&ana, "ReactToMessage", react, "reaction").await;
        let file = json!([{"url": "https://e.org/a", "name": bad}]);
        malformed(&ana, "SendMessage", json!({"room_id": id, "attachments": file}), "attachments.name").await;
    }
    for bad in ["\0", "\u{202e}abc", "\u{1b}[31m"] {
        let room = json!({"type": "group", "participants": [2], "name": "x", "description": bad});
        malformed(&ana, "CreateRoom", room, "description").await;
        malformed(&ana, "UpdateRoom", json!({"room_id": id, "description": bad}), "description").await;
    }
    ana.ok("UpdateRoom", json!({"room_id": id, "name": "خانه\u{200c}ها 👨‍👩‍👧", "description": "uno\ndos"})).await;
    ana.ok("UpdateParticipant", json!({"room_id": id, "nickname": ""})).await;
    ana.ok("ReactToMessage", json!({"message_id": message["id"], "reaction": "\u{200b}", "remove": true})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_have_an_allowed_scheme() {
    let sandbox = Sandbox::with(&[("limits.url_schemes", "https,mxc")]).await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    let send = |url: &str| json!({"room_id": id, "attachments": [{"url": url}]});
    for bad in [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "http://e.org",
        "/a",
        "e.org",
        "https:e.org",
        "https://e.org/a b",
    ] {
        malformed(&ana, "SendMessage", send(bad), "attachments.url").await;
        malformed(&ana, "UpdateRoom", json!({"room_id": id, "picture": bad}), "picture").await;
        let room = json!({"type": "group", "participants": [2], "name": "x", "picture": bad});
        malformed(&ana, "CreateRoom", room, "picture").await;
    }
    for good in ["https://e.org/a.png", "mxc://e.org/1"] {
        ana.ok("SendMessage", send(good)).await;
        ana.ok("UpdateRoom", json!({"room_id": id, "picture": good})).await;
    }
    ana.ok("UpdateRoom", json!({"room_id": id, "picture": ""})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_is_text_or_ciphertext() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    let own = say(&ana, &id, "hola").await;
    let calls = |content: &str, encrypted: bool| {
        [
            ("SendMessage", json!({"room_id": id, "content": content, "encrypted": encrypted})),
            ("EditMessage", json!({"message_id": own["id"], "content": content, "encrypted": encrypted})),
        ]
    };
    for (method, request) in ["\0", "a\0b"].iter().flat_map(|text| calls(text, false)) {
        malformed(&ana, method, request, "content").await;
    }
    let block = STANDARD.encode([1; 16]);
    for (method, request) in ["hola", "AAAA", "????", &block[1..]].iter().flat_map(|text| calls(text, true)) {
        malformed(&ana, method, request, "content").await;
    }
    for (method, request) in ["  ", "\n", "\u{200b}\u{ad}", "\u{3164}"].iter().flat_map(|text| calls(text, false)) {
        ana.refused(method, request).await.is(InvalidArgument, "missing_field", "content");
    }
    let turned = "\u{2067}שלום\u{2069} and \u{202e}so on";
    for (method, request) in calls(turned, false).into_iter().chain(calls(&block, true)) {
        ana.ok(method, request).await;
    }
    let file = json!({"room_id": id, "content": " ", "attachments": [{"url": "https://e.org/a"}]});
    assert_eq!(ana.ok("SendMessage", file).await["message"]["content"], "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_knows_letters_from_accents() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let texts = ["ο Οδυσσεύς", "ばら", "ม้า", "किताब", "Straße", "می\u{200c}خواهم", "مُحَمَّد"];
    let id = group(&ana, &[2]).await;
    for text in texts {
        say(&ana, &id, text).await;
    }
    let find = async |query: &str| {
        let found = ana.ok("SearchMessages", json!({"room_id": id, "query": query})).await;
        each(&found, "/messages", "content")
    };
    for (query, found) in [
        ("ΟΔΥΣΣΕΥΣ", vec!["ο Οδυσσεύς"]),
        ("ばら", vec!["ばら"]),
        ("はら", vec![]),
        ("มา", vec![]),
        ("कताब", vec![]),
        ("STRASSE", vec!["Straße"]),
        ("میخواهم", vec!["می\u{200c}خواهم"]),
        ("محمد", vec!["مُحَمَّد"]),
    ] {
        assert_eq!(find(query).await, found, "{query}");
    }
    for nothing in ["\u{301}\u{308}", "\u{200b}\u{200d}", "  "] {
        malformed(&ana, "SearchMessages", json!({"room_id": id, "query": nothing}), "query").await;
        malformed(&ana, "GetRooms", json!({"query": nothing}), "query").await;
        malformed(&ana, "GetRoomParticipants", json!({"room_id": id, "query": nothing}), "query").await;
    }
}

/// Posts JSON; the HTTP status, the reason and the field that an error names.
async fn post(http: &Http, name: &str, body: &Value, strict: Option<&str>) -> (u16, String, String, Value) {
    let mut request = http.post(name, "application/json", body.to_string().into());
    if let Some(strict) = strict {
        request = request.header("tertulia-strict", strict);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let answer: Value = response.json().await.unwrap();
    if status == 200 {
        return (status, String::new(), String::new(), answer);
    }
    let field = answer["details"][0]["debug"]["field"].as_str().unwrap_or_default().to_owned();
    (status, reason_of(&answer), field, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_enums_do_something_or_are_refused() {
    let sandbox = Sandbox::with(&[("server.strict_json", "off")]).await;
    let (ana, http) = (sandbox.user(1), Http::new(&sandbox, 1));
    let id = group(&ana, &[2, 3]).await;
    for (change, path, becomes) in [
        (json!({"sendRight": "deny"}), "canSend", json!(false)),
        (json!({"send_right": "SEND_RIGHT_ALLOW"}), "canSend", json!(true)),
        (json!({"role": "admin"}), "role", json!("ADMIN")),
        (json!({"role": "Role_Member"}), "role", json!("MEMBER")),
        (json!({"role": 2}), "role", json!("ADMIN")),
    ] {
        let mut request = json!({"roomId": id, "userId": "2"});
        request.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, _, _, answer) = post(&http, "UpdateParticipant", &request, None).await;
        assert_eq!((status, &answer["participant"][path]), (200, &becomes), "{change}: {answer}");
    }
    for (method, request, field) in [
        ("UpdateParticipant", json!({"roomId": id, "userId": "2", "role": "boss"}), "role"),
        ("UpdateParticipant", json!({"roomId": id, "userId": "2", "sendRight": "DENIED"}), "send_right"),
        ("UpdateParticipant", json!({"roomId": id, "userId": "2", "role": 77}), "role"),
        ("CreateRoom", json!({"type": "grup", "participants": ["2"], "name": "x"}), "type"),
        ("GetRooms", json!({"type": ""}), "type"),
        ("RegisterToken", json!({"token": {"token": "t", "clientId": "c", "platform": "PALM"}}), "token.platform"),
    ] {
        let (status, reason, at, answer) = post(&http, method, &request, None).await;
        assert_eq!((status, reason.as_str(), at.as_str()), (400, "out_of_range", field), "{request}: {answer}");
    }
    let by_get = http.connect_get("GetRooms", &json!({"type": "GROUP"})).await.unwrap();
    assert_eq!(by_get["total"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn misspelt_fields_are_refused_when_asked() {
    let request = json!({"limt": 1});
    let told = |strict: Option<&'static str>, (status, reason, field, answer): (u16, String, String, Value)| {
        let text = answer["message"].as_str().unwrap_or_default().to_owned();
        assert!(status == 200 || text.contains("limt"), "{strict:?}: {answer}");
        (status, reason, field)
    };
    let refused = || (400, "malformed".to_owned(), "limt".to_owned());
    let done = || (200, String::new(), String::new());
    // With the development key it is on unless a request says otherwise.
    for (setting, [silent, on, off]) in [
        ("auto", [refused(), refused(), done()]),
        ("on", [refused(), refused(), done()]),
        ("off", [done(), refused(), done()]),
    ] {
        let sandbox = Sandbox::with(&[("server.strict_json", setting)]).await;
        let http = Http::new(&sandbox, 1);
        for (strict, expected) in [(None, silent), (Some("1"), on), (Some("0"), off)] {
            let seen = told(strict, post(&http, "GetRooms", &request, strict).await);
            assert_eq!(seen, expected, "{setting} {strict:?}");
        }
    }
    let sandbox = Sandbox::start().await;
    let http = Http::new(&sandbox, 1);
    let (status, reason, ..) = post(&http, "GetRooms", &json!({}), Some("yes")).await;
    assert_eq!((status, reason.as_str()), (400, "malformed"));
    let nested = json!({"token": {"token": "t", "clientID": "c", "platform": "IOS"}});
    let (_, reason, field, _) = post(&http, "RegisterToken", &nested, None).await;
    assert_eq!((reason.as_str(), field.as_str()), ("malformed", "token.clientID"));
}
