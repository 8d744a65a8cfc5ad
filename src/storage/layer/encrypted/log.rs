//! Logs, sealed.

use async_trait::async_trait;
use bytes::Bytes;

use super::{Encrypted, Row};
use crate::{
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, RoomId, Seq, UserId},
    storage::{
        Direction, Durability, LogStore, MessageRef, Projection, ReactionRow, Record, Result, RoomHead, StoreErrorKind,
    },
};

impl Encrypted {
    /// Gives sealed records that are stored already the bytes they are stored with. False: one of them is not stored, or
    /// its body is another.
    async fn take_stored_bodies(
        &self,
        room: RoomId,
        plain: (&[Record], &Projection),
        sealed: (&mut [Record], &mut Projection),
    ) -> Result<bool> {
        let Some(first) = plain.0.first() else {
            return Ok(false);
        };
        let before = Seq(first.seq.0.saturating_sub(1));
        let stored = self.inner.read_log(room, before, Direction::Forward, plain.0.len()).await?;
        if stored.len() != plain.0.len() {
            return Ok(false);
        }
        for ((record, sealed_record), stored) in plain.0.iter().zip(sealed.0).zip(stored) {
            let redacted = plain.1.redacted.iter().position(|(seq, _)| *seq == record.seq);
            let body = redacted.map_or(&record.body, |place| &plain.1.redacted[place].1);
            let sealed_body = stored.body.clone();
            let is_same = stored.seq == record.seq && self.open_record("append", room, stored)?.body == *body;
            if !is_same {
                return Ok(false);
            }
            match redacted {
                Some(place) => sealed.1.redacted[place].1 = sealed_body,
                None => sealed_record.body = sealed_body,
            }
        }
        Ok(true)
    }
}

#[async_trait]
impl LogStore for Encrypted {
    async fn claim(&self, room: RoomId) -> Result<Epoch> {
        self.inner.claim(room).await
    }

    async fn release(&self, room: RoomId, epoch: Epoch) -> Result<()> {
        self.inner.release(room, epoch).await
    }

    async fn active_rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        self.inner.active_rooms(after, limit).await
    }

    /// A body sealed again has other bytes, so that the store below takes an append made again for another one. Then the
    /// stored bodies are opened: where they say the same, the append is made once more with the stored bytes, and the
    /// store below decides as it would without sealing (about the epoch and all other fields too).
    async fn append(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        let mut sealed = self.seal_records(room, records);
        let mut changes = self.seal_projection(room, projection);
        changes.redacted = self.seal_redacted(room, records, &projection.redacted).await?;
        match self.inner.append(room, epoch, &sealed, &changes).await {
            Err(error) if error.kind() == StoreErrorKind::Conflict => {
                let plain = (records, projection);
                if !self.take_stored_bodies(room, plain, (&mut sealed, &mut changes)).await? {
                    return Err(error);
                }
                self.inner.append(room, epoch, &sealed, &changes).await
            }
            result => result,
        }
    }

    async fn read_log(&self, room: RoomId, from: Seq, direction: Direction, limit: usize) -> Result<Vec<Record>> {
        let sealed = self.inner.read_log(room, from, direction, limit).await?;
        sealed.into_iter().map(|record| self.open_record("read_log", room, record)).collect()
    }

    async fn record(&self, room: RoomId, seq: Seq) -> Result<Option<Record>> {
        let sealed = self.inner.record(room, seq).await?;
        sealed.map(|record| self.open_record("record", room, record)).transpose()
    }

    async fn head(&self, room: RoomId) -> Result<Option<RoomHead>> {
        self.inner.head(room).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<RoomHead>>> {
        self.inner.heads(rooms).await
    }

    async fn find_message(&self, id: MessageId) -> Result<Option<MessageRef>> {
        self.inner.find_message(id).await
    }

    async fn find_client_message(&self, sender: UserId, client_id: &ClientMessageId) -> Result<Option<MessageRef>> {
        self.inner.find_client_message(sender, client_id).await
    }

    async fn find_external(&self, external: &ExternalRef) -> Result<Option<MessageRef>> {
        self.inner.find_external(external).await
    }

    async fn message_states(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<(Seq, Bytes)>> {
        let sealed = self.inner.message_states(room, from, to).await?;
        let open = |(seq, body): (Seq, Bytes)| Ok((seq, self.open("message_states", Row::State(room, seq), &body)?));
        sealed.into_iter().map(open).collect()
    }

    async fn has_reaction(&self, room: RoomId, row: &ReactionRow) -> Result<bool> {
        self.inner.has_reaction(room, row).await
    }

    async fn reactions(
        &self,
        room: RoomId,
        seq: Seq,
        after: Option<(UserId, String)>,
        limit: usize,
    ) -> Result<Vec<ReactionRow>> {
        self.inner.reactions(room, seq, after, limit).await
    }

    async fn pins(&self, room: RoomId, limit: usize) -> Result<Vec<(Seq, Seq)>> {
        self.inner.pins(room, limit).await
    }
}
