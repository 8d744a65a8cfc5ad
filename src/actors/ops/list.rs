//! The list of a user's rooms: which ones, in which order, with how much unread.

use super::{Node, Person, RoomSummary, status::LOOKS_PER_ANSWER};
use crate::{
    actors::{
        error::{Call, CallError},
        fair_share::Spent,
        user::{ListFilter, UserShared},
    },
    domain::{
        fold,
        ids::{RoomId, UserId},
        limits,
        page::{self, Filling},
        reject::text,
        room::Author,
        room_list::{ListKey, ListPlace, Paging},
    },
    storage::{Listing, codec},
};

/// Rooms of a list that are looked at for as much as one row costs.
const ROOMS_PER_ROW: usize = 32;
/// Putting together what is shown of a room costs as much as so many rows.
const ROWS_PER_ROOM: usize = 8;
/// Bytes of an encoded participant beside their texts, at most.
const PERSON_BYTES: usize = 128;

/// A page of a user's rooms.
#[derive(Clone, Debug, Default)]
pub struct RoomPage {
    /// The rooms.
    pub rooms: Vec<RoomSummary>,
    /// Place of the last one, if there are more.
    pub next: Option<ListPlace>,
    /// How many match in all.
    pub total: usize,
    /// Unread messages in all that match.
    pub unread_total: u64,
    /// Of these, in rooms that are not muted.
    pub unread_unmuted: u64,
}

/// A page before its rooms are read.
struct Sorted {
    page: RoomPage,
    /// In order, each with its place.
    rooms: Vec<(ListPlace, RoomId)>,
}

