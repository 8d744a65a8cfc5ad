//! Small operations that come in bursts, done many at a time: claims when rooms wake, and the look-up that precedes
//! every send.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::{
    fault::{Fault, Outcome},
    lanes::{HeldUp, Job, Ticket, Worker},
    number::unsigned,
    pool::Db,
    rows::{self, column, uuid},
    statements as sql,
};
use crate::{
    domain::ids::{ClientMessageId, Epoch, RoomId, UserId},
    storage::types::MessageRef,
};

/// A room to be claimed.
#[derive(Debug)]
pub(super) struct Claim(pub(super) RoomId);

impl Job for Claim {
    type Out = Epoch;

    fn room(&self) -> Option<RoomId> {
        Some(self.0)
    }

    fn size(&self) -> (usize, usize) {
        (1, 0)
    }
}

/// Claims rooms.
#[derive(Debug)]
pub(super) struct Claimer {
    pub(super) db: Db,
}

/// The epochs that a claim returned, by room.
fn epochs(rows: &[Row]) -> Outcome<HashMap<RoomId, Epoch>> {
    rows.iter().map(|row| Ok((rows::room(row, 0)?, Epoch(unsigned(column(row, 1)?))))).collect()
}

/// Answers claims, or gives those back that a lock holds up.
fn claimed(group: Vec<Ticket<Claim>>, claimed: Outcome<Vec<Row>>) -> HeldUp<Claim> {
    let claimed = claimed.and_then(|rows| epochs(&rows));
    if claimed.as_ref().is_err_and(Fault::is_held_up) {
        return group;
    }
    for ticket in group {
        let epoch = match &claimed {
            Ok(epochs) => epochs.get(&ticket.job.0).copied().ok_or_else(|| Fault::corrupt("a claim of no room")),
            Err(fault) => Err(fault.clone()),
        };
        ticket.answer(epoch);
    }
    Vec::new()
}

impl Worker<Claim> for Claimer {
    async fn work(&self, group: Vec<Ticket<Claim>>) -> HeldUp<Claim> {
        let ids: Vec<_> = group.iter().map(|ticket| uuid(ticket.job.0)).collect();
        let rows = self.db.write_together(&sql::CLAIM, &[&ids]).await;
        claimed(group, rows)
    }

    async fn work_alone(&self, ticket: Ticket<Claim>) -> Option<Ticket<Claim>> {
        let rows = self.db.write_unless_locked(&sql::CLAIM, &[&vec![uuid(ticket.job.0)]]).await;
        claimed(vec![ticket], rows).pop()
    }
}

/// A message to be found by its sender's own id.
#[derive(Debug)]
pub(super) struct LookUp {
    pub(super) sender: UserId,
    pub(super) client_id: ClientMessageId,
}

impl Job for LookUp {
    type Out = Option<MessageRef>;

    fn room(&self) -> Option<RoomId> {
        None
    }

    fn size(&self) -> (usize, usize) {
        (1, self.client_id.0.len())
    }
}

/// Looks messages up.
#[derive(Debug)]
pub(super) struct Finder {
    pub(super) db: Db,
}

impl Finder {
    /// What was found, by the place of the look-up in the group, from 1.
    async fn find(&self, group: &[Ticket<LookUp>]) -> Outcome<HashMap<i64, MessageRef>> {
        let senders: Vec<i64> = group.iter().map(|ticket| ticket.job.sender.0).collect();
        let client_ids: Vec<&[u8]> = group.iter().map(|ticket| ticket.job.client_id.0.as_bytes()).collect();
        let found = self.db.read(&sql::FIND_CLIENT_MESSAGES, &[&senders, &client_ids]).await?;
        found.iter().map(|row| Ok((column(row, 3)?, rows::message_ref(row)?))).collect()
    }
}

impl Worker<LookUp> for Finder {
    async fn work(&self, group: Vec<Ticket<LookUp>>) -> HeldUp<LookUp> {
        let found = self.find(&group).await;
        for (place, ticket) in (1..).zip(group) {
            ticket.answer(found.as_ref().map(|found| found.get(&place).copied()).map_err(Clone::clone));
        }
        // What only reads waits for nobody.
        Vec::new()
    }

    async fn work_alone(&self, ticket: Ticket<LookUp>) -> Option<Ticket<LookUp>> {
        self.work(vec![ticket]).await.pop()
    }
}
