//! Numbers of the contract as PostgreSQL keeps them: a bigint has a sign, they have none.

use crate::domain::ids::{RoomId, Seq};

/// The bigint with the same bits. Equality holds for all numbers, order for those below 2^63; `umax` of the schema
/// compares the others too.
pub(super) const fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// [`bits`] taken back.
pub(super) const fn unsigned(stored: i64) -> u64 {
    stored.cast_unsigned()
}

/// A seq as a bound of a range in which every stored seq is below 2^63.
pub(super) fn bound(seq: Seq) -> i64 {
    i64::try_from(seq.0).unwrap_or(i64::MAX)
}

/// A page's length.
pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The least id greater than `after`; `None` if there is none.
pub(super) fn room_after(after: Option<RoomId>) -> Option<RoomId> {
    match after {
        None => Some(RoomId([0; 16])),
        Some(RoomId(id)) => u128::from_be_bytes(id).checked_add(1).map(|next| RoomId(next.to_be_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        for number in [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX] {
            assert_eq!(unsigned(bits(number)), number);
        }
        assert_eq!(bits(7), 7);
        assert_eq!(bound(Seq(u64::MAX)), i64::MAX);
    }

    #[test]
    fn rooms_have_successors_but_the_last() {
        assert_eq!(room_after(None), Some(RoomId([0; 16])));
        let mut id = [0xff; 16];
        assert_eq!(room_after(Some(RoomId(id))), None);
        id[0] = 0;
        let mut next = [0; 16];
        next[0] = 1;
        assert_eq!(room_after(Some(RoomId(id))), Some(RoomId(next)));
    }
}
