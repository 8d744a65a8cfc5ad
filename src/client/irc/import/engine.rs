//! Runs the plan of one room, step after step, over a port that a test can replace.

use std::collections::HashMap;

use async_trait::async_trait;
use indicatif::ProgressBar;
use tertulia_proto::chat::v1::Event;
use tonic::{Code, Status};

use super::{ImportError, resume::Resume};
use crate::client::{
    irc::plan::{FIRST_USER_ID, Op, RoomPlan, Step},
    throttle::Throttle,
    wire::{Retries, RetryPolicy},
};

/// The calls that an import makes, each once.
#[async_trait]
pub(super) trait Port: Send + Sync {
    /// Id of the importer's own group of this name.
    async fn find_room(&self, name: &str) -> Result<Option<String>, Status>;
    /// Makes the group; gives its id.
    async fn create_room(&self, name: &str, first_member: i64) -> Result<String, Status>;
    /// The events after a seq, at least one if there is any.
    async fn read_log(&self, room_id: &str, after_seq: i64) -> Result<Vec<Event>, Status>;
    /// Does one step; `reply_to` is the id of the message that `Op::Send::reply_to_line` stands for.
    async fn perform(&self, room_id: &str, op: &Op, reply_to: i64) -> Result<Done, Status>;
}

/// The answer to a step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Done {
    /// Id of the message, if it is one.
    pub(super) message_id: i64,
    /// Whether it had been done before.
    pub(super) duplicate: bool,
}

/// What was done in one room.
#[derive(Debug, Default)]
pub(super) struct RoomRun {
    pub(super) name: String,
    pub(super) room_id: String,
    pub(super) messages_sent: usize,
    pub(super) duplicates: usize,
    pub(super) member_changes: usize,
    pub(super) done_before: usize,
    pub(super) retries: usize,
}

/// Runs what is left of a room's plan.
pub(super) async fn run<P: Port>(
    port: &P,
    plan: &RoomPlan,
    policy: RetryPolicy,
    bar: &ProgressBar,
    throttle: &Throttle,
) -> Result<RoomRun, ImportError> {
    let run = RoomRun { name: plan.name.clone(), ..RoomRun::default() };
    let mut runner = Runner { port, plan, policy, bar, throttle, run, message_ids: HashMap::new() };
    runner.ensure_room().await?;
    let mut next = runner.resume("log").await?;
    runner.run.done_before = next;
    bar.inc(next as u64);
    while let Some(step) = plan.steps.get(next) {
        let done_to = runner.step(next, step).await?;
        bar.inc((done_to - next) as u64);
        next = done_to;
    }
    Ok(runner.run)
}

struct Runner<'a, P> {
    port: &'a P,
    plan: &'a RoomPlan,
    policy: RetryPolicy,
    bar: &'a ProgressBar,
    throttle: &'a Throttle,
    run: RoomRun,
    /// Line to the id of its message.
    message_ids: HashMap<usize, i64>,
}

impl<P: Port> Runner<'_, P> {
    /// Finds the room or makes it. A creation whose answer was lost is looked for before it is tried again.
    async fn ensure_room(&mut self) -> Result<(), ImportError> {
        let mut retries = Retries::new(self.policy);
        loop {
            let status = match self.find_or_create().await {
                Ok(room_id) => {
                    self.run.room_id = room_id;
                    return Ok(());
                }
                Err(status) => status,
            };
            self.pause(&mut retries, status, || "create".to_owned()).await?;
        }
    }

    async fn find_or_create(&self) -> Result<String, Status> {
        match self.port.find_room(&self.plan.name).await? {
            Some(room_id) => Ok(room_id),
            None => {
                let first_member = self.plan.first_member.unwrap_or(FIRST_USER_ID);
                self.port.create_room(&self.plan.name, first_member).await
            }
        }
    }

    /// Reads the whole log and says which step is next.
    async fn resume(&mut self, at: &str) -> Result<usize, ImportError> {
        let mut resume = Resume::new(self.plan);
        let mut retries = Retries::new(self.policy);
        loop {
            match self.port.read_log(&self.run.room_id, resume.last_seq()).await {
                Ok(events) => {
                    let before = resume.last_seq();
                    events.iter().for_each(|event| resume.observe(event));
                    if resume.last_seq() == before {
                        break;
                    }
                }
                Err(status) => self.pause(&mut retries, status, || at.to_owned()).await?,
            }
        }
        let (next, message_ids) = resume.finish();
        self.message_ids = message_ids;
        Ok(next)
    }

    /// Does step `index`; gives the index of the step to go on with.
    async fn step(&mut self, index: usize, step: &Step) -> Result<usize, ImportError> {
        let at = || format!("line {}", step.line);
        let mut retries = Retries::new(self.policy);
        loop {
            let status = match self.port.perform(&self.run.room_id, &step.op, self.reply_to(&step.op)).await {
                Ok(done) => {
                    self.count(step, done);
                    return Ok(index + 1);
                }
                Err(status) => status,
            };
            if is_done_by_refusal(&step.op, &status) {
                self.run.member_changes += 1;
                return Ok(index + 1);
            }
            self.pause(&mut retries, status, at).await?;
            // A message has an id and can simply be sent again. Whether a member change happened, the log knows.
            if !matches!(step.op, Op::Send(_)) {
                let next = self.resume(&at()).await?;
                if next > index {
                    self.run.member_changes += 1;
                    return Ok(next);
                }
            }
        }
    }

    fn reply_to(&self, op: &Op) -> i64 {
        let Op::Send(message) = op else { return 0 };
        message.reply_to_line.and_then(|line| self.message_ids.get(&line)).copied().unwrap_or(0)
    }

    fn count(&mut self, step: &Step, done: Done) {
        if matches!(step.op, Op::Send(_)) {
            self.message_ids.insert(step.line, done.message_id);
            self.run.messages_sent += 1;
            self.run.duplicates += usize::from(done.duplicate);
        } else {
            self.run.member_changes += 1;
        }
    }

    async fn pause(
        &mut self,
        retries: &mut Retries,
        status: Status,
        at: impl FnOnce() -> String,
    ) -> Result<(), ImportError> {
        self.run.retries += 1;
        self.throttle.note(&status);
        self.bar.set_message(format!("({})", status.code()));
        let paused = retries.pause(status).await;
        self.bar.set_message("");
        let room = || self.run.name.clone();
        paused.map_err(|status| ImportError::Call { room: room(), at: at(), status: Box::new(status) })
    }
}

/// Who is no member any more cannot leave: somebody else did it for them.
fn is_done_by_refusal(op: &Op, status: &Status) -> bool {
    matches!(op, Op::Leave { .. }) && matches!(status.code(), Code::NotFound)
}
