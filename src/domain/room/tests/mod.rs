//! Tests of the pure core: rules as tables, invariants as properties over random lives of rooms.

mod batching;
pub(crate) mod life;
mod log;
mod making;
mod messages;
mod permissions;
mod positions;
mod properties;
mod speaking;
pub(crate) mod world;

use std::{collections::BTreeMap, sync::Arc};

use super::{Author, Batch, Change, Command, Role, RoomInfo, RoomState, RoomType, Send, Sent, Subject};
use crate::domain::{
    ids::{ClientMessageId, Epoch, MessageId, RoomId, Seq, UserId},
    message::{Draft, Message},
    reject::Reject,
};

pub(crate) const ROOM: RoomId = RoomId([7; 16]);
/// When the tests' rooms are made, milliseconds since the Unix epoch.
pub(crate) const NOW_MS: i64 = 1_790_000_000_000;
/// Members the tests' rooms may have.
pub(crate) const MEMBERS_MAX: usize = 8;

pub(crate) const OWNER: UserId = UserId(1);
pub(crate) const ADMIN: UserId = UserId(2);
pub(crate) const MEMBER: UserId = UserId(3);
pub(crate) const OTHER: UserId = UserId(4);
pub(crate) const STRANGER: UserId = UserId(9);

/// A user with no more rights than the room gives them.
pub(crate) const fn user(user: UserId) -> Author {
    Author { user, admin: false }
}

/// A user whose token carries the admin role.
pub(crate) const fn operator(user: UserId) -> Author {
    Author { user, admin: true }
}

pub(crate) fn info(room_type: RoomType) -> RoomInfo {
    RoomInfo {
        id: ROOM,
        room_type,
        name: String::from("the corner table"),
        description: String::new(),
        picture: String::new(),
        created_at_ms: NOW_MS,
        creator: OWNER,
        members_can_send: room_type != RoomType::Channel,
        join_all_users: false,
        history_visible: room_type != RoomType::Group,
        encryption_data: String::from("wrapped"),
        deleted: false,
        denied: Vec::new(),
        creation: Default::default(),
    }
}

/// A room with an OWNER, an ADMIN and two MEMBERs; p2p: OWNER and MEMBER.
pub(crate) fn room(room_type: RoomType) -> Fixture {
    let mut members = vec![(OWNER, Role::Owner), (MEMBER, Role::Member)];
    if room_type != RoomType::P2p {
        members.extend([(ADMIN, Role::Admin), (OTHER, Role::Member)]);
    }
    Fixture::new(info(room_type), members)
}

/// A room's state with what a store would add to it: messages in their present states, reactions given.
#[derive(Clone, Debug)]
pub(crate) struct Fixture {
    pub(crate) state: RoomState,
    messages: BTreeMap<Seq, Arc<Message>>,
    now_ms: i64,
}

impl Fixture {
    pub(crate) fn new(info: RoomInfo, members: Vec<(UserId, Role)>) -> Self {
        let mut fixture =
            Self { state: RoomState::empty(ROOM, Epoch(1), 64), messages: BTreeMap::new(), now_ms: NOW_MS };
        let command = Command::Create { info: Arc::new(info), members };
        fixture.act(user(OWNER), command).unwrap();
        fixture
    }

    /// What the command would do.
    pub(crate) fn decide(&self, author: Author, command: &Command) -> Result<Change, Reject> {
        let subject = Subject {
            message: command.message().and_then(|seq| self.messages.get(&seq).cloned()),
            has_reaction: false,
        };
        self.state.decide(author, command, &subject, self.now_ms, MEMBERS_MAX)
    }

    /// Does the command.
    pub(crate) fn act(&mut self, author: Author, command: Command) -> Result<Change, Reject> {
        let change = self.decide(author, &command)?;
        self.apply(&change);
        Ok(change)
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        self.state.apply(change);
        for message in change.events.iter().filter_map(|e| e.message()).chain(&change.touched) {
            self.messages.insert(message.seq, Arc::clone(message));
        }
        self.now_ms += 1;
    }

    /// Sends a text in a batch of its own; returns its place.
    pub(crate) fn say(&mut self, author: Author, text: &str) -> Result<Seq, Reject> {
        self.say_draft(author, self::text(text))
    }

    /// Sends a draft in a batch of its own; returns its place.
    pub(crate) fn say_draft(&mut self, author: Author, draft: Draft) -> Result<Seq, Reject> {
        let send = send(author, &format!("c{}", self.state.head.seq), draft);
        let mut batch = Batch::new(&self.state, self.now_ms);
        let sent = batch.send(&send, next_id)?;
        let change = batch.finish();
        self.apply(&change);
        assert_eq!(sent, Sent::New(0));
        Ok(self.state.head.seq)
    }

    /// Whether the send would be taken.
    pub(crate) fn may_send(&self, author: Author, draft: Draft) -> Result<(), Reject> {
        let mut batch = Batch::new(&self.state, self.now_ms);
        batch.send(&send(author, "probe", draft), next_id).map(drop)
    }

    pub(crate) fn message(&self, seq: Seq) -> &Message {
        &self.messages[&seq]
    }

    pub(crate) fn role(&self, user: UserId) -> Option<Role> {
        self.state.members.get(&user).map(|member| member.role)
    }
}

pub(crate) fn next_id(after: MessageId) -> MessageId {
    MessageId(after.0 + 1)
}

/// A send whose client id was not found in the whole log.
pub(crate) fn send(author: Author, client_id: &str, draft: Draft) -> Send {
    Send {
        author,
        hash: draft.hash(ROOM),
        draft: Arc::new(draft),
        client_id: ClientMessageId(client_id.into()),
        absent_until: Seq(u64::MAX),
    }
}

pub(crate) fn text(content: &str) -> Draft {
    Draft { content: content.to_owned(), ..Draft::default() }
}
