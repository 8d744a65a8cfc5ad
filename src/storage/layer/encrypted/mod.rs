//! Seals every opaque body on its way into a store and opens it on its way out. The store below keeps ciphertext only.
//!
//! Sealed are the bodies of records, redactions, message states, room settings, members, synchronisation states, join
//! jobs, profiles and devices. Keys and numbers are not: ids, times, positions, reactions, client ids and external
//! references are what the store finds rows by.
//!
//! Each body is bound to its row (table and key), so that a body moved to another row does not open; that of an event also
//! to all else its row says and that never changes: who, when, what kind, which message. Whoever can write to the store
//! gives no message to another author. What does not open is `Corrupt`.

use std::{fmt::Debug, sync::Arc};

use bytes::Bytes;
use futures_util::future::try_join_all;

use crate::{
    domain::ids::{RoomId, Seq},
    storage::{MemberRow, Projection, Record, Result, Store, StoreError, StoreErrorKind},
};

mod log;
mod rest;
mod row;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(in crate::storage) mod toy;

/// A body does not open: wrong key, wrong row, or other bytes than were sealed. Deliberately says no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a sealed body does not authenticate")]
pub struct SealError;

/// Seals bodies. The same body may be sealed to other bytes each time.
pub trait Sealer: Debug + Send + Sync + 'static {
    /// Seals `plain` under the key of `scope`, bound to `aad`.
    fn seal(&self, scope: &[u8], aad: &[u8], plain: &[u8]) -> Vec<u8>;

    /// Opens what was sealed with the same `scope` and `aad`.
    ///
    /// # Errors
    /// If it was not.
    fn open(&self, scope: &[u8], aad: &[u8], sealed: &[u8]) -> std::result::Result<Vec<u8>, SealError>;
}

use row::Row;

/// Scope of bodies that belong to a user and no room.
pub const USER_SCOPE: &[u8] = b"user";

/// A store whose bodies are sealed.
#[derive(Debug)]
pub struct Encrypted {
    inner: Arc<dyn Store>,
    sealer: Arc<dyn Sealer>,
}

impl Encrypted {
    /// Seals what goes to `inner` with `sealer`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, sealer: Arc<dyn Sealer>) -> Self {
        Self { inner, sealer }
    }

    fn seal(&self, row: Row<'_>, body: &[u8]) -> Bytes {
        self.sealer.seal(row.scope(), &row.aad(), body).into()
    }

    fn open(&self, op: &'static str, row: Row<'_>, sealed: &[u8]) -> Result<Bytes> {
        match self.sealer.open(row.scope(), &row.aad(), sealed) {
            Ok(plain) => Ok(plain.into()),
            Err(error) => Err(StoreError::because(StoreErrorKind::Corrupt, op, error)),
        }
    }

    fn open_some(&self, op: &'static str, row: Row<'_>, sealed: Option<Bytes>) -> Result<Option<Bytes>> {
        sealed.map(|sealed| self.open(op, row, &sealed)).transpose()
    }

    fn open_record(&self, op: &'static str, room: RoomId, record: Record) -> Result<Record> {
        let body = self.open(op, Row::Event(room, &record), &record.body);
        // Of an older program.
        let body = body.or_else(|_| self.open(op, Row::Log(room, record.seq), &record.body))?;
        Ok(Record { body, ..record })
    }

    fn seal_records(&self, room: RoomId, records: &[Record]) -> Vec<Record> {
        let seal =
            |record: &Record| Record { body: self.seal(Row::Event(room, record), &record.body), ..record.clone() };
        records.iter().map(seal).collect()
    }

    /// Seals what takes the place of events' bodies, each bound to its event: one of `records`, or one that is stored.
    async fn seal_redacted(
        &self,
        room: RoomId,
        records: &[Record],
        redacted: &[(Seq, Bytes)],
    ) -> Result<Vec<(Seq, Bytes)>> {
        let seal = |(seq, body): &(Seq, Bytes)| {
            let (seq, body) = (*seq, body.clone());
            async move {
                if let Some(record) = records.iter().find(|record| record.seq == seq) {
                    return Ok((seq, self.seal(Row::Event(room, record), &body)));
                }
                let Some(stored) = self.inner.record(room, seq).await? else {
                    // The store below refuses it.
                    return Ok((seq, self.seal(Row::Log(room, seq), &body)));
                };
                // What is forged is not sealed for truth.
                let stored = self.open_record("append", room, stored)?;
                Ok((seq, self.seal(Row::Event(room, &stored), &body)))
            }
        };
        try_join_all(redacted.iter().map(seal)).await
    }

    /// All but what is redacted.
    fn seal_projection(&self, room: RoomId, projection: &Projection) -> Projection {
        let member =
            |row: &MemberRow| MemberRow { body: self.seal(Row::Member(room, row.user), &row.body), ..row.clone() };
        Projection {
            room: projection.room.as_ref().map(|body| self.seal(Row::Room(room), body)),
            members: projection.members.iter().map(member).collect(),
            states: self.seal_bodies(&projection.states, |seq| Row::State(room, seq)),
            redacted: Vec::new(),
            head: projection.head,
            removed: projection.removed.clone(),
            positions: projection.positions.clone(),
            reacted: projection.reacted.clone(),
            unreacted: projection.unreacted.clone(),
            pinned: projection.pinned.clone(),
            unpinned: projection.unpinned.clone(),
        }
    }

    fn seal_bodies(&self, bodies: &[(Seq, Bytes)], row: impl Fn(Seq) -> Row<'static>) -> Vec<(Seq, Bytes)> {
        bodies.iter().map(|(seq, body)| (*seq, self.seal(row(*seq), body))).collect()
    }
}
