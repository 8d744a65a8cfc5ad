//! One room's log as it grows: events are applied to the state, their rows gathered, and written some at a time.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::Result;
use crate::{
    domain::{
        event::{Event, EventBody},
        ids::{ClientMessageId, Epoch, Ordinal, RoomId, Seq, UserId},
        position::Position,
        room::{Change, Role, RoomState},
    },
    storage::{Direction, Projection, Record, Store, codec, codec::kind, project},
};

/// Records of one append.
const RECORDS: usize = 200;
/// Bodies of one append, bytes.
const BYTES: usize = 1 << 20;
/// Rows read at a time.
const PAGE: usize = 500;

/// Writes one room.
pub(super) struct Writer<'a> {
    store: &'a dyn Store,
    pub(super) state: RoomState,
    /// Who has ever joined.
    pub(super) joined: HashSet<UserId>,
    epoch: Epoch,
    records: Vec<Record>,
    bytes: usize,
    gathered: Projection,
}

impl<'a> Writer<'a> {
    /// Claims the room, and reads what an earlier import left.
    pub(super) async fn open(store: &'a dyn Store, room: RoomId) -> Result<Self> {
        let epoch = store.claim(room).await?;
        let mut state = RoomState::empty(room, epoch, 1);
        if let Some(head) = store.head(room).await? {
            state.head = head;
            if let Some(body) = store.room(room).await? {
                let (info, uncounted) = codec::decode_room(room, &body)?;
                (state.info, state.uncounted) = (Some(Arc::new(info)), Arc::new(uncounted));
            }
        }
        let mut after = UserId(0);
        loop {
            let page = store.members(room, after, PAGE).await?;
            let Some((last, _)) = page.last() else { break };
            after = *last;
            for (user, body) in page {
                state.members.insert(user, codec::decode_member(&body)?);
            }
        }
        let (records, gathered) = (Vec::new(), Projection { head: state.head, ..Projection::default() });
        let mut writer = Self { store, state, joined: HashSet::new(), epoch, records, bytes: 0, gathered };
        writer.read_members().await?;
        Ok(writer)
    }

    /// Whether nothing was brought before.
    pub(super) fn is_fresh(&self) -> bool {
        self.state.head.seq == Seq(0)
    }

