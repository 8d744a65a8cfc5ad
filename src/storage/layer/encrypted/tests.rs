//! Sealing: nothing in plain below, nothing moved between rows, retries recognised.

use super::{toy::ToySealer, *};
use crate::{
    domain::ids::{ClientMessageId, MessageId, Ordinal, UserId},
    storage::{
        DeviceRow, Direction, LogStore, MessageKey, UserStore,
        conformance::{Fixture, event, filled, head, kind, member, message, room},
        embedded::EmbeddedStore,
    },
    store_conformance,
};

fn sealed() -> (Arc<dyn Store>, Encrypted) {
    let inner: Arc<dyn Store> = Arc::new(EmbeddedStore::in_memory());
    let store = Encrypted::new(Arc::clone(&inner), Arc::new(ToySealer::default()));
    (inner, store)
}

store_conformance!(encrypted_over_memory, Fixture::new(sealed().1));

const SECRET: &str = "plain secret";

/// Writes every body there is.
async fn write_all(store: &dyn Store) {
    let (r, user) = (room(1), UserId(7));
    let secret = || Bytes::from_static(SECRET.as_bytes());
    let epoch = store.claim(r).await.unwrap();
    let records = [Record { body: secret(), ..message(r, 1, 7) }, event(2)];
    let projection = Projection {
        room: Some(secret()),
        members: vec![member(7, SECRET)],
        states: vec![(Seq(1), secret())],
        redacted: vec![(Seq(2), secret())],
        ..head(2)
    };
    store.append(r, epoch, &records, &projection).await.unwrap();
    store.put_sync_state(r, "irc", secret()).await.unwrap();
    store.put_join_job(r, Some(secret())).await.unwrap();
    store.put_profile(user, secret()).await.unwrap();
    let device = DeviceRow { client_id: "web".into(), token_hash: [1; 32], body: secret() };
    store.put_device(user, &device).await.unwrap();
}

/// Reads every body there is.
async fn read_all(store: &dyn Store) -> Vec<Result<Bytes>> {
    let (r, user) = (room(1), UserId(7));
    let one = |body: Result<Option<Bytes>>| body.map(Option::unwrap);
    vec![
        store.record(r, Seq(1)).await.map(|record| record.unwrap().body),
        store.read_log(r, Seq(1), Direction::Forward, 1).await.map(|page| page[0].body.clone()),
        store.message_states(r, Seq(1), Seq(1)).await.map(|states| states[0].1.clone()),
        one(store.room(r).await),
        one(store.member(r, user).await),
        store.members(r, UserId(0), 1).await.map(|page| page[0].1.clone()),
        one(store.sync_state(r, "irc").await),
        store.sync_states(r).await.map(|states| states[0].1.clone()),
        one(store.join_job(r).await),
        store.join_jobs().await.map(|jobs| jobs[0].1.clone()),
        one(store.profiles(&[user]).await.map(|profiles| profiles[0].clone())),
        store.devices(user).await.map(|devices| devices[0].body.clone()),
    ]
}

#[tokio::test]
async fn no_body_reaches_the_store_below_in_plain() {
    let (inner, store) = sealed();
    write_all(&store).await;
    for body in read_all(&store).await {
        assert_eq!(body.unwrap(), SECRET);
    }
    let secret = SECRET.as_bytes();
    for body in read_all(&*inner).await {
        let body = body.unwrap();
        assert!(!body.windows(secret.len()).any(|part| part == secret));
        assert_eq!(body.len(), secret.len() + 16, "sealed once");
    }
}

#[tokio::test]
async fn what_was_not_sealed_is_corrupt() {
    let (inner, store) = sealed();
    write_all(&*inner).await;
    for body in read_all(&store).await {
        assert_eq!(kind(body), StoreErrorKind::Corrupt);
    }
}

#[tokio::test]
async fn a_body_in_another_row_is_corrupt() {
    let (inner, store) = sealed();
    let (epoch, _) = filled(&store, room(1), 2).await;
    let foreign = inner.record(room(1), Seq(1)).await.unwrap().unwrap().body;
    let swap = Projection { redacted: vec![(Seq(2), foreign.clone())], ..head(2) };
    inner.append(room(1), epoch, &[], &swap).await.unwrap();
    assert_eq!(kind(store.record(room(1), Seq(2)).await), StoreErrorKind::Corrupt);
    assert_eq!(kind(store.read_log(room(1), Seq(0), Direction::Forward, 9).await), StoreErrorKind::Corrupt);
    inner.put_profile(UserId(1), foreign).await.unwrap();
    assert_eq!(kind(store.profiles(&[UserId(1)]).await), StoreErrorKind::Corrupt);
}

