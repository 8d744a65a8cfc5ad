//! Rooms, their members, and what each member sets for themselves.

use serde_json::{Value, json};
use tertulia_proto::chat::v1::event::Event as Happened;
use tonic::Code;

use crate::{
    caller::{each, group, number, say, text},
    sandbox::Sandbox,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_from_beginning_to_end() {
    let sandbox = Sandbox::start().await;
    let (ana, ben, cleo) = (sandbox.user(1), sandbox.user(2), sandbox.user(3));
    for user in [&ben, &cleo] {
        user.ok("GetRooms", json!({})).await;
    }
    let mut stream = ben.listen("phone", &[]).await;
    let request = json!({"type": "group", "participants": [2, 3, 2, 1], "name": "Libros",
        "description": "uno al mes", "picture": "https://e.org/p.png"});
    let made = ana.ok("CreateRoom", request).await;
    let room = &made["room"];
    let id = text(room, "/id");
    assert_eq!(made["created"], true);
    assert_eq!((&room["name"], &room["role"]), (&json!("Libros"), &json!("OWNER")));
    assert_eq!(room["description"], "uno al mes");
    assert_eq!(number(room, "/participants_count"), 3);
    assert_eq!(each(room, "/participants", "name"), ["User 1", "User 2", "User 3"]);
    assert!(!text(room, "/encryption_data").is_empty());
    let joined = stream
        .seek(|event| match &event.event {
            Some(Happened::RoomJoin(join)) => Some((event.room_id.clone(), join.clone())),
            _ => None,
        })
        .await;
    assert_eq!(joined.0, id);
    assert_eq!(joined.1.room.unwrap().name, "Libros");

    let seen = ben.ok("GetRoom", json!({"room_id": id})).await;
    assert_eq!(seen["room"]["role"], "MEMBER");
    let change = json!({"room_id": id, "name": "Libros y vino", "members_can_send": false});
    let changed = ana.ok("UpdateRoom", change.clone()).await;
    assert_eq!(changed["room"]["name"], "Libros y vino");
    assert_eq!(changed["room"]["description"], "uno al mes", "unset stays");
    ben.refused("UpdateRoom", change).await.is(Code::PermissionDenied, "role_too_low", "");
    let quiet = json!({"room_id": id, "content": "hola"});
    ben.refused("SendMessage", quiet.clone()).await.is(Code::PermissionDenied, "send_not_allowed", "");
    let right = json!({"room_id": id, "user_id": 2, "send_right": "ALLOW"});
    assert_eq!(ana.ok("UpdateParticipant", right).await["participant"]["can_send"], true);
    ben.ok("SendMessage", quiet).await;

    let left = ana.ok("RemoveParticipants", json!({"room_id": id, "user_ids": [3, 77]})).await;
    assert_eq!(left["removed"], json!([3]));
    cleo.refused("GetRoom", json!({"room_id": id})).await.is(Code::NotFound, "room_not_found", "");
    let added = ana.ok("AddParticipants", json!({"room_id": id, "user_ids": [3, 2, 4]})).await;
    assert_eq!(added["added"], json!([3, 4]));
    assert_eq!(number(&cleo.ok("GetRoom", json!({"room_id": id})).await, "/room/unread_count"), 0);

    ana.ok("DeleteRoom", json!({"room_id": id})).await;
    let gone = ben.refused("GetRoom", json!({"room_id": id})).await;
    assert!(["room_deleted", "room_not_found"].contains(&gone.reason.as_str()), "{gone:?}");
    assert_eq!(number(&ben.ok("GetRooms", json!({})).await, "/total"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_paged_found_and_promoted() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    ben.ok("GetRooms", json!({})).await;
    let id = group(&ana, &[2, 3, 4, 5]).await;
    let page = |after: i64| json!({"room_id": id, "limit": 2, "after_user_id": after});
    let first = ana.ok("GetRoomParticipants", page(0)).await;
    assert_eq!(each(&first, "/participants", "user_id"), [1, 2]);
    assert_eq!((&first["has_more"], number(&first, "/total")), (&json!(true), 5));
    assert_eq!(number(&first, "/next_after_user_id"), 2);
    let last = ana.ok("GetRoomParticipants", page(4)).await;
    assert_eq!(each(&last, "/participants", "user_id"), [5]);
    assert_eq!((&last["has_more"], number(&last, "/next_after_user_id")), (&json!(false), 0));

    let nick = json!({"room_id": id, "nickname": "Señor Élan"});
    assert_eq!(ben.ok("UpdateParticipant", nick).await["participant"]["nickname"], "Señor Élan");
    let found = ana.ok("GetRoomParticipants", json!({"room_id": id, "query": "elan"})).await;
    assert_eq!(each(&found, "/participants", "user_id"), [2]);

    let promote = json!({"room_id": id, "user_id": 2, "role": "ADMIN"});
    ben.refused("UpdateParticipant", promote.clone()).await.is(Code::PermissionDenied, "role_too_low", "");
    assert_eq!(ana.ok("UpdateParticipant", promote).await["participant"]["role"], "ADMIN");
    ben.refused("RemoveParticipants", json!({"room_id": id, "user_ids": [1]})).await.is(
        Code::PermissionDenied,
        "role_too_low",
        "",
    );
    ana.ok("LeaveRoom", json!({"room_id": id})).await;
    let room = ben.ok("GetRoom", json!({"room_id": id})).await;
    assert_eq!(room["room"]["role"], "OWNER", "the oldest admin inherits");
    ana.refused("LeaveRoom", json!({"room_id": id})).await.is(Code::NotFound, "room_not_found", "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_has_one_room_and_can_block() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    ben.ok("GetRooms", json!({})).await;
    let ask = |other: i64| json!({"type": "p2p", "participants": [other]});
    let (one, two) = tokio::join!(ana.ok("CreateRoom", ask(2)), ben.ok("CreateRoom", ask(1)));
    let id = text(&one, "/room/id");
    assert_eq!(id, text(&two, "/room/id"));
    assert_ne!(one["created"], two["created"], "made once");
    let room = ana.ok("GetRoom", json!({"room_id": id})).await;
    assert_eq!(number(&room, "/room/partner/user_id"), 2);
    assert_eq!(room["room"]["partner"]["name"], "User 2");
    say(&ben, &id, "hola").await;

    ana.ok("BlockUser", json!({"user_id": 2})).await;
    let blocked = ana.ok("GetBlockedUsers", json!({})).await;
    assert_eq!(blocked["users"], json!([{"id": 2, "name": "User 2", "picture": ""}]));
    let send = json!({"room_id": id, "content": "¿sigues ahí?"});
    for user in [&ana, &ben] {
        user.refused("SendMessage", send.clone()).await.is(Code::PermissionDenied, "partner_blocked", "");
        let room = user.ok("GetRoom", json!({"room_id": id})).await;
        assert_eq!(room["room"]["is_partner_blocked"], true);
    }
    ana.ok("UnblockUser", json!({"user_id": 2})).await;
    ben.ok("SendMessage", send).await;

    ana.ok("DeleteRoom", json!({"room_id": id})).await;
    assert_eq!(number(&ana.ok("GetRooms", json!({})).await, "/total"), 0, "hidden");
    let history = json!({"room_id": id});
    assert_eq!(ana.ok("GetMessageHistory", history.clone()).await["messages"], json!([]));
    assert_eq!(each(&ben.ok("GetMessageHistory", history).await, "/messages", "content").len(), 2);
    say(&ben, &id, "otra vez").await;
    let rooms = ana.ok("GetRooms", json!({})).await;
    assert_eq!(number(&rooms, "/rooms/0/unread_count"), 1, "{rooms}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_list_is_ordered_filtered_and_paged() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let mut ids = Vec::new();
    for name in ["Uno", "Dós", "Tres", "Cuatro"] {
        let request = json!({"type": "group", "participants": [2], "name": name});
        ids.push(text(&ana.ok("CreateRoom", request).await, "/room/id"));
    }
    say(&ben, &ids[0], "la última").await;
    let names = |list: &Value| each(list, "/rooms", "name");
    let list = ana.ok("GetRooms", json!({})).await;
    assert_eq!(names(&list), ["Uno", "Cuatro", "Tres", "Dós"]);
    assert_eq!((number(&list, "/total"), number(&list, "/unread_total")), (4, 1));
    assert_eq!(list["rooms"][0]["last_message"]["content"], "la última");

    let pin = json!({"room_id": ids[2], "pinned": true, "muted_until": "2100-01-01T00:00:00Z"});
    let prefs = ana.ok("SetRoomPreferences", pin).await;
    assert_eq!(prefs["preferences"]["pinned"], true);
    assert_eq!(prefs["preferences"]["muted_until"], "2100-01-01T00:00:00Z");
    ana.ok("SetRoomPreferences", json!({"room_id": ids[3], "hidden": true})).await;
    assert_eq!(names(&ana.ok("GetRooms", json!({})).await), ["Tres", "Uno", "Dós"]);
    let all = ana.ok("GetRooms", json!({"include_hidden": true})).await;
    assert_eq!(names(&all), ["Tres", "Uno", "Cuatro", "Dós"]);
    let mut cursor = String::new();
    let mut paged = Vec::new();
    loop {
        let page = ana.ok("GetRooms", json!({"limit": 2, "cursor": cursor, "include_hidden": true})).await;
        paged.extend(names(&page));
        cursor = text(&page, "/next_cursor");
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(paged, names(&all));
    assert_eq!(names(&ana.ok("GetRooms", json!({"query": "dos"})).await), ["Dós"]);
    assert_eq!(number(&ana.ok("GetRooms", json!({"type": "p2p"})).await, "/total"), 0);
    let past = json!({"room_id": ids[2], "pinned": false, "muted_until": "2001-01-01T00:00:00Z"});
    let prefs = ana.ok("SetRoomPreferences", past).await;
    assert_eq!(prefs["preferences"]["muted_until"], Value::Null);
    assert_eq!(names(&ana.ok("GetRooms", json!({})).await), ["Uno", "Tres", "Dós"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_for_everyone_fills_and_says_how_far_it_is() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    for id in 2..12 {
        sandbox.user(id).ok("GetRooms", json!({})).await;
    }
    let request = json!({"type": "channel", "name": "Avisos", "join_all_users": true});
    let id = text(&ana.ok("CreateRoom", request).await, "/room/id");
    let progress = loop {
        let progress = ana.ok("GetJoinProgress", json!({"room_id": id})).await;
        if progress["done"] == true {
            break progress;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!(number(&progress, "/processed"), 11);
    assert_eq!(progress["stopped_reason"], "");
    let ben = sandbox.user(2);
    let room = ben.ok("GetRoom", json!({"room_id": id})).await;
    assert_eq!(number(&room, "/room/participants_count"), 11);
    ben.refused("SendMessage", json!({"room_id": id, "content": "eco"})).await.is(
        Code::PermissionDenied,
        "send_not_allowed",
        "",
    );
    say(&ana, &id, "bienvenidos").await;
    assert_eq!(number(&ben.ok("GetRooms", json!({})).await, "/unread_total"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_of_a_synchronisation_is_kept() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let state = json!({"room_id": id, "source": "telegram"});
    assert_eq!(ben.ok("GetSyncState", state.clone()).await["state"], Value::Null);
    let set = json!({"room_id": id, "source": "telegram", "position": "42/7"});
    ben.refused("SetSyncState", set.clone()).await.is(Code::PermissionDenied, "role_too_low", "");
    ana.ok("SetSyncState", set).await;
    let kept = ben.ok("GetSyncState", state).await;
    assert_eq!((&kept["state"]["source"], &kept["state"]["position"]), (&json!("telegram"), &json!("42/7")));
}
