//! One room: made, then message by message with those who came and went between, then how far everybody has read.

use std::{collections::HashMap, sync::Arc};

use super::{
    Result, Work,
    member::{Membership, Memberships},
    row::SourceRoom,
    source::RoomReader,
    writer::{Writer, one},
};
use crate::{
    domain::{
        event::EventBody,
        ids::{MessageId, Seq, UserId},
        limits,
        position::Position,
        room::{Role, RoomInfo, RoomType},
    },
    storage::{RoomListEntry, RoomPrefs, codec, consumers},
};

/// What became of a room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brought {
    pub(super) unchanged: bool,
    pub(super) messages: u64,
    pub(super) messages_before: u64,
    pub(super) reactions: u64,
}

/// A room under way.
pub(super) struct Bring<'a> {
    pub(super) work: &'a Work,
    pub(super) room: SourceRoom,
    pub(super) members: Memberships,
    pub(super) writer: Writer<'a>,
    /// Whether something may have been brought before.
    pub(super) looks: bool,
    /// Where the messages of this run are.
    pub(super) ids: HashMap<String, MessageId>,
    pub(super) done: Brought,
}

/// Brings one room, from wherever an earlier import left it.
pub(super) async fn bring(work: &Work, mut room: SourceRoom) -> Result<Brought> {
    let mut client = work.source.connect().await?;
    let mut reader = RoomReader::begin(&work.source, &mut client, room.id).await?;
    let count = reader.count().await?;
    let store = &*work.to;
    if store.head(room.id).await?.is_some() && store.cursor(consumers::RELATIONAL, room.id).await? == Seq(count + 1) {
        return Ok(Brought { unchanged: true, ..Brought::default() });
    }
    let rows = reader.members(&work.odd).await?;
    let times = reader.times().await?;
    work.rows(rows.len()).await;
    let members = Memberships::of(&room, rows, &times, work.now_ms, &work.odd);
    settle_type(work, &mut room, &members).await?;
    let writer = Writer::open(store, room.id).await?;
    let looks = !writer.is_fresh();
    let (ids, done) = (HashMap::new(), Brought::default());
    let mut this = Bring { work, room, members, writer, looks, ids, done };
    if !looks {
        this.create();
    }
    if this.writer.state.live_info().is_some() {
        this.log(&mut reader).await?;
        this.end().await?;
    }
    let (room, done) = (this.room.id, this.done);
    this.writer.close().await?;
    // One more than the rows: a room without any is done as well.
    store.put_cursor(consumers::RELATIONAL, room, Seq(count + 1)).await?;
    Ok(done)
}

/// A room of two has two, and the pair for itself.
async fn settle_type(work: &Work, room: &mut SourceRoom, members: &Memberships) -> Result<()> {
    if room.room_type == RoomType::P2p {
        let mut users = members.all.keys().copied();
        match (users.next(), users.next(), users.next()) {
            (Some(a), Some(b), None) => {
                if work.to.p2p_room(a, b, room.id).await? != room.id {
                    work.odd
                        .add("room: the pair has an older p2p room; both are brought, the older one is found", room.id);
                }
            }
            _ => {
                work.odd.add("room: p2p without exactly two members; brought as a group", room.id);
                room.room_type = RoomType::Group;
            }
        }
    }
    if room.room_type != RoomType::P2p && room.name.trim().is_empty() {
        work.odd.add("room: without a name; named after its id", room.id);
        room.name = format!("room {}", room.id.to_string().get(..8).unwrap_or_default());
    }
    for (what, text, max) in [
        ("name", &mut room.name, limits::NAME_BYTES_MAX),
        ("description", &mut room.description, limits::DESCRIPTION_BYTES_MAX),
        ("picture", &mut room.picture, limits::URL_BYTES_MAX),
    ] {
        if text.len() > max {
            work.odd.add(format!("room.{what}: longer than {max} bytes; cut"), room.id);
            let end = (0..=max).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
        }
    }
    Ok(())
}

