//! Messages are found by the ordinals in the rows of the log, with few reads, over every store.

use super::{event, message, room};
use crate::{
    domain::ids::{MessageId, Ordinal, Seq, UserId},
    storage::{
        Direction, Projection, Record, RoomHead, Store,
        ordinals::{Edge, Effort, Found, HiddenBy, Ordinals, WITHIN},
    },
};

/// Events in a row that are no messages.
const STRETCH: u64 = 700;

/// Two messages, a long stretch of other events, three messages, another stretch. Returns the messages' places.
async fn filled(store: &dyn Store) -> (Vec<Seq>, Edge) {
    let places = [1, 2, STRETCH + 3, STRETCH + 4, STRETCH + 5];
    let end = 2 * STRETCH + 5;
    let epoch = store.claim(room(1)).await.unwrap();
    let records: Vec<Record> = (1..=end)
        .map(|seq| {
            let n = Ordinal(places.iter().filter(|place| **place <= seq).count() as u64);
            let record = if places.contains(&seq) { message(room(1), seq, 1) } else { event(seq) };
            Record { n, ..record }
        })
        .collect();
    for batch in records.chunks(500) {
        let last = batch.last().unwrap();
        let head = RoomHead { seq: last.seq, n: last.n, ..RoomHead::default() };
        store.append(room(1), epoch, batch, &Projection { head, ..Projection::default() }).await.unwrap();
    }
    (places.map(Seq).to_vec(), Edge { seq: Seq(end), n: Ordinal(5) })
}

async fn found(store: &dyn Store, direction: Direction, found: Found) -> Option<Seq> {
    let Found::At(at) = found else {
        assert_eq!(found, Found::Nothing);
        return None;
    };
    let from = if direction == Direction::Backward { at.next() } else { at };
    let rows = store.read_log(room(1), from, direction, usize::try_from(WITHIN).unwrap()).await.unwrap();
    rows.iter().find(|row| row.message.is_some()).map(|row| row.seq)
}

/// The newest message before, and the oldest after, any place.
pub async fn messages_are_found_over_long_stretches(store: &dyn Store) {
    let (places, end) = filled(store).await;
    let search = Ordinals::new(store, room(1), None, Effort::new(10_000));
    for seq in [1, 2, 3, STRETCH / 2, STRETCH + 2, STRETCH + 3, STRETCH + 4, STRETCH + 6, end.seq.0].map(Seq) {
        let edge = search.edge(seq).await.unwrap();
        for floor in [Seq(0), Seq(1), Seq(2), Seq(100)] {
            let newest = search.newest(floor, edge).await.unwrap();
            let expected = places.iter().copied().filter(|place| *place <= seq && *place > floor).max();
            assert_eq!(found(store, Direction::Backward, newest).await, expected, "newest in {floor}..={seq}");
        }
        let oldest = search.oldest(edge, end).await.unwrap();
        let expected = places.iter().copied().find(|place| *place > seq);
        assert_eq!(found(store, Direction::Forward, oldest).await, expected, "oldest after {seq}");
    }
    let spent = Ordinals::new(store, room(1), None, Effort::new(3));
    assert!(matches!(spent.newest(Seq(0), end).await.unwrap(), Found::Spent(seq) if seq < end.seq));
}

/// What a user has hidden is passed over, and only for them.
pub async fn hidden_messages_are_passed_over(store: &dyn Store) {
    let (places, end) = filled(store).await;
    for seq in &places[2..] {
        store.hide_message(UserId(7), room(1), *seq).await.unwrap();
    }
    for (user, before, newest) in [(7, u64::MAX, places[1]), (8, u64::MAX, places[4]), (7, 5, places[4])] {
        let hidden = HiddenBy { user: UserId(user), before: Seq(before) };
        let search = Ordinals::new(store, room(1), Some(hidden), Effort::new(10_000));
        let Found::At(at) = search.newest(Seq(0), end).await.unwrap() else { panic!("user {user} finds none") };
        assert!(at >= newest && at.0 < newest.0 + WITHIN, "user {user}: {at} for {newest}");
    }
}

/// Where a room's messages with a smaller id begin.
pub async fn ids_are_found_by_place(store: &dyn Store) {
    let (places, end) = filled(store).await;
    let id = |seq: Seq| MessageId(1_000_000 + seq.0.cast_signed());
    let search = Ordinals::new(store, room(1), None, Effort::new(10_000));
    for place in &places {
        for (bound, or_equal) in [(id(*place), false), (MessageId(id(*place).0 + 1), true)] {
            for floor in [Seq(0), Seq(1), Seq(2), Seq(STRETCH)] {
                let expected =
                    places.iter().copied().filter(|at| (*at < *place || or_equal && at == place) && *at > floor).max();
                let found = search.newest_below(floor, end.seq, bound).await.unwrap();
                assert_eq!(found, expected.map(|at| (at, id(at))), "below {bound} after {floor}");
            }
        }
    }
}
