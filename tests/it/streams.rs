//! Streams: everything that happens, once and in order, and no silence where something is missing.

use serde_json::json;
use tertulia_proto::chat::v1::{self as pb, event::Event as Happened};
use tonic::Code;

use crate::{
    caller::{group, number, say, text},
    listener::stream_request,
    sandbox::Sandbox,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_durable_change_is_told_in_order() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let mut stream = ben.listen("phone", &[]).await;
    let message = say(&ana, &id, "uno").await;
    let by_id = json!({"message_id": message["id"]});
    ana.ok("EditMessage", json!({"message_id": message["id"], "content": "1"})).await;
    ana.ok("ReactToMessage", json!({"message_id": message["id"], "reaction": "👍"})).await;
    ana.ok("PinMessage", by_id.clone()).await;
    ana.ok("UpdateRoom", json!({"room_id": id, "name": "Otra"})).await;
    ana.ok("UpdateParticipant", json!({"room_id": id, "user_id": 2, "role": "ADMIN"})).await;
    ana.ok("AddParticipants", json!({"room_id": id, "user_ids": [3]})).await;
    ana.ok("RemoveParticipants", json!({"room_id": id, "user_ids": [3]})).await;
    ana.ok("DeleteMessage", by_id).await;
    let mut kinds = Vec::new();
    for seq in 2..=10 {
        let event = stream.durable().await;
        assert_eq!((event.seq, &event.room_id, event.user_id), (seq, &id, 1), "{event:?}");
        kinds.push(match event.event.unwrap() {
            Happened::Message(message) => format!("message {}", message.content),
            Happened::Edited(edited) => format!("edited {}", edited.message.unwrap().content),
            Happened::Reaction(reaction) => format!("reaction {}", reaction.reaction),
            Happened::Pinned(pinned) => format!("pinned {}", pinned.pinned),
            Happened::RoomUpdate(update) => format!("update {}", update.room.unwrap().name),
            Happened::ParticipantUpdate(update) => {
                format!("role {}", update.participant.unwrap().role)
            }
            Happened::RoomJoin(join) => format!("join {}", join.participants[0].user_id),
            Happened::RoomLeave(leave) => format!("leave {:?} {}", leave.user_ids, leave.removed),
            Happened::Deleted(deleted) => format!("deleted {}", deleted.message_seq),
            other => format!("{other:?}"),
        });
    }
    let expected = [
        "message uno",
        "edited 1",
        "reaction 👍",
        "pinned true",
        "update Otra",
        "role 2",
        "join 3",
        "leave [3] true",
        "deleted 2",
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moments_reach_those_they_concern() {
    let sandbox = Sandbox::start().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let request = pb::StreamMessagesRequest { presence_of: vec![2], ..stream_request("laptop", &[]) };
    let mut stream = ana.try_listen(request).await.unwrap();
    let seen = ana.ok("GetPresence", json!({"user_ids": [1, 2]})).await;
    assert_eq!((&seen["presences"][0]["online"], &seen["presences"][1]["online"]), (&json!(true), &json!(false)));
    let phone = ben.listen("phone", &[]).await;
    let online = |event: &pb::Event| match &event.event {
        Some(Happened::Presence(presence)) if presence.user_id == 2 => Some(presence.online),
        _ => None,
    };
    while !stream.seek(online).await {}
    ben.ok("SetTyping", json!({"room_id": id, "typing": true})).await;
    let typing = stream.seek(|event| match &event.event {
        Some(Happened::Typing(typing)) => Some((event.user_id, typing.typing)),
        _ => None,
    });
    assert_eq!(typing.await, (2, true));
    let message = say(&ana, &id, "¿lo ves?").await;
    ben.ok("MarkMessagesAsRead", json!({"room_id": id})).await;
    let status = stream.seek(|event| match &event.event {
        Some(Happened::Status(status)) if status.status() == pb::MessageStatus::Read => Some(status.up_to_seq),
        _ => None,
    });
    assert_eq!(status.await, number(&message, "/seq"));
    drop(phone);
    while stream.seek(online).await {}
    let gone = ana.ok("GetPresence", json!({"user_ids": [2]})).await;
    assert_ne!(gone["presences"][0]["last_seen_at"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_comes_back_misses_nothing() {
    let sandbox = Sandbox::with(&[("streams.catch_up_max", "100")]).await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let mut stream = ben.listen("phone", &[(&id, 1)]).await;
    say(&ana, &id, "1").await;
    let seen = stream.durable().await.seq;
    drop(stream);
    for n in 2..=50 {
        say(&ana, &id, &n.to_string()).await;
    }
    let mut stream = ben.listen("phone", &[(&id, seen)]).await;
    say(&ana, &id, "51").await;
    let expected: Vec<String> = (2..=51).map(|n| n.to_string()).collect();
    assert_eq!(stream.contents_until("51").await, expected);

    let other = group(&ana, &[2]).await;
    let left = group(&ana, &[2]).await;
    ben.ok("LeaveRoom", json!({"room_id": left})).await;
    let mut stream = ben.listen("tablet", &[(&id, 52), (&left, 1)]).await;
    let (mut announced, mut told_left) = (None, false);
    while announced.is_none() || !told_left {
        let event = stream.next().await.unwrap();
        match event.event.unwrap() {
            Happened::RoomJoin(join) if event.room_id == other => announced = join.room,
            Happened::RoomLeave(leave) if event.room_id == left => told_left = leave.user_ids == [2],
            _ => {}
        }
    }
    assert_eq!(announced.unwrap().id, other);

    for n in 0..101 {
        say(&ana, &id, &format!("lejos {n}")).await;
    }
    let mut stream = ben.listen("old", &[(&id, 3)]).await;
    let resync = stream.seek(|event| match &event.event {
        Some(Happened::ResyncRequired(resync)) => Some((event.room_id.clone(), *resync)),
        _ => None,
    });
    let (room, resync) = resync.await;
    assert_eq!((room, resync.from_seq), (id.clone(), 4));
    say(&ana, &id, "en vivo").await;
    let live = stream.seek(|event| (event.seq > 0 && event.room_id == id).then_some(event.seq));
    assert_eq!(live.await, resync.resumed_after_seq + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_room_alone_and_the_clients_own_rules() {
    let sandbox = Sandbox::with(&[("streams.heartbeat_ms", "200")]).await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let (id, side) = (group(&ana, &[2]).await, group(&ana, &[2]).await);
    let one = pb::StreamMessagesRequest { room_id: id.clone(), ..stream_request("one", &[]) };
    let mut stream = ben.try_listen(one.clone()).await.unwrap();
    say(&ana, &side, "aparte").await;
    say(&ana, &id, "aquí").await;
    assert_eq!(stream.contents_until("aquí").await, ["aquí"]);
    for _ in 0..2 {
        stream.seek(|event| matches!(event.event, Some(Happened::Connected(_))).then_some(())).await;
    }
    let mut second = ben.try_listen(one.clone()).await.unwrap();
    stream.end().await.is(Code::Aborted, "stream_replaced", "");
    ben.ok("LeaveRoom", json!({"room_id": id})).await;
    let left = second.seek(|event| match &event.event {
        Some(Happened::RoomLeave(leave)) => Some(leave.user_ids.clone()),
        _ => None,
    });
    assert_eq!(left.await, [2]);
    ben.try_listen(one).await.err().unwrap().is(Code::NotFound, "room_not_found", "");

    let mut request = ben.signed(pb::StreamMessagesRequest::default());
    request.metadata_mut().insert("client-id", "from-metadata".parse().unwrap());
    let mut named = ben.stub().stream_messages(request).await.unwrap().into_inner();
    assert!(named.message().await.unwrap().is_some());
    let observed = sandbox.admin().ok("ObserveUser", json!({"user_id": 2})).await;
    let clients = crate::caller::each(&observed, "/streams", "client_id");
    assert!(clients.contains(&json!("from-metadata")), "{}", text(&json!({"all": observed.to_string()}), "/all"));
}
