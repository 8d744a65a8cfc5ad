//! A store in memory that fails, holds or delays appends as a test tells it to, and counts them.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    domain::{
        ids::{ClientMessageId, Epoch, ExternalRef, MessageId, RoomId, Seq, UserId},
        position::{Position, RoomHead},
    },
    storage::{
        CursorStore, DeviceRow, Direction, Durability, LogStore, MessageRef, Projection, ReactionRow, Record, Result,
        RoomListEntry, RoomPrefs, RoomStore, Store, StoreError, StoreErrorKind, UserStore,
        embedded::{EmbeddedStore, memory::MemoryEngine},
    },
};

/// What happens to one append.
#[derive(Clone, Debug)]
pub(crate) enum Fate {
    /// It fails and writes nothing.
    Fails(StoreErrorKind),
    /// It writes and fails.
    WritesAndFails(StoreErrorKind),
    /// Its caller panics; nothing is written.
    Panics,
    /// It begins when the semaphore has a permit.
    Waits(Arc<Semaphore>),
    /// It writes, and says so when the semaphore has a permit.
    WritesAndWaits(Arc<Semaphore>),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct ScriptedStore {
    inner: EmbeddedStore<MemoryEngine>,
    script: Mutex<VecDeque<Fate>>,
    list_panics: AtomicBool,
    claims: Mutex<Option<Arc<Semaphore>>>,
    is_silent_on_names: AtomicBool,
    delay_ms: AtomicU64,
    batches: Mutex<Vec<usize>>,
    running: AtomicUsize,
    most_running: AtomicUsize,
    calls: AtomicUsize,
    rows: AtomicUsize,
}

impl ScriptedStore {
    pub(crate) fn new() -> Self {
        Self {
            inner: EmbeddedStore::in_memory(),
            script: Mutex::default(),
            list_panics: AtomicBool::new(false),
            claims: Mutex::default(),
            is_silent_on_names: AtomicBool::new(false),
            delay_ms: AtomicU64::new(0),
            batches: Mutex::default(),
            running: AtomicUsize::new(0),
            most_running: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            rows: AtomicUsize::new(0),
        }
    }

    /// The next appends meet these fates; those after them succeed.
    pub(crate) fn script(&self, fates: impl IntoIterator<Item = Fate>) {
        self.script.lock().extend(fates);
    }

    /// The next room list that is read panics.
    pub(crate) fn panic_at_list(&self) {
        self.list_panics.store(true, Ordering::Relaxed);
    }

    /// From now on a claim takes one of the permits: rooms are woken one by one.
    pub(crate) fn hold_claims(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.claims.lock() = Some(Arc::clone(&gate));
        gate
    }

    /// Whether profiles are never written, and nothing is said of it.
    pub(crate) fn silent_on_names(&self, is_silent: bool) {
        self.is_silent_on_names.store(is_silent, Ordering::Relaxed);
    }

    /// The next append waits until the semaphore has a permit.
    pub(crate) fn hold(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.script([Fate::Waits(Arc::clone(&gate))]);
        gate
    }

    /// Every append takes this long.
    pub(crate) fn delay(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap();
        self.delay_ms.store(ms, Ordering::Relaxed);
    }

    /// Records of each append so far.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.lock().clone()
    }

    /// Most appends that ever ran at once.
    pub(crate) fn most_running(&self) -> usize {
        self.most_running.load(Ordering::Relaxed)
    }

    /// Calls, and rows of logs and hidden messages that were read, since this was asked last.
    pub(crate) fn cost(&self) -> (usize, usize) {
        (self.calls.swap(0, Ordering::Relaxed), self.rows.swap(0, Ordering::Relaxed))
    }

    /// What no actor need write: rows as they are.
    pub(crate) const fn raw(&self) -> &EmbeddedStore<MemoryEngine> {
        &self.inner
    }

    fn counted<T>(&self, page: Vec<T>) -> Vec<T> {
        self.rows.fetch_add(page.len(), Ordering::Relaxed);
        page
    }

    /// A real store gives others a turn; one in memory would not.
    async fn turn(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
    }

