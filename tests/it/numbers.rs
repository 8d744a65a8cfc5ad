//! Numbers and names that must be the same wherever they are shown: status, unread, totals, names.

use std::time::Duration;

use serde_json::{Value, json};
use tertulia::api::auth::dev_key::{self, TokenSpec};
use tertulia::clock::{Clock as _, SystemClock};

use crate::{
    caller::{User, each, group, number, say, text},
    sandbox::Sandbox,
};

/// Status and counts of one message in every answer that carries it.
async fn statuses(ana: &User, room: &str, sent: &Value) -> Vec<(String, Value, Value)> {
    let id = &sent["id"];
    let mut seen = Vec::new();
    let mut see = |call: &str, message: &Value| {
        seen.push((call.to_owned(), message["status"].clone(), message["status_counts"].clone()));
    };
    let of = |messages: &Value| {
        let all = messages["messages"].as_array().unwrap();
        all.iter().find(|message| message["id"] == *id).unwrap().clone()
    };
    see("GetMessage", &ana.ok("GetMessage", json!({"message_id": id})).await["message"]);
    see("history", &of(&ana.ok("GetMessageHistory", json!({"room_id": room})).await));
    see("merged", &of(&ana.ok("GetMessageHistory", json!({})).await));
    see("search", &of(&ana.ok("SearchMessages", json!({"room_id": room, "query": "hola"})).await));
    see("pins", &of(&ana.ok("GetPinnedMessages", json!({"room_id": room})).await));
    see("GetRoom", &ana.ok("GetRoom", json!({"room_id": room})).await["room"]["last_message"]);
    let rooms = ana.ok("GetRooms", json!({})).await;
    let rooms = rooms["rooms"].as_array().unwrap();
    see("GetRooms", &rooms.iter().find(|listed| listed["id"] == room).unwrap()["last_message"]);
    let again = json!({"room_id": room, "content": "hola", "client_message_id": "one"});
    let again = ana.ok("SendMessage", again).await;
    assert_eq!(again["duplicate"], true);
    see("duplicate", &again["message"]);
    let edited = ana.ok("EditMessage", json!({"message_id": id, "content": "hola"})).await;
    see("EditMessage", &edited["message"]);
    seen
}

