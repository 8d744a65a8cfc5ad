//! Claims: who may write a room. Changed by lightweight transactions alone, in the order fence, claim, read.

use std::{error::Error, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Core, error,
    gate::Gate,
    listing::bucket,
    rows::{number, uuid},
    seats::Seat,
};
use crate::{
    domain::ids::{Epoch, RoomId},
    storage::{Outcome, Result, StoreError, StoreErrorKind},
};

const OP: &str = "claim";

/// Attempts of one transaction whose outcome is not known, and of a claim that others keep changing.
const ATTEMPTS: u32 = 64;

/// How far ahead of its clock a release removes rows of the journal that a clock further ahead has written: the first that
/// is enough, so that timestamps stay near the time and the database can forget what was removed. Rows of released epochs
/// are dead for good, so it cannot be too far.
const AHEAD_S: [i64; 6] = [0, 60, 3_600, 86_400, 30 * 86_400, 20 * 365 * 86_400];

/// An epoch and the generation that it hangs on.
pub(super) type Claim = (Epoch, Uuid);

impl Core {
    /// The room's claim, ordered with all transactions on it.
    pub(super) async fn claim_of(&self, op: &'static str, room: RoomId) -> Result<Option<Claim>> {
        let row = self.database.row::<(i64, Uuid)>(op, &self.statements.claim_read, (uuid(room),)).await?;
        Ok(row.map(|(epoch, generation)| (Epoch(epoch.cast_unsigned()), generation)))
    }

    /// Puts `new` in the place of `old`. False if the claim is another one.
    pub(super) async fn swap_claim(&self, room: RoomId, old: Claim, new: Claim) -> Result<bool> {
        let values = (number(new.0.0), new.1, uuid(room), number(old.0.0), old.1);
        let swap = || self.database.transact(OP, &self.statements.claim_next, values);
        self.decided(room, new, swap).await
    }

    /// Makes the first claim of a room. False if it has one.
    async fn first_claim(&self, room: RoomId, new: Claim) -> Result<bool> {
        let values = (uuid(room), number(new.0.0), new.1);
        let put = || self.database.transact(OP, &self.statements.claim_first, values);
        self.decided(room, new, put).await
    }

