//! What a room can be asked to do, other than sends and reads, which [`super::Batch`] takes together.

use std::sync::Arc;

use super::{Role, RoomInfo};
use crate::domain::{
    ids::{Ordinal, Seq, UserId},
    message::Message,
};

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Author {
    /// The user; [`UserId::SERVER`] for the server itself.
    pub user: UserId,
    /// Whether the token carries the admin role: stands above the room's own roles.
    pub admin: bool,
}

/// Changes of settings; `None` leaves as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InfoPatch {
    /// New name.
    pub name: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New picture URL.
    pub picture: Option<String>,
    /// Whether MEMBERs may send.
    pub members_can_send: Option<bool>,
    /// Whether later members see what came before.
    pub history_visible: Option<bool>,
}

/// Changes of a member; `None` leaves as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemberPatch {
    /// New role.
    pub role: Option<Role>,
    /// New override of the right to send; `Some(None)` takes it back.
    pub can_send: Option<Option<bool>>,
    /// New nickname; empty takes it back.
    pub nickname: Option<String>,
}

/// A change to a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Make the room with these settings and members.
    Create {
        /// Settings.
        info: Arc<RoomInfo>,
        /// Members and roles.
        members: Vec<(UserId, Role)>,
    },
    /// Change settings.
    Update(InfoPatch),
    /// Delete the room for all.
    Close,
    /// Add members.
    Join(Vec<UserId>),
    /// Remove members.
    Remove(Vec<UserId>),
    /// Leave.
    Leave,
    /// Change a member.
    ChangeMember {
        /// Whom.
        user: UserId,
        /// How.
        patch: MemberPatch,
    },
    /// Change a message's text.
    Edit {
        /// Which message.
        message: Seq,
        /// New text.
        content: String,
        /// Whether it is ciphertext.
        encrypted: bool,
        /// New mentions.
        mentions: Vec<UserId>,
    },
    /// Delete a message for all.
    Delete {
        /// Which message.
        message: Seq,
    },
    /// Give or take back a reaction.
    React {
        /// Which message.
        message: Seq,
        /// The reaction.
        reaction: String,
        /// Take back.
        remove: bool,
    },
    /// Pin or unpin a message.
    Pin {
        /// Which message.
        message: Seq,
        /// False: unpin.
        pinned: bool,
    },
    /// Unpin a message that the author cannot see, and so could not unpin, to make room for another pin.
    GiveWay {
        /// Which message.
        message: Seq,
    },
}

impl Command {
    /// The message the command is about: to decide it, its present state must be at hand.
    #[must_use]
    pub const fn message(&self) -> Option<Seq> {
        match self {
            Self::Edit { message, .. }
            | Self::Delete { message }
            | Self::React { message, .. }
            | Self::Pin { message, .. }
            | Self::GiveWay { message } => Some(*message),
            _ => None,
        }
    }
}

/// What a command is about, loaded before it is decided.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Subject {
    /// The message, in its present state.
    pub message: Option<Arc<Message>>,
    /// Whether the author has given the reaction in question.
    pub has_reaction: bool,
}

impl Subject {
    /// Whether it is a message that the user sent.
    #[must_use]
    pub fn is_by(&self, user: UserId) -> bool {
        self.message.as_ref().is_some_and(|message| message.sender == user)
    }
}

/// How far to move a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadTo {
    /// To the newest event.
    Head,
    /// To this event; `n` is the ordinal of the newest message at or before it.
    At {
        /// The event.
        seq: Seq,
        /// See above.
        n: Ordinal,
    },
}
