//! How a content says which message it is: the run's tag and a number, as digits of fixed width.

/// Bytes at the head of every content: eight digits of the run's tag, sixteen of the message's number.
pub(crate) const MARKER_LEN: usize = 24;

/// The content of a message.
pub(crate) fn write(tag: u32, number: u64, filler: &str) -> String {
    format!("{tag:08x}{number:016x}{filler}")
}

/// The number of one of this run's messages.
pub(crate) fn read(content: &[u8], tag: u32) -> Option<u64> {
    let (theirs, number) = content.get(..MARKER_LEN)?.split_at(8);
    (unhex(theirs)? == u64::from(tag)).then(|| unhex(number))?
}

fn unhex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}
