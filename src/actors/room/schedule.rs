//! What is taken up next: all sends and reads that wait, as one batch, or one command alone. Decides nothing itself: it
//! asks the domain, and hands what was decided to [`super::append`].

use std::sync::Arc;

use ractor::ActorRef;

use super::{
    actor::Room,
    append::{Waiting, durable},
    load,
    message::{Applied, Permit, Reply, Request, RoomMsg, SendAck},
};
use crate::{
    actors::{
        Context,
        error::{Call, CallError, outliving},
    },
    domain::{
        event::EventBody,
        ids::{Epoch, UserId},
        position::Position,
        reject::Reject,
        room::{Author, Batch, Command, Send, Sent, Subject},
    },
    storage::{Durability, Result as StoreResult},
    tasks::{self, TaskKind},
};

/// A command whose message is being loaded.
#[derive(Debug)]
pub(super) struct Loading {
    author: Author,
    command: Box<Command>,
    reply: Reply<Applied>,
    permit: Permit,
}

impl Room {
    /// Starts the next append if none is under way.
    pub(super) fn advance(&mut self, myself: &ActorRef<RoomMsg>) {
        while self.in_flight.is_none() && self.loading.is_none() && !self.queue.is_empty() {
            if matches!(self.queue.front(), Some((Request::Command { .. }, _))) {
                self.take_command(myself);
            } else {
                self.take_batch(myself);
            }
        }
    }

    /// Takes up one command, alone: it may change what the next ones are decided by.
    fn take_command(&mut self, myself: &ActorRef<RoomMsg>) {
        let Some((Request::Command { author, command, reply }, permit)) = self.queue.pop_front() else {
            return;
        };
        let loading = Loading { author, command, reply, permit };
        if loading.command.message().is_none() {
            self.decide(loading, &Subject::default(), myself);
            return;
        }
        let (store, id, actor) = (Arc::clone(&self.context().store), self.id, myself.clone());
        let (author, command) = (loading.author, loading.command.clone());
        self.loading = Some(loading);
        tasks::spawn(TaskKind::Load, async move {
            let subject = outliving("load_subject", load::subject(&*store, id, author, &command)).await;
            let _ = actor.cast(RoomMsg::SubjectLoaded(subject));
        });
    }

    pub(super) fn subject_loaded(&mut self, subject: StoreResult<Subject>, myself: &ActorRef<RoomMsg>) {
        let Some(loading) = self.loading.take() else {
            return;
        };
        match subject {
            Ok(subject) => self.decide(loading, &subject, myself),
            Err(error) => drop(loading.reply.send(Err(error.into()))),
        }
    }

    fn decide(&mut self, loading: Loading, subject: &Subject, myself: &ActorRef<RoomMsg>) {
        let Loading { author, command, reply, permit } = loading;
        let now = self.context().clock.now_ms();
        let members_max = self.context().options.members_max;
        let decided = self.seed.shared.state.read().decide(author, &command, subject, now, members_max);
        match decided {
            Err(reject) => drop(reply.send(Err(reject.into()))),
            Ok(change) => {
                let event = change.events.first();
                let applied = Applied {
                    seq: event.map(|e| e.seq),
                    message: change.touched.clone().or_else(|| subject.message.clone()),
                    users: event.map(|e| users_of(&e.body)).unwrap_or_default(),
                };
                self.start(change, vec![(Waiting::Command { applied, reply }, permit)], false, myself);
            }
        }
    }

    /// Takes up all sends and reads that wait, up to the next command.
    fn take_batch(&mut self, myself: &ActorRef<RoomMsg>) {
        let shared = Arc::clone(&self.seed.shared);
        let context = Arc::clone(self.context());
        let state = shared.state.read();
        let mut batch = Batch::new(&state, context.clock.now_ms());
        let mut waiting = Vec::new();
        let mut external = false;
        let max = context.options.batch_max;
        while waiting.len() < max && !external {
            let alone = match self.queue.front() {
                Some((Request::Command { .. }, _)) | None => break,
                Some((Request::Send { send, .. }, _)) => send.draft.external.is_some(),
                Some(_) => false,
            };
            // A taken external reference fails its whole append: such a send goes alone.
            if alone && !waiting.is_empty() {
                break;
            }
            external = alone;
            if let Some((request, permit)) = self.queue.pop_front()
                && let Some(taken) = take(&mut batch, request, &context, durable(&context), self.epoch)
            {
                waiting.push((taken, permit));
            }
        }
        let change = batch.finish();
        drop(state);
        self.start(change, waiting, external, myself);
    }
}

/// Decides one send or read into the batch. Answers at once what needs no append.
fn take(
    batch: &mut Batch<'_>,
    request: Request,
    context: &Context,
    durability: Durability,
    epoch: Epoch,
) -> Option<Waiting> {
    match request {
        Request::Send { send, reply } => take_send(batch, &send, reply, context, durability, epoch),
        Request::Read { author, to, delivered_only, reply } => position(batch.read(author, to, delivered_only), reply),
        Request::Clear { author, reply } => position(batch.clear(author), reply),
        Request::Command { reply, .. } => {
            // Commands are taken up alone; the caller sees to it.
            drop(reply.send(Err(CallError::Gone)));
            None
        }
    }
}

fn position(decided: Result<Position, Reject>, reply: Reply<Position>) -> Option<Waiting> {
    match decided {
        Ok(position) => Some(Waiting::Position { position, reply }),
        Err(reject) => {
            drop(reply.send(Err(reject.into())));
            None
        }
    }
}

fn take_send(
    batch: &mut Batch<'_>,
    send: &Send,
    reply: Reply<SendAck>,
    context: &Context,
    durability: Durability,
    epoch: Epoch,
) -> Option<Waiting> {
    let now = context.clock.now_ms();
    let answer: Call<SendAck> = match batch.send(send, |floor| context.ids.lock().next(now, floor)) {
        Ok(Sent::New(index)) => {
            return Some(Waiting::Send { index, duplicate: false, reply });
        }
        Ok(Sent::Again(index)) => {
            return Some(Waiting::Send { index, duplicate: true, reply });
        }
        Ok(Sent::Before(message)) => Ok(SendAck { message, duplicate: true, durability, epoch }),
        Ok(Sent::LookAgain) => Err(CallError::Gone),
        Err(reject) => Err(reject.into()),
    };
    drop(reply.send(answer));
    None
}

fn users_of(body: &EventBody) -> Vec<UserId> {
    match body {
        EventBody::Created { members, .. } | EventBody::Joined { members } => {
            members.iter().map(|(user, _)| *user).collect()
        }
        EventBody::Left { users, .. } => users.clone(),
        _ => Vec::new(),
    }
}
