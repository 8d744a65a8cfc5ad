//! A room: who is in it, what its settings are, and the rules by which it changes.
//!
//! [`RoomState::decide`] and [`Batch`] say what a command would do, [`RoomState::apply`] does it. Nothing here waits or
//! stores.

mod batch;
mod command;
mod decide;
mod making;
mod speak;
mod state;
mod tail;
#[cfg(test)]
pub(crate) mod tests;

use std::str::FromStr;

pub use batch::{Batch, Send, Sent};
pub use command::{Author, Command, InfoPatch, MemberPatch, ReadTo, Subject};
pub use making::{MakingRules, NewRoom, may_add_members, users_in_call};
pub use speak::{Referrers, Speech, may_speak};
pub use state::{Change, RoomState};

use super::{
    ids::{BodyHash, RoomId, Seq, UserId},
    position::Position,
};

/// What a room is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum RoomType {
    /// Two people.
    P2p = 1,
    /// Named, members are added.
    Group = 2,
    /// Like a group, for announcements.
    Channel = 3,
}

impl RoomType {
    /// The type with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::P2p),
            2 => Some(Self::Group),
            3 => Some(Self::Channel),
            _ => None,
        }
    }

    /// Its name on the wire and in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P2p => "p2p",
            Self::Group => "group",
            Self::Channel => "channel",
        }
    }
}

impl FromStr for RoomType {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::P2p, Self::Group, Self::Channel].into_iter().find(|t| t.name() == name).ok_or(())
    }
}

/// What a member may do. A smaller role may do more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Role {
    /// Everything.
    Owner = 1,
    /// Members, settings, pins, deletion.
    Admin = 2,
    /// Read, and send while members may.
    Member = 3,
}

impl Role {
    /// The role with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Owner),
            2 => Some(Self::Admin),
            3 => Some(Self::Member),
            _ => None,
        }
    }
}

/// A room's settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomInfo {
    /// The room.
    pub id: RoomId,
    /// What it is for; never changes.
    pub room_type: RoomType,
    /// Empty in p2p.
    pub name: String,
    /// Free text.
    pub description: String,
    /// URL.
    pub picture: String,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Who made it.
    pub creator: UserId,
    /// Whether MEMBERs may send.
    pub members_can_send: bool,
    /// Whether it was made for everyone.
    pub join_all_users: bool,
    /// Whether later members see what came before.
    pub history_visible: bool,
    /// The clients' key, wrapped.
    pub encryption_data: String,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Who left with DENY, oldest first, at most [`limits::DENIED_MAX`](crate::domain::limits::DENIED_MAX): it is theirs
    /// again when they come back.
    pub denied: Vec<UserId>,
    /// What its maker asked for under an id of their own; zero if they gave none.
    pub creation: BodyHash,
}

/// A member of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// What they may do.
    pub role: Role,
    /// Overrides the room's `members_can_send`.
    pub can_send: Option<bool>,
    /// Name in this room, empty if none.
    pub nickname: String,
    /// Milliseconds since the Unix epoch.
    pub joined_at_ms: i64,
    /// The event that made them a member.
    pub joined_seq: Seq,
    /// The member sees only events after this one, by the room's rule when they joined. None for the first members and
    /// for those written before this was kept here: then their position alone says it.
    pub floor_seq: Option<Seq>,
}

impl RoomInfo {
    /// The settings of the same room once it is deleted.
    #[must_use]
    pub fn closed(&self) -> Self {
        Self { deleted: true, ..self.clone() }
    }
}

impl Member {
    /// The member sees only events after this one.
    #[must_use]
    pub fn floor(&self, position: Position) -> Seq {
        self.floor_seq.unwrap_or(position.floor_seq)
    }
}

/// The two sides of a p2p room in their one order.
#[must_use]
pub fn pair(a: UserId, b: UserId) -> (UserId, UserId) {
    if a <= b { (a, b) } else { (b, a) }
}
