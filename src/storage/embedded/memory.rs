//! The engine without a disk: a sorted map. Transactions run inline, in the order of their calls; nothing here spawns,
//! waits or reads a clock, so that a simulation stays deterministic. "Durable" is whatever the process survives.

use std::{collections::BTreeMap, ops::Bound};

use fjall::Slice;
use parking_lot::RwLock;

use super::{
    engine::{Base, Engine, Op, Staged, Txn, Visit},
    fault::{Fault, Outcome},
};
use crate::storage::types::{Direction, Durability};

/// A sorted map in memory.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    rows: RwLock<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    map: BTreeMap<Slice, Slice>,
    closed: bool,
}

impl Base for Rows {
    fn committed(&self, key: &[u8]) -> Outcome<Option<Slice>> {
        Ok(self.map.get(key).cloned())
    }
}

impl Engine for MemoryEngine {
    fn get(&self, key: &[u8]) -> Outcome<Option<Slice>> {
        let rows = self.rows.read();
        if rows.closed {
            return Err(Fault::closed());
        }
        rows.committed(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], direction: Direction, visit: &mut Visit<'_>) -> Outcome<()> {
        let rows = self.rows.read();
        if rows.closed {
            return Err(Fault::closed());
        }
        if from >= to {
            return Ok(());
        }
        let mut range = rows.map.range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        loop {
            let row = match direction {
                Direction::Forward => range.next(),
                Direction::Backward => range.next_back(),
            };
            match row {
                Some((key, value)) if visit(key, value)? => {}
                _ => return Ok(()),
            }
        }
    }

    fn submit(&self, mut op: Box<dyn Op>) -> Outcome<()> {
        let mut own = Staged::default();
        let mut rows = self.rows.write();
        if rows.closed {
            return Err(Fault::closed());
        }
        if op.run(&mut Txn::new(&*rows, &Staged::default(), &mut own)) {
            for (key, value) in own {
                match value {
                    Some(value) => rows.map.insert(key, value),
                    None => rows.map.remove(&key),
                };
            }
        }
        drop(rows);
        op.finish(Ok(Durability::Synced));
        Ok(())
    }

    fn close(&self) -> Outcome<()> {
        self.rows.write().closed = true;
        Ok(())
    }
}
