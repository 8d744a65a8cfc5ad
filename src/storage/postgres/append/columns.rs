//! The appends of a group as columns: one array a parameter of the statement, in its order.

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{
    super::{number::bits, rows::uuid},
    prepared::{Append, Rest},
};
use crate::{
    domain::ids::{RoomId, Seq},
    storage::types::{MemberRow, ReactionRow, Record},
};

type Param<'a> = &'a (dyn ToSql + Sync);

/// What `gate` and `log` and `positions` take: parameters 1 to 32.
#[derive(Default)]
pub(super) struct Messages<'a> {
    heads: Heads,
    log: Log<'a>,
    positions: Positions,
}

#[derive(Default)]
struct Heads {
    room: Vec<Uuid>,
    epoch: Vec<i64>,
    previous: Vec<i64>,
    seq: Vec<i64>,
    n: Vec<i64>,
    message_seq: Vec<i64>,
    message_id: Vec<i64>,
    activity_ms: Vec<i64>,
    members: Vec<i64>,
}

#[derive(Default)]
struct Log<'a> {
    room: Vec<Uuid>,
    seq: Vec<i64>,
    n: Vec<i64>,
    epoch: Vec<i64>,
    kind: Vec<i16>,
    actor: Vec<i64>,
    at_ms: Vec<i64>,
    message_id: Vec<Option<i64>>,
    client_id: Vec<Option<&'a [u8]>>,
    client_first: Vec<bool>,
    ext_source: Vec<Option<&'a [u8]>>,
    ext_chat: Vec<Option<&'a [u8]>>,
    ext_message: Vec<Option<&'a [u8]>>,
    body: Vec<&'a [u8]>,
}

#[derive(Default)]
struct Positions {
    room: Vec<Uuid>,
    user: Vec<i64>,
    numbers: [Vec<i64>; 6],
}

impl<'a> Messages<'a> {
    pub(super) fn add(&mut self, append: &'a Append) {
        let room = uuid(append.room);
        self.heads.add(room, append);
        for (record, first) in append.records.iter().zip(&append.client_first) {
            self.log.add(room, append, record, *first);
        }
        for (user, position) in &append.positions {
            let p = position;
            self.positions.room.push(room);
            self.positions.user.push(user.0);
            let numbers = [p.read_seq.0, p.read_n.0, p.delivered_seq.0, p.sent_n.0, p.floor_n.0, p.floor_seq.0];
            for (column, number) in self.positions.numbers.iter_mut().zip(numbers) {
                column.push(bits(number));
            }
        }
    }

