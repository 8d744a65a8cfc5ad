//! The one suite against the store contract. Every backend and every decorator runs it:
//!
//! ```ignore
//! store_conformance!(memory, Fixture::new(EmbeddedStore::in_memory()));
//! ```
//!
//! Each function is one idea of the contract; each file is one part of it. The suite must know no backend.

use std::{any::Any, sync::Arc};

use bytes::Bytes;

use futures_util::future::LocalBoxFuture;

use super::{Listing, MemberRow, MessageKey, Projection, Record, RoomHead, Store, StoreError, StoreErrorKind};
use crate::{
    clock::SharedClock,
    domain::ids::{ClientMessageId, Epoch, ExternalRef, MessageId, Ordinal, RoomId, Seq, UserId},
};

pub mod append;
pub mod clocks;
pub mod cursors;
pub mod erased;
pub mod fencing;
pub mod hostile;
pub mod journal;
pub mod lookups;
pub mod members;
pub mod ordinals;
pub mod paging;
pub mod positions;
pub mod projection;
pub mod rooms;
pub mod users;

/// A fresh store for one test, and what must live as long.
pub struct Fixture {
    store: Arc<dyn Store>,
    nodes: Nodes,
    cells: Option<Finds>,
    guard: Option<Box<dyn Any + Send>>,
}

/// Opens a node of the fixture's own data by a clock.
type Opens = Box<dyn Fn(SharedClock) -> LocalBoxFuture<'static, Arc<dyn Store>> + Send + Sync>;

