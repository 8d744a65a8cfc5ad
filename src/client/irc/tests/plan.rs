//! Plans: every line once, and every step possible when it comes.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use crate::client::irc::{
    Hour, parse,
    plan::{OWNER_ID, Op, Plan, Reason, RoomPlan, client_message_id},
    tests::{hour_of, made_up, ten_hours},
};

/// Plays a plan against the rules of a room and fails on the first step that a server would refuse or ignore.
fn check(plan: &Plan, hours: &[Hour]) {
    let users: HashSet<i64> = plan.users.iter().map(|user| user.id).collect();
    assert_eq!(users.len(), plan.users.len());
    assert_eq!(plan.rooms.len(), hours.len());
    for (room, hour) in plan.rooms.iter().zip(hours) {
        assert_eq!(room.name, hour.name);
        every_line_once(room, hour);
        every_step_possible(room, &users);
    }
}

fn every_line_once(room: &RoomPlan, hour: &Hour) {
    let own = room.steps.iter().filter(|step| !step.implied).map(|step| step.line);
    let mut lines: Vec<_> = own.chain(room.skipped.iter().map(|skipped| skipped.line)).collect();
    lines.sort_unstable();
    assert_eq!(lines, (0..hour.lines.len()).collect::<Vec<_>>(), "{}", room.name);
    assert!(room.steps.is_sorted_by_key(|step| step.line));
}

fn every_step_possible(room: &RoomPlan, users: &HashSet<i64>) {
    let mut names: HashMap<i64, Option<&str>> = room.first_member.iter().map(|user| (*user, None)).collect();
    let mut sent = HashSet::new();
    for step in &room.steps {
        match &step.op {
            Op::Add { user } => {
                assert!(users.contains(user));
                assert!(names.insert(*user, None).is_none(), "{step:?}");
            }
            Op::Leave { user } => assert!(names.remove(user).is_some(), "{step:?}"),
            Op::Nickname { user, nickname } => {
                let name = names.get_mut(user).expect("a member");
                assert_ne!(name.replace(nickname), Some(nickname.as_str()), "{step:?}");
            }
            Op::Send(message) => {
                assert!(names.contains_key(&message.user) || (message.system && message.user == OWNER_ID));
                assert!(message.mentions.iter().all(|user| names.contains_key(user)), "{step:?}");
                assert!(message.reply_to_line.is_none_or(|line| sent.contains(&line)), "{step:?}");
                assert!((1..=65_536).contains(&message.content.len()));
                assert_eq!(message.client_message_id, client_message_id(&room.name, step.line));
                assert!(sent.insert(step.line), "one message a line");
            }
        }
    }
}

fn steps(room: &RoomPlan) -> Vec<String> {
    let describe = |op: &Op| match op {
        Op::Add { user } => format!("add {user}"),
        Op::Leave { user } => format!("leave {user}"),
        Op::Nickname { user, nickname } => format!("{user} is {nickname}"),
        Op::Send(message) => format!("{}: {}", message.user, message.content),
    };
    let mark = |implied: bool| if implied { "+ " } else { " " };
    room.steps.iter().map(|step| format!("{}{}{}", step.line, mark(step.implied), describe(&step.op))).collect()
}

#[test]
fn ten_hours_can_be_replayed() {
    let hours = ten_hours();
    let plan = Plan::of(&hours);
    check(&plan, &hours);
    assert_eq!(plan, Plan::of(&hours));
    let messages = |room: &RoomPlan| room.steps.iter().filter(|step| matches!(step.op, Op::Send(_))).count();
    assert!(plan.rooms.iter().all(|room| messages(room) > 800));
    let replies = plan
        .rooms
        .iter()
        .flat_map(|room| &room.steps)
        .filter(|step| matches!(&step.op, Op::Send(message) if message.reply_to_line.is_some()));
    assert!(replies.count() > 1_000);
}

#[test]
fn ids_follow_the_order_of_nicks_and_not_of_logs() {
    let hour = hour_of("[12:00] <b> x\n[12:00] <A> y\n=== b is now known as C\n[12:00] <a> z\n");
    let plan = Plan::of(&[hour]);
    let users: Vec<_> = plan.users.iter().map(|user| (user.id, user.name.as_str())).collect();
    assert_eq!(users, [(1000, "A"), (1001, "b"), (1002, "C")]);
    assert_eq!(steps(&plan.rooms[0]), ["0 1001: x", "1+ add 1000", "1 1000: y", "2 1001 is C", "3 1000: z"]);
}

#[test]
fn who_was_never_seen_is_added_first_and_a_second_join_needs_nothing() {
    let hour = hour_of(
        "[12:00] <a> x\n=== b [h]  has joined #tea\n=== b [h]  has joined #tea\n=== c [h]  has left #tea []\n\
         === b [h]  has left #tea []\n=== b [h]  has joined #tea\n",
    );
    let plan = Plan::of(std::slice::from_ref(&hour));
    let room = &plan.rooms[0];
    assert_eq!(room.first_member, Some(1000));
    assert_eq!(steps(room), ["0 1000: x", "1 add 1001", "3+ add 1002", "3 leave 1002", "4 leave 1001", "5 add 1001"]);
    assert_eq!(room.skipped.iter().map(|s| (s.line, s.reason)).collect::<Vec<_>>(), [(2, Reason::AlreadyMember)]);
}

