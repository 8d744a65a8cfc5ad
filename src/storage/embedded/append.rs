//! An append: checked and encoded on the caller's side, decided and staged in its transaction.

use fjall::Slice;

use super::{
    engine::Txn,
    fault::{Fault, Outcome},
    keys::{self, Key, Table},
    rows::{self, Control},
};
use crate::{
    domain::ids::{Epoch, ExternalRef, MessageId, RoomId, Seq, UserId},
    storage::{
        error::StoreErrorKind,
        limits,
        types::{Listing, MessageKey, MessageRef, Position, Projection, Record, RoomHead, RoomPrefs},
    },
};

type Row = (Slice, Slice);

/// An append, ready to be decided.
#[derive(Debug)]
pub struct Prepared {
    epoch: Epoch,
    control: Slice,
    head: RoomHead,
    first: Option<Seq>,
    has_gap: bool,
    log: Vec<(Seq, Row)>,
    /// Rows that the first writer keeps.
    unless_there: Vec<Row>,
    /// Rows that nobody else may have, and the message they lead to.
    exclusive: Vec<(MessageId, Row)>,
    redacted: Vec<(Seq, Slice, bytes::Bytes)>,
    deletes: Vec<Slice>,
    puts: Vec<Row>,
    members: Vec<(Slice, Listing)>,
    positions: Vec<(Slice, Position)>,
}

impl Prepared {
    /// Checks what needs no reading and encodes all rows.
    pub fn new(room: RoomId, epoch: Epoch, records: &[Record], projection: &Projection) -> Outcome<Self> {
        limits::check_append(records, projection).map_err(Fault::invalid)?;
        let mut this = Self {
            epoch,
            control: keys::control(room).slice(),
            head: projection.head,
            first: records.first().map(|record| record.seq),
            has_gap: records.windows(2).any(|pair| pair[0].seq.0.checked_add(1) != Some(pair[1].seq.0)),
            log: Vec::with_capacity(records.len()),
            unless_there: Vec::with_capacity(records.len()),
            exclusive: Vec::new(),
            redacted: Vec::new(),
            deletes: Vec::new(),
            puts: Vec::with_capacity(records.len()),
            members: Vec::new(),
            positions: Vec::with_capacity(projection.positions.len()),
        };
        for record in records {
            let redacted = projection.redacted.iter().find(|(seq, _)| *seq == record.seq);
            let value = match redacted {
                // Sent and deleted in one batch: the content is never stored, and a retry compares with what is.
                Some((_, body)) => rows::encode_record(&Record { body: body.clone(), ..record.clone() }, epoch),
                None => rows::encode_record(record, epoch),
            };
            let row = (keys::log(room, record.seq).slice(), value);
            this.log.push((record.seq, row));
            if let Some(message) = &record.message {
                this.add_lookups(room, record, message);
            }
        }
        this.add_membership(room, projection);
        this.add_overlays(room, projection);
        for (seq, body) in &projection.redacted {
            if !records.iter().any(|record| record.seq == *seq) {
                let key = keys::log(room, *seq).slice();
                this.redacted.push((*seq, key, body.clone()));
            }
        }
        Ok(this)
    }

    fn add_lookups(&mut self, room: RoomId, record: &Record, message: &MessageKey) {
        let found = rows::encode_message_ref(&MessageRef { room, seq: record.seq, id: message.id });
        if let Some(external) = &message.external {
            self.add_exclusive(message.id, external, found.clone());
        }
        self.unless_there.push((keys::client_message(record.actor, &message.client_id).slice(), found.clone()));
        self.puts.push((keys::message(message.id).slice(), found));
    }

    fn add_exclusive(&mut self, id: MessageId, external: &ExternalRef, found: Slice) {
        self.exclusive.push((id, (keys::external(external).slice(), found)));
    }

    fn add_membership(&mut self, room: RoomId, projection: &Projection) {
        if let Some(settings) = &projection.room {
            self.puts.push((Key::of(Table::Room).room(room).slice(), Slice::from(&settings[..])));
        }
        for user in &projection.removed {
            self.deletes.push(keys::of_member(Table::Member, room, *user).slice());
            self.deletes.push(keys::room_list(*user, room).slice());
        }
        for member in &projection.members {
            let key = keys::of_member(Table::Member, room, member.user).slice();
            self.puts.push((key, Slice::from(&member.body[..])));
            self.members.push((keys::room_list(member.user, room).slice(), member.listing));
        }
        let place = |user: UserId| keys::of_member(Table::Position, room, user).slice();
        self.positions.extend(projection.positions.iter().map(|(user, position)| (place(*user), *position)));
    }

