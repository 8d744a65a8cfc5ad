//! What is done to messages.

use std::sync::Arc;

use super::Decider;
use crate::domain::{
    emoji,
    event::{EventBody, Target},
    ids::UserId,
    limits,
    message::{Draft, Message},
    reject::{Reject, text},
    room::{Change, Role, RoomType, Speech, Subject},
};

impl Decider<'_> {
    /// The message in question, if the author may see it.
    pub(super) fn visible<'s>(&self, subject: &'s Subject) -> Result<&'s Arc<Message>, Reject> {
        let message = subject.message.as_ref().ok_or(Reject::MessageNotFound)?;
        let hidden = message.seq <= self.state.floor(self.author.user) && !self.author.admin;
        if hidden { Err(Reject::MessageNotFound) } else { Ok(message) }
    }

    fn touch(&self, message: Message, body: impl FnOnce(&Arc<Message>) -> EventBody) -> Change {
        let message = Arc::new(message);
        let event = self.event(body(&message));
        Change { events: vec![event], touched: Some(message), ..Change::default() }
    }

    pub(super) fn edit(
        &self,
        message: &Arc<Message>,
        content: &str,
        encrypted: bool,
        mentions: &[UserId],
    ) -> Result<Change, Reject> {
        if message.deleted {
            return Err(Reject::MessageDeleted);
        }
        if message.sender != self.author.user {
            return Err(Reject::NotYourMessage);
        }
        self.state.may_speak(self.author, Speech::Words)?;
        if message.edits.len() >= limits::EDITS_MAX {
            return Err(Reject::TooManyEdits);
        }
        let draft = Draft {
            content: content.to_owned(),
            encrypted,
            mentions: mentions.to_vec(),
            ..Draft::clone(&message.draft)
        };
        draft.validate()?;
        // Who was mentioned already may have left since: a typo can be mended all the same.
        let new: Vec<UserId> = mentions.iter().copied().filter(|user| !message.draft.mentions.contains(user)).collect();
        self.state.may_mention(&new)?;
        if draft == *message.draft {
            return Ok(Change::default());
        }
        let mut edited = Message::clone(message);
        edited.draft = Arc::new(draft);
        edited.edited_at_ms = self.now_ms;
        edited.edits.push(self.state.head.seq.next());
        Ok(self.touch(edited, |message| EventBody::Edited(Arc::clone(message))))
    }

    /// The author's own message, seen or not, else one that the author may see.
    pub(super) fn erasable<'s>(&self, subject: &'s Subject) -> Result<&'s Arc<Message>, Reject> {
        let own = subject.message.as_ref().filter(|_| subject.is_by(self.author.user));
        own.map_or_else(|| self.visible(subject), Ok)
    }

    pub(super) fn delete(&self, message: &Arc<Message>) -> Result<Change, Reject> {
        if message.deleted {
            return Ok(Change::default());
        }
        let moderator = self.info.room_type != RoomType::P2p && self.role() <= Role::Admin;
        if message.sender != self.author.user && !moderator {
            return Err(Reject::NotYourMessage);
        }
        let redacted = std::iter::once(message.seq).chain(message.edits.iter().copied()).collect();
        let change = self.touch(message.erased(), |m| EventBody::Deleted(Target { id: m.id, seq: m.seq }));
        Ok(Change { redacted, ..change })
    }

    pub(super) fn react(
        &self,
        message: &Arc<Message>,
        reaction: &str,
        remove: bool,
        has: bool,
    ) -> Result<Change, Reject> {
        text("reaction", reaction, 1, limits::REACTION_BYTES_MAX)?;
        if message.deleted {
            return Err(Reject::MessageDeleted);
        }
        self.state.member(self.author)?;
        if !remove {
            let is_there = message.reactions.iter().any(|(name, _)| name == reaction);
            let speech = if is_there || emoji::is_one(reaction) { Speech::Emoji } else { Speech::Words };
            self.state.may_speak(self.author, speech)?;
        }
        if has != remove {
            return Ok(Change::default());
        }
        let mut reacted = Message::clone(message);
        if remove {
            for (name, count) in &mut reacted.reactions {
                if name == reaction {
                    *count = count.saturating_sub(1);
                }
            }
            reacted.reactions.retain(|(_, count)| *count > 0);
        } else if let Some((_, count)) = reacted.reactions.iter_mut().find(|(name, _)| name == reaction) {
            *count += 1;
        } else {
            if reacted.reactions.len() >= limits::REACTIONS_MAX {
                return Err(Reject::TooManyReactions);
            }
            reacted.reactions.push((reaction.to_owned(), 1));
        }
        let reaction = reaction.to_owned();
        Ok(self.touch(reacted, |m| EventBody::Reacted {
            target: Target { id: m.id, seq: m.seq },
            reaction,
            removed: remove,
        }))
    }

    fn may_pin(&self) -> Result<(), Reject> {
        if self.info.room_type != RoomType::P2p {
            self.at_least(Role::Admin)?;
        }
        self.state.may_speak(self.author, Speech::Words)
    }

    fn turn_pin(&self, message: &Arc<Message>, pinned: bool) -> Change {
        let mut message = Message::clone(message);
        message.pinned = pinned;
        self.touch(message, |m| EventBody::Pinned { target: Target { id: m.id, seq: m.seq }, pinned })
    }

    pub(super) fn pin(&self, message: &Arc<Message>, pinned: bool) -> Result<Change, Reject> {
        self.may_pin()?;
        if message.deleted {
            return Err(Reject::MessageDeleted);
        }
        if message.pinned == pinned {
            return Ok(Change::default());
        }
        if pinned && self.state.pins.len() >= limits::PINS_MAX {
            return Err(Reject::TooManyPins);
        }
        Ok(self.turn_pin(message, pinned))
    }

    /// Nothing happens if there is room already, as when another's pin has made it.
    pub(super) fn give_way(&self, subject: &Subject) -> Result<Change, Reject> {
        self.may_pin()?;
        let full = self.state.pins.len() >= limits::PINS_MAX;
        let oldest = subject.message.as_ref().filter(|message| full && message.pinned);
        Ok(oldest.map_or_else(Change::default, |message| self.turn_pin(message, false)))
    }
}
