//! What becomes of a line when Enter is pressed.

use tertulia_proto::chat::v1::Message;

use super::{
    command::{Command, parse},
    input::Effect,
    model::{Model, Overlay},
    timeline::{Pending, PendingState},
};

/// Between two words to the room that we still type, in milliseconds; the server forgets after 10 s.
const TYPING_MS: i64 = 4_000;

impl Model {
    /// Writes at the cursor, and tells the room that we type.
    pub(super) fn write(&mut self, text: &str, effects: &mut Vec<Effect>) {
        let (up, now_ms) = (self.is_up(), self.now_ms);
        let draft = match self.open.as_ref().and_then(|id| self.rooms.get_mut(id)) {
            Some(room) => &mut room.draft,
            None => &mut self.lobby,
        };
        if !draft.insert(text) {
            self.complain("a message holds at most 64 KiB");
            return;
        }
        let is_message = !draft.text().starts_with('/') || draft.text().starts_with("//");
        let Some(room_id) = self.open.clone().filter(|_| up && is_message) else {
            return;
        };
        let told = self.typing_told.as_ref().is_some_and(|(told, at)| *told == room_id && now_ms < at + TYPING_MS);
        if !told {
            self.typing_told = Some((room_id.clone(), now_ms));
            effects.push(Effect::Typing { room_id, typing: true });
        }
    }

    pub(super) fn submit(&mut self, effects: &mut Vec<Effect>) {
        let line = self.draft().text().trim().to_owned();
        if line.is_empty() {
            return;
        }
        match parse(&line) {
            Ok(command) => {
                self.draft_mut().take();
                self.stop_typing(effects);
                if let Err(why) = self.carry_out(command, effects) {
                    // What was written is not lost on a mistake.
                    self.draft_mut().set(line);
                    self.complain(why);
                }
            }
            Err(why) => self.complain(why),
        }
    }

    fn carry_out(&mut self, command: Command, effects: &mut Vec<Effect>) -> Result<(), String> {
        match command {
            Command::Help => self.overlay = Some(Overlay::Help),
            Command::Quit => self.quit(effects),
            Command::NewGroup { name, user_ids } => effects.push(Effect::CreateGroup { name, user_ids }),
            Command::Dm(user_id) if user_id == self.me => return Err("that is you".to_owned()),
            Command::Dm(user_id) => effects.push(Effect::CreateDm { user_id }),
            Command::Go(name) => self.go(&name, effects)?,
            other => self.in_room(other, effects)?,
        }
        Ok(())
    }

    /// Commands that need an open room.
    fn in_room(&mut self, command: Command, effects: &mut Vec<Effect>) -> Result<(), String> {
        let room_id = self.open.clone().ok_or("open a room first; /help tells how")?;
        match command {
            Command::Say(content) => {
                let reply_to = self.room_mut().map_or(0, |room| std::mem::take(&mut room.reply_to));
                self.say(&room_id, content, reply_to, effects);
            }
            Command::Reply { target, text } => {
                let reply_to = self.target(Some(target), |_| true)?.id;
                if text.is_empty() {
                    if let Some(room) = self.room_mut() {
                        room.reply_to = reply_to;
                    }
                } else {
                    self.say(&room_id, text, reply_to, effects);
                }
            }
            Command::Edit { target, text: content } => {
                let me = self.me;
                let message_id = self.target(target, |message| message.sender_id == me)?.id;
                effects.push(Effect::Edit { message_id, content });
            }
            Command::Delete { target } => {
                let me = self.me;
                let message_id = self.target(target, |message| message.sender_id == me)?.id;
                effects.push(Effect::Delete { message_id });
            }
            Command::React { target, reaction, remove } => {
                let message_id = self.target(target, |_| true)?.id;
                effects.push(Effect::React { message_id, reaction, remove });
            }
            Command::Pin { target, pinned } => {
                let message_id = self.target(target, |_| true)?.id;
                effects.push(Effect::Pin { message_id, pinned });
            }
            Command::Star => {
                let pinned = !self.room().is_some_and(super::room::RoomState::is_pinned);
                effects.push(Effect::Star { room_id, pinned });
            }
            Command::Leave => effects.push(Effect::Leave { room_id }),
            Command::Search(query) => effects.push(Effect::Search { room_id, query }),
            Command::Retry => self.retry(&room_id, effects),
            Command::Discard => {
                if let Some(room) = self.room_mut() {
                    room.timeline.pending.retain(|pending| !matches!(pending.state, PendingState::Failed(_)));
                }
            }
            Command::Help | Command::Quit | Command::NewGroup { .. } | Command::Dm(_) | Command::Go(_) => {}
        }
        Ok(())
    }

    fn say(&mut self, room_id: &str, content: String, reply_to: i64, effects: &mut Vec<Effect>) {
        let client_message_id = self.next_message_id();
        if let Some(room) = self.rooms.get_mut(room_id) {
            let pending = Pending { client_message_id, content, reply_to, state: PendingState::Queued };
            room.timeline.pending.push(pending);
            // Who writes wants to see it.
            room.anchor = None;
        }
        self.send_next(room_id, effects);
    }

    fn retry(&mut self, room_id: &str, effects: &mut Vec<Effect>) {
        if let Some(room) = self.rooms.get_mut(room_id) {
            room.send_after_ms = 0;
            for pending in &mut room.timeline.pending {
                if matches!(pending.state, PendingState::Failed(_)) {
                    pending.state = PendingState::Queued;
                }
            }
        }
        self.send_next(room_id, effects);
    }

    /// The message meant by its number, or the newest that fits.
    fn target(&self, number: Option<i64>, fits: impl Fn(&Message) -> bool) -> Result<&Message, String> {
        let timeline = &self.room().ok_or("open a room first")?.timeline;
        let found = match number {
            Some(n) => timeline.by_number(n),
            None => timeline.messages().rev().find(|message| !message.deleted && fits(message)),
        };
        found.ok_or_else(|| match number {
            Some(n) => format!("message {n} is not among those shown; scroll up to it"),
            None => "there is no such message here".to_owned(),
        })
    }

    fn go(&mut self, name: &str, effects: &mut Vec<Effect>) -> Result<(), String> {
        let wanted = name.to_lowercase();
        let fits = |id: &&String| self.rooms[*id].title().to_lowercase().contains(&wanted);
        let found = self.order.iter().find(fits).cloned();
        let id = found.ok_or_else(|| format!("no room is called {name}"))?;
        self.open_room(&id, effects);
        Ok(())
    }
}
