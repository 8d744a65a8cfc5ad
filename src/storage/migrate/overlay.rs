//! What stands beside a room's log: settings, members, positions, states, reactions, pins; pair, synchronisation and
//! cursors. Rows of both stores are paired and the differences written.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{
    MigrateError, Result, Work,
    end::End,
    pages::{Join, Pair, Rows, at_hand, pages},
    room::{APPEND_BYTES, Bring},
};
use crate::{
    domain::ids::{RoomId, Seq, UserId},
    storage::{Direction, Listing, MemberRow, Position, Projection, ReactionRow, Record, codec::kind, consumers},
};

/// Rows of one append without events.
const APPEND_ROWS: usize = 500;
/// Events whose states are read at once.
const STATES: u64 = 1_000;
/// Before every user id there is.
pub(super) const NOBODY: UserId = UserId(i64::MIN);

/// Which kinds of events are new in the destination: they tell which rows may have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Kinds(u64);

impl Kinds {
    /// Nobody knows.
    pub(super) const fn all() -> Self {
        Self(u64::MAX)
    }

    /// Notes the kinds of `records`; an unknown one may have changed anything.
    pub(super) fn note(&mut self, records: &[Record]) {
        for record in records {
            self.0 |= if record.kind <= kind::CLOSED { 1 << record.kind } else { u64::MAX };
        }
    }

    fn any(self, kinds: &[u8]) -> bool {
        kinds.iter().any(|kind| self.0 & (1 << kind) != 0)
    }
}

/// Rows on their way into appends without events, of a bounded size each.
struct Parcel<'b, 'a> {
    bring: &'b mut Bring<'a>,
    projection: Projection,
    rows: usize,
    bytes: usize,
}

impl<'b, 'a> Parcel<'b, 'a> {
    fn new(bring: &'b mut Bring<'a>) -> Self {
        let projection = Projection { head: bring.head, ..Projection::default() };
        Self { bring, projection, rows: 0, bytes: 0 }
    }

    /// Adds a row with `bytes` of body.
    async fn add(&mut self, bytes: usize, row: impl FnOnce(&mut Projection)) -> Result<()> {
        if self.rows >= APPEND_ROWS || (self.rows > 0 && self.bytes + bytes > APPEND_BYTES) {
            self.send().await?;
        }
        row(&mut self.projection);
        self.rows += 1;
        self.bytes += bytes;
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        if self.rows > 0 {
            let fresh = Projection { head: self.bring.head, ..Projection::default() };
            let full = std::mem::replace(&mut self.projection, fresh);
            (self.rows, self.bytes) = (0, 0);
            self.bring.append(&[], &full).await?;
        }
        Ok(())
    }
}

/// Brings the rows that an append writes. The settings come last: a room with settings is complete but for what changed
/// meanwhile.
pub(super) async fn bring(this: &mut Bring<'_>, kinds: &Kinds, head_differs: bool) -> Result<()> {
    let had = this.had;
    let mut parcel = Parcel::new(this);
    if had > Seq(0) && kinds.any(&[kind::DELETED]) {
        redactions(&mut parcel, had).await?;
    }
    if kinds.any(&[kind::EDITED, kind::DELETED, kind::REACTED, kind::PINNED]) {
        states(&mut parcel).await?;
        pins(&mut parcel).await?;
    }
    if kinds.any(&[kind::CREATED, kind::JOINED, kind::LEFT, kind::MEMBER_CHANGED]) {
        members(&mut parcel).await?;
    }
    positions(&mut parcel).await?;
    let (work, room) = (parcel.bring.work, parcel.bring.room);
    let settings = work.from.ask(|s| s.room(room)).await?;
    if let Some(settings) = settings
        && work.to.ask(|s| s.room(room)).await?.as_ref() != Some(&settings)
    {
        parcel.send().await?;
        parcel.add(settings.len(), |rows| rows.room = Some(settings)).await?;
    } else if head_differs && parcel.rows == 0 {
        parcel.add(0, |_| {}).await?;
    }
    parcel.send().await
}

