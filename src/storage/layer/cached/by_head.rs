//! Answers that belong to a room's head: kept with it, and believed only while it is the room's head.

use std::future::Future;

use bytes::Bytes;
use redis::pipe;

use super::{Cached, VALUE_BYTES_MAX, about, filler::Change, form};
use crate::{
    domain::ids::RoomId,
    storage::{Result, RoomHead},
};

/// How one kind of answer is kept.
pub(super) struct Kind<T> {
    pub(super) name: &'static str,
    pub(super) encode: fn(&T) -> Option<Vec<u8>>,
    pub(super) decode: fn(&[u8]) -> Option<T>,
}

impl Cached {
    /// An answer that belongs to the room's head: from the cache if the head is still that one, else from `read`.
    pub(super) async fn of_head<T, F>(
        &self,
        kind: Kind<T>,
        room: RoomId,
        field: String,
        read: impl Fn() -> F + Send,
    ) -> Result<T>
    where
        T: Send,
        F: Future<Output = Result<T>> + Send,
    {
        if !self.link.is_up() {
            return read().await;
        }
        let mut ask = pipe();
        ask.hget(self.room_key(room), &field);
        let (head, kept) = tokio::join!(self.inner.head(room), self.link.run::<(Option<Bytes>,)>(&ask));
        let Ok(Some(head)) = head else {
            return read().await;
        };
        let mark = form::mark(&head);
        let hit = kept.ok().and_then(|(kept,)| (kind.decode)(kept?.strip_prefix(&mark[..])?));
        self.observer.looked_up(kind.name, hit.is_some());
        if let Some(hit) = hit {
            return Ok(hit);
        }
        let answer = read().await?;
        self.keep(&kind, room, field, &head, &answer);
        Ok(answer)
    }

    pub(super) fn keep<T>(&self, kind: &Kind<T>, room: RoomId, field: String, head: &RoomHead, answer: &T) {
        if let Some(encoded) = (kind.encode)(answer)
            && encoded.len() <= VALUE_BYTES_MAX
        {
            let value = [&form::mark(head)[..], &encoded].concat();
            let keep_for = about(self.options.room_for);
            self.later(Change::Field { key: self.room_key(room), field, value, keep_for });
        }
    }
}
