//! How keys and commands change the model.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    input::Effect,
    model::{Model, Overlay, Pane},
    room::RoomState,
    timeline::Entry,
};

impl Model {
    pub(super) fn key(&mut self, key: KeyEvent, effects: &mut Vec<Effect>) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('c' | 'q') if control => self.quit(effects),
            KeyCode::F(1) => self.overlay = Some(Overlay::Help),
            KeyCode::Char('n') if control => self.step_room(true, effects),
            KeyCode::Char('p') if control => self.step_room(false, effects),
            KeyCode::Down if alt => self.step_room(true, effects),
            KeyCode::Up if alt => self.step_room(false, effects),
            KeyCode::Char('r') if control => effects.push(Effect::Reconnect),
            KeyCode::PageUp => self.page_up(effects),
            KeyCode::PageDown => self.page_down(),
            KeyCode::Esc => self.escape(),
            KeyCode::Tab if self.overlay.is_none() => self.next_pane(),
            _ if self.overlay.is_some() => self.overlay_key(key),
            _ => match self.pane {
                Pane::Composer => self.composer_key(key, effects),
                Pane::Rooms => self.rooms_key(key, effects),
                Pane::History => self.history_key(key, effects),
            },
        }
    }

    pub(super) fn paste(&mut self, text: &str, effects: &mut Vec<Effect>) {
        self.pane = Pane::Composer;
        // Terminals send carriage returns for the ends of pasted lines.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        self.write(&text, effects);
    }

    pub(super) fn quit(&mut self, effects: &mut Vec<Effect>) {
        self.stop_typing(effects);
        self.quitting = true;
        effects.push(Effect::Quit);
    }

    fn escape(&mut self) {
        if self.overlay.take().is_some() {
            return;
        }
        self.pane = Pane::Composer;
        if let Some(room) = self.room_mut() {
            room.picked = None;
            room.reply_to = 0;
            room.anchor = None;
        }
    }

    fn next_pane(&mut self) {
        self.pane = match self.pane {
            Pane::Composer => Pane::Rooms,
            Pane::Rooms => Pane::History,
            Pane::History => Pane::Composer,
        };
        let history = self.pane == Pane::History;
        if let Some(room) = self.room_mut() {
            room.picked = if history { room.timeline.newest_seq() } else { None };
        }
    }

    fn step_room(&mut self, down: bool, effects: &mut Vec<Effect>) {
        self.highlight(down);
        if let Some(id) = self.order.get(self.highlighted).cloned() {
            self.open_room(&id, effects);
        }
    }

    fn highlight(&mut self, down: bool) {
        let last = self.order.len().saturating_sub(1);
        self.highlighted = if down { (self.highlighted + 1).min(last) } else { self.highlighted.saturating_sub(1) };
    }

    fn page_up(&mut self, effects: &mut Vec<Effect>) {
        if let Some(Overlay::Found { scroll, .. }) = &mut self.overlay {
            *scroll = scroll.saturating_sub(10);
            return;
        }
        let rows = self.window().map_or(1, |window| window.rows.saturating_sub(2).max(1));
        self.scroll_up(rows, effects);
    }

    fn page_down(&mut self) {
        if let Some(Overlay::Found { scroll, messages, .. }) = &mut self.overlay {
            *scroll = (*scroll + 10).min(messages.len().saturating_sub(1));
            return;
        }
        if let (Some(window), Some(room)) = (self.window(), self.room_mut()) {
            window.down(room, window.rows.saturating_sub(2).max(1));
        }
    }

    fn scroll_up(&mut self, lines: usize, effects: &mut Vec<Effect>) {
        let Some(window) = self.window() else { return };
        let up = self.is_up();
        let Some(room) = self.room_mut() else { return };
        if window.up(room, lines) && up {
            load_older(room, effects);
        }
    }

    fn overlay_key(&mut self, key: KeyEvent) {
        let Some(Overlay::Found { scroll, messages, .. }) = &mut self.overlay else {
            self.overlay = None;
            return;
        };
        match key.code {
            KeyCode::Up => *scroll = scroll.saturating_sub(1),
            KeyCode::Down => *scroll = (*scroll + 1).min(messages.len().saturating_sub(1)),
            _ => {}
        }
    }

    fn rooms_key(&mut self, key: KeyEvent, effects: &mut Vec<Effect>) {
        match key.code {
            KeyCode::Up => self.highlight(false),
            KeyCode::Down => self.highlight(true),
            KeyCode::Enter => {
                if let Some(id) = self.order.get(self.highlighted).cloned() {
                    self.open_room(&id, effects);
                    self.pane = Pane::Composer;
                }
            }
            KeyCode::Char(c) if plain(key) => {
                self.pane = Pane::Composer;
                self.write(c.encode_utf8(&mut [0; 4]), effects);
            }
            _ => {}
        }
    }

    fn history_key(&mut self, key: KeyEvent, effects: &mut Vec<Effect>) {
        match key.code {
            KeyCode::Up => self.pick(false, effects),
            KeyCode::Down => self.pick(true, effects),
            KeyCode::Char('r') | KeyCode::Enter => self.prefill(|n, _| format!("/reply {n} ")),
            KeyCode::Char('e') => self.prefill(|n, text| format!("/edit #{n} {text}")),
            KeyCode::Char('d') => self.prefill(|n, _| format!("/delete #{n}")),
            KeyCode::Char('+') => self.prefill(|n, _| format!("/react #{n} :")),
            KeyCode::Char('p') => self.prefill(|n, _| format!("/pin #{n}")),
            _ => {}
        }
    }

    /// Moves to the message above or below, and shows it.
    fn pick(&mut self, later: bool, effects: &mut Vec<Effect>) {
        let Some(window) = self.window() else { return };
        let up = self.is_up();
        let Some(room) = self.room_mut() else { return };
        let from = room.picked.or_else(|| room.timeline.newest_seq());
        let found = from.and_then(|from| room.neighbour(from, later)).map(|(seq, _)| seq);
        match found {
            Some(seq) => {
                room.picked = Some(seq);
                window.reveal(room, seq);
            }
            None if !later && up => load_older(room, effects),
            None => {}
        }
    }

    /// Puts a command about the picked message into the composer.
    fn prefill(&mut self, command: impl Fn(i64, &str) -> String) {
        let Some(room) = self.room_mut() else { return };
        let picked = room.picked.and_then(|seq| room.timeline.entries().get(&seq));
        if let Some(Entry::Message(message)) = picked {
            let line = command(message.n, &message.content);
            room.draft.set(line);
            room.picked = None;
            self.pane = Pane::Composer;
        }
    }

    fn composer_key(&mut self, key: KeyEvent, effects: &mut Vec<Effect>) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if key.code == KeyCode::Enter && !key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SHIFT) {
            self.submit(effects);
            return;
        }
        match key.code {
            KeyCode::Enter => self.write("\n", effects),
            KeyCode::Char(c) if plain(key) => self.write(c.encode_utf8(&mut [0; 4]), effects),
            KeyCode::Up => self.scroll_up(1, effects),
            KeyCode::Down => {
                if let (Some(window), Some(room)) = (self.window(), self.room_mut()) {
                    window.down(room, 1);
                }
            }
            _ => {
                let draft = self.draft_mut();
                match key.code {
                    KeyCode::Backspace => draft.backspace(),
                    KeyCode::Delete => draft.delete(),
                    KeyCode::Left => draft.left(),
                    KeyCode::Right => draft.right(),
                    KeyCode::Home => draft.home(),
                    KeyCode::End => draft.end(),
                    KeyCode::Char('a') if control => draft.home(),
                    KeyCode::Char('e') if control => draft.end(),
                    KeyCode::Char('w') if control => draft.delete_word(),
                    KeyCode::Char('u') if control => draft.delete_head(),
                    _ => {}
                }
                if draft.is_empty() {
                    self.stop_typing(effects);
                }
            }
        }
    }
}

fn load_older(room: &mut RoomState, effects: &mut Vec<Effect>) {
    let timeline = &mut room.timeline;
    if let Some(oldest) = timeline.oldest_seq().filter(|_| timeline.has_older && !timeline.loading_older) {
        timeline.loading_older = true;
        effects.push(Effect::LoadHistory { room_id: room.id().to_owned(), before_seq: Some(oldest) });
    }
}

/// A character as such, not as a shortcut.
fn plain(key: KeyEvent) -> bool {
    !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
}
