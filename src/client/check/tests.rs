//! Logs, positions and histories made by hand, sound and broken.

use tertulia_proto::{
    admin::v1::{LogEntry, MemberPosition},
    chat::v1::{Event, ExplainUnreadResponse, Message, MessageDeleted, MessageEdited, Participant, RoomJoin, event},
};

use super::{CheckReport, RoomReport, log::RoomLog};
use crate::domain::invariants::Violation;

fn entry(seq: i64, n: i64, event: event::Event) -> LogEntry {
    LogEntry { event: Some(Event { seq, event: Some(event), ..Event::default() }), epoch: 1, n }
}

fn message(seq: i64, n: i64, sender_id: i64) -> Message {
    let client_message_id = format!("c{n}");
    Message { id: 100 + n, seq, n, sender_id, client_message_id, content: format!("text {n}"), ..Message::default() }
}

/// Seq 1: users 1 and 2 join; 2, 3, 4: messages by 1, 1, 2; 5: the second is edited; 6: the first is deleted.
fn entries() -> Vec<LogEntry> {
    let participants = [1, 2].map(|user_id| Participant { user_id, ..Participant::default() });
    let edited = Message { content: "better".to_owned(), ..message(3, 2, 1) };
    vec![
        entry(1, 0, event::Event::RoomJoin(RoomJoin { participants: participants.to_vec(), room: None })),
        entry(2, 1, event::Event::Message(message(2, 1, 1))),
        entry(3, 2, event::Event::Message(message(3, 2, 1))),
        entry(4, 3, event::Event::Message(message(4, 3, 2))),
        entry(5, 3, event::Event::Edited(MessageEdited { message: Some(edited) })),
        entry(6, 3, event::Event::Deleted(MessageDeleted { message_id: 101, message_seq: 2 })),
    ]
}

fn log() -> RoomLog {
    let mut log = RoomLog::default();
    entries().iter().for_each(|entry| log.observe(entry));
    log
}

fn positions() -> Vec<MemberPosition> {
    vec![
        MemberPosition {
            user_id: 1,
            read_seq: 3,
            read_n: 2,
            own_last_n: 2,
            unread_count: 1,
            ..MemberPosition::default()
        },
        MemberPosition { user_id: 2, own_last_n: 3, ..MemberPosition::default() },
    ]
}

fn history() -> Vec<Message> {
    let mut history = vec![message(2, 1, 1), message(3, 2, 1), message(4, 3, 2)];
    history[0].deleted = true;
    history[0].content.clear();
    history[1].content = "better".to_owned();
    history
}

#[test]
fn a_sound_room_has_nothing_to_report() {
    let mut log = log();
    log.check_positions(&positions());
    log.check_history(&history(), Some(0));
    log.check_history(&history()[1..], None);
    log.check_history(&history()[1..], Some(1));
    let why = ExplainUnreadResponse {
        unread_count: 1,
        last_n: 3,
        read_n: 2,
        own_last_n: 2,
        read_seq: 3,
        ..Default::default()
    };
    log.check_explanation(&positions()[0], &why);
    // A message that came after the log was read is not the log's business.
    let mut longer = history();
    longer.push(message(7, 4, 1));
    log.check_history(&longer, Some(0));
    assert_eq!(log.finish(), []);
}

#[test]
fn what_the_log_shows_is_found() {
    let mut log = RoomLog::default();
    for (at, entry) in entries().iter().enumerate() {
        if at != 2 {
            log.observe(entry);
        }
    }
    let found = log.finish();
    assert!(found.contains(&Violation::SeqGap { expected: 3, found: 4 }), "{found:?}");
    assert!(found.contains(&Violation::OrdinalGap { seq: 4, expected: 2, found: 3 }), "{found:?}");
    assert!(found.contains(&Violation::UnknownMessage { seq: 5, message_id: 102 }), "{found:?}");
}

