//! What a room may be made with, and who may add whom to one that is there.

use sha2::{Digest as _, Sha256};

use super::{Author, Member, Role, RoomInfo, RoomType};
use crate::domain::{
    ids::{BodyHash, RoomId, UserId},
    limits,
    reject::{Bounds, Flaw, Reject, count, text},
};

/// What a room is made with.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// What it is for.
    pub room_type: RoomType,
    /// The others.
    pub participants: Vec<UserId>,
    /// Name.
    pub name: String,
    /// Description.
    pub description: String,
    /// Picture URL.
    pub picture: String,
    /// Add everyone (channels).
    pub join_all_users: bool,
    /// Whether MEMBERs may send; by default in a group, not in a channel.
    pub members_can_send: Option<bool>,
    /// Whether later members see what came before; by default in a channel, not in a group.
    pub history_visible: Option<bool>,
    /// The maker's own id of it, empty if they gave none: the same id gives the same room. p2p rooms need none.
    pub client_room_id: String,
}

/// The operator's rules for making rooms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MakingRules {
    /// Members of a room.
    pub members_max: usize,
    /// Whether anyone may make a channel to which everyone is added; otherwise the admin role alone.
    pub anyone_joins_all: bool,
}

impl NewRoom {
    /// Checks what the room is to be made with; returns the other members, by id, each once.
    ///
    /// # Errors
    /// [`Reject::Invalid`], [`Reject::AdminOnly`], [`Reject::TooManyMembers`].
    pub fn others(&self, author: Author, rules: MakingRules) -> Result<Vec<UserId>, Reject> {
        let mut others: Vec<UserId> = self.participants.iter().copied().filter(|user| *user != author.user).collect();
        others.sort_unstable();
        others.dedup();
        if self.participants.iter().any(|user| user.0 < 1) {
            return Err(Reject::out_of("participants", Bounds::From(1)));
        }
        count("participants", others.len(), limits::USERS_PER_CALL_MAX)?;
        if self.join_all_users && self.room_type != RoomType::Channel {
            return Err(Reject::invalid("join_all_users", Flaw::NotAllowedHere));
        }
        if others.is_empty() && !self.join_all_users {
            return Err(Reject::invalid("participants", Flaw::Missing));
        }
        text("description", &self.description, 0, limits::DESCRIPTION_BYTES_MAX)?;
        text("picture", &self.picture, 0, limits::URL_BYTES_MAX)?;
        text("client_room_id", &self.client_room_id, 0, limits::CLIENT_ID_BYTES_MAX)?;
        if self.room_type == RoomType::P2p {
            if others.len() > 1 {
                return Err(Reject::too_many("participants", 1));
            }
            if !self.name.is_empty() {
                return Err(Reject::invalid("name", Flaw::NotAllowedHere));
            }
        } else {
            text("name", &self.name, 1, limits::NAME_BYTES_MAX)?;
        }
        if self.join_all_users && !rules.anyone_joins_all && !author.admin {
            return Err(Reject::AdminOnly);
        }
        if others.len() >= rules.members_max {
            return Err(Reject::TooManyMembers);
        }
        Ok(others)
    }

    /// The room's id, if its maker gave it one of their own: it follows from both, so that nothing has to be remembered,
    /// and nobody else can come upon it by an id of theirs.
    #[must_use]
    pub fn id(&self, maker: UserId) -> Option<RoomId> {
        self.is_named().then(|| {
            let mut hasher = Sha256::new();
            hasher.update(b"tertulia room of ");
            hasher.update(maker.0.to_be_bytes());
            hasher.update(self.client_room_id.as_bytes());
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hasher.finalize()[..16]);
            RoomId::from_random(bytes)
        })
    }

    /// What tells a repetition from another creation under the same id; zero without one.
    #[must_use]
    pub fn creation(&self, others: &[UserId]) -> BodyHash {
        if !self.is_named() {
            return BodyHash::default();
        }
        let mut hasher = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        let rule = |rule: Option<bool>| rule.map_or(2, u8::from);
        part(&[
            self.room_type as u8,
            u8::from(self.join_all_users),
            rule(self.members_can_send),
            rule(self.history_visible),
        ]);
        part(self.name.as_bytes());
        part(self.description.as_bytes());
        part(self.picture.as_bytes());
        others.iter().for_each(|user| part(&user.0.to_be_bytes()));
        let mut hash = [0; 16];
        hash.copy_from_slice(&hasher.finalize()[..16]);
        BodyHash(hash)
    }

    fn is_named(&self) -> bool {
        self.room_type != RoomType::P2p && !self.client_room_id.is_empty()
    }
}

/// Whether the author may add members to a room that is not deleted.
///
/// # Errors
/// [`Reject::WrongRoomType`], [`Reject::RoleTooLow`].
pub fn may_add_members(author: Author, info: &RoomInfo, member: Option<&Member>) -> Result<(), Reject> {
    if info.room_type == RoomType::P2p {
        return Err(Reject::WrongRoomType);
    }
    let may = author.admin || member.is_some_and(|member| member.role <= Role::Admin);
    if may { Ok(()) } else { Err(Reject::RoleTooLow) }
}

/// Checks the users that a call names.
///
/// # Errors
/// [`Reject::Invalid`].
pub fn users_in_call(users: &[UserId]) -> Result<(), Reject> {
    if users.is_empty() {
        return Err(Reject::invalid("user_ids", Flaw::Missing));
    }
    if users.iter().any(|user| user.0 < 1) {
        return Err(Reject::out_of("user_ids", Bounds::From(1)));
    }
    count("user_ids", users.len(), limits::USERS_PER_CALL_MAX)
}
