//! The fencing protocol, explored exhaustively, over the very `resolve` that production uses.
//!
//! Three replicas with quorums of two; writes that land on each replica when they like, also long after their writer was
//! fenced or died; a linearizable claim; owners that may stall for ever between any two steps; clients that retry; a reader
//! that looks ahead of the head. Each
//! rule can be switched off, and then the checker must find the history that loses, doubles or halves something: a rule
//! that could be left out, or a model that cannot see why it is needed, fails the test.

use std::collections::BTreeSet;

use stateright::{Checker, Model, Property};

use crate::{
    domain::ids::{Epoch, Seq},
    storage::scylla::resolve::{LogRow, resolve},
};

const REPLICAS: usize = 3;
const QUORUMS: [[usize; 2]; 3] = [[0, 1], [0, 2], [1, 2]];
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Row {
    seq: u8,
    epoch: u8,
    last: u8,
    message: u8,
}

impl LogRow for Row {
    fn seq(&self) -> Seq {
        Seq(u64::from(self.seq))
    }
    fn epoch(&self) -> Epoch {
        Epoch(u64::from(self.epoch))
    }
    fn batch_last(&self) -> Seq {
        Seq(u64::from(self.last))
    }
}

/// What can be left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    /// An append waits for the gate.
    Gate,
    /// A generation is fenced before its claim is taken.
    FenceFirst,
    /// A new owner writes the last batch back.
    WriteBack,
    /// ... all of it.
    WriteBackWhole,
    /// ... and passes the gate before it serves.
    WriteBackGate,
    /// A row behind a higher epoch is void.
    Void,
    /// A batch counts only when it is whole.
    Whole,
    /// Parts of a batch are written one after the other, the last one first.
    LastPartFirst,
    /// A reader trusts what no head covers when the claim, read after it, still shows its writer.
    ReadGate,
    /// What a reader of a quorum finds is on a quorum before it goes on.
    ReadRepair,
}

#[derive(Clone, Copy, Debug)]
struct Protocol {
    owners: u8,
    messages: u8,
    /// Messages of one batch, at most.
    batch: u8,
    /// Each row of a batch is a mutation of its own, as at the edge of a block.
    split: bool,
    /// The gate reads fences that lie on the replicas; otherwise the claim itself.
    fences: bool,
    /// Somebody reads, once, what no head covers yet.
    reader: bool,
    without: Option<Rule>,
}

