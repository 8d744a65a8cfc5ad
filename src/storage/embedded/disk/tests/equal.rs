//! Under the same transactions the engine on disk and the one in memory say the same.

use fjall::Slice;
use proptest::prelude::*;

use super::*;
use crate::storage::embedded::{
    engine::{Txn, transact},
    memory::MemoryEngine,
};

#[derive(Clone, Debug)]
enum Step {
    Get(Vec<u8>),
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    /// Refuses the transaction, after all that was staged.
    Fail,
}

#[derive(Clone, Debug)]
enum Action {
    /// Transactions that are queued together.
    Transact(Vec<Vec<Step>>),
    Scan(Vec<u8>, Vec<u8>, bool, usize),
    Reopen,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // Few keys, so that they meet; above the tag of the engine's own rows.
    prop::collection::vec(prop_oneof![Just(0x60_u8), Just(0x61), Just(0xfe)], 1..4)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => key().prop_map(Step::Get),
        5 => (key(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(key, value)| Step::Put(key, value)),
        2 => key().prop_map(Step::Delete),
        1 => Just(Step::Fail),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let transactions = prop::collection::vec(prop::collection::vec(step(), 0..6), 1..5);
    prop_oneof![
        8 => transactions.prop_map(Action::Transact),
        4 => (key(), key(), any::<bool>(), 0..20_usize).prop_map(|(a, b, back, limit)| Action::Scan(a, b, back, limit)),
        1 => Just(Action::Reopen),
    ]
}

/// Runs the steps; the values seen, or whether it failed.
fn run(steps: &[Step], txn: &mut Txn<'_>) -> Outcome<Vec<Option<Slice>>> {
    let mut seen = Vec::new();
    for step in steps {
        match step {
            Step::Get(key) => seen.push(txn.get(key)?),
            Step::Put(key, value) => txn.put(Slice::from(&key[..]), Slice::from(&value[..])),
            Step::Delete(key) => txn.delete(Slice::from(&key[..])),
            Step::Fail => return Err(Fault::conflict("on purpose")),
        }
    }
    Ok(seen)
}

type Seen = Vec<Result<Vec<Option<Slice>>, StoreErrorKind>>;

async fn transact_all<E: Engine>(engine: &E, transactions: &[Vec<Step>]) -> Seen {
    let run_one = |steps: &Vec<Step>| {
        let steps = steps.clone();
        transact(engine, move |txn| run(&steps, txn))
    };
    let results = futures_util::future::join_all(transactions.iter().map(run_one)).await;
    results.into_iter().map(|result| result.map(|(seen, _)| seen).map_err(|fault| fault.kind())).collect()
}

fn scan<E: Engine>(engine: &E, from: &[u8], to: &[u8], back: bool, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let direction = if back { Direction::Backward } else { Direction::Forward };
    let mut rows = Vec::new();
    let visit: &mut Visit<'_> = &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        Ok(rows.len() < limit)
    };
    engine.scan(from, to, direction, visit).unwrap();
    rows
}

fn engine(dir: &Path) -> DiskEngine {
    super::super::open(dir, &OpenOptions::default()).unwrap()
}

async fn check(actions: Vec<Action>) {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryEngine::default();
    let mut disk = engine(dir.path());
    for action in actions {
        match action {
            Action::Transact(transactions) => {
                let expected = transact_all(&memory, &transactions).await;
                assert_eq!(transact_all(&disk, &transactions).await, expected);
            }
            Action::Scan(from, to, back, limit) => {
                assert_eq!(scan(&disk, &from, &to, back, limit), scan(&memory, &from, &to, back, limit));
            }
            Action::Reopen => {
                disk.close().unwrap();
                disk = engine(dir.path());
            }
        }
    }
    assert_eq!(scan(&disk, &[0x60], &[0xff], false, usize::MAX), scan(&memory, &[0x60], &[0xff], false, usize::MAX));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn disk_and_memory_say_the_same(actions in prop::collection::vec(action(), 1..25)) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check(actions));
    }
}
