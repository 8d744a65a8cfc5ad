//! What the API calls: one method of [`Node`] for each thing a client can do, in terms of the domain.
//!
//! An operation finds the room, asks it or reads it, and puts together what the caller wants to know. It decides
//! nothing: rules are the domain's.

mod access;
mod acquaintance;
mod admin;
mod ask;
mod hidden;
mod history;
mod join_all;
mod list;
mod making;
mod members;
mod participants;
mod parts;
mod people;
mod profiles;
mod recover;
mod rooms;
mod search;
mod send;
mod status;
mod turns;
mod unread;
mod walk;

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};

pub use access::Access;
pub use admin::{NodeStatus, StoredRoom};
pub use history::{Page, PageAt, PinPage, Receipt, Receipts};
pub use join_all::JoinProgress;
pub use list::RoomPage;
pub use making::{AddPlan, MadeRoom, RoomPlan};
pub use participants::People;
pub use parts::Parts;
pub use people::{Device, SyncState};
pub use profiles::UserProfile;
pub use rooms::{Person, RoomSummary, UnreadExplained};
pub use search::Found;
pub use status::Statuses;
pub use turns::{Turn, Turns};

use super::{
    Context, Options, TAILS_AT_ONCE,
    directory::Rooms,
    error::Call,
    fair_share::{Bounds, FairShare, Purse, Share},
    hub::Hubs,
    presence::Presence,
    user::Users,
    warmth::Warmth,
};
pub use crate::domain::room::NewRoom;
use crate::{domain::ids::UserId, ephemera::Ephemera};

/// Locks for what belongs to users; a user always has the same one.
const USER_LOCKS: usize = 64;

/// A running node.
#[derive(Clone, Debug)]
pub struct Node {
    context: Arc<Context>,
    rooms: Rooms,
    users: Users,
    user_locks: Arc<[tokio::sync::Mutex<()>]>,
    profiles: Arc<profiles::ProfileCache>,
    totals: Arc<history::TotalsCache>,
    acquaintances: Arc<acquaintance::Acquaintances>,
}

impl Node {
    /// Starts a node.
    ///
    /// # Errors
    /// When its actors cannot be spawned.
    pub async fn start(parts: Parts) -> Result<Self, ractor::SpawnErr> {
        let options = parts.options;
        let context = Arc::new(Context {
            store: parts.store,
            bus: parts.bus,
            ephemera: parts.ephemera,
            clock: parts.clock,
            keys: parts.keys,
            observer: parts.observer,
            hubs: Hubs::default(),
            presence: Presence::default(),
            ids: Mutex::new(parts.ids),
            client_ids: Arc::default(),
            permits: Arc::new(Semaphore::new(options.in_flight_max)),
            shares: Arc::new(FairShare::new(Bounds {
                per_user: options.scans_per_user,
                at_once: options.scans_at_once,
            })),
            warmth: Arc::new(Warmth::new(options.warm_node_bytes)),
            started: Instant::now(),
            tails: Semaphore::new(TAILS_AT_ONCE),
            options,
        });
        let users = Users::start(Arc::clone(&context)).await?;
        let rooms = Rooms::start(Arc::clone(&context), users.clone()).await?;
        let user_locks = std::iter::repeat_with(Default::default).take(USER_LOCKS).collect();
        Ok(Self {
            context,
            rooms,
            users,
            user_locks,
            profiles: Arc::default(),
            totals: Arc::default(),
            acquaintances: Arc::default(),
        })
    }

    /// The rooms.
    #[must_use]
    pub const fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// The users.
    #[must_use]
    pub const fn users(&self) -> &Users {
        &self.users
    }

    /// Settings of the actors.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.context.options
    }

    /// What this node tells others.
    #[must_use]
    pub fn ephemera(&self) -> Arc<dyn Ephemera> {
        Arc::clone(&self.context.ephemera)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.context.clock.now_ms()
    }

    /// The millisecond that no message id made so far is behind, since the Unix epoch.
    #[must_use]
    pub fn newest_id_ms(&self) -> i64 {
        self.context.ids.lock().newest_ms()
    }

    /// Says where the price of calls that walk many rows is taken from.
    pub fn charge_to(&self, purse: Arc<dyn Purse>) {
        self.context.shares.charge_to(purse);
    }

    /// A share of the node for a call of `user` that walks many rows.
    pub(super) async fn share(&self, user: UserId) -> Call<Share> {
        self.context.shares.enter(user).await
    }

    /// Goes down in order: streams end, rooms finish what is under way and sleep. Returns whether all was done within
    /// `limit`. The store is left open.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.users.close_streams();
        self.rooms.drain(limit).await
    }

    /// Ends all actors where they stand, as the death of the process would. What was handed to the store goes on.
    #[cfg(any(test, feature = "testkit"))]
    pub fn kill(&self) {
        self.rooms.kill_all();
        self.users.kill_all();
    }

    /// The lock for what belongs to `user`.
    fn user_lock(&self, user: UserId) -> &tokio::sync::Mutex<()> {
        let index = usize::try_from(user.0.unsigned_abs()).unwrap_or(0) % USER_LOCKS;
        &self.user_locks[index]
    }
}