    async fn read_members(&mut self) -> Result<()> {
        let mut after = Seq(0);
        while after < self.state.head.seq {
            let page = self.store.read_log(self.state.id, after, Direction::Forward, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            for record in page.iter().filter(|record| matches!(record.kind, kind::CREATED | kind::JOINED)) {
                if let EventBody::Created { members, .. } | EventBody::Joined { members } =
                    codec::decode_event(self.state.id, record)?.body
                {
                    self.joined.extend(members.into_iter().map(|(user, _)| user));
                }
            }
        }
        Ok(())
    }

    /// The next event of the log.
    pub(super) fn event(&self, actor: UserId, at_ms: i64, body: EventBody) -> Event {
        Event { room: self.state.id, seq: self.state.head.seq.next(), n: self.state.head.n, at_ms, actor, body }
    }

    /// Makes the room, with these members.
    pub(super) fn create(&mut self, actor: UserId, at_ms: i64, body: EventBody) {
        if let EventBody::Created { members, .. } = &body {
            self.joined.extend(members.iter().map(|(user, _)| *user));
        }
        let event = self.event(actor, at_ms, body);
        self.write(one(event));
    }

    /// Adds members; one append has one change of members, because in it what goes would go before what comes.
    pub(super) async fn join(&mut self, members: Vec<(UserId, Role)>, at_ms: i64) -> Result<()> {
        self.flush().await?;
        self.joined.extend(members.iter().map(|(user, _)| *user));
        let event = self.event(UserId::SERVER, at_ms, EventBody::Joined { members });
        self.write(one(event));
        Ok(())
    }

    /// Lets one go.
    pub(super) async fn leave(&mut self, user: UserId, at_ms: i64) -> Result<()> {
        self.flush().await?;
        let users = vec![user];
        let heir = self.state.heir(&users);
        let event = self.event(user, at_ms, EventBody::Left { users, removed: false, heir });
        self.write(one(event));
        self.flush().await
    }

    /// Applies a change and gathers its rows.
    pub(super) fn write(&mut self, change: Change) {
        let (records, rows) = project::rows(&self.state, &change);
        self.state.apply(&change);
        self.bytes += records.iter().map(|record| record.body.len()).sum::<usize>();
        self.records.extend(records);
        gather(&mut self.gathered, rows);
    }

    /// Whether what is gathered has a message of the sender with this id.
    pub(super) fn sent(&self, sender: UserId, id: &ClientMessageId) -> bool {
        let is_it = |record: &Record| {
            record.actor == sender && record.message.as_ref().is_some_and(|message| message.client_id == *id)
        };
        self.records.iter().any(is_it)
    }

    /// Writes what is gathered, if that is enough for an append. To be called where the import may be killed.
    pub(super) async fn flush_if_full(&mut self) -> Result<()> {
        if self.records.len() >= RECORDS || self.bytes >= BYTES { self.flush().await } else { Ok(()) }
    }

    /// Writes what is gathered.
    pub(super) async fn flush(&mut self) -> Result<()> {
        if !self.records.is_empty() {
            self.store.append(self.state.id, self.epoch, &self.records, &self.gathered).await?;
            self.records.clear();
            self.bytes = 0;
            self.gathered = Projection { head: self.state.head, ..Projection::default() };
        }
        Ok(())
    }

    /// Moves positions.
    pub(super) async fn positions(&mut self, positions: Vec<(UserId, Position)>) -> Result<()> {
        self.flush().await?;
        let projection = Projection { head: self.state.head, positions, ..Projection::default() };
        self.store.append(self.state.id, self.epoch, &[], &projection).await?;
        Ok(())
    }

    /// Times, places and ordinals of all messages, in the order of the log.
    pub(super) async fn places(&mut self) -> Result<Vec<(i64, Seq, Ordinal)>> {
        self.flush().await?;
        let (mut places, mut after) = (Vec::new(), Seq(0));
        while after < self.state.head.seq {
            let page = self.store.read_log(self.state.id, after, Direction::Forward, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.seq;
            places.extend(page.iter().filter(|row| row.message.is_some()).map(|row| (row.at_ms, row.seq, row.n)));
        }
        Ok(places)
    }

    /// Gives the room back.
    pub(super) async fn close(mut self) -> Result<()> {
        self.flush().await?;
        Ok(self.store.release(self.state.id, self.epoch).await?)
    }
}

pub(super) fn one(event: Event) -> Change {
    Change { events: vec![event], ..Change::default() }
}

/// Puts the rows of a later change on top of those of earlier ones.
fn gather(all: &mut Projection, later: Projection) {
    all.head = later.head;
    all.room = later.room.or_else(|| all.room.take());
    all.members.extend(later.members);
    all.removed.extend(later.removed);
    let mut positions: BTreeMap<_, Position> = std::mem::take(&mut all.positions).into_iter().collect();
    for (user, position) in later.positions {
        let slot = positions.entry(user).or_default();
        *slot = slot.merge(position);
    }
    all.positions = positions.into_iter().collect();
    for (rows, more) in [(&mut all.states, later.states), (&mut all.redacted, later.redacted)] {
        let mut by_seq: BTreeMap<_, _> = std::mem::take(rows).into_iter().collect();
        by_seq.extend(more);
        *rows = by_seq.into_iter().collect();
    }
    all.reacted.extend(later.reacted);
    all.unreacted.extend(later.unreacted);
    all.pinned.extend(later.pinned);
    all.unpinned.extend(later.unpinned);
}
