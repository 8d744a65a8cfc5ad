//! Message ids: 42 bits of milliseconds since 2024-01-01 UTC, 10 bits worker, 12 bits sequence.
//!
//! The caller passes the time in. A clock that goes back never yields a smaller id: the generator stays at the greatest
//! millisecond it has seen, and steps to the next one when a millisecond's 4,096 ids are used up. Over a restart, whoever
//! makes the generator says where it begins.
//!
//! So the time in an id may be ahead of the clock: by as much as a clock was ahead once, and for some seconds after a
//! restart. Ids order messages; nothing takes the time of anything from them.

use super::ids::MessageId;

/// 2024-01-01T00:00:00Z in milliseconds since the Unix epoch.
pub const EPOCH_MS: i64 = 1_704_067_200_000;
const WORKER_BITS: u32 = 10;
const SEQUENCE_BITS: u32 = 12;
/// The last millisecond that an id can hold, since the Unix epoch: in 2093.
pub const LAST_MS: i64 = EPOCH_MS + (1 << 41) - 1;
/// Greatest worker number.
pub const WORKER_MAX: u16 = (1 << WORKER_BITS) - 1;
const SEQUENCE_MAX: u16 = (1 << SEQUENCE_BITS) - 1;

/// The smallest id of a millisecond (since the Unix epoch): for places between ids, not for messages.
#[must_use]
pub const fn first_at(unix_ms: i64) -> MessageId {
    let ms = unix_ms.saturating_sub(EPOCH_MS);
    let ms = if ms < 0 { 0 } else { ms };
    MessageId((if ms > LAST_MS - EPOCH_MS { LAST_MS - EPOCH_MS } else { ms }) << (WORKER_BITS + SEQUENCE_BITS))
}

/// Makes ids for one worker.
#[derive(Debug)]
pub struct Snowflakes {
    worker: u16,
    ms: i64,
    sequence: u16,
}

impl Snowflakes {
    /// A generator for `worker` (0 to [`WORKER_MAX`]; higher bits are cut off).
    #[must_use]
    pub const fn new(worker: u16) -> Self {
        Self { worker: worker & WORKER_MAX, ms: 0, sequence: SEQUENCE_MAX }
    }

    /// Makes no more ids of `unix_ms` (since the Unix epoch) or before.
    pub fn begin_after_ms(&mut self, unix_ms: i64) {
        let ms = unix_ms.saturating_sub(EPOCH_MS);
        if ms >= self.ms {
            (self.ms, self.sequence) = (ms, SEQUENCE_MAX);
        }
    }

    /// The millisecond that no id made so far, or before this generator began, is behind; since the Unix epoch.
    #[must_use]
    pub const fn newest_ms(&self) -> i64 {
        self.ms + EPOCH_MS
    }

    /// The next id at `now_ms` (since the Unix epoch), greater than every id made before and than `floor`.
    pub fn next(&mut self, now_ms: i64, floor: MessageId) -> MessageId {
        let floor_ms = floor.0 >> (WORKER_BITS + SEQUENCE_BITS);
        let wanted = (now_ms - EPOCH_MS).max(0).max(floor_ms);
        if wanted > self.ms {
            self.ms = wanted;
            self.sequence = 0;
        } else {
            self.step();
        }
        if self.compose() <= floor {
            // Same millisecond as the floor, but a smaller worker or sequence.
            self.ms += 1;
            self.sequence = 0;
        }
        self.compose()
    }

    const fn step(&mut self) {
        if self.sequence == SEQUENCE_MAX {
            self.ms += 1;
            self.sequence = 0;
        } else {
            self.sequence += 1;
        }
    }

    const fn compose(&self) -> MessageId {
        MessageId(
            (self.ms << (WORKER_BITS + SEQUENCE_BITS)) | ((self.worker as i64) << SEQUENCE_BITS) | self.sequence as i64,
        )
    }
}

/// When an id was made, milliseconds since the Unix epoch.
#[cfg(test)]
pub(crate) const fn made_at_ms(id: MessageId) -> i64 {
    (id.0 >> (WORKER_BITS + SEQUENCE_BITS)) + EPOCH_MS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_only_grow(worker in 0u16..1024, times in prop::collection::vec(EPOCH_MS..EPOCH_MS + 50, 1..6000), floor in 0i64..(60 << 22)) {
            let mut ids = Snowflakes::new(worker);
            let mut last = MessageId(floor);
            for now in times {
                let id = ids.next(now, MessageId(floor));
                prop_assert!(id > last);
                last = id;
            }
        }
    }

    #[test]
    fn an_id_tells_its_time_and_worker() {
        let id = Snowflakes::new(5).next(EPOCH_MS + 1234, MessageId(0));
        assert_eq!(made_at_ms(id), EPOCH_MS + 1234);
        assert_eq!((id.0 >> 12) & 1023, 5);
        assert_eq!(id.0 & 4095, 0);
    }
}
