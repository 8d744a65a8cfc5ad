//! The room's audience: streams and lists of users on this node hear what has become durable, in order and once.

use std::sync::Arc;

use super::actor::Room;
use crate::{
    actors::stream::{EventBatch, Moment, MomentBody},
    domain::{
        event::{Event, EventBody},
        ids::{Seq, UserId},
        position::Position,
        room::Role,
    },
};

/// What became durable without anybody on this node being told: an earlier incarnation died before it could.
#[derive(Debug)]
pub(crate) enum Untold {
    /// These events; perhaps none.
    Events(Vec<Arc<Event>>),
    /// Not known, for no room of this hub was awake on this node yet. With the newest event.
    Unknown(Option<Arc<Event>>),
}

impl Room {
    pub(super) fn tell(&self, events: &[Arc<Event>]) {
        self.tell_members_before(events);
        self.tell_batch(events.to_vec());
        self.tell_members_after(events);
    }

    /// Gives events to all who listen. Who joined after, or has cleared, what the events are about is noted in the
    /// batch: those streams look again.
    fn tell_batch(&self, events: Vec<Arc<Event>>) {
        let hub = &self.seed.shared.hub;
        let mut batch = EventBatch::new(self.id, events);
        if let Some(seq) = batch.about_earlier() {
            batch = batch.with_late(self.seed.shared.state.read().late_views(seq, hub.audience()));
        }
        hub.tell(batch);
    }

    /// Tells what an earlier incarnation could not, before anything new.
    pub(super) fn tell_untold(&mut self) {
        match std::mem::replace(&mut self.seed.untold, Untold::Events(Vec::new())) {
            // One by one: who left and came back must hear it in this order.
            Untold::Events(events) => events.iter().for_each(|event| self.tell(std::slice::from_ref(event))),
            Untold::Unknown(newest) => self.introduce(newest),
        }
        let head = self.seed.shared.state.read().head.seq;
        self.seed.shared.hub.set_told(head);
        self.seed.shared.hub.positions_moved();
    }

    /// Makes sure that everybody here knows the room as it is: lists and streams may have been read before the last
    /// events of another process landed.
    fn introduce(&self, newest: Option<Arc<Event>>) {
        let (hub, users) = (&self.seed.shared.hub, &self.seed.users);
        let state = self.seed.shared.state.read();
        let Some(info) = &state.info else {
            return;
        };
        let members: Vec<(UserId, Role)> = state.members.iter().map(|(u, m)| (*u, m.role)).collect();
        for (user, member) in &state.members {
            let (seq, position) = (member.joined_seq, state.position(*user));
            hub.forget_parting(*user, seq);
            users.room_joined(*user, info, &members, seq, position);
        }
        let gone: Vec<UserId> = hub.audience().into_iter().filter(|user| !state.members.contains_key(user)).collect();
        let head = state.head.seq;
        drop(state);
        self.part(&gone, head);
        // A stream that is behind reads the log.
        if let Some(newest) = newest {
            self.tell_batch(vec![newest]);
        }
    }

    /// Those who have left hear what came up to their leaving, and nothing after it.
    fn part(&self, users: &[UserId], at: Seq) {
        let all = &self.seed.users;
        self.seed.shared.hub.part(users, at, |user| all.is_awake(user));
        users.iter().for_each(|user| all.room_left(*user, self.id, at));
    }

    /// The actors of users who have just become members are told: their streams begin to listen, and read from the log
    /// what was told until they did.
    fn tell_members_before(&self, events: &[Arc<Event>]) {
        for event in events {
            if let EventBody::Created { members, .. } | EventBody::Joined { members } = &event.body {
                let state = self.seed.shared.state.read();
                let Some(info) = &state.info else { continue };
                for (user, _) in members {
                    let position = state.position(*user);
                    self.seed.shared.hub.forget_parting(*user, event.seq);
                    self.seed.users.room_joined(*user, info, members, event.seq, position);
                }
            }
        }
    }

    /// Users who have just left hear of it and then no more.
    fn tell_members_after(&self, events: &[Arc<Event>]) {
        for event in events {
            match &event.body {
                EventBody::Left { users, .. } => self.part(users, event.seq),
                EventBody::InfoChanged(info) => self.seed.shared.hub.set_name(&info.name),
                _ => {}
            }
        }
    }

    pub(super) fn tell_position(&self, user: UserId, before: Position, after: Position) {
        if after.read_seq == before.read_seq && after.delivered_seq == before.delivered_seq {
            return;
        }
        let now = self.context().clock.now_ms();
        let hub = &self.seed.shared.hub;
        let body = MomentBody::Position { read: after.read_seq, delivered: after.delivered_seq };
        hub.tell_moment(&Arc::new(Moment::new(Some(self.id), user, now, body)), None, None);
    }
}
