//! The state of the program, and how it changes: `update` takes an input in and says what is to be done.
//!
//! No I/O, no clock, no randomness: time comes as `Input::Tick`, ids are counted. The parts of `update` live beside
//! this file: `live` (events), `outcome` (answers), `keys` and `submit` (what the user types), `time`.

use std::collections::{BTreeSet, HashMap};

use ratatui::text::Line;
use tertulia_proto::chat::v1::Message;

use super::{
    composer::Composer,
    input::{Effect, Input},
    layout::Panes,
    room::RoomState,
    scroll::Window,
    timeline::{Loaded, PendingState},
};

/// How long a notice stays, in milliseconds.
const NOTICE_MS: i64 = 8_000;

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// The first try is under way.
    Connecting,
    /// Open; `behind` holds the rooms of which something that happened before is still to come.
    Up { behind: BTreeSet<String> },
    /// Broken; the next try begins then.
    Down { error: String, retry_at_ms: i64 },
}

/// Who gets the arrow keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    /// The line being written.
    Composer,
    /// The list of rooms.
    Rooms,
    /// The messages.
    History,
}

/// Something laid over the history until Esc.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Overlay {
    /// Keys and commands.
    Help,
    /// What a search found.
    Found { query: String, messages: Vec<Message>, scroll: usize },
}

/// A short word to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) text: String,
    pub(super) is_error: bool,
    pub(super) until_ms: i64,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Model {
    /// The user.
    pub(super) me: i64,
    /// Makes the ids of our messages unique.
    session: String,
    last_message: u64,
    pub(super) rooms: HashMap<String, RoomState>,
    /// Rooms being read because something happened in them before we knew them, and whether more has since.
    pub(super) unknown: HashMap<String, bool>,
    /// Ids in the order of the list.
    pub(super) order: Vec<String>,
    /// Whether the list was read at all.
    pub(super) listed: bool,
    /// The open room.
    pub(super) open: Option<String>,
    /// Index into `order`.
    pub(super) highlighted: usize,
    /// What is being written while no room is open.
    pub(super) lobby: Composer,
    pub(super) pane: Pane,
    pub(super) overlay: Option<Overlay>,
    pub(super) notice: Option<Notice>,
    pub(super) link: Link,
    pub(super) online: HashMap<i64, bool>,
    pub(super) now_ms: i64,
    /// Whether the user looks at the terminal, as far as it tells.
    pub(super) attended: bool,
    pub(super) width: u16,
    pub(super) height: u16,
    /// When the room was last told about our typing; none if it believes we do not.
    pub(super) typing_told: Option<(String, i64)>,
    /// When it was last asked who is online.
    pub(super) presence_at_ms: i64,
    /// The program is to end.
    pub(super) quitting: bool,
}

impl Model {
    /// `session` must differ from that of any other run of the same user.
    pub(super) fn new(me: i64, session: impl Into<String>) -> Self {
        Self {
            me,
            session: session.into(),
            last_message: 0,
            rooms: HashMap::new(),
            unknown: HashMap::new(),
            order: Vec::new(),
            listed: false,
            open: None,
            highlighted: 0,
            lobby: Composer::default(),
            pane: Pane::Composer,
            overlay: None,
            notice: None,
            link: Link::Connecting,
            online: HashMap::new(),
            now_ms: 0,
            attended: true,
            width: 80,
            height: 24,
            typing_told: None,
            presence_at_ms: 0,
            quitting: false,
        }
    }