    fn add_overlays(&mut self, room: RoomId, projection: &Projection) {
        let at = |table: Table, seq: Seq| Key::of(table).room(room).seq(seq).slice();
        self.deletes.extend(projection.unpinned.iter().map(|seq| at(Table::Pin, *seq)));
        self.puts
            .extend(projection.states.iter().map(|(seq, state)| (at(Table::State, *seq), Slice::from(&state[..]))));
        self.puts.extend(projection.pinned.iter().map(|(seq, pin)| (at(Table::Pin, *seq), rows::encode_number(pin.0))));
        for row in &projection.unreacted {
            self.deletes.push(keys::reaction(room, row.seq, row.user, &row.reaction).slice());
        }
        for row in &projection.reacted {
            self.puts.push((keys::reaction(room, row.seq, row.user, &row.reaction).slice(), rows::present()));
        }
    }

    /// Decides, and stages all rows if the append may happen.
    pub fn apply(self, txn: &mut Txn<'_>) -> Outcome<()> {
        let control = txn.get(&self.control)?.map(|row| Control::decode(&row)).transpose()?.unwrap_or_default();
        if self.epoch < control.epoch {
            return Err(StoreErrorKind::Fenced.into());
        }
        if self.epoch > control.epoch || self.epoch == Epoch(0) {
            return Err(Fault::invalid("an epoch that no claim has returned"));
        }
        if self.has_gap {
            return Err(Fault::conflict("a gap between the records"));
        }
        let stored = control.head.unwrap_or_default().seq;
        match self.first {
            Some(first) if first <= stored => return self.compare(txn),
            Some(first) if first.0 - 1 != stored.0 => {
                return Err(Fault::conflict("a gap before the records"));
            }
            None if self.head.seq != stored => {
                return Err(Fault::conflict("numbers of another head"));
            }
            Some(_) | None => {}
        }
        self.stage(txn)
    }

    /// Succeeds if exactly these records are stored.
    fn compare(&self, txn: &Txn<'_>) -> Outcome<()> {
        for (seq, (key, value)) in &self.log {
            let Some(stored) = txn.get(key)? else {
                return Err(Fault::conflict("some of the records are stored, some are not"));
            };
            let stored = rows::decode_record(*seq, &stored)?;
            let ours = Record { epoch: stored.epoch, ..rows::decode_record(*seq, value)? };
            if stored != ours {
                return Err(Fault::conflict("another event is stored at this seq"));
            }
        }
        Ok(())
    }

    fn stage(self, txn: &mut Txn<'_>) -> Outcome<()> {
        for (id, (key, value)) in self.exclusive {
            if let Some(other) = txn.get(&key)?
                && rows::decode_message_ref(&other)?.id != id
            {
                return Err(Fault::conflict("another message has this external reference"));
            }
            txn.put(key, value);
        }
        for (key, value) in self.unless_there {
            if txn.get(&key)?.is_none() {
                txn.put(key, value);
            }
        }
        for (_, (key, value)) in self.log {
            txn.put(key, value);
        }
        for (seq, key, body) in self.redacted {
            let Some(row) = txn.get(&key)? else {
                return Err(Fault::conflict("no event to redact at this seq"));
            };
            let record = Record { body, ..rows::decode_record(seq, &row)? };
            txn.put(key, rows::encode_record(&record, record.epoch));
        }
        for key in self.deletes {
            txn.delete(key);
        }
        for (key, value) in self.puts {
            txn.put(key, value);
        }
        for (key, listing) in self.members {
            let prefs = match txn.get(&key)? {
                Some(row) => rows::decode_listing(RoomId([0; 16]), &row)?.prefs,
                None => RoomPrefs::default(),
            };
            txn.put(key, rows::encode_listing(&listing, &prefs));
        }
        for (key, position) in self.positions {
            let merged = match txn.get(&key)? {
                Some(row) => rows::decode_position(&row)?.merge(position),
                None => position,
            };
            txn.put(key, rows::encode_position(&merged));
        }
        txn.put(self.control, Control { epoch: self.epoch, head: Some(self.head) }.encode());
        Ok(())
    }
}