/// Bodies of events that the destination has in an older form.
async fn redactions(parcel: &mut Parcel<'_, '_>, had: Seq) -> Result<()> {
    let (work, room) = (parcel.bring.work, parcel.bring.room);
    let mut join = Join::new(log(work, &work.from, room), log(work, &work.to, room), |record| record.seq);
    while let Some(pair) = join.next().await? {
        match pair {
            Pair::Both(from, to) if from.seq <= had => {
                if from.body != to.body {
                    parcel.add(from.body.len(), |rows| rows.redacted.push((from.seq, from.body))).await?;
                }
            }
            Pair::Both(..) | Pair::From(_) | Pair::To(_) => break,
        }
    }
    Ok(())
}

async fn states(parcel: &mut Parcel<'_, '_>) -> Result<()> {
    let (work, room, last) = (parcel.bring.work, parcel.bring.room, parcel.bring.head.seq);
    let mut join = Join::new(all_states(&work.from, room, last), all_states(&work.to, room, last), |(seq, _)| *seq);
    while let Some(pair) = join.next().await? {
        work.rows(1).await;
        let (seq, changed) = match pair {
            Pair::From((seq, state)) => (seq, Some(state)),
            Pair::Both((seq, from), (_, to)) => (seq, (from != to).then_some(from)),
            Pair::To((seq, _)) => (seq, None),
        };
        if let Some(state) = changed {
            parcel.add(state.len(), |rows| rows.states.push((seq, state))).await?;
        }
        // Who reacts to a message changes its state: only those with a state have reactions.
        reactions(parcel, seq).await?;
    }
    Ok(())
}

async fn reactions(parcel: &mut Parcel<'_, '_>, seq: Seq) -> Result<()> {
    let (work, room) = (parcel.bring.work, parcel.bring.room);
    let key = |row: &ReactionRow| (row.user, row.reaction.clone());
    let mut join = Join::new(all_reactions(work, &work.from, room, seq), all_reactions(work, &work.to, room, seq), key);
    while let Some(pair) = join.next().await? {
        match pair {
            Pair::From(row) => parcel.add(0, |rows| rows.reacted.push(row)).await?,
            Pair::To(row) => parcel.add(0, |rows| rows.unreacted.push(row)).await?,
            Pair::Both(..) => {}
        }
    }
    Ok(())
}

async fn pins(parcel: &mut Parcel<'_, '_>) -> Result<()> {
    let (work, room) = (parcel.bring.work, parcel.bring.room);
    let from = work.from.ask(|s| s.pins(room, usize::MAX)).await?;
    let to = work.to.ask(|s| s.pins(room, usize::MAX)).await?;
    let mut join = Join::new(at_hand(from), at_hand(to), |(seq, _)| *seq);
    while let Some(pair) = join.next().await? {
        match pair {
            Pair::From(pin) => parcel.add(0, |rows| rows.pinned.push(pin)).await?,
            Pair::Both(pin, other) if pin != other => parcel.add(0, |rows| rows.pinned.push(pin)).await?,
            Pair::Both(..) => {}
            Pair::To((seq, _)) => parcel.add(0, |rows| rows.unpinned.push(seq)).await?,
        }
    }
    Ok(())
}

async fn members(parcel: &mut Parcel<'_, '_>) -> Result<()> {
    let (work, room) = (parcel.bring.work, parcel.bring.room);
    let mut join = Join::new(all_members(work, &work.from, room), all_members(work, &work.to, room), |(user, _)| *user);
    while let Some(pair) = join.next().await? {
        work.rows(1).await;
        let (user, body) = match pair {
            Pair::Both((_, from), (_, to)) if from == to => continue,
            Pair::From(member) | Pair::Both(member, _) => member,
            Pair::To((user, _)) => {
                parcel.add(0, |rows| rows.removed.push(user)).await?;
                continue;
            }
        };
        // Gone meanwhile: an event says so, which comes the next time.
        let Some(entry) = work.from.ask(|s| s.room_of(user, room)).await? else {
            continue;
        };
        let row = MemberRow { user, body, listing: entry.listing };
        parcel.add(row.body.len(), |rows| rows.members.push(row)).await?;
        pair_of(work, room, user, entry.listing).await?;
    }
    Ok(())
}

/// The reservation of a p2p room.
async fn pair_of(work: &Work, room: RoomId, user: UserId, listing: Listing) -> Result<()> {
    let partner = listing.partner;
    if partner == UserId::default() || work.from.ask(|s| s.find_p2p_room(user, partner)).await? != Some(room) {
        return Ok(());
    }
    let reserved = work.to.ask(|s| s.p2p_room(user, partner, room)).await?;
    if reserved == room {
        return Ok(());
    }
    Err(MigrateError::Diverged { what: format!("users {user} and {partner} have room {reserved}") })
}

