//! Draws the model.
//!
//! Reads the model and writes the frame; must not decide anything.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph},
};

use super::{
    command::HELP,
    layout::{HEIGHT_MIN, Panes, WIDTH_MIN, faint},
    model::{Link, Model, Overlay, Pane},
    room::{RoomState, sender_name},
    text::{clean, clock, date, day, shorten, width},
    timeline::written_at,
};

const KEYS: &[(&str, &str)] = &[
    ("Tab", "composer, rooms, history"),
    ("Alt+Up/Down", "next room (or Ctrl+P/N)"),
    ("Up/Down, PgUp/PgDn", "scroll"),
    ("r e d + p", "in the history: reply, edit, delete, react, pin"),
    ("Alt+Enter, Ctrl+U", "new line, clear the line"),
    ("Ctrl+R", "reconnect now"),
    ("Esc", "back to the newest message"),
];

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let Some(panes) = model.panes() else {
        let text = format!("the terminal is too small: {WIDTH_MIN}x{HEIGHT_MIN} at least");
        frame.render_widget(Paragraph::new(text), frame.area());
        return;
    };
    rooms(frame, model, panes.rooms);
    title(frame, model, panes.title);
    history(frame, model, panes.history);
    typing(frame, model, panes.typing);
    composer(frame, model, &panes);
    status(frame, model, panes.status);
    if let Some(overlay) = &model.overlay {
        let area = Rect { height: panes.history.height + 1, ..panes.history };
        match overlay {
            Overlay::Help => help(frame, Rect::new(0, 0, model.width, model.height - 1)),
            Overlay::Found { query, messages, scroll } => {
                let lines = found(model, messages, usize::from(area.width) - 2);
                let title = format!(" {} found for \"{}\" ", messages.len(), clean(query));
                over(frame, area, title, lines.into_iter().skip(*scroll).collect());
            }
        }
    }
}

fn rooms(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let focused = model.pane == Pane::Rooms;
    let border = if focused { Style::new().fg(Color::Cyan) } else { faint() };
    let line = Rect::new(area.x + area.width, area.y, 1, area.height);
    frame.render_widget(Block::new().borders(Borders::LEFT).border_style(border), line);
    let unread: i64 = model.rooms.values().map(|room| room.unread).sum();
    let head = if unread > 0 { format!(" Rooms ({unread} new)") } else { " Rooms".to_owned() };
    let mut lines = vec![Line::styled(head, Style::new().add_modifier(Modifier::BOLD))];
    let rows = usize::from(area.height).saturating_sub(1);
    let first = (model.highlighted + 1).saturating_sub(rows);
    for (place, id) in model.order.iter().enumerate().skip(first).take(rows) {
        if let Some(room) = model.rooms.get(id) {
            let highlighted = focused && place == model.highlighted;
            lines.push(room_line(model, room, usize::from(area.width), highlighted));
        }
    }
    if model.order.is_empty() {
        let text = if model.listed { "none yet; /help" } else { "reading…" };
        lines.push(Line::styled(format!(" {text}"), faint()));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn room_line(model: &Model, room: &RoomState, columns: usize, highlighted: bool) -> Line<'static> {
    let open = model.open.as_deref() == Some(room.id());
    let mark = if open { "▸" } else { " " };
    let pin = if room.is_pinned() { "*" } else { "" };
    let (dot, dot_style) = match room.partner().map(|partner| model.online.get(&partner)) {
        Some(Some(true)) => ("● ", Style::new().fg(Color::Green)),
        Some(_) => ("○ ", faint()),
        None => ("# ", faint()),
    };
    let count = match room.unread {
        ..=0 => String::new(),
        unread @ 1..=999 => format!(" {unread}"),
        _ => " 999+".to_owned(),
    };
    let free = columns.saturating_sub(3 + pin.len() + count.len() + 1);
    let name = shorten(&room.title(), free);
    let gap = " ".repeat(free.saturating_sub(width(&name)));
    let mut style = Style::new();
    if room.unread > 0 {
        style = style.add_modifier(Modifier::BOLD);
    }
    let line = Line::from(vec![
        Span::raw(mark),
        Span::styled(dot, dot_style),
        Span::styled(pin, Style::new().fg(Color::Yellow)),
        Span::styled(name, style),
        Span::raw(gap),
        Span::styled(count, Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD)),
    ]);
    if highlighted { line.style(Style::new().add_modifier(Modifier::REVERSED)) } else { line }
}

