//! Each violation of a room's log, planted and found.

use super::{HistoryChecker, Kind, ObservedEvent, ObservedMessage, Violation};

fn event(seq: i64, kind: Kind) -> ObservedEvent {
    ObservedEvent { seq, epoch: 1, head_n: None, kind, message: None, joined: vec![], left: vec![] }
}

fn join(seq: i64, joined: &[i64]) -> ObservedEvent {
    ObservedEvent { joined: joined.to_vec(), ..event(seq, Kind::Members) }
}

fn leave(seq: i64, left: &[i64]) -> ObservedEvent {
    ObservedEvent { left: left.to_vec(), ..event(seq, Kind::Members) }
}

fn message(seq: i64, n: i64, sender: i64) -> ObservedEvent {
    let client_message_id = format!("c{n}");
    let message = ObservedMessage { n, id: 100 + n, sender, client_message_id, body_hash: 0, system: false };
    ObservedEvent { message: Some(message), ..event(seq, Kind::Message) }
}

fn changed(mut event: ObservedEvent, change: impl FnOnce(&mut ObservedMessage)) -> ObservedEvent {
    change(event.message.as_mut().unwrap());
    event
}

/// Users 1 and 2 are members; 1 has sent the messages 1 and 2.
fn room() -> HistoryChecker {
    let mut checker = HistoryChecker::new();
    for event in [join(1, &[1, 2]), message(2, 1, 1), event(3, Kind::Other), message(4, 2, 1)] {
        checker.observe(&event).unwrap();
    }
    checker
}

#[track_caller]
fn finds(event: &ObservedEvent, violation: &Violation) {
    let mut checker = room();
    assert_eq!(checker.observe(event).as_ref(), Err(violation));
    assert_eq!(checker.finish().first(), Some(violation), "{violation}");
}

#[test]
fn a_sound_room_has_no_violation() {
    let mut checker = room();
    let about = event(5, Kind::About { message_id: 101 });
    for event in [about, leave(6, &[2]), join(7, &[2, 3]), message(8, 3, 3), event(9, Kind::RoomDeleted)] {
        checker.observe(&ObservedEvent { head_n: Some(if event.seq < 8 { 2 } else { 3 }), ..event }).unwrap();
    }
    checker.expect_acked(4, 102, 1, "c2");
    assert_eq!((checker.last_seq(), checker.last_n(), checker.members().len()), (9, 3, 3));
    assert_eq!(checker.deleted_at(), Some(9));
    assert_eq!(checker.find(102).map(|(seq, message)| (seq, message.n)), Some((4, 2)));
    assert_eq!(checker.finish(), []);
}

#[test]
fn gaps_and_repeats_in_seq_are_found() {
    finds(&message(6, 3, 1), &Violation::SeqGap { expected: 5, found: 6 });
    finds(&message(4, 3, 1), &Violation::SeqGap { expected: 5, found: 4 });
}

#[test]
fn wrong_ordinals_are_found() {
    finds(&message(5, 4, 1), &Violation::OrdinalGap { seq: 5, expected: 3, found: 4 });
    let head = ObservedEvent { head_n: Some(3), ..event(5, Kind::Other) };
    finds(&head, &Violation::HeadOrdinal { seq: 5, expected: 2, found: 3 });
}

#[test]
fn an_epoch_or_id_that_goes_back_is_found() {
    let stale = ObservedEvent { epoch: 2, ..event(5, Kind::Other) };
    let mut checker = room();
    checker.observe(&stale).unwrap();
    let back = Violation::EpochWentBack { seq: 6, before: 2, found: 1 };
    assert_eq!(checker.observe(&event(6, Kind::Other)), Err(back));
    let same_id = changed(message(5, 3, 1), |message| message.id = 102);
    finds(&same_id, &Violation::IdNotGrowing { seq: 5, before: 102, found: 102 });
}

#[test]
fn a_doubled_send_is_found() {
    let again = changed(message(5, 3, 1), |message| message.client_message_id = "c1".to_owned());
    let doubled = Violation::Doubled { sender: 1, client_message_id: "c1".to_owned(), first: 2, second: 5 };
    finds(&again, &doubled);
    // Another sender's id, and no id at all, are no repeats.
    let mut checker = room();
    checker.observe(&changed(message(5, 3, 2), |message| message.client_message_id = "c1".to_owned())).unwrap();
    for n in [4, 5] {
        checker.observe(&changed(message(2 + n, n, 2), |message| message.client_message_id.clear())).unwrap();
    }
}

#[test]
fn events_after_the_end_of_the_room_are_found() {
    let mut checker = room();
    checker.observe(&event(5, Kind::RoomDeleted)).unwrap();
    let after = Violation::AfterDeletion { seq: 6, deleted_at: 5 };
    assert_eq!(checker.observe(&message(6, 3, 1)), Err(after));
}

#[test]
fn strangers_are_found() {
    finds(&message(5, 3, 9), &Violation::SenderNotMember { seq: 5, user: 9 });
    finds(&join(5, &[3, 2]), &Violation::JoinedTwice { seq: 5, user: 2 });
    finds(&leave(5, &[9]), &Violation::LeftNotMember { seq: 5, user: 9 });
    finds(&event(5, Kind::About { message_id: 999 }), &Violation::UnknownMessage { seq: 5, message_id: 999 });
    room().observe(&changed(message(5, 3, 9), |message| message.system = true)).unwrap();
}

#[test]
fn acknowledged_sends_that_are_lost_or_elsewhere_are_found() {
    let mut checker = room();
    checker.expect_acked(2, 101, 1, "c1");
    checker.expect_acked(5, 103, 1, "c3");
    checker.expect_acked(3, 102, 1, "c2");
    checker.expect_acked(4, 101, 1, "c2");
    let client_message_id = "c2".to_owned();
    let moved = |seq, id| Violation::AckedMoved {
        seq,
        id,
        sender: 1,
        client_message_id: client_message_id.clone(),
        found_seq: 4,
        found_id: 102,
    };
    let lost = Violation::AckedLost { seq: 5, id: 103, sender: 1, client_message_id: "c3".to_owned() };
    assert_eq!(checker.finish(), [lost, moved(3, 102), moved(4, 101)]);
}

#[test]
fn unread_is_counted_after_floor_position_and_own_last() {
    let mut checker = room();
    assert_eq!((checker.naive_unread(1), checker.naive_unread(2)), (0, 2));
    for event in [join(5, &[3]), message(6, 3, 2), message(7, 4, 1)] {
        checker.observe(&event).unwrap();
    }
    assert_eq!((checker.naive_unread(1), checker.naive_unread(2), checker.naive_unread(3)), (0, 1, 2));
    checker.set_position(3, 3, None);
    assert_eq!(checker.naive_unread(3), 1);
    checker.set_position(3, 0, Some(0));
    assert_eq!(checker.naive_unread(3), 4);
    checker.set_deleted(101);
    assert_eq!(checker.naive_unread(3), 3);
    assert_eq!((checker.ordinal_at(1), checker.ordinal_at(5), checker.own_last_n(2)), (0, 2, 3));
}