async fn positions(parcel: &mut Parcel<'_, '_>) -> Result<()> {
    let (work, room) = (parcel.bring.work, parcel.bring.room);
    let mut join =
        Join::new(all_positions(work, &work.from, room), all_positions(work, &work.to, room), |(user, _)| *user);
    while let Some(pair) = join.next().await? {
        work.rows(1).await;
        match pair {
            Pair::From(moved) => parcel.add(0, |rows| rows.positions.push(moved)).await?,
            Pair::Both(moved, old) if moved != old => parcel.add(0, |rows| rows.positions.push(moved)).await?,
            Pair::Both(..) | Pair::To(_) => {}
        }
    }
    Ok(())
}

/// Brings what is written by itself: synchronisation states, cursors, and what people hid who have left since.
pub(super) async fn beside(this: &Bring<'_>, thorough: bool) -> Result<()> {
    let (work, room) = (this.work, this.room);
    let from = work.from.ask(|s| s.sync_states(room)).await?;
    let to = work.to.ask(|s| s.sync_states(room)).await?;
    for (source, state) in from.iter().filter(|row| !to.contains(row)) {
        work.to.ask(|s| s.put_sync_state(room, source, state.clone())).await?;
    }
    for consumer in consumers::MOVED {
        let seq = work.from.ask(|s| s.cursor(consumer, room)).await?;
        if seq > Seq(0) {
            work.to.ask(|s| s.put_cursor(consumer, room, seq)).await?;
        }
    }
    if thorough {
        for user in former_members(work, &work.from, room).await? {
            super::users::hidden(work, user, room).await?;
        }
    }
    Ok(())
}

/// Users with a position in a room that they are no member of.
pub(super) async fn former_members(work: &Work, end: &End, room: RoomId) -> Result<Vec<UserId>> {
    let positions = all_positions(work, end, room).map(|row| row.map(|(user, _)| user)).boxed();
    let members = all_members(work, end, room).map(|row| row.map(|(user, _)| user)).boxed();
    let mut join = Join::new(positions, members, |user| *user);
    let mut former = Vec::new();
    while let Some(pair) = join.next().await? {
        if let Pair::From(user) = pair {
            former.push(user);
        }
    }
    Ok(former)
}

pub(super) fn log<'a>(work: &'a Work, end: &'a End, room: RoomId) -> Rows<'a, Record> {
    let limit = work.options.page;
    let page = move |after: Seq| end.ask(move |s| s.read_log(room, after, Direction::Forward, limit));
    pages(limit, Seq(0), |record: &Record| record.seq, page)
}

pub(super) fn all_states<'a>(end: &'a End, room: RoomId, last: Seq) -> Rows<'a, (Seq, Bytes)> {
    use futures_util::TryStreamExt as _;
    let blocks = stream::iter((0..=last.0 / STATES).map(Ok));
    let states = blocks.and_then(move |block| {
        let (from, to) = (Seq(block * STATES), Seq(block * STATES + STATES - 1));
        end.ask(move |s| s.message_states(room, from, to))
    });
    states.map_ok(|block| stream::iter(block.into_iter().map(Ok))).try_flatten().boxed()
}

pub(super) fn all_reactions<'a>(work: &'a Work, end: &'a End, room: RoomId, seq: Seq) -> Rows<'a, ReactionRow> {
    let limit = work.options.page;
    let page = move |after: Option<(UserId, String)>| end.ask(move |s| s.reactions(room, seq, after.clone(), limit));
    pages(limit, None, |row: &ReactionRow| Some((row.user, row.reaction.clone())), page)
}

pub(super) fn all_members<'a>(work: &'a Work, end: &'a End, room: RoomId) -> Rows<'a, (UserId, Bytes)> {
    let limit = work.options.page;
    let page = move |after: UserId| end.ask(move |s| s.members(room, after, limit));
    pages(limit, NOBODY, |(user, _): &(UserId, Bytes)| *user, page)
}

pub(super) fn all_positions<'a>(work: &'a Work, end: &'a End, room: RoomId) -> Rows<'a, (UserId, Position)> {
    let limit = work.options.page;
    let page = move |after: UserId| end.ask(move |s| s.positions(room, after, limit));
    pages(limit, NOBODY, |(user, _): &(UserId, Position)| *user, page)
}
