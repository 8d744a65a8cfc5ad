//! What a caller may get wrong, and exactly what they are told.

use serde_json::{Value, json};
use tertulia_proto::chat::v1::{self as pb, event::Event as Happened};
use tonic::Code::{self, AlreadyExists, InvalidArgument, NotFound, PermissionDenied};

use crate::{
    caller::{group, say, text},
    listener::stream_request,
    sandbox::Sandbox,
};

/// (method, request, code, reason, field)
type Row = (&'static str, Value, Code, &'static str, &'static str);

const UNKNOWN: &str = "7f1c1d2e-0000-4000-8000-00000000beef";

async fn expect(user: &crate::caller::User, rows: Vec<Row>) {
    for (method, request, code, reason, field) in rows {
        let shown: String = request.to_string().chars().take(200).collect();
        let refusal = user.refused(method, request).await;
        let seen = (refusal.code, refusal.reason.as_str(), refusal.info.field.as_str());
        assert_eq!(seen, (code, reason, field), "{method} {shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_as_they_must_not_be_made() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let invalid = |request: Value, reason, field| ("CreateRoom", request, InvalidArgument, reason, field);
    let many: Vec<i64> = (2..1_100).collect();
    expect(
        &ana,
        vec![
            invalid(json!({}), "missing_field", "type"),
            invalid(json!({"type": 9, "participants": [2], "name": "x"}), "out_of_range", "type"),
            invalid(json!({"type": "group", "name": "x"}), "missing_field", "participants"),
            invalid(json!({"type": "group", "participants": [1], "name": "x"}), "missing_field", "participants"),
            invalid(json!({"type": "group", "participants": [0], "name": "x"}), "out_of_range", "participants"),
            invalid(json!({"type": "group", "participants": many, "name": "x"}), "too_many", "participants"),
            invalid(json!({"type": "group", "participants": [2]}), "missing_field", "name"),
            invalid(json!({"type": "group", "participants": [2], "name": "x".repeat(256)}), "too_long", "name"),
            invalid(
                json!({"type": "group", "participants": [2], "name": "x", "description": "x".repeat(4_097)}),
                "too_long",
                "description",
            ),
            invalid(
                json!({"type": "group", "participants": [2], "name": "x", "picture": "x".repeat(2_049)}),
                "too_long",
                "picture",
            ),
            invalid(
                json!({"type": "group", "participants": [2], "name": "x", "join_all_users": true}),
                "not_allowed_here",
                "join_all_users",
            ),
            invalid(json!({"type": "p2p", "participants": [2, 3]}), "too_many", "participants"),
            invalid(json!({"type": "p2p", "participants": [2], "name": "x"}), "not_allowed_here", "name"),
            ("BlockUser", json!({}), InvalidArgument, "missing_field", "user_id"),
            ("BlockUser", json!({"user_id": 1}), InvalidArgument, "not_allowed_here", "user_id"),
            ("UnblockUser", json!({"user_id": -1}), InvalidArgument, "out_of_range", "user_id"),
            ("GetRooms", json!({"limit": -1}), InvalidArgument, "out_of_range", "limit"),
            ("GetRooms", json!({"limit": 201}), InvalidArgument, "out_of_range", "limit"),
            ("GetRooms", json!({"cursor": "%%%"}), InvalidArgument, "cursor_malformed", ""),
            ("GetRooms", json!({"cursor": "AAAA"}), InvalidArgument, "cursor_malformed", ""),
            ("GetPresence", json!({}), InvalidArgument, "missing_field", "user_ids"),
            ("GetPresence", json!({"user_ids": many}), InvalidArgument, "too_many", "user_ids"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_is_not_ones_own_is_not_there() {
    let sandbox = Sandbox::start().await;
    let (ana, eva) = (sandbox.user(1), sandbox.user(66));
    let id = group(&ana, &[2]).await;
    let message = say(&ana, &id, "secreto").await;
    let of_rooms = [
        ("GetRoom", json!({})),
        ("UpdateRoom", json!({"name": "x"})),
        ("DeleteRoom", json!({})),
        ("GetRoomParticipants", json!({})),
        ("AddParticipants", json!({"user_ids": [66]})),
        ("RemoveParticipants", json!({"user_ids": [1]})),
        ("UpdateParticipant", json!({"nickname": "x"})),
        ("LeaveRoom", json!({})),
        ("SetRoomPreferences", json!({"pinned": true})),
        ("GetJoinProgress", json!({})),
        ("SendMessage", json!({"content": "x"})),
        ("GetMessageHistory", json!({})),
        ("MarkMessagesAsRead", json!({})),
        ("MarkMessagesAsDelivered", json!({"up_to_seq": 1})),
        ("SearchMessages", json!({"query": "secreto"})),
        ("GetPinnedMessages", json!({})),
        ("SetTyping", json!({"typing": true})),
        ("ExplainUnread", json!({})),
        ("SetSyncState", json!({"source": "s", "position": "p"})),
        ("GetSyncState", json!({"source": "s"})),
    ];
    let with = |request: &Value, room: &str| {
        let mut request = request.clone();
        request["room_id"] = json!(room);
        request
    };
    for (method, request) in &of_rooms {
        let mut rows = vec![
            (*method, with(request, &id), NotFound, "room_not_found", ""),
            (*method, with(request, UNKNOWN), NotFound, "room_not_found", ""),
            (*method, with(request, "7"), InvalidArgument, "malformed", "room_id"),
            (*method, with(request, &"x".repeat(100_000)), InvalidArgument, "malformed", "room_id"),
        ];
        // For all rooms when there is none.
        if !["GetMessageHistory", "SearchMessages"].contains(method) {
            rows.push((*method, request.clone(), InvalidArgument, "missing_field", "room_id"));
        }
        expect(&eva, rows).await;
    }
    let of_messages = [
        ("GetMessage", json!({})),
        ("EditMessage", json!({"content": "x"})),
        ("DeleteMessage", json!({})),
        ("DeleteMessage", json!({"for_me": true})),
        ("ReactToMessage", json!({"reaction": "x"})),
        ("PinMessage", json!({})),
        ("UnpinMessage", json!({})),
        ("GetMessageReceipts", json!({})),
    ];
    for (method, request) in &of_messages {
        let with = |id: &Value| {
            let mut request = request.clone();
            request["message_id"] = id.clone();
            request
        };
        expect(
            &eva,
            vec![
                (*method, with(&message["id"]), NotFound, "message_not_found", ""),
                (*method, with(&json!(i64::MAX)), NotFound, "message_not_found", ""),
                (*method, with(&json!(7)), NotFound, "message_not_found", ""),
                (*method, with(&json!(-7)), InvalidArgument, "out_of_range", "message_id"),
                (*method, request.clone(), InvalidArgument, "missing_field", "message_id"),
            ],
        )
        .await;
    }
    let before = ana.ok("GetMessageHistory", json!({"room_id": id})).await;
    assert_eq!(before["messages"].as_array().unwrap().len(), 1, "eva changed nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_as_they_must_not_be_sent() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let (id, side) = (group(&ana, &[2]).await, group(&ana, &[3]).await);
    let pair = text(&ana.ok("CreateRoom", json!({"type": "p2p", "participants": [2]})).await, "/room/id");
    let foreign = say(&ana, &side, "ajeno").await;
    let file = |url: &str, mime: &str, size: i64| json!({"url": url, "mime": mime, "size": size});
    let send = |more: Value| {
        let mut request = json!({"room_id": id, "content": "x"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let invalid = |more: Value, reason, field| ("SendMessage", send(more), InvalidArgument, reason, field);
    let entries = |count: usize, key: usize, value: usize| {
        let entry = |n| (format!("{n:0key$}"), json!("v".repeat(value)));
        json!({"metadata": (0..count).map(entry).collect::<serde_json::Map<_, _>>()})
    };
    expect(
        &ben,
        vec![
            invalid(json!({"content": ""}), "missing_field", "content"),
            invalid(json!({"content": " \u{200b}"}), "missing_field", "content"),
            invalid(json!({"content": "a\0"}), "malformed", "content"),
            invalid(json!({"content": "no base64", "encrypted": true}), "malformed", "content"),
            invalid(json!({"content": "x".repeat(65_537)}), "too_long", "content"),
            invalid(json!({"client_message_id": "x".repeat(129)}), "too_long", "client_message_id"),
            invalid(json!({"reply_to": -1}), "out_of_range", "reply_to"),
            ("SendMessage", send(json!({"reply_to": foreign["id"]})), NotFound, "message_not_found", ""),
            ("SendMessage", send(json!({"reply_to": 5})), NotFound, "message_not_found", ""),
            invalid(json!({"mentions": vec![1; 101]}), "too_many", "mentions"),
            ("SendMessage", send(json!({"mentions": [3]})), NotFound, "member_not_found", ""),
            (
                "SendMessage",
                json!({"room_id": pair, "content": "x", "mentions": [1]}),
                InvalidArgument,
                "not_allowed_here",
                "mentions",
            ),
            invalid(json!({"attachments": vec![file("https://u", "m", 1); 21]}), "too_many", "attachments"),
            invalid(json!({"attachments": [file("", "m", 1)]}), "missing_field", "attachments.url"),
            invalid(json!({"attachments": [file("javascript:1", "m", 1)]}), "malformed", "attachments.url"),
            invalid(json!({"attachments": [file("https://u", &"m".repeat(256), 1)]}), "too_long", "attachments.mime"),
            invalid(json!({"attachments": [file("https://u", "m", -1)]}), "out_of_range", "attachments"),
            invalid(entries(33, 1, 1), "too_many", "metadata"),
            invalid(entries(1, 65, 1), "too_long", "metadata"),
            invalid(entries(1, 1, 1_025), "too_long", "metadata"),
            invalid(json!({"external_ref": {"chat": "c", "message": "m"}}), "missing_field", "external_ref.source"),
            invalid(
                json!({"external_ref": {"source": "s".repeat(65), "chat": "c", "message": "m"}}),
                "too_long",
                "external_ref.source",
            ),
            invalid(json!({"forwarded_from": {"room_id": "?"}}), "malformed", "forwarded_from"),
            (
                "SendMessage",
                send(json!({"forwarded_from": {"room_id": side, "message_id": foreign["id"], "sender_id": 1}})),
                NotFound,
                "message_not_found",
                "",
            ),
            ("SendMessage", send(json!({"system": true})), PermissionDenied, "admin_only", ""),
            ("SendMessage", send(json!({"original_at": "2001-01-01T00:00:00Z"})), PermissionDenied, "admin_only", ""),
            ("SendMessage", send(json!({"original_sender_name": "Eva"})), PermissionDenied, "admin_only", ""),
        ],
    )
    .await;
    let own = say(&ben, &id, "mío").await;
    let taken = json!({"room_id": id, "content": "a", "client_message_id": "c"});
    ben.ok("SendMessage", taken).await;
    expect(
        &ben,
        vec![
            (
                "SendMessage",
                json!({"room_id": id, "content": "b", "client_message_id": "c"}),
                AlreadyExists,
                "client_message_id_reused",
                "",
            ),
            (
                "SendMessage",
                json!({"room_id": pair, "content": "a", "client_message_id": "c"}),
                AlreadyExists,
                "client_message_id_reused",
                "",
            ),
            (
                "EditMessage",
                json!({"message_id": own["id"], "content": ""}),
                InvalidArgument,
                "missing_field",
                "content",
            ),
            (
                "EditMessage",
                json!({"message_id": own["id"], "content": "x".repeat(65_537)}),
                InvalidArgument,
                "too_long",
                "content",
            ),
            ("ReactToMessage", json!({"message_id": own["id"]}), InvalidArgument, "missing_field", "reaction"),
            (
                "ReactToMessage",
                json!({"message_id": own["id"], "reaction": "x".repeat(65)}),
                InvalidArgument,
                "too_long",
                "reaction",
            ),
            ("GetMessage", json!({"external_ref": {}}), NotFound, "message_not_found", ""),
            (
                "GetMessage",
                json!({"external_ref": {"source": "s", "chat": "c", "message": "m".repeat(129)}}),
                NotFound,
                "message_not_found",
                "",
            ),
            (
                "GetMessage",
                json!({"external_ref": {"source": "s", "chat": "c", "message": "m"}}),
                NotFound,
                "message_not_found",
                "",
            ),
            (
                "GetMessage",
                json!({"message_id": own["id"], "external_ref": {"source": "s", "chat": "c", "message": "m"}}),
                InvalidArgument,
                "not_allowed_here",
                "external_ref",
            ),
            ("GetMessageHistory", json!({"room_id": id, "limit": 201}), InvalidArgument, "out_of_range", "limit"),
            ("GetPinnedMessages", json!({"room_id": id, "limit": 101}), InvalidArgument, "out_of_range", "limit"),
            ("GetPinnedMessages", json!({"room_id": id, "cursor": "AA"}), InvalidArgument, "cursor_malformed", ""),
            (
                "GetMessageHistory",
                json!({"room_id": id, "before_message_id": foreign["id"]}),
                NotFound,
                "message_not_found",
                "",
            ),
            (
                "GetMessageHistory",
                json!({"room_id": id, "before_seq": -1}),
                InvalidArgument,
                "out_of_range",
                "before_seq",
            ),
            (
                "GetMessageHistory",
                json!({"room_id": id, "before_seq": 1, "after_seq": 1}),
                InvalidArgument,
                "not_allowed_here",
                "before_message_id",
            ),
            ("GetMessageHistory", json!({"after_seq": 1}), InvalidArgument, "missing_field", "room_id"),
            (
                "MarkMessagesAsRead",
                json!({"room_id": id, "up_to_message_id": foreign["id"]}),
                NotFound,
                "message_not_found",
                "",
            ),
            (
                "MarkMessagesAsRead",
                json!({"room_id": id, "up_to_seq": -1}),
                InvalidArgument,
                "out_of_range",
                "up_to_seq",
            ),
            ("SearchMessages", json!({"query": "x"}), InvalidArgument, "out_of_range", "query"),
            ("SearchMessages", json!({"query": "x".repeat(256)}), InvalidArgument, "too_long", "query"),
            ("SearchMessages", json!({"query": "xx", "cursor": "AAAA"}), InvalidArgument, "cursor_malformed", ""),
            ("RegisterToken", json!({}), InvalidArgument, "missing_field", "token"),
            (
                "RegisterToken",
                json!({"token": {"token": "t", "client_id": "c"}}),
                InvalidArgument,
                "missing_field",
                "token.platform",
            ),
            (
                "RegisterToken",
                json!({"token": {"platform": "IOS", "client_id": "c"}}),
                InvalidArgument,
                "missing_field",
                "token.token",
            ),
            (
                "RegisterToken",
                json!({"token": {"token": "t", "platform": "IOS", "client_id": "c".repeat(129)}}),
                InvalidArgument,
                "too_long",
                "token.client_id",
            ),
            ("RemoveToken", json!({}), InvalidArgument, "missing_field", "client_id"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cursors_of_the_past_and_of_the_future() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    for n in 0..5 {
        say(&ana, &id, &n.to_string()).await;
    }
    let malformed = [
        (stream_request("c", &[("nada", 1)]), "malformed", "cursors"),
        (stream_request("c", &[(&id, -1)]), "out_of_range", "cursors"),
        (stream_request(&"c".repeat(129), &[]), "too_long", "client_id"),
        (pb::StreamMessagesRequest { room_id: "nada".to_owned(), ..stream_request("c", &[]) }, "malformed", "room_id"),
        (pb::StreamMessagesRequest { presence_of: vec![0], ..stream_request("c", &[]) }, "out_of_range", "presence_of"),
        (
            pb::StreamMessagesRequest { presence_of: (1..1_002).collect(), ..stream_request("c", &[]) },
            "too_many",
            "presence_of",
        ),
    ];
    for (request, reason, field) in malformed {
        ben.try_listen(request).await.err().unwrap().is(InvalidArgument, reason, field);
    }
    let unknown = pb::StreamMessagesRequest { room_id: UNKNOWN.to_owned(), ..stream_request("c", &[]) };
    ben.try_listen(unknown).await.err().unwrap().is(NotFound, "room_not_found", "");

    let mut past = ben.listen("past", &[(&id, 0)]).await;
    for seq in 1..=6 {
        assert_eq!(past.durable().await.seq, seq);
    }
    for future in [7, 1_000_000, i64::MAX] {
        let mut stream = ben.listen("future", &[(&id, future)]).await;
        let resync = stream.seek(|event| match &event.event {
            Some(Happened::ResyncRequired(resync)) => Some(*resync),
            _ => None,
        });
        let resync = resync.await;
        assert_eq!(resync.resumed_after_seq, 6, "a cursor beyond the end is said to be wrong: {resync:?}");
    }
    let mut stream = ben.listen("future", &[(&id, 99)]).await;
    say(&ana, &id, "al fin").await;
    assert_eq!(stream.contents_until("al fin").await, ["al fin"]);
    let far = ben.ok("GetMessageHistory", json!({"room_id": id, "after_seq": i64::MAX})).await;
    assert_eq!(far["messages"], json!([]));
    let far = ben.ok("GetMessageHistory", json!({"room_id": id, "before_seq": i64::MAX, "limit": 2})).await;
    assert_eq!(crate::caller::each(&far, "/messages", "seq"), [6, 7]);
    let read = json!({"room_id": id, "up_to_seq": i64::MAX});
    let beyond = ben.refused("MarkMessagesAsRead", read).await;
    beyond.is(InvalidArgument, "out_of_range", "up_to_seq");
}
