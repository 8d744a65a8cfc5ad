//! What users let others do with them: who may add them to rooms, and who is told of them.

/// Whom a user lets add them to rooms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhoMayAdd {
    /// Everyone.
    #[default]
    Everyone = 0,
    /// Those who share a room with the user.
    SharingARoom = 1,
    /// Nobody; the user adds others.
    Nobody = 2,
}

impl WhoMayAdd {
    /// The setting with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Everyone),
            1 => Some(Self::SharingARoom),
            2 => Some(Self::Nobody),
            _ => None,
        }
    }
}

/// How a user stands towards somebody who wants something of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The user has blocked the one who asks.
    pub has_blocked: bool,
    /// Both are members of some room.
    pub shares_a_room: bool,
}

impl Standing {
    /// Whether one who asks may add the user to a room. The admin role may always.
    #[must_use]
    pub const fn may_be_added(self, admin: bool, who: WhoMayAdd) -> bool {
        admin
            || (!self.has_blocked
                && match who {
                    WhoMayAdd::Everyone => true,
                    WhoMayAdd::SharingARoom => self.shares_a_room,
                    WhoMayAdd::Nobody => false,
                })
    }

    /// Whether one who asks may know if the user is online. The admin role may always.
    #[must_use]
    pub const fn presence_is_told(self, admin: bool) -> bool {
        admin || (self.shares_a_room && !self.has_blocked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn standing(has_blocked: bool, shares_a_room: bool) -> Standing {
        Standing { has_blocked, shares_a_room }
    }

    #[test]
    fn who_is_added() {
        use WhoMayAdd::{Everyone, Nobody, SharingARoom};
        let table = [
            (Everyone, false, false, true),
            (Everyone, true, true, false),
            (SharingARoom, false, true, true),
            (SharingARoom, false, false, false),
            (SharingARoom, true, true, false),
            (Nobody, false, true, false),
        ];
        for (who, has_blocked, shares, expected) in table {
            assert_eq!(
                standing(has_blocked, shares).may_be_added(false, who),
                expected,
                "{who:?} {has_blocked} {shares}"
            );
            assert!(standing(has_blocked, shares).may_be_added(true, who), "the admin role may");
        }
        for who in [Everyone, SharingARoom, Nobody] {
            assert_eq!(WhoMayAdd::from_number(who as u8), Some(who));
        }
        assert_eq!(WhoMayAdd::from_number(3), None);
    }

    #[test]
    fn who_is_told_of_presence() {
        assert!(standing(false, true).presence_is_told(false));
        for hidden in [standing(false, false), standing(true, true), standing(true, false)] {
            assert!(!hidden.presence_is_told(false));
            assert!(hidden.presence_is_told(true));
        }
    }
}
