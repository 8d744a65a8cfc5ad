//! Bugs that the simulation must see: each is a store that does what a broken server would make of a good one, or a
//! switch in the server's test kit.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tertulia::{
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, RoomId, Seq, UserId},
    storage::{
        CursorStore, DeviceRow, Direction, Durability, LogStore, MessageRef, Position, Projection, ReactionRow, Record,
        Result, RoomHead, RoomListEntry, RoomPrefs, RoomStore, Store, UserStore,
    },
};

/// What is wrong in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Bug {
    #[default]
    None,
    /// Appends are acknowledged before they are durable.
    AckBeforeDurable,
    /// A room that wakes up does not know which client ids it has seen.
    DedupeForgotten,
    /// A room goes to sleep with commands in its queue, and drops them.
    SleepDropsQueue,
}

/// The store of a run, with its bug.
#[derive(Clone, Debug)]
pub(crate) struct Planted(Arc<Broken>);

#[derive(Debug)]
struct Broken {
    inner: Arc<dyn Store>,
    bug: Bug,
    /// Acknowledged, not applied yet.
    early: Mutex<VecDeque<Early>>,
}

#[derive(Debug)]
struct Early {
    room: RoomId,
    epoch: Epoch,
    records: Vec<Record>,
    projection: Projection,
}

/// How long an append that was acknowledged too early takes to become durable.
const EARLY_BY: Duration = Duration::from_millis(5);

impl Planted {
    pub(crate) fn new(inner: Arc<dyn Store>, bug: Bug) -> Self {
        Self(Arc::new(Broken { inner, bug, early: Mutex::default() }))
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        if matches!(self.0.bug, Bug::None | Bug::SleepDropsQueue) {
            Arc::clone(&self.0.inner)
        } else {
            Arc::<Broken>::clone(&self.0)
        }
    }

    pub(crate) fn is_early(&self) -> bool {
        self.0.bug == Bug::AckBeforeDurable
    }

    /// The process died: what was not durable is gone.
    pub(crate) fn killed(&self) {
        self.0.early.lock().clear();
    }
}

impl Broken {
    async fn append(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        if self.bug != Bug::AckBeforeDurable {
            return self.inner.append(room, epoch, records, projection).await;
        }
        // Only messages, so that the rest of the world still makes sense.
        if records.iter().any(|record| record.message.is_none()) {
            while let Some(early) = self.next_early() {
                self.apply(early).await;
            }
            return self.inner.append(room, epoch, records, projection).await;
        }
        self.early.lock().push_back(Early { room, epoch, records: records.to_vec(), projection: projection.clone() });
        Ok(Durability::Synced)
    }

    fn next_early(&self) -> Option<Early> {
        self.early.lock().pop_front()
    }

    async fn apply(&self, early: Early) {
        let appended = self.inner.append(early.room, early.epoch, &early.records, &early.projection);
        drop(appended.await);
    }

    async fn find_client_message(&self, sender: UserId, client_id: &ClientMessageId) -> Result<Option<MessageRef>> {
        if self.bug == Bug::DedupeForgotten {
            return Ok(None);
        }
        self.inner.find_client_message(sender, client_id).await
    }
}

/// Makes early appends durable, a while too late.
pub(crate) async fn flush_late(planted: Planted) {
    loop {
        tokio::time::sleep(EARLY_BY).await;
        while let Some(early) = planted.0.next_early() {
            planted.0.apply(early).await;
        }
    }
}

macro_rules! store {
    ($($trait:ident { $(fn $name:ident($($arg:ident: $type:ty),*) -> $out:ty;)* $(own fn $own:ident($($own_arg:ident: $own_type:ty),*) -> $own_out:ty;)* })*) => {$(
        #[async_trait]
        impl $trait for Broken {
            $(async fn $name(&self, $($arg: $type),*) -> Result<$out> {
                self.inner.$name($($arg),*).await
            })*
            $(async fn $own(&self, $($own_arg: $own_type),*) -> Result<$own_out> {
                Broken::$own(self, $($own_arg),*).await
            })*
        }
    )*};
}

