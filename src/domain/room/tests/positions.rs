//! Positions and unread: arithmetic that equals counting.

use proptest::prelude::*;

use super::{Batch, Command, MEMBER, OTHER, OWNER, RoomType, STRANGER, operator, room, user};
use crate::domain::{
    ids::{Ordinal, Seq, UserId},
    position::Position,
    reject::{Flaw, Reject},
    room::{Author, InfoPatch, ReadTo},
};

fn read(room: &mut super::Fixture, who: Author, to: ReadTo) -> Result<Position, Reject> {
    let mut batch = Batch::new(&room.state, 1);
    let position = batch.read(who, to, false)?;
    let change = batch.finish();
    room.apply(&change);
    Ok(position)
}

#[test]
fn own_messages_are_read() {
    let mut room = room(RoomType::Group);
    room.say(user(OWNER), "one").unwrap();
    room.say(user(MEMBER), "two").unwrap();
    assert_eq!(room.state.unread(OWNER), 1);
    assert_eq!(room.state.unread(MEMBER), 0);
    assert_eq!(room.state.unread(OTHER), 2);
}

#[test]
fn events_that_are_no_messages_count_for_nobody() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(OWNER), "one").unwrap();
    read(&mut room, user(MEMBER), ReadTo::Head).unwrap();
    room.act(user(OWNER), Command::Pin { message: seq, pinned: true }).unwrap();
    room.act(user(OWNER), Command::Join(vec![STRANGER])).unwrap();
    assert_eq!(room.state.unread(MEMBER), 0);
    assert_eq!(room.state.unread(OTHER), 1);
}

#[test]
fn who_joins_starts_with_nothing_unread() {
    for room_type in [RoomType::Group, RoomType::Channel] {
        let mut room = room(room_type);
        room.say(user(OWNER), "before").unwrap();
        room.act(user(OWNER), Command::Join(vec![STRANGER])).unwrap();
        assert_eq!(room.state.unread(STRANGER), 0);
        let visible = room_type == RoomType::Channel;
        assert_eq!(room.state.position(STRANGER).floor_seq, Seq(if visible { 0 } else { 2 }));
        room.say(user(OWNER), "after").unwrap();
        assert_eq!(room.state.unread(STRANGER), 1);
    }
}

/// Who left and comes back does not owe what was said meanwhile; what hides it depends on the room.
#[test]
fn who_comes_back_starts_afresh() {
    let mut room = room(RoomType::Group);
    room.act(user(MEMBER), Command::Leave).unwrap();
    let missed = room.say(user(OWNER), "meanwhile").unwrap();
    room.act(user(OWNER), Command::Join(vec![MEMBER])).unwrap();
    assert_eq!(room.state.unread(MEMBER), 0);
    assert_eq!(room.state.position(MEMBER).floor_seq, missed);
}

/// Opening the history later does not open it for those who joined before.
#[test]
fn the_floor_is_set_when_one_joins() {
    let mut room = room(RoomType::Group);
    room.say(user(OWNER), "before").unwrap();
    room.act(user(OWNER), Command::Join(vec![STRANGER])).unwrap();
    let patch = InfoPatch { history_visible: Some(true), ..InfoPatch::default() };
    room.act(user(OWNER), Command::Update(patch)).unwrap();
    assert_eq!(room.state.floor(STRANGER), Seq(2));
    room.act(user(OWNER), Command::Join(vec![UserId(10)])).unwrap();
    assert_eq!(room.state.floor(UserId(10)), Seq(0));
}

/// A new membership is by the rule of its own time: who was there while history was hidden is no worse off than a new
/// member, and no better.
#[test]
fn the_floor_goes_with_the_membership() {
    let mut room = room(RoomType::Group);
    room.say(user(OWNER), "before").unwrap();
    room.act(user(OWNER), Command::Join(vec![STRANGER])).unwrap();
    room.act(user(OWNER), Command::Remove(vec![STRANGER])).unwrap();
    let visible = |visible| InfoPatch { history_visible: Some(visible), ..InfoPatch::default() };
    room.act(user(OWNER), Command::Update(visible(true))).unwrap();
    room.act(user(OWNER), Command::Join(vec![STRANGER])).unwrap();
    assert_eq!(room.state.floor(STRANGER), Seq(0));
    assert_eq!(room.state.unread(STRANGER), 0, "nothing of it is owed");
    room.act(user(OWNER), Command::Remove(vec![STRANGER])).unwrap();
    assert_eq!(room.state.floor(STRANGER), Seq(0), "no membership, no floor");
    room.act(user(OWNER), Command::Update(visible(false))).unwrap();
    room.act(user(OWNER), Command::Join(vec![STRANGER])).unwrap();
    assert_eq!(room.state.floor(STRANGER), Seq(room.state.head.seq.0 - 1));
    let mut old = room.state.members[&STRANGER].clone();
    old.floor_seq = None;
    assert_eq!(old.floor(room.state.position(STRANGER)), Seq(room.state.head.seq.0 - 1), "a row of before");
}