impl Bring<'_> {
    fn create(&mut self) {
        let (room, work) = (&self.room, self.work);
        let encryption_data = match &room.encryption_data {
            Some(data) => {
                if !work.keys.opens(data) {
                    let rule = "room.encryption_data: no configured key opens it; kept, its content stays as it is";
                    work.odd.add(rule, room.id);
                }
                data.clone()
            }
            None => work.keys.fresh(room.id),
        };
        let founders = self.members.founders(room.room_type);
        if founders.is_empty() {
            work.odd.add("room: nobody was ever in it; brought without members", room.id);
        }
        let owner = founders.iter().find(|(_, role)| *role == Role::Owner).or_else(|| founders.first());
        let creator = room.creator.or_else(|| owner.map(|(user, _)| *user)).unwrap_or(UserId::SERVER);
        let info = RoomInfo {
            id: room.id,
            room_type: room.room_type,
            name: room.name.clone(),
            description: room.description.clone(),
            picture: room.picture.clone(),
            created_at_ms: room.created_ms.unwrap_or(self.members.began_ms),
            creator,
            members_can_send: room.members_can_send,
            join_all_users: room.join_all,
            // There, whoever was in a room saw all of it.
            history_visible: true,
            encryption_data,
            deleted: false,
            denied: Vec::new(),
            creation: Default::default(),
        };
        let body = EventBody::Created { info: Arc::new(info), members: founders };
        self.writer.create(creator, self.members.began_ms, body);
    }

    async fn log(&mut self, reader: &mut RoomReader<'_>) -> Result<()> {
        loop {
            let page = reader.messages().await?;
            if page.is_empty() {
                return self.writer.flush().await;
            }
            self.work.rows(page.len()).await;
            let mut reactions = reader.reactions(&page).await?;
            for message in page {
                let reacted = reactions.remove(&message.id).unwrap_or_default();
                self.message(message, reacted).await?;
                self.writer.flush_if_full().await?;
            }
        }
    }

    /// Lets those join and leave who did before `at_ms`, and `sender` join at the latest now.
    pub(super) async fn come_and_go(&mut self, at_ms: i64, sender: UserId) -> Result<()> {
        let coming = |(user, member): (&UserId, &Membership)| {
            let comes = member.from_ms <= at_ms && !self.writer.joined.contains(user);
            comes.then_some((*user, member.role))
        };
        let mut joining: Vec<_> = self.members.all.iter().filter_map(coming).collect();
        let is_there =
            self.writer.state.members.contains_key(&sender) || joining.iter().any(|(user, _)| *user == sender);
        if sender != UserId::SERVER && !is_there {
            let role = self.members.all.get(&sender).map_or(Role::Member, |member| member.role);
            joining.push((sender, role));
        }
        if !joining.is_empty() {
            self.writer.join(joining, at_ms).await?;
        }
        self.let_go(|until| until < at_ms, at_ms, sender).await
    }

    async fn let_go(&mut self, is_over: impl Fn(i64) -> bool, at_ms: i64, staying: UserId) -> Result<()> {
        if self.room.room_type == RoomType::P2p {
            return Ok(());
        }
        let gone = |(user, member): (&UserId, &Membership)| {
            let until = member.until_ms.filter(|until| is_over(*until))?;
            (*user != staying && self.writer.state.members.contains_key(user)).then_some((until.min(at_ms), *user))
        };
        let mut leaving: Vec<_> = self.members.all.iter().filter_map(gone).collect();
        leaving.sort_unstable();
        for (until, user) in leaving {
            self.writer.leave(user, until).await?;
        }
        Ok(())
    }

    /// What comes after the last message.
    async fn end(&mut self) -> Result<()> {
        let now_ms = self.work.now_ms;
        self.come_and_go(now_ms, UserId::SERVER).await?;
        self.let_go(|_| true, now_ms, UserId::SERVER).await?;
        self.positions().await?;
        for (user, member) in &self.members.all {
            self.beside(*user, member).await?;
        }
        if self.room.deleted {
            let at_ms = self.room.deleted_ms.unwrap_or(now_ms).min(now_ms);
            let event = self.writer.event(UserId::SERVER, at_ms, EventBody::Closed);
            self.writer.write(one(event));
            self.writer.flush().await?;
        }
        Ok(())
    }

    /// Reading; and for who left a room of two, a floor under what they left behind.
    async fn positions(&mut self) -> Result<()> {
        let is_p2p = self.room.room_type == RoomType::P2p;
        let moved = |member: &Membership| member.read_ms.is_some() || (is_p2p && member.until_ms.is_some());
        if !self.members.all.values().any(moved) {
            return Ok(());
        }
        let places = self.writer.places().await?;
        let newest = |at_ms: i64| places.iter().rev().find(|(at, ..)| *at <= at_ms).map(|(_, seq, n)| (*seq, *n));
        let mut positions = Vec::new();
        for (user, member) in self.members.all.iter().filter(|(_, member)| moved(member)) {
            let mut position = Position::default();
            if let Some((seq, n)) = member.read_ms.and_then(newest) {
                (position.read_seq, position.read_n, position.delivered_seq) = (seq, n, seq);
            }
            if let Some((seq, n)) = member.until_ms.filter(|_| is_p2p).and_then(newest) {
                (position.floor_seq, position.floor_n) = (seq, n);
            }
            positions.push((*user, position));
        }
        self.writer.positions(positions).await
    }

    /// What belongs to the member and not to the room.
    async fn beside(&self, user: UserId, member: &Membership) -> Result<()> {
        let store = &*self.work.to;
        if store.profiles(&[user]).await?.first().is_none_or(Option::is_none) {
            // Known from now on; the name comes with the user's first call.
            store.put_profile(user, codec::encode_profile("", "")).await?;
        }
        let Some(row) = member.row.as_ref().filter(|_| self.writer.state.members.contains_key(&user)) else {
            return Ok(());
        };
        let is_p2p = self.room.room_type == RoomType::P2p;
        let hidden_at = member.until_ms.filter(|_| is_p2p).map(|_| self.writer.state.head.n);
        let prefs =
            RoomPrefs { pinned: row.pinned, muted_until_ms: row.muted_until_ms, hidden_at, ..RoomPrefs::default() };
        // What the user has set here since stays.
        let untouched = |entry: RoomListEntry| entry.prefs == RoomPrefs::default();
        let is_untouched = store.room_of(user, self.room.id).await?.is_some_and(untouched);
        if prefs != RoomPrefs::default() && is_untouched {
            store.put_prefs(user, self.room.id, prefs).await?;
        }
        let partner = self.members.all.keys().find(|other| **other != user);
        if let Some(partner) = partner.filter(|_| is_p2p && row.blocks_partner) {
            store.put_block(user, *partner, true).await?;
        }
        Ok(())
    }
}
