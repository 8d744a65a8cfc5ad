//! Makes up conversations of the shapes that the logs of a busy channel have, from a seed.
//!
//! Half of the hours are in the older style (joins, leaves and `=== nick does something` without a time, a twelve-hour
//! clock), half in the newer one (renames, `* nick does something`). Both hold odd nicks, people who answer, quote
//! links, come back and change their names, lines in Windows-1252, empty and very long lines, unicode, and
//! annotations for the last fifth. The same arguments always give the same bytes: the generator carries its own
//! random numbers, since those of libraries change between versions.

use std::{fmt::Write as _, fs, io, path::Path};

use super::{ANNOTATION_SUFFIX, RAW_SUFFIX};

mod words;

/// Writes `hours` logs of `lines_per_hour` lines each, with annotations, into `dir` (made if absent).
///
/// # Errors
/// When the directory or a file cannot be written.
pub fn generate(dir: &Path, seed: u64, hours: usize, lines_per_hour: usize) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for hour in 0..hours {
        let log = Log::make(seed, hour, lines_per_hour);
        fs::write(dir.join(format!("{}{RAW_SUFFIX}", log.name)), &log.raw)?;
        fs::write(dir.join(format!("{}{ANNOTATION_SUFFIX}", log.name)), &log.annotation)?;
    }
    Ok(())
}

/// One made-up log, as the bytes of its two files.
#[derive(Clone, Debug)]
pub struct Log {
    /// The stem of its files.
    pub name: String,
    /// The log.
    pub raw: Vec<u8>,
    /// Its links.
    pub annotation: String,
}

impl Log {
    /// Makes the `hour`-th log of a seed.
    #[must_use]
    pub fn make(seed: u64, hour: usize, lines: usize) -> Self {
        // Hours differ in all bits of the state, so that neighbours have nothing in common.
        let salt = (hour as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut writer = Writer::new(Random(seed ^ salt), hour, lines);
        writer.write();
        let (month, day) = (hour / 28 % 12 + 1, hour % 28 + 1);
        let name = format!("{:04}-{month:02}-{day:02}_{:02}", 2004 + hour / 336, hour % 24);
        Self { name, raw: writer.raw, annotation: writer.annotation }
    }
}

/// SplitMix64: 64 bits of state, passes the usual tests, five lines.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is at least 1.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }

    fn per_mille(&mut self, chance: usize) -> bool {
        self.below(1000) < chance
    }

