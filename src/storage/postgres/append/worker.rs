//! Writes groups of appends, and explains to each caller what became of theirs.
//!
//! A group is one statement, which is one transaction and one round trip. Rooms that its gate refuses are looked at
//! one by one afterwards. A group that fails as a whole without being written (a client id or an external reference that
//! is taken) is split until what fails is alone. A group that is blocked by somebody else's lock is given back. A group
//! whose outcome is unknown is unknown for all of it: nothing of it is tried again.

use std::collections::HashSet;

use super::{
    super::{
        fault::{Fault, Outcome},
        lanes::{HeldUp, Ticket, Worker},
        number::{bound, unsigned},
        pool::{Db, Params},
        rows::{self, column, uuid},
        statements as sql,
    },
    columns::{Messages, Others},
    prepared::Append,
    verdict::{Verdict, verdict},
};
use crate::{
    domain::ids::{Epoch, RoomId, Seq},
    storage::{Durability, Record, error::StoreErrorKind},
};

/// How often a lone append is tried whose refusal has no reason any more when it is looked for.
const TRIES: usize = 8;

/// Writes appends.
#[derive(Debug)]
pub(in super::super) struct Appender {
    pub(in super::super) db: Db,
    /// What a commit of the server promises.
    pub(in super::super) durability: Durability,
}

/// What to do about somebody else's locks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Locks {
    /// Wait for a while.
    Wait,
    /// Give up at once.
    GiveUp,
}

impl Worker<Append> for Appender {
    async fn work(&self, group: Vec<Ticket<Append>>) -> HeldUp<Append> {
        let (group, mut alone): (Vec<_>, Vec<_>) = group.into_iter().partition(|ticket| ticket.job.is_possible());
        let mut held_up = Vec::new();
        let mut parts = vec![group];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let jobs: Vec<&Append> = part.iter().map(|ticket| &ticket.job).collect();
            match self.write(&jobs, Locks::Wait).await {
                Ok(passed) => {
                    for ticket in part {
                        if passed.contains(&ticket.job.room) {
                            ticket.answer(Ok(self.durability));
                        } else {
                            alone.push(ticket);
                        }
                    }
                }
                Err(fault) if fault.is_held_up() => held_up.append(&mut part),
                Err(fault)
                    if !fault.is_certain() || fault.is_refusal() || fault.kind() == StoreErrorKind::Overloaded =>
                {
                    part.into_iter().for_each(|ticket| ticket.answer(Err(fault.clone())));
                }
                Err(_) if part.len() > 1 => {
                    let half = part.split_off(part.len() / 2);
                    parts.extend([half, part]);
                }
                Err(_) => alone.append(&mut part),
            }
        }
        for ticket in alone {
            held_up.extend(self.explained(ticket, Locks::Wait).await);
        }
        held_up
    }

    async fn work_alone(&self, ticket: Ticket<Append>) -> Option<Ticket<Append>> {
        self.explained(ticket, Locks::GiveUp).await
    }
}

impl Appender {
    /// Writes an append or tells its caller why not. Gives it back if a lock blocks it.
    async fn explained(&self, mut ticket: Ticket<Append>, locks: Locks) -> Option<Ticket<Append>> {
        match self.alone(&mut ticket.job, locks).await {
            Err(fault) if fault.is_held_up() => return Some(ticket),
            outcome => ticket.answer(outcome.map(|()| self.durability)),
        }
        None
    }

    /// Writes the appends that their rooms' gates let pass; the rooms that did.
    async fn write(&self, appends: &[&Append], locks: Locks) -> Outcome<HashSet<RoomId>> {
        let mut messages = Messages::default();
        let mut others = Others::default();
        let mut statement = &sql::APPEND_MESSAGES;
        for append in appends {
            messages.add(append);
            if let Some(rest) = &append.rest {
                statement = &sql::APPEND_ALL;
                others.add(append.room, rest);
            }
        }
        let mut params = messages.params();
        if *statement == sql::APPEND_ALL {
            params.extend(others.params());
        }
        let passed = match locks {
            Locks::Wait => self.db.write_together(statement, &params).await?,
            Locks::GiveUp => self.db.write_unless_locked(statement, &params).await?,
        };
        passed.iter().map(|row| rows::room(row, 0)).collect()
    }

    /// Finds out why an append did not pass, or writes it after all.
    async fn alone(&self, append: &mut Append, locks: Locks) -> Outcome<()> {
        for _ in 0..TRIES {
            match self.verdict(append).await? {
                Verdict::Refuse(kind, why) => return Err(Fault::because(kind, why)),
                Verdict::Compare => return self.compare(append).await,
                Verdict::Write => {}
            }
            match self.write(&[append], locks).await {
                Ok(passed) if passed.contains(&append.room) => return Ok(()),
                // Someone else wrote between the look and the try.
                Ok(_) => {}
                Err(fault) => match fault.constraint() {
                    Some("room_log_client") => self.mark_taken(append).await?,
                    Some("room_log_external") => {
                        return Err(Fault::conflict("another message has this external reference"));
                    }
                    Some("room_log_message") => return Err(Fault::conflict("another message has this id")),
                    // Another writer of the same epoch has this seq.
                    Some("room_log_pkey") => {}
                    _ => return Err(fault),
                },
            }
        }
        Err(Fault::because(StoreErrorKind::Overloaded, "others write to the same room all the time"))
    }

    async fn verdict(&self, append: &Append) -> Outcome<Verdict> {
        let (epoch, seq) = match self.db.read_one(&sql::CONTROL, &[&uuid(append.room)]).await? {
            Some(row) => (Epoch(unsigned(column(&row, 0)?)), Seq(unsigned(column(&row, 1)?))),
            None => (Epoch(0), Seq(0)),
        };
        Ok(verdict(append, epoch, seq))
    }

    /// Succeeds if exactly these records are stored, whoever wrote them.
    async fn compare(&self, append: &Append) -> Outcome<()> {
        let from = append.records.first().map_or(Seq(0), |record| record.seq);
        let limit = i64::try_from(append.records.len()).unwrap_or(i64::MAX);
        let params: Params<'_> = &[&uuid(append.room), &(bound(from) - 1), &limit];
        let stored = self.db.read(&sql::LOG_FORWARD, params).await?;
        let stored: Vec<Record> = stored.iter().map(rows::record).collect::<Outcome<_>>()?;
        if stored.len() != append.records.len() {
            return Err(Fault::conflict("some of the records are stored, some are not"));
        }
        let alike = |(stored, ours): (&Record, &Record)| *stored == Record { epoch: stored.epoch, ..ours.clone() };
        if stored.iter().zip(&append.records).all(alike) {
            Ok(())
        } else {
            Err(Fault::conflict("another event is stored at this seq"))
        }
    }

    /// Notes which client ids belong to earlier messages.
    async fn mark_taken(&self, append: &mut Append) -> Outcome<()> {
        let messages = append.records.iter().filter_map(|record| Some((record, record.message.as_ref()?)));
        let (senders, client_ids): (Vec<i64>, Vec<&[u8]>) =
            messages.map(|(record, message)| (record.actor.0, message.client_id.0.as_bytes())).unzip();
        let found = self.db.read(&sql::FIND_CLIENT_MESSAGES, &[&senders, &client_ids]).await?;
        let taken: HashSet<i64> = found.iter().map(|row| column(row, 3)).collect::<Outcome<_>>()?;
        let mut place = 0;
        for (first, record) in append.client_first.iter_mut().zip(&append.records) {
            if record.message.is_some() {
                place += 1;
                *first &= !taken.contains(&place);
            }
        }
        Ok(())
    }
}