#[tokio::test]
async fn an_append_made_again_keeps_the_stored_bytes() {
    let (inner, store) = sealed();
    let (epoch, records) = filled(&store, room(1), 3).await;
    let stored = inner.read_log(room(1), Seq(0), Direction::Forward, 9).await.unwrap();
    store.append(room(1), epoch, &records, &head(3)).await.unwrap();
    assert_eq!(inner.read_log(room(1), Seq(0), Direction::Forward, 9).await.unwrap(), stored);
}

#[test]
fn every_row_is_bound_to_itself() {
    let (first, second) = (event(1), event(2));
    let rows = [
        Row::Log(room(1), Seq(1)),
        Row::Event(room(1), &first),
        Row::Event(room(1), &second),
        Row::Event(room(2), &first),
        Row::State(room(1), Seq(1)),
        Row::Room(room(1)),
        Row::Member(room(1), UserId(1)),
        Row::Member(room(1), UserId(2)),
        Row::Sync(room(1), "a"),
        Row::Sync(room(1), "b"),
        Row::JoinJob(room(1)),
        Row::Profile(UserId(1)),
        Row::Device(UserId(1), "a"),
        Row::Device(UserId(1), "b"),
        Row::Device(UserId(2), "a"),
    ];
    let forms: std::collections::HashSet<_> = rows.iter().map(Row::aad).collect();
    assert_eq!(forms.len(), rows.len());
    let r = hex::encode(room(1).0);
    assert_eq!(hex::encode(rows[0].aad()), format!("01{r}0000000000000001"), "part of what is stored");
    assert_eq!(hex::encode(rows[12].aad()), "08000000000000000161");
}

/// What stands beside a body in clear is as it was, or the body does not open.
#[tokio::test]
async fn an_event_whose_row_was_changed_is_corrupt() {
    let (r, user) = (room(1), UserId(1));
    let twin = crate::storage::conformance::external("s", "c", "m");
    let original = crate::storage::conformance::with_external(message(r, 1, 1), &twin);
    let (inner, store) = sealed();
    let epoch = store.claim(r).await.unwrap();
    store.append(r, epoch, std::slice::from_ref(&original), &head(1)).await.unwrap();
    let stored = inner.record(r, Seq(1)).await.unwrap().unwrap();
    let key = stored.message.clone().unwrap();
    let forged = |change: &dyn Fn(&mut Record)| {
        let mut record = stored.clone();
        change(&mut record);
        record
    };
    let rows = [
        forged(&|record| record.actor = UserId(2)),
        forged(&|record| record.at_ms -= 86_400_000),
        forged(&|record| record.kind = 2),
        forged(&|record| record.n = Ordinal(7)),
        forged(&|record| record.message = None),
        forged(&|record| record.message = Some(MessageKey { id: MessageId(5), ..key.clone() })),
        forged(&|record| record.message = Some(MessageKey { client_id: ClientMessageId("x".into()), ..key.clone() })),
        forged(&|record| record.message = Some(MessageKey { external: None, ..key.clone() })),
    ];
    for row in rows {
        let inner: Arc<dyn Store> = Arc::new(EmbeddedStore::in_memory());
        let epoch = inner.claim(r).await.unwrap();
        inner.append(r, epoch, std::slice::from_ref(&row), &head(1)).await.unwrap();
        let store = Encrypted::new(inner, Arc::new(ToySealer::default()));
        assert_eq!(kind(store.record(r, Seq(1)).await), StoreErrorKind::Corrupt, "{row:?}");
        // Nor does a deletion make it true.
        let erase = Projection { redacted: vec![(Seq(1), Bytes::from_static(b"gone"))], ..head(1) };
        assert_eq!(kind(store.append(r, epoch, &[], &erase).await), StoreErrorKind::Corrupt, "{row:?}");
    }
    assert_eq!(store.record(r, Seq(1)).await.unwrap().unwrap().actor, user);
}

/// They were bound to their place alone, and are until something else is put there.
#[tokio::test]
async fn events_that_older_programs_sealed_are_read() {
    let (inner, store) = sealed();
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    let old = Record { body: store.seal(Row::Log(r, Seq(1)), b"once"), ..message(r, 1, 1) };
    inner.append(r, epoch, &[old], &head(1)).await.unwrap();
    assert_eq!(store.record(r, Seq(1)).await.unwrap().unwrap().body, &b"once"[..]);
    let erase = Projection { redacted: vec![(Seq(1), Bytes::from_static(b"gone"))], ..head(1) };
    store.append(r, epoch, &[], &erase).await.unwrap();
    let stored = inner.record(r, Seq(1)).await.unwrap().unwrap();
    assert_eq!(
        store.open("test", Row::Event(r, &stored), &stored.body).unwrap(),
        &b"gone"[..],
        "bound to all of it now"
    );
}
