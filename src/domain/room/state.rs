//! A room as its writer keeps it warm: settings, members, positions, the newest messages.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{Member, Role, RoomInfo, tail::Tail};
use crate::domain::{
    event::{Event, EventBody},
    ids::{ClientMessageId, Epoch, RoomId, Seq, UserId},
    limits,
    message::Message,
    position::{Position, RoomHead},
    unread::{self, Uncounted, Unread},
    view::View,
};

/// What decided commands do, in order. Empty when nothing has to be written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// New entries of the log.
    pub events: Vec<Event>,
    /// Positions that move without an event.
    pub positions: Vec<(UserId, Position)>,
    /// The message an event changed, in its new state.
    pub touched: Option<Arc<Message>>,
    /// Places in the log whose content must go.
    pub redacted: Vec<Seq>,
}

impl Change {
    /// Whether nothing has to be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.positions.is_empty()
    }
}

/// A room.
#[derive(Clone, Debug)]
pub struct RoomState {
    /// The room.
    pub id: RoomId,
    /// Epoch of the writer that keeps this state.
    pub epoch: Epoch,
    /// Settings; none before the room was made.
    pub info: Option<Arc<RoomInfo>>,
    /// Newest numbers.
    pub head: RoomHead,
    /// Members.
    pub members: BTreeMap<UserId, Member>,
    /// Positions, also of those who left.
    pub positions: BTreeMap<UserId, Position>,
    /// Pinned messages: (message, pin event).
    pub pins: Vec<(Seq, Seq)>,
    /// p2p: whether either side has blocked the other.
    pub blocked: bool,
    all_see_after: Seq,
    /// Messages that count as unread for nobody.
    pub uncounted: Arc<Uncounted>,
    tail: Tail,
}

/// A member takes about so many bytes of memory.
const MEMBER_BYTES: usize = 192;
/// A position takes about so many bytes of memory.
const POSITION_BYTES: usize = 96;
/// A room without anything takes about so many bytes of memory.
const ROOM_BYTES: usize = 4_096;

impl RoomState {
    /// A room without events. `tail_max` messages are kept warm, at least 1.
    #[must_use]
    pub fn empty(id: RoomId, epoch: Epoch, tail_max: usize) -> Self {
        Self {
            id,
            epoch,
            info: None,
            head: RoomHead::default(),
            members: BTreeMap::new(),
            positions: BTreeMap::new(),
            pins: Vec::new(),
            blocked: false,
            all_see_after: Seq(0),
            uncounted: Arc::default(),
            tail: Tail::new(tail_max, usize::MAX),
        }
    }

    /// The same room that keeps no more than about so many bytes of messages warm, but always the newest one.
    #[must_use]
    pub fn with_tail_bytes(self, bytes_max: usize) -> Self {
        Self { tail: self.tail.with_bytes_max(bytes_max), ..self }
    }

    /// Gives a state read from a store its newest messages, oldest first. Every message after `after` must be there.
    pub fn warm(&mut self, after: Seq, messages: impl IntoIterator<Item = Arc<Message>>) {
        self.tail.begin(after);
        let floors = self.positions.values().map(|position| position.floor_seq);
        let joined = self.members.values().map(|member| member.joined_seq);
        self.all_see_after = floors.chain(joined).max().unwrap_or_default();
        for message in messages {
            self.tail.push(message);
        }
    }

    /// Lets the warm messages go, to be read from the store when they are asked for.
    pub fn cool(&mut self) {
        self.tail.cool();
    }

