//! Where things stand: the panes of the screen, and the lines of each entry of a history.
//!
//! Pure, and shared by the model (which scrolls by lines) and the view (which draws them).

use ratatui::{
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
};
use tertulia_proto::chat::v1::{Message, MessageStatus, MessageType};

use super::{
    room::RoomState,
    text::{clean, clock, date, day, shorten, wrap},
    timeline::{Entry, Pending, PendingState, written_at},
};

/// Smaller terminals show nothing but a request for more.
pub(super) const WIDTH_MIN: u16 = 40;
/// As above.
pub(super) const HEIGHT_MIN: u16 = 10;
/// Columns before a message's text: number and time.
const GUTTER: usize = 12;
/// Lines the composer may take.
const COMPOSER_LINES_MAX: u16 = 4;

/// The parts of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Panes {
    pub(super) rooms: Rect,
    pub(super) title: Rect,
    pub(super) history: Rect,
    pub(super) typing: Rect,
    pub(super) composer: Rect,
    pub(super) status: Rect,
}

impl Panes {
    /// None if the terminal is too small. `composer_lines` is what the text being written takes.
    pub(super) fn new(width: u16, height: u16, composer_lines: usize) -> Option<Self> {
        if width < WIDTH_MIN || height < HEIGHT_MIN {
            return None;
        }
        let rooms = (width * 3 / 10).clamp(14, 30);
        let left = rooms + 1;
        let right = width - left;
        let wanted = u16::try_from(composer_lines).unwrap_or(u16::MAX);
        let composer = wanted.clamp(1, COMPOSER_LINES_MAX.min(height - 7));
        let history = height - 4 - composer;
        Some(Self {
            rooms: Rect::new(0, 0, rooms, height - 1),
            title: Rect::new(left, 0, right, 1),
            history: Rect::new(left, 1, right, history),
            typing: Rect::new(left, 1 + history, right, 1),
            composer: Rect::new(left, 3 + history, right, composer),
            status: Rect::new(0, height - 1, width, 1),
        })
    }

    /// Columns for the text being written.
    pub(super) fn composer_columns(width: u16) -> usize {
        let rooms = (width * 3 / 10).clamp(14, 30);
        usize::from(width.saturating_sub(rooms + 1).saturating_sub(2)).max(2)
    }
}

/// The lines of an entry, a line with the date before the first of a day included.
pub(super) fn entry_lines(room: &RoomState, me: i64, seq: i64, entry: &Entry, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let today = day(entry.at());
    let before = room.neighbour(seq, false).map(|(_, entry)| day(entry.at()));
    if before.is_none_or(|before| before != today) && !(before.is_none() && room.timeline.has_older) {
        lines.push(dim(format!("── {} ──", date(today))));
    }
    match entry {
        Entry::Message(message) => message_lines(&mut lines, room, me, message, columns),
        Entry::Info { text, .. } => {
            let text = format!("{} * {text}", clock(entry.at()));
            lines.extend(indented(text, columns, GUTTER - 6, faint()));
        }
    }
    lines
}

/// The lines of a message that is not yet in the log.
pub(super) fn pending_lines(room: &RoomState, me: i64, pending: &Pending, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    quote(&mut lines, room, pending.reply_to, columns);
    let (mark, style) = match &pending.state {
        PendingState::Queued | PendingState::InFlight => (" …".to_owned(), faint()),
        PendingState::Failed(why) => (format!(" ✗ not sent: {why} (/retry, /discard)"), Style::new().fg(Color::Red)),
    };
    let head = vec![Span::styled(" ".repeat(GUTTER), faint()), name_span("you".to_owned(), me, me)];
    body(&mut lines, head, &clean(&pending.content), style, vec![Span::styled(mark, style)], columns);
    lines
}

fn message_lines(lines: &mut Vec<Line<'static>>, room: &RoomState, me: i64, message: &Message, columns: usize) {
    quote(lines, room, message.reply_to, columns);
    let number = format!("{:>5} {} ", message.n, clock(written_at(message)));
    let mut head = vec![Span::styled(number, faint())];
    let system = message.r#type() == MessageType::SystemMessage;
    if !system {
        let mine = message.sender_id == me;
        let name = if mine { "you".to_owned() } else { room.sender_of(message) };
        head.push(name_span(name, me, message.sender_id));
    }
    let (text, style) = content(message, system);
    let marks = marks(message, me);
    body(lines, head, &text, style, marks, columns);
    for attachment in &message.attachments {
        let name = if attachment.name.is_empty() { &attachment.url } else { &attachment.name };
        let text = format!("[file] {} ({}, {} bytes)", clean(name), clean(&attachment.mime), attachment.size);
        lines.push(Line::styled(format!("{:GUTTER$}{}", "", shorten(&text, columns - GUTTER)), faint()));
    }
    if !message.reactions.is_empty() {
        let each = message.reactions.iter().map(|given| format!("{} {}", clean(&given.reaction), given.count));
        let text = each.collect::<Vec<_>>().join("  ");
        lines.push(Line::styled(
            format!("{:GUTTER$}{}", "", shorten(&text, columns - GUTTER)),
            Style::new().fg(Color::Yellow),
        ));
    }
}

