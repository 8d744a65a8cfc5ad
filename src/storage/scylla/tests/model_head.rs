//! The head row under clocks that differ, explored exhaustively, over the stamps that production gives out.
//!
//! The head is one row, of which the value with the greater timestamp is kept, and owners write it late: who is frozen has
//! passed its gate and its write lands when somebody else has long written there. Left out is what `model.rs` has: here the
//! log is one place, and the gate is the claim. Each rule can be switched off, and then the head must be set back.

use std::collections::BTreeSet;

use stateright::{Checker, Model, Property};

use crate::{
    domain::ids::Epoch,
    storage::scylla::stamp::{adding, after, taking},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rule {
    /// The stamp of a take-over has no clock in it.
    TakenWithoutClock,
    /// Moving positions leaves the head as it is.
    HeadAsItIs,
    /// Who takes the room over goes on behind the stamps of its log.
    BehindTheLog,
}

#[derive(Clone, Debug)]
struct Heads {
    /// Each owner's clock, milliseconds.
    clocks: Vec<i64>,
    messages: u8,
    without: Option<Rule>,
}

/// What the head row says, and by which stamp: stamp, owner, number of messages.
type Head = (i64, u8, u8);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Step {
    New,
    Claimed,
    /// It has read the room.
    Read {
        stamp: i64,
        len: u8,
    },
    /// It is past its gate, and says so in the head.
    Settling {
        stamp: i64,
        len: u8,
    },
    Up {
        stamp: i64,
        len: u8,
    },
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct State {
    claim: u8,
    head: Head,
    /// Newest owner, and most messages, that the head ever said.
    said: (u8, u8),
    /// Stamps of what counts.
    log: Vec<i64>,
    owners: Vec<(Step, BTreeSet<Head>)>,
    moves: u8,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Action {
    Claim(usize),
    Read(usize),
    Pass(usize),
    Land(usize, Head),
    Append(usize),
    Move(usize),
}

impl Heads {
    fn has(&self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    fn read(&self, state: &State, owner: usize) -> Step {
        let (stamp, settled, _) = state.head;
        let log = state.log.iter().copied().filter(|_| self.has(Rule::BehindTheLog)).max().unwrap_or_default();
        let known = stamp.max(log);
        let epoch = u64::try_from(owner + 1).unwrap();
        let stamp = if self.has(Rule::TakenWithoutClock) {
            taking(known, Epoch(settled.into()), Epoch(epoch))
        } else {
            after(known, self.clocks[owner])
        };
        Step::Read { stamp, len: u8::try_from(state.log.len()).unwrap() }
    }
}

impl Model for Heads {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let owners = vec![(Step::New, BTreeSet::new()); self.clocks.len()];
        vec![State { claim: 0, head: (0, 0, 0), said: (0, 0), log: Vec::new(), owners, moves: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (i, (step, flying)) in state.owners.iter().enumerate() {
            let is_claimed = usize::from(state.claim) == i + 1;
            match step {
                Step::New if usize::from(state.claim) == i => actions.push(Action::Claim(i)),
                Step::Claimed => actions.push(Action::Read(i)),
                Step::Read { .. } if is_claimed => actions.push(Action::Pass(i)),
                Step::Up { .. } if is_claimed => {
                    if state.log.len() < self.messages.into() {
                        actions.push(Action::Append(i));
                    }
                    if state.moves < 2 {
                        actions.push(Action::Move(i));
                    }
                }
                Step::New | Step::Read { .. } | Step::Settling { .. } | Step::Up { .. } => {}
            }
            actions.extend(flying.iter().map(|head| Action::Land(i, *head)));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Claim(i) => {
                state.claim += 1;
                state.owners[i].0 = Step::Claimed;
            }
            Action::Read(i) => state.owners[i].0 = self.read(&state, i),
            Action::Pass(i) => {
                let Step::Read { stamp, len } = state.owners[i].0 else { return None };
                state.owners[i].1.insert((stamp, state.claim, len));
                state.owners[i].0 = Step::Settling { stamp, len };
            }
            Action::Land(i, head) => {
                state.owners[i].1.remove(&head);
                // Columns of the same timestamp are told apart by their values.
                if adding(head.0) >= adding(state.head.0) {
                    state.head = state.head.max(head);
                }
                state.said = (state.said.0.max(head.1), state.said.1.max(head.2));
                if let Step::Settling { stamp, len } = state.owners[i].0 {
                    state.owners[i].0 = Step::Up { stamp, len };
                }
            }
            Action::Append(i) => {
                let Step::Up { stamp, len } = state.owners[i].0 else { return None };
                let stamp = after(stamp, self.clocks[i]);
                state.log.push(stamp);
                state.owners[i].1.insert((stamp, state.claim, len + 1));
                state.owners[i].0 = Step::Up { stamp, len: len + 1 };
            }
            Action::Move(i) => {
                let Step::Up { stamp, len } = state.owners[i].0 else { return None };
                let stamp = after(stamp, self.clocks[i]);
                state.moves += 1;
                if !self.has(Rule::HeadAsItIs) {
                    state.owners[i].1.insert((stamp, state.claim, len));
                }
                state.owners[i].0 = Step::Up { stamp, len };
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("the head is never set back", |_, state: &State| {
            (state.head.1, state.head.2) >= state.said && state.head.2 >= state.said.1
        })]
    }
}

/// The first owner's clock is an hour ahead, the last one's, or that of one between.
const CLOCKS_MS: [[i64; 3]; 3] = [[3_600_000, 1, 1], [1, 3_600_000, 1], [1, 1, 3_600_000]];

/// The history that sets the head back, if there is one, and how many states there were.
fn explored(clocks: [i64; 3], without: Option<Rule>) -> (Option<String>, usize) {
    let model = Heads { clocks: clocks.to_vec(), messages: 3, without };
    let checker = model.checker().threads(1).spawn_bfs().join();
    let broken = checker.discoveries().into_values().next();
    (broken.map(|path| format!("{:?}", path.into_actions())), checker.unique_state_count())
}

#[test]
fn the_head_is_never_set_back() {
    for clocks in CLOCKS_MS {
        let (broken, states) = explored(clocks, None);
        assert_eq!(broken, None, "{clocks:?}");
        assert!(states > 1_000, "nothing was explored: {states} states");
    }
}

#[test]
fn every_rule_of_the_head_is_needed() {
    for rule in [Rule::TakenWithoutClock, Rule::HeadAsItIs, Rule::BehindTheLog] {
        let breaks = CLOCKS_MS.iter().any(|clocks| explored(*clocks, Some(rule)).0.is_some());
        assert!(breaks, "nothing breaks without {rule:?}");
    }
}
