//! What the server has in the end, read through its API, and everything that must hold of it.

use std::collections::HashMap;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tertulia::{
    client::{
        Client,
        irc::plan::{Op, RoomPlan},
    },
    domain::invariants::{HistoryChecker, Kind, ObservedEvent, ObservedMessage},
};
use tertulia_proto::{
    admin::v1::{LogEntry, MemberPosition, ReadLogRequest, ReadPositionsRequest},
    chat::v1::{Event, ExplainUnreadRequest, GetMessageHistoryRequest, Message, MessageType, event},
};

use super::{
    data::{CROWD, TestRoom},
    readers::{Reader, digest},
    senders::{CROWD_SENDS, crowd_request},
    server::{Address, Admin},
};

/// Calls under way at a time.
const AT_ONCE: usize = 16;

/// One room, read to the end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoomTruth {
    pub(crate) entries: Vec<LogEntry>,
    pub(crate) positions: Vec<MemberPosition>,
    pub(crate) history: Vec<Message>,
}

/// Room id to the seq of its last event.
pub(crate) async fn ends(at: &Address, rooms: &[TestRoom]) -> HashMap<String, i64> {
    let mut ends = HashMap::new();
    for room in rooms {
        let log = read_log(at.admin(), &room.id).await;
        ends.insert(room.id.clone(), log.last().map_or(0, seq_of));
    }
    ends
}

fn seq_of(entry: &LogEntry) -> i64 {
    entry.event.as_ref().map_or(0, |event| event.seq)
}

impl RoomTruth {
    /// Reads log and positions as the operator, history as a reader.
    pub(crate) async fn read(at: &Address, room: &TestRoom, reader: &Client) -> Self {
        Self {
            entries: read_log(at.admin(), &room.id).await,
            positions: read_positions(at.admin(), &room.id).await,
            history: read_history(reader, &room.id).await,
        }
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.entries.iter().filter_map(|entry| entry.event.as_ref())
    }

