//! Reservations of external references, explored exhaustively, over the rule of the log that production uses.
//!
//! Two rooms, in which owners after one another are sent messages with one and the same reference. A transaction on the
//! reservation happens at once, but perhaps long after who asked for it gave up waiting; log rows land when they like; an
//! owner may stop for ever between any two steps. Each rule can be switched off, and then two messages that count must have
//! the reference.
//!
//! Left out: timestamps (a marker is never set back, see `model_head.rs`) and replicas (`model.rs`).

use std::collections::BTreeSet;

use stateright::{Checker, Model, Property};

use crate::{
    domain::ids::{Epoch, Seq},
    storage::scylla::resolve::{LogRow, resolve},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    /// A reservation is taken when its holder's room is settled under a newer epoch.
    Settled,
    /// ... and the look-up row, read after that, names no message.
    LookAfter,
    /// ... and if the holder is still the one that was looked at.
    TakeSeen,
    /// The next owner writes the look-up rows of what it found before it says that the room is settled.
    LookUpFirst,
    /// What is written was reserved before.
    ReserveFirst,
    /// Only one's own reservation is given back.
    DropOwn,
    /// A room is settled if its log has an end: nothing closes an empty one.
    HasEnd,
    /// Who does not know whether a reservation was given back appends no more.
    GiveUp,
}

#[derive(Clone, Copy, Debug)]
struct Rooms {
    /// Owners of each room.
    owners: [u8; 2],
    /// Rooms begin without an event; then only the first owner is sent something: of two, both may come to be (a limit).
    are_empty: bool,
    /// What has failed is sent again with the same id.
    is_sent_again: bool,
    /// Appends may fail, and the answers of transactions may not come.
    is_unsure: bool,
    without: Option<Rule>,
}

/// Room, place, epoch, message; 0 is an event that is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Row(usize, u8, u8, u8);

impl LogRow for Row {
    fn seq(&self) -> Seq {
        Seq(self.1.into())
    }
    fn epoch(&self) -> Epoch {
        Epoch(self.2.into())
    }
    fn batch_last(&self) -> Seq {
        self.seq()
    }
}