    /// Takes an input in; what it answers is to be done in this order.
    pub(super) fn update(&mut self, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Key(key) => self.key(key, &mut effects),
            Input::Paste(text) => self.paste(&text, &mut effects),
            Input::Focus(attended) => self.attended = attended,
            Input::Resize { width, height } => (self.width, self.height) = (width, height),
            Input::Tick { now_ms } => self.tick(now_ms, &mut effects),
            Input::Up => self.up(&mut effects),
            Input::Down { error, retry_in_ms } => {
                self.link = Link::Down { error, retry_at_ms: self.now_ms + retry_in_ms };
                self.typing_told = None;
                self.online.clear();
            }
            Input::Event(event) => self.event(*event, &mut effects),
            Input::Done(outcome) => self.done(*outcome, &mut effects),
        }
        effects
    }

    pub(super) fn room(&self) -> Option<&RoomState> {
        self.rooms.get(self.open.as_deref()?)
    }

    pub(super) fn room_mut(&mut self) -> Option<&mut RoomState> {
        self.rooms.get_mut(self.open.as_deref()?)
    }

    /// What is being written.
    pub(super) fn draft(&self) -> &Composer {
        self.room().map_or(&self.lobby, |room| &room.draft)
    }

    pub(super) fn draft_mut(&mut self) -> &mut Composer {
        match self.open.as_ref().and_then(|id| self.rooms.get_mut(id)) {
            Some(room) => &mut room.draft,
            None => &mut self.lobby,
        }
    }

    /// The window over the open room's history; none if the terminal is too small.
    pub(super) fn window(&self) -> Option<Window> {
        let history = self.panes()?.history;
        Some(Window { columns: usize::from(history.width), rows: usize::from(history.height), me: self.me })
    }

    pub(super) fn panes(&self) -> Option<Panes> {
        let columns = Panes::composer_columns(self.width);
        let lines = self.draft().lines(columns).0.len();
        Panes::new(self.width, self.height, lines)
    }

    /// The lines of the open room's history that are to be seen.
    pub(super) fn shown(&self) -> Vec<(Option<i64>, Line<'static>)> {
        match (self.room(), self.window()) {
            (Some(room), Some(window)) => window.lines(room),
            _ => Vec::new(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.link, Link::Up { .. })
    }

    pub(super) fn tell(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), is_error: false, until_ms: self.now_ms + NOTICE_MS });
    }

    pub(super) fn complain(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), is_error: true, until_ms: self.now_ms + NOTICE_MS });
    }

    /// Puts the list in order: pinned rooms, then the latest activity; the highlight stays with its room.
    pub(super) fn sort(&mut self) {
        let highlighted = self.order.get(self.highlighted).cloned();
        let mut order: Vec<String> =
            self.rooms.values().filter(|room| !room.is_hidden()).map(|room| room.id().to_owned()).collect();
        order.sort_by_cached_key(|id| (self.rooms[id].rank(), id.clone()));
        self.order = order;
        let place = |id: &String| self.order.iter().position(|other| other == id);
        self.highlighted = highlighted.as_ref().and_then(place).unwrap_or(0);
    }

    /// Puts one room into its place: what `sort` would do, at the cost of one move in a list of any length.
    pub(super) fn place(&mut self, id: &str) {
        let Some(room) = self.rooms.get(id) else {
            return;
        };
        let highlighted = self.order.get(self.highlighted).cloned();
        let from = self.order.iter().position(|other| other == id);
        if let Some(from) = from {
            self.order.remove(from);
        }
        let key = (room.rank(), id);
        let to = self.order.partition_point(|other| (self.rooms[other].rank(), other.as_str()) < key);
        if !room.is_hidden() {
            self.order.insert(to, id.to_owned());
        }
        if from != Some(to) || room.is_hidden() {
            let place = |id: &String| self.order.iter().position(|other| other == id);
            self.highlighted = highlighted.as_ref().and_then(place).unwrap_or(0);
        }
    }

    /// Opens a room: its history is read if it was not.
    pub(super) fn open_room(&mut self, id: &str, effects: &mut Vec<Effect>) {
        self.stop_typing(effects);
        self.overlay = None;
        self.open = Some(id.to_owned());
        if let Some(place) = self.order.iter().position(|other| other == id) {
            self.highlighted = place;
        }
        self.load_history(effects);
    }

    /// Reads the open room's newest page if need be.
    pub(super) fn load_history(&mut self, effects: &mut Vec<Effect>) {
        let up = self.is_up();
        let Some(room) = self.room_mut() else { return };
        if up && room.timeline.loaded == Loaded::No {
            room.timeline.loaded = Loaded::Loading;
            effects.push(Effect::LoadHistory { room_id: room.id().to_owned(), before_seq: None });
        }
    }

    /// An id of our own for a message, never given twice.
    pub(super) fn next_message_id(&mut self) -> String {
        self.last_message += 1;
        format!("{}-{}", self.session, self.last_message)
    }

    /// Sends the next message of ours that waits in a room, if none is on its way.
    pub(super) fn send_next(&mut self, room_id: &str, effects: &mut Vec<Effect>) {
        if !self.is_up() {
            return;
        }
        let now_ms = self.now_ms;
        let Some(room) = self.rooms.get_mut(room_id).filter(|room| room.send_after_ms <= now_ms) else {
            return;
        };
        if let Some(pending) = room.timeline.next_to_send() {
            pending.state = PendingState::InFlight;
            effects.push(Effect::Send {
                room_id: room_id.to_owned(),
                client_message_id: pending.client_message_id.clone(),
                content: pending.content.clone(),
                reply_to: pending.reply_to,
            });
        }
    }

    pub(super) fn stop_typing(&mut self, effects: &mut Vec<Effect>) {
        if let Some((room_id, _)) = self.typing_told.take() {
            effects.push(Effect::Typing { room_id, typing: false });
        }
    }
}
