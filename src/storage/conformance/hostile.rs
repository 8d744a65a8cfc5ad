//! Input that nobody sends but someone will.

use bytes::Bytes;

use super::{event, external, head, message, project, room, with_external, with_projection, written_by};
use crate::{
    domain::ids::{ClientMessageId, MessageId, Ordinal, RoomId, Seq, UserId},
    storage::{DeviceRow, Direction, Listing, MemberRow, Position, Projection, ReactionRow, Record, RoomHead, Store},
};

const TEXTS: [&str; 6] = ["👩‍👩‍👧‍👦", "مرحبا", "e\u{301}", "\u{e9}", "\u{0}", "\u{10ffff}"];

/// Texts are bytes: nothing is normalised, cut or taken for equal.
pub async fn unicode(store: &dyn Store) {
    let r = room(1);
    let epoch = store.claim(r).await.unwrap();
    for (seq, text) in (1..).zip(TEXTS) {
        let mut record = with_external(message(r, seq, 7), &external(text, text, text));
        record.message.as_mut().unwrap().client_id = ClientMessageId(text.into());
        record.body = Bytes::from(text);
        let reaction = ReactionRow { seq: Seq(1), user: UserId(7), reaction: text.into() };
        store.append(r, epoch, &[record], &Projection { reacted: vec![reaction], ..head(seq) }).await.unwrap();
        store.put_sync_state(r, text, Bytes::from(text)).await.unwrap();
        store.put_cursor(text, r, Seq(seq)).await.unwrap();
        let token_hash = [text.as_bytes()[0]; 32];
        let device = DeviceRow { client_id: text.into(), token_hash, body: Bytes::new() };
        store.put_device(UserId(seq.cast_signed()), &device).await.unwrap();
    }
    for (seq, text) in (1..).zip(TEXTS) {
        let seq = Seq(seq);
        assert_eq!(store.record(r, seq).await.unwrap().unwrap().body, text);
        assert_eq!(store.find_external(&external(text, text, text)).await.unwrap().unwrap().seq, seq);
        let found = store.find_client_message(UserId(7), &ClientMessageId(text.into())).await.unwrap();
        assert_eq!(found.unwrap().seq, seq);
        assert_eq!(store.sync_state(r, text).await.unwrap().unwrap(), text);
        assert_eq!(store.cursor(text, r).await.unwrap(), seq);
    }
    let mut sorted = TEXTS;
    sorted.sort_unstable();
    let reactions = store.reactions(r, Seq(1), None, 99).await.unwrap();
    assert_eq!(reactions.iter().map(|row| row.reaction.as_str()).collect::<Vec<_>>(), sorted);
}

/// An empty body is a body.
pub async fn empty_bodies(store: &dyn Store) {
    let r = room(1);
    let records = [Record { body: Bytes::new(), ..message(r, 1, 1) }, Record { body: Bytes::new(), ..event(2) }];
    let epoch = store.claim(r).await.unwrap();
    let member =
        MemberRow { user: UserId(1), body: Bytes::new(), listing: Listing { room_type: 0, partner: UserId(0) } };
    let projection = Projection { members: vec![member], states: vec![(Seq(1), Bytes::new())], ..head(2) };
    store.append(r, epoch, &records, &projection).await.unwrap();
    assert_eq!(store.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap(), written_by(epoch, &records));
    assert_eq!(store.member(r, UserId(1)).await.unwrap(), Some(Bytes::new()));
    assert_eq!(store.message_states(r, Seq(1), Seq(1)).await.unwrap(), [(Seq(1), Bytes::new())]);
    store.put_join_job(r, Some(Bytes::new())).await.unwrap();
    assert_eq!(store.join_job(r).await.unwrap(), Some(Bytes::new()));
}

/// Large bodies come back whole, several in one append.
pub async fn a_mebibyte_body(store: &dyn Store) {
    let r = room(1);
    let body = |seed: u64| {
        let mut state = seed;
        let byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        Bytes::from(std::iter::repeat_with(byte).take(1 << 20).collect::<Vec<_>>())
    };
    let records: Vec<_> = (1..=4).map(|seq| Record { body: body(seq), ..message(r, seq, 1) }).collect();
    let epoch = store.claim(r).await.unwrap();
    store.append(r, epoch, &records, &head(4)).await.unwrap();
    store.append(r, epoch, &records, &head(4)).await.unwrap();
    let settings = Projection { room: Some(body(9)), ..Projection::default() };
    project(store, r, epoch, 4, settings).await;
    assert_eq!(store.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap(), written_by(epoch, &records));
    assert_eq!(store.room(r).await.unwrap().unwrap(), body(9));
}

