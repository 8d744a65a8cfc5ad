//! What the model is told, what it asks for, and what comes of that.
//!
//! Plain data; must not do anything.

use ratatui::crossterm::event::KeyEvent;
use tertulia_proto::chat::v1::{Event, Message, Presence, Room};

/// Something the model has to take in.
#[derive(Debug)]
pub(super) enum Input {
    /// A key went down.
    Key(KeyEvent),
    /// Text from the clipboard.
    Paste(String),
    /// The terminal got or lost the user's attention.
    Focus(bool),
    /// The terminal's size in cells.
    Resize {
        /// Columns.
        width: u16,
        /// Rows.
        height: u16,
    },
    /// Time goes by.
    Tick {
        /// Milliseconds since the program began.
        now_ms: i64,
    },
    /// The live stream is open.
    Up,
    /// The live stream broke or could not be opened.
    Down {
        /// Why, for people.
        error: String,
        /// Until the next try.
        retry_in_ms: i64,
    },
    /// Something happened.
    Event(Box<Event>),
    /// An effect came to an end.
    Done(Box<Outcome>),
}

/// Something the model wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Read the list of rooms.
    LoadRooms,
    /// Read one room.
    LoadRoom { room_id: String },
    /// Read a page of history: the newest, or the one before a seq.
    LoadHistory { room_id: String, before_seq: Option<i64> },
    /// Read one message again.
    LoadMessage { message_id: i64 },
    /// Send.
    Send { room_id: String, client_message_id: String, content: String, reply_to: i64 },
    /// Change a message's text.
    Edit { message_id: i64, content: String },
    /// Delete a message for all.
    Delete { message_id: i64 },
    /// Give a reaction or take it back.
    React { message_id: i64, reaction: String, remove: bool },
    /// Pin or unpin.
    Pin { message_id: i64, pinned: bool },
    /// Move the read position.
    MarkRead { room_id: String, up_to_seq: i64 },
    /// Move the delivered position.
    MarkDelivered { room_id: String, up_to_seq: i64 },
    /// Tell the room about the typing.
    Typing { room_id: String, typing: bool },
    /// Make a group.
    CreateGroup { name: String, user_ids: Vec<i64> },
    /// Find or make the room with one other user.
    CreateDm { user_id: i64 },
    /// Leave a room.
    Leave { room_id: String },
    /// Pin a room in the list, or not.
    Star { room_id: String, pinned: bool },
    /// Find text in a room.
    Search { room_id: String, query: String },
    /// Ask who is online.
    LoadPresence { user_ids: Vec<i64> },
    /// Try to connect now.
    Reconnect,
    /// End the program.
    Quit,
}

/// A call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// For people.
    pub(super) text: String,
    /// Whether it may succeed later.
    pub(super) transient: bool,
}

/// How an effect ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Of `LoadRooms`.
    Rooms(Result<Vec<Room>, Failure>),
    /// Of `LoadRoom` and `Star`.
    Room { room_id: String, result: Result<Room, Failure> },
    /// Of `LoadHistory`.
    History { room_id: String, before_seq: Option<i64>, result: Result<Page, Failure> },
    /// Of all that answers with one message: `LoadMessage`, `Edit`.
    Message { what: &'static str, result: Result<Message, Failure> },
    /// Of `Send`.
    Sent { room_id: String, client_message_id: String, result: Result<Message, Failure> },
    /// Of `CreateGroup` and `CreateDm`.
    Created(Result<Room, Failure>),
    /// Of `Leave`.
    Left { room_id: String, result: Result<(), Failure> },
    /// Of `Search`.
    Found { query: String, result: Result<Vec<Message>, Failure> },
    /// Of `LoadPresence`.
    Presence(Result<Vec<Presence>, Failure>),
    /// Of `MarkRead`.
    Read { room_id: String, result: Result<(), Failure> },
    /// Of what has no answer worth keeping.
    Other { what: &'static str, result: Result<(), Failure> },
}

/// A page of history.
#[derive(Debug)]
pub(super) struct Page {
    /// Oldest first.
    pub(super) messages: Vec<Message>,
    /// Whether there are older ones.
    pub(super) has_older: bool,
}