#[track_caller]
fn position_finds(change: impl FnOnce(&mut Vec<MemberPosition>), violation: &Violation) {
    let mut positions = positions();
    change(&mut positions);
    let mut log = log();
    log.check_positions(&positions);
    let found = log.finish();
    assert!(found.contains(violation), "{found:?}");
}

#[test]
fn wrong_positions_are_found() {
    let beyond = Violation::PositionBeyondLog { user: 1, position: 9, last_seq: 6 };
    position_finds(|all| all[0].delivered_seq = 9, &beyond);
    position_finds(|all| all[0].unread_count = 2, &Violation::Unread { user: 1, counted: 1, reported: 2 });
    let read_n = Violation::PositionOrdinal { user: 1, what: "read_n", expected: 2, found: 1 };
    position_finds(|all| all[0].read_n = 1, &read_n);
    let own = Violation::PositionOrdinal { user: 2, what: "own_last_n", expected: 3, found: 0 };
    position_finds(|all| all[1].own_last_n = 0, &own);
    position_finds(|all| all.truncate(1), &Violation::MembersDiffer { user: 2, by_log: true });
    let stranger = MemberPosition { user_id: 7, floor_n: 3, ..MemberPosition::default() };
    position_finds(|all| all.push(stranger), &Violation::MembersDiffer { user: 7, by_log: false });
}

#[test]
fn wrong_explanations_are_found() {
    let right = ExplainUnreadResponse {
        unread_count: 1,
        last_n: 3,
        read_n: 2,
        own_last_n: 2,
        read_seq: 3,
        ..Default::default()
    };
    let wrong = [
        (ExplainUnreadResponse { unread_count: 2, ..right }, 1, 2),
        // Sound in itself, but not what the position says.
        (ExplainUnreadResponse { unread_count: 0, read_n: 3, ..right }, 1, 0),
    ];
    for (why, counted, reported) in wrong {
        let mut log = log();
        log.check_explanation(&positions()[0], &why);
        assert_eq!(log.finish()[0], Violation::Unread { user: 1, counted, reported });
    }
}

#[track_caller]
fn history_finds(change: impl FnOnce(&mut Vec<Message>), violations: &[Violation]) {
    let mut history = history();
    change(&mut history);
    let mut log = log();
    log.check_history(&history, Some(0));
    assert_eq!(log.finish(), violations);
}

#[test]
fn wrong_histories_are_found() {
    let lacks = |seq, id| Violation::HistoryLacks { seq, id };
    let differs = |seq, id, what| Violation::HistoryDiffers { seq, id, what };
    history_finds(|all| drop(all.remove(1)), &[lacks(3, 102)]);
    history_finds(|all| drop(all.pop()), &[lacks(4, 103)]);
    history_finds(Vec::clear, &[lacks(2, 101), lacks(3, 102), lacks(4, 103)]);
    history_finds(|all| all[1].content = "text 2".to_owned(), &[differs(3, 102, "content")]);
    history_finds(|all| all[0].deleted = false, &[differs(2, 101, "deletion")]);
    history_finds(|all| all[2].sender_id = 1, &[differs(4, 103, "sender")]);
    let extra = Violation::HistoryExtra { seq: 4, id: 103, expected: 0 };
    history_finds(|all| all.push(message(4, 3, 2)), &[extra]);
    let other = [Violation::HistoryExtra { seq: 3, id: 900, expected: 102 }, lacks(3, 102)];
    history_finds(|all| all[1].id = 900, &other);
}

#[test]
fn the_report_speaks_json_and_english() {
    let violations = vec![Violation::SeqGap { expected: 2, found: 3 }];
    let room = RoomReport { id: "r".to_owned(), violations, notes: vec!["n".to_owned()], ..RoomReport::default() };
    let report = CheckReport { rooms: vec![room], violations: 1, ..CheckReport::default() };
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["rooms"][0]["violations"][0], "seq 3 where 2 must follow");
    let text = report.to_string();
    assert!(text.contains("WRONG r") && text.contains("note: n") && text.contains("1 violations"), "{text}");
}