/// The ends of all number ranges.
pub async fn extreme_numbers(store: &dyn Store) {
    for r in [RoomId([0; 16]), RoomId([0xff; 16])] {
        let epoch = store.claim(r).await.unwrap();
        let users = [i64::MIN, -1, 0, 1, i64::MAX].map(UserId);
        let row = |user: UserId| MemberRow {
            user,
            body: Bytes::new(),
            listing: Listing { room_type: u8::MAX, partner: UserId(i64::MIN) },
        };
        let most = Position {
            read_seq: Seq(u64::MAX),
            read_n: Ordinal(u64::MAX),
            delivered_seq: Seq(u64::MAX),
            sent_n: Ordinal(u64::MAX),
            floor_n: Ordinal(u64::MAX),
            floor_seq: Seq(u64::MAX),
        };
        let record = Record {
            n: Ordinal(u64::MAX),
            kind: u8::MAX,
            actor: UserId(i64::MIN),
            at_ms: i64::MIN,
            ..message(r, 1, 1)
        };
        let projection = Projection {
            head: RoomHead {
                seq: Seq(1),
                n: Ordinal(u64::MAX),
                message_seq: Seq(u64::MAX),
                message_id: MessageId(i64::MIN),
                activity_ms: i64::MAX,
                members: u32::MAX,
            },
            members: users.map(row).to_vec(),
            positions: users.map(|user| (user, most)).to_vec(),
            ..Projection::default()
        };
        store.append(r, epoch, std::slice::from_ref(&record), &projection).await.unwrap();
        assert_eq!(store.record(r, Seq(1)).await.unwrap().unwrap(), Record { epoch, ..record });
        assert_eq!(store.head(r).await.unwrap().unwrap(), projection.head);
        let members: Vec<_> = store.members(r, UserId(i64::MIN), 9).await.unwrap().into_iter().map(|m| m.0).collect();
        assert_eq!(members, users[1..], "by number, negative ones first");
        assert_eq!(store.positions(r, UserId(0), 9).await.unwrap(), [(users[3], most), (users[4], most)]);
    }
    assert_eq!(store.rooms_of(UserId(-1), None, 9).await.unwrap().len(), 2);
    assert_eq!(store.active_rooms(Some(RoomId([0; 16])), 9).await.unwrap(), [RoomId([0xff; 16])]);
}

/// Texts that are too long to be stored are looked for in vain.
pub async fn extreme_texts_find_nothing(store: &dyn Store) {
    let long = "x".repeat(100_000);
    with_projection(store, room(1), Projection::default()).await;
    assert_eq!(store.find_client_message(UserId(1), &ClientMessageId(long.as_str().into())).await.unwrap(), None);
    assert_eq!(store.find_external(&external(&long, &long, &long)).await.unwrap(), None);
    assert_eq!(store.find_external(&external("", "", "")).await.unwrap(), None);
    let row = ReactionRow { seq: Seq(1), user: UserId(1), reaction: long.clone() };
    assert!(!store.has_reaction(room(1), &row).await.unwrap());
    assert!(store.reactions(room(1), Seq(1), Some((UserId(1), long.clone())), 9).await.unwrap().is_empty());
    assert_eq!(store.sync_state(room(1), &long).await.unwrap(), None);
}

/// Bodies may hold any byte, also what looks like the store's own forms.
pub async fn every_byte_survives(store: &dyn Store) {
    let all: Bytes = (0..=255).collect::<Vec<u8>>().into();
    let r = room(1);
    let bodies = [all.clone(), all.slice(..1), all.slice(1..), all.slice(255..)];
    let records: Vec<_> =
        (1..).zip(&bodies).map(|(seq, body)| Record { body: body.clone(), ..message(r, seq, 1) }).collect();
    let epoch = store.claim(r).await.unwrap();
    store.append(r, epoch, &records, &head(4)).await.unwrap();
    assert_eq!(store.read_log(r, Seq(0), Direction::Forward, 9).await.unwrap(), written_by(epoch, &records));
    store.put_profile(UserId(1), all.clone()).await.unwrap();
    assert_eq!(store.profiles(&[UserId(1)]).await.unwrap(), [Some(all)]);
}
