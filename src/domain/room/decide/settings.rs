//! Settings and the end of a room.

use std::sync::Arc;

use super::{Decider, one};
use crate::domain::{
    event::EventBody,
    limits,
    reject::{Reject, text},
    room::{Change, InfoPatch, Role, RoomInfo, Speech},
};

impl Decider<'_> {
    pub(super) fn update(&self, patch: &InfoPatch) -> Result<Change, Reject> {
        self.not_p2p()?;
        self.at_least(Role::Admin)?;
        if patch.name.is_some() || patch.description.is_some() || patch.picture.is_some() {
            self.state.may_speak(self.author, Speech::Words)?;
        }
        let mut info = RoomInfo::clone(self.info);
        if let Some(name) = &patch.name {
            text("name", name, 1, limits::NAME_BYTES_MAX)?;
            info.name.clone_from(name);
        }
        if let Some(description) = &patch.description {
            text("description", description, 0, limits::DESCRIPTION_BYTES_MAX)?;
            info.description.clone_from(description);
        }
        if let Some(picture) = &patch.picture {
            text("picture", picture, 0, limits::URL_BYTES_MAX)?;
            info.picture.clone_from(picture);
        }
        info.members_can_send = patch.members_can_send.unwrap_or(info.members_can_send);
        info.history_visible = patch.history_visible.unwrap_or(info.history_visible);
        if info == **self.info {
            return Ok(Change::default());
        }
        Ok(one(self.event(EventBody::InfoChanged(Arc::new(info)))))
    }

    pub(super) fn close(&self) -> Result<Change, Reject> {
        self.not_p2p()?;
        self.at_least(Role::Owner)?;
        Ok(one(self.event(EventBody::Closed)))
    }
}