    /// About how many bytes of memory the room takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let many = self.members.len() * MEMBER_BYTES + self.positions.len() * POSITION_BYTES;
        ROOM_BYTES + many + self.tail.bytes() + self.tail.id_bytes()
    }

    /// About how many of them [`RoomState::cool`] gives back.
    #[must_use]
    pub const fn tail_bytes(&self) -> usize {
        self.tail.bytes()
    }

    /// The newest messages, oldest first; all those after [`RoomState::tail_after`].
    #[must_use]
    pub const fn tail(&self) -> &VecDeque<Arc<Message>> {
        self.tail.messages()
    }

    /// Messages up to here are not in the tail.
    #[must_use]
    pub const fn tail_after(&self) -> Seq {
        self.tail.after()
    }

    /// The message at `seq`, if it is warm.
    #[must_use]
    pub fn warm_message(&self, seq: Seq) -> Option<&Arc<Message>> {
        self.tail.get(seq)
    }

    /// Where a message is, by the sender's own id; of the messages after [`RoomState::known_after`].
    #[must_use]
    pub fn recent(&self, sender: UserId, client_id: &ClientMessageId) -> Option<Seq> {
        self.tail.recent(sender, client_id)
    }

    /// The client ids of all messages after this place are known.
    #[must_use]
    pub const fn known_after(&self) -> Seq {
        self.tail.known_after()
    }

    /// The settings, unless the room does not exist or was deleted.
    #[must_use]
    pub fn live_info(&self) -> Option<&Arc<RoomInfo>> {
        self.info.as_ref().filter(|info| !info.deleted)
    }

    /// The position of a user; zero if there is none.
    #[must_use]
    pub fn position(&self, user: UserId) -> Position {
        self.positions.get(&user).copied().unwrap_or_default()
    }

    /// What the user may see of the room.
    #[must_use]
    pub fn view(&self, user: UserId) -> View {
        View::of(&self.position(user), self.members.get(&user))
    }

    /// Those of `users` who may not see, or may have hidden before they were here, the message at `seq` or one before
    /// it. Costs nothing for a message that is newer than the last joining and clearing.
    #[must_use]
    pub fn late_views(&self, seq: Seq, users: impl IntoIterator<Item = UserId>) -> Vec<(UserId, View)> {
        if seq > self.all_see_after {
            return Vec::new();
        }
        let views = users.into_iter().map(|user| (user, self.view(user)));
        views.filter(|(_, view)| !view.reaches(seq) || view.may_have_hidden(seq, 0)).collect()
    }

    /// Messages the user has not seen, without regard to what they have hidden.
    #[must_use]
    pub fn unread(&self, user: UserId) -> u64 {
        Unread::new(self.position(user).seen(), self.head.n, &self.uncounted, &[]).count()
    }

    /// What counts as unread for nobody after `change`; none if the change adds nothing to it.
    #[must_use]
    pub fn uncounted_after(&self, change: &Change) -> Option<Uncounted> {
        let of_system = |event: &Event| {
            event.message().filter(|message| !unread::counts(message.draft.message_type)).map(|message| message.n)
        };
        let deleted = change.touched.as_ref().filter(|message| message.deleted).map(|message| message.n);
        let new = change.events.iter().filter_map(of_system).chain(deleted);
        let mut new = new.filter(|n| !self.uncounted.contains(*n)).peekable();
        new.peek()?;
        let mut uncounted = Uncounted::clone(&self.uncounted);
        new.for_each(|n| uncounted.add(n));
        Some(uncounted)
    }

    /// The member who becomes OWNER when `leaving` go and no OWNER would be left: the oldest ADMIN, else the oldest
    /// MEMBER. None if an OWNER stays or nobody does.
    #[must_use]
    pub fn heir(&self, leaving: &[UserId]) -> Option<UserId> {
        let mut staying = self.members.iter().filter(|(user, _)| !leaving.contains(user)).peekable();
        staying.peek()?;
        let (user, member) = staying.min_by_key(|(user, member)| (member.role, member.joined_seq, **user))?;
        (member.role != Role::Owner).then_some(*user)
    }

    /// The member sees only events after this one; 0 for who is no member.
    #[must_use]
    pub fn floor(&self, user: UserId) -> Seq {
        self.members.get(&user).map_or(Seq(0), |member| member.floor(self.position(user)))
    }

    /// The settings as an event leaves them; none if it leaves them as they are.
    #[must_use]
    pub fn info_after(&self, event: &Event) -> Option<Arc<RoomInfo>> {
        let before = self.info.as_deref();
        match &event.body {
            EventBody::Created { info, .. } | EventBody::InfoChanged(info) => Some(Arc::clone(info)),
            EventBody::Closed => before.map(|info| Arc::new(info.closed())),
            EventBody::Left { users, .. } => {
                let is_denied = |user: &&UserId| self.members.get(user).is_some_and(|m| m.can_send == Some(false));
                let denied: Vec<UserId> = users.iter().filter(is_denied).copied().collect();
                let mut info = before.filter(|_| !denied.is_empty())?.clone();
                info.denied.extend(denied);
                let too_many = info.denied.len().saturating_sub(limits::DENIED_MAX);
                info.denied.drain(..too_many);
                Some(Arc::new(info))
            }
            EventBody::Joined { members } => {
                let returns = |user: &UserId| members.iter().any(|(who, _)| who == user);
                let mut info = before.filter(|info| info.denied.iter().any(returns))?.clone();
                info.denied.retain(|user| !returns(user));
                Some(Arc::new(info))
            }
            _ => None,
        }
    }

    /// A member as `event` makes them one. DENY comes back with them; the floor is by the room's rule now.
    #[must_use]
    pub fn joining(&self, user: UserId, role: Role, event: &Event) -> Member {
        let (mut can_send, mut floor_seq) = (None, None);
        if let (EventBody::Joined { .. }, Some(info)) = (&event.body, &self.info) {
            can_send = info.denied.contains(&user).then_some(false);
            floor_seq = Some(if info.history_visible { Seq(0) } else { Seq(event.seq.0 - 1) });
        }
        let (joined_at_ms, joined_seq) = (event.at_ms, event.seq);
        Member { role, can_send, nickname: String::new(), joined_at_ms, joined_seq, floor_seq }
    }

    /// Positions that follow from an event: the sender's own newest message, and what does not count for new members.
    #[must_use]
    pub fn positions_of(&self, event: &Event) -> Vec<(UserId, Position)> {
        match &event.body {
            EventBody::Message(message) if message.sender != UserId::SERVER => {
                vec![(message.sender, Position { sent_n: message.n, ..Position::default() })]
            }
            EventBody::Joined { members } => {
                let visible = self.info.as_ref().is_some_and(|info| info.history_visible);
                let floor_seq = if visible { Seq(0) } else { Seq(event.seq.0 - 1) };
                let floor = Position { floor_n: event.n, floor_seq, ..Position::default() };
                members.iter().map(|(user, _)| (*user, floor)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Does what was decided (or what a log says happened). Events must come in order.
    pub fn apply(&mut self, change: &Change) {
        if let Some(uncounted) = self.uncounted_after(change) {
            self.uncounted = Arc::new(uncounted);
        }
        for event in &change.events {
            self.apply_event(event);
        }
        for (user, position) in &change.positions {
            self.move_position(*user, *position);
        }
        if let Some(message) = &change.touched {
            self.tail.replace(message);
        }
    }

    fn move_position(&mut self, user: UserId, position: Position) {
        let entry = self.positions.entry(user).or_default();
        *entry = entry.merge(position);
        self.all_see_after = self.all_see_after.max(entry.floor_seq);
    }

    /// Does what one event says.
    pub fn apply_event(&mut self, event: &Event) {
        debug_assert_eq!(event.seq, self.head.seq.next(), "events are applied in order, without gaps");
        for (user, position) in self.positions_of(event) {
            self.move_position(user, position);
        }
        debug_assert!(
            event.message().is_none_or(|m| m.n == self.head.n.next() && m.id > self.head.message_id),
            "ordinals have no gaps, and ids of a room grow"
        );
        self.head = self.head.after(event);
        let info = self.info_after(event);
        match &event.body {
            EventBody::Created { members, .. } | EventBody::Joined { members } => self.join(members, event),
            EventBody::Message(message) => self.tail.push(Arc::clone(message)),
            EventBody::Left { users, heir, .. } => {
                for user in users {
                    self.members.remove(user);
                }
                if let Some(member) = heir.and_then(|user| self.members.get_mut(&user)) {
                    member.role = Role::Owner;
                }
            }
            EventBody::MemberChanged { user, member } => {
                self.members.insert(*user, member.clone());
            }
            EventBody::Pinned { target, pinned: true } => self.pins.push((target.seq, event.seq)),
            EventBody::Pinned { target, pinned: false } | EventBody::Deleted(target) => {
                self.pins.retain(|(seq, _)| *seq != target.seq);
            }
            EventBody::InfoChanged(_) | EventBody::Closed | EventBody::Edited(_) | EventBody::Reacted { .. } => {}
        }
        if info.is_some() {
            self.info = info;
        }
        debug_assert_eq!(
            self.head.members as usize,
            self.live_info().map_or(0, |_| self.members.len()),
            "the head counts the members of a room that was not deleted"
        );
    }

    fn join(&mut self, members: &[(UserId, Role)], event: &Event) {
        self.all_see_after = self.all_see_after.max(event.seq);
        for (user, role) in members {
            self.members.insert(*user, self.joining(*user, *role, event));
        }
    }
}
