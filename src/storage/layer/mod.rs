//! Decorators: stores around a store. Each implements the whole contract and passes the whole conformance suite.
//!
//! The order of a full stack, from outside: [`metered`], [`deadline`], [`encrypted`], [`cached`], [`retrying`],
//! [`breaker`] and the backend: whatever keeps bytes keeps only sealed ones, what is sent again is the same to the byte,
//! and each attempt counts for the breaker. Retries and breaker are for backends behind a network. While one store follows
//! another, [`mirrored`] is around the one that serves, below [`encrypted`]: both hold the same sealed bytes.

pub mod breaker;
pub mod cached;
pub mod deadline;
pub mod encrypted;
#[cfg(any(test, feature = "testkit"))]
pub mod faulty;
pub mod metered;
pub mod mirrored;
pub mod network;
pub mod retrying;

/// One operation of the contract, as decorators see it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Op {
    /// Name of the method.
    pub name: &'static str,
    /// Whether it changes anything.
    pub is_write: bool,
}

impl Op {
    /// A method that changes something.
    #[must_use]
    pub const fn write(name: &'static str) -> Self {
        Self { name, is_write: true }
    }

    /// A method that changes nothing.
    #[must_use]
    pub const fn read(name: &'static str) -> Self {
        Self { name, is_write: false }
    }
}

/// Implements the contract for a decorator with a field `inner: Arc<dyn Store>`, a method
/// `async fn around<T, F: Future<Output = Result<T>>>(&self, op: Op, call: impl Fn() -> F) -> Result<T>`, in which each
/// `call()` makes the call to `inner` anew, and a method `async fn append_around(..)` with the arguments of `append`.
macro_rules! store_around {
    ($layer:ty) => {
        $crate::storage::layer::store_around! { @impl $layer;
            CursorStore {
                write put_cursor(consumer: &str, room: RoomId, seq: Seq) -> ();
                read cursor(consumer: &str, room: RoomId) -> Seq;
            }
            RoomStore {
                read room(room: RoomId) -> Option<Bytes>;
                read rooms(after: Option<RoomId>, limit: usize) -> Vec<RoomId>;
                read members(room: RoomId, after: UserId, limit: usize) -> Vec<(UserId, Bytes)>;
                read member(room: RoomId, user: UserId) -> Option<Bytes>;
                read positions(room: RoomId, after: UserId, limit: usize) -> Vec<(UserId, Position)>;
                read position(room: RoomId, user: UserId) -> Position;
                write p2p_room(a: UserId, b: UserId, fresh: RoomId) -> RoomId;
                read find_p2p_room(a: UserId, b: UserId) -> Option<RoomId>;
                write put_sync_state(room: RoomId, source: &str, state: Bytes) -> ();
                read sync_state(room: RoomId, source: &str) -> Option<Bytes>;
                read sync_states(room: RoomId) -> Vec<(String, Bytes)>;
                write put_join_job(room: RoomId, state: Option<Bytes>) -> ();
                read join_job(room: RoomId) -> Option<Bytes>;
                read join_jobs() -> Vec<(RoomId, Bytes)>;
            }
            UserStore {
                read rooms_of(user: UserId, after: Option<RoomId>, limit: usize) -> Vec<RoomListEntry>;
                read room_of(user: UserId, room: RoomId) -> Option<RoomListEntry>;
                write put_prefs(user: UserId, room: RoomId, prefs: RoomPrefs) -> ();
                write hide_message(user: UserId, room: RoomId, seq: Seq) -> bool;
                read hidden_messages(user: UserId, room: RoomId, from: Seq, to: Seq) -> Vec<Seq>;
                write put_profile(user: UserId, profile: Bytes) -> ();
                read profiles(users: &[UserId]) -> Vec<Option<Bytes>>;
                read known_users(after: UserId, limit: usize) -> Vec<UserId>;
                write put_block(by: UserId, whom: UserId, blocked: bool) -> bool;
                read has_block(by: UserId, whom: UserId) -> bool;
                read blocks(by: UserId, after: UserId, limit: usize) -> Vec<UserId>;
                write put_device(user: UserId, device: &DeviceRow) -> ();
                write remove_device(user: UserId, client_id: &str) -> ();
                read devices(user: UserId) -> Vec<DeviceRow>;
            }
            LogStore {
                write claim(room: RoomId) -> Epoch;
                write release(room: RoomId, epoch: Epoch) -> ();
                read active_rooms(after: Option<RoomId>, limit: usize) -> Vec<RoomId>;
                read read_log(room: RoomId, from: Seq, direction: Direction, limit: usize) -> Vec<Record>;
                read record(room: RoomId, seq: Seq) -> Option<Record>;
                read head(room: RoomId) -> Option<RoomHead>;
                read heads(rooms: &[RoomId]) -> Vec<Option<RoomHead>>;
                read find_message(id: MessageId) -> Option<MessageRef>;
                read find_client_message(sender: UserId, client_id: &ClientMessageId) -> Option<MessageRef>;
                read find_external(external: &ExternalRef) -> Option<MessageRef>;
                read message_states(room: RoomId, from: Seq, to: Seq) -> Vec<(Seq, Bytes)>;
                read has_reaction(room: RoomId, row: &ReactionRow) -> bool;
                read reactions(room: RoomId, seq: Seq, after: Option<(UserId, String)>, limit: usize)
                    -> Vec<ReactionRow>;
                read pins(room: RoomId, limit: usize) -> Vec<(Seq, Seq)>;
                {
                    async fn append(
                        &self,
                        room: RoomId,
                        epoch: Epoch,
                        records: &[Record],
                        projection: &Projection,
                    ) -> Result<Durability> {
                        self.append_around(room, epoch, records, projection).await
                    }
                }
            }
            Store {
                {
                    fn name(&self) -> &'static str {
                        self.inner.name()
                    }

                    async fn close(&self) -> Result<()> {
                        self.inner.close().await
                    }
                }
            }
        }
    };
    (@impl $layer:ty; $($contract:ident {
        $($rw:ident $method:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*
        $({ $($extra:tt)* })?
    })*) => {
        $(
            #[async_trait::async_trait]
            #[allow(clippy::clone_on_copy, clippy::redundant_clone, reason = "one form for arguments of all types")]
            impl $contract for $layer {
                $(
                    async fn $method(&self, $($arg: $ty),*) -> Result<$out> {
                        self.around(Op::$rw(stringify!($method)), || self.inner.$method($(Clone::clone(&$arg)),*)).await
                    }
                )*
                $($($extra)*)?
            }
        )*
    };
}

