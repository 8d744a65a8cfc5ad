//! What a stream says to whom: nothing of what is not theirs, all of what they do elsewhere, and names of members.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tertulia_proto::chat::v1::{self as pb, event::Event as Happened};

use crate::{
    caller::{User, group, number, say},
    listener::Listener,
    sandbox::Sandbox,
};

/// Of a message that is not for the reader a stream says that the log goes on, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_about_an_unseen_message_is_a_place_and_nothing_else() {
    let sandbox = Sandbox::start().await;
    let (ana, eva) = (sandbox.user(1), sandbox.user(3));
    let id = group(&ana, &[2]).await;
    let old = say(&ana, &id, "el secreto").await;
    ana.ok("AddParticipants", json!({"room_id": id, "user_ids": [3]})).await;
    let mut live = eva.listen("phone", &[]).await;
    ana.ok("EditMessage", json!({"message_id": old["id"], "content": "el secreto, otra vez"})).await;
    ana.ok("ReactToMessage", json!({"message_id": old["id"], "reaction": "👍"})).await;
    ana.ok("PinMessage", json!({"message_id": old["id"]})).await;
    ana.ok("DeleteMessage", json!({"message_id": old["id"]})).await;
    let answer = say(&ana, &id, "para todos").await;
    let mut resumed = eva.listen("tablet", &[(&id, 3)]).await;
    for stream in [&mut live, &mut resumed] {
        for seq in 4..=7 {
            let event = stream.durable().await;
            assert_eq!((event.seq, &event.room_id, event.user_id, &event.event), (seq, &id, 0, &None));
            assert!(event.at.is_some());
        }
        assert_eq!(stream.durable().await.seq, number(&answer, "/seq"));
    }
}

fn named(participant: &pb::Participant) -> (i64, bool) {
    (participant.user_id, !participant.name.is_empty())
}

