//! Who may speak in a room. Every way of saying something there asks this one rule: sending, editing, reacting, pinning,
//! typing, nicknames, names and pictures of the room; and what others are shown of somebody's reading.
//!
//! Silent are both sides of a p2p room while either has blocked the other, a member with DENY, and a MEMBER where
//! members may not send. Taking back is no speaking: one's own messages and reactions may always be withdrawn.

use super::{Author, Member, Role, RoomInfo, RoomState, RoomType};
use crate::domain::reject::Reject;

/// What is about to be said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speech {
    /// Anything that can carry words, or lets others notice the author.
    Words,
    /// No more than an emoji, or a reaction that the message has already.
    Emoji,
}

/// Whether the author may speak in a room that is not deleted. `member` is the author's membership, `blocked` says
/// whether either side of a p2p room has blocked the other. The admin role moderates without being a member.
///
/// # Errors
/// [`Reject::RoomNotFound`] for who is no member, [`Reject::PartnerBlocked`], [`Reject::SendNotAllowed`].
pub fn may_speak(
    author: Author,
    info: &RoomInfo,
    member: Option<&Member>,
    blocked: bool,
    speech: Speech,
) -> Result<(), Reject> {
    let Some(member) = member else {
        return if author.admin { Ok(()) } else { Err(Reject::RoomNotFound) };
    };
    if info.room_type == RoomType::P2p {
        return if blocked { Err(Reject::PartnerBlocked) } else { Ok(()) };
    }
    let may_send = member.can_send.unwrap_or(info.members_can_send || member.role != Role::Member);
    // Who only reads a channel may still show that they liked it; who was told to be silent may not.
    let may_nod = member.can_send.is_none() && speech == Speech::Emoji;
    if may_send || may_nod { Ok(()) } else { Err(Reject::SendNotAllowed) }
}

/// Who may give a message a twin in another system. References are found without naming a room and are taken once for
/// all rooms: whoever may set them can keep another room's bridge from using them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Referrers {
    /// The admin role alone.
    #[default]
    Admin,
    /// Also a room's OWNERs and ADMINs.
    RoomAdmins,
}

impl Referrers {
    /// Whether the author, with this role in the room, may set external references.
    ///
    /// # Errors
    /// [`Reject::AdminOnly`], [`Reject::RoleTooLow`].
    pub fn may_refer(self, author: Author, role: Option<Role>) -> Result<(), Reject> {
        match self {
            _ if author.admin => Ok(()),
            Self::Admin => Err(Reject::AdminOnly),
            Self::RoomAdmins if role.is_some_and(|role| role <= Role::Admin) => Ok(()),
            Self::RoomAdmins => Err(Reject::RoleTooLow),
        }
    }
}

impl RoomState {
    /// [`may_speak`] in this room.
    ///
    /// # Errors
    /// As there; [`Reject::RoomDeleted`].
    pub fn may_speak(&self, author: Author, speech: Speech) -> Result<(), Reject> {
        let member = self.members.get(&author.user);
        let Some(info) = self.live_info() else {
            return Err(if member.is_some() { Reject::RoomDeleted } else { Reject::RoomNotFound });
        };
        may_speak(author, info, member, self.blocked, speech)
    }

    /// Whether others are shown how far a member has come: not across a block.
    #[must_use]
    pub fn shows_reading(&self) -> bool {
        !(self.blocked && self.live_info().is_some_and(|info| info.room_type == RoomType::P2p))
    }
}