store! {
    LogStore {
        fn claim(room: RoomId) -> Epoch;
        fn release(room: RoomId, epoch: Epoch) -> ();
        fn active_rooms(after: Option<RoomId>, limit: usize) -> Vec<RoomId>;
        fn read_log(room: RoomId, from: Seq, direction: Direction, limit: usize) -> Vec<Record>;
        fn record(room: RoomId, seq: Seq) -> Option<Record>;
        fn head(room: RoomId) -> Option<RoomHead>;
        fn heads(rooms: &[RoomId]) -> Vec<Option<RoomHead>>;
        fn find_message(id: MessageId) -> Option<MessageRef>;
        fn find_external(external: &ExternalRef) -> Option<MessageRef>;
        fn message_states(room: RoomId, from: Seq, to: Seq) -> Vec<(Seq, Bytes)>;
        fn has_reaction(room: RoomId, row: &ReactionRow) -> bool;
        fn reactions(room: RoomId, seq: Seq, after: Option<(UserId, String)>, limit: usize) -> Vec<ReactionRow>;
        fn pins(room: RoomId, limit: usize) -> Vec<(Seq, Seq)>;
        own fn append(room: RoomId, epoch: Epoch, records: &[Record], projection: &Projection) -> Durability;
        own fn find_client_message(sender: UserId, client_id: &ClientMessageId) -> Option<MessageRef>;
    }
    RoomStore {
        fn room(room: RoomId) -> Option<Bytes>;
        fn rooms(after: Option<RoomId>, limit: usize) -> Vec<RoomId>;
        fn members(room: RoomId, after: UserId, limit: usize) -> Vec<(UserId, Bytes)>;
        fn member(room: RoomId, user: UserId) -> Option<Bytes>;
        fn positions(room: RoomId, after: UserId, limit: usize) -> Vec<(UserId, Position)>;
        fn position(room: RoomId, user: UserId) -> Position;
        fn p2p_room(a: UserId, b: UserId, fresh: RoomId) -> RoomId;
        fn find_p2p_room(a: UserId, b: UserId) -> Option<RoomId>;
        fn put_sync_state(room: RoomId, source: &str, state: Bytes) -> ();
        fn sync_state(room: RoomId, source: &str) -> Option<Bytes>;
        fn sync_states(room: RoomId) -> Vec<(String, Bytes)>;
        fn put_join_job(room: RoomId, state: Option<Bytes>) -> ();
        fn join_job(room: RoomId) -> Option<Bytes>;
        fn join_jobs() -> Vec<(RoomId, Bytes)>;
    }
    UserStore {
        fn rooms_of(user: UserId, after: Option<RoomId>, limit: usize) -> Vec<RoomListEntry>;
        fn room_of(user: UserId, room: RoomId) -> Option<RoomListEntry>;
        fn put_prefs(user: UserId, room: RoomId, prefs: RoomPrefs) -> ();
        fn hide_message(user: UserId, room: RoomId, seq: Seq) -> bool;
        fn hidden_messages(user: UserId, room: RoomId, from: Seq, to: Seq) -> Vec<Seq>;
        fn put_profile(user: UserId, profile: Bytes) -> ();
        fn profiles(users: &[UserId]) -> Vec<Option<Bytes>>;
        fn known_users(after: UserId, limit: usize) -> Vec<UserId>;
        fn put_block(by: UserId, whom: UserId, blocked: bool) -> bool;
        fn has_block(by: UserId, whom: UserId) -> bool;
        fn blocks(by: UserId, after: UserId, limit: usize) -> Vec<UserId>;
        fn put_device(user: UserId, device: &DeviceRow) -> ();
        fn remove_device(user: UserId, client_id: &str) -> ();
        fn devices(user: UserId) -> Vec<DeviceRow>;
    }
    CursorStore {
        fn put_cursor(consumer: &str, room: RoomId, seq: Seq) -> ();
        fn cursor(consumer: &str, room: RoomId) -> Seq;
    }
}

#[async_trait]
impl Store for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