    fn pick(&mut self, from: &[&'static str]) -> &'static str {
        from[self.below(from.len())]
    }
}

struct Writer {
    random: Random,
    older: bool,
    lines: usize,
    /// Minutes since midnight of the line under way.
    minutes: usize,
    /// Who is there, the most talkative first.
    present: Vec<String>,
    /// Who left and may come back.
    gone: Vec<String>,
    /// Numbers and senders of the messages so far.
    messages: Vec<(usize, String)>,
    /// Nicks handed out so far.
    named: usize,
    raw: Vec<u8>,
    annotation: String,
}

impl Writer {
    fn new(mut random: Random, hour: usize, lines: usize) -> Self {
        let older = hour.is_multiple_of(2);
        // An older log starts in the twelfth hour, a newer one late in the evening, so that clocks go round.
        let minutes = if older { 11 * 60 + 30 } else { 22 * 60 } + random.below(40);
        let mut writer = Self {
            random,
            older,
            lines,
            minutes,
            present: Vec::new(),
            gone: Vec::new(),
            messages: Vec::new(),
            named: 0,
            raw: Vec::new(),
            annotation: String::new(),
        };
        for _ in 0..30 {
            let nick = writer.new_nick();
            writer.present.push(nick);
        }
        writer
    }

    fn write(&mut self) {
        for number in 0..self.lines {
            if self.random.per_mille(170) {
                self.minutes += 1;
            }
            match self.random.below(1000) {
                0..130 if self.older => self.coming_and_going(),
                0..40 if !self.older => self.rename(),
                130..143 => self.rename(),
                250..260 => self.action(number),
                260..263 => self.notice(),
                263..265 => self.silence(),
                _ => self.message(number),
            }
            self.raw.push(b'\n');
        }
    }

    fn message(&mut self, number: usize) {
        let sender = self.speaker();
        let answered = self.answered(&sender);
        let mut text = String::new();
        if let Some((_, nick)) = answered.map(|at| self.messages[at].clone()).filter(|_| self.random.per_mille(700)) {
            text.push_str(&nick);
            text.push_str(self.random.pick(&[": ", ", ", ":  "]));
        }
        self.sentence(&mut text);
        if self.random.per_mille(4) {
            // Far longer than IRC's 512 bytes: clients that paste, bridges from elsewhere.
            (0..self.random.below(120)).for_each(|_| self.sentence(&mut text));
        }
        let clock = self.clock();
        self.raw.extend_from_slice(format!("{clock} <{sender}> {text}").as_bytes());
        if self.random.per_mille(5) {
            self.raw.extend_from_slice(words::WINDOWS_1252);
        }
        self.annotate(number, answered.map(|at| self.messages[at].0));
        self.messages.push((number, sender));
    }

    fn action(&mut self, number: usize) {
        let nick = self.speaker();
        let deed = self.random.pick(words::DEEDS);
        if self.older {
            self.raw.extend_from_slice(format!("=== {nick} {deed}").as_bytes());
        } else {
            let clock = self.clock();
            self.raw.extend_from_slice(format!("{clock}  * {nick} {deed}").as_bytes());
        }
        self.annotate(number, None);
        self.messages.push((number, nick));
    }

    /// A message without a text; they happen.
    fn silence(&mut self) {
        let (clock, nick) = (self.clock(), self.speaker());
        self.raw.extend_from_slice(format!("{clock} <{nick}>").as_bytes());
    }

    fn coming_and_going(&mut self) {
        if self.random.per_mille(120) && self.present.len() > 5 {
            let at = self.random.below(self.present.len());
            let nick = self.present.remove(at);
            let how = self.random.pick(&["left #tea []", "left #tea [\"Leaving\"]", "quit [Ping timeout]"]);
            self.raw.extend_from_slice(format!("=== {nick} [~{nick}@host.example]  has {how}").as_bytes());
            self.gone.push(nick);
        } else {
            let back = (!self.gone.is_empty() && self.random.per_mille(300)).then(|| self.gone.swap_remove(0));
            let nick = back.unwrap_or_else(|| self.new_nick());
            self.raw.extend_from_slice(format!("=== {nick} [~user@192.0.2.7]  has joined #tea").as_bytes());
            // Now and then a second join without a leave before it: the connection was lost without a trace.
            if !self.random.per_mille(50) {
                self.present.push(nick);
            } else {
                self.gone.push(nick);
            }
        }
    }

    fn rename(&mut self) {
        let at = self.random.below(self.present.len());
        let old = self.present[at].clone();
        let new = match old.strip_suffix("|away") {
            Some(back) => back.to_owned(),
            None if self.random.per_mille(600) => format!("{old}|away"),
            None => self.new_nick(),
        };
        self.raw.extend_from_slice(format!("=== {old} is now known as {new}").as_bytes());
        self.present[at] = new;
    }

    fn notice(&mut self) {
        let notice = self.random.pick(words::NOTICES);
        self.raw.extend_from_slice(notice.as_bytes());
    }

    /// The first in the room talk the most.
    fn speaker(&mut self) -> String {
        let limit = self.random.below(self.present.len()) + 1;
        let at = self.random.below(limit);
        self.present[at].clone()
    }

    /// Which message (by place in `messages`) this one answers: mostly a near one, by somebody else.
    fn answered(&mut self, sender: &str) -> Option<usize> {
        if self.messages.is_empty() || self.random.per_mille(300) {
            return None;
        }
        let back = self.random.below(self.messages.len().min(12)) + 1;
        let at = self.messages.len() - back;
        (self.messages[at].1 != sender).then_some(at)
    }

    /// Only the last fifth of a log is annotated.
    fn annotate(&mut self, number: usize, answered: Option<usize>) {
        if number < self.lines / 5 * 4 {
            return;
        }
        let first = answered.unwrap_or(number);
        writeln!(self.annotation, "{first} {number} -").expect("a string takes any text");
        if answered.is_some() && self.random.per_mille(50) {
            let (farther, _) = self.messages[self.random.below(self.messages.len())];
            writeln!(self.annotation, "{farther} {number} -").expect("a string takes any text");
        }
    }

    fn sentence(&mut self, text: &mut String) {
        for _ in 0..self.random.below(14) + 1 {
            let common = self.random.per_mille(950);
            let word = self.random.pick(if common { words::COMMON } else { words::RARE });
            text.push_str(word);
            text.push(' ');
        }
        text.push_str(self.random.pick(&["", "?", ":)", "...", "!"]));
    }

    fn new_nick(&mut self) -> String {
        let number = self.named;
        self.named += 1;
        let stem = words::NICKS[number % words::NICKS.len()];
        let round = number / words::NICKS.len();
        if round == 0 { stem.to_owned() } else { format!("{stem}{round}") }
    }

    fn clock(&self) -> String {
        let (hours, minutes) = (self.minutes / 60, self.minutes % 60);
        let hours = if self.older { (hours + 11) % 12 + 1 } else { hours % 24 };
        format!("[{hours:02}:{minutes:02}]")
    }
}
