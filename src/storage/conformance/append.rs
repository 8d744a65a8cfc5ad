//! Appends: all or nothing, idempotent, in order.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    event, external, filled, head, kind, member, message, room, with_external, with_projection,
    written_by,
};
use crate::{
    domain::ids::{ClientMessageId, Epoch, MessageId, Ordinal, Seq, UserId},
    storage::{
        Direction, MemberRow, Position, Projection, ReactionRow, Record, RoomHead, Store,
        StoreErrorKind,
    },
};

/// All that an append says is read back as it was given.
pub async fn stores_what_it_is_given(store: &dyn Store) {
    let (r, user) = (room(1), UserId(7));
    let epoch = store.claim(r).await.unwrap();
    let twin = external("s", "c", "m");
    let records = [
        event(1),
        message(r, 2, 7),
        with_external(message(r, 3, 8), &twin),
    ];
    let position = Position {
        read_seq: Seq(2),
        read_n: Ordinal(1),
        ..Position::default()
    };
    let reaction = ReactionRow {
        seq: Seq(2),
        user,
        reaction: "👍".into(),
    };
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

    let stored = store
        .read_log(r, Seq(0), Direction::Forward, 10)
        .await
        .unwrap();
    assert_eq!(stored, written_by(epoch, &records));
    assert_eq!(store.head(r).await.unwrap(), Some(projection.head));
    assert_eq!(store.room(r).await.unwrap().unwrap(), "settings");
    assert_eq!(store.member(r, user).await.unwrap().unwrap(), "owner");
    assert_eq!(
        store.room_of(user, r).await.unwrap().unwrap().listing,
        projection.members[0].listing
    );
    assert_eq!(store.position(r, user).await.unwrap(), position);
    assert_eq!(
        store.message_states(r, Seq(1), Seq(3)).await.unwrap(),
        projection.states
    );
    assert!(store.has_reaction(r, &reaction).await.unwrap());
    assert_eq!(store.pins(r, 10).await.unwrap(), projection.pinned);
    assert_eq!(
        store.find_external(&twin).await.unwrap().unwrap().seq,
        Seq(3)
    );
}

