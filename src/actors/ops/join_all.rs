//! Adding everyone to a channel: a job in the background, in batches, that goes on where it was after a restart.

use std::{sync::Arc, time::Duration};

use super::Node;
use crate::{
    actors::error::{Call, CallError},
    domain::{
        ids::{RoomId, UserId},
        reject::Reject,
        room::{Author, Command},
    },
    storage::{Result as StoreResult, codec, codec::JoinJob},
    tasks::{self, TaskKind},
};

/// Users added by one event.
const BATCH: usize = 500;
/// Pause before a batch that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// The server itself adds them.
const SERVER: Author = Author { user: UserId::SERVER, admin: true };

impl Node {
    pub(super) async fn put_join_job(&self, room: RoomId) -> StoreResult<()> {
        self.context.store.put_join_job(room, Some(codec::encode_join_job(&JoinJob::default()))).await
    }

    pub(super) async fn resume_join_jobs(&self) -> StoreResult<()> {
        for (room, body) in self.context.store.join_jobs().await? {
            if !codec::decode_join_job(&body)?.done {
                self.start_join_job(room);
            }
        }
        Ok(())
    }

    pub(super) fn start_join_job(&self, room: RoomId) {
        let node = self.clone();
        tasks::spawn(TaskKind::JoinAll, async move {
            loop {
                match node.join_batch(room).await {
                    Ok(true) => {}
                    Ok(false) | Err(CallError::Draining) => break,
                    Err(CallError::Rejected(reject)) => {
                        tracing::warn!(%room, %reject, "adding everyone stopped");
                        let _ = node.context.store.put_join_job(room, None).await;
                        break;
                    }
                    Err(error) => {
                        tracing::warn!(%room, error = %crate::error::Chain(&error), "adding everyone failed, will go on");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
    }

    /// Adds the next users; returns whether there may be more.
    async fn join_batch(&self, room: RoomId) -> Call<bool> {
        let store = Arc::clone(&self.context.store);
        let Some(body) = store.join_job(room).await? else {
            return Ok(false);
        };
        let mut job = codec::decode_join_job(&body)?;
        if job.done {
            return Ok(false);
        }
        if store.head(room).await?.is_none() {
            return Err(Reject::RoomNotFound.into());
        }
        let users = store.known_users(job.after, BATCH).await?;
        if let Some(last) = users.last().copied() {
            self.command(SERVER, room, Command::Join(users.clone())).await?;
            job.after = last;
            job.processed += users.len() as u64;
        }
        job.done = users.len() < BATCH;
        store.put_join_job(room, Some(codec::encode_join_job(&job))).await?;
        Ok(!job.done)
    }

    /// How far adding everyone to a channel has come: users gone through, users known, whether it is done.
    ///
    /// # Errors
    /// [`CallError`]; [`Reject::WrongRoomType`] when the room was not made for everyone.
    pub async fn join_progress(&self, author: Author, room: RoomId) -> Call<(u64, u64, bool)> {
        let access = self.access(author, room).await?;
        let body = self.context.store.join_job(room).await?;
        let Some(body) = body.filter(|_| access.info.join_all_users) else {
            return Err(Reject::WrongRoomType.into());
        };
        let job = codec::decode_join_job(&body)?;
        let mut total = job.processed;
        if !job.done {
            total += self.users_after(job.after).await?;
        }
        Ok((job.processed, total, job.done))
    }

    /// How many users are known with a greater id than `after`.
    async fn users_after(&self, mut after: UserId) -> StoreResult<u64> {
        let mut count = 0;
        loop {
            let users = self.context.store.known_users(after, 10_000).await?;
            count += users.len() as u64;
            match users.last() {
                Some(last) if users.len() == 10_000 => after = *last,
                _ => return Ok(count),
            }
        }
    }
}
