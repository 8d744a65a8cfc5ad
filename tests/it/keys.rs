//! Master keys: a store is served with those that it was written with, or not at all.

use serde_json::json;

use crate::{
    caller::{group, say},
    sandbox::Sandbox,
};

const IV: &str = "00112233445566778899aabbccddeeff";

fn key(digit: char) -> String {
    digit.to_string().repeat(64)
}

/// Number and key, as one of those that are only read with.
fn old(id: u8, digit: char) -> String {
    format!("{id}:{}:{IV}", key(digit))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_or_forgotten_key_is_refused_by_its_number() {
    let mut sandbox = Sandbox::with(&[("encryption.key", &key('a')), ("encryption.iv", IV)]).await;
    let ana = sandbox.user(1);
    let id = group(&ana, &[2]).await;
    say(&ana, &id, "con la primera").await;
    sandbox.stop().await;

    sandbox.set("encryption.key", &key('b'));
    let why = sandbox.refusal().await;
    assert!(why.contains("another master key 1"), "{why}");
    sandbox.set("encryption.key_id", "2");
    let why = sandbox.refusal().await;
    assert!(why.contains("master key 1") && why.contains("encryption.old_keys"), "{why}");
    sandbox.set("encryption.old_keys", &old(1, 'c'));
    let why = sandbox.refusal().await;
    assert!(why.contains("another master key 1"), "{why}");

    // A rotation as it should be; nothing was harmed by the attempts.
    sandbox.set("encryption.old_keys", &old(1, 'a'));
    sandbox.start_again().await;
    let ana = sandbox.user(1);
    say(&ana, &id, "con la segunda").await;
    let page = ana.ok("GetMessageHistory", json!({"room_id": id})).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 2, "{page}");
    sandbox.stop().await;

    // Both are needed from now on, whichever is current.
    sandbox.set("encryption.old_keys", "");
    let why = sandbox.refusal().await;
    assert!(why.contains("master key 1"), "{why}");
    sandbox.set("encryption.key", &key('a'));
    sandbox.set("encryption.key_id", "1");
    let why = sandbox.refusal().await;
    assert!(why.contains("master key 2"), "{why}");
    sandbox.set("encryption.old_keys", &old(2, 'b'));
    sandbox.start_again().await;
    sandbox.stop().await;
}
