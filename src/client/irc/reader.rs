//! Reads IRC logs: bytes in, lines with kind, time, nick, text, mention and reply link out.
//!
//! The shapes it knows, with or without a time as the logs have it:
//!
//! ```text
//! [hh:mm] <nick> text                      a message
//! [hh:mm]  * nick does something           an action, and so is `=== nick does something` in older logs
//! === nick [host]  has joined #channel     and `has left #channel [reason]`, `has quit [reason]`
//! === nick is now known as other
//! === ..[topic/#channel:nick] : text       and any other notice of the server
//! ```
//!
//! Every line of the input is one [`Line`]; what fits no shape is a [`Kind::Notice`] with its whole text. Pure: the
//! files are opened elsewhere.

use std::{collections::HashMap, ops::AddAssign};

use super::{
    clock,
    decode::{Encoding, decode},
    links::{self, LinkCounts},
    nick::{fold, is_nick},
};

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Somebody said something.
    Message,
    /// Somebody did something (`/me`).
    Action,
    /// Somebody came.
    Join,
    /// Somebody left the channel; `text` is the reason.
    Leave,
    /// Somebody left the network; `text` is the reason.
    Quit,
    /// `nick` is called `text` from here on.
    Rename,
    /// The channel's topic.
    Topic,
    /// Anything else: modes, server notices, lines of an unknown shape.
    Notice,
}

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Place in the file, from 0.
    pub number: usize,
    /// When, in seconds since 1970-01-01 UTC, to the minute; never before the line above.
    pub at: i64,
    /// What it is.
    pub kind: Kind,
    /// Who; empty for topics and notices.
    pub nick: String,
    /// What was said or done; for a rename the new nick.
    pub text: String,
    /// How its bytes became text.
    pub encoding: Encoding,
    /// The nick that the line is addressed to, as that person last spelled it.
    pub mention: Option<String>,
    /// Number of the nearest earlier message that this message answers.
    pub reply_to: Option<usize>,
    /// Whether the annotation says that it starts a conversation (a link to itself).
    pub starts_conversation: bool,
}

impl Line {
    /// Whether somebody said or did something in words: what becomes a message of a person.
    #[must_use]
    pub fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message | Kind::Action) && !self.text.is_empty()
    }
}

/// How many lines are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// [`Kind::Message`].
    pub messages: usize,
    /// [`Kind::Action`].
    pub actions: usize,
    /// [`Kind::Join`].
    pub joins: usize,
    /// [`Kind::Leave`].
    pub leaves: usize,
    /// [`Kind::Quit`].
    pub quits: usize,
    /// [`Kind::Rename`].
    pub renames: usize,
    /// [`Kind::Topic`].
    pub topics: usize,
    /// [`Kind::Notice`].
    pub notices: usize,
}

impl Counts {
    /// Counts one more line.
    pub fn add(&mut self, kind: Kind) {
        *match kind {
            Kind::Message => &mut self.messages,
            Kind::Action => &mut self.actions,
            Kind::Join => &mut self.joins,
            Kind::Leave => &mut self.leaves,
            Kind::Quit => &mut self.quits,
            Kind::Rename => &mut self.renames,
            Kind::Topic => &mut self.topics,
            Kind::Notice => &mut self.notices,
        } += 1;
    }

    /// All lines.
    #[must_use]
    pub fn total(&self) -> usize {
        let people = self.messages + self.actions + self.joins + self.leaves + self.quits + self.renames;
        people + self.topics + self.notices
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.messages += other.messages;
        self.actions += other.actions;
        self.joins += other.joins;
        self.leaves += other.leaves;
        self.quits += other.quits;
        self.renames += other.renames;
        self.topics += other.topics;
        self.notices += other.notices;
    }
}

/// One log file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hour {
    /// The file's stem, such as `2004-11-15_03`.
    pub name: String,
    /// Every line of the file, in order.
    pub lines: Vec<Line>,
    /// What became of the annotation.
    pub links: LinkCounts,
}

impl Hour {
    /// How many lines are of each kind; the total is the number of lines.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.lines.iter().for_each(|line| counts.add(line.kind));
        counts
    }
}

/// The input cannot be read as a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The times in a log are hours and minutes; the day must come from the name.
    #[error("the name of log {name:?} does not begin with a date (YYYY-MM-DD)")]
    NoDate {
        /// The file's stem.
        name: String,
    },
}

/// Reads one log and its annotation (which may be empty).
///
/// # Errors
/// When `name` does not begin with a date. No content is refused.
pub fn parse(name: &str, raw: &[u8], annotation: &[u8]) -> Result<Hour, ReadError> {
    let midnight = clock::midnight_of(name).ok_or_else(|| ReadError::NoDate { name: name.to_owned() })?;
    let (clock, mut lines): (Vec<_>, Vec<_>) = rows(raw).enumerate().map(|(number, row)| read_row(number, row)).unzip();
    for (line, at) in lines.iter_mut().zip(clock::times(midnight, clock::hour_of(name), &clock)) {
        line.at = at;
    }
    find_mentions(&mut lines);
    let found = links::resolve(annotation, lines.len(), |number| lines[number].is_message());
    for (later, earlier) in &found.replies {
        lines[*later].reply_to = Some(*earlier);
    }
    for number in &found.starts {
        lines[*number].starts_conversation = true;
    }
    Ok(Hour { name: name.to_owned(), lines, links: found.counts })
}