    pub(crate) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.events().filter_map(|event| match &event.event {
            Some(event::Event::Message(message)) => Some(message),
            _ => None,
        })
    }

    pub(crate) fn digests(&self) -> Vec<u64> {
        self.events().map(digest).collect()
    }

    /// The log under the project's own checker, with what was acknowledged.
    fn checker(&self, acked: &[Message]) -> HistoryChecker {
        let mut checker = HistoryChecker::new();
        for entry in &self.entries {
            // What it finds, it keeps.
            let _ = checker.observe(&observed(entry));
        }
        for message in acked {
            checker.expect_acked(message.seq, message.id, message.sender_id, &message.client_message_id);
        }
        checker
    }

    /// Everything wrong with the log, the positions and the history.
    pub(crate) fn judge(&self, room: &TestRoom, acked: &[Message]) -> Vec<String> {
        let mut found = Vec::new();
        let mut checker = self.checker(acked);
        for position in &self.positions {
            let user = position.user_id;
            checker.set_position(user, position.read_n, None);
            let (counted, told) = (checker.naive_unread(user), position.unread_count);
            if counted != told {
                found.push(format!("user {user} has {told} unread, counted {counted}"));
            }
        }
        let mut listed: Vec<_> = self.positions.iter().map(|at| at.user_id).collect();
        let mut members: Vec<_> = checker.members().iter().copied().collect();
        listed.sort_unstable();
        members.sort_unstable();
        if listed != members {
            found.push(format!("positions of {listed:?}, members {members:?}"));
        }
        found.extend(self.judge_acked(acked));
        found.extend(self.judge_history());
        found.extend(checker.finish().iter().map(ToString::to_string));
        let named = |what| format!("room {} ({}): {what}", room.name, room.id);
        found.into_iter().map(named).collect()
    }

    /// The log has exactly what was acknowledged: all of it, as it was acknowledged, and nothing else.
    fn judge_acked(&self, acked: &[Message]) -> Vec<String> {
        let acked: HashMap<i64, &Message> = acked.iter().map(|acked| (acked.seq, acked)).collect();
        let mut found = Vec::new();
        for message in self.messages() {
            let (seq, id) = (message.seq, message.id);
            match acked.get(&seq) {
                None => found.push(format!("message {id} at seq {seq} was never acknowledged")),
                Some(ack) if body(ack) != body(message) => {
                    found.push(format!("message {id} at seq {seq} is not what was acknowledged: {message:?}, {ack:?}"))
                }
                Some(_) => {}
            }
        }
        found
    }

    fn judge_history(&self) -> Vec<String> {
        let mut log = self.messages();
        let mut found = Vec::new();
        for message in &self.history {
            let expected = log.next();
            if expected.map(body) != Some(body(message)) {
                let (seq, id) = (message.seq, message.id);
                let expected = expected.map(|message| (message.seq, message.id));
                found.push(format!("history has (seq {seq}, id {id}), the log has {expected:?}"));
                return found;
            }
        }
        let missing = log.map(|message| format!("history lacks seq {}", message.seq));
        found.extend(missing);
        found
    }

    /// Every line of the log file that is a message is in the room, in order, as the plan says; and so is every message
    /// of the crowd. Nothing else is.
    pub(crate) fn judge_plan(&self, room: &TestRoom, plan: &RoomPlan) -> Vec<String> {
        let mut found = Vec::new();
        let ids: HashMap<_, _> =
            self.messages().map(|message| (message.client_message_id.as_str(), message.id)).collect();
        let mut imported = self.messages().filter(|message| message.client_message_id.starts_with("irc:"));
        for step in &plan.steps {
            let Op::Send(planned) = &step.op else {
                continue;
            };
            let answered = planned.reply_to_line.map(|line| {
                let id = tertulia::client::irc::plan::client_message_id(&plan.name, line);
                ids.get(id.as_str()).copied()
            });
            let same = |message: &&Message| {
                message.client_message_id == planned.client_message_id
                    && message.sender_id == planned.user
                    && message.content == planned.content
                    && message.mentions == planned.mentions
                    && (planned.system || message.sender_name == planned.sender_name)
                    && message.metadata.len() == planned.metadata.len()
                    && message.original_at.map(|at| at.seconds) == Some(planned.original_at)
                    && answered.unwrap_or(Some(0)) == Some(message.reply_to)
            };
            let message = imported.next();
            if message.filter(same).is_none() {
                let (name, line) = (&plan.name, step.line);
                found.push(format!("room {name}: line {line} became {message:?}"));
                return found;
            }
        }
        for extra in imported {
            found.push(format!("room {}: no line has {extra:?}", plan.name));
        }
        found.extend(self.judge_crowd(room, &ids));
        found
    }

    fn judge_crowd(&self, room: &TestRoom, ids: &HashMap<&str, i64>) -> Vec<String> {
        let crowd = |message: &&Message| message.client_message_id.starts_with("crowd:");
        let (sent, wanted) =
            (self.messages().filter(crowd).count(), usize::try_from(CROWD).expect("a few") * CROWD_SENDS);
        let mut found = Vec::new();
        if sent != wanted {
            found.push(format!("room {}: {sent} of the crowd, not {wanted}", room.name));
        }
        for user in &room.crowd {
            for request in (0..CROWD_SENDS).map(|index| crowd_request(room, *user, index)) {
                if !ids.contains_key(request.client_message_id.as_str()) {
                    let id = &request.client_message_id;
                    found.push(format!("room {}: {id} is missing", room.name));
                }
            }
        }
        found
    }

    /// Positions are where the readers put them.
    pub(crate) fn judge_marks(&self, room: &TestRoom, readers: &[Reader]) -> Vec<String> {
        let read: HashMap<_, _> = self.positions.iter().map(|position| (position.user_id, position.read_seq)).collect();
        let wrong = |reader: &Reader| {
            let (seen, read_seq) = (&reader.rooms[&room.id], read.get(&reader.user).copied());
            let kept = read_seq.is_some_and(|seq| (seen.marked..=seen.asked).contains(&seq));
            (!kept).then(|| {
                format!(
                    "room {}: reader {} marked {} (asked {}), the position is {read_seq:?}",
                    room.name, reader.user, seen.marked, seen.asked
                )
            })
        };
        readers.iter().filter_map(wrong).collect()
    }
}