/// A write on its way: its rows, and the replicas it has landed on.
type Flying = (Vec<Row>, u8);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Step {
    New,
    Claimed,
    WritingBack,
    Gate { written: Vec<Row> },
    Up,
    Appending { written: Vec<Row> },
    Dead,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Owner {
    step: Step,
    known: Vec<u8>,
    flying: BTreeSet<Flying>,
    /// Rows to be sent when what flies is written; the next one last.
    unsent: Vec<Row>,
    /// Replicas on which this owner's generation is fenced; none as long as nobody has sent it.
    fenced: Option<u8>,
}

/// Somebody who is not the owner and reads the log ahead of the head.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Reader {
    None,
    Looked(Vec<Row>),
    Done,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct State {
    claim: u8,
    replicas: [BTreeSet<Row>; REPLICAS],
    owners: Vec<Owner>,
    /// What was told: to clients, or to a reader.
    acknowledged: BTreeSet<(u8, u8)>,
    reader: Reader,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Action {
    Land(usize, Flying, usize),
    SendFence(usize),
    LandFence(usize, usize),
    Claim(usize),
    Recover(usize, usize),
    Written(usize),
    Pass(usize, usize),
    Append(usize, Vec<u8>),
    Answer(usize, u8),
    Look(usize),
    Trust,
}

fn is_quorum(landed: u8) -> bool {
    landed.count_ones() >= 2
}

impl Protocol {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    fn log(&self, state: &State, replicas: &[usize]) -> Vec<Row> {
        let rows: BTreeSet<Row> = replicas.iter().flat_map(|replica| state.replicas[*replica].clone()).collect();
        // To leave a part of the rule out, the rows are dressed so that it has nothing to say.
        if !self.has(Rule::Void) {
            return unguarded(rows, |row, log| row.last <= row.seq || log.contains(&row.last));
        }
        if !self.has(Rule::Whole) {
            let alone = rows.iter().map(|row| Row { last: row.seq, ..*row });
            let log = resolve(alone, Seq(1));
            return log
                .iter()
                .filter_map(|found| rows.iter().find(|row| Row { last: row.seq, ..**row } == *found))
                .copied()
                .collect();
        }
        resolve(rows, Seq(1))
    }

    fn send(&self, owner: &mut Owner, rows: &[Row]) {
        if self.split && self.has(Rule::LastPartFirst) {
            owner.unsent = rows.to_vec();
            owner.flying.extend(owner.unsent.pop().map(|row| (vec![row], 0)));
        } else if self.split {
            owner.flying.extend(rows.iter().map(|row| (vec![*row], 0)));
        } else if !rows.is_empty() {
            owner.flying.insert((rows.to_vec(), 0));
        }
    }

    /// The messages that an owner may append now, as batches.
    fn batches(&self, known: &[u8]) -> Vec<Vec<u8>> {
        let free: Vec<u8> = (1..=self.messages).filter(|message| !known.contains(message)).collect();
        let mut batches: Vec<Vec<u8>> = free.iter().map(|message| vec![*message]).collect();
        if self.batch > 1 {
            let pairs = free.iter().flat_map(|a| free.iter().filter(move |b| *b != a).map(move |b| vec![*a, *b]));
            batches.extend(pairs);
        }
        batches
    }

    fn recover(&self, state: &mut State, owner: usize, quorum: usize) {
        let log = self.log(state, &QUORUMS[quorum]);
        let epoch = u8::try_from(owner + 1).unwrap();
        let me = &mut state.owners[owner];
        me.known = log.iter().map(|row| row.message).collect();
        let Some(last) = log.last().filter(|_| self.has(Rule::WriteBack)) else {
            me.step = Step::Up;
            return;
        };
        let first = log.iter().rev().take_while(|row| row.last == last.last).count();
        let first = if self.has(Rule::WriteBackWhole) { first } else { 1 };
        let rows: Vec<Row> = log[log.len() - first..].iter().map(|row| Row { epoch, ..*row }).collect();
        self.send(me, &rows);
        me.step = Step::WritingBack;
    }

    /// The answer of the gate, read from a quorum: fences first, the claim itself if there is one.
    fn passes(&self, state: &State, owner: usize, quorum: usize) -> bool {
        let fenced = state.owners[owner].fenced.unwrap_or_default();
        let is_fenced = QUORUMS[quorum].iter().any(|replica| fenced & 1 << replica != 0);
        if self.fences && !is_fenced { true } else { usize::from(state.claim) == owner + 1 }
    }

    /// What a reader of a quorum finds, which that leaves on the quorum.
    fn look(&self, state: &mut State, quorum: usize) -> Vec<Row> {
        let log = self.log(state, &QUORUMS[quorum]);
        if self.has(Rule::ReadRepair) {
            let [one, other] = QUORUMS[quorum];
            let found: BTreeSet<Row> = state.replicas[one].union(&state.replicas[other]).copied().collect();
            state.replicas[one].clone_from(&found);
            state.replicas[other] = found;
        }
        log
    }

    /// Whether the newest of these rows is its writer's still: the claim alone tells, which is read after the rows.
    fn is_trusted(state: &State, log: &[Row]) -> bool {
        log.last().is_none_or(|row| row.epoch == state.claim)
    }

    fn violation(&self, state: &State) -> Option<&'static str> {
        let messages: BTreeSet<u8> = state.acknowledged.iter().map(|(message, _)| *message).collect();
        let seqs: BTreeSet<u8> = state.acknowledged.iter().map(|(_, seq)| *seq).collect();
        if messages.len() != state.acknowledged.len() {
            return Some("one message acknowledged at two places");
        }
        if seqs.len() != state.acknowledged.len() {
            return Some("two messages acknowledged at one place");
        }
        let is_half = |log: &[Row]| log.last().is_some_and(|row| row.last > row.seq);
        for quorum in &QUORUMS {
            let log = self.log(state, quorum);
            for (message, seq) in &state.acknowledged {
                if !log.iter().any(|row| row.seq == *seq && row.message == *message) {
                    return Some("an acknowledged message is not read");
                }
                if log.iter().filter(|row| row.message == *message).count() > 1 {
                    return Some("an acknowledged message is read twice");
                }
            }
            if is_half(&log) {
                return Some("half a batch is read");
            }
        }
        // A single replica may lack what is acknowledged, but nobody who reads it alone sees half a batch.
        if (0..REPLICAS).any(|replica| is_half(&self.log(state, &[replica]))) {
            return Some("half a batch is read from one replica");
        }
        None
    }
}

/// The rule without its void clause: at each place the highest epoch, up to the first gap, whole batches.
fn unguarded(rows: BTreeSet<Row>, is_whole: impl Fn(&Row, &[u8]) -> bool) -> Vec<Row> {
    let mut log: Vec<Row> = Vec::new();
    let mut seq = 1;
    while let Some(row) = rows.iter().filter(|row| row.seq == seq).max_by_key(|row| row.epoch) {
        log.push(*row);
        seq += 1;
    }
    let places: Vec<u8> = log.iter().map(|row| row.seq).collect();
    while log.last().is_some_and(|row| !is_whole(row, &places)) {
        log.pop();
    }
    log
}

impl State {
    /// Replicas are alike: of all orders of them, one stands for all.
    fn canonical(self) -> Self {
        ORDERS.iter().map(|order| self.reordered(order)).min().expect("six orders")
    }

    fn reordered(&self, order: &[usize; 3]) -> Self {
        let mask =
            |landed: u8| (0..REPLICAS).filter(|to| landed & 1 << order[*to] != 0).fold(0, |mask, to| mask | 1 << to);
        let owners = self.owners.iter().map(|owner| Owner {
            flying: owner.flying.iter().map(|(rows, landed)| (rows.clone(), mask(*landed))).collect(),
            fenced: owner.fenced.map(mask),
            ..owner.clone()
        });
        Self {
            replicas: order.map(|from| self.replicas[from].clone()),
            owners: owners.collect(),
            acknowledged: self.acknowledged.clone(),
            claim: self.claim,
            reader: self.reader.clone(),
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let owner =
            Owner { step: Step::New, known: Vec::new(), flying: BTreeSet::new(), unsent: Vec::new(), fenced: None };
        vec![State {
            claim: 0,
            replicas: Default::default(),
            owners: vec![owner; self.owners.into()],
            acknowledged: BTreeSet::new(),
            reader: Reader::None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (i, owner) in state.owners.iter().enumerate() {
            for write in &owner.flying {
                let open = (0..REPLICAS).filter(|replica| write.1 & 1 << replica == 0);
                actions.extend(open.map(|replica| Action::Land(i, write.clone(), replica)));
            }
            if let Some(landed) = owner.fenced {
                let open = (0..REPLICAS).filter(|replica| landed & 1 << replica == 0);
                actions.extend(open.map(|replica| Action::LandFence(i, replica)));
            }
            let is_written = owner.flying.iter().all(|(_, landed)| is_quorum(*landed));
            match &owner.step {
                Step::New if usize::from(state.claim) == i => {
                    let before = i.checked_sub(1).and_then(|before| state.owners.get(before));
                    let is_fenced = before.is_none_or(|before| before.fenced.is_some_and(is_quorum));
                    if !self.fences || is_fenced || !self.has(Rule::FenceFirst) {
                        actions.push(Action::Claim(i));
                    }
                    if self.fences && before.is_some_and(|before| before.fenced.is_none()) {
                        actions.push(Action::SendFence(i - 1));
                    }
                }
                Step::Claimed => actions.extend((0..QUORUMS.len()).map(|quorum| Action::Recover(i, quorum))),
                Step::WritingBack | Step::Appending { .. } if is_written => actions.push(Action::Written(i)),
                Step::Gate { .. } => actions.extend((0..QUORUMS.len()).map(|quorum| Action::Pass(i, quorum))),
                Step::Up => {
                    actions.extend(self.batches(&owner.known).into_iter().map(|batch| Action::Append(i, batch)));
                    let is_open = |message: &&u8| !state.acknowledged.iter().any(|(known, _)| known == *message);
                    actions.extend(owner.known.iter().filter(is_open).map(|message| Action::Answer(i, *message)));
                }
                Step::New | Step::WritingBack | Step::Appending { .. } | Step::Dead => {}
            }
        }
        match &state.reader {
            Reader::None if self.reader => actions.extend((0..QUORUMS.len()).map(Action::Look)),
            Reader::Looked(_) => actions.push(Action::Trust),
            Reader::None | Reader::Done => {}
        }
        // Without the rule, the fence of a generation may come after its claim was taken.
        if self.fences && !self.has(Rule::FenceFirst) {
            let late = (0..usize::from(state.claim).saturating_sub(1)).filter(|i| state.owners[*i].fenced.is_none());
            actions.extend(late.map(Action::SendFence));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Land(i, write, replica) => {
                state.owners[i].flying.remove(&write);
                state.replicas[replica].extend(write.0.iter().copied());
                let landed = write.1 | 1 << replica;
                // Landed everywhere, it has nothing more to do: whoever waits for it takes it for written.
                if landed != 0b111 {
                    state.owners[i].flying.insert((write.0, landed));
                }
            }
            Action::SendFence(i) => state.owners[i].fenced = Some(0),
            Action::LandFence(i, replica) => *state.owners[i].fenced.as_mut()? |= 1 << replica,
            Action::Claim(i) => {
                state.claim += 1;
                state.owners[i].step = Step::Claimed;
            }
            Action::Recover(i, quorum) => self.recover(&mut state, i, quorum),
            Action::Written(i) if !state.owners[i].unsent.is_empty() => {
                let owner = &mut state.owners[i];
                owner.flying.extend(owner.unsent.pop().map(|row| (vec![row], 0)));
            }
            Action::Written(i) => {
                let step = match &state.owners[i].step {
                    Step::WritingBack if !self.has(Rule::WriteBackGate) => Step::Up,
                    Step::WritingBack => Step::Gate { written: Vec::new() },
                    Step::Appending { written } => Step::Gate { written: written.clone() },
                    _ => return None,
                };
                state.owners[i].step = step;
            }
            Action::Pass(i, quorum) => {
                let Step::Gate { written } = state.owners[i].step.clone() else { return None };
                let passes = self.passes(&state, i, quorum) || (!self.has(Rule::Gate) && !written.is_empty());
                let owner = &mut state.owners[i];
                owner.step = if passes { Step::Up } else { Step::Dead };
                if passes {
                    owner.known.extend(written.iter().map(|row| row.message));
                    state.acknowledged.extend(written.iter().map(|row| (row.message, row.seq)));
                }
            }
            Action::Append(i, messages) => {
                let epoch = u8::try_from(i + 1).ok()?;
                let first = u8::try_from(state.owners[i].known.len()).ok()? + 1;
                let last = first + u8::try_from(messages.len()).ok()? - 1;
                let rows: Vec<Row> =
                    (first..).zip(messages).map(|(seq, message)| Row { seq, epoch, last, message }).collect();
                let owner = &mut state.owners[i];
                self.send(owner, &rows);
                owner.step = Step::Appending { written: rows };
            }
            Action::Answer(i, message) => {
                let place = state.owners[i].known.iter().position(|known| *known == message)?;
                state.acknowledged.insert((message, u8::try_from(place + 1).ok()?));
            }
            Action::Look(quorum) => {
                let log = self.look(&mut state, quorum);
                state.reader = Reader::Looked(log);
            }
            Action::Trust => {
                let Reader::Looked(log) = std::mem::replace(&mut state.reader, Reader::Done) else { return None };
                if !self.has(Rule::ReadGate) || Self::is_trusted(&state, &log) {
                    state.acknowledged.extend(log.iter().map(|row| (row.message, row.seq)));
                }
            }
        }
        Some(state.canonical())
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(
            "what is acknowledged is read, once, at its place, whole",
            |model: &Self, state: &State| model.violation(state).is_none(),
        )]
    }
}

/// Steps explored at most. Two owners need less; three, and a reader of two messages, are cut here, which is far behind
/// the longest history that breaks when a rule is missing.
const STEPS_MAX: usize = 300_000;

/// Explores everything, up to a limit; the history that breaks the property, if there is one, and how many states there were.
fn explored(protocol: Protocol) -> (Option<String>, usize) {
    let checker = protocol.checker().threads(1).target_state_count(STEPS_MAX).spawn_bfs().join();
    let broken = checker.discoveries().into_values().next().map(|path| {
        let last = path.last_state().clone();
        let steps: Vec<String> = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
        format!("{}\n{}", protocol.violation(&last).unwrap_or_default(), steps.join("\n"))
    });
    let is_complete = checker.state_count() < STEPS_MAX;
    let is_cut = protocol.owners > 2 || protocol.reader && protocol.messages > 1;
    assert!(is_complete || broken.is_some() || is_cut, "{protocol:?} was not explored to its end");
    (broken, checker.unique_state_count())
}

#[track_caller]
fn holds(protocol: Protocol) {
    let (broken, states) = explored(protocol);
    println!("{protocol:?}: {states} states");
    assert_eq!(broken, None, "{protocol:?}");
    assert!(states > 1_000, "nothing was explored: {states} states");
}

#[track_caller]
fn breaks_without(rule: Rule, protocol: Protocol) {
    let (broken, states) = explored(Protocol { without: Some(rule), ..protocol });
    println!("without {rule:?}: {states} states, {}", broken.as_deref().unwrap_or("nothing found"));
    assert!(broken.is_some(), "nothing breaks without {rule:?}");
}

const SMALL: Protocol =
    Protocol { owners: 2, messages: 2, batch: 1, split: false, fences: false, reader: false, without: None };
const BATCHES: Protocol = Protocol { batch: 2, ..SMALL };
const SPLIT: Protocol = Protocol { split: true, ..BATCHES };
const FENCES: Protocol = Protocol { fences: true, ..SMALL };
const READER: Protocol = Protocol { reader: true, ..SMALL };
const THREE: Protocol = Protocol { owners: 3, ..SMALL };

#[test]
fn the_protocol_holds_with_batches() {
    holds(BATCHES);
}

#[test]
fn the_protocol_holds_with_batches_over_an_edge() {
    holds(SPLIT);
}

#[test]
fn the_protocol_holds_when_the_gate_reads_fences() {
    holds(FENCES);
}

#[test]
fn the_protocol_holds_for_a_reader_ahead_of_the_head() {
    holds(READER);
    holds(Protocol { messages: 1, ..READER });
    holds(Protocol { messages: 1, fences: true, ..READER });
}

#[test]
fn the_protocol_holds_for_three_owners() {
    holds(THREE);
}

#[test]
fn every_rule_is_needed() {
    breaks_without(Rule::Gate, SMALL);
    breaks_without(Rule::FenceFirst, FENCES);
    breaks_without(Rule::WriteBack, SMALL);
    breaks_without(Rule::WriteBackWhole, Protocol { owners: 3, ..BATCHES });
    breaks_without(Rule::WriteBackGate, THREE);
    breaks_without(Rule::LastPartFirst, SPLIT);
    // Of a quorum the order of the parts alone keeps this promise; of one replica it does not.
    breaks_without(Rule::Whole, SPLIT);
    breaks_without(Rule::Void, Protocol { owners: 3, ..BATCHES });
    breaks_without(Rule::ReadGate, READER);
    breaks_without(Rule::ReadRepair, READER);
}