/// Lines end with `\n` or `\r\n`; the last may lack it.
fn rows(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split_inclusive(|byte| *byte == b'\n').map(|row| {
        let row = row.strip_suffix(b"\n").unwrap_or(row);
        row.strip_suffix(b"\r").unwrap_or(row)
    })
}

/// Minutes since midnight if the line has a time, and the line, its time and links still to be found.
fn read_row(number: usize, row: &[u8]) -> (Option<i64>, Line) {
    let (text, encoding) = decode(row);
    let (minutes, shape) = match read_clock(&text) {
        Some((minutes, rest)) => (Some(minutes), spoken(rest)),
        None => (None, text.strip_prefix("=== ").map(announced)),
    };
    let shape = shape.unwrap_or(Shape { kind: Kind::Notice, nick: "", text: &text });
    let line = Line {
        number,
        at: 0,
        kind: shape.kind,
        nick: shape.nick.to_owned(),
        text: shape.text.to_owned(),
        encoding,
        mention: None,
        reply_to: None,
        starts_conversation: false,
    };
    (minutes, line)
}

struct Shape<'a> {
    kind: Kind,
    nick: &'a str,
    text: &'a str,
}

/// `[hh:mm] rest`.
fn read_clock(text: &str) -> Option<(i64, &str)> {
    let (clock, rest) = text.strip_prefix('[')?.split_once("] ")?;
    let (hours, minutes) = clock.split_once(':')?;
    let number = |digits: &str, below: i64| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<i64>().ok())?.filter(|number| *number < below)
    };
    Some((number(hours, 24)? * 60 + number(minutes, 60)?, rest))
}

/// What follows a time: `<nick> text` or `* nick text`.
fn spoken(rest: &str) -> Option<Shape<'_>> {
    if let Some(rest) = rest.strip_prefix('<') {
        let (nick, text) = rest.split_once('>')?;
        // Some loggers pad nicks.
        let nick = nick.trim_end_matches(' ');
        let valid = !nick.is_empty() && !nick.contains(char::is_whitespace);
        return valid.then(|| Shape { kind: Kind::Message, nick, text: text.strip_prefix(' ').unwrap_or(text) });
    }
    let (nick, text) = first_word(rest.trim_start().strip_prefix("* ")?);
    (!nick.is_empty()).then_some(Shape { kind: Kind::Action, nick, text })
}

/// What follows `=== `.
fn announced(rest: &str) -> Shape<'_> {
    let (nick, text) = first_word(rest);
    if nick.starts_with("..[topic/") {
        return Shape { kind: Kind::Topic, nick: "", text: rest };
    }
    if !is_nick(nick) {
        return Shape { kind: Kind::Notice, nick: "", text: rest };
    }
    if let Some(new) = text.strip_prefix("is now known as ").filter(|new| is_nick(new)) {
        return Shape { kind: Kind::Rename, nick, text: new };
    }
    let (kind, text) = arrival_or_departure(text).unwrap_or((Kind::Action, text));
    Shape { kind, nick, text }
}

/// `[host]  has joined #channel`, `[host]  has left #channel [reason]`, `[host]  has quit [reason]`.
fn arrival_or_departure(text: &str) -> Option<(Kind, &str)> {
    let host = text.trim_start();
    if !host.starts_with('[') {
        return None;
    }
    [(Kind::Join, " has joined #"), (Kind::Leave, " has left #"), (Kind::Quit, " has quit")].into_iter().find_map(
        |(kind, words)| {
            let (host, rest) = host.split_once(words)?;
            let reason = if kind == Kind::Quit { rest.trim_start() } else { first_word(rest).1 };
            let reason = reason.strip_prefix('[').and_then(|reason| reason.strip_suffix(']')).unwrap_or(reason);
            host.trim_end().ends_with(']').then_some((kind, reason))
        },
    )
}

fn first_word(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// A line `nick: text` or `nick, text` is addressed to `nick`, if somebody of that name is known in the room by then:
/// has been named by a line before as sender, joiner or new nick, and has not left or been renamed since.
fn find_mentions(lines: &mut [Line]) {
    let mut present: HashMap<String, String> = HashMap::new();
    for line in lines {
        if line.kind == Kind::Message {
            line.mention = addressed(&line.text).and_then(|head| present.get(&fold(head))).cloned();
        }
        match line.kind {
            Kind::Message | Kind::Action | Kind::Join => {
                present.insert(fold(&line.nick), line.nick.clone());
            }
            Kind::Leave | Kind::Quit => {
                present.remove(&fold(&line.nick));
            }
            Kind::Rename => {
                present.remove(&fold(&line.nick));
                present.insert(fold(&line.text), line.text.clone());
            }
            Kind::Topic | Kind::Notice => {}
        }
    }
}

fn addressed(text: &str) -> Option<&str> {
    let end = text.find([':', ',', ' '])?;
    (!text[end..].starts_with(' ')).then(|| &text[..end])
}
