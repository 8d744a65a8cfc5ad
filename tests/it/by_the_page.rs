//! A client written by `docs/write-a-client.md` and nothing else, over a real server that restarts, forgets to tell, and
//! lets tokens end. What the page says in words is here in code, section by section.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use prost_reflect::DynamicMessage;
use serde_json::{Value, json};

use crate::{
    caller::{POOL, group, number, say, text, to_json},
    listener::PATIENCE,
    sandbox::Sandbox,
    web::{ConnectStream, Http, frame},
};

/// Pages of the history, so small that there are several.
const PAGE: i64 = 3;

/// A room as the client has it: messages by `seq`.
type Room = BTreeMap<i64, Value>;

/// What the client keeps.
#[derive(Default)]
struct Kept {
    cursors: HashMap<String, i64>,
    rooms: HashMap<String, Room>,
    resyncs: usize,
}

struct Client {
    me: i64,
    http: Http,
    stream: Option<ConnectStream>,
    kept: Kept,
}

impl Client {
    fn new(sandbox: &Sandbox, user: i64) -> Self {
        Self { me: user, http: Http::new(sandbox, user), stream: None, kept: Kept::default() }
    }

    async fn call(&self, name: &str, request: Value) -> Value {
        self.http.connect_json(name, &request).await.unwrap()
    }

    /// Opens the stream and waits for `connected`.
    async fn open(&mut self) {
        let cursors: HashMap<_, _> =
            self.kept.cursors.iter().map(|(room, seq)| (room.clone(), seq.to_string())).collect();
        let open = json!({"clientId": "by-the-page", "cursors": cursors}).to_string();
        let request = self.http.post("StreamMessages", "application/connect+json", frame(0, open.as_bytes()));
        let mut stream = ConnectStream::new(request.send().await.unwrap());
        let (flags, first) = stream.next().await;
        assert!(flags == 0 && first.get("connected").is_some(), "{first}");
        self.stream = Some(stream);
    }

    /// Section 1.
    async fn start(&mut self) {
        self.kept.cursors.clear();
        self.open().await;
        let mut cursor = String::new();
        loop {
            let page = self.call("GetRooms", json!({"cursor": cursor, "limit": 1, "includeHidden": true})).await;
            for room in page["rooms"].as_array().unwrap() {
                self.kept.cursors.insert(text(room, "/id"), number(room, "/last_seq"));
                self.read_history(&text(room, "/id")).await;
            }
            cursor = text(&page, "/next_cursor");
            if cursor.is_empty() {
                return;
            }
        }
    }

    /// Section 3: with cursors one resumes, without any one starts.
    async fn come_back(&mut self) {
        if self.kept.cursors.is_empty() { self.start().await } else { self.open().await }
    }

    /// Sections 1.3 and 4.2.
    async fn read_history(&mut self, room: &str) {
        let mut request = json!({"roomId": room, "limit": PAGE});
        loop {
            let page = self.call("GetMessageHistory", request.clone()).await;
            for message in page["messages"].as_array().unwrap() {
                self.keep(room, message.clone());
            }
            if page["has_more_before"] != true {
                return;
            }
            request["beforeSeq"] = page["next_before_seq"].clone();
        }
    }

    fn keep(&mut self, room: &str, message: Value) {
        self.kept.rooms.entry(room.to_owned()).or_default().insert(number(&message, "/seq"), message);
    }

    /// Section 2, for the next event of the stream.
    async fn take_in(&mut self) -> Value {
        let (flags, event) = self.stream.as_mut().unwrap().next().await;
        assert_eq!(flags, 0, "{event}");
        let event = plain(event);
        let (room, seq) = (text(&event, "/room_id"), number(&event, "/seq"));
        if seq > 0 && self.kept.cursors.get(&room).is_some_and(|cursor| seq <= *cursor) {
            return event;
        }
        if seq > 0 {
            self.kept.cursors.insert(room.clone(), seq);
        }
        let names_me = |list: &str, field: &str| {
            let named = event.pointer(list).and_then(Value::as_array).into_iter().flatten();
            named.into_iter().any(|one| if field.is_empty() { one == self.me } else { one[field] == self.me })
        };
        if event["message"].is_object() {
            self.keep(&room, event["message"].clone());
        } else if event.pointer("/room_join/room").is_some() && names_me("/room_join/participants", "user_id") {
            let last_seq = number(&event, "/room_join/room/last_seq");
            self.kept.cursors.insert(room.clone(), seq.max(last_seq));
            self.read_history(&room).await;
        } else if names_me("/room_leave/user_ids", "") || event.pointer("/room_update/deleted") == Some(&json!(true)) {
            self.kept.cursors.remove(&room);
            self.kept.rooms.remove(&room);
        } else if event["resync_required"].is_object() {
            self.resync(&room, &event["resync_required"]).await;
        }
        event
    }

    /// Section 4.
    async fn resync(&mut self, room: &str, resync: &Value) {
        self.kept.resyncs += 1;
        let stale = number(resync, "/drop_up_to_seq");
        self.kept.rooms.entry(room.to_owned()).or_default().retain(|seq, _| *seq > stale);
        self.kept.cursors.insert(room.to_owned(), number(resync, "/resumed_after_seq"));
        self.call("GetRoom", json!({"roomId": room})).await;
        self.read_history(room).await;
    }

    /// Takes in what comes until the room's newest message is this one.
    async fn until(&mut self, room: &str, content: &str) {
        let newest = |client: &Self| {
            client.kept.rooms.get(room).and_then(|room| Some(room.last_key_value()?.1["content"].clone()))
        };
        let begun = tokio::time::Instant::now();
        while newest(self) != Some(json!(content)) {
            assert!(begun.elapsed() < PATIENCE, "{content} has not come: {:?}", self.kept.rooms);
            self.take_in().await;
        }
    }

