//! Imports against a made-up server that fails before, after and in the middle, and against the plan's own log.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use indicatif::ProgressBar;
use parking_lot::Mutex;
use proptest::prelude::*;
use tertulia_proto::chat::v1::{Event, Message, Participant, ParticipantUpdate, RoomJoin, RoomLeave, event};
use tonic::Status;

use super::{
    engine::{Done, Port, RoomRun, run},
    resume::Resume,
};
use crate::client::{
    irc::{
        generate::Log,
        parse,
        plan::{OWNER_ID, Op, Outgoing, Plan},
    },
    throttle::Throttle,
    wire::RetryPolicy,
};

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// It fails and nothing happened.
    Before,
    /// It happened and the answer is lost.
    After,
    /// The importer dies, with the call done or not.
    Death {
        done: bool,
    },
}

#[derive(Default)]
struct Room {
    name: String,
    log: Vec<Event>,
    members: HashSet<i64>,
    nicknames: HashMap<i64, String>,
}

/// One server with rooms as their rules say, and a script of faults.
#[derive(Default)]
struct Fake {
    rooms: Mutex<Vec<Room>>,
    faults: Mutex<Vec<Fault>>,
}

impl Fake {
    fn with(faults: Vec<Fault>) -> Self {
        Self { faults: Mutex::new(faults), ..Self::default() }
    }

    fn under_fault<T>(&self, call: impl FnOnce(&mut Vec<Room>) -> Result<T, Status>) -> Result<T, Status> {
        let fault = self.faults.lock().pop().unwrap_or(Fault::None);
        let died = || Status::permission_denied("the importer died");
        match fault {
            Fault::Before => return Err(Status::unavailable("before")),
            Fault::Death { done: false } => return Err(died()),
            Fault::None | Fault::After | Fault::Death { done: true } => {}
        }
        let answer = call(&mut self.rooms.lock())?;
        match fault {
            Fault::After => Err(Status::deadline_exceeded("after")),
            Fault::Death { .. } => Err(died()),
            Fault::None | Fault::Before => Ok(answer),
        }
    }

    /// What the rooms hold, without what may differ between runs.
    fn content(&self) -> Vec<(String, Vec<String>)> {
        let rooms = self.rooms.lock();
        let describe = |event: &Event| format!("{} {} {:?}", event.seq, event.user_id, event.event);
        rooms.iter().map(|room| (room.name.clone(), room.log.iter().map(describe).collect())).collect()
    }
}

impl Room {
    fn append(&mut self, user_id: i64, event: event::Event) {
        let seq = self.log.len() as i64 + 1;
        self.log.push(Event { seq, user_id, event: Some(event), ..Event::default() });
    }

    fn join(&mut self, by: i64, users: &[i64]) {
        let participant = |user: &i64| Participant { user_id: *user, ..Participant::default() };
        let participants = users.iter().map(participant).collect();
        self.members.extend(users);
        self.append(by, event::Event::RoomJoin(RoomJoin { participants, room: None }));
    }

    fn perform(&mut self, op: &Op, reply_to: i64) -> Result<Done, Status> {
        match op {
            Op::Add { user } if !self.members.contains(user) => self.join(OWNER_ID, &[*user]),
            Op::Add { .. } => {}
            Op::Leave { user } => {
                if !self.members.remove(user) {
                    return Err(Status::not_found("room_not_found"));
                }
                self.nicknames.remove(user);
                let leave = RoomLeave { user_ids: vec![*user], removed: false, ..RoomLeave::default() };
                self.append(*user, event::Event::RoomLeave(leave));
            }
            Op::Nickname { user, nickname } => {
                assert!(self.members.contains(user));
                if self.nicknames.insert(*user, nickname.clone()).as_ref() != Some(nickname) {
                    let participant =
                        Participant { user_id: *user, nickname: nickname.clone(), ..Participant::default() };
                    let update = ParticipantUpdate { participant: Some(participant) };
                    self.append(*user, event::Event::ParticipantUpdate(update));
                }
            }
            Op::Send(send) => return self.send(send, reply_to),
        }
        Ok(Done::default())
    }

    fn send(&mut self, send: &Outgoing, reply_to: i64) -> Result<Done, Status> {
        assert!(self.members.contains(&send.user));
        let sent = self.log.iter().find_map(|event| match &event.event {
            Some(event::Event::Message(message)) if message.client_message_id == send.client_message_id => {
                Some(message)
            }
            _ => None,
        });
        if let Some(sent) = sent {
            let same = sent.content == send.content && sent.reply_to == reply_to && sent.sender_id == send.user;
            assert!(same, "the same id with another body");
            return Ok(Done { message_id: sent.id, duplicate: true });
        }
        let message = Message {
            id: 1_000 + self.log.len() as i64,
            sender_id: send.user,
            content: send.content.clone(),
            client_message_id: send.client_message_id.clone(),
            mentions: send.mentions.clone(),
            reply_to,
            ..Message::default()
        };
        let message_id = message.id;
        self.append(send.user, event::Event::Message(message));
        Ok(Done { message_id, duplicate: false })
    }
}

#[async_trait]
impl Port for Fake {
    async fn find_room(&self, name: &str) -> Result<Option<String>, Status> {
        self.under_fault(|rooms| {
            let found = rooms.iter().position(|room| room.name == name);
            Ok(found.map(|at| at.to_string()))
        })
    }

    async fn create_room(&self, name: &str, first_member: i64) -> Result<String, Status> {
        self.under_fault(|rooms| {
            let mut room = Room { name: name.to_owned(), ..Room::default() };
            room.join(OWNER_ID, &[OWNER_ID, first_member]);
            rooms.push(room);
            Ok((rooms.len() - 1).to_string())
        })
    }