/// One reason to refuse, and nothing of the append is there.
pub async fn is_all_or_nothing(store: &dyn Store) {
    let taken = external("s", "c", "taken");
    let other = room(1);
    let epoch = store.claim(other).await.unwrap();
    store
        .append(
            other,
            epoch,
            &[with_external(message(other, 1, 1), &taken)],
            &head(1),
        )
        .await
        .unwrap();

    let r = room(2);
    let epoch = store.claim(r).await.unwrap();
    let free = external("s", "c", "free");
    let records = [
        with_external(message(r, 1, 7), &free),
        with_external(message(r, 2, 7), &taken),
    ];
    let projection = Projection {
        room: Some(Bytes::from_static(b"settings")),
        members: vec![member(7, "owner")],
        positions: vec![(
            UserId(7),
            Position {
                sent_n: Ordinal(2),
                ..Position::default()
            },
        )],
        states: vec![(Seq(1), Bytes::from_static(b"x"))],
        reacted: vec![ReactionRow {
            seq: Seq(1),
            user: UserId(7),
            reaction: "+".into(),
        }],
        pinned: vec![(Seq(1), Seq(2))],
        ..head(2)
    };
    assert_eq!(
        kind(store.append(r, epoch, &records, &projection).await),
        StoreErrorKind::Conflict
    );

    assert!(
        store
            .read_log(r, Seq(0), Direction::Forward, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(store.head(r).await.unwrap(), None);
    assert_eq!(store.room(r).await.unwrap(), None);
    assert!(store.rooms(None, 10).await.unwrap().is_empty());
    assert_eq!(store.member(r, UserId(7)).await.unwrap(), None);
    assert!(
        store
            .rooms_of(UserId(7), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        store.position(r, UserId(7)).await.unwrap(),
        Position::default()
    );
    assert!(
        store
            .message_states(r, Seq(0), Seq(9))
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        store
            .reactions(r, Seq(1), None, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.pins(r, 9).await.unwrap().is_empty());
    for record in &records {
        let key = record.message.as_ref().unwrap();
        assert_eq!(store.find_message(key.id).await.unwrap(), None);
        assert_eq!(
            store
                .find_client_message(UserId(7), &key.client_id)
                .await
                .unwrap(),
            None
        );
    }
    assert_eq!(store.find_external(&free).await.unwrap(), None);
    // And the seqs are free.
    store
        .append(r, epoch, &[message(r, 1, 7)], &head(1))
        .await
        .unwrap();
}

/// A retry after an unknown outcome succeeds and has no second effect, not even of its projection.
pub async fn the_same_again_writes_nothing(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    let twin = external("s", "c", "m");
    let records = [event(1), with_external(message(r, 2, 7), &twin)];
    store.append(r, epoch, &records, &head(2)).await.unwrap();
    store.append(r, epoch, &records, &head(2)).await.unwrap();
    assert_eq!(
        store
            .read_log(r, Seq(0), Direction::Forward, 10)
            .await
            .unwrap(),
        written_by(epoch, &records)
    );

    store
        .append(r, epoch, &[message(r, 3, 7)], &head(3))
        .await
        .unwrap();
    let projection = Projection {
        positions: vec![(
            UserId(7),
            Position {
                read_seq: Seq(2),
                ..Position::default()
            },
        )],
        ..head(2)
    };
    store.append(r, epoch, &records, &projection).await.unwrap();
    assert_eq!(
        store.head(r).await.unwrap().unwrap().seq,
        Seq(3),
        "an old retry does not turn the head back"
    );
    assert_eq!(
        store.position(r, UserId(7)).await.unwrap(),
        Position::default()
    );
    // A part of what is stored is stored as well.
    store
        .append(r, epoch, &records[..1], &head(1))
        .await
        .unwrap();
    assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(3));
}

/// The epoch is set by the store and does not make records differ; the row keeps the epoch that wrote it.
pub async fn the_same_again_under_a_newer_epoch(store: &dyn Store) {
    let r = room(1);
    let (first, stored) = filled(store, r, 2).await;
    let second = store.claim(r).await.unwrap();
    assert_eq!(
        kind(store.append(r, first, &stored, &head(2)).await),
        StoreErrorKind::Fenced
    );
    store.append(r, second, &stored, &head(2)).await.unwrap();
    assert_eq!(
        store
            .read_log(r, Seq(0), Direction::Forward, 10)
            .await
            .unwrap(),
        stored
    );
}

/// Every field of a record counts, and a batch is stored whole or not at all.
pub async fn other_records_at_a_stored_seq_conflict(store: &dyn Store) {
    let r = room(1);
    let (epoch, stored) = filled(store, r, 3).await;
    let base = stored[1].clone();
    let key = base.message.clone().unwrap();
    let mut changed = vec![
        Record {
            n: Ordinal(9),
            ..base.clone()
        },
        Record {
            kind: 2,
            ..base.clone()
        },
        Record {
            actor: UserId(2),
            ..base.clone()
        },
        Record {
            at_ms: 0,
            ..base.clone()
        },
        Record {
            message: None,
            ..base.clone()
        },
        Record {
            body: Bytes::new(),
            ..base.clone()
        },
        with_external(base.clone(), &external("a", "b", "c")),
    ];
    let mut other = key.clone();
    other.id = MessageId(77);
    changed.push(Record {
        message: Some(other),
        ..base.clone()
    });
    let mut other = key.clone();
    other.client_id = ClientMessageId("other".into());
    changed.push(Record {
        message: Some(other),
        ..base.clone()
    });
    let mut other = key;
    other.hash.0[0] ^= 1;
    changed.push(Record {
        message: Some(other),
        ..base
    });
    for record in changed {
        let result = store
            .append(r, epoch, std::slice::from_ref(&record), &head(2))
            .await;
        assert_eq!(kind(result), StoreErrorKind::Conflict, "{record:?}");
    }
    let overlapping = [stored[2].clone(), message(r, 4, 1)];
    assert_eq!(
        kind(store.append(r, epoch, &overlapping, &head(4)).await),
        StoreErrorKind::Conflict
    );
    assert_eq!(
        store
            .read_log(r, Seq(0), Direction::Forward, 10)
            .await
            .unwrap(),
        stored
    );
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
        let result = store
            .append(r, epoch, &records, &head(*seqs.last().unwrap()))
            .await;
        assert_eq!(kind(result), StoreErrorKind::Conflict, "{seqs:?}");
    }
    assert_eq!(
        store
            .read_log(r, Seq(0), Direction::Forward, 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

/// An append of no records applies its projection, if it knows the present head.
pub async fn an_empty_append_projects(store: &dyn Store) {
    let r = room(1);
    let (epoch, _) = filled(store, r, 3).await;
    let moved = Position {
        read_seq: Seq(3),
        ..Position::default()
    };
    let projection = Projection {
        positions: vec![(UserId(4), moved)],
        ..head(3)
    };
    store.append(r, epoch, &[], &projection).await.unwrap();
    assert_eq!(store.position(r, UserId(4)).await.unwrap(), moved);
    for seq in [0, 2, 4] {
        let projection = Projection {
            positions: vec![(UserId(5), moved)],
            ..head(seq)
        };
        assert_eq!(
            kind(store.append(r, epoch, &[], &projection).await),
            StoreErrorKind::Conflict
        );
    }
    assert_eq!(
        store.position(r, UserId(5)).await.unwrap(),
        Position::default()
    );
    assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(3));
}

/// The projection's head is that of the last record.
pub async fn the_head_is_the_last_record(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    for seq in [0, 1, 3] {
        let result = store
            .append(r, epoch, &[event(1), event(2)], &head(seq))
            .await;
        assert_eq!(kind(result), StoreErrorKind::Invalid, "head {seq}");
    }
    assert_eq!(store.head(r).await.unwrap(), None);
}

/// Texts in keys have bounds.
pub async fn bounds_are_invalid(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    let id = "x".repeat(129);
    for client_id in ["", &id] {
        let mut record = message(r, 1, 1);
        record.message.as_mut().unwrap().client_id = ClientMessageId(client_id.into());
        assert_eq!(
            kind(store.append(r, epoch, &[record], &head(1)).await),
            StoreErrorKind::Invalid
        );
    }
    let name = "x".repeat(65);
    for twin in [
        external("", "c", "m"),
        external(&name, "c", "m"),
        external("s", &id, "m"),
        external("s", "c", ""),
    ] {
        let record = with_external(message(r, 1, 1), &twin);
        assert_eq!(
            kind(store.append(r, epoch, &[record], &head(1)).await),
            StoreErrorKind::Invalid
        );
    }
    for reaction in ["", &name] {
        let row = ReactionRow {
            seq: Seq(1),
            user: UserId(1),
            reaction: reaction.into(),
        };
        let projection = Projection {
            reacted: vec![row.clone()],
            ..head(1)
        };
        assert_eq!(
            kind(store.append(r, epoch, &[event(1)], &projection).await),
            StoreErrorKind::Invalid
        );
        let projection = Projection {
            unreacted: vec![row],
            ..head(1)
        };
        assert_eq!(
            kind(store.append(r, epoch, &[event(1)], &projection).await),
            StoreErrorKind::Invalid
        );
    }
    assert_eq!(store.head(r).await.unwrap(), None);
    let mut record = with_external(message(r, 1, 1), &external(&name[1..], &id[1..], &id[1..]));
    record.message.as_mut().unwrap().client_id = ClientMessageId(id[1..].into());
    store.append(r, epoch, &[record], &head(1)).await.unwrap();
}

/// A redaction changes the body of a log row and nothing else; a row that is not there cannot be redacted.
pub async fn redaction_replaces_a_body(store: &dyn Store) {
    let r = room(1);
    let (epoch, stored) = filled(store, r, 2).await;
    let redacted = Projection {
        redacted: vec![(Seq(1), Bytes::from_static(b"gone"))],
        ..head(3)
    };
    store
        .append(r, epoch, &[event(3)], &redacted)
        .await
        .unwrap();
    let record = store.record(r, Seq(1)).await.unwrap().unwrap();
    assert_eq!(
        record,
        Record {
            body: Bytes::from_static(b"gone"),
            ..stored[0].clone()
        }
    );
    assert_eq!(store.record(r, Seq(2)).await.unwrap().unwrap(), stored[1]);
    let key = stored[0].message.as_ref().unwrap();
    assert_eq!(
        store.find_message(key.id).await.unwrap().unwrap().seq,
        Seq(1)
    );

    let missing = Projection {
        redacted: vec![(Seq(9), Bytes::new())],
        ..head(4)
    };
    assert_eq!(
        kind(store.append(r, epoch, &[event(4)], &missing).await),
        StoreErrorKind::Conflict
    );
    assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(3));
}

/// A message sent and redacted in one append is stored redacted, and the same append again is still the same.
pub async fn sent_and_redacted_at_once(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    let records = [message(r, 1, 1), event(2)];
    let projection = Projection {
        redacted: vec![(Seq(1), Bytes::from_static(b"gone"))],
        ..head(2)
    };
    for _ in 0..2 {
        store.append(r, epoch, &records, &projection).await.unwrap();
        assert_eq!(store.record(r, Seq(1)).await.unwrap().unwrap().body, "gone");
    }
}

/// Large batches are whole and in order.
pub async fn a_thousand_records_at_once(store: &dyn Store) {
    let r = room(1);
    let (epoch, mut stored) = filled(store, r, 1_000).await;
    let more: Vec<_> = (1_001..=2_000).map(|seq| message(r, seq, 2)).collect();
    store.append(r, epoch, &more, &head(2_000)).await.unwrap();
    store.append(r, epoch, &more, &head(2_000)).await.unwrap();
    stored.extend(written_by(epoch, &more));
    assert_eq!(
        store
            .read_log(r, Seq(0), Direction::Forward, 5_000)
            .await
            .unwrap(),
        stored
    );
    let last = stored[1_999].message.as_ref().unwrap();
    assert_eq!(
        store.find_message(last.id).await.unwrap().unwrap().seq,
        Seq(2_000)
    );
}

/// Rooms do not wait for, or disturb, each other.
pub async fn two_hundred_rooms_at_once(store: &dyn Store) {
    let write = async |number: u32| {
        let r = room(number);
        let epoch = store.claim(r).await.unwrap();
        for seq in 1..=5 {
            store
                .append(r, epoch, &[message(r, seq, i64::from(number))], &head(seq))
                .await
                .unwrap();
            // Read what was just acknowledged.
            assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(seq));
        }
        written_by(
            epoch,
            &(1..=5)
                .map(|seq| message(r, seq, i64::from(number)))
                .collect::<Vec<_>>(),
        )
    };
    let written = join_all((1..=200).map(write)).await;
    for (number, records) in (1..).zip(written) {
        assert_eq!(
            store
                .read_log(room(number), Seq(0), Direction::Forward, 10)
                .await
                .unwrap(),
            records
        );
    }
}

/// Who is removed and added in one append is a new member; so are reactions and pins taken back and given.
pub async fn removal_comes_before_addition(store: &dyn Store) {
    let r = room(1);
    let reaction = ReactionRow {
        seq: Seq(1),
        user: UserId(7),
        reaction: "+".into(),
    };
    let both = Projection {
        members: vec![MemberRow {
            ..member(7, "again")
        }],
        removed: vec![UserId(7)],
        reacted: vec![reaction.clone()],
        unreacted: vec![reaction.clone()],
        pinned: vec![(Seq(1), Seq(1))],
        unpinned: vec![Seq(1)],
        ..Projection::default()
    };
    let epoch = with_projection(store, r, both.clone()).await;
    assert_ne!(epoch, Epoch(0));
    assert_eq!(store.member(r, UserId(7)).await.unwrap().unwrap(), "again");
    assert!(store.room_of(UserId(7), r).await.unwrap().is_some());
    assert!(store.has_reaction(r, &reaction).await.unwrap());
    assert_eq!(store.pins(r, 9).await.unwrap(), [(Seq(1), Seq(1))]);
}