    /// Carries out a transaction until its outcome is known. Only this handle, under the room's seat, writes `new`: if
    /// that is the claim, the transaction happened.
    async fn decided<F>(&self, room: RoomId, new: Claim, mut transact: impl FnMut() -> F) -> Result<bool>
    where
        F: Future<Output = Result<bool>>,
    {
        let mut pause = Duration::from_millis(5);
        for _ in 0..8 {
            match transact().await {
                Ok(true) => return Ok(true),
                Ok(false) => return Ok(self.claim_of(OP, room).await? == Some(new)),
                Err(failed) if failed.kind() == StoreErrorKind::Invalid => return Err(failed),
                Err(failed) => tracing::debug!(%room, error = %failed, "a claim's outcome is not known; asking again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
        Err(StoreError::new(StoreErrorKind::Timeout, OP))
    }

    /// Makes one lightweight transaction, so that a keyspace that allows none is refused at once.
    pub(super) async fn check_transactions(&self) -> Result<()> {
        let generation = self.present.load().generation();
        let values = (1_i64, generation, generation, 0_i64, generation);
        match self.database.transact("open", &self.statements.claim_next, values).await {
            Ok(_) => Ok(()),
            Err(failed) if failed.kind() == StoreErrorKind::Invalid => Err(StoreError::because(
                StoreErrorKind::Invalid,
                "open",
                format!(
                    "lightweight transactions cannot be used in this keyspace (with tablets? create it without them): {}",
                    failed.source().map(ToString::to_string).unwrap_or_default(),
                ),
            )),
            Err(failed) => Err(failed),
        }
    }

    /// Claims the room. The seat of it, ready for appends, when all that earlier writers were told is there.
    pub(super) async fn take(self: &Arc<Self>, room: RoomId) -> Result<Seat> {
        self.trails.caught_up(OP, room).await?;
        for _ in 0..ATTEMPTS {
            let gate = self.gate().await?;
            let Some((old, generation)) = self.claim_of(OP, room).await? else {
                let first = Epoch(1);
                self.put_active(room, first).await?;
                if self.first_claim(room, (first, gate.generation())).await? {
                    return Ok(Seat::fresh(first, gate));
                }
                continue;
            };
            let epoch = Epoch(old.0.checked_add(1).ok_or_else(|| error::corrupt(OP, "no epoch is left"))?);
            if generation != gate.generation() {
                tokio::try_join!(self.fence(generation), self.put_active(room, epoch))?;
            } else {
                self.put_active(room, epoch).await?;
            }
            if !self.swap_claim(room, (old, generation), (epoch, gate.generation())).await? {
                continue;
            }
            if let Some(seat) = self.settled(room, old, epoch, gate).await? {
                return Ok(seat);
            }
        }
        Err(StoreError::new(StoreErrorKind::Timeout, OP))
    }

    /// Recovers a room just claimed; none if somebody else has claimed it meanwhile.
    async fn settled(
        self: &Arc<Self>,
        room: RoomId,
        old: Epoch,
        epoch: Epoch,
        gate: Arc<Gate>,
    ) -> Result<Option<Seat>> {
        match self.recover(room, old, epoch, gate).await {
            Ok(seat) => Ok(Some(seat)),
            Err(failed) if failed.kind() == StoreErrorKind::Fenced => Ok(None),
            Err(failed) => Err(failed),
        }
    }

    /// Puts the room into the journal of active rooms. The row names the epoch: a release takes out its own and older
    /// ones, never that of a claim made meanwhile. Written before the claim, so that no claim is without it.
    async fn put_active(&self, room: RoomId, epoch: Epoch) -> Result<()> {
        let row = (bucket(&room.0), &room.0[..], number(epoch.0), self.clocks.now());
        self.database.write(OP, &self.statements.active_put, row).await
    }

    /// Takes the room out of the journal if `epoch` is the claimed one; if nothing under it is open, the head says all
    /// from then on.
    pub(super) async fn leave(&self, room: RoomId, epoch: Epoch, is_settled: bool) -> Result<()> {
        const OP: &str = "release";
        if is_settled {
            self.trails.caught_up(OP, room).await?;
            self.put_closed(OP, room, epoch).await?;
            self.seats.released(room, epoch);
        }
        if self.claim_of(OP, room).await?.is_none_or(|(claimed, _)| claimed != epoch) {
            return Ok(());
        }
        for ahead_s in AHEAD_S {
            let at = self.clocks.now().saturating_add(ahead_s * 1_000_000);
            let row = (bucket(&room.0), &room.0[..], number(epoch.0));
            self.database.write(OP, &self.statements.active_remove, (at, row.0, row.1, row.2)).await?;
            if self.database.row::<(i64,)>(OP, &self.statements.active_left, row).await?.is_none() {
                return Ok(());
            }
        }
        Err(StoreError::because(StoreErrorKind::Unavailable, OP, "the journal's row was written by a clock far ahead"))
    }

    /// The error of a writer that found its gate closed after it had written `records`: refused if they are certainly
    /// not in the log and never will be; success if the next owner took them over; open otherwise.
    pub(super) async fn judged(&self, room: RoomId, epoch: Epoch, records: &[crate::storage::Record]) -> Result<()> {
        let mut pause = Duration::from_millis(20);
        for _ in 0..8 {
            match self.verdict(room, epoch, records).await {
                Ok(Some(true)) => return Ok(()),
                Ok(Some(false)) => return Err(error::fenced("append")),
                Ok(None) => {}
                // Not asked is not answered: the records may be there.
                Err(failed) if failed.outcome() == Outcome::NotApplied => return Err(error::open("append", failed)),
                Err(failed) => tracing::debug!(%room, error = %failed, "what became of an append is not known yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
        Err(StoreError::because(StoreErrorKind::Unavailable, "append", "another writer took the room over meanwhile"))
    }

    /// Whether the records are in the log of the next owner; none while that is not settled.
    async fn verdict(&self, room: RoomId, epoch: Epoch, records: &[crate::storage::Record]) -> Result<Option<bool>> {
        let Some((claimed, _)) = self.claim_of("append", room).await? else { return Ok(None) };
        let marker = self.marker("append", room).await?;
        // Whose number is in the marker has read the log and closed it behind the tail it found. An empty log has no
        // row that could close it.
        let is_settled = claimed > epoch && marker.epoch >= claimed;
        let Some(head) = marker.head.filter(|head| is_settled && head.seq.0 > 0) else { return Ok(None) };
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(None) };
        if last.seq > head.seq {
            return Ok(Some(false));
        }
        let stored = self.committed("append", room, first.seq, last.seq).await?;
        Ok(Some(super::append::are_alike(&stored, records) && stored.iter().all(|record| record.epoch == epoch)))
    }
}
