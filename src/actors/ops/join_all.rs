//! Adding everyone to a channel: a job in the background, in batches, that goes on where it was after a restart.

use std::{sync::Arc, time::Duration};

use super::Node;
use crate::{
    actors::{
        error::{Call, CallError},
        fair_share::Spent,
        room::Applied,
    },
    domain::{
        ids::{RoomId, UserId},
        reject::Reject,
        room::{Author, Command, Role, RoomInfo},
    },
    storage::{
        Result as StoreResult,
        codec::{self, JoinJob, JoinStop},
    },
    tasks::{self, TaskKind},
};

/// Users added by one event.
const BATCH: usize = 500;
/// Users counted at a time.
const COUNTED_AT_ONCE: usize = 2_000;
/// Keys without bodies that cost as much as one row.
const KEYS_PER_ROW: usize = 8;
/// Pause before a batch that failed is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// The server itself adds them.
const SERVER: Author = Author { user: UserId::SERVER, admin: true };

/// How far adding everyone to a channel has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinProgress {
    /// Users gone through.
    pub processed: u64,
    /// Users known.
    pub total: u64,
    /// Whether everyone was gone through.
    pub done: bool,
    /// Why it stopped before that.
    pub stopped: Option<Reject>,
}

impl Node {
    /// Has a room made to which everyone is added. The job comes before the room: a job without a room ends by itself,
    /// a room without its job would never fill. A caller that gives up does not part them.
    pub(super) async fn make_for_everyone(
        &self,
        author: Author,
        info: Arc<RoomInfo>,
        members: Vec<(UserId, Role)>,
    ) -> Call<Applied> {
        let room = info.id;
        if self.context.store.join_job(room).await?.is_none() {
            self.context.store.put_join_job(room, Some(codec::encode_join_job(&JoinJob::default()))).await?;
        }
        let node = self.clone();
        let making = tasks::spawn(TaskKind::JoinAll, async move {
            let applied = node.make(author, info, members, false).await;
            // Also when the room is not made, or nobody knows: then the job finds out and ends.
            node.start_join_job(room, true);
            applied
        });
        making.await.unwrap_or(Err(CallError::Dropped))
    }

    /// Goes on with what is not done. A room that was full is tried again: it may have room by now, or a greater bound.
    pub(super) async fn resume_join_jobs(&self) -> StoreResult<()> {
        for (room, body) in self.context.store.join_jobs().await? {
            let job = codec::decode_join_job(&body)?;
            if !job.done && job.stop != Some(JoinStop::RoomClosed) {
                self.start_join_job(room, false);
            }
        }
        Ok(())
    }

    /// Adds everyone in the background, beginning where the job stands. A job that was `just_noted` is not missed, should
    /// it have been given up meanwhile by somebody who found no room yet.
    fn start_join_job(&self, room: RoomId, just_noted: bool) {
        let node = self.clone();
        tasks::spawn(TaskKind::JoinAll, async move {
            loop {
                let ended = match node.join_batch(room, just_noted).await {
                    Ok(goes_on) => Ok(!goes_on),
                    Err(CallError::Draining) => Ok(true),
                    Err(CallError::Rejected(reject)) => {
                        tracing::warn!(%room, %reject, "adding everyone stopped");
                        node.stop_join_job(room, &reject).await.map(|()| true).map_err(CallError::from)
                    }
                    Err(error) => Err(error),
                };
                match ended {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%room, error = %crate::error::Chain(&error), "adding everyone failed, will go on");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        });
    }

    /// Adds the next users; returns whether there may be more.
    async fn join_batch(&self, room: RoomId, just_noted: bool) -> Call<bool> {
        let store = Arc::clone(&self.context.store);
        let given_up = || just_noted.then(JoinJob::default);
        let Some(mut job) = self.join_job(room).await?.or_else(given_up).filter(|job| !job.done) else {
            return Ok(false);
        };
        let head = match store.head(room).await? {
            Some(head) => head,
            None => {
                // A creation whose outcome is unknown may still land: not after a claim. One that is just being made
                // again under a later claim notes the job itself.
                let epoch = store.claim(room).await?;
                let head = store.head(room).await?;
                store.release(room, epoch).await?;
                head.ok_or(Reject::RoomNotFound)?
            }
        };
        let info = store.room(room).await?.map(|body| codec::decode_info(room, &body)).transpose()?;
        if info.is_none_or(|info| !info.join_all_users) {
            // The id was taken by another room meanwhile.
            return Err(Reject::RoomNotFound.into());
        }
        let mut users = store.known_users(job.after, BATCH).await?;
        job.done = users.len() < BATCH;
        // An addition is all or nothing: what there is room for is added before the room is called full.
        let space = self.context.options.members_max.saturating_sub(head.members as usize);
        if space > 0 && users.len() > space {
            users.truncate(space);
            job.done = false;
        }
        if let Some(last) = users.last().copied() {
            let count = users.len() as u64;
            self.command(SERVER, room, Command::Join(users)).await?;
            job.after = last;
            job.processed += count;
        }
        job.stop = None;
        store.put_join_job(room, Some(codec::encode_join_job(&job))).await?;
        Ok(!job.done)
    }

    /// Notes why a job cannot go on. One whose room was never made leaves nothing.
    async fn stop_join_job(&self, room: RoomId, reject: &Reject) -> StoreResult<()> {
        let stop = match reject {
            Reject::RoomNotFound => return self.context.store.put_join_job(room, None).await,
            Reject::TooManyMembers => JoinStop::RoomFull,
            _ => JoinStop::RoomClosed,
        };
        let job = JoinJob { stop: Some(stop), ..self.join_job(room).await?.unwrap_or_default() };
        self.context.store.put_join_job(room, Some(codec::encode_join_job(&job))).await
    }

    async fn join_job(&self, room: RoomId) -> StoreResult<Option<JoinJob>> {
        let body = self.context.store.join_job(room).await?;
        body.map(|body| codec::decode_join_job(&body)).transpose()
    }

    /// How far adding everyone to a channel has come.
    ///
    /// # Errors
    /// [`CallError`]; [`Reject::WrongRoomType`] when the room was not made for everyone.
    pub async fn join_progress(&self, author: Author, room: RoomId) -> Call<JoinProgress> {
        let access = self.access(author, room).await?;
        let job = self.join_job(room).await?.filter(|_| access.info.join_all_users).ok_or(Reject::WrongRoomType)?;
        let mut total = job.processed;
        if !job.done {
            total += self.users_after(author, job.after).await?;
        }
        let stopped = job.stop.map(|stop| match stop {
            JoinStop::RoomFull => Reject::TooManyMembers,
            JoinStop::RoomClosed => Reject::RoomDeleted,
        });
        Ok(JoinProgress { processed: job.processed, total, done: job.done, stopped })
    }

    /// How many users are known with a greater id than `after`: all are walked, in the author's share of the node.
    async fn users_after(&self, author: Author, mut after: UserId) -> Call<u64> {
        let mut share = self.share(author.user).await?;
        let mut count = 0;
        loop {
            let store = Arc::clone(&self.context.store);
            let users = async move {
                let users = store.known_users(after, COUNTED_AT_ONCE).await?;
                let spent = Spent::rows(users.len() / KEYS_PER_ROW);
                Ok((users, spent))
            };
            let users = share.run(users).await?;
            count += users.len() as u64;
            match users.last() {
                Some(last) if users.len() == COUNTED_AT_ONCE => after = *last,
                _ => return Ok(count),
            }
        }
    }
}