/// Finds the cells that hold a text, as the database itself is asked.
type Finds = Box<dyn Fn(&'static str) -> LocalBoxFuture<'static, Vec<String>> + Send + Sync>;

/// How a test gets nodes whose clocks it sets.
enum Nodes {
    /// There is but the one store.
    Same,
    /// One after the end of another.
    InTurn(Opens),
    /// As many as it likes.
    AtOnce(Opens),
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fixture").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Fixture {
    /// A fixture of a store that needs nothing else.
    pub fn new(store: impl Store) -> Self {
        Self::shared(Arc::new(store))
    }

    /// A fixture of a store that needs `guard`, such as a temporary directory.
    pub fn with(store: impl Store, guard: impl Any + Send) -> Self {
        Self::new(store).and(guard)
    }

    /// A fixture of a store that others know too.
    #[must_use]
    pub fn shared(store: Arc<dyn Store>) -> Self {
        Self { store, nodes: Nodes::Same, cells: None, guard: None }
    }

    /// The same fixture with `guard`, which lives as long.
    #[must_use]
    pub fn and(self, guard: impl Any + Send) -> Self {
        Self { guard: Some(Box::new(guard)), ..self }
    }

    /// The same fixture, which opens nodes of data of its own, one after the end of another.
    #[must_use]
    pub fn in_turn(
        self,
        open: impl Fn(SharedClock) -> LocalBoxFuture<'static, Arc<dyn Store>> + Send + Sync + 'static,
    ) -> Self {
        Self { nodes: Nodes::InTurn(Box::new(open)), ..self }
    }

    /// The same fixture, which opens nodes of the store's data.
    #[must_use]
    pub fn at_once(
        self,
        open: impl Fn(SharedClock) -> LocalBoxFuture<'static, Arc<dyn Store>> + Send + Sync + 'static,
    ) -> Self {
        Self { nodes: Nodes::AtOnce(Box::new(open)), ..self }
    }

    /// The same fixture, whose cells can be looked through.
    #[must_use]
    pub fn finding(
        self,
        find: impl Fn(&'static str) -> LocalBoxFuture<'static, Vec<String>> + Send + Sync + 'static,
    ) -> Self {
        Self { cells: Some(Box::new(find)), ..self }
    }

    /// The cells of the store, of all tables, that hold this text; none if they cannot be looked through.
    pub async fn cells_with(&self, text: &'static str) -> Option<Vec<String>> {
        Some(self.cells.as_ref()?(text).await)
    }

    /// A node by this clock. The one before has ended where there can be only one.
    pub async fn node(&self, clock: SharedClock) -> Arc<dyn Store> {
        match &self.nodes {
            Nodes::Same => Arc::clone(&self.store),
            Nodes::InTurn(open) | Nodes::AtOnce(open) => open(clock).await,
        }
    }

    /// Whether there can be several nodes at once.
    #[must_use]
    pub const fn are_at_once(&self) -> bool {
        matches!(self.nodes, Nodes::AtOnce(_))
    }

    /// Ends a node in good order.
    ///
    /// # Panics
    /// If it cannot.
    pub async fn ends(&self, node: Arc<dyn Store>) {
        if !matches!(self.nodes, Nodes::Same) {
            node.close().await.expect("close");
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Closes the store and checks that it stays closed.
    ///
    /// # Panics
    /// If it does not.
    pub async fn finish(self) {
        self.store.close().await.expect("close");
        assert_eq!(kind(self.store.claim(room(1)).await), StoreErrorKind::Unavailable, "write after close");
        assert_eq!(kind(self.store.head(room(1)).await), StoreErrorKind::Unavailable, "read after close");
        drop(self.guard);
    }
}

/// Runs the whole suite in a module, one test a function. The expression makes a [`Fixture`] and may await.
#[macro_export]
macro_rules! store_conformance {
    ($module:ident, $make:expr) => {
        mod $module {
            #[allow(unused_imports, reason = "the expression may name anything around it")]
            use super::*;
            $crate::store_conformance_tests! { $make;
                append: [
                    stores_what_it_is_given, is_all_or_nothing, the_same_again_writes_nothing,
                    the_same_again_under_a_newer_epoch, other_records_at_a_stored_seq_conflict, gaps_conflict,
                ]
                projection: [
                    an_empty_append_projects, the_head_is_the_last_record, bounds_are_invalid,
                    redaction_replaces_a_body, sent_and_redacted_at_once, a_thousand_records_at_once,
                    two_hundred_rooms_at_once, removal_comes_before_addition, a_head_shows_what_came_with_it,
                ]
                fencing: [
                    epochs_grow, a_stale_writer_is_refused, an_append_delayed_past_a_claim_is_refused,
                    an_epoch_never_claimed_is_invalid, rooms_are_claimed_alone, racing_writers_write_each_seq_once,
                    claims_at_once_all_differ,
                ]
                journal: [
                    claimed_rooms_are_active, a_stale_release_changes_nothing, pages, appending_after_a_release,
                ]
                paging: [
                    forward, backward, limits_hold, unknown_rooms_are_empty, rooms_do_not_leak_into_each_other,
                    heads_come_in_the_order_asked, one_record,
                    a_page_has_no_gap_while_written_to,
                ]
                members: [
                    are_listed_on_both_sides, pages, preferences_survive_a_rewrite, preferences_go_with_the_membership,
                    preferences_need_a_membership, removing_a_stranger_changes_nothing,
                ]
                ordinals: [
                    messages_are_found_over_long_stretches, hidden_messages_are_passed_over, ids_are_found_by_place,
                ]
                positions: [
                    are_zero_at_first, never_move_back, merge_field_by_field, pages, outlive_a_membership,
                ]
                lookups: [
                    messages_are_found_by_every_key, the_first_message_keeps_a_client_id,
                    external_references_are_unique, external_parts_do_not_run_together, states_in_a_range,
                    reactions_come_by_user, pins_come_by_message,
                ]
                rooms: [
                    settings_are_those_last_written, pages, a_pair_has_one_room, racing_callers_get_one_p2p_room,
                    sync_states, sync_states_of_a_room, join_jobs,
                ]
                users: [
                    fifty_thousand_rooms, hidden_messages, profiles, known_users_page, blocks,
                    devices, a_token_moves_to_its_newest_owner, a_device_can_change_its_token,
                ]
                cursors: [start_at_zero_and_only_grow, are_each_their_own, names_are_bounded]
                hostile: [
                    unicode, empty_bodies, a_mebibyte_body, extreme_numbers, extreme_texts_find_nothing,
                    every_byte_survives,
                ]
            }
            $crate::store_conformance_tests! { @nodes $make;
                clocks: [over_restarts, over_kills, between_two_nodes]
                erased: [a_deleted_message_is_in_no_cell]
            }
        }
    };
}

/// Expands to one test a function; see [`store_conformance!`](crate::store_conformance).
#[doc(hidden)]
#[macro_export]
macro_rules! store_conformance_tests {
    (@nodes $make:expr; $($file:ident: [$($test:ident),* $(,)?])*) => {
        $(mod $file {
            #[allow(unused_imports, reason = "the expression may name anything around it")]
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let fixture: $crate::storage::conformance::Fixture = $make;
                    $crate::storage::conformance::$file::$test(&fixture).await;
                    fixture.finish().await;
                }
            )*
        })*
    };
    ($make:expr; $($file:ident: [$($test:ident),* $(,)?])*) => {
        $(
            mod $file {
                #[allow(unused_imports, reason = "the expression may name anything around it")]
                use super::*;
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $test() {
                        let fixture: $crate::storage::conformance::Fixture = $make;
                        $crate::storage::conformance::$file::$test(fixture.store()).await;
                        fixture.finish().await;
                    }
                )*
            }
        )*
    };
}

/// Room number `n`; greater numbers are greater ids.
#[must_use]
pub fn room(n: u32) -> RoomId {
    let mut id = [0x42; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    RoomId(id)
}

/// An event that is no message.
#[must_use]
pub fn event(seq: u64) -> Record {
    Record {
        seq: Seq(seq),
        n: Ordinal(0),
        epoch: Epoch(0),
        kind: 9,
        actor: UserId(1),
        at_ms: 1_700_000_000_000,
        message: None,
        body: Bytes::from(format!("event {seq}")),
    }
}

/// A message; its id and client id follow from room and seq.
#[must_use]
pub fn message(room: RoomId, seq: u64, sender: i64) -> Record {
    let number = i64::from(u32::from_be_bytes([room.0[0], room.0[1], room.0[2], room.0[3]]));
    let id = number * 1_000_000 + seq.cast_signed();
    Record {
        n: Ordinal(seq),
        kind: 1,
        actor: UserId(sender),
        message: Some(MessageKey {
            id: MessageId(id),
            client_id: ClientMessageId(format!("c{id}").into()),
            external: None,
        }),
        body: Bytes::from(format!("message {seq}")),
        ..event(seq)
    }
}

/// The same message with a twin elsewhere.
#[must_use]
pub fn with_external(mut record: Record, external: &ExternalRef) -> Record {
    if let Some(message) = &mut record.message {
        message.external = Some(external.clone());
    }
    record
}

/// An external reference.
#[must_use]
pub fn external(source: &str, chat: &str, message: &str) -> ExternalRef {
    ExternalRef { source: source.into(), chat: chat.into(), message: message.into() }
}

/// A projection that says nothing but the head after `seq`.
#[must_use]
pub fn head(seq: u64) -> Projection {
    Projection { head: RoomHead { seq: Seq(seq), n: Ordinal(seq), ..RoomHead::default() }, ..Projection::default() }
}

/// A member's rows.
#[must_use]
pub fn member(user: i64, body: &'static str) -> MemberRow {
    MemberRow {
        user: UserId(user),
        body: Bytes::from_static(body.as_bytes()),
        listing: Listing { room_type: 2, partner: UserId(0) },
    }
}

/// The kind of an error that must have come.
///
/// # Panics
/// If none came.
#[track_caller]
pub fn kind<T>(result: Result<T, StoreError>) -> StoreErrorKind {
    match result {
        Ok(_) => panic!("this must fail"),
        Err(error) => error.kind(),
    }
}

/// The records as the store gives them back: with the epoch that wrote them.
#[must_use]
pub fn written_by(epoch: Epoch, records: &[Record]) -> Vec<Record> {
    records.iter().map(|record| Record { epoch, ..record.clone() }).collect()
}

/// Claims a room and appends messages 1 to `len` to it, in one batch.
pub async fn filled(store: &dyn Store, room: RoomId, len: u64) -> (Epoch, Vec<Record>) {
    let epoch = store.claim(room).await.expect("claim");
    let records: Vec<_> = (1..=len).map(|seq| message(room, seq, 1)).collect();
    store.append(room, epoch, &records, &head(len)).await.expect("append");
    (epoch, written_by(epoch, &records))
}

/// Claims a fresh room and applies `projection` with one event.
pub async fn with_projection(store: &dyn Store, room: RoomId, projection: Projection) -> Epoch {
    let epoch = store.claim(room).await.expect("claim");
    let projection = Projection { head: head(1).head, ..projection };
    store.append(room, epoch, &[event(1)], &projection).await.expect("append");
    epoch
}

/// Applies `projection` with no event to a room whose head is `seq`.
pub async fn project(store: &dyn Store, room: RoomId, epoch: Epoch, seq: u64, projection: Projection) {
    let projection = Projection { head: head(seq).head, ..projection };
    store.append(room, epoch, &[], &projection).await.expect("append");
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::storage::{
        Direction,
        embedded::{
            EmbeddedStore, OpenOptions, SyncPolicy,
            engine::{Engine, Visit},
        },
    };

    fn on_disk(sync: SyncPolicy) -> Fixture {
        let (dir, lives) =
            (tempfile::tempdir().expect("temporary directory"), tempfile::tempdir().expect("temporary directory"));
        let options = OpenOptions { sync, ..OpenOptions::default() };
        let store = EmbeddedStore::open(dir.path(), &options).expect("open");
        let open = move |_| {
            let life: Arc<dyn Store> = Arc::new(EmbeddedStore::open(lives.path(), &options).expect("open"));
            std::future::ready(life).boxed_local()
        };
        embedded(store).and(dir).in_turn(open)
    }

    /// The rows as the store reads them.
    fn embedded<E: Engine>(store: EmbeddedStore<E>) -> Fixture {
        let store = Arc::new(store);
        let looked_through = Arc::clone(&store);
        let find = move |text: &'static str| {
            let has = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
            let mut found = Vec::new();
            let visit: &mut Visit<'_> = &mut |key, value| {
                found.extend((has(key) || has(value)).then(|| hex::encode(key)));
                Ok(true)
            };
            looked_through.engine().scan(&[], &[0xff; 64], Direction::Forward, visit).expect("rows");
            std::future::ready(found).boxed_local()
        };
        Fixture::shared(store).finding(find)
    }

    #[test]
    fn every_function_of_the_suite_is_listed() {
        let list = include_str!("mod.rs");
        let files = [
            include_str!("append.rs"),
            include_str!("clocks.rs"),
            include_str!("cursors.rs"),
            include_str!("erased.rs"),
            include_str!("fencing.rs"),
            include_str!("hostile.rs"),
            include_str!("journal.rs"),
            include_str!("lookups.rs"),
            include_str!("members.rs"),
            include_str!("ordinals.rs"),
            include_str!("paging.rs"),
            include_str!("positions.rs"),
            include_str!("projection.rs"),
            include_str!("rooms.rs"),
            include_str!("users.rs"),
        ];
        for file in files {
            for function in file.split("\npub async fn ").skip(1) {
                let name = function.split('(').next().expect("split gives one part at least");
                assert!(list.contains(&format!("{name},")) || list.contains(&format!("{name}]")), "{name} is not run");
            }
        }
    }

    store_conformance!(memory, embedded(EmbeddedStore::in_memory()));
    store_conformance!(disk, on_disk(SyncPolicy::Always));
    store_conformance!(disk_synced_by_timer, on_disk(SyncPolicy::Interval(std::time::Duration::from_millis(5))));
}
