//! Who may speak, whom anyone may add, and what strangers are told: nothing.

use serde_json::{Value, json};
use tertulia_proto::chat::v1::{
    self as pb, event::Event as Happened, session_reply::Result as Answer, session_request::Command,
};
use tonic::Code::{AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted};

use crate::{
    caller::{User, each, group, number, say, text},
    listener::{send, stream_request},
    sandbox::Sandbox,
};

async fn pair(one: &User, other: i64) -> String {
    text(&one.ok("CreateRoom", json!({"type": "p2p", "participants": [other]})).await, "/room/id")
}

/// Every way of speaking, with a room, an own and another one's message.
fn ways(room: &str, own: &Value, other: &Value) -> Vec<(&'static str, Value)> {
    vec![
        ("SendMessage", json!({"room_id": room, "content": "oye"})),
        ("EditMessage", json!({"message_id": own["id"], "content": "oye"})),
        ("ReactToMessage", json!({"message_id": other["id"], "reaction": "oye"})),
        ("UpdateParticipant", json!({"room_id": room, "nickname": "oye"})),
        ("SetTyping", json!({"room_id": room, "typing": true})),
    ]
}

async fn silent(user: &User, reason: &str, ways: Vec<(&'static str, Value)>) {
    for (method, request) in ways {
        let refusal = user.refused(method, request).await;
        assert_eq!((refusal.code, refusal.reason.as_str()), (PermissionDenied, reason), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_silences_every_way_and_is_not_told() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = pair(&ana, 2).await;
    let (own, other) = (say(&ben, &id, "hola").await, say(&ana, &id, "adiós").await);
    ben.ok("ReactToMessage", json!({"message_id": other["id"], "reaction": "x"})).await;
    let before = number(&ana.ok("GetRoom", json!({"room_id": id})).await, "/room/last_seq");
    let mut stream = ana.listen("phone", &[]).await;
    ana.ok("BlockUser", json!({"user_id": 2})).await;
    let mut all = ways(&id, &own, &other);
    all.extend([
        ("ReactToMessage", json!({"message_id": other["id"], "reaction": "👍"})),
        ("PinMessage", json!({"message_id": other["id"]})),
        ("UnpinMessage", json!({"message_id": other["id"]})),
    ]);
    silent(&ben, "partner_blocked", all).await;
    let mut session = ben.session(pb::SessionOpen { client_id: "s".to_owned(), ..Default::default() }).await.unwrap();
    let edit = pb::EditMessageRequest {
        message_id: own["id"].as_i64().unwrap(),
        content: "oye".to_owned(),
        ..Default::default()
    };
    for command in [Command::EditMessage(edit), send(&id, "oye")] {
        let Answer::Error(error) = session.ask(command).await else { panic!("spoken") };
        assert_eq!(error.info.unwrap().reason, "partner_blocked");
    }
    let read = ben.ok("MarkMessagesAsRead", json!({"room_id": id})).await;
    assert_eq!((number(&read, "/read_seq"), number(&read, "/unread_count")), (0, 0), "one's own badge alone");
    ben.ok("MarkMessagesAsDelivered", json!({"room_id": id, "up_to_seq": before})).await;
    let mine = ana.ok("GetMessage", json!({"message_id": other["id"]})).await;
    assert_eq!(mine["message"]["status"], "SENT");
    let again = ben.ok("CreateRoom", json!({"type": "p2p", "participants": [1]})).await;
    assert_eq!((&again["created"], text(&again, "/room/id")), (&json!(false), id.clone()));
    // What is one's own can be taken back.
    ben.ok("ReactToMessage", json!({"message_id": other["id"], "reaction": "x", "remove": true})).await;
    ben.ok("DeleteMessage", json!({"message_id": own["id"]})).await;
    let mut heard = Vec::new();
    loop {
        let seen = stream.seek(|event| (event.room_id == id).then(|| event.clone())).await;
        heard.push(seen.seq);
        if let Some(Happened::Deleted(_)) = seen.event {
            break;
        }
    }
    assert_eq!(heard, [before + 1, before + 2], "two things taken back, and nothing else");
    ana.ok("UnblockUser", json!({"user_id": 2})).await;
    let read = ben.ok("MarkMessagesAsRead", json!({"room_id": id})).await;
    assert_eq!(number(&read, "/read_seq"), before + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_blocked_is_not_reached_by_a_new_chat() {
    let sandbox = Sandbox::start().await;
    let (ana, ben, eva) = (sandbox.user(1), sandbox.user(2), sandbox.user(3));
    for user in [&ana, &ben, &eva] {
        user.ok("GetRooms", json!({})).await;
    }
    ana.ok("BlockUser", json!({"user_id": 2})).await;
    eva.ok("SetPrivacy", json!({"who_may_add": "NOBODY"})).await;
    let with = |other: i64| json!({"type": "p2p", "participants": [other]});
    let by_block = ben.refused("CreateRoom", with(1)).await;
    by_block.is(PermissionDenied, "not_addable", "");
    assert_eq!(ben.refused("CreateRoom", with(3)).await, by_block, "a block and a setting look alike");
    ana.refused("CreateRoom", with(2)).await.is(PermissionDenied, "partner_blocked", "");
    let made = ben.ok("CreateRoom", json!({"type": "group", "participants": [1, 3, 4], "name": "g"})).await;
    assert_eq!(made["not_added"], json!([1, 3]));
    assert_eq!(each(&made, "/room/participants", "user_id"), [2, 4]);
    let id = text(&made, "/room/id");
    let added = ben.ok("AddParticipants", json!({"room_id": id, "user_ids": [1, 4, 5]})).await;
    assert_eq!((&added["added"], &added["not_added"]), (&json!([5]), &json!([1])));
    let added = ben.ok("AddParticipants", json!({"room_id": id, "user_ids": [3]})).await;
    assert_eq!((&added["added"], &added["not_added"]), (&json!([]), &json!([3])));
    assert_eq!(number(&ana.ok("GetRooms", json!({})).await, "/total"), 0);
    let added = sandbox.admin().ok("AddParticipants", json!({"room_id": id, "user_ids": [1, 3]})).await;
    assert_eq!(added["added"], json!([1, 3]), "the admin role may");
    // Whoever shares a room may be let in by those who ask for it.
    assert_eq!(eva.ok("GetPrivacy", json!({})).await["who_may_add"], "NOBODY");
    eva.ok("SetPrivacy", json!({"who_may_add": "SHARING_A_ROOM"})).await;
    let ask = json!({"type": "group", "participants": [3], "name": "h"});
    assert_eq!(ben.ok("CreateRoom", ask.clone()).await["not_added"], json!([]));
    assert_eq!(sandbox.user(7).ok("CreateRoom", ask).await["not_added"], json!([3]));
    eva.refused("SetPrivacy", json!({})).await.is(InvalidArgument, "missing_field", "who_may_add");
    eva.refused("SetPrivacy", json!({"who_may_add": 9})).await.is(InvalidArgument, "out_of_range", "who_may_add");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deny_silences_and_comes_back() {
    let mut sandbox = Sandbox::on_disk().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2, 3]).await;
    let (own, other) = (say(&ben, &id, "hola").await, say(&ana, &id, "hola").await);
    let right = |right: &str| json!({"room_id": id, "user_id": 2, "send_right": right});
    ana.ok("UpdateParticipant", right("DENY")).await;
    let all = || {
        let mut all = ways(&id, &own, &other);
        all.push(("ReactToMessage", json!({"message_id": other["id"], "reaction": "👍"})));
        all
    };
    silent(&ben, "send_not_allowed", all()).await;
    ben.ok("LeaveRoom", json!({"room_id": id})).await;
    drop((ana, ben));
    sandbox.stop().await;
    sandbox.start_again().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    ana.ok("AddParticipants", json!({"room_id": id, "user_ids": [2]})).await;
    ben.refused("SendMessage", json!({"room_id": id, "content": "x"})).await.is(
        PermissionDenied,
        "send_not_allowed",
        "",
    );
    let people = ana.ok("GetRoomParticipants", json!({"room_id": id})).await;
    assert_eq!(people["participants"][1]["can_send"], false);
    ana.ok("UpdateParticipant", right("FOLLOW_ROOM")).await;
    say(&ben, &id, "por fin").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_of_a_channel_may_nod() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let made = ana.ok("CreateRoom", json!({"type": "channel", "participants": [2], "name": "Avisos"})).await;
    let id = text(&made, "/room/id");
    let news = say(&ana, &id, "noticias").await;
    silent(
        &ben,
        "send_not_allowed",
        ways(&id, &news, &news).into_iter().filter(|(m, _)| *m != "EditMessage").collect(),
    )
    .await;
    ana.ok("ReactToMessage", json!({"message_id": news["id"], "reaction": "olé"})).await;
    for reaction in ["👍", "❤️", "olé"] {
        ben.ok("ReactToMessage", json!({"message_id": news["id"], "reaction": reaction})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_left_can_withdraw_their_words() {
    let sandbox = Sandbox::start().await;
    let (ana, ben, eva) = (sandbox.user(1), sandbox.user(2), sandbox.user(3));
    let id = group(&ana, &[2]).await;
    let (own, other) = (say(&ben, &id, "secreto").await, say(&ana, &id, "no").await);
    ben.ok("LeaveRoom", json!({"room_id": id})).await;
    let of = |message: &Value| json!({"message_id": message["id"]});
    for (user, message) in [(&ben, &other), (&eva, &own)] {
        user.refused("DeleteMessage", of(message)).await.is(NotFound, "message_not_found", "");
    }
    let edit = json!({"message_id": own["id"], "content": "x"});
    ben.refused("EditMessage", edit).await.is(NotFound, "message_not_found", "");
    ben.ok("DeleteMessage", of(&own)).await;
    assert_eq!(ana.ok("GetMessage", of(&own)).await["message"]["deleted"], true);
}

/// Joined while it was hidden, then made visible, removed and added again: no worse off than a new member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_membership_sees_what_the_rule_of_its_time_shows() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[3]).await;
    say(&ana, &id, "antes").await;
    let seen = async || each(&ben.ok("GetMessageHistory", json!({"room_id": id})).await, "/messages", "content");
    let add = json!({"room_id": id, "user_ids": [2]});
    ana.ok("AddParticipants", add.clone()).await;
    assert!(seen().await.is_empty());
    ana.ok("UpdateRoom", json!({"room_id": id, "history_visible": true})).await;
    assert!(seen().await.is_empty(), "not for those who are there");
    ana.ok("RemoveParticipants", add.clone()).await;
    ana.ok("AddParticipants", add).await;
    assert_eq!(seen().await, ["antes"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_for_all_and_references_are_for_the_admin_role() {
    let sandbox = Sandbox::with(&[("rooms.join_all_users", "admin"), ("rooms.external_refs", "admin")]).await;
    let (ana, admin) = (sandbox.user(1), sandbox.admin());
    let all = json!({"type": "channel", "name": "Todos", "join_all_users": true});
    ana.refused("CreateRoom", all.clone()).await.is(PermissionDenied, "admin_only", "");
    admin.ok("CreateRoom", all).await;
    let id =
        text(&admin.ok("CreateRoom", json!({"type": "group", "name": "g", "participants": [1]})).await, "/room/id");
    let twin = json!({"room_id": id, "content": "x", "external_ref": {"source": "s", "chat": "c", "message": "m"}});
    ana.refused("SendMessage", twin.clone()).await.is(PermissionDenied, "admin_only", "");
    admin.ok("SendMessage", twin.clone()).await;
    ana.refused("SendMessage", twin).await.is(PermissionDenied, "admin_only", "");
    let own = group(&ana, &[2]).await;
    let squat = json!({"room_id": own, "content": "x", "external_ref": {"source": "s", "chat": "c", "message": "n"}});
    ana.refused("SendMessage", squat).await.is(PermissionDenied, "admin_only", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_users_are_added_in_an_hour() {
    let sandbox = Sandbox::with(&[("limits.adds_per_h", "5"), ("rooms.max_members", "4")]).await;
    let (ana, admin) = (sandbox.user(1), sandbox.admin());
    let new = |others: &[i64]| json!({"type": "group", "name": "g", "participants": others});
    ana.refused("CreateRoom", new(&[2, 3, 4, 5])).await.is(FailedPrecondition, "too_many_members", "");
    let id = text(&ana.ok("CreateRoom", new(&[2, 3])).await, "/room/id");
    let refused = ana.refused("CreateRoom", new(&[2, 3, 4, 5, 6, 7])).await;
    refused.is(FailedPrecondition, "too_many_members", "");
    ana.ok("CreateRoom", json!({"type": "p2p", "participants": [2]})).await;
    ana.ok("CreateRoom", json!({"type": "p2p", "participants": [2]})).await;
    ana.refused("CreateRoom", new(&[7, 8, 9])).await.is(ResourceExhausted, "rate_limited", "");
    ana.ok("AddParticipants", json!({"room_id": id, "user_ids": [2, 4]})).await;
    ana.ok("RemoveParticipants", json!({"room_id": id, "user_ids": [4]})).await;
    ana.ok("AddParticipants", json!({"room_id": id, "user_ids": [5]})).await;
    ana.ok("RemoveParticipants", json!({"room_id": id, "user_ids": [5]})).await;
    let refused = ana.refused("AddParticipants", json!({"room_id": id, "user_ids": [6]})).await;
    refused.is(ResourceExhausted, "rate_limited", "");
    assert!(refused.retry_after_ms.unwrap() > 600_000, "{refused:?}");
    // Who may be added is looked up for those alone who may still add: nothing is found out beyond the rate.
    sandbox.user(9).ok("BlockUser", json!({"user_id": 1})).await;
    let refused = ana.refused("CreateRoom", json!({"type": "p2p", "participants": [9]})).await;
    refused.is(ResourceExhausted, "rate_limited", "");
    admin.ok("CreateRoom", new(&[2, 3, 4])).await;
    admin.ok("CreateRoom", new(&[2, 3, 4])).await;
    sandbox.user(2).ok("CreateRoom", new(&[3])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_sends_cost_the_room_nothing() {
    let sandbox = Sandbox::with(&[("limits.room_per_s", "2"), ("limits.room_burst", "2")]).await;
    let (ana, eva) = (sandbox.user(1), sandbox.user(66));
    let id = group(&ana, &[2]).await;
    let mut session = eva.session(pb::SessionOpen { client_id: "s".to_owned(), ..Default::default() }).await.unwrap();
    for _ in 0..20 {
        let refused = eva.refused("SendMessage", json!({"room_id": id, "content": "x"})).await;
        refused.is(NotFound, "room_not_found", "");
        let Answer::Error(error) = session.ask(send(&id, "x")).await else { panic!("sent") };
        assert_eq!(error.info.unwrap().reason, "room_not_found");
    }
    for n in 0..2 {
        say(&ana, &id, &n.to_string()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_cannot_tell_what_there_is() {
    let sandbox = Sandbox::start().await;
    let (ana, ben, eva) = (sandbox.user(1), sandbox.user(2), sandbox.user(66));
    let (id, other) = (group(&ana, &[2]).await, group(&ana, &[3]).await);
    let external = json!({"source": "s", "chat": "c", "message": "m"});
    let twin = json!({"room_id": id, "content": "x", "external_ref": external});
    let message = ana.ok("SendMessage", twin.clone()).await["message"].clone();
    let send = |more: Value| {
        let mut request = json!({"room_id": id, "content": "x"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request
    };
    let forwarded = |room: &str, message: &Value| json!({"forwarded_from": {"room_id": room, "message_id": message}});
    for request in [
        twin.clone(),
        send(json!({"external_ref": {"source": "s", "chat": "c", "message": "free"}})),
        send(json!({"reply_to": message["id"]})),
        send(json!({"reply_to": 5})),
        send(json!({"mentions": [77]})),
        send(forwarded(&id, &message["id"])),
        send(forwarded(&id, &json!(5))),
    ] {
        eva.refused("SendMessage", request).await.is(NotFound, "room_not_found", "");
    }
    let own = group(&eva, &[67]).await;
    for (room, message) in [(&id, &message["id"]), (&id, &json!(5)), (&own, &message["id"])] {
        let mut request = forwarded(room, message);
        request["room_id"] = json!(own);
        request["content"] = json!("x");
        eva.refused("SendMessage", request).await.is(NotFound, "message_not_found", "");
    }
    for external in [&external, &json!({"source": "s", "chat": "c", "message": "free"})] {
        eva.refused("GetMessage", json!({"external_ref": external})).await.is(NotFound, "message_not_found", "");
    }
    // A member without the role is not told either, and cannot take a reference.
    ben.refused("SendMessage", twin).await.is(PermissionDenied, "role_too_low", "");
    let free = send(json!({"external_ref": {"source": "s", "chat": "c", "message": "free"}}));
    ben.refused("SendMessage", free).await.is(PermissionDenied, "role_too_low", "");
    // Who really said it, whatever the forwarder says.
    let mut request = forwarded(&id, &message["id"]);
    (request["room_id"], request["content"]) = (json!(other), json!("x"));
    request["client_message_id"] = json!("f");
    request["forwarded_from"]["sender_id"] = json!(2);
    for duplicate in [false, true] {
        let sent = ana.ok("SendMessage", request.clone()).await;
        assert_eq!(
            (&sent["duplicate"], &sent["message"]["forwarded_from"]["sender_id"]),
            (&json!(duplicate), &json!(1))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_and_names_are_for_those_who_share_a_room() {
    let sandbox = Sandbox::start().await;
    let (ana, ben, eva, admin) = (sandbox.user(1), sandbox.user(2), sandbox.user(3), sandbox.admin());
    let _phone = ana.listen("phone", &[]).await;
    group(&ana, &[2]).await;
    let online = async |user: &User| {
        user.ok("GetPresence", json!({"user_ids": [1]})).await["presences"][0]["online"] == json!(true)
    };
    assert!(online(&ben).await && online(&ana).await && online(&admin).await);
    assert!(!online(&eva).await);
    let request = pb::StreamMessagesRequest { presence_of: vec![1, 3], ..stream_request("s", &[]) };
    let mut stream = eva.try_listen(request).await.unwrap();
    let told = stream.seek(|event| matches!(event.event, Some(Happened::Presence(_))).then_some(event.user_id)).await;
    assert_eq!(told, 3, "of oneself, and not of the first one of the list");
    eva.ok("BlockUser", json!({"user_id": 1})).await;
    let blocked = eva.ok("GetBlockedUsers", json!({})).await;
    assert_eq!(blocked["users"], json!([{"id": 1, "name": "", "picture": ""}]));
    ana.ok("BlockUser", json!({"user_id": 2})).await;
    assert!(!online(&ben).await, "not for whom one has blocked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_can_be_repeated() {
    let mut sandbox = Sandbox::on_disk().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    sandbox.user(4).ok("SetPrivacy", json!({"who_may_add": "NOBODY"})).await;
    let new = json!({"type": "group", "name": "g", "participants": [2, 3, 4], "client_room_id": "g-1"});
    let (one, two) = tokio::join!(ana.ok("CreateRoom", new.clone()), ana.ok("CreateRoom", new.clone()));
    let id = text(&one, "/room/id");
    assert_eq!(text(&two, "/room/id"), id);
    assert_ne!(one["created"], two["created"], "made once");
    assert_eq!((&one["not_added"], &two["not_added"]), (&json!([4]), &json!([4])));
    let theirs =
        ben.ok("CreateRoom", json!({"type": "group", "name": "g", "participants": [3], "client_room_id": "g-1"})).await;
    assert_ne!(text(&theirs, "/room/id"), id, "everyone's ids are their own");
    drop((ana, ben));
    sandbox.stop().await;
    sandbox.start_again().await;
    let ana = sandbox.user(1);
    ana.ok("UpdateRoom", json!({"room_id": id, "name": "otro"})).await;
    let again = ana.ok("CreateRoom", new.clone()).await;
    assert_eq!(
        (&again["created"], text(&again, "/room/id"), &again["not_added"]),
        (&json!(false), id.clone(), &json!([4]))
    );
    let mut other = new.clone();
    other["name"] = json!("otro");
    ana.refused("CreateRoom", other).await.is(AlreadyExists, "client_room_id_reused", "");
    let mut fewer = new.clone();
    fewer["participants"] = json!([2, 3]);
    ana.refused("CreateRoom", fewer).await.is(AlreadyExists, "client_room_id_reused", "");
    ana.ok("DeleteRoom", json!({"room_id": id})).await;
    ana.refused("CreateRoom", new).await.is(FailedPrecondition, "room_deleted", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_room_gets_an_owner_and_admins_step_down() {
    let sandbox = Sandbox::start().await;
    let (ana, ben, admin) = (sandbox.user(1), sandbox.user(2), sandbox.admin());
    let id = group(&ana, &[2]).await;
    let role = |role: &str| json!({"room_id": id, "user_id": 2, "role": role});
    ana.ok("UpdateParticipant", role("ADMIN")).await;
    ben.ok("UpdateParticipant", role("MEMBER")).await;
    ben.refused("UpdateParticipant", role("ADMIN")).await.is(PermissionDenied, "role_too_low", "");
    for user in [&ana, &ben] {
        user.ok("LeaveRoom", json!({"room_id": id})).await;
    }
    admin.ok("AddParticipants", json!({"room_id": id, "user_ids": [2, 1]})).await;
    assert_eq!(ben.ok("GetRoom", json!({"room_id": id})).await["room"]["role"], "OWNER");
    assert_eq!(ana.ok("GetRoom", json!({"room_id": id})).await["room"]["role"], "MEMBER");
}