pub(crate) use store_around;

/// All that [`store_around!`] names.
mod prelude {
    pub(super) use bytes::Bytes;

    pub(super) use super::Op;
    pub(super) use crate::{
        domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, RoomId, Seq, UserId},
        storage::{
            CursorStore, DeviceRow, Direction, Durability, LogStore, MessageRef, Position, Projection, ReactionRow,
            Record, Result, RoomHead, RoomListEntry, RoomPrefs, RoomStore, Store, UserStore,
        },
    };
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        deadline::{Deadline, Deadlines},
        encrypted::{Encrypted, toy::ToySealer},
        faulty::{FaultPlan, Faulty},
        metered::Metered,
        mirrored::{Marks, Mirrored},
        network::behind_network,
    };
    use crate::{
        redis_link::{self, RedisLink},
        storage::{
            Store,
            conformance::Fixture,
            embedded::{EmbeddedStore, OpenOptions},
        },
        store_conformance,
    };

    fn memory() -> Arc<dyn Store> {
        Arc::new(EmbeddedStore::in_memory())
    }

    fn full_stack() -> Fixture {
        let dir = tempfile::tempdir().expect("temporary directory");
        let disk = EmbeddedStore::open(dir.path(), &OpenOptions::default()).expect("open");
        let sealed = Encrypted::new(Arc::new(disk), Arc::new(ToySealer::default()));
        let bounded = Deadline::new(Arc::new(sealed), Deadlines::default());
        Fixture::with(Metered::new(Arc::new(bounded), Arc::new(())), dir)
    }

    fn network_stack() -> Fixture {
        let link = RedisLink::new(&redis_link::testkit::options()).expect("an address");
        let network = behind_network(memory(), Deadlines::default(), Some((link, Arc::new(()))));
        let sealed = Encrypted::new(network.store, Arc::new(ToySealer::default()));
        Fixture::new(Metered::new(Arc::new(Deadline::new(Arc::new(sealed), Deadlines::default())), Arc::new(())))
    }

    store_conformance!(network_stack_over_memory, network_stack());
    store_conformance!(deadline_over_memory, Fixture::new(Deadline::new(memory(), Deadlines::default())));
    store_conformance!(metered_over_memory, Fixture::new(Metered::new(memory(), Arc::new(()))));
    store_conformance!(faultless_over_memory, Fixture::new(Faulty::new(memory(), 1, FaultPlan::default())));
    store_conformance!(mirrored_over_memory, Fixture::new(Mirrored::new(memory(), Marks::default())));
    store_conformance!(stack_over_disk, full_stack());
}
