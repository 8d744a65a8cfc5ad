//! A user's warm room list: which rooms, with which settings, in which order, and how much is unread in each.
//!
//! Nothing tells the list of every message: it holds each room's hub, where the newest numbers are, and asks when it is
//! asked. A send costs a member's list nothing.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    actors::{Context, hub::RoomHub},
    domain::{
        ids::{Ordinal, RoomId, Seq, UserId},
        position::{Position, RoomHead},
        room::RoomType,
        room_list::ListKey,
    },
    storage::{Listing, Result, RoomPrefs},
};

/// Rows read at a time.
const PAGE: usize = 1_000;

/// One room of a list.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) listing: Listing,
    pub(crate) prefs: RoomPrefs,
    /// The event by which the user joined, if that was since the list was read; else 0.
    pub(crate) joined: Seq,
    pub(crate) hub: Arc<RoomHub>,
    /// The user's position, and the hub's version at which it was read.
    pub(crate) position: Position,
    pub(crate) version: u64,
    /// Ordinals of what the user has hidden after some position of theirs, once somebody has read them.
    pub(super) hidden: Option<Arc<[Ordinal]>>,
}

impl Listed {
    /// A room with the user's position as it was at `version` of the hub.
    pub(crate) fn new(listing: Listing, prefs: RoomPrefs, hub: Arc<RoomHub>, position: Position, version: u64) -> Self {
        Self { listing, prefs, joined: Seq(0), hub, position, version, hidden: None }
    }

    /// What the user has hidden, if it is known.
    pub(crate) fn hidden(&self) -> Option<Arc<[Ordinal]>> {
        if self.prefs.hidden_messages == 0 { Some(Arc::default()) } else { self.hidden.clone() }
    }

    /// Notes what the user has hidden. A later position makes it more than matters, not wrong.
    pub(crate) fn set_hidden(&mut self, hidden: Arc<[Ordinal]>) {
        self.hidden = Some(hidden);
    }

    /// Takes the user's settings; they are also told when a message was hidden.
    pub(crate) fn set_prefs(&mut self, prefs: RoomPrefs) {
        self.hidden = None;
        self.prefs = prefs;
    }

    pub(crate) fn head(&self) -> RoomHead {
        self.hub.head().unwrap_or_default()
    }

    /// A room without members is one that was deleted, or is about to leave the list.
    pub(crate) fn is_gone(&self) -> bool {
        self.hub.head().is_some_and(|head| head.members == 0)
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.prefs.hidden_at.is_some_and(|n| self.head().n <= n)
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.version != self.hub.positions_version()
    }

    /// Where the room stands in the list: smaller comes first.
    pub(crate) fn key(&self) -> ListKey {
        ListKey::new(self.hub.id(), &self.head(), self.prefs.pinned)
    }
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct RoomList {
    pub(crate) rooms: BTreeMap<RoomId, Listed>,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Only this type.
    pub room_type: Option<RoomType>,
    /// Hidden ones too.
    pub include_hidden: bool,
}

impl RoomList {
    /// Reads the list from the store.
    pub(crate) async fn load(context: &Context, user: UserId) -> Result<Self> {
        let mut list = Self::default();
        let mut after = None;
        loop {
            let page = context.store.rooms_of(user, after, PAGE).await?;
            let rooms: Vec<RoomId> = page.iter().map(|entry| entry.room).collect();
            let heads = context.store.heads(&rooms).await?;
            for (entry, head) in page.iter().zip(heads) {
                let hub = context.hubs.get(entry.room);
                if let Some(head) = head {
                    hub.set_head(head);
                }
                // Read after the version: a move in between makes the position stale, not wrong.
                let version = hub.positions_version();
                let position = context.store.position(entry.room, user).await?;
                let listed = Listed::new(entry.listing, entry.prefs, hub, position, version);
                list.rooms.insert(entry.room, listed);
            }
            after = rooms.last().copied();
            if page.len() < PAGE {
                return Ok(list);
            }
            // A long list is read at one go: let others have their turn.
            tokio::task::yield_now().await;
        }
    }

    /// The rooms that pass, in no order.
    pub(crate) fn filtered<'a>(&'a self, filter: &'a ListFilter) -> impl Iterator<Item = &'a Listed> {
        self.rooms.values().filter(|listed| {
            filter.room_type.is_none_or(|t| t as u8 == listed.listing.room_type)
                && (filter.include_hidden || !listed.is_hidden())
                && !listed.is_gone()
        })
    }
}