#[test]
fn reading_beyond_the_end_is_refused() {
    let mut room = room(RoomType::Group);
    let to = ReadTo::At { seq: Seq(2), n: Ordinal(1) };
    let expected = Err(Reject::invalid("up_to_seq", Flaw::OutOfRange));
    assert_eq!(read(&mut room, user(MEMBER), to).map_err(Reject::unbound), expected);
    assert_eq!(read(&mut room, user(STRANGER), ReadTo::Head), Err(Reject::RoomNotFound));
    assert_eq!(read(&mut room, operator(STRANGER), ReadTo::Head), Err(Reject::RoomNotFound));
    assert_eq!(room.state.position(MEMBER), Position::default());
}

/// A caller that states a wrong ordinal cannot read what was not sent yet.
#[test]
fn an_ordinal_beyond_the_end_counts_as_the_end() {
    let mut room = room(RoomType::Group);
    let seq = room.say(user(OWNER), "one").unwrap();
    let position = read(&mut room, user(MEMBER), ReadTo::At { seq, n: Ordinal(99) }).unwrap();
    assert_eq!(position.read_n, Ordinal(1));
    room.say(user(OWNER), "two").unwrap();
    assert_eq!(room.state.unread(MEMBER), 1);
}

#[test]
fn reading_again_or_less_writes_nothing() {
    let mut room = room(RoomType::Group);
    room.say(user(OWNER), "one").unwrap();
    let first = read(&mut room, user(MEMBER), ReadTo::Head).unwrap();
    for to in [ReadTo::Head, ReadTo::At { seq: Seq(1), n: Ordinal(0) }] {
        let mut batch = Batch::new(&room.state, 1);
        assert_eq!(batch.read(user(MEMBER), to, false), Ok(first));
        assert!(batch.finish().is_empty());
    }
}

#[test]
fn clearing_is_for_one_side_of_a_p2p_room() {
    let mut p2p = room(RoomType::P2p);
    let seq = p2p.say(user(OWNER), "one").unwrap();
    let mut batch = Batch::new(&p2p.state, 1);
    let position = batch.clear(user(MEMBER)).unwrap();
    let change = batch.finish();
    p2p.apply(&change);
    assert_eq!((position.floor_seq, position.floor_n), (seq, Ordinal(1)));
    assert_eq!((p2p.state.unread(MEMBER), p2p.state.unread(OWNER)), (0, 0));
    assert_eq!(p2p.state.position(OWNER).floor_seq, Seq(0));
    let group = room(RoomType::Group);
    let mut batch = Batch::new(&group.state, 1);
    assert_eq!(batch.clear(user(MEMBER)), Err(Reject::WrongRoomType));
    assert_eq!(batch.clear(user(STRANGER)), Err(Reject::RoomNotFound));
}

fn a_position() -> impl Strategy<Value = Position> {
    prop::array::uniform6(0u64..9).prop_map(|[a, b, c, d, e, f]| Position {
        read_seq: Seq(a),
        read_n: Ordinal(b),
        delivered_seq: Seq(c),
        sent_n: Ordinal(d),
        floor_n: Ordinal(e),
        floor_seq: Seq(f),
    })
}

proptest! {
    #[test]
    fn merging_takes_the_greater_in_any_order(a in a_position(), b in a_position(), c in a_position()) {
        prop_assert_eq!(a.merge(b), b.merge(a));
        prop_assert_eq!(a.merge(b).merge(c), a.merge(b.merge(c)));
        prop_assert_eq!(a.merge(a), a);
        prop_assert!(a.merge(b).seen() >= a.seen());
    }

    #[test]
    fn unread_is_never_negative(position in a_position(), head in 0u64..9) {
        let naive = (1..=head).filter(|n| Ordinal(*n) > position.seen()).count() as u64;
        prop_assert_eq!(position.behind(Ordinal(head)), naive);
    }
}