    fn contents(&self, room: &str) -> Vec<String> {
        self.kept.rooms[room].values().map(|message| text(message, "/content")).collect()
    }

    /// Section 5: until there is an answer, under one id.
    async fn send(&self, room: &str, content: &str, id: &str) -> Value {
        self.call("SendMessage", json!({"roomId": room, "content": content, "clientMessageId": id})).await
    }

    /// What the stream ends with.
    async fn end(&mut self) -> Value {
        loop {
            let (flags, last) = self.stream.as_mut().unwrap().next().await;
            if flags == 2 {
                self.stream = None;
                return last;
            }
        }
    }
}

/// An event with proto names and numbers as numbers, as a generated type would give it.
fn plain(event: Value) -> Value {
    let kind = POOL.get_message_by_name("chat.v1.Event").unwrap();
    to_json(&DynamicMessage::deserialize(kind, event).unwrap())
}

/// The same server on the same data, at another address.
async fn restart(sandbox: &mut Sandbox, client: &mut Client) {
    sandbox.stop().await;
    client.stream = None;
    sandbox.start_again().await;
    client.http.base = sandbox.url("");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_by_who_has_seen_nothing() {
    let mut sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let (first, other) = (group(&ana, &[2]).await, group(&ana, &[2]).await);
    say(&ana, &first, "before").await;
    let mut ben = Client::new(&sandbox, 2);
    ben.start().await;
    assert_eq!(ben.contents(&first), ["before"]);
    // Not one event has come: what is sent while Ben is away must come all the same, in each room.
    restart(&mut sandbox, &mut ben).await;
    let ana = sandbox.user(1);
    for n in 0..5 {
        say(&ana, &first, &format!("a {n}")).await;
    }
    say(&ana, &other, "b").await;
    let new = group(&ana, &[2]).await;
    say(&ana, &new, "c").await;
    ben.come_back().await;
    ben.until(&first, "a 4").await;
    ben.until(&other, "b").await;
    ben.until(&new, "c").await;
    assert_eq!(ben.contents(&first), ["before", "a 0", "a 1", "a 2", "a 3", "a 4"]);
    // His own, said twice because the answer was lost, is there once.
    let sent = ben.send(&first, "mine", "b-1").await;
    let again = ben.send(&first, "mine", "b-1").await;
    assert_eq!((&again["duplicate"], &again["message"]["id"]), (&json!(true), &sent["message"]["id"]));
    ben.until(&first, "mine").await;
    assert_eq!(ben.contents(&first).iter().filter(|said| *said == "mine").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_room_yet_starts_again() {
    let mut sandbox = Sandbox::start().await;
    let mut ben = Client::new(&sandbox, 2);
    ben.start().await;
    assert!(ben.kept.cursors.is_empty());
    restart(&mut sandbox, &mut ben).await;
    let ana = sandbox.user(1);
    let away = group(&ana, &[2]).await;
    say(&ana, &away, "while you were away").await;
    ben.come_back().await;
    assert_eq!(ben.contents(&away), ["while you were away"]);
    let live = group(&ana, &[2]).await;
    say(&ana, &live, "now").await;
    ben.until(&live, "now").await;
    ana.ok("RemoveParticipants", json!({"room_id": live, "user_ids": ["2"]})).await;
    while ben.kept.cursors.contains_key(&live) {
        ben.take_in().await;
    }
    assert_eq!(ben.kept.rooms.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_streamed_is_read_and_what_was_taken_back_goes() {
    let mut sandbox = Sandbox::with(&[("streams.catch_up_max", "10")]).await;
    let ana = sandbox.user(1);
    let room = group(&ana, &[2]).await;
    let regretted = say(&ana, &room, "regretted").await;
    let mut ben = Client::new(&sandbox, 2);
    ben.start().await;
    restart(&mut sandbox, &mut ben).await;
    let ana = sandbox.user(1);
    ana.ok("DeleteMessage", json!({"message_id": regretted["id"]})).await;
    for n in 0..20 {
        say(&ana, &room, &n.to_string()).await;
    }
    ben.come_back().await;
    ben.until(&room, "19").await;
    assert_eq!(ben.kept.resyncs, 1);
    let said: Vec<_> = ben.contents(&room).into_iter().filter(|said| !said.is_empty()).collect();
    assert_eq!(said, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    say(&ana, &room, "live again").await;
    ben.until(&room, "live again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_on_with_a_new_token() {
    let sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let room = group(&ana, &[2]).await;
    let mut ben = Client::new(&sandbox, 2);
    // Made so long ago that the leeway of 30 s is nearly over.
    ben.http.token = sandbox.mint(2, false, Duration::from_secs(2), 30_000);
    ben.start().await;
    let end = ben.end().await;
    assert!(end.to_string().contains("token has expired"), "{end}");
    say(&ana, &room, "between two tokens").await;
    ben.http.token = sandbox.token(2);
    ben.come_back().await;
    ben.until(&room, "between two tokens").await;
}

#[test]
fn the_page_says_what_this_client_does() {
    let page = include_str!("../../docs/write-a-client.md");
    for rule in [
        "## 1. Start: stream first, then list",
        "and **no cursors**. Wait for `connected`",
        "set `cursor = last_seq`",
        "## 2. Take in an event",
        "at or below the room's cursor: you have it. Drop it",
        "the greater of the event's `seq` and `room.last_seq`",
        "## 3. Come back",
        "without any, do as in section 1",
        "## 4. Resync",
        "Drop all that you hold of the room up to `drop_up_to_seq`",
        "## 5. Send",
        "**under the same id**",
        "## 6. Tokens",
    ] {
        assert!(page.contains(rule), "{rule}");
    }
}