/// Names of members in an event.
fn names(event: &pb::Event) -> Option<Vec<(i64, bool)>> {
    match event.event.as_ref()? {
        Happened::RoomJoin(join) => Some(join.participants.iter().map(named).collect()),
        Happened::ParticipantUpdate(update) => Some(update.participant.iter().map(named).collect()),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_with_their_names() {
    let sandbox = Sandbox::start().await;
    let (ana, ben, eva) = (sandbox.user(1), sandbox.user(2), sandbox.user(3));
    // Their tokens say who they are.
    for user in [&ana, &ben, &eva] {
        user.ok("GetRooms", json!({})).await;
    }
    let mut new = eva.listen("phone", &[]).await;
    let id = group(&ana, &[2]).await;
    let mut live = ben.listen("phone", &[(&id, 1)]).await;
    ana.ok("AddParticipants", json!({"room_id": id, "user_ids": [3]})).await;
    ana.ok("UpdateParticipant", json!({"room_id": id, "user_id": 3, "role": "ADMIN"})).await;
    let mut resumed = ben.listen("tablet", &[(&id, 1)]).await;
    for stream in [&mut live, &mut resumed, &mut new] {
        for _ in ["joined", "changed"] {
            assert_eq!(stream.seek(names).await, [(3, true)]);
        }
    }
    let other = group(&ana, &[2]).await;
    // The answer to its maker comes before the others hear of a room: a stream opened in between hears of the making itself.
    live.seek(|e| names(e).filter(|_| e.room_id == other)).await;
    let announced = ben.listen("laptop", &[(&id, 3)]).await.seek(|e| names(e).filter(|_| e.room_id == other)).await;
    assert_eq!(announced, [(2, true)]);
}

/// The next event of the user's own doing.
async fn own(stream: &mut Listener) -> (String, Happened) {
    stream
        .seek(|event| match event.event.clone()? {
            happened @ (Happened::Hidden(_)
            | Happened::PreferencesUpdate(_)
            | Happened::RoomCleared(_)
            | Happened::BlockUpdate(_)) => Some((event.room_id.clone(), happened)),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_does_on_one_device_is_heard_on_the_others() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let made = ana.ok("CreateRoom", json!({"type": "p2p", "participants": [2]})).await;
    let id = made["room"]["id"].as_str().unwrap().to_owned();
    let message = say(&ben, &id, "hola").await;
    let mut phone = ana.listen("phone", &[]).await;
    let mut ben_phone = ben.listen("phone", &[]).await;
    ana.ok("SetRoomPreferences", json!({"room_id": id, "pinned": true})).await;
    ana.ok("SetRoomPreferences", json!({"room_id": id, "pinned": true})).await;
    ana.ok("DeleteMessage", json!({"message_id": message["id"], "for_me": true})).await;
    ana.ok("DeleteRoom", json!({"room_id": id})).await;
    ana.ok("BlockUser", json!({"user_id": 2})).await;
    ana.ok("UnblockUser", json!({"user_id": 2})).await;
    let preferences = |pinned, hidden| {
        let preferences = Some(pb::RoomPreferences { pinned, hidden, muted_until: None });
        (id.clone(), Happened::PreferencesUpdate(pb::PreferencesUpdate { preferences }))
    };
    assert_eq!(own(&mut phone).await, preferences(true, false));
    assert!(matches!(own(&mut phone).await.1, Happened::Hidden(_)), "setting the same again is no news");
    let up_to_seq = number(&message, "/seq");
    assert_eq!(own(&mut phone).await, (id.clone(), Happened::RoomCleared(pb::RoomCleared { up_to_seq })));
    assert_eq!(own(&mut phone).await, preferences(true, true));
    for blocked in [true, false] {
        let update = pb::BlockUpdate { user_id: 2, blocked };
        assert_eq!(own(&mut phone).await, (String::new(), Happened::BlockUpdate(update)));
    }
    // It is nobody else's business.
    say(&ben, &id, "¿estás?").await;
    let event = ben_phone
        .seek(|event| (event.event.is_some() && !matches!(event.event, Some(Happened::Read(_)))).then(|| event.clone()))
        .await;
    assert!(matches!(event.event, Some(Happened::Message(_))), "{event:?}");
}

/// A client that does what the documentation of `resync_required` says, and nothing more: messages by seq, with what it
/// knows of each.
#[derive(Default)]
struct Client {
    held: BTreeMap<i64, (String, bool)>,
    cursor: i64,
}

impl Client {
    async fn take(&mut self, user: &User, event: pb::Event) {
        if event.seq > 0 {
            self.cursor = event.seq;
        }
        match event.event {
            Some(Happened::Message(message)) => drop(self.held.insert(message.seq, (message.content, false))),
            Some(Happened::Edited(edited)) => {
                let message = edited.message.unwrap();
                if let Some(held) = self.held.get_mut(&message.seq) {
                    held.0 = message.content;
                }
            }
            Some(Happened::Deleted(deleted)) => {
                if let Some(held) = self.held.get_mut(&deleted.message_seq) {
                    *held = (String::new(), true);
                }
            }
            Some(Happened::ResyncRequired(resync)) => {
                assert!(resync.drop_up_to_seq >= resync.resumed_after_seq);
                self.held.retain(|seq, _| *seq > resync.drop_up_to_seq);
                self.cursor = resync.resumed_after_seq;
                let page = user.ok("GetMessageHistory", json!({"room_id": event.room_id, "limit": 100})).await;
                for message in page["messages"].as_array().unwrap() {
                    self.held.insert(number(message, "/seq"), shown(message));
                }
            }
            _ => {}
        }
    }
}

fn shown(message: &Value) -> (String, bool) {
    (message["content"].as_str().unwrap().to_owned(), message["deleted"].as_bool().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_resync_no_client_holds_what_was_deleted_or_edited() {
    let sandbox = Sandbox::with(&[("streams.catch_up_max", "20")]).await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let mut client = Client { cursor: 1, ..Client::default() };
    let mut stream = ben.listen("phone", &[(&id, 1)]).await;
    let deleted = say(&ana, &id, "esto se borra").await;
    let edited = say(&ana, &id, "esto canbia").await;
    while client.cursor < 3 {
        let event = stream.durable().await;
        client.take(&ben, event).await;
    }
    assert_eq!(client.held.len(), 2);
    drop(stream);
    ana.ok("DeleteMessage", json!({"message_id": deleted["id"]})).await;
    ana.ok("EditMessage", json!({"message_id": edited["id"], "content": "esto cambia"})).await;
    for n in 0..30 {
        say(&ana, &id, &format!("lejos {n}")).await;
    }
    let mut stream = ben.listen("phone", &[(&id, client.cursor)]).await;
    let last = number(&say(&ana, &id, "en vivo").await, "/seq");
    while client.cursor < last {
        let event = stream.next().await.unwrap();
        client.take(&ben, event).await;
    }
    let page = ben.ok("GetMessageHistory", json!({"room_id": id, "limit": 100})).await;
    let truth: BTreeMap<i64, (String, bool)> =
        page["messages"].as_array().unwrap().iter().map(|message| (number(message, "/seq"), shown(message))).collect();
    assert_eq!(client.held, truth);
    assert!(client.held.values().all(|(content, _)| content != "esto se borra" && content != "esto canbia"));
}
