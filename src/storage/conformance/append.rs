//! Appends: all or nothing, idempotent, in order.

use bytes::Bytes;

use super::{event, external, filled, head, kind, member, message, room, with_external, written_by};
use crate::{
    domain::ids::{ClientMessageId, MessageId, Ordinal, Seq, UserId},
    storage::{Direction, Position, Projection, ReactionRow, Record, RoomHead, Store, StoreErrorKind},
};

/// All that an append says is read back as it was given.
pub async fn stores_what_it_is_given(store: &dyn Store) {
    let (r, user) = (room(1), UserId(7));
    let epoch = store.claim(r).await.unwrap();
    let twin = external("s", "c", "m");
    let records = [event(1), message(r, 2, 7), with_external(message(r, 3, 8), &twin)];
    let position = Position { read_seq: Seq(2), read_n: Ordinal(1), ..Position::default() };
    let reaction = ReactionRow { seq: Seq(2), user, reaction: "👍".into() };
    let projection = Projection {
        head: RoomHead {
            seq: Seq(3),
            n: Ordinal(2),
            message_seq: Seq(3),
            message_id: MessageId(5),
            activity_ms: 99,
            members: 2,
        },
        room: Some(Bytes::from_static(b"settings")),
        members: vec![member(7, "owner")],
        positions: vec![(user, position)],
        states: vec![(Seq(2), Bytes::from_static(b"edited"))],
        reacted: vec![reaction.clone()],
        pinned: vec![(Seq(2), Seq(3))],
        ..Projection::default()
    };
    store.append(r, epoch, &records, &projection).await.unwrap();

    let stored = store.read_log(r, Seq(0), Direction::Forward, 10).await.unwrap();
    assert_eq!(stored, written_by(epoch, &records));
    assert_eq!(store.head(r).await.unwrap(), Some(projection.head));
    assert_eq!(store.room(r).await.unwrap().unwrap(), "settings");
    assert_eq!(store.member(r, user).await.unwrap().unwrap(), "owner");
    assert_eq!(store.room_of(user, r).await.unwrap().unwrap().listing, projection.members[0].listing);
    assert_eq!(store.position(r, user).await.unwrap(), position);
    assert_eq!(store.message_states(r, Seq(1), Seq(3)).await.unwrap(), projection.states);
    assert!(store.has_reaction(r, &reaction).await.unwrap());
    assert_eq!(store.pins(r, 10).await.unwrap(), projection.pinned);
    assert_eq!(store.find_external(&twin).await.unwrap().unwrap().seq, Seq(3));
}

/// One reason to refuse, and nothing of the append is there.
pub async fn is_all_or_nothing(store: &dyn Store) {
    let taken = external("s", "c", "taken");
    let other = room(1);
    let epoch = store.claim(other).await.unwrap();
    store.append(other, epoch, &[with_external(message(other, 1, 1), &taken)], &head(1)).await.unwrap();

    let r = room(2);
    let epoch = store.claim(r).await.unwrap();
    let free = external("s", "c", "free");
    let records = [with_external(message(r, 1, 7), &free), with_external(message(r, 2, 7), &taken)];
    let projection = Projection {
        room: Some(Bytes::from_static(b"settings")),
        members: vec![member(7, "owner")],
        positions: vec![(UserId(7), Position { sent_n: Ordinal(2), ..Position::default() })],
        states: vec![(Seq(1), Bytes::from_static(b"x"))],
        reacted: vec![ReactionRow { seq: Seq(1), user: UserId(7), reaction: "+".into() }],
        pinned: vec![(Seq(1), Seq(2))],
        ..head(2)
    };
    assert_eq!(kind(store.append(r, epoch, &records, &projection).await), StoreErrorKind::Conflict);

    assert!(store.read_log(r, Seq(0), Direction::Forward, 10).await.unwrap().is_empty());
    assert_eq!(store.head(r).await.unwrap(), None);
    assert_eq!(store.room(r).await.unwrap(), None);
    assert!(store.rooms(None, 10).await.unwrap().is_empty());
    assert_eq!(store.member(r, UserId(7)).await.unwrap(), None);
    assert!(store.rooms_of(UserId(7), None, 10).await.unwrap().is_empty());
    assert_eq!(store.position(r, UserId(7)).await.unwrap(), Position::default());
    assert!(store.message_states(r, Seq(0), Seq(9)).await.unwrap().is_empty());
    assert!(store.reactions(r, Seq(1), None, 9).await.unwrap().is_empty());
    assert!(store.pins(r, 9).await.unwrap().is_empty());
    for record in &records {
        let key = record.message.as_ref().unwrap();
        assert_eq!(store.find_message(key.id).await.unwrap(), None);
        assert_eq!(store.find_client_message(UserId(7), &key.client_id).await.unwrap(), None);
    }
    assert_eq!(store.find_external(&free).await.unwrap(), None);
    // And the seqs are free.
    store.append(r, epoch, &[message(r, 1, 7)], &head(1)).await.unwrap();
}