fn title(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let Some(room) = model.room() else {
        frame.render_widget(Paragraph::new(Line::styled("tertulia", faint())), area);
        return;
    };
    let about = match room.partner() {
        Some(partner) if model.online.get(&partner) == Some(&true) => "online".to_owned(),
        Some(_) if room.info.is_partner_blocked => "blocked".to_owned(),
        Some(_) => "offline".to_owned(),
        None => format!("{} members", room.info.participants_count),
    };
    let columns = usize::from(area.width);
    let name = shorten(&room.title(), columns.saturating_sub(about.len() + 3));
    let rest = columns.saturating_sub(width(&name) + about.len() + 3);
    let description = shorten(&clean(&room.info.description), rest.saturating_sub(2));
    let line = Line::from(vec![
        Span::styled(name, Style::new().add_modifier(Modifier::BOLD)),
        Span::styled(format!(" · {about}"), faint()),
        Span::styled(format!("  {description}"), faint()),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

fn history(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let Some(room) = model.room() else {
        let text = if model.listed { "no room is open; /help lists the commands" } else { "reading the rooms…" };
        frame.render_widget(Paragraph::new(Line::styled(text, faint())), area);
        return;
    };
    let shown = model.shown();
    if shown.is_empty() {
        let text = if room.is_loaded() { "nothing was said here yet" } else { "reading the history…" };
        frame.render_widget(Paragraph::new(Line::styled(text, faint())), area);
        return;
    }
    let empty = usize::from(area.height).saturating_sub(shown.len());
    let mut lines = vec![Line::default(); empty];
    if empty > 0 && room.timeline.loading_older {
        lines[0] = Line::styled("reading older messages…", faint());
    }
    for (seq, line) in shown {
        let picked = model.pane == Pane::History && seq.is_some() && seq == room.picked;
        lines.push(if picked { line.patch_style(Style::new().add_modifier(Modifier::REVERSED)) } else { line });
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn typing(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let Some(room) = model.room() else { return };
    let text = match room.typists(model.now_ms).as_slice() {
        [] if room.anchor.is_some() && room.unread > 0 => {
            format!("↓ {} new below (Esc)", room.unread)
        }
        [] if room.anchor.is_some() => "↓ newer messages below (Esc)".to_owned(),
        [] => String::new(),
        [one] => format!("{one} is typing…"),
        [one, two] => format!("{one} and {two} are typing…"),
        [one, rest @ ..] => format!("{one} and {} others are typing…", rest.len()),
    };
    frame.render_widget(Paragraph::new(Line::styled(text, faint().add_modifier(Modifier::ITALIC))), area);
}

fn composer(frame: &mut Frame<'_>, model: &Model, panes: &Panes) {
    let area = panes.composer;
    let focused = model.pane == Pane::Composer && model.overlay.is_none();
    let rule = Rect::new(area.x, area.y - 1, area.width, 1);
    let style = if focused { Style::new().fg(Color::Cyan) } else { faint() };
    let mut block = Block::new().borders(Borders::TOP).border_style(style);
    if let Some(answered) = model.room().and_then(|room| room.timeline.by_id(room.reply_to)) {
        let text = format!(" answering #{}: {} ", answered.n, clean(&answered.content));
        block = block.title(shorten(&text, usize::from(area.width)));
    }
    frame.render_widget(block, rule);
    let (lines, column, row) = model.draft().lines(Panes::composer_columns(model.width));
    let rows = usize::from(area.height);
    let first = (row + 1).saturating_sub(rows);
    let shown = lines.iter().enumerate().skip(first).take(rows).map(|(place, line)| {
        let prompt = if place == 0 { "> " } else { "  " };
        Line::from(vec![Span::styled(prompt, style), Span::raw(clean(line))])
    });
    frame.render_widget(Paragraph::new(shown.collect::<Vec<_>>()), area);
    if focused {
        let cell = |base: u16, offset: usize| base.saturating_add(u16::try_from(offset).unwrap_or(u16::MAX));
        frame.set_cursor_position(Position::new(cell(area.x, column + 2), cell(area.y, row - first)));
    }
}

fn status(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let (dot, link) = match &model.link {
        Link::Connecting => (Span::styled("○ ", Style::new().fg(Color::Yellow)), "connecting…".to_owned()),
        Link::Up { behind } if behind.is_empty() => {
            (Span::styled("● ", Style::new().fg(Color::Green)), "connected, caught up".to_owned())
        }
        Link::Up { .. } => (Span::styled("● ", Style::new().fg(Color::Yellow)), "connected, catching up…".to_owned()),
        Link::Down { retry_at_ms, .. } => {
            let seconds = (retry_at_ms - model.now_ms + 999).max(0) / 1_000;
            let text = if seconds > 0 { format!("reconnecting in {seconds} s") } else { "reconnecting…".to_owned() };
            (Span::styled("○ ", Style::new().fg(Color::Red)), text)
        }
    };
    let mut spans = vec![Span::raw(" "), dot, Span::raw(link)];
    let text = match (&model.notice, &model.link) {
        (Some(notice), _) => Some((notice.text.clone(), notice.is_error)),
        (None, Link::Down { error, .. }) => Some((error.clone(), true)),
        (None, _) => None,
    };
    let hint = "F1 help ";
    let used: usize = spans.iter().map(Span::width).sum::<usize>() + hint.len() + 5;
    if let Some((text, is_error)) = text {
        let style = if is_error { Style::new().fg(Color::Red) } else { Style::new() };
        let text = shorten(&clean(&text), usize::from(area.width).saturating_sub(used));
        spans.push(Span::styled(format!(" · {text}"), style));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
    frame.render_widget(Paragraph::new(Line::styled(hint, faint()).right_aligned()), area);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let entry = |(what, how): &(&str, &str)| {
        Line::from(vec![
            Span::styled(format!(" {what:<26}"), Style::new().fg(Color::Cyan)),
            Span::raw((*how).to_owned()),
        ])
    };
    let mut lines: Vec<Line<'static>> = HELP.iter().map(entry).collect();
    lines.extend(KEYS.iter().map(entry));
    over(frame, area, " Help · Esc closes · times are UTC ".to_owned(), lines);
}

fn found(model: &Model, messages: &[tertulia_proto::chat::v1::Message], columns: usize) -> Vec<Line<'static>> {
    let line = |message: &tertulia_proto::chat::v1::Message| {
        let at = written_at(message);
        let room = model.rooms.get(&message.room_id);
        let name = room.map_or_else(|| sender_name(message), |room| room.sender_of(message));
        let head = format!("#{} {} {} {}: ", message.n, date(day(at)), clock(at), name);
        Line::raw(shorten(&format!("{head}{}", clean(&message.content)), columns))
    };
    messages.iter().map(line).collect()
}

fn over(frame: &mut Frame<'_>, area: Rect, title: String, lines: Vec<Line<'static>>) {
    frame.render_widget(Clear, area);
    let block = Block::bordered().border_style(Style::new().fg(Color::Cyan)).title(title);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