    async fn scripted(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        self.batches.lock().push(records.len());
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_running.fetch_max(running, Ordering::Relaxed);
        let delay_ms = self.delay_ms.load(Ordering::Relaxed);
        if delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        } else {
            self.turn().await;
        }
        let fate = self.script.lock().pop_front();
        if let Some(Fate::Waits(gate)) = &fate {
            gate.acquire().await.unwrap().forget();
        }
        let result = match fate {
            Some(Fate::Panics) => panic!("as scripted"),
            Some(Fate::Fails(kind)) => Err(StoreError::new(kind, "append")),
            Some(Fate::WritesAndFails(kind)) => {
                self.inner.append(room, epoch, records, projection).await?;
                Err(StoreError::new(kind, "append"))
            }
            Some(Fate::WritesAndWaits(gate)) => {
                let written = self.inner.append(room, epoch, records, projection).await;
                gate.acquire().await.unwrap().forget();
                written
            }
            Some(Fate::Waits(_)) | None => self.inner.append(room, epoch, records, projection).await,
        };
        self.running.fetch_sub(1, Ordering::Relaxed);
        result
    }
}

#[async_trait]
impl Store for ScriptedStore {
    fn name(&self) -> &'static str {
        "scripted"
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

#[async_trait]
impl LogStore for ScriptedStore {
    async fn claim(&self, room: RoomId) -> Result<Epoch> {
        self.turn().await;
        let gate = self.claims.lock().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        self.inner.claim(room).await
    }
    async fn release(&self, room: RoomId, epoch: Epoch) -> Result<()> {
        self.turn().await;
        self.inner.release(room, epoch).await
    }
    async fn active_rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        self.turn().await;
        self.inner.active_rooms(after, limit).await
    }
    async fn append(
        &self,
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Result<Durability> {
        self.scripted(room, epoch, records, projection).await
    }
    async fn read_log(&self, room: RoomId, from: Seq, direction: Direction, limit: usize) -> Result<Vec<Record>> {
        self.turn().await;
        self.inner.read_log(room, from, direction, limit).await.map(|page| self.counted(page))
    }
    async fn record(&self, room: RoomId, seq: Seq) -> Result<Option<Record>> {
        self.turn().await;
        self.inner.record(room, seq).await
    }
    async fn head(&self, room: RoomId) -> Result<Option<RoomHead>> {
        self.turn().await;
        self.inner.head(room).await
    }
    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<RoomHead>>> {
        self.turn().await;
        self.inner.heads(rooms).await
    }
    async fn find_message(&self, id: MessageId) -> Result<Option<MessageRef>> {
        self.turn().await;
        self.inner.find_message(id).await
    }
    async fn find_client_message(&self, sender: UserId, client_id: &ClientMessageId) -> Result<Option<MessageRef>> {
        self.turn().await;
        self.inner.find_client_message(sender, client_id).await
    }
    async fn find_external(&self, external: &ExternalRef) -> Result<Option<MessageRef>> {
        self.turn().await;
        self.inner.find_external(external).await
    }
    async fn message_states(&self, room: RoomId, from: Seq, to: Seq) -> Result<Vec<(Seq, Bytes)>> {
        self.turn().await;
        self.inner.message_states(room, from, to).await
    }
    async fn has_reaction(&self, room: RoomId, row: &ReactionRow) -> Result<bool> {
        self.turn().await;
        self.inner.has_reaction(room, row).await
    }
    async fn reactions(
        &self,
        room: RoomId,
        seq: Seq,
        after: Option<(UserId, String)>,
        limit: usize,
    ) -> Result<Vec<ReactionRow>> {
        self.turn().await;
        self.inner.reactions(room, seq, after, limit).await
    }
    async fn pins(&self, room: RoomId, limit: usize) -> Result<Vec<(Seq, Seq)>> {
        self.turn().await;
        self.inner.pins(room, limit).await
    }
}

#[async_trait]
impl RoomStore for ScriptedStore {
    async fn room(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.turn().await;
        self.inner.room(room).await
    }
    async fn rooms(&self, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomId>> {
        self.turn().await;
        self.inner.rooms(after, limit).await
    }
    async fn members(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Bytes)>> {
        self.turn().await;
        self.inner.members(room, after, limit).await
    }
    async fn member(&self, room: RoomId, user: UserId) -> Result<Option<Bytes>> {
        self.turn().await;
        self.inner.member(room, user).await
    }
    async fn positions(&self, room: RoomId, after: UserId, limit: usize) -> Result<Vec<(UserId, Position)>> {
        self.turn().await;
        self.inner.positions(room, after, limit).await
    }
    async fn position(&self, room: RoomId, user: UserId) -> Result<Position> {
        self.turn().await;
        self.inner.position(room, user).await
    }
    async fn p2p_room(&self, a: UserId, b: UserId, fresh: RoomId) -> Result<RoomId> {
        self.turn().await;
        self.inner.p2p_room(a, b, fresh).await
    }
    async fn find_p2p_room(&self, a: UserId, b: UserId) -> Result<Option<RoomId>> {
        self.turn().await;
        self.inner.find_p2p_room(a, b).await
    }
    async fn put_sync_state(&self, room: RoomId, source: &str, state: Bytes) -> Result<()> {
        self.turn().await;
        self.inner.put_sync_state(room, source, state).await
    }
    async fn sync_state(&self, room: RoomId, source: &str) -> Result<Option<Bytes>> {
        self.turn().await;
        self.inner.sync_state(room, source).await
    }
    async fn sync_states(&self, room: RoomId) -> Result<Vec<(String, Bytes)>> {
        self.turn().await;
        self.inner.sync_states(room).await
    }
    async fn put_join_job(&self, room: RoomId, state: Option<Bytes>) -> Result<()> {
        self.turn().await;
        self.inner.put_join_job(room, state).await
    }
    async fn join_job(&self, room: RoomId) -> Result<Option<Bytes>> {
        self.turn().await;
        self.inner.join_job(room).await
    }
    async fn join_jobs(&self) -> Result<Vec<(RoomId, Bytes)>> {
        self.turn().await;
        self.inner.join_jobs().await
    }
}

#[async_trait]
impl UserStore for ScriptedStore {
    async fn rooms_of(&self, user: UserId, after: Option<RoomId>, limit: usize) -> Result<Vec<RoomListEntry>> {
        assert!(!self.list_panics.swap(false, Ordering::Relaxed), "as scripted");
        self.turn().await;
        self.inner.rooms_of(user, after, limit).await
    }
    async fn room_of(&self, user: UserId, room: RoomId) -> Result<Option<RoomListEntry>> {
        self.turn().await;
        self.inner.room_of(user, room).await
    }
    async fn put_prefs(&self, user: UserId, room: RoomId, prefs: RoomPrefs) -> Result<()> {
        self.turn().await;
        self.inner.put_prefs(user, room, prefs).await
    }
    async fn hide_message(&self, user: UserId, room: RoomId, seq: Seq) -> Result<bool> {
        self.turn().await;
        self.inner.hide_message(user, room, seq).await
    }
    async fn hidden_messages(&self, user: UserId, room: RoomId, from: Seq, to: Seq) -> Result<Vec<Seq>> {
        self.turn().await;
        self.inner.hidden_messages(user, room, from, to).await.map(|page| self.counted(page))
    }
    async fn put_profile(&self, user: UserId, profile: Bytes) -> Result<()> {
        self.turn().await;
        if self.is_silent_on_names.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.inner.put_profile(user, profile).await
    }
    async fn profiles(&self, users: &[UserId]) -> Result<Vec<Option<Bytes>>> {
        self.turn().await;
        self.inner.profiles(users).await
    }
    async fn known_users(&self, after: UserId, limit: usize) -> Result<Vec<UserId>> {
        self.turn().await;
        self.inner.known_users(after, limit).await
    }
    async fn put_block(&self, by: UserId, whom: UserId, blocked: bool) -> Result<bool> {
        self.turn().await;
        self.inner.put_block(by, whom, blocked).await
    }
    async fn has_block(&self, by: UserId, whom: UserId) -> Result<bool> {
        self.turn().await;
        self.inner.has_block(by, whom).await
    }
    async fn blocks(&self, by: UserId, after: UserId, limit: usize) -> Result<Vec<UserId>> {
        self.turn().await;
        self.inner.blocks(by, after, limit).await
    }
    async fn put_device(&self, user: UserId, device: &DeviceRow) -> Result<()> {
        self.turn().await;
        self.inner.put_device(user, device).await
    }
    async fn remove_device(&self, user: UserId, client_id: &str) -> Result<()> {
        self.turn().await;
        self.inner.remove_device(user, client_id).await
    }
    async fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>> {
        self.turn().await;
        self.inner.devices(user).await
    }
}

#[async_trait]
impl CursorStore for ScriptedStore {
    async fn put_cursor(&self, consumer: &str, room: RoomId, seq: Seq) -> Result<()> {
        self.turn().await;
        self.inner.put_cursor(consumer, room, seq).await
    }
    async fn cursor(&self, consumer: &str, room: RoomId) -> Result<Seq> {
        self.turn().await;
        self.inner.cursor(consumer, room).await
    }
}