/// A retry after an unknown outcome succeeds and has no second effect, not even of its projection.
pub async fn the_same_again_writes_nothing(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    let twin = external("s", "c", "m");
    let records = [event(1), with_external(message(r, 2, 7), &twin)];
    store.append(r, epoch, &records, &head(2)).await.unwrap();
    store.append(r, epoch, &records, &head(2)).await.unwrap();
    assert_eq!(store.read_log(r, Seq(0), Direction::Forward, 10).await.unwrap(), written_by(epoch, &records));

    store.append(r, epoch, &[message(r, 3, 7)], &head(3)).await.unwrap();
    let projection =
        Projection { positions: vec![(UserId(7), Position { read_seq: Seq(2), ..Position::default() })], ..head(2) };
    store.append(r, epoch, &records, &projection).await.unwrap();
    assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(3), "an old retry does not turn the head back");
    assert_eq!(store.position(r, UserId(7)).await.unwrap(), Position::default());
    // A part of what is stored is stored as well.
    store.append(r, epoch, &records[..1], &head(1)).await.unwrap();
    assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(3));
}

/// The epoch is set by the store and does not make records differ; the row keeps the epoch that wrote it.
pub async fn the_same_again_under_a_newer_epoch(store: &dyn Store) {
    let r = room(1);
    let (first, stored) = filled(store, r, 2).await;
    let second = store.claim(r).await.unwrap();
    assert_eq!(kind(store.append(r, first, &stored, &head(2)).await), StoreErrorKind::Fenced);
    store.append(r, second, &stored, &head(2)).await.unwrap();
    assert_eq!(store.read_log(r, Seq(0), Direction::Forward, 10).await.unwrap(), stored);
}

/// Every field of a record counts, and a batch is stored whole or not at all.
pub async fn other_records_at_a_stored_seq_conflict(store: &dyn Store) {
    let r = room(1);
    let (epoch, stored) = filled(store, r, 3).await;
    let base = stored[1].clone();
    let key = base.message.clone().unwrap();
    let mut changed = vec![
        Record { n: Ordinal(9), ..base.clone() },
        Record { kind: 2, ..base.clone() },
        Record { actor: UserId(2), ..base.clone() },
        Record { at_ms: 0, ..base.clone() },
        Record { message: None, ..base.clone() },
        Record { body: Bytes::new(), ..base.clone() },
        with_external(base.clone(), &external("a", "b", "c")),
    ];
    let mut other = key.clone();
    other.id = MessageId(77);
    changed.push(Record { message: Some(other), ..base.clone() });
    let mut other = key;
    other.client_id = ClientMessageId("other".into());
    changed.push(Record { message: Some(other), ..base });
    for record in changed {
        let result = store.append(r, epoch, std::slice::from_ref(&record), &head(2)).await;
        assert_eq!(kind(result), StoreErrorKind::Conflict, "{record:?}");
    }
    let overlapping = [stored[2].clone(), message(r, 4, 1)];
    assert_eq!(kind(store.append(r, epoch, &overlapping, &head(4)).await), StoreErrorKind::Conflict);
    assert_eq!(store.read_log(r, Seq(0), Direction::Forward, 10).await.unwrap(), stored);
    assert_eq!(store.find_message(MessageId(77)).await.unwrap(), None);
}

/// Seqs have no gap, neither before nor within the records.
pub async fn gaps_conflict(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    for first in [0, 2, u64::MAX] {
        let result = store.append(r, epoch, &[event(first)], &head(first)).await;
        assert_eq!(kind(result), StoreErrorKind::Conflict, "first seq {first}");
    }
    store.append(r, epoch, &[event(1)], &head(1)).await.unwrap();
    for seqs in [&[3][..], &[2, 4], &[2, 2], &[3, 2], &[2, 3, 5]] {
        let records: Vec<_> = seqs.iter().map(|seq| event(*seq)).collect();
        let result = store.append(r, epoch, &records, &head(*seqs.last().unwrap())).await;
        assert_eq!(kind(result), StoreErrorKind::Conflict, "{seqs:?}");
    }
    assert_eq!(store.read_log(r, Seq(0), Direction::Forward, 10).await.unwrap().len(), 1);
}