#[test]
fn a_rename_keeps_the_user_until_the_old_nick_comes_back() {
    let hour = hour_of(
        "[12:00] <a> x\n=== a is now known as b\n[12:00] <b> y\n=== a [h]  has joined #tea\n[12:01] <b> z\n\
         [12:01] <a> b: hi\n=== a is now known as A\n",
    );
    let plan = Plan::of(std::slice::from_ref(&hour));
    let room = &plan.rooms[0];
    let expected = [
        "0 1000: x",
        "1 1000 is b",
        "2 1000: y",
        "3+ 1000 is a",
        "4+ add 1001",
        "4 1001: z",
        "5 1000: b: hi",
        "6 1000 is A",
    ];
    assert_eq!(steps(room), expected);
    let Op::Send(message) = &room.steps[6].op else { panic!() };
    assert_eq!(message.mentions, [1001]);
}

#[test]
fn notices_are_system_messages_and_what_is_special_is_in_the_metadata() {
    let raw = b"[12:00] <a> caf\xe9\n=== mode/#tea [+o a]\n=== a shrugs\n[12:00] <a>\n[12:01] <a> ok\n";
    let hour = parse("2004-11-15_03", raw, b"0 2 -\n0 4 -\n").unwrap();
    let plan = Plan::of(std::slice::from_ref(&hour));
    let sends: Vec<_> = plan.rooms[0]
        .steps
        .iter()
        .filter_map(|step| match &step.op {
            Op::Send(message) => Some(message),
            _ => None,
        })
        .collect();
    let metadata = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    assert_eq!(sends[0].metadata, metadata(&[("irc.encoding", "windows-1252")]));
    assert_eq!(sends[0].original_at, 1_100_476_800 + 12 * 3600);
    assert_eq!((sends[1].user, sends[1].system), (OWNER_ID, true));
    assert_eq!(sends[1].metadata, metadata(&[("irc.kind", "notice")]));
    assert_eq!(sends[2].metadata, metadata(&[("irc.kind", "action")]));
    assert_eq!((sends[2].content.as_str(), sends[2].reply_to_line), ("shrugs", Some(0)));
    assert_eq!(sends[3].client_message_id, "irc:2004-11-15_03:4");
    assert_eq!(plan.rooms[0].skipped[0].reason, Reason::NoText);
}

#[test]
fn a_log_without_people_has_a_plan() {
    let hours = [hour_of(""), hour_of("--- nobody\n")];
    let plan = Plan::of(&hours);
    check(&plan, &hours);
    assert_eq!(plan.rooms[1].first_member, None);
}

/// Few nicks, so that they collide; lines of all kinds.
fn any_line() -> impl Strategy<Value = String> {
    let nick = prop::sample::select(vec!["a", "A", "b", "b_", "c", "[c]", "{C}"]);
    (nick.clone(), nick, 0..9).prop_map(|(nick, other, shape)| match shape {
        0 => format!("[12:00] <{nick}> {other}: text"),
        1 => format!("[12:00] <{nick}>"),
        2 => format!("[12:00]  * {nick} waves"),
        3 => format!("=== {nick} [h]  has joined #tea"),
        4 => format!("=== {nick} [h]  has left #tea []"),
        5 => format!("=== {nick} [h]  has quit []"),
        6 => "=== mode/#tea [+o a]".to_owned(),
        _ => format!("=== {nick} is now known as {other}"),
    })
}

proptest! {
    #[test]
    fn any_log_can_be_replayed(lines in prop::collection::vec(any_line(), 0..60), links in prop::collection::vec((0..60_usize, 0..60_usize), 0..30)) {
        let links: String = links.iter().map(|(a, b)| format!("{a} {b} -\n")).collect();
        let hour = parse("2004-11-15", lines.join("\n").as_bytes(), links.as_bytes()).unwrap();
        let hours = [hour];
        check(&Plan::of(&hours), &hours);
    }

    #[test]
    fn any_bytes_can_be_read_and_replayed(raw in prop::collection::vec(any::<u8>(), 0..400), links in prop::collection::vec(any::<u8>(), 0..60)) {
        let hours = [parse("2004-11-15", &raw, &links).unwrap()];
        prop_assert_eq!(hours[0].counts().total(), hours[0].lines.len());
        check(&Plan::of(&hours), &hours);
    }

    #[test]
    fn generated_logs_can_be_replayed(seed in any::<u64>(), hour in 0..6_usize) {
        let hours = [made_up(seed, hour, 200)];
        check(&Plan::of(&hours), &hours);
    }
}
