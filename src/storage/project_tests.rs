//! The rows of an append against the state after it: a store that only merges rows knows what the room's writer knows.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::{Listing, Projection, Record, codec, project};
use crate::domain::{
    event::EventBody,
    ids::{Seq, UserId},
    position::{Position, RoomHead},
    room::{
        Member, RoomType,
        tests::{
            life::a_life,
            world::{Done, World},
        },
    },
};

/// A store of one room that does what the contract says and no more.
#[derive(Debug, Default)]
struct Rows {
    log: Vec<Record>,
    head: RoomHead,
    room: Option<Bytes>,
    members: BTreeMap<UserId, (Member, Listing)>,
    positions: BTreeMap<UserId, Position>,
    states: BTreeMap<Seq, Bytes>,
    reactions: BTreeSet<(Seq, UserId, String)>,
    pins: BTreeMap<Seq, Seq>,
}

impl Rows {
    fn append(&mut self, records: Vec<Record>, projection: Projection) {
        self.log.extend(records);
        self.head = projection.head;
        if projection.room.is_some() {
            self.room = projection.room;
        }
        for row in projection.members {
            let member = codec::decode_member(&row.body).unwrap();
            self.members.insert(row.user, (member, row.listing));
        }
        for user in projection.removed {
            self.members.remove(&user);
        }
        for (user, position) in projection.positions {
            let slot = self.positions.entry(user).or_default();
            *slot = slot.merge(position);
        }
        self.states.extend(projection.states);
        for (seq, body) in projection.redacted {
            self.log[usize::try_from(seq.0).unwrap() - 1].body = body;
        }
        for row in projection.unreacted {
            self.reactions.remove(&(row.seq, row.user, row.reaction));
        }
        self.reactions.extend(projection.reacted.into_iter().map(|row| (row.seq, row.user, row.reaction)));
        for seq in projection.unpinned {
            self.pins.remove(&seq);
        }
        self.pins.extend(projection.pinned);
    }

    fn apply(&mut self, done: &Done) {
        let (records, projection) = project::rows(&done.before, &done.change);
        self.append(records, projection);
    }
}

fn check(rows: &Rows, world: &World) {
    let state = &world.state;
    assert_eq!(rows.head, state.head);
    let info = codec::decode_info(state.id, rows.room.as_ref().unwrap()).unwrap();
    assert_eq!(Some(&info), state.info.as_deref());
    let members: BTreeMap<UserId, Member> =
        rows.members.iter().map(|(user, (member, _))| (*user, member.clone())).collect();
    assert_eq!(members, state.members);
    for (user, (_, listing)) in &rows.members {
        let partner = match info.room_type {
            RoomType::P2p => *state.members.keys().find(|other| *other != user).unwrap(),
            RoomType::Group | RoomType::Channel => UserId(0),
        };
        assert_eq!(*listing, Listing { room_type: info.room_type as u8, partner });
    }
    for user in state.positions.keys().chain(rows.positions.keys()) {
        let stored = rows.positions.get(user).copied().unwrap_or_default();
        assert_eq!(stored, state.position(*user), "position of {user}");
    }
    let pins: BTreeMap<Seq, Seq> = state.pins.iter().copied().collect();
    assert_eq!(rows.pins, pins);
    let reactions: Vec<_> = rows.reactions.iter().filter(|(seq, ..)| !world.messages[seq].deleted).collect();
    assert_eq!(reactions, world.reactions.iter().collect::<Vec<_>>());
}

fn check_messages(rows: &Rows, world: &World) {
    for (record, event) in rows.log.iter().zip(&world.log) {
        let read = codec::decode_event(world.state.id, record).unwrap();
        assert_eq!((read.seq, read.n, read.actor, read.at_ms), (event.seq, event.n, event.actor, event.at_ms));
        let EventBody::Message(sent) = &read.body else {
            continue;
        };
        let present = match rows.states.get(&record.seq) {
            Some(state) => codec::decode_state(world.state.id, state).unwrap(),
            None => sent.as_ref().clone(),
        };
        assert_eq!(present, *world.messages[&record.seq]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rows_agree_with_the_state((room_type, tail_max, steps) in a_life()) {
        let (mut world, done) = World::new(room_type, tail_max);
        let mut rows = Rows::default();
        rows.apply(&done);
        for step in steps {
            if let Some(done) = world.step(step) {
                rows.apply(&done);
                check(&rows, &world);
            }
        }
        check_messages(&rows, &world);
    }

    /// Whatever a deleted message ever said is in no row: neither its own, nor its edits', nor its state.
    #[test]
    fn a_deletion_leaves_no_text_in_any_row((room_type, tail_max, steps) in a_life()) {
        let (mut world, done) = World::new(room_type, tail_max);
        let mut rows = Rows::default();
        rows.apply(&done);
        for step in steps {
            if let Some(done) = world.step(step) {
                rows.apply(&done);
            }
        }
        for record in &rows.log {
            let event = codec::decode_event(world.state.id, record).unwrap();
            let (EventBody::Message(message) | EventBody::Edited(message)) = &event.body else {
                continue;
            };
            if world.messages[&message.seq].deleted {
                prop_assert!(message.deleted);
                prop_assert!(message.draft.content.is_empty());
                prop_assert!(message.draft.sender_name.is_empty());
                prop_assert!(message.draft.attachments.is_empty());
            }
        }
    }
}