impl Node {
    /// A page of the author's rooms: pinned first, then by newest message; rooms that get one between the pages come
    /// last ([`crate::domain::room_list`]). All rooms are looked at for it, in the author's share of the node.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn list(
        &self,
        author: Author,
        filter: &ListFilter,
        query: &str,
        after: Option<ListPlace>,
        limit: usize,
    ) -> Call<RoomPage> {
        text("query", query, 0, limits::NAME_BYTES_MAX)?;
        let mut share = self.share(author.user).await?;
        // Read beside the share: a turn is not for waiting.
        let all = self.users.warm(author.user).await?.list.lock().rooms.len();
        let (node, filter, query) = (self.clone(), filter.clone(), query.to_owned());
        let sorted = async move {
            let sorted = node.sorted(author, &filter, &query, after, limit).await?;
            Ok((sorted, Spent::rows(all / ROOMS_PER_ROW)))
        };
        let sorted = share.run(sorted).await?;
        // Rooms are read beside the turns too: they wait for the store, and there are few of them.
        let page = self.filled(author, sorted, limit).await?;
        share.spend(Spent::rows(page.rooms.len() * ROWS_PER_ROOM));
        Ok(page)
    }

    /// Which rooms are on a page, without what is shown of them.
    async fn sorted(
        &self,
        author: Author,
        filter: &ListFilter,
        query: &str,
        after: Option<ListPlace>,
        limit: usize,
    ) -> Call<Sorted> {
        let shared = self.users.warm(author.user).await?;
        let mut rooms: Vec<(ListKey, Listing)> =
            shared.list.lock().filtered(filter).map(|listed| (listed.key(), listed.listing)).collect();
        if !query.is_empty() {
            rooms = self.matching(rooms, &fold::needle("query", query)?).await?;
        }
        self.refresh_positions(author.user, &rooms).await?;
        let unread = self.unread_in_list(author.user, &shared, rooms.iter().map(|(key, _)| key.room)).await?;
        let unread_total = unread.iter().map(|(_, unread)| unread).sum();
        let unread_unmuted = self.in_unmuted(&shared, &unread);
        let total = rooms.len();
        let paging = Paging::new(after, rooms.iter().map(|(key, _)| *key));
        let mut spots: Vec<_> = rooms.iter().filter_map(|(key, _)| Some((paging.spot(*key)?, *key))).collect();
        let more = spots.len() > limit;
        if more {
            spots.select_nth_unstable_by_key(limit, |(spot, _)| *spot);
            spots.truncate(limit);
        }
        spots.sort_unstable_by_key(|(spot, _)| *spot);
        let next = spots.last().filter(|_| more).map(|(spot, _)| paging.place(*spot));
        let page = RoomPage { rooms: Vec::with_capacity(spots.len()), next, total, unread_total, unread_unmuted };
        let rooms = spots.into_iter().map(|(spot, key)| (paging.place(spot), key.room)).collect();
        Ok(Sorted { page, rooms })
    }

    /// The page with its rooms, as far as they fit.
    async fn filled(&self, author: Author, sorted: Sorted, limit: usize) -> Call<RoomPage> {
        let Sorted { mut page, rooms } = sorted;
        let shared = self.users.warm(author.user).await?;
        let mut filling = Filling::new(limit.into());
        let (mut last, mut looks) = (None, LOOKS_PER_ANSWER);
        for (place, room) in rooms {
            let prefs = shared.list.lock().rooms.get(&room).map(|listed| listed.prefs).unwrap_or_default();
            match self.access(author, room).await {
                Ok(access) => {
                    let summary = self.summary(author, access, prefs, &mut looks).await?;
                    if !filling.takes(bytes_of_room(&summary)) {
                        page.next = last;
                        break;
                    }
                    page.rooms.push(summary);
                }
                // Deleted, or left, since the list was read.
                Err(CallError::Rejected(_)) => {}
                Err(error) => return Err(error),
            }
            last = Some(place);
        }
        Ok(page)
    }

    /// How much of `unread` is in rooms that are not muted now.
    fn in_unmuted(&self, shared: &UserShared, unread: &[(RoomId, u64)]) -> u64 {
        let (now_ms, list) = (self.now_ms(), shared.list.lock());
        let is_muted = |room: &RoomId| list.rooms.get(room).is_some_and(|l| l.prefs.muted_until_ms > now_ms);
        unread.iter().filter(|(room, _)| !is_muted(room)).map(|(_, unread)| unread).sum()
    }

    /// The rooms whose name (p2p: the partner's) contains the folded needle.
    async fn matching(&self, rooms: Vec<(ListKey, Listing)>, needle: &str) -> Call<Vec<(ListKey, Listing)>> {
        let mut found = Vec::new();
        for (key, listing) in rooms {
            let name = if listing.partner == UserId(0) {
                let hub = self.context.hubs.get(key.room);
                if hub.folded_name().is_none() {
                    let body = self.context.store.room(key.room).await?;
                    let info = body.map(|body| codec::decode_info(key.room, &body)).transpose()?;
                    hub.set_name(info.as_ref().map_or("", |info| &info.name));
                }
                hub.folded_name().unwrap_or_default()
            } else {
                let profile = self.profiles(&[listing.partner]).await?.pop().unwrap_or_default();
                fold::fold(&profile.name).into()
            };
            if name.contains(needle) {
                found.push((key, listing));
            }
        }
        Ok(found)
    }

    /// Reads the positions again of rooms in which positions have moved since they were read.
    async fn refresh_positions(&self, user: UserId, rooms: &[(ListKey, Listing)]) -> Call<()> {
        let shared = self.users.warm(user).await?;
        let stale: Vec<RoomId> = {
            let list = shared.list.lock();
            let stale = |key: &ListKey| list.rooms.get(&key.room).is_some_and(|listed| listed.is_stale());
            rooms.iter().map(|(key, _)| key).filter(|key| stale(key)).map(|key| key.room).collect()
        };
        for room in stale {
            let version = self.context.hubs.get(room).positions_version();
            let position = match self.rooms.awake(room) {
                Some(handle) => handle.read(|s| s.position(user)),
                None => self.context.store.position(room, user).await?,
            };
            if let Some(listed) = shared.list.lock().rooms.get_mut(&room) {
                (listed.position, listed.version) = (position, version);
            }
        }
        Ok(())
    }
}

/// How many bytes a room has in a list, at most.
fn bytes_of_room(room: &RoomSummary) -> usize {
    let person = |person: &Person| {
        let nickname = person.member.as_ref().map_or(0, |member| member.nickname.len());
        PERSON_BYTES + nickname + person.profile.name.len() + person.profile.picture.len()
    };
    page::bytes_of_info(&room.info)
        + room.last_message.as_deref().map_or(0, page::bytes_of)
        + room.people.iter().chain(&room.partner).map(person).sum::<usize>()
}