fn content(message: &Message, system: bool) -> (String, Style) {
    if message.deleted {
        ("message deleted".to_owned(), faint().add_modifier(Modifier::ITALIC))
    } else if message.encrypted {
        ("[encrypted]".to_owned(), faint())
    } else if system {
        (format!("* {}", clean(&message.content)), faint())
    } else {
        (clean(&message.content), Style::new())
    }
}

/// What is said of a message after its text.
fn marks(message: &Message, me: i64) -> Vec<Span<'static>> {
    let mut marks = Vec::new();
    if message.forwarded_from.is_some() {
        marks.push(Span::styled(" (forwarded)", faint()));
    }
    if message.edited_at.is_some() && !message.deleted {
        marks.push(Span::styled(" (edited)", faint()));
    }
    if message.pinned {
        marks.push(Span::styled(" [pinned]", Style::new().fg(Color::Magenta)));
    }
    if message.sender_id == me && !message.deleted {
        marks.push(match message.status() {
            MessageStatus::Read => Span::styled(" ✓✓ read", Style::new().fg(Color::Cyan)),
            MessageStatus::Delivered => Span::styled(" ✓✓", faint()),
            MessageStatus::Sent | MessageStatus::Unspecified => Span::styled(" ✓", faint()),
        });
    }
    marks
}

/// Head, wrapped text and marks; what follows the first line stands under the text.
fn body(
    lines: &mut Vec<Line<'static>>,
    head: Vec<Span<'static>>,
    text: &str,
    style: Style,
    marks: Vec<Span<'static>>,
    columns: usize,
) {
    let name = head.iter().map(Span::width).sum::<usize>().saturating_sub(GUTTER);
    let wrapped = wrap(text, columns.saturating_sub(GUTTER), name);
    let mut first = Some(head);
    for part in wrapped {
        let mut spans = first.take().unwrap_or_else(|| vec![Span::raw(" ".repeat(GUTTER))]);
        spans.push(Span::styled(part, style));
        lines.push(Line::from(spans));
    }
    for mark in marks {
        match lines.last_mut() {
            Some(line) if line.width() + mark.width() <= columns => line.push_span(mark),
            _ => lines.extend(indented(mark.content.trim_start().to_owned(), columns, GUTTER, mark.style)),
        }
    }
}

fn quote(lines: &mut Vec<Line<'static>>, room: &RoomState, id: i64, columns: usize) {
    if id == 0 {
        return;
    }
    let quoted = match room.timeline.by_id(id) {
        Some(message) => {
            let text = content(message, false).0;
            format!("┌ {} #{}: {text}", room.sender_of(message), message.n)
        }
        None => "┌ an earlier message".to_owned(),
    };
    lines.push(dim(format!("{:GUTTER$}{}", "", shorten(&quoted, columns.saturating_sub(GUTTER)))));
}

fn indented(text: String, columns: usize, indent: usize, style: Style) -> Vec<Line<'static>> {
    let parts = wrap(&text, columns.saturating_sub(indent), 0);
    parts.into_iter().map(|part| Line::styled(format!("{:indent$}{part}", ""), style)).collect()
}

fn name_span(name: String, me: i64, user_id: i64) -> Span<'static> {
    const COLORS: [Color; 6] =
        [Color::Green, Color::Blue, Color::Magenta, Color::Yellow, Color::LightBlue, Color::LightGreen];
    let mine = user_id == me;
    let color = match usize::try_from(user_id) {
        _ if mine => Color::Cyan,
        Ok(id) => COLORS[id % COLORS.len()],
        Err(_) => Color::Gray,
    };
    Span::styled(format!("{name}: "), Style::new().fg(color).add_modifier(Modifier::BOLD))
}

fn dim(text: String) -> Line<'static> {
    Line::styled(text, faint())
}

/// For what is secondary.
pub(super) fn faint() -> Style {
    Style::new().fg(Color::DarkGray)
}