/// Message, room, epoch.
type Holder = (u8, usize, u8);
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Write {
    Row(Row),
    Put(Holder),
    Take(Holder, Holder),
    Drop(Holder),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
enum Step {
    #[default]
    New,
    Claimed,
    WritingBack,
    /// Past the gate: look-ups and marker, in this order.
    LookingUp,
    Settling,
    Up,
    /// Asks who holds the reference.
    Asking,
    /// Looks whether the holder is left behind: first the marker, then the look-up.
    Checking(Holder),
    Half(Holder, bool),
    /// Waits for its transaction.
    Reserving(Write),
    Reserved,
    Writing,
    CarryingOut,
    Dropping(Write),
    Fenced,
    Dead,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Owner {
    room: usize,
    epoch: u8,
    step: Step,
    /// The log as far as it knows it.
    log: Vec<u8>,
    message: u8,
    flying: BTreeSet<Write>,
    /// Appends that it is asked for yet; those that may fail, and transactions whose answer it may not wait for.
    left: [u8; 3],
    has_taken: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct State {
    claims: [u8; 2],
    markers: [u8; 2],
    /// Rooms whose marker says where the log ends.
    ends: [bool; 2],
    rows: BTreeSet<Row>,
    looked_up: u8,
    holder: Option<Holder>,
    owners: Vec<Owner>,
    /// Messages that count: past their writer's gate or the next owner's.
    count: BTreeSet<u8>,
    /// A message was acknowledged whose reference another room's owner had left behind.
    is_taken: bool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Action {
    /// What nobody waits for any more, or a row.
    Land(usize, Write),
    Step(usize),
    /// Stop waiting for a transaction.
    Doubt(usize),
    /// The log refuses the row, certainly.
    Fail(usize),
}

impl State {
    fn log(&self, room: usize) -> Vec<u8> {
        resolve(self.rows.iter().copied().filter(|row| row.0 == room), Seq(1)).iter().map(|row| row.3).collect()
    }
}

fn holder(owner: &Owner) -> Holder {
    (owner.message, owner.room, owner.epoch)
}

impl Rooms {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// Whether it changed something.
    fn land(&self, state: &mut State, write: Write) -> bool {
        let old = state.holder;
        state.holder = match write {
            Write::Row(row) if state.rows.insert(row) => old,
            Write::Put(new) => old.or(Some(new)),
            Write::Take(seen, new) if old == Some(seen) || !self.has(Rule::TakeSeen) => Some(new),
            Write::Drop(seen) if old == Some(seen) || !self.has(Rule::DropOwn) => None,
            Write::Row(_) | Write::Take(..) | Write::Drop(_) => old,
        };
        state.holder != old
    }

    /// Looks once at the holder's marker, and once at the look-up row.
    fn check(&self, state: &State, owner: &Owner, seen: Holder, before: Option<bool>) -> Step {
        let has_end = || state.ends[seen.1] || !self.has(Rule::HasEnd);
        let is_settled =
            || seen.1 == owner.room || state.markers[seen.1] > seen.2 && has_end() || !self.has(Rule::Settled);
        let is_free = || state.looked_up == 0 || state.looked_up == owner.message;
        let is_first = before.is_none();
        let answer = if is_first == self.has(Rule::LookAfter) { is_settled() } else { is_free() };
        match before {
            None => Step::Half(seen, answer),
            Some(true) if answer => Step::Reserving(Write::Take(seen, holder(owner))),
            Some(_) => Step::Up,
        }
    }

    fn take_over(&self, state: &mut State, owner: &mut Owner) -> Step {
        let (room, epoch) = (owner.room, owner.epoch);
        match owner.step {
            Step::New => {
                state.claims[room] = epoch;
                Step::Claimed
            }
            Step::Claimed => {
                owner.log = state.log(room);
                let place = u8::try_from(owner.log.len()).unwrap();
                let last = owner.log.last().map(|last| Write::Row(Row(room, place, epoch, *last)));
                owner.flying.extend(last);
                Step::WritingBack
            }
            Step::WritingBack if state.claims[room] != epoch => Step::Dead,
            Step::WritingBack => {
                state.count.extend(owner.log.iter().filter(|message| **message > 0));
                Step::LookingUp
            }
            Step::LookingUp | Step::Settling => {
                if (owner.step == Step::LookingUp) == self.has(Rule::LookUpFirst) {
                    state.looked_up = owner.log.iter().copied().fold(state.looked_up, u8::max);
                } else {
                    state.markers[room] = state.markers[room].max(epoch);
                    state.ends[room] |= !owner.log.is_empty();
                }
                if owner.step == Step::LookingUp { Step::Settling } else { Step::Up }
            }
            other => other,
        }
    }

    fn step(&self, state: &mut State, i: usize) {
        let mut owner = state.owners[i].clone();
        let (room, epoch, me) = (owner.room, owner.epoch, holder(&owner));
        let place = u8::try_from(owner.log.len() + 1).unwrap();
        let row = |message| Write::Row(Row(room, place, epoch, message));
        owner.step = match owner.step {
            Step::Writing if state.claims[room] != epoch => Step::Fenced,
            Step::Up => {
                owner.left[0] -= 1;
                let is_other = owner.message > 0 && !self.is_sent_again;
                owner.message = u8::try_from(2 * i + 1).unwrap() + u8::from(is_other);
                owner.flying.extend((!self.has(Rule::ReserveFirst)).then_some(row(owner.message)));
                Step::Asking
            }
            Step::Asking => match state.holder {
                None => Step::Reserving(Write::Put(me)),
                Some(seen) if seen == me => Step::Reserved,
                Some(seen) if seen.1 == room && seen.2 > epoch => Step::Dead,
                Some(seen) => Step::Checking(seen),
            },
            Step::Checking(seen) => self.check(state, &owner, seen, None),
            Step::Half(seen, before) => self.check(state, &owner, seen, Some(before)),
            Step::Reserving(write) | Step::Dropping(write) => {
                let is_done = self.land(state, write);
                owner.has_taken |= is_done && matches!(write, Write::Take(seen, _) if seen.1 != room);
                match owner.step {
                    Step::Dropping(_) => Step::Up,
                    _ if is_done => Step::Reserved,
                    _ => Step::Asking,
                }
            }
            Step::Reserved => {
                owner.flying.extend(self.has(Rule::ReserveFirst).then_some(row(owner.message)));
                Step::Writing
            }
            Step::Writing => {
                owner.log.push(owner.message);
                state.count.insert(owner.message);
                Step::CarryingOut
            }
            Step::CarryingOut => {
                state.looked_up = owner.message;
                state.ends[room] = true;
                state.is_taken |= owner.has_taken;
                Step::Up
            }
            Step::Fenced => {
                let is_void = !state.log(room).contains(&owner.message);
                owner.flying.extend(is_void.then_some(Write::Drop(me)));
                Step::Dead
            }
            _ => self.take_over(state, &mut owner),
        };
        state.owners[i] = owner;
    }

    /// Whether the owner can go on.
    fn is_ready(state: &State, owner: &Owner) -> bool {
        let is_written = !owner.flying.iter().any(|write| matches!(write, Write::Row(_)));
        match owner.step {
            Step::New => state.claims[owner.room] + 1 == owner.epoch,
            Step::WritingBack | Step::Writing => is_written,
            Step::Up => owner.left[0] > 0 && is_written,
            // It asks the newest owner's log, when that is settled and has an end.
            Step::Fenced => {
                let room = owner.room;
                state.markers[room] >= state.claims[room] && !state.log(room).is_empty()
            }
            Step::Dead => false,
            _ => true,
        }
    }
}

impl Model for Rooms {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let log = if self.are_empty { Vec::new() } else { vec![0] };
        let owner = |room: usize, epoch: u8| Owner {
            room,
            epoch,
            step: if epoch == 1 { Step::Up } else { Step::New },
            log: if epoch == 1 { log.clone() } else { Vec::new() },
            left: [u8::from(!self.are_empty || epoch == 1), self.is_unsure.into(), self.is_unsure.into()],
            ..Owner::default()
        };
        let owners = (0..2).flat_map(|room| (1..=self.owners[room]).map(move |epoch| (room, epoch)));
        let rows = (0..2).filter(|_| !self.are_empty).map(|room| Row(room, 1, 1, 0));
        vec![State {
            claims: [1; 2],
            markers: [u8::from(!self.are_empty); 2],
            ends: [!self.are_empty; 2],
            rows: rows.collect(),
            owners: owners.map(|(room, epoch)| owner(room, epoch)).collect(),
            ..State::default()
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (i, owner) in state.owners.iter().enumerate() {
            actions.extend(owner.flying.iter().map(|write| Action::Land(i, *write)));
            actions.extend(Self::is_ready(state, owner).then_some(Action::Step(i)));
            let is_waiting = matches!(owner.step, Step::Reserving(_) | Step::Dropping(_));
            actions.extend((is_waiting && owner.left[2] > 0).then_some(Action::Doubt(i)));
            actions.extend((owner.step == Step::Reserved && owner.left[1] > 0).then_some(Action::Fail(i)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Land(i, write) => {
                state.owners[i].flying.remove(&write);
                self.land(&mut state, write);
            }
            Action::Step(i) => self.step(&mut state, i),
            Action::Doubt(i) => {
                let owner = &mut state.owners[i];
                let (Step::Reserving(write) | Step::Dropping(write)) = owner.step else { return None };
                owner.step = match owner.step {
                    Step::Dropping(_) if self.has(Rule::GiveUp) => Step::Dead,
                    Step::Dropping(_) => Step::Up,
                    _ => Step::Asking,
                };
                owner.flying.insert(write);
                owner.left[2] -= 1;
            }
            Action::Fail(i) => {
                let owner = &mut state.owners[i];
                owner.step = Step::Dropping(Write::Drop(holder(owner)));
                owner.left = [owner.left[0] + 1, owner.left[1] - 1, owner.left[2]];
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("unique", |_, state: &State| state.count.len() < 2),
            Property::sometimes("taken", |_, state: &State| state.is_taken),
        ]
    }
}

/// Steps explored at most: only where somebody is unsure there are more.
const STEPS_MAX: usize = 300_000;

/// The history that breaks, if there is one; whether a reference was taken; how many states there were.
fn explored(rooms: Rooms) -> (Option<String>, bool, usize) {
    let checker = rooms.checker().threads(1).target_state_count(STEPS_MAX).spawn_bfs().join();
    let broken = checker.discovery("unique").map(|path| format!("{:?}", path.into_actions()));
    (broken, checker.discovery("taken").is_some(), checker.unique_state_count())
}

const TWO: Rooms = Rooms { owners: [2, 1], are_empty: false, is_sent_again: false, is_unsure: true, without: None };
const EMPTY: Rooms = Rooms { owners: [3, 1], are_empty: true, is_unsure: false, ..TWO };
const AGAIN: Rooms = Rooms { owners: [1, 1], is_sent_again: true, ..TWO };

#[test]
fn references_hold() {
    let sure = [[2, 1], [2, 2]].map(|owners| Rooms { owners, is_unsure: false, ..TWO });
    for rooms in sure.into_iter().chain([TWO, EMPTY, AGAIN]) {
        let (broken, is_taken, states) = explored(rooms);
        assert_eq!(broken, None, "{rooms:?}");
        assert!(is_taken || rooms.are_empty || rooms.is_sent_again, "none that was left behind was taken: {rooms:?}");
        assert!(states > 1_000, "nothing was explored: {states} states");
    }
}

#[test]
fn every_rule_of_references_is_needed() {
    use Rule::{DropOwn, GiveUp, HasEnd, LookAfter, LookUpFirst, ReserveFirst, Settled, TakeSeen};
    let sure = Rooms { owners: [3, 1], is_unsure: false, ..TWO };
    let of_two = [Settled, LookAfter, LookUpFirst, ReserveFirst].map(|rule| (TWO, rule));
    let others = [(sure, TakeSeen), (sure, DropOwn), (EMPTY, HasEnd), (AGAIN, GiveUp)];
    for (rooms, rule) in of_two.into_iter().chain(others) {
        let (broken, _, states) = explored(Rooms { without: Some(rule), ..rooms });
        assert!(broken.is_some(), "nothing breaks without {rule:?}: {states} states");
    }
}
