//! What happened in a room: the entries of its log. An event is complete in itself; nothing else is needed to tell a
//! client about it.

use std::sync::Arc;

use super::{
    ids::{MessageId, Ordinal, RoomId, Seq, UserId},
    message::Message,
    room::{Member, Role, RoomInfo},
};

/// An entry of a room's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// The room.
    pub room: RoomId,
    /// Place in the log.
    pub seq: Seq,
    /// Ordinal of the message this is, or of the newest message before it.
    pub n: Ordinal,
    /// Milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Who caused it.
    pub actor: UserId,
    /// What happened.
    pub body: EventBody,
}

/// A message that an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Its id.
    pub id: MessageId,
    /// Its place in the log.
    pub seq: Seq,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EventBody {
    /// The room was made, with these first members.
    Created {
        /// Its settings.
        info: Arc<RoomInfo>,
        /// Members and roles.
        members: Vec<(UserId, Role)>,
    },
    /// A message was sent.
    Message(Arc<Message>),
    /// A message's text changed; the message as it is now.
    Edited(Arc<Message>),
    /// A message was deleted for all.
    Deleted(Target),
    /// A reaction was given or taken back.
    Reacted {
        /// To which message.
        target: Target,
        /// The reaction.
        reaction: String,
        /// Whether it was taken back.
        removed: bool,
    },
    /// A message was pinned or unpinned.
    Pinned {
        /// Which.
        target: Target,
        /// False when unpinned.
        pinned: bool,
    },
    /// Members joined.
    Joined {
        /// Members and roles.
        members: Vec<(UserId, Role)>,
    },
    /// Members left.
    Left {
        /// Who.
        users: Vec<UserId>,
        /// Whether someone else removed them.
        removed: bool,
        /// Who became OWNER because the last one left.
        heir: Option<UserId>,
    },
    /// A member's role, right or nickname changed.
    MemberChanged {
        /// Who.
        user: UserId,
        /// As it is now.
        member: Member,
    },
    /// The settings changed.
    InfoChanged(Arc<RoomInfo>),
    /// The room was deleted; the last event of its log.
    Closed,
}

impl Event {
    /// Those whom it shows as members: who joined, or was changed.
    #[must_use]
    pub fn people(&self) -> Vec<UserId> {
        match &self.body {
            EventBody::Created { members, .. } | EventBody::Joined { members } => {
                members.iter().map(|(user, _)| *user).collect()
            }
            EventBody::MemberChanged { user, .. } => vec![*user],
            _ => Vec::new(),
        }
    }

    /// The message, if this is one.
    #[must_use]
    pub const fn message(&self) -> Option<&Arc<Message>> {
        match &self.body {
            EventBody::Message(message) => Some(message),
            _ => None,
        }
    }
}