    pub(super) fn params(&self) -> Vec<Param<'_>> {
        let (h, l, p) = (&self.heads, &self.log, &self.positions);
        let mut params: Vec<Param<'_>> = vec![&h.room, &h.epoch, &h.previous, &h.seq, &h.n, &h.message_seq];
        params.extend([&h.message_id as Param<'_>, &h.activity_ms, &h.members]);
        params.extend([&l.room as Param<'_>, &l.seq, &l.n, &l.epoch, &l.kind, &l.actor, &l.at_ms, &l.message_id]);
        params.extend([&l.client_id as Param<'_>, &l.client_first]);
        params.extend([&l.ext_source as Param<'_>, &l.ext_chat, &l.ext_message, &l.body]);
        params.extend([&p.room as Param<'_>, &p.user]);
        params.extend(p.numbers.iter().map(|column| column as Param<'_>));
        params
    }
}

impl Heads {
    fn add(&mut self, room: Uuid, append: &Append) {
        let head = &append.head;
        self.room.push(room);
        self.epoch.push(bits(append.epoch.0));
        self.previous.push(bits(append.previous().0));
        self.seq.push(bits(head.seq.0));
        self.n.push(bits(head.n.0));
        self.message_seq.push(bits(head.message_seq.0));
        self.message_id.push(head.message_id.0);
        self.activity_ms.push(head.activity_ms);
        self.members.push(i64::from(head.members));
    }
}

impl<'a> Log<'a> {
    fn add(&mut self, room: Uuid, append: &Append, record: &'a Record, client_first: bool) {
        self.room.push(room);
        self.seq.push(bits(record.seq.0));
        self.n.push(bits(record.n.0));
        self.epoch.push(bits(append.epoch.0));
        self.kind.push(i16::from(record.kind));
        self.actor.push(record.actor.0);
        self.at_ms.push(record.at_ms);
        let message = record.message.as_ref();
        let external = message.and_then(|message| message.external.as_ref());
        self.message_id.push(message.map(|message| message.id.0));
        self.client_id.push(message.map(|message| message.client_id.0.as_bytes()));
        self.client_first.push(client_first);
        self.ext_source.push(external.map(|external| external.source.as_bytes()));
        self.ext_chat.push(external.map(|external| external.chat.as_bytes()));
        self.ext_message.push(external.map(|external| external.message.as_bytes()));
        self.body.push(&record.body);
    }
}

/// What the other parts of the great statement take: parameters 32 to 64.
#[derive(Default)]
pub(super) struct Others<'a> {
    settings: (Vec<Uuid>, Vec<&'a [u8]>),
    gone: (Vec<Uuid>, Vec<i64>),
    kept: Members<'a>,
    fresh: Members<'a>,
    states: Bodies<'a>,
    redacted: Bodies<'a>,
    unreacted: Reactions<'a>,
    reacted: Reactions<'a>,
    unpinned: (Vec<Uuid>, Vec<i64>),
    pinned: (Vec<Uuid>, Vec<i64>, Vec<i64>),
}

#[derive(Default)]
struct Members<'a> {
    room: Vec<Uuid>,
    user: Vec<i64>,
    body: Vec<&'a [u8]>,
    room_type: Vec<i16>,
    partner: Vec<i64>,
}

#[derive(Default)]
struct Bodies<'a> {
    room: Vec<Uuid>,
    seq: Vec<i64>,
    body: Vec<&'a [u8]>,
}

#[derive(Default)]
struct Reactions<'a> {
    room: Vec<Uuid>,
    seq: Vec<i64>,
    user: Vec<i64>,
    reaction: Vec<&'a [u8]>,
}

impl<'a> Others<'a> {
    pub(super) fn add(&mut self, room: RoomId, rest: &'a Rest) {
        let room = uuid(room);
        if let Some(settings) = &rest.settings {
            self.settings.0.push(room);
            self.settings.1.push(settings);
        }
        for user in &rest.gone {
            self.gone.0.push(room);
            self.gone.1.push(user.0);
        }
        rest.kept.iter().for_each(|member| self.kept.add(room, member));
        rest.fresh.iter().for_each(|member| self.fresh.add(room, member));
        rest.states.iter().for_each(|(seq, body)| self.states.add(room, *seq, body));
        rest.redacted.iter().for_each(|(seq, body)| self.redacted.add(room, *seq, body));
        rest.unreacted.iter().for_each(|row| self.unreacted.add(room, row));
        rest.reacted.iter().for_each(|row| self.reacted.add(room, row));
        for seq in &rest.unpinned {
            self.unpinned.0.push(room);
            self.unpinned.1.push(bits(seq.0));
        }
        for (seq, pin) in &rest.pinned {
            self.pinned.0.push(room);
            self.pinned.1.push(bits(seq.0));
            self.pinned.2.push(bits(pin.0));
        }
    }

    pub(super) fn params(&self) -> Vec<Param<'_>> {
        let mut params: Vec<Param<'_>> = vec![&self.settings.0, &self.settings.1, &self.gone.0, &self.gone.1];
        for members in [&self.kept, &self.fresh] {
            params.extend([&members.room as Param<'_>, &members.user, &members.body, &members.room_type]);
            params.push(&members.partner);
        }
        for bodies in [&self.states, &self.redacted] {
            params.extend([&bodies.room as Param<'_>, &bodies.seq, &bodies.body]);
        }
        for reactions in [&self.unreacted, &self.reacted] {
            params.extend([&reactions.room as Param<'_>, &reactions.seq, &reactions.user, &reactions.reaction]);
        }
        params.extend([&self.unpinned.0 as Param<'_>, &self.unpinned.1]);
        params.extend([&self.pinned.0 as Param<'_>, &self.pinned.1, &self.pinned.2]);
        params
    }
}

impl<'a> Members<'a> {
    fn add(&mut self, room: Uuid, member: &'a MemberRow) {
        self.room.push(room);
        self.user.push(member.user.0);
        self.body.push(&member.body);
        self.room_type.push(i16::from(member.listing.room_type));
        self.partner.push(member.listing.partner.0);
    }
}

impl<'a> Bodies<'a> {
    fn add(&mut self, room: Uuid, seq: Seq, body: &'a [u8]) {
        self.room.push(room);
        self.seq.push(bits(seq.0));
        self.body.push(body);
    }
}

impl<'a> Reactions<'a> {
    fn add(&mut self, room: Uuid, row: &'a ReactionRow) {
        self.room.push(room);
        self.seq.push(bits(row.seq.0));
        self.user.push(row.user.0);
        self.reaction.push(row.reaction.as_bytes());
    }
}