/// What must be the same wherever a message is shown, but for what the viewer's eye adds.
fn body(message: &Message) -> Message {
    Message { status: 0, status_counts: None, ..message.clone() }
}

/// Unread of every member as `ExplainUnread` tells it, against the positions.
pub(crate) async fn judge_unread(at: &Address, room: &TestRoom, positions: &[MemberPosition]) -> Vec<String> {
    let operator = at.operator();
    let told = |position: &MemberPosition| {
        let (operator, user_id, room_id) = (operator.clone(), position.user_id, room.id.clone());
        let expected = position.unread_count;
        async move {
            let request = ExplainUnreadRequest { room_id, user_id };
            let why = operator.explain_unread(request).await?;
            Ok::<_, tertulia::client::ClientError>((user_id, expected, why))
        }
    };
    let told: Vec<_> = futures_util::stream::iter(positions.iter().map(told).collect::<Vec<_>>())
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
        .unwrap();
    told.into_iter()
        .filter(|(_, expected, why)| {
            let behind = (why.last_n - why.read_n.max(why.own_last_n).max(why.floor_n)).max(0);
            let sum = behind - why.uncounted - why.hidden;
            why.unread_count + why.hidden != *expected || sum != why.unread_count
        })
        .map(|(user, expected, why)| {
            format!("room {}: user {user} has {expected} unread, explained {why:?}", room.name)
        })
        .collect()
}

async fn read_log(mut admin: Admin, room_id: &str) -> Vec<LogEntry> {
    let mut entries: Vec<LogEntry> = Vec::new();
    loop {
        let request =
            ReadLogRequest { room_id: room_id.to_owned(), after_seq: entries.last().map_or(0, seq_of), limit: 1_000 };
        let page = admin.read_log(request).await.unwrap().into_inner();
        assert!(!page.has_more || !page.entries.is_empty());
        entries.extend(page.entries);
        if !page.has_more {
            return entries;
        }
    }
}

async fn read_positions(mut admin: Admin, room_id: &str) -> Vec<MemberPosition> {
    let request = ReadPositionsRequest { room_id: room_id.to_owned(), after_user_id: 0, limit: 10_000 };
    let page = admin.read_positions(request).await.unwrap().into_inner();
    assert!(!page.has_more, "more members than the test has");
    page.positions
}

async fn read_history(reader: &Client, room_id: &str) -> Vec<Message> {
    let mut history: Vec<Message> = Vec::new();
    loop {
        let request = GetMessageHistoryRequest {
            room_id: room_id.to_owned(),
            after_seq: Some(history.last().map_or(0, |message| message.seq)),
            limit: 200,
            ..GetMessageHistoryRequest::default()
        };
        let page = reader.get_message_history(request).await.unwrap();
        assert!(!page.has_more_after || !page.messages.is_empty());
        history.extend(page.messages);
        if !page.has_more_after {
            return history;
        }
    }
}

fn observed(entry: &LogEntry) -> ObservedEvent {
    let event = entry.event.clone().unwrap_or_default();
    let mut observed = ObservedEvent {
        seq: event.seq,
        epoch: entry.epoch,
        head_n: Some(entry.n),
        kind: Kind::Other,
        message: None,
        joined: Vec::new(),
        left: Vec::new(),
    };
    match event.event {
        Some(event::Event::Message(message)) => {
            observed.kind = Kind::Message;
            observed.message = Some(ObservedMessage {
                n: message.n,
                id: message.id,
                sender: message.sender_id,
                system: message.r#type == i32::from(MessageType::SystemMessage),
                client_message_id: message.client_message_id,
                body_hash: 0,
            });
        }
        Some(event::Event::RoomJoin(join)) => {
            observed.kind = Kind::Members;
            observed.joined = join.participants.iter().map(|who| who.user_id).collect();
        }
        Some(event::Event::RoomLeave(leave)) => {
            observed.kind = Kind::Members;
            observed.left = leave.user_ids;
        }
        _ => {}
    }
    observed
}
