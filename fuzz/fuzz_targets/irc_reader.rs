//! The IRC reader: no content is refused, and every line has a kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tertulia::client::irc::parse;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (raw, annotation) = input;
    let hour = parse("2004-11-15_03", raw, annotation).expect("no content is refused");
    assert_eq!(hour.counts().total(), hour.lines.len());
    let _ = parse(&String::from_utf8_lossy(annotation), raw, annotation);
});