    async fn read_log(&self, room_id: &str, after_seq: i64) -> Result<Vec<Event>, Status> {
        self.under_fault(|rooms| {
            let room = &rooms[room_id.parse::<usize>().unwrap()];
            let after = usize::try_from(after_seq).unwrap();
            Ok(room.log.iter().skip(after).take(7).cloned().collect())
        })
    }

    async fn perform(&self, room_id: &str, op: &Op, reply_to: i64) -> Result<Done, Status> {
        self.under_fault(|rooms| rooms[room_id.parse::<usize>().unwrap()].perform(op, reply_to))
    }
}

/// Runs all rooms; how often the importer had to be started.
async fn until_done(fake: &Fake, plan: &Plan) -> (usize, Vec<RoomRun>) {
    let mut starts = 0;
    loop {
        starts += 1;
        let mut runs = Vec::new();
        for room in &plan.rooms {
            match run(fake, room, RetryPolicy::default(), &ProgressBar::hidden(), &Throttle::default()).await {
                Ok(run) => runs.push(run),
                Err(error) => assert!(error.to_string().contains("the importer died"), "{error}"),
            }
        }
        if runs.len() == plan.rooms.len() {
            return (starts, runs);
        }
    }
}

fn plan_of(seed: u64, hour: usize, lines: usize) -> Plan {
    let log = Log::make(seed, hour, lines);
    Plan::of(&[parse(&log.name, &log.raw, log.annotation.as_bytes()).unwrap()])
}

#[tokio::test(start_paused = true)]
async fn every_step_leaves_one_event_and_a_second_run_does_nothing() {
    let plan = plan_of(3, 0, 400);
    let fake = Fake::default();
    let (_, runs) = until_done(&fake, &plan).await;
    let steps = plan.rooms[0].steps.len();
    let sends = plan.rooms[0].steps.iter().filter(|step| matches!(step.op, Op::Send(_))).count();
    assert_eq!((runs[0].messages_sent, runs[0].member_changes), (sends, steps - sends));
    assert_eq!((runs[0].done_before, runs[0].duplicates, runs[0].retries), (0, 0, 0));
    let content = fake.content();
    assert_eq!(content[0].1.len(), steps + 1);
    let (_, runs) = until_done(&fake, &plan).await;
    assert_eq!((runs[0].messages_sent, runs[0].member_changes, runs[0].done_before), (0, 0, steps));
    assert_eq!(fake.content(), content);
}

fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        20 => Just(Fault::None),
        2 => Just(Fault::Before),
        2 => Just(Fault::After),
        1 => any::<bool>().prop_map(|done| Fault::Death { done }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever fails when, the rooms end up as if nothing had.
    #[test]
    fn no_fault_loses_or_doubles_anything(
        seed in any::<u64>(),
        hour in 0..2_usize,
        faults in prop::collection::vec(any_fault(), 0..400),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let plan = plan_of(seed, hour, 150);
        let (sound, faulty) = (Fake::default(), Fake::with(faults));
        runtime.block_on(async {
            until_done(&sound, &plan).await;
            until_done(&faulty, &plan).await;
        });
        prop_assert_eq!(sound.content(), faulty.content());
    }
}

#[tokio::test(start_paused = true)]
async fn other_peoples_events_do_not_disturb() {
    let plan = plan_of(5, 0, 200);
    let (alone, shared) = (Fake::default(), Fake::with(vec![Fault::None; 150]));
    until_done(&alone, &plan).await;
    // The importer dies in the middle; meanwhile somebody else joins and talks.
    shared.faults.lock().insert(0, Fault::Death { done: true });
    let first =
        run(&shared, &plan.rooms[0], RetryPolicy::default(), &ProgressBar::hidden(), &Throttle::default()).await;
    assert!(first.is_err());
    {
        let mut rooms = shared.rooms.lock();
        rooms[0].join(OWNER_ID, &[7]);
        let message = Message { id: 5, sender_id: 7, client_message_id: "mine".to_owned(), ..Message::default() };
        rooms[0].append(7, event::Event::Message(message));
    }
    let (_, runs) = until_done(&shared, &plan).await;
    assert!(runs[0].done_before > 50);
    assert_eq!(shared.content()[0].1.len(), alone.content()[0].1.len() + 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_ends_the_import_with_the_line() {
    let plan = plan_of(5, 0, 50);
    let mut faults = vec![Fault::Before; 10_000];
    faults.extend(vec![Fault::None; 10]);
    let error =
        run(&Fake::with(faults), &plan.rooms[0], RetryPolicy::default(), &ProgressBar::hidden(), &Throttle::default())
            .await;
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("room 2004-01-01_00, line "), "{error}");
}

/// A server may tell the creation of a room as one join or as one for each; neither is a step of the plan.
#[test]
fn the_joins_of_a_creation_are_no_steps() {
    let raw = b"=== a [h]  has left #tea []\n=== a [h]  has joined #tea\n[12:00] <a> hi\n";
    let plan = Plan::of(&[parse("2004-11-15", raw, b"").unwrap()]);
    let room = &plan.rooms[0];
    let first = room.first_member.unwrap();
    for creation in [vec![vec![OWNER_ID, first]], vec![vec![OWNER_ID], vec![first]]] {
        let mut server = Room::default();
        creation.iter().for_each(|users| server.join(OWNER_ID, users));
        for done in 0..room.steps.len() {
            let mut resume = Resume::new(room);
            server.log.iter().for_each(|event| resume.observe(event));
            assert_eq!(resume.finish().0, done, "{creation:?}");
            server.perform(&room.steps[done].op, 0).unwrap();
        }
    }
}
