//! One append, in the form in which it goes into a group.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::super::{
    fault::{Fault, Outcome},
    lanes::Job,
    number::bits,
};
use crate::{
    domain::ids::{ClientMessageId, Epoch, RoomId, Seq, UserId},
    storage::{
        Durability, limits,
        types::{MemberRow, Position, Projection, ReactionRow, Record, RoomHead},
    },
};

/// An append, checked as far as can be without reading.
#[derive(Debug)]
pub(in super::super) struct Append {
    pub(super) room: RoomId,
    pub(super) epoch: Epoch,
    pub(super) head: RoomHead,
    /// As they are to be stored: a body that this very append redacts is redacted.
    pub(super) records: Vec<Record>,
    /// For each record, whether its client id is free, as far as is known.
    pub(super) client_first: Vec<bool>,
    pub(super) positions: BTreeMap<UserId, Position>,
    pub(super) rest: Option<Box<Rest>>,
    bytes: usize,
}

/// What few appends have. A row is in one of two opposite lists only: what is removed and added is added.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) settings: Option<Bytes>,
    pub(super) gone: Vec<UserId>,
    /// Members whose settings for the room stay.
    pub(super) kept: Vec<MemberRow>,
    /// Members who were removed in this append, too.
    pub(super) fresh: Vec<MemberRow>,
    pub(super) states: BTreeMap<Seq, Bytes>,
    pub(super) redacted: BTreeMap<Seq, Bytes>,
    pub(super) unreacted: BTreeSet<ReactionRow>,
    pub(super) reacted: BTreeSet<ReactionRow>,
    pub(super) unpinned: BTreeSet<Seq>,
    pub(super) pinned: BTreeMap<Seq, Seq>,
}

impl Append {
    /// Checks and copies the arguments.
    pub(in super::super) fn new(
        room: RoomId,
        epoch: Epoch,
        records: &[Record],
        projection: &Projection,
    ) -> Outcome<Self> {
        limits::check_append(records, projection).map_err(Fault::invalid)?;
        check_seqs(projection)?;
        let redacted: BTreeMap<Seq, &Bytes> = projection.redacted.iter().map(|(seq, body)| (*seq, body)).collect();
        let store = |record: &Record| {
            let body = redacted.get(&record.seq).map_or(&record.body, |body| *body);
            Record { body: body.clone(), ..record.clone() }
        };
        let records: Vec<Record> = records.iter().map(store).collect();
        let mut positions = BTreeMap::<UserId, Position>::new();
        for (user, position) in &projection.positions {
            let merged = positions.entry(*user).or_default();
            *merged = merged.merge(*position);
        }
        let mut this = Self {
            room,
            epoch,
            head: projection.head,
            client_first: first_of_each(&records),
            bytes: records.iter().map(|record| record.body.len() + 200).sum::<usize>() + positions.len() * 64,
            records,
            positions,
            rest: None,
        };
        this.rest = Rest::of(&this.records, projection);
        this.bytes += this.rest.as_deref().map_or(0, Rest::bytes);
        Ok(this)
    }

    /// Seq of the head that the append must find.
    pub(super) fn previous(&self) -> Seq {
        let first = self.records.first().map(|record| record.seq.0);
        Seq(first.map_or(self.head.seq.0, |first| first.saturating_sub(1)))
    }

    /// Whether some head would let it pass. If none, why is for the verdict to say, which knows the claim.
    pub(super) fn is_possible(&self) -> bool {
        !self.has_gap() && !self.redacts_nothing() && self.records.first().is_none_or(|first| first.seq > Seq(0))
    }

    /// Whether the records do not follow each other.
    pub(super) fn has_gap(&self) -> bool {
        self.records.windows(2).any(|pair| pair[0].seq.0.checked_add(1) != Some(pair[1].seq.0))
    }

    /// Whether there is no event at a redacted seq. The log has no gaps: what is not behind the head is not there.
    pub(super) fn redacts_nothing(&self) -> bool {
        let mut redacted = self.rest.iter().flat_map(|rest| rest.redacted.keys());
        redacted.any(|seq| *seq == Seq(0) || *seq > self.previous())
    }
}

impl Job for Append {
    type Out = Durability;

    fn room(&self) -> Option<RoomId> {
        Some(self.room)
    }

    fn size(&self) -> (usize, usize) {
        (self.records.len() + self.positions.len(), self.bytes)
    }
}

impl Rest {
    fn of(records: &[Record], projection: &Projection) -> Option<Box<Self>> {
        let p = projection;
        let is_plain = p.room.is_none()
            && (p.members.is_empty() && p.removed.is_empty() && p.states.is_empty() && p.redacted.is_empty())
            && (p.reacted.is_empty() && p.unreacted.is_empty() && p.pinned.is_empty() && p.unpinned.is_empty());
        if is_plain {
            return None;
        }
        let is_own = |seq: Seq| {
            records.first().is_some_and(|first| first.seq <= seq) && records.last().is_some_and(|last| seq <= last.seq)
        };
        // The last one given counts.
        let members: BTreeMap<UserId, &MemberRow> = p.members.iter().map(|member| (member.user, member)).collect();
        let removed: BTreeSet<UserId> = p.removed.iter().copied().collect();
        let (fresh, kept) =
            members.values().map(|member| (*member).clone()).partition(|member| removed.contains(&member.user));
        let reacted: BTreeSet<_> = p.reacted.iter().cloned().collect();
        let pinned: BTreeMap<_, _> = p.pinned.iter().copied().collect();
        Some(Box::new(Self {
            settings: p.room.clone(),
            gone: removed.into_iter().filter(|user| !members.contains_key(user)).collect(),
            kept,
            fresh,
            states: p.states.iter().cloned().collect(),
            redacted: p.redacted.iter().filter(|(seq, _)| !is_own(*seq)).cloned().collect(),
            unreacted: p.unreacted.iter().filter(|row| !reacted.contains(row)).cloned().collect(),
            reacted,
            unpinned: p.unpinned.iter().filter(|seq| !pinned.contains_key(seq)).copied().collect(),
            pinned,
        }))
    }

    fn bytes(&self) -> usize {
        let members = self.kept.iter().chain(&self.fresh).map(|member| member.body.len() + 100);
        let bodies = self.states.values().chain(self.redacted.values()).chain(&self.settings).map(Bytes::len);
        members.chain(bodies).sum()
    }
}

/// Seqs of overlays are bounds of ranges; see the schema.
fn check_seqs(projection: &Projection) -> Outcome<()> {
    let of_rows = projection.states.iter().map(|(seq, _)| *seq).chain(projection.pinned.iter().map(|(seq, _)| *seq));
    let mut seqs = of_rows.chain(projection.reacted.iter().map(|row| row.seq));
    if seqs.any(|seq| bits(seq.0) < 0) { Err(Fault::invalid("no log reaches this seq")) } else { Ok(()) }
}

/// Of several messages with one client id the first one is found by it.
fn first_of_each(records: &[Record]) -> Vec<bool> {
    let mut seen = BTreeSet::<(UserId, &ClientMessageId)>::new();
    let mut first = Vec::with_capacity(records.len());
    for record in records {
        let message = record.message.as_ref();
        first.push(message.is_some_and(|message| seen.insert((record.actor, &message.client_id))));
    }
    first
}
