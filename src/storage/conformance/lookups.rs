//! Finding messages, their states, reactions and pins.

use bytes::Bytes;

use super::{external, filled, head, kind, message, project, room, with_external, with_projection};
use crate::{
    domain::ids::{ClientMessageId, MessageId, Seq, UserId},
    storage::{MessageRef, Projection, ReactionRow, Record, Store, StoreErrorKind},
};

/// By id, by the sender's id, and by the twin elsewhere, always the same place.
pub async fn messages_are_found_by_every_key(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    let twin = external("irc", "#chan", "42");
    let record = with_external(message(r, 1, 7), &twin);
    let key = record.message.clone().unwrap();
    store.append(r, epoch, &[record], &head(1)).await.unwrap();
    let expected = Some(MessageRef { room: r, seq: Seq(1), id: key.id });
    assert_eq!(store.find_message(key.id).await.unwrap(), expected);
    assert_eq!(store.find_client_message(UserId(7), &key.client_id).await.unwrap(), expected);
    assert_eq!(store.find_external(&twin).await.unwrap(), expected);

    assert_eq!(store.find_message(MessageId(key.id.0 + 1)).await.unwrap(), None);
    assert_eq!(store.find_client_message(UserId(8), &key.client_id).await.unwrap(), None);
    assert_eq!(store.find_client_message(UserId(7), &ClientMessageId("c".into())).await.unwrap(), None);
    assert_eq!(store.find_external(&external("irc", "#chan", "4")).await.unwrap(), None);
}

/// One client id in two rooms: both are stored, and the first one is found.
pub async fn the_first_message_keeps_a_client_id(store: &dyn Store) {
    let mut records = Vec::new();
    for number in 1..=2 {
        let r = room(number);
        let epoch = store.claim(r).await.unwrap();
        let mut record = message(r, 1, 7);
        let key = record.message.as_mut().unwrap();
        key.client_id = ClientMessageId("same".into());
        store.append(r, epoch, std::slice::from_ref(&record), &head(1)).await.unwrap();
        records.push(record);
    }
    let found = store.find_client_message(UserId(7), &ClientMessageId("same".into())).await.unwrap().unwrap();
    assert_eq!(found.room, room(1));
    for (number, record) in (1..).zip(&records) {
        let id = record.message.as_ref().unwrap().id;
        assert_eq!(store.find_message(id).await.unwrap().unwrap().room, room(number));
    }
}

/// An external reference is one message's, in the whole store and within one append.
pub async fn external_references_are_unique(store: &dyn Store) {
    let twin = external("s", "c", "m");
    let (a, b) = (room(1), room(2));
    let first = store.claim(a).await.unwrap();
    let second = store.claim(b).await.unwrap();
    store.append(a, first, &[with_external(message(a, 1, 1), &twin)], &head(1)).await.unwrap();
    let taken = [with_external(message(b, 1, 1), &twin)];
    assert_eq!(kind(store.append(b, second, &taken, &head(1)).await), StoreErrorKind::Conflict);
    let other = external("s", "c", "n");
    let twice = [with_external(message(b, 1, 1), &other), with_external(message(b, 2, 1), &other)];
    assert_eq!(kind(store.append(b, second, &twice, &head(2)).await), StoreErrorKind::Conflict);
    assert_eq!(store.find_external(&twin).await.unwrap().unwrap().room, a);
    assert_eq!(store.find_external(&other).await.unwrap(), None);
    store.append(b, second, &twice[..1], &head(1)).await.unwrap();
    assert_eq!(store.find_external(&other).await.unwrap().unwrap().room, b);
}

/// `a, bc, d` is not `ab, c, d`.
pub async fn external_parts_do_not_run_together(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    let twins = [external("a", "bc", "d"), external("ab", "c", "d"), external("a", "b", "cd"), external("a", "b", "c")];
    for (seq, twin) in (1..).zip(&twins) {
        store.append(r, epoch, &[with_external(message(r, seq, 1), twin)], &head(seq)).await.unwrap();
    }
    for (seq, twin) in (1..).zip(&twins) {
        assert_eq!(store.find_external(twin).await.unwrap().unwrap().seq, Seq(seq));
    }
}