fn assert_all(seen: &[(String, Value, Value)], status: &str, read_by: i64, of: i64) {
    for (call, found, counts) in seen {
        assert_eq!((found, number(counts, "/read_by"), number(counts, "/of")), (&json!(status), read_by, of), "{call}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_says_the_same_status() {
    let mut sandbox = Sandbox::start().await;
    let (ana, ben, cleo) = (sandbox.user(1), sandbox.user(2), sandbox.user(3));
    let id = group(&ana, &[2, 3]).await;
    let one = json!({"room_id": id, "content": "hola", "client_message_id": "one"});
    let sent = ana.ok("SendMessage", one).await["message"].clone();
    assert_eq!(sent["status"], "SENT");
    ana.ok("PinMessage", json!({"message_id": sent["id"]})).await;
    assert_all(&statuses(&ana, &id, &sent).await, "SENT", 0, 2);
    ben.ok("MarkMessagesAsRead", json!({"room_id": id})).await;
    assert_all(&statuses(&ana, &id, &sent).await, "SENT", 1, 2);
    cleo.ok("MarkMessagesAsDelivered", json!({"room_id": id, "up_to_seq": sent["seq"]})).await;
    assert_all(&statuses(&ana, &id, &sent).await, "DELIVERED", 1, 2);
    cleo.ok("MarkMessagesAsRead", json!({"room_id": id})).await;
    assert_all(&statuses(&ana, &id, &sent).await, "READ", 2, 2);
    // Who joins later changes nothing, whatever they read; nor does the last reader who leaves.
    ana.ok("AddParticipants", json!({"room_id": id, "user_ids": [4]})).await;
    assert_all(&statuses(&ana, &id, &sent).await, "READ", 2, 2);
    sandbox.user(4).ok("MarkMessagesAsRead", json!({"room_id": id})).await;
    let receipts = ana.ok("GetMessageReceipts", json!({"message_id": sent["id"]})).await;
    assert_eq!(each(&receipts, "/receipts", "user_id"), [json!(2), json!(3)], "who cannot have seen it has no receipt");
    for user in [&ben, &cleo] {
        user.ok("LeaveRoom", json!({"room_id": id})).await;
    }
    assert_all(&statuses(&ana, &id, &sent).await, "READ", 0, 0);
    // And after a restart, when the room sleeps.
    sandbox.stop().await;
    sandbox.start_again().await;
    let ana = sandbox.user(1);
    let asleep = ana.ok("GetMessage", json!({"message_id": sent["id"]})).await;
    assert_eq!(asleep["message"]["status"], "READ");
    assert_eq!(ben_sees(&sandbox, &id).await, Value::Null);
}

/// What somebody else is told of the status of ANA's message: nothing.
async fn ben_sees(sandbox: &Sandbox, room: &str) -> Value {
    let page = sandbox.user(4).ok("GetMessageHistory", json!({"room_id": room})).await;
    page["messages"].as_array().unwrap().iter().fold(Value::Null, |seen, message| {
        assert_eq!(message["status"], "MESSAGE_STATUS_UNSPECIFIED");
        if message["status_counts"].is_null() { seen } else { message["status_counts"].clone() }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_badge_counts_neither_what_is_gone_nor_what_is_muted() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let (loud, quiet) = (group(&ana, &[2]).await, group(&ana, &[2]).await);
    let mut sent = Vec::new();
    for room in [&loud, &quiet, &loud] {
        sent.push(say(&ana, room, "hola").await);
    }
    let far = json!({"room_id": quiet, "muted_until": "2090-01-01T00:00:00Z"});
    ben.ok("SetRoomPreferences", far).await;
    let totals = async || {
        let rooms = ben.ok("GetRooms", json!({})).await;
        (number(&rooms, "/total"), number(&rooms, "/unread_total"), number(&rooms, "/unread_unmuted"))
    };
    assert_eq!(totals().await, (2, 3, 2));
    ana.ok("DeleteMessage", json!({"message_id": sent[0]["id"]})).await;
    assert_eq!(totals().await, (2, 2, 1));
    ben.ok("DeleteMessage", json!({"message_id": sent[2]["id"], "for_me": true})).await;
    assert_eq!(totals().await, (2, 1, 0));
    let why = ben.ok("ExplainUnread", json!({"room_id": loud})).await;
    let parts = ["/unread_count", "/last_n", "/uncounted", "/hidden"].map(|part| number(&why, part));
    assert_eq!(parts, [0, 2, 1, 1]);
    let marked = ben.ok("MarkMessagesAsRead", json!({"room_id": loud, "up_to_seq": 1})).await;
    assert_eq!(number(&marked, "/unread_count"), 0);
    let warning = json!({"room_id": loud, "content": "aviso", "system": true});
    sandbox.admin().ok("SendMessage", warning).await;
    assert_eq!(totals().await, (2, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_token_names_its_user() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    let ben = |name: &str, ago_ms: i64| {
        let config = sandbox.config();
        let key = dev_key::load_or_create(&config.server.data_dir).unwrap();
        let now_ms = SystemClock.now_ms() - ago_ms;
        let spec = TokenSpec { user_id: 2, name, picture: "", admin: false, ttl: Duration::from_secs(3_600), now_ms };
        sandbox.caller(Some(&key.mint(&spec, &config.auth.options())))
    };
    let (new, old, nameless) = (ben("Benjamín", 10_000), ben("Ben", 60_000), ben("", 5_000));
    let shown = async || {
        let people = ana.ok("GetRoomParticipants", json!({"room_id": id})).await;
        text(&people, "/participants/1/name")
    };
    old.ok("GetRoom", json!({"room_id": id})).await;
    assert_eq!(shown().await, "Ben");
    for caller in [&new, &old, &nameless, &old] {
        caller.ok("GetRoom", json!({"room_id": id})).await;
        assert_eq!(shown().await, "Benjamín");
        assert_eq!(say(caller, &id, "hola").await["sender_name"], "Benjamín");
    }
}
