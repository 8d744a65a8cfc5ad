//! Rows that the next write of the same room reads again: who may write, the newest numbers, positions.
//!
//! The commit thread alone writes, so what it wrote last is what is stored, and asking its memory first changes no
//! answer. It saves two searches a message in the engine's memory table. Bounded; what falls out is read from the
//! engine.

use std::collections::HashMap;

use fjall::Slice;

use super::super::keys::Table;

/// Rows of a generation. There are two, so that memory is bounded and rows in use stay.
const ROWS_MAX: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: Rows,
    old: Rows,
}

type Rows = HashMap<Slice, Option<Slice>, foldhash::fast::RandomState>;

impl Recent {
    /// The committed value of `key` (or that there is none), if it is remembered.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Option<Slice>> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Remembers a committed row, if it is of a table whose rows are read again.
    pub(super) fn committed(&mut self, key: &Slice, value: Option<&Slice>) {
        const AGAIN: [u8; 2] = [Table::Control as u8, Table::Position as u8];
        if !key.first().is_some_and(|table| AGAIN.contains(table)) {
            return;
        }
        if self.young.len() >= ROWS_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key.clone(), value.cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::ids::RoomId, storage::embedded::keys};

    fn room(number: usize) -> Slice {
        keys::control(RoomId((number as u128).to_be_bytes())).slice()
    }

    #[test]
    fn the_newest_version_is_the_one_remembered() {
        let mut recent = Recent::default();
        recent.committed(&room(1), Some(&"old".into()));
        // The old version moves to the old generation, the new one is in the young one.
        (2..=ROWS_MAX).for_each(|number| recent.committed(&room(number), None));
        recent.committed(&room(1), Some(&"new".into()));
        assert_eq!(recent.get(&room(1)), Some(&Some("new".into())));
        assert_eq!(recent.get(&room(2)), Some(&None));
    }

    #[test]
    fn memory_is_bounded() {
        let mut recent = Recent::default();
        (0..5 * ROWS_MAX).for_each(|number| recent.committed(&room(number), None));
        assert!(recent.young.len() + recent.old.len() <= 2 * ROWS_MAX);
        assert_eq!(recent.get(&room(0)), None);
    }

    #[test]
    fn other_tables_are_not_remembered() {
        let mut recent = Recent::default();
        let key = keys::journal(RoomId([1; 16])).slice();
        recent.committed(&key, None);
        assert_eq!(recent.get(&key), None);
    }
}
