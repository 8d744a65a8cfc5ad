//! What the store tells to whoever reads all of it and has no key.

use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tertulia::{
    client::check::{CheckOptions, check},
    domain::{ids::RoomId, message::Draft},
};
use tonic::Code;

use crate::{
    caller::{group, number, say},
    sandbox::Sandbox,
};

/// What somebody might have said, and did.
const SAID: [&str; 4] = ["sí", "nos vemos a las ocho", "te quiero", "la clave es 1234"];
/// What is changed to that.
const CHANGED: &str = "nos vemos a las nueve";

fn is_in(all: &[u8], bytes: &[u8]) -> bool {
    let hex = hex::encode(bytes);
    let found = |wanted: &[u8]| all.windows(wanted.len()).any(|window| window == wanted);
    found(bytes) || found(hex.as_bytes())
}

/// What can be computed of a text by whoever knows where it was said: so much of it that chance does not make it.
fn marks(room: RoomId, text: &str) -> Vec<[u8; 8]> {
    let draft = Draft { content: text.to_owned(), ..Draft::default() };
    let digests = [
        draft.hash(room).0.to_vec(),
        Sha256::digest(text).to_vec(),
        Sha256::digest([&room.0, text.as_bytes()].concat()).to_vec(),
    ];
    digests.iter().map(|digest| digest[..8].try_into().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_can_try_texts_against_the_store() {
    let mut sandbox = Sandbox::on_disk().await;
    let (ana, ben) = (sandbox.user(1), sandbox.user(2));
    let id = group(&ana, &[2]).await;
    let mut sent = Vec::new();
    for text in SAID {
        sent.push(say(&ana, &id, text).await);
    }
    ana.ok("EditMessage", json!({"message_id": sent[1]["id"], "content": CHANGED})).await;
    ana.ok("DeleteMessage", json!({"message_id": sent[2]["id"]})).await;
    ben.ok("ReactToMessage", json!({"message_id": sent[0]["id"], "reaction": "👍"})).await;
    ben.ok("GetMessageHistory", json!({"room_id": id})).await;
    sandbox.stop().await;
    let all = sandbox.stored().await;
    let client_id = sent[0]["client_message_id"].as_str().unwrap();
    assert!(is_in(&all, client_id.as_bytes()), "this is not all that is stored");
    let room = RoomId(*id.parse::<uuid::Uuid>().unwrap().as_bytes());
    for text in SAID.into_iter().chain([CHANGED]) {
        assert!(text.len() < 8 || !is_in(&all, text.as_bytes()), "{text:?} is there in clear");
        for mark in marks(room, text) {
            assert!(!is_in(&all, &mark), "{text:?} can be recognised");
        }
    }
}

/// What says whether a send is the same again is sealed with the text, and goes with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_again_is_told_from_another_by_what_is_sealed() {
    let mut sandbox = Sandbox::start().await;
    let id = group(&sandbox.user(1), &[2]).await;
    let send =
        |content: &str, client_id: &str| json!({"room_id": id, "content": content, "client_message_id": client_id});
    let edited = sandbox.user(1).ok("SendMessage", send("uno", "a")).await;
    let deleted = sandbox.user(1).ok("SendMessage", send("dos", "b")).await;
    sandbox.user(1).ok("EditMessage", json!({"message_id": edited["message"]["id"], "content": "otro"})).await;
    sandbox.user(1).ok("DeleteMessage", json!({"message_id": deleted["message"]["id"]})).await;
    for is_awake in [true, false] {
        if !is_awake {
            sandbox.stop().await;
            sandbox.start_again().await;
        }
        let ana = sandbox.user(1);
        let again = ana.ok("SendMessage", send("uno", "a")).await;
        assert_eq!((&again["duplicate"], &again["message"]["id"]), (&json!(true), &edited["message"]["id"]));
        assert_eq!(again["message"]["content"], "otro", "as it is now");
        ana.refused("SendMessage", send("otro", "a")).await.is(Code::AlreadyExists, "client_message_id_reused", "");
        // Nothing is left that could tell: the client id decides.
        for content in ["dos", "tres"] {
            let again = ana.ok("SendMessage", send(content, "b")).await;
            assert_eq!((&again["duplicate"], &again["message"]["id"]), (&json!(true), &deleted["message"]["id"]));
            assert_eq!((&again["message"]["content"], &again["message"]["deleted"]), (&json!(""), &json!(true)));
        }
    }
}

/// Whoever can write to the database puts words in nobody's mouth.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_given_to_another_author_is_not_shown() {
    let mut sandbox = Sandbox::start().await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2, 3]).await;
    let first = say(&ana, &id, "fui yo").await;
    let second = say(&ana, &id, "y yo").await;
    sandbox.stop().await;
    if !sandbox.give_away(&id, number(&first, "/seq"), 3).await {
        return;
    }
    sandbox.start_again().await;
    let ben = sandbox.user(2);
    for (method, request) in [
        ("GetMessageHistory", json!({"room_id": id})),
        ("GetMessage", json!({"message_id": first["id"]})),
        ("SearchMessages", json!({"query": "fui", "room_id": id})),
    ] {
        let refused = ben.ask(method, request).await.expect_err(method);
        assert_eq!((refused.code, &*refused.reason), (Code::DataLoss, "store_failed"), "{method}: {refused:?}");
    }
    assert_eq!(ben.ok("GetMessage", json!({"message_id": second["id"]})).await["message"]["content"], "y yo");
    let token = sandbox.mint(9_999, true, Duration::from_secs(600), 0);
    let report = check(CheckOptions::new(format!("http://{}", sandbox.addr()), token)).await;
    assert!(report.map_or(true, |report| !report.ok), "the check finds it");
}
