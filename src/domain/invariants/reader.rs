//! What one reader saw of one room: every event once, in order, from the cursor on, or an announced gap.

use super::Violation;

/// Follows one reader through one room, over any number of streams.
#[derive(Clone, Debug)]
pub struct ReaderChecker {
    reader: String,
    /// Newest seq seen or made up for; none while the first event may be any.
    last: Option<i64>,
    /// Announced gaps: (first seq not streamed, last seq not streamed).
    gaps: Vec<(i64, i64)>,
    seen: u64,
}

impl ReaderChecker {
    /// For a reader that has seen everything up to `cursor`: the first event must be the next one.
    #[must_use]
    pub fn resuming(reader: impl Into<String>, cursor: i64) -> Self {
        Self { reader: reader.into(), last: Some(cursor), gaps: Vec::new(), seen: 0 }
    }

    /// For a reader without a cursor: the first event may be any, the others must follow it.
    #[must_use]
    pub fn live(reader: impl Into<String>) -> Self {
        Self { reader: reader.into(), last: None, gaps: Vec::new(), seen: 0 }
    }

    /// Takes the next event. Moments that are not in the log (seq 0) are left alone.
    ///
    /// # Errors
    /// When the event was seen before, or one before it was not and no resync was announced. The checker goes on from
    /// the greatest seq it saw.
    pub fn observe(&mut self, seq: i64) -> Result<(), Violation> {
        if seq == 0 {
            return Ok(());
        }
        let last = self.last.unwrap_or(seq - 1);
        self.last = Some(last.max(seq));
        self.seen += 1;
        let reader = || self.reader.clone();
        match seq - last {
            1 => Ok(()),
            ..1 => Err(Violation::ReaderWentBack { reader: reader(), last, found: seq }),
            _ => Err(Violation::ReaderGap { reader: reader(), expected: last + 1, found: seq }),
        }
    }

    /// Takes the announcement that events from `from_seq` up to `resumed_after_seq` are not streamed.
    ///
    /// # Errors
    /// When it leaves out events between what was seen and `from_seq`, or goes on from before what was seen (which
    /// would repeat events).
    pub fn resync(&mut self, from_seq: i64, resumed_after_seq: i64) -> Result<(), Violation> {
        let last = self.last.unwrap_or(from_seq - 1);
        self.last = Some(last.max(resumed_after_seq));
        if resumed_after_seq > last {
            self.gaps.push((last + 1, resumed_after_seq));
        }
        if from_seq > last + 1 || resumed_after_seq < last {
            let reader = self.reader.clone();
            return Err(Violation::ResyncLeavesGap { reader, last, from_seq, resumed_after_seq });
        }
        Ok(())
    }

    /// The cursor to resume with: newest seq seen or announced as not streamed; 0 before the first.
    #[must_use]
    pub fn cursor(&self) -> i64 {
        self.last.unwrap_or(0)
    }

    /// How many durable events were seen.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// The announced gaps, as (first, last) seq; the reader has to read them from history.
    #[must_use]
    pub fn gaps(&self) -> &[(i64, i64)] {
        &self.gaps
    }

    /// Whether the reader has come to the end of the room.
    ///
    /// # Errors
    /// When it has not.
    pub fn finish(&self, last_seq: i64) -> Result<(), Violation> {
        let last = self.cursor();
        if last < last_seq {
            return Err(Violation::ReaderBehind { reader: self.reader.clone(), last, last_seq });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(cursor: i64) -> ReaderChecker {
        ReaderChecker::resuming("r", cursor)
    }

    #[test]
    fn events_in_order_are_fine() {
        let mut reader = at(4);
        for seq in [5, 0, 6, 7] {
            reader.observe(seq).unwrap();
        }
        assert_eq!((reader.cursor(), reader.seen()), (7, 3));
        reader.finish(7).unwrap();
        let mut live = ReaderChecker::live("l");
        live.observe(10).unwrap();
        live.observe(11).unwrap();
    }

    #[test]
    fn a_first_event_that_is_not_the_cursors_next_is_found() {
        let gap = Violation::ReaderGap { reader: "r".to_owned(), expected: 5, found: 6 };
        assert_eq!(at(4).observe(6), Err(gap));
        let back = Violation::ReaderWentBack { reader: "r".to_owned(), last: 4, found: 4 };
        assert_eq!(at(4).observe(4), Err(back));
    }

    #[test]
    fn gaps_and_repeats_are_found_and_the_reader_goes_on() {
        let mut reader = ReaderChecker::live("r");
        reader.observe(1).unwrap();
        let gap = Violation::ReaderGap { reader: "r".to_owned(), expected: 2, found: 4 };
        assert_eq!(reader.observe(4), Err(gap));
        let back = Violation::ReaderWentBack { reader: "r".to_owned(), last: 4, found: 3 };
        assert_eq!(reader.observe(3), Err(back));
        reader.observe(5).unwrap();
    }

    #[test]
    fn an_announced_gap_is_no_violation_but_is_remembered() {
        let mut reader = at(3);
        reader.resync(4, 90).unwrap();
        reader.observe(91).unwrap();
        assert_eq!(reader.gaps(), [(4, 90)]);
        // It must name everything that was missed, and not go back.
        let found = |from_seq, resumed_after_seq| Violation::ResyncLeavesGap {
            reader: "r".to_owned(),
            last: 3,
            from_seq,
            resumed_after_seq,
        };
        assert_eq!(at(3).resync(6, 90), Err(found(6, 90)));
        assert_eq!(at(3).resync(1, 2), Err(found(1, 2)));
    }

    #[test]
    fn a_reader_that_misses_the_end_is_found() {
        let behind = Violation::ReaderBehind { reader: "r".to_owned(), last: 6, last_seq: 7 };
        assert_eq!(at(6).finish(7), Err(behind));
    }
}
