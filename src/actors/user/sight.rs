//! What one stream's reader sees of what it reads: looks up what the rule ([`View`]) must know, and applies it.
//!
//! Owns no place in any room; the reader does.

use std::{collections::BTreeSet, sync::Arc};

use super::UserShared;
use crate::{
    actors::stream::EventBatch,
    domain::{
        event::Event,
        ids::{RoomId, Seq, UserId},
        room::Member,
        view::{Seen, View},
    },
    storage::{Direction, Result, Store, codec},
};

/// What was found out for a stream.
#[derive(Debug)]
pub(super) enum Look {
    /// What comes next.
    Page(Page),
    /// Nothing is given up to here: it is too much, or not for the reader.
    Skip {
        /// The stream goes on after this place.
        to: Seq,
        /// The event by which the reader's membership began.
        joined: Seq,
    },
    /// The reader is no member, and nothing up to here is for them.
    Gone(Seq),
    /// A live batch, as the reader sees it.
    Checked {
        /// Its events.
        events: Vec<Seen>,
        /// As in [`Page`].
        hid_before: Option<bool>,
    },
}

/// Events read from the log.
#[derive(Debug)]
pub(super) struct Page {
    /// In order, without gaps.
    pub(super) events: Vec<Seen>,
    /// The event by which the membership began in which they happened; 0 if nobody knows.
    pub(super) joined: Seq,
    /// Whether the reader has hidden anything before that; none if it was not asked.
    pub(super) hid_before: Option<bool>,
    /// Whether the membership ends with the last event.
    pub(super) has_parted: bool,
}

/// One reader and one room, as far as the stream knows.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) store: Arc<dyn Store>,
    pub(super) shared: Arc<UserShared>,
    pub(super) room: RoomId,
    pub(super) user: UserId,
    /// See [`super::reader::Cursor`].
    pub(super) joined: Seq,
    pub(super) listed: Seq,
    pub(super) hid_before: Option<bool>,
}

impl Sight {
    /// What comes after `after`, where the reader stands: at most `limit` events, up to the end of their membership. Or
    /// why it is not given.
    pub(super) async fn look(mut self, after: Seq, target: Seq, limit: usize, is_too_much: bool) -> Result<Look> {
        // First the log, then what the reader may see: a clearing or hiding that was acknowledged before the newest of
        // the events was written is known by then.
        let mut events = if is_too_much { Vec::new() } else { self.read(after, limit).await? };
        let position = self.store.position(self.room, self.user).await?;
        let member = self.member().await?;
        let view = View::of(&position, member.as_ref());
        let start = view.stream_after();
        match member {
            Some(member) if is_too_much || after < start => {
                let to = if is_too_much { target.max(start) } else { start };
                return Ok(Look::Skip { to, joined: member.joined_seq });
            }
            Some(member) if self.joined != member.joined_seq => {
                (self.joined, self.hid_before) = (member.joined_seq, None);
            }
            None if is_too_much || after < view.floor => return Ok(Look::Gone(target)),
            // Who has left was a member when the stream began: what comes up to their leaving is for them.
            Some(_) | None => {}
        }
        let own = events.iter().find(|event| event.joins(self.user) || event.parts(self.user));
        if let Some(joined) = own.filter(|event| event.joins(self.user) && event.seq > after.next()).map(|e| e.seq) {
            // The client named a place where it was no member.
            return Ok(Look::Skip { to: Seq(joined.0 - 1), joined });
        }
        // If they come back, the stream hears of it.
        let last = events.iter().position(|event| event.parts(self.user));
        if let Some(last) = last {
            events.truncate(last + 1);
        }
        let view = View { joined: self.joined, ..view };
        let abouts: Vec<Seq> = events.iter().filter_map(Event::about).collect();
        let hidden = self.hidden(view, &abouts).await?;
        let events = events.into_iter().map(|event| view.see(event, &hidden)).collect();
        Ok(Look::Page(Page { events, joined: self.joined, hid_before: self.hid_before, has_parted: last.is_some() }))
    }

    /// A live batch that is about earlier messages, as one sees it who has this view.
    pub(super) async fn check(mut self, view: View, batch: Arc<EventBatch>) -> Result<Look> {
        let abouts: Vec<Seq> = batch.events.iter().filter_map(|event| event.about_earlier()).collect();
        let hidden = self.hidden(view, &abouts).await?;
        let events = batch.events.iter().map(|event| view.see(Event::clone(event), &hidden)).collect();
        Ok(Look::Checked { events, hid_before: self.hid_before })
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Event>> {
        let records = self.store.read_log(self.room, after, Direction::Forward, limit).await?;
        records.iter().map(|record| codec::decode_event(self.room, record)).collect()
    }

    /// How many messages the reader has hidden in the membership in which the stream stands. None if nobody counts them
    /// any more: the user has left, or is in a later membership already.
    pub(super) fn counted(&self) -> Option<u32> {
        let list = self.shared.list.lock();
        let listed = list.rooms.get(&self.room)?;
        let is_of_it = listed.joined == self.listed || (listed.joined > Seq(0) && listed.joined == self.joined);
        is_of_it.then_some(listed.prefs.hidden_messages)
    }

    async fn member(&self) -> Result<Option<Member>> {
        self.store.member(self.room, self.user).await?.map(|body| codec::decode_member(&body)).transpose()
    }

    /// Those of these messages that the reader has hidden. Asks the store only where there may be some.
    async fn hidden(&mut self, view: View, messages: &[Seq]) -> Result<BTreeSet<Seq>> {
        let counted = self.counted().unwrap_or(1);
        let is_open = |seq: &Seq| view.reaches(*seq) && view.may_have_hidden(*seq, counted);
        let mut asked: BTreeSet<Seq> = messages.iter().copied().filter(is_open).collect();
        if counted == 0 {
            if self.hid_before.is_none() && !asked.is_empty() && view.joined > Seq(0) {
                let before = Seq(view.joined.0 - 1);
                let found = self.store.hidden_messages(self.user, self.room, Seq(1), before).await?;
                self.hid_before = Some(!found.is_empty());
            }
            if self.hid_before == Some(false) {
                asked.retain(|seq| *seq >= view.joined);
            }
        }
        let mut hidden = BTreeSet::new();
        // Messages of one page lie side by side, and are asked for together; those that events are about may be anywhere.
        while let Some(first) = asked.pop_first() {
            let mut last = first;
            while let Some(next) = asked.first().copied().filter(|next| next.0 - last.0 <= NEAR) {
                asked.pop_first();
                last = next;
            }
            hidden.extend(self.store.hidden_messages(self.user, self.room, first, last).await?);
        }
        Ok(hidden)
    }
}

/// Messages so near to each other are asked for together.
const NEAR: u64 = 64;
