//! Messages: sending, reading, changing, finding, and how far each member has come.

use serde_json::{Value, json};
use tonic::Code;

use crate::{
    caller::{each, group, number, say, text},
    listener::numbers,
    sandbox::Sandbox,
    store,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_a_message_says_comes_back() {
    let sandbox = Sandbox::start().await;
    let (ana, ben, admin) = (sandbox.user(1), sandbox.user(2), sandbox.admin());
    let id = group(&ana, &[2]).await;
    let first = say(&ben, &id, "¿quién viene?").await;
    let request = json!({
        "room_id": id, "content": "yo 🙋", "client_message_id": "c-1", "reply_to": first["id"],
        "mentions": [2], "metadata": {"k": "v"},
        "forwarded_from": {"room_id": id, "message_id": first["id"], "sender_id": 2},
        "attachments": [{"url": "https://e.org/a.png", "mime": "image/png", "size": 7, "name": "a.png", "width": 3, "height": 4}],
        "external_ref": {"source": "telegram", "chat": "c", "message": "m"},
    });
    let sent = ana.ok("SendMessage", request.clone()).await;
    assert_eq!((&sent["duplicate"], &sent["durability"]), (&json!(false), &json!(store::durability())));
    assert!(number(&sent, "/epoch") >= 1);
    let message = &sent["message"];
    for field in [
        "content",
        "client_message_id",
        "reply_to",
        "mentions",
        "metadata",
        "forwarded_from",
        "attachments",
        "external_ref",
    ] {
        assert_eq!(message[field], request[field], "{field}");
    }
    assert_eq!(numbers(&[message["seq"].clone(), message["n"].clone()]), [3, 2]);
    assert_eq!((&message["type"], &message["status"]), (&json!("user_message"), &json!("SENT")));
    assert_eq!(message["sender_name"], "User 1");

    let again = ana.ok("SendMessage", request.clone()).await;
    assert_eq!(again["duplicate"], true);
    assert_eq!(again["message"]["id"], message["id"]);
    let mut other = request.clone();
    other["content"] = json!("otra cosa");
    ana.refused("SendMessage", other).await.is(Code::AlreadyExists, "client_message_id_reused", "");
    let twin = json!({"room_id": id, "content": "doble", "external_ref": request["external_ref"]});
    ana.refused("SendMessage", twin).await.is(Code::AlreadyExists, "external_ref_taken", "");

    let by_id = ben.ok("GetMessage", json!({"message_id": message["id"]})).await;
    assert_eq!(by_id["message"]["content"], "yo 🙋");
    assert_eq!(by_id["message"]["status"], "MESSAGE_STATUS_UNSPECIFIED");
    let by_twin = ben.ok("GetMessage", json!({"external_ref": request["external_ref"]})).await;
    assert_eq!(by_twin["message"]["id"], message["id"]);

    let system = json!({"room_id": id, "content": "importado", "system": true, "original_at": "2001-02-03T04:05:06Z"});
    ana.refused("SendMessage", system.clone()).await.is(Code::PermissionDenied, "admin_only", "");
    let told = admin.ok("SendMessage", system).await;
    assert_eq!(told["message"]["type"], "system_message");
    assert_eq!(told["message"]["original_at"], "2001-02-03T04:05:06Z");
    let bridge = sandbox.caller(Some(&sandbox.mint(2, true, std::time::Duration::from_secs(60), 0)));
    let mut named =
        json!({"room_id": id, "content": "hola", "original_sender_name": "eva|away", "client_message_id": "e"});
    let told = bridge.ok("SendMessage", named.clone()).await;
    assert_eq!(told["message"]["sender_name"], "eva|away");
    named["original_sender_name"] = json!("a\nb");
    bridge.refused("SendMessage", named.clone()).await.is(Code::InvalidArgument, "malformed", "original_sender_name");
    named["original_sender_name"] = json!("x".repeat(256));
    let refused = bridge.refused("SendMessage", named).await;
    refused.is(Code::InvalidArgument, "too_long", "original_sender_name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_edited_reacted_to_pinned_and_deleted() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let message = say(&ben, &id, "borrador").await;
    let by_id = json!({"message_id": message["id"]});
    let edit = json!({"message_id": message["id"], "content": "limpio"});
    ana.refused("EditMessage", edit.clone()).await.is(Code::PermissionDenied, "not_your_message", "");
    let edited = ben.ok("EditMessage", edit).await;
    assert_eq!(edited["message"]["content"], "limpio");
    assert_ne!(edited["message"]["edited_at"], Value::Null);

    let react =
        |reaction: &str, remove: bool| json!({"message_id": message["id"], "reaction": reaction, "remove": remove});
    ana.ok("ReactToMessage", react("👍", false)).await;
    ana.ok("ReactToMessage", react("👍", false)).await;
    let two = ben.ok("ReactToMessage", react("👍", false)).await;
    assert_eq!(two["reactions"], json!([{"reaction": "👍", "count": 2}]));
    let one = ben.ok("ReactToMessage", react("👍", true)).await;
    assert_eq!(one["reactions"], json!([{"reaction": "👍", "count": 1}]));

    ben.refused("PinMessage", by_id.clone()).await.is(Code::PermissionDenied, "role_too_low", "");
    ana.ok("PinMessage", by_id.clone()).await;
    let newer = say(&ana, &id, "dos").await;
    ana.ok("PinMessage", json!({"message_id": newer["id"]})).await;
    let pinned = ben.ok("GetPinnedMessages", json!({"room_id": id})).await;
    assert_eq!(each(&pinned, "/messages", "content"), ["dos", "limpio"]);
    ana.ok("UnpinMessage", json!({"message_id": newer["id"]})).await;
    let pinned = ben.ok("GetPinnedMessages", json!({"room_id": id})).await;
    assert_eq!(each(&pinned, "/messages", "id"), [message["id"].clone()]);

    let for_me = json!({"message_id": message["id"], "for_me": true});
    ana.ok("DeleteMessage", for_me).await;
    ana.refused("GetMessage", by_id.clone()).await.is(Code::NotFound, "message_not_found", "");
    ben.ok("GetMessage", by_id.clone()).await;
    ana.ok("DeleteMessage", by_id.clone()).await;
    let erased = ben.ok("GetMessage", by_id).await;
    assert_eq!((&erased["message"]["deleted"], &erased["message"]["content"]), (&json!(true), &json!("")));
    assert_eq!(ben.ok("GetPinnedMessages", json!({"room_id": id})).await["messages"], json!([]));
    ben.refused("ReactToMessage", react("x", false)).await.is(Code::FailedPrecondition, "message_deleted", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_paged_in_all_directions() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let (id, side) = (group(&ana, &[2]).await, group(&ben, &[1]).await);
    let mut sent = Vec::new();
    for n in 1..=9 {
        let room = if n == 5 { &side } else { &id };
        sent.push(say(&ana, room, &n.to_string()).await);
    }
    let page = async |request: Value| {
        let answer = ben.ok("GetMessageHistory", request).await;
        let contents: Vec<String> =
            each(&answer, "/messages", "content").iter().map(|content| content.as_str().unwrap().to_owned()).collect();
        let more = [&answer["has_more_before"], &answer["has_more_after"]].map(|more| more == true);
        (contents.join(""), more)
    };
    let of = |more: Value| {
        let mut request = json!({"room_id": id, "limit": 3});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let expect = |text: &str, before: bool, after: bool| (text.to_owned(), [before, after]);
    assert_eq!(page(of(json!({}))).await, expect("789", true, false));
    assert_eq!(page(of(json!({"before_message_id": sent[3]["id"]}))).await, expect("123", false, true));
    assert_eq!(page(of(json!({"after_message_id": sent[3]["id"]}))).await, expect("678", true, true));
    assert_eq!(page(of(json!({"around_message_id": sent[3]["id"]}))).await, expect("346", true, true));
    assert_eq!(page(of(json!({"before_seq": 4}))).await, expect("12", false, true));
    assert_eq!(page(of(json!({"after_seq": 0}))).await, expect("123", false, true));
    assert_eq!(page(json!({"limit": 4})).await, expect("6789", true, false));
    let merged = json!({"limit": 4, "before_message_id": sent[6]["id"]});
    assert_eq!(page(merged).await.0, "3456");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_says_where_to_go_on() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let mut sent = Vec::new();
    for n in 1..=7 {
        let message = say(&ana, &id, &n.to_string()).await;
        ana.ok("PinMessage", json!({"message_id": message["id"]})).await;
        sent.push(message);
    }
    ben.ok("DeleteMessage", json!({"message_id": sent[3]["id"], "for_me": true})).await;
    // (what is asked, the field of the answer, the field of the next request, what is met)
    let walks = [
        (json!({"room_id": id, "limit": 2}), "next_before_seq", "before_seq", "673512"),
        (json!({"room_id": id, "limit": 2, "after_seq": 0}), "next_after_seq", "after_seq", "123567"),
        (json!({"limit": 2}), "next_before_message_id", "before_message_id", "673512"),
    ];
    for (mut request, from, to, expected) in walks {
        let (mut met, mut pages) = (String::new(), 0);
        loop {
            let page = ben.ok("GetMessageHistory", request.clone()).await;
            each(&page, "/messages", "content").iter().for_each(|content| met += content.as_str().unwrap());
            pages += 1;
            if numbers(&[page[from].clone()]) == [0] {
                break;
            }
            request[to] = page[from].clone();
        }
        assert_eq!((met.as_str(), pages), (expected, 3), "{request}");
    }
    let (mut request, mut met) = (json!({"room_id": id, "limit": 4}), Vec::new());
    loop {
        let page = ben.ok("GetPinnedMessages", request.clone()).await;
        met.extend(each(&page, "/messages", "content"));
        if page["next_cursor"] == "" {
            break;
        }
        request["cursor"] = page["next_cursor"].clone();
    }
    assert_eq!(met, ["7", "6", "5", "3", "2", "1"]);
}

/// Default pages of the largest messages are below what gRPC clients take unless told otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn default_pages_fit_a_grpc_client() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let large = "palabra ".repeat(8_192);
    for _ in 0..30 {
        let message = say(&ana, &id, &large).await;
        ana.ok("PinMessage", json!({"message_id": message["id"]})).await;
    }
    let calls = [
        ("GetMessageHistory", json!({"room_id": id})),
        ("GetMessageHistory", json!({"room_id": id, "after_seq": 0, "limit": 200})),
        ("GetMessageHistory", json!({})),
        ("SearchMessages", json!({"query": "palabra", "limit": 100})),
        ("GetPinnedMessages", json!({"room_id": id})),
    ];
    for (method, request) in calls {
        let page = ben.ok(method, request).await;
        let bytes: usize = each(&page, "/messages", "content").iter().map(|text| text.as_str().unwrap().len()).sum();
        assert!(bytes > 900_000 && bytes <= 1 << 20, "{method}: {bytes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_is_found_without_accents() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let (id, side) = (group(&ana, &[2]).await, group(&ana, &[3]).await);
    for content in ["Canción de otoño", "nada", "una CANCION más"] {
        say(&ana, &id, content).await;
    }
    say(&ana, &side, "cancion ajena").await;
    let found = ben.ok("SearchMessages", json!({"room_id": id, "query": "cancion", "limit": 1})).await;
    assert_eq!(each(&found, "/messages", "content"), ["una CANCION más"]);
    let next = json!({"room_id": id, "query": "cancion", "cursor": found["next_cursor"]});
    let found = ben.ok("SearchMessages", next).await;
    assert_eq!(each(&found, "/messages", "content"), ["Canción de otoño"]);
    assert_eq!(found["next_cursor"], "");
    let everywhere = json!({"query": "canción"});
    assert_eq!(each(&ana.ok("SearchMessages", everywhere.clone()).await, "/messages", "id").len(), 3);
    assert_eq!(each(&ben.ok("SearchMessages", everywhere).await, "/messages", "id").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_make_unread_status_and_receipts() {
    let sandbox = Sandbox::start().await;
    let (ana, ben, cleo) = (sandbox.user(1), sandbox.user(2), sandbox.user(3));
    let id = group(&ana, &[2, 3]).await;
    let mut sent = Vec::new();
    for n in 0..4 {
        sent.push(say(&ana, &id, &n.to_string()).await);
    }
    let unread = async |user: &crate::caller::User| {
        let explained = user.ok("ExplainUnread", json!({"room_id": id})).await;
        let room = user.ok("GetRoom", json!({"room_id": id})).await;
        assert_eq!(explained["unread_count"], room["room"]["unread_count"]);
        number(&explained, "/unread_count")
    };
    assert_eq!((unread(&ana).await, unread(&ben).await), (0, 4));
    let read = json!({"room_id": id, "up_to_message_id": sent[1]["id"]});
    let moved = ben.ok("MarkMessagesAsRead", read).await;
    assert_eq!((&moved["read_seq"], number(&moved, "/unread_count")), (&sent[1]["seq"], 2));
    let back = ben.ok("MarkMessagesAsRead", json!({"room_id": id, "up_to_seq": 1})).await;
    assert_eq!(back["read_seq"], sent[1]["seq"], "never back");
    let delivered = cleo.ok("MarkMessagesAsDelivered", json!({"room_id": id, "up_to_seq": sent[3]["seq"]})).await;
    assert_eq!(delivered["delivered_seq"], sent[3]["seq"]);

    let receipts = ana.ok("GetMessageReceipts", json!({"message_id": sent[0]["id"]})).await;
    assert_eq!(receipts["receipts"], json!([{"user_id": 2, "status": "READ"}, {"user_id": 3, "status": "DELIVERED"}]));
    assert_eq!((number(&receipts, "/read_count"), number(&receipts, "/delivered_count")), (1, 2));
    let page = ana.ok("GetMessageReceipts", json!({"message_id": sent[0]["id"], "limit": 1})).await;
    assert_eq!((each(&page, "/receipts", "user_id"), &page["has_more"]), (vec![json!(2)], &json!(true)));
    let status =
        async |at: usize| text(&ana.ok("GetMessage", json!({"message_id": sent[at]["id"]})).await, "/message/status");
    assert_eq!((status(0).await.as_str(), status(3).await.as_str()), ("DELIVERED", "SENT"));

    let all = ben.ok("MarkMessagesAsRead", json!({"room_id": id})).await;
    assert_eq!(number(&all, "/unread_count"), 0);
    cleo.ok("MarkMessagesAsRead", json!({"room_id": id})).await;
    assert_eq!(status(3).await, "READ");
    say(&ben, &id, "respuesta").await;
    assert_eq!((unread(&ana).await, unread(&ben).await, unread(&cleo).await), (1, 0, 1));
    ben.refused("ExplainUnread", json!({"room_id": id, "user_id": 1})).await.is(
        Code::PermissionDenied,
        "admin_only",
        "",
    );
    let explained = sandbox.admin().ok("ExplainUnread", json!({"room_id": id, "user_id": 1})).await;
    assert_eq!(number(&explained, "/unread_count"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_senders_at_once_leave_one_order() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &(2..=20).collect::<Vec<_>>()).await;
    let mut senders = tokio::task::JoinSet::new();
    for user in 1..=20 {
        let (user, id) = (sandbox.user(user), id.clone());
        senders.spawn(async move {
            let mut acks = Vec::new();
            for n in 0..10 {
                acks.push(say(&user, &id, &format!("{}-{n}", user.id)).await);
            }
            acks
        });
    }
    let mut acks: Vec<Value> = senders.join_all().await.into_iter().flatten().collect();
    acks.sort_by_key(|ack| ack["seq"].as_i64());
    let history = ana.ok("GetMessageHistory", json!({"room_id": id, "limit": 200})).await;
    let seen: Vec<(Value, Value)> =
        each(&history, "/messages", "content").into_iter().zip(each(&history, "/messages", "seq")).collect();
    let acked: Vec<(Value, Value)> = acks.iter().map(|ack| (ack["content"].clone(), ack["seq"].clone())).collect();
    assert_eq!(seen, acked);
    let ordinals = numbers(&each(&history, "/messages", "n"));
    assert_eq!(ordinals, (1..=200).collect::<Vec<_>>());
}
