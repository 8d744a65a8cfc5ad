//! What an append changes besides the log, and how large it may be.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{event, external, filled, head, kind, member, message, room, with_external, with_projection, written_by};
use crate::{
    domain::ids::{ClientMessageId, Epoch, Seq, UserId},
    storage::{Direction, Position, Projection, ReactionRow, Record, Store, StoreErrorKind},
};

/// An append of no records applies its projection, if it knows the present head.
pub async fn an_empty_append_projects(store: &dyn Store) {
    let r = room(1);
    let (epoch, _) = filled(store, r, 3).await;
    let moved = Position { read_seq: Seq(3), ..Position::default() };
    let projection = Projection { positions: vec![(UserId(4), moved)], ..head(3) };
    store.append(r, epoch, &[], &projection).await.unwrap();
    assert_eq!(store.position(r, UserId(4)).await.unwrap(), moved);
    for seq in [0, 2, 4] {
        let projection = Projection { positions: vec![(UserId(5), moved)], ..head(seq) };
        assert_eq!(kind(store.append(r, epoch, &[], &projection).await), StoreErrorKind::Conflict);
    }
    assert_eq!(store.position(r, UserId(5)).await.unwrap(), Position::default());
    assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(3));
}

/// The projection's head is that of the last record.
pub async fn the_head_is_the_last_record(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    for seq in [0, 1, 3] {
        let result = store.append(r, epoch, &[event(1), event(2)], &head(seq)).await;
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
        assert_eq!(kind(store.append(r, epoch, &[record], &head(1)).await), StoreErrorKind::Invalid);
    }
    let name = "x".repeat(65);
    for twin in [external("", "c", "m"), external(&name, "c", "m"), external("s", &id, "m"), external("s", "c", "")] {
        let record = with_external(message(r, 1, 1), &twin);
        assert_eq!(kind(store.append(r, epoch, &[record], &head(1)).await), StoreErrorKind::Invalid);
    }
    for reaction in ["", &name] {
        let row = ReactionRow { seq: Seq(1), user: UserId(1), reaction: reaction.into() };
        let projection = Projection { reacted: vec![row.clone()], ..head(1) };
        assert_eq!(kind(store.append(r, epoch, &[event(1)], &projection).await), StoreErrorKind::Invalid);
        let projection = Projection { unreacted: vec![row], ..head(1) };
        assert_eq!(kind(store.append(r, epoch, &[event(1)], &projection).await), StoreErrorKind::Invalid);
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
    let redacted = Projection { redacted: vec![(Seq(1), Bytes::from_static(b"gone"))], ..head(3) };
    store.append(r, epoch, &[event(3)], &redacted).await.unwrap();
    let record = store.record(r, Seq(1)).await.unwrap().unwrap();
    assert_eq!(record, Record { body: Bytes::from_static(b"gone"), ..stored[0].clone() });
    assert_eq!(store.record(r, Seq(2)).await.unwrap().unwrap(), stored[1]);
    let key = stored[0].message.as_ref().unwrap();
    assert_eq!(store.find_message(key.id).await.unwrap().unwrap().seq, Seq(1));

    let missing = Projection { redacted: vec![(Seq(9), Bytes::new())], ..head(4) };
    assert_eq!(kind(store.append(r, epoch, &[event(4)], &missing).await), StoreErrorKind::Conflict);
    assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(3));
}

/// A message sent and redacted in one append is stored redacted, and the same append again is still the same.
pub async fn sent_and_redacted_at_once(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    let records = [message(r, 1, 1), event(2)];
    let projection = Projection { redacted: vec![(Seq(1), Bytes::from_static(b"gone"))], ..head(2) };
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
    assert_eq!(store.read_log(r, Seq(0), Direction::Forward, 5_000).await.unwrap(), stored);
    let last = stored[1_999].message.as_ref().unwrap();
    assert_eq!(store.find_message(last.id).await.unwrap().unwrap().seq, Seq(2_000));
}

/// Rooms do not wait for, or disturb, each other.
pub async fn two_hundred_rooms_at_once(store: &dyn Store) {
    let write = async |number: u32| {
        let r = room(number);
        let epoch = store.claim(r).await.unwrap();
        for seq in 1..=5 {
            store.append(r, epoch, &[message(r, seq, i64::from(number))], &head(seq)).await.unwrap();
            // Read what was just acknowledged.
            assert_eq!(store.head(r).await.unwrap().unwrap().seq, Seq(seq));
        }
        written_by(epoch, &(1..=5).map(|seq| message(r, seq, i64::from(number))).collect::<Vec<_>>())
    };
    let written = join_all((1..=200).map(write)).await;
    for (number, records) in (1..).zip(written) {
        assert_eq!(store.read_log(room(number), Seq(0), Direction::Forward, 10).await.unwrap(), records);
    }
}

/// Who is removed and added in one append is a new member; so are reactions and pins taken back and given.
pub async fn removal_comes_before_addition(store: &dyn Store) {
    let r = room(1);
    let reaction = ReactionRow { seq: Seq(1), user: UserId(7), reaction: "+".into() };
    let both = Projection {
        members: vec![member(7, "again")],
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

/// Who reads a head and then the rows that came with it finds these, or newer ones, also while the room is written to.
pub async fn a_head_shows_what_came_with_it(store: &dyn Store) {
    const APPENDS: u64 = 200;
    let r = room(1);
    let (epoch, _) = filled(store, r, 1).await;
    let body = |seq: u64| Bytes::from(format!("{seq:05}"));
    let write = async {
        for seq in 2..=APPENDS {
            let changed = Projection {
                states: vec![(Seq(1), body(seq))],
                redacted: vec![(Seq(1), body(seq))],
                pinned: vec![(Seq(1), Seq(seq))],
                ..head(seq)
            };
            store.append(r, epoch, &[event(seq)], &changed).await.unwrap();
        }
    };
    let read = async {
        loop {
            let seq = store.head(r).await.unwrap().unwrap_or_default().seq.0;
            let state = store.message_states(r, Seq(1), Seq(1)).await.unwrap();
            let redacted = store.record(r, Seq(1)).await.unwrap().unwrap();
            let pins = store.pins(r, 10).await.unwrap();
            if seq > 1 {
                assert!(state[0].1 >= body(seq), "the state is older than head {seq}");
                assert!(redacted.body >= body(seq), "the text is older than head {seq}");
                assert!(pins[0].1 >= Seq(seq), "the pin is older than head {seq}");
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}
