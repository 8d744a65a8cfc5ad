//! Whether a store takes writes, told by the one write that a node makes all the time (it reserves message ids). Reads
//! tell nothing of it: a full disk, a database that was made read-only or a lost primary all answer them.

use std::sync::Arc;

use parking_lot::Mutex;

use super::error::{StoreError, is_for_want_of_room};

/// Why a store takes no writes, for whoever keeps the server running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// It says that there is no room.
    NoRoom,
    /// It refuses them, or cannot be reached.
    Refused,
    /// It does not answer in time.
    Silent,
    /// What was written is not there: another store has taken its place, or it was emptied.
    NotTheSame,
}

impl Trouble {
    /// What the store's error means.
    #[must_use]
    pub fn of(error: &StoreError) -> Self {
        if is_for_want_of_room(error) { Self::NoRoom } else { Self::Refused }
    }

    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoRoom => "takes no writes: its disk is full",
            Self::Refused => "takes no writes; see the log",
            Self::Silent => "does not answer writes",
            Self::NotTheSame => "is not the one of before: what was written is gone",
        }
    }
}

/// What the last write has come to. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Trouble>>>);

impl Pulse {
    /// Why the store takes no writes; none if it does, as far as is known.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        *self.0.lock()
    }

    /// Notes what a write has come to. Returns whether that is news.
    pub fn felt(&self, trouble: Option<Trouble>) -> bool {
        std::mem::replace(&mut *self.0.lock(), trouble) != trouble
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::storage::StoreErrorKind;

    #[test]
    fn a_full_disk_is_known_by_its_cause() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(Trouble::of(&StoreError::not_tried("x", full)), Trouble::NoRoom);
        let other = StoreError::because(StoreErrorKind::Unavailable, "x", "gone");
        assert_eq!(Trouble::of(&other), Trouble::Refused);
    }

    #[test]
    fn only_changes_are_news() {
        let pulse = Pulse::default();
        assert!(!pulse.felt(None));
        assert!(pulse.felt(Some(Trouble::Silent)) && !pulse.felt(Some(Trouble::Silent)));
        assert!(pulse.felt(Some(Trouble::NoRoom)) && pulse.felt(None));
        assert_eq!(pulse.trouble(), None);
    }
}