/// States of a range, both ends included, the last one written.
pub async fn states_in_a_range(store: &dyn Store) {
    let r = room(1);
    let state = |seq: u64, text: &'static str| (Seq(seq), Bytes::from_static(text.as_bytes()));
    let epoch = with_projection(
        store,
        r,
        Projection { states: vec![state(300, "c"), state(2, "a"), state(5, "old")], ..Projection::default() },
    )
    .await;
    project(store, r, epoch, 1, Projection { states: vec![state(5, "b")], ..Projection::default() }).await;
    let range = async |from, to| store.message_states(r, Seq(from), Seq(to)).await.unwrap();
    assert_eq!(range(0, u64::MAX).await, [state(2, "a"), state(5, "b"), state(300, "c")]);
    assert_eq!(range(2, 5).await, [state(2, "a"), state(5, "b")]);
    assert_eq!(range(3, 4).await, []);
    assert_eq!(range(5, 5).await, [state(5, "b")]);
    assert_eq!(range(5, 2).await, []);
    assert!(store.message_states(room(2), Seq(0), Seq(9)).await.unwrap().is_empty());
}

/// Reactions page by user, then reaction; given twice is given once; taken back is gone.
pub async fn reactions_come_by_user(store: &dyn Store) {
    let r = room(1);
    let row = |seq: u64, user: i64, reaction: &str| ReactionRow {
        seq: Seq(seq),
        user: UserId(user),
        reaction: reaction.into(),
    };
    let given = vec![row(1, 9, "+"), row(1, 2, "b"), row(1, 2, "a"), row(2, 1, "+"), row(1, 2, "a")];
    let epoch = with_projection(store, r, Projection { reacted: given, ..Projection::default() }).await;
    let all = store.reactions(r, Seq(1), None, 9).await.unwrap();
    assert_eq!(all, [row(1, 2, "a"), row(1, 2, "b"), row(1, 9, "+")]);
    let page = store.reactions(r, Seq(1), Some((UserId(2), "a".into())), 1).await.unwrap();
    assert_eq!(page, [row(1, 2, "b")]);
    assert_eq!(store.reactions(r, Seq(1), Some((UserId(2), "b".into())), 9).await.unwrap(), [row(1, 9, "+")]);
    assert!(store.reactions(r, Seq(1), None, 0).await.unwrap().is_empty());

    assert!(store.has_reaction(r, &row(1, 2, "b")).await.unwrap());
    let back = vec![row(1, 2, "b"), row(1, 2, "never given")];
    project(store, r, epoch, 1, Projection { unreacted: back, ..Projection::default() }).await;
    assert!(!store.has_reaction(r, &row(1, 2, "b")).await.unwrap());
    assert!(!store.has_reaction(r, &row(2, 2, "a")).await.unwrap());
    assert_eq!(store.reactions(r, Seq(1), None, 9).await.unwrap().len(), 2);
}

/// Pins come by the pinned message's seq.
pub async fn pins_come_by_message(store: &dyn Store) {
    let r = room(1);
    let (epoch, _) = filled(store, r, 3).await;
    let pinned = vec![(Seq(3), Seq(4)), (Seq(1), Seq(5))];
    project(store, r, epoch, 3, Projection { pinned, ..Projection::default() }).await;
    assert_eq!(store.pins(r, 9).await.unwrap(), [(Seq(1), Seq(5)), (Seq(3), Seq(4))]);
    assert_eq!(store.pins(r, 1).await.unwrap(), [(Seq(1), Seq(5))]);
    let pinned = vec![(Seq(3), Seq(9))];
    project(store, r, epoch, 3, Projection { pinned, unpinned: vec![Seq(1), Seq(2)], ..Projection::default() }).await;
    assert_eq!(store.pins(r, 9).await.unwrap(), [(Seq(3), Seq(9))]);
    assert!(store.pins(room(2), 9).await.unwrap().is_empty());
    let record: Option<Record> = store.record(r, Seq(3)).await.unwrap();
    assert!(record.is_some(), "pins are no events");
}
