//! From logs to a plan of API calls: what to do in which room, by whom, in which order.
//!
//! Every line of a log becomes exactly one step, or is left out for a named reason. Steps that no line asks for but
//! that must come before one (somebody is there whom no line brought) are marked as implied. Pure and deterministic:
//! the same logs always give the same plan, which is what makes an import resumable.
//!
//! Who is who: a user is a folded nick, over all logs. Within a room, a rename keeps the user and changes the nickname.
//! When a nick turns up that was renamed away earlier, the name goes back to the user it belongs to, and whoever still
//! speaks under the newer name becomes that name's own user; so two people who talk at the same time are always two
//! users, whatever the log leaves out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Hour, Kind, nick::fold, reader::Counts};

mod room;

/// User id of the importer, who owns the rooms.
pub const OWNER_ID: i64 = 999;
/// Name of the importer.
pub const OWNER_NAME: &str = "irc-import";
/// Id of the first nick in sorted order.
pub const FIRST_USER_ID: i64 = 1000;
/// Longest text that the server takes in one message, in bytes.
pub const CONTENT_BYTES_MAX: usize = 65_536;

/// Somebody who appears in the logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedUser {
    /// User id.
    pub id: i64,
    /// Display name: the nick as it was first spelled.
    pub name: String,
}

/// What to do to replay all logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everybody but the importer, by id.
    pub users: Vec<PlannedUser>,
    /// One room a log, in the order of the logs.
    pub rooms: Vec<RoomPlan>,
}

/// What to do to replay one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomPlan {
    /// Name of the group: the log's name.
    pub name: String,
    /// A group is made with at least one other member: the first person of the log. None for a log without people.
    pub first_member: Option<i64>,
    /// In order.
    pub steps: Vec<Step>,
    /// Lines that need no call.
    pub skipped: Vec<Skipped>,
    /// Lines by kind.
    pub counts: Counts,
}

/// One API call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Number of the line that it is for.
    pub line: usize,
    /// Whether the line itself is this step; otherwise the line only needs it done before.
    pub implied: bool,
    /// The call.
    pub op: Op,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// The owner adds a user.
    Add {
        /// Whom.
        user: i64,
    },
    /// A user leaves.
    Leave {
        /// Who.
        user: i64,
    },
    /// A user takes another name in this room.
    Nickname {
        /// Who.
        user: i64,
        /// The new name.
        nickname: String,
    },
    /// A user, or the owner as the system, sends a message.
    Send(Outgoing),
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The sender.
    pub user: i64,
    /// `irc:<log>:<line>`.
    pub client_message_id: String,
    /// The nick that spoke; empty for a notice.
    pub sender_name: String,
    /// The text.
    pub content: String,
    /// Number of the line whose message this one answers.
    pub reply_to_line: Option<usize>,
    /// Members addressed.
    pub mentions: Vec<i64>,
    /// Seconds since 1970-01-01 UTC.
    pub original_at: i64,
    /// What the text does not say: `irc.kind`, `irc.encoding`.
    pub metadata: BTreeMap<String, String>,
    /// Whether it is a notice, sent as a system message.
    pub system: bool,
}

/// A line that needs no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Number of the line.
    pub line: usize,
    /// Why.
    pub reason: Reason,
}

/// Why a line needs no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A join of somebody who is a member: the log did not see them go.
    AlreadyMember,
    /// A message, action or notice without a text; the server takes none.
    NoText,
    /// A rename to the name that the member goes by already.
    SameName,
    /// A text longer than the server takes ([`CONTENT_BYTES_MAX`]).
    TooLong,
}

impl Reason {
    /// For reports.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::AlreadyMember => "already_member",
            Self::NoText => "no_text",
            Self::SameName => "same_name",
            Self::TooLong => "too_long",
        }
    }
}

impl Plan {
    /// Plans the replay of `hours`.
    #[must_use]
    pub fn of(hours: &[Hour]) -> Self {
        let people = People::of(hours);
        let rooms = hours.iter().map(|hour| room::plan(hour, &people)).collect();
        let users = people.names.into_values().zip(FIRST_USER_ID..).map(|(name, id)| PlannedUser { id, name });
        Self { users: users.collect(), rooms }
    }
}

/// The client message id of a line; the same in every run.
#[must_use]
pub fn client_message_id(log: &str, line: usize) -> String {
    format!("irc:{log}:{line}")
}

/// All nicks of all logs: folded to as first spelled.
#[derive(Debug)]
struct People {
    names: BTreeMap<String, String>,
    ids: BTreeMap<String, i64>,
}

impl People {
    fn of(hours: &[Hour]) -> Self {
        let mut names = BTreeMap::new();
        for line in hours.iter().flat_map(|hour| &hour.lines) {
            let renamed = (line.kind == Kind::Rename).then_some(&line.text);
            for nick in [Some(&line.nick), renamed].into_iter().flatten().filter(|nick| !nick.is_empty()) {
                names.entry(fold(nick)).or_insert_with(|| nick.clone());
            }
        }
        let keys: BTreeSet<_> = names.keys().cloned().collect();
        Self { ids: keys.into_iter().zip(FIRST_USER_ID..).collect(), names }
    }

    /// Id and display name of a folded nick.
    fn user(&self, folded: &str) -> (i64, &str) {
        (self.ids[folded], &self.names[folded])
    }
}
