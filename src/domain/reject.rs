//! Why a command is refused: always the caller's doing, never the server's.

use std::fmt;

use thiserror::Error;

/// What is wrong with a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Flaw {
    /// It must be given.
    Missing,
    /// Longer than its limit.
    TooLong,
    /// More entries than its limit.
    TooMany,
    /// A number outside its bounds.
    OutOfRange,
    /// Not of the form it must have.
    Malformed,
    /// It may not be given in this case.
    NotAllowedHere,
}

/// What a field would have taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Bounds {
    /// Not said: there are none, or they are no numbers.
    Unsaid,
    /// Numbers from this one on.
    From(i64),
    /// Numbers between these, which are taken as well.
    Between(i64, i64),
    /// Texts of so many bytes.
    Bytes(usize, usize),
    /// So many entries at most.
    Entries(usize),
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaid => Ok(()),
            Self::From(min) => write!(f, ": at least {min}"),
            Self::Between(min, max) => write!(f, ": {min} to {max}"),
            Self::Bytes(0, max) => write!(f, ": at most {max} bytes"),
            Self::Bytes(min, max) => write!(f, ": {min} to {max} bytes"),
            Self::Entries(max) => write!(f, ": at most {max}"),
        }
    }
}

/// A command was refused; nothing happened.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Reject {
    /// A field is wrong.
    #[error("field {field}: {flaw:?}{bounds}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// How.
        flaw: Flaw,
        /// What would do.
        bounds: Bounds,
    },
    /// There is no such room, or the caller is not a member of it.
    #[error("no such room")]
    RoomNotFound,
    /// The room was deleted.
    #[error("the room was deleted")]
    RoomDeleted,
    /// There is no such message, or the caller may not see it.
    #[error("no such message")]
    MessageNotFound,
    /// The message was deleted for all.
    #[error("the message was deleted")]
    MessageDeleted,
    /// The named user is not a member of the room.
    #[error("the user is not a member of the room")]
    MemberNotFound,
    /// The caller's role does not allow it.
    #[error("the caller's role does not allow this")]
    RoleTooLow,
    /// Only the message's sender may do this.
    #[error("only the sender may do this")]
    NotYourMessage,
    /// Members may not send in this room.
    #[error("members may not send in this room")]
    SendNotAllowed,
    /// One side of the p2p room has blocked the other.
    #[error("one side has blocked the other")]
    PartnerBlocked,
    /// The operation does not exist for this type of room.
    #[error("not possible in this type of room")]
    WrongRoomType,
    /// The client message id was used for another message.
    #[error("this client message id belongs to another message")]
    ClientMessageIdReused,
    /// The client room id was used for another room.
    #[error("this client room id belongs to another room")]
    ClientRoomIdReused,
    /// The user does not let the caller add them to a room, or has blocked the caller.
    #[error("the user does not want to be added")]
    NotAddable,
    /// Another message has this external reference.
    #[error("another message has this external reference")]
    ExternalRefTaken,
    /// The room is full.
    #[error("the room has as many members as it may have")]
    TooManyMembers,
    /// The room has as many pinned messages as it may have.
    #[error("the room has as many pinned messages as it may have")]
    TooManyPins,
    /// The message has as many different reactions as it may have.
    #[error("the message has as many different reactions as it may have")]
    TooManyReactions,
    /// The message was edited as often as it may be.
    #[error("the message was edited as often as it may be")]
    TooManyEdits,
    /// A room keeps at least one owner.
    #[error("the room would be left without an owner")]
    LastOwner,
    /// The call is for the admin role.
    #[error("only the admin role may do this")]
    AdminOnly,
}

impl Reject {
    /// A field is wrong.
    #[must_use]
    pub const fn invalid(field: &'static str, flaw: Flaw) -> Self {
        Self::Invalid { field, flaw, bounds: Bounds::Unsaid }
    }

    /// A number that is out of its bounds.
    #[must_use]
    pub const fn out_of(field: &'static str, bounds: Bounds) -> Self {
        Self::Invalid { field, flaw: Flaw::OutOfRange, bounds }
    }

    /// A list or table with more than `max` entries.
    #[must_use]
    pub const fn too_many(field: &'static str, max: usize) -> Self {
        Self::Invalid { field, flaw: Flaw::TooMany, bounds: Bounds::Entries(max) }
    }

    /// The same without what would have done, to be compared.
    #[cfg(test)]
    pub(crate) fn unbound(self) -> Self {
        match self {
            Self::Invalid { field, flaw, .. } => Self::invalid(field, flaw),
            other => other,
        }
    }

    /// Stable name; one page each under `docs/errors`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { flaw, .. } => match flaw {
                Flaw::Missing => "missing_field",
                Flaw::TooLong => "too_long",
                Flaw::TooMany => "too_many",
                Flaw::OutOfRange => "out_of_range",
                Flaw::Malformed => "malformed",
                Flaw::NotAllowedHere => "not_allowed_here",
            },
            Self::RoomNotFound => "room_not_found",
            Self::RoomDeleted => "room_deleted",
            Self::MessageNotFound => "message_not_found",
            Self::MessageDeleted => "message_deleted",
            Self::MemberNotFound => "member_not_found",
            Self::RoleTooLow => "role_too_low",
            Self::NotYourMessage => "not_your_message",
            Self::SendNotAllowed => "send_not_allowed",
            Self::PartnerBlocked => "partner_blocked",
            Self::WrongRoomType => "wrong_room_type",
            Self::ClientMessageIdReused => "client_message_id_reused",
            Self::ClientRoomIdReused => "client_room_id_reused",
            Self::NotAddable => "not_addable",
            Self::ExternalRefTaken => "external_ref_taken",
            Self::TooManyMembers => "too_many_members",
            Self::TooManyPins => "too_many_pins",
            Self::TooManyReactions => "too_many_reactions",
            Self::TooManyEdits => "too_many_edits",
            Self::LastOwner => "last_owner",
            Self::AdminOnly => "admin_only",
        }
    }
}

/// Checks a text's length: `Missing` below `min`, `TooLong` above `max` (bytes).
///
/// # Errors
/// [`Reject::Invalid`] naming `field`.
pub fn text(field: &'static str, value: &str, min: usize, max: usize) -> Result<(), Reject> {
    if value.len() < min {
        let flaw = if value.is_empty() { Flaw::Missing } else { Flaw::OutOfRange };
        return Err(Reject::Invalid { field, flaw, bounds: Bounds::Bytes(min, max) });
    }
    if value.len() > max {
        return Err(Reject::Invalid { field, flaw: Flaw::TooLong, bounds: Bounds::Bytes(min, max) });
    }
    Ok(())
}

/// Checks a list's length.
///
/// # Errors
/// [`Reject::Invalid`] with `TooMany`, naming `field`.
pub const fn count(field: &'static str, len: usize, max: usize) -> Result<(), Reject> {
    if len > max { Err(Reject::too_many(field, max)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_would_do() {
        let said = |bounds: Bounds| bounds.to_string();
        assert_eq!(said(Bounds::Between(1, 200)), ": 1 to 200");
        assert_eq!(said(Bounds::From(1)), ": at least 1");
        assert_eq!(said(Bounds::Entries(20)), ": at most 20");
        assert_eq!(text("name", "", 1, 255).unwrap_err().to_string(), "field name: Missing: 1 to 255 bytes");
        assert_eq!(text("query", "abc", 0, 2).unwrap_err().to_string(), "field query: TooLong: at most 2 bytes");
        assert_eq!(Reject::invalid("cursor", Flaw::Malformed).to_string(), "field cursor: Malformed");
    }
}
