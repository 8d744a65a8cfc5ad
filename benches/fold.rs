//! What it costs to fold the longest message, by what it is made of.
//!
//! `cargo bench --bench fold`

use divan::{Bencher, counter::BytesCount};
use tertulia::domain::{fold::fold, limits::CONTENT_BYTES_MAX};

fn main() {
    divan::main();
}

/// As much of `unit` as fits into a message, after `head`.
fn long(head: &str, unit: &str) -> String {
    head.to_owned() + &unit.repeat((CONTENT_BYTES_MAX - head.len()) / unit.len())
}

const KINDS: &[(&str, &str, &str)] = &[
    ("english", "", "The quick brown fox jumps over the lazy dog. "),
    ("spanish", "", "El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia. "),
    ("greek", "", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. "),
    ("japanese", "", "いろはにほへとちりぬるを、がぎぐげござじずぜぞ。"),
    ("korean", "", "키스의 고유조건은 입술끼리 만나야 하고 "),
    ("marks on latin", "a", "\u{301}\u{327}"),
    ("marks on kana", "か", "\u{3099}\u{301}\u{327}"),
    ("marks alone", "", "\u{316}\u{301}"),
    ("joiners", "", "\u{200d}"),
];

#[divan::bench(args = KINDS.iter().map(|(name, ..)| *name))]
fn message(bencher: Bencher<'_, '_>, name: &str) {
    let (_, head, unit) = KINDS.iter().find(|(kind, ..)| *kind == name).expect("a kind of the list");
    let text = long(head, unit);
    bencher.counter(BytesCount::of_str(&text)).bench(|| fold(&text));
}
