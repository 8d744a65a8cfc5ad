//! How far an earlier run came, read from the room's log.
//!
//! A run does its steps in order, and each leaves one event in the log. So the log's events, matched in order against
//! the plan, say which step was the last. Messages carry their line in their id and pin the place exactly; between two
//! messages, joins, leaves and nicknames are matched by what they did. Events that the plan does not hold are other
//! people's and are passed over.

use std::collections::HashMap;

use tertulia_proto::chat::v1::{Event, event};

use crate::client::irc::plan::{OWNER_ID, Op, RoomPlan, Step};

pub(super) struct Resume<'a> {
    plan: &'a RoomPlan,
    /// Client message id to index of its step.
    sends: HashMap<&'a str, usize>,
    /// Index of the next step.
    next: usize,
    message_ids: HashMap<usize, i64>,
    last_seq: i64,
    /// Whether the join of the room's first member, which comes with its creation, has been seen.
    created: bool,
}

impl<'a> Resume<'a> {
    pub(super) fn new(plan: &'a RoomPlan) -> Self {
        let send = |(index, step): (usize, &'a Step)| match &step.op {
            Op::Send(message) => Some((message.client_message_id.as_str(), index)),
            Op::Add { .. } | Op::Leave { .. } | Op::Nickname { .. } => None,
        };
        let sends = plan.steps.iter().enumerate().filter_map(send).collect();
        Self { plan, sends, next: 0, message_ids: HashMap::new(), last_seq: 0, created: false }
    }

    pub(super) fn last_seq(&self) -> i64 {
        self.last_seq
    }

    /// Takes the next event of the log.
    pub(super) fn observe(&mut self, event: &Event) {
        self.last_seq = self.last_seq.max(event.seq);
        match &event.event {
            Some(event::Event::Message(message)) => {
                if let Some(index) = self.sends.get(message.client_message_id.as_str()) {
                    self.message_ids.insert(self.plan.steps[*index].line, message.id);
                    self.next = self.next.max(index + 1);
                }
            }
            Some(event::Event::RoomJoin(join)) => {
                let users: Vec<_> = join.participants.iter().map(|participant| participant.user_id).collect();
                self.joined(event.user_id, &users);
            }
            Some(event::Event::RoomLeave(leave)) if !leave.removed => {
                self.member_change(|op| matches!(op, Op::Leave { user } if leave.user_ids == [*user]));
            }
            Some(event::Event::ParticipantUpdate(update)) => {
                let Some(participant) = &update.participant else {
                    return;
                };
                self.member_change(|op| {
                    matches!(op, Op::Nickname { user, nickname }
                        if *user == participant.user_id && *nickname == participant.nickname)
                });
            }
            _ => {}
        }
    }

    fn joined(&mut self, by: i64, users: &[i64]) {
        let first = self.plan.first_member;
        if !self.created && first.is_none_or(|first| users.contains(&first)) {
            self.created = true;
        } else if by == OWNER_ID {
            self.member_change(|op| matches!(op, Op::Add { user } if users == [*user]));
        }
    }

    /// Looks for the step up to the next message: no run goes beyond a message that the log does not have.
    fn member_change(&mut self, is_it: impl Fn(&Op) -> bool) {
        let ahead = self.plan.steps[self.next..].iter().take_while(|step| !matches!(step.op, Op::Send(_)));
        if let Some(offset) = ahead.map(|step| &step.op).position(is_it) {
            self.next += offset + 1;
        }
    }

    /// The step to go on with, and the message ids by line.
    pub(super) fn finish(self) -> (usize, HashMap<usize, i64>) {
        (self.next, self.message_ids)
    }
}
