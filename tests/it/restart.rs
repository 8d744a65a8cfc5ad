//! Going down and coming back: nothing that was acknowledged is lost, and clients go on where they stood.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tertulia::server::Server;
use tonic::Code;

use crate::{
    caller::{User, each, group, number, say},
    sandbox::Sandbox,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_is_there_after_a_restart() {
    let mut sandbox = Sandbox::on_disk().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    ben.ok("GetRooms", json!({})).await;
    let id = group(&ana, &[2, 3]).await;
    let send = json!({"room_id": id, "content": "una vez", "client_message_id": "c1", "external_ref": {"source": "s", "chat": "c", "message": "m"}});
    let first = ana.ok("SendMessage", send.clone()).await;
    let message = json!({"message_id": first["message"]["id"]});
    let second = say(&ana, &id, "dos").await;
    ben.ok("ReactToMessage", json!({"message_id": first["message"]["id"], "reaction": "🎉"})).await;
    ana.ok("PinMessage", message.clone()).await;
    ana.ok("EditMessage", json!({"message_id": second["id"], "content": "dos, corregido"})).await;
    ben.ok("MarkMessagesAsRead", json!({"room_id": id, "up_to_seq": 2})).await;
    ben.ok("SetRoomPreferences", json!({"room_id": id, "pinned": true, "muted_until": "2100-01-01T00:00:00Z"})).await;
    ben.ok("UpdateParticipant", json!({"room_id": id, "nickname": "Benito"})).await;
    ben.ok("BlockUser", json!({"user_id": 7})).await;
    ben.ok("RegisterToken", json!({"token": {"token": "t", "platform": "IOS", "client_id": "c"}})).await;
    ana.ok("SetSyncState", json!({"room_id": id, "source": "s", "position": "p"})).await;
    let asked = [
        ("GetRooms", json!({})),
        ("GetRoom", json!({"room_id": id})),
        ("GetRoomParticipants", json!({"room_id": id})),
        ("GetMessageHistory", json!({"room_id": id})),
        ("GetMessageHistory", json!({})),
        ("GetMessage", json!({"external_ref": {"source": "s", "chat": "c", "message": "m"}})),
        ("GetPinnedMessages", json!({"room_id": id})),
        ("GetMessageReceipts", message),
        ("ExplainUnread", json!({"room_id": id})),
        ("SearchMessages", json!({"query": "corregido"})),
        ("GetBlockedUsers", json!({})),
        ("GetTokens", json!({})),
        ("GetSyncState", json!({"room_id": id, "source": "s"})),
    ];
    let answers = async |sandbox: &Sandbox| {
        let mut answers = Vec::new();
        for user in [1, 2] {
            for (method, request) in &asked {
                answers.push(((*method, user), sandbox.user(user).ok(method, request.clone()).await));
            }
        }
        answers
    };
    let before = answers(&sandbox).await;
    for _ in 0..2 {
        sandbox.stop().await;
        sandbox.start_again().await;
        // Asleep first, then awake: both must say the same.
        for (seen, expected) in answers(&sandbox).await.iter().zip(&before) {
            assert_eq!(seen, expected);
        }
        let ana = sandbox.user(1);
        let again = ana.ok("SendMessage", send.clone()).await;
        assert_eq!((&again["duplicate"], &again["message"]["id"]), (&json!(true), &first["message"]["id"]));
        for (seen, expected) in answers(&sandbox).await.iter().zip(&before) {
            assert_eq!(seen, expected, "awake");
        }
    }
    let ana = sandbox.user(1);
    let next = say(&ana, &id, "tres").await;
    assert_eq!(number(&next, "/n"), 3);
    assert!(number(&next, "/id") > number(&second, "/id"));
}

/// Sends until it fails or is told to stop; returns what was acknowledged.
async fn insist(user: User, name: String, room: String, stop: Arc<AtomicBool>) -> Vec<(String, i64)> {
    let mut acked = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let content = format!("{name}-{n}");
        let request = json!({"room_id": room, "content": content, "client_message_id": content});
        match user.ask("SendMessage", request).await {
            Ok(answer) => acked.push((content, number(&answer, "/message/seq"))),
            // Down: what was under way has no answer.
            Err(_) => break,
        }
    }
    acked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_amid_sends_loses_nothing_acknowledged() {
    let mut sandbox = Sandbox::on_disk().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &(2..=8).collect::<Vec<_>>()).await;
    let mut acked = Vec::new();
    for round in 0..2 {
        let stop = Arc::new(AtomicBool::new(false));
        let mut senders = tokio::task::JoinSet::new();
        for user in 1..=8 {
            let name = format!("{round}-{user}");
            senders.spawn(insist(sandbox.user(user), name, id.clone(), Arc::clone(&stop)));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        sandbox.stop().await;
        stop.store(true, Ordering::SeqCst);
        acked.extend(senders.join_all().await.into_iter().flatten());
        sandbox.start_again().await;
    }
    assert!(acked.len() > 20, "only {} sends", acked.len());
    let admin = sandbox.admin();
    let (mut after, mut log) = (0, Vec::new());
    loop {
        let page = admin.ok("ReadLog", json!({"room_id": id, "after_seq": after, "limit": 500})).await;
        log.extend(page["entries"].as_array().unwrap().clone());
        if page["has_more"] == false {
            break;
        }
        after = number(log.last().unwrap(), "/event/seq");
    }
    let seqs: Vec<i64> = log.iter().map(|entry| number(entry, "/event/seq")).collect();
    assert_eq!(seqs, (1..=i64::try_from(log.len()).unwrap()).collect::<Vec<_>>());
    let contents: Vec<&Value> = log.iter().map(|entry| &entry["event"]["message"]["content"]).collect();
    for (content, seq) in &acked {
        let at: Vec<usize> = (0..contents.len()).filter(|at| contents[*at] == &json!(content)).collect();
        assert_eq!(at, [usize::try_from(seq - 1).unwrap()], "{content}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_told_and_resume_without_a_gap() {
    let mut sandbox = Sandbox::on_disk().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let mut stream = ben.listen("phone", &[(&id, 1)]).await;
    let open = tertulia_proto::chat::v1::SessionOpen { client_id: "bot".to_owned(), ..Default::default() };
    let mut session = ben.session(open).await.unwrap();
    session.step().await.unwrap();
    for n in 0..20 {
        say(&ana, &id, &n.to_string()).await;
    }
    let seen: Vec<i64> = {
        let mut seen = Vec::new();
        for _ in 0..5 {
            seen.push(stream.durable().await.seq);
        }
        seen
    };
    let server = sandbox.take_server();
    let (stopped, (ended, session_ended)) =
        tokio::join!(server.stop(), async { (stream.end().await, session.end().await) });
    stopped.unwrap();
    ended.is(Code::Unavailable, "draining", "");
    session_ended.unwrap().is(Code::Unavailable, "draining", "");

    sandbox.start_again().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let mut stream = ben.listen("phone", &[(&id, *seen.last().unwrap())]).await;
    say(&ana, &id, "después").await;
    let mut seqs = seen;
    while seqs.len() < 21 {
        seqs.push(stream.durable().await.seq);
    }
    assert_eq!(seqs, (2..=22).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_data_directory_is_for_one_server() {
    if !crate::store::is_embedded() {
        return;
    }
    let sandbox = Sandbox::on_disk().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    let error = Server::start(&sandbox.config(), false).await.err().unwrap();
    let shown = format!("{error:#}");
    assert!(shown.contains("another process") || shown.contains("in use") || shown.contains("locked"), "{shown}");
    let message = say(&ana, &id, "como si nada").await;
    assert_eq!(number(&message, "/seq"), 2);
    assert_eq!(each(&ana.ok("GetRooms", json!({})).await, "/rooms", "id"), [json!(id)]);
}
