//! Those who talk: users that send, edit, delete, react, pin, read, make rooms, come and go, and try again when they
//! do not know what became of it.

use std::{rc::Rc, time::Duration};

use rand::{Rng, rngs::StdRng};
use tertulia::{
    actors::{Node, error::CallError, ops::NewRoom, ops::PageAt, user::ListFilter},
    domain::{
        ids::{ClientMessageId, ExternalRef, MessageId, RoomId, UserId},
        message::{Draft, ForwardedFrom},
        reject::Reject,
        room::{Author, InfoPatch, MemberPatch, Role, RoomType},
    },
};

use crate::world::{Answer, EditRecord, Phase, SendRecord, World, pick};

/// One who talks.
#[derive(Debug)]
pub(crate) struct Talker {
    world: Rc<World>,
    random: StdRng,
    user: UserId,
    name: String,
    sends: u64,
    /// Sends of this talker, as places in the book.
    own: Vec<usize>,
}

impl Talker {
    pub(crate) fn new(world: &Rc<World>, user: i64, number: u64) -> Self {
        Self {
            random: world.random(1_000 * user.unsigned_abs() + number),
            world: Rc::clone(world),
            user: UserId(user),
            name: format!("u{user}.{number}"),
            sends: 0,
            own: Vec::new(),
        }
    }

    fn author(&self) -> Author {
        Author { user: self.user, admin: false }
    }

    fn note(&self, line: impl std::fmt::Display) {
        self.world.note(format_args!("{} {line}", self.name));
    }

    /// Talks until the world settles, then finishes what is in doubt.
    pub(crate) async fn run(mut self) {
        let pause = self.world.plan.pause_ms;
        while self.world.phase() == Phase::Running {
            let ms = self.random.random_range(0..=pause);
            tokio::time::sleep(Duration::from_millis(ms)).await;
            let Some(node) = self.world.node() else {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            };
            Box::pin(self.act(&node)).await;
        }
        self.finish().await;
    }

    async fn act(&mut self, node: &Node) {
        match self.random.random_range(0..100) {
            0..40 => self.send_new(node).await,
            40..46 => self.send_again(node).await,
            46..49 => self.reuse_id(node).await,
            49..56 => self.edit(node).await,
            56..58 => self.delete(node).await,
            58..64 => self.react(node).await,
            64..67 => self.pin(node).await,
            67..77 => self.mark(node).await,
            77..81 => self.add_or_remove(node, true).await,
            81..84 => self.add_or_remove(node, false).await,
            84..86 => self.leave(node).await,
            86..89 => self.create(node).await,
            89..91 => Box::pin(self.look(node)).await,
            91 => Box::pin(self.search(node)).await,
            92..94 => self.change(node).await,
            94..96 => self.typing(node).await,
            96..98 => self.preferences(node).await,
            98 => self.block(node).await,
            _ => self.close(node).await,
        }
    }

    fn room(&mut self) -> Option<RoomId> {
        let book = self.world.book.borrow();
        (!book.rooms.is_empty()).then(|| book.rooms[self.random.random_range(0..book.rooms.len())])
    }

    fn message(&mut self) -> Option<(RoomId, MessageId, UserId)> {
        let book = self.world.book.borrow();
        let len = book.messages.len();
        // The newest are the most interesting, the others keep the warm view honest.
        let from = if self.random.random_bool(0.7) { len.saturating_sub(8) } else { 0 };
        (len > 0).then(|| book.messages[self.random.random_range(from..len)])
    }

    fn patience(&mut self) -> u64 {
        if self.world.plan.calm { 60_000 } else { pick(&mut self.random, &[5, 60, 3_000, 60_000]) }
    }

    fn told<T>(&self, what: &str, answer: &Answer<T>) {
        match answer {
            Answer::Done(_) => self.note(format_args!("{what}: done")),
            Answer::Refused(error) => self.note(format_args!("{what}: {error:?}")),
            Answer::Doubt(why) => self.note(format_args!("{what}: {why}")),
        }
    }

    async fn send_new(&mut self, node: &Node) {
        let Some(room) = self.room() else { return };
        self.sends += 1;
        let client_id = format!("{}-{}", self.name, self.sends);
        let (external, forwarded_from) = (self.external(&client_id), self.forwarded());
        let at = {
            let mut book = self.world.book.borrow_mut();
            let (room, user) = (Some(room), self.user.0);
            let record = SendRecord { room, user, client_id, external, forwarded_from, ..SendRecord::default() };
            book.sends.push(record);
            book.sends.len() - 1
        };
        self.own.push(at);
        let tries = self.random.random_range(1..4);
        let mut node = node.clone();
        for _ in 0..tries {
            let patience = self.patience();
            if self.send(&node, at, patience).await {
                return;
            }
            let ms = self.random.random_range(0..80);
            tokio::time::sleep(Duration::from_millis(ms)).await;
            let Some(next) = self.world.node() else {
                return;
            };
            node = next;
        }
    }

    /// Some sends have a twin elsewhere; of these some claim one that others claim too.
    fn external(&self, client_id: &str) -> Option<ExternalRef> {
        let message = match self.sends % 10 {
            3 => client_id.to_owned(),
            5 => format!("shared {}", self.sends),
            _ => return None,
        };
        Some(ExternalRef { source: "sim".to_owned(), chat: "c".to_owned(), message })
    }

    /// Some sends pass on what was said elsewhere; not all of them may.
    fn forwarded(&mut self) -> Option<ForwardedFrom> {
        let book = self.world.book.borrow();
        if self.sends % 10 != 8 || book.messages.is_empty() {
            return None;
        }
        let (room, message, sender) = book.messages[self.random.random_range(0..book.messages.len())];
        Some(ForwardedFrom { room, message, sender })
    }

    /// What a send of the book says; the same each time.
    fn draft(&self, at: usize) -> (RoomId, Draft, String) {
        let book = self.world.book.borrow();
        let record = &book.sends[at];
        let long = if record.client_id.ends_with('7') { 400 } else { 0 };
        let draft = Draft {
            content: format!("says {} {}", record.client_id, "x".repeat(long)),
            external: record.external.clone(),
            forwarded_from: record.forwarded_from,
            ..Draft::default()
        };
        (record.room.expect("set when written down"), draft, record.client_id.clone())
    }

    /// Sends once; returns whether all is certain now.
    async fn send(&self, node: &Node, at: usize, patience: u64) -> bool {
        let (room, draft, client_id) = self.draft(at);
        let hash = draft.hash(room);
        let id = ClientMessageId(client_id.as_str().into());
        self.note(format_args!("sends {client_id}"));
        // References are for bridges.
        let author = Author { admin: draft.external.is_some(), ..self.author() };
        let answer = self.world.call(patience, node.send(author, room, draft, id)).await;
        match answer {
            Answer::Done(ack) => {
                let message = &ack.message;
                self.note(format_args!(
                    "{client_id} is {} at {} (duplicate: {})",
                    message.id, message.seq, ack.duplicate
                ));
                if !message.is_repeated_by(hash)
                    || message.room != room
                    || message.sender != self.user
                    || &*message.client_id.0 != client_id.as_str()
                {
                    self.world.violation(format_args!("{client_id} is answered with {message:?}"));
                }
                let mut book = self.world.book.borrow_mut();
                let place = (message.seq, message.id);
                let record = &mut book.sends[at];
                let before = record.acked.replace(place);
                if before.is_none() {
                    book.messages.push((room, message.id, self.user));
                }
                drop(book);
                if before.is_some_and(|before| before != place) {
                    self.world.violation(format_args!("{client_id} was {before:?} and is now {place:?}"));
                }
                true
            }
            Answer::Refused(error) => {
                self.note(format_args!("{client_id}: {error:?}"));
                if matches!(error, CallError::Rejected(Reject::ClientMessageIdReused)) {
                    self.world.violation(format_args!("{client_id} is said to be another's"));
                }
                matches!(error, CallError::Rejected(_))
            }
            Answer::Doubt(why) => {
                self.note(format_args!("{client_id}: {why}"));
                self.world.book.borrow_mut().sends[at].doubt = true;
                false
            }
        }
    }

    async fn send_again(&mut self, node: &Node) {
        if self.own.is_empty() {
            return;
        }
        let at = self.own[self.random.random_range(0..self.own.len())];
        let patience = self.patience();
        self.send(node, at, patience).await;
    }

    async fn reuse_id(&mut self, node: &Node) {
        if self.own.is_empty() {
            return;
        }
        let at = self.own[self.random.random_range(0..self.own.len())];
        let (room, mut draft, client_id) = self.draft(at);
        if self.world.book.borrow().sends[at].acked.is_none() {
            return;
        }
        draft.content.push_str(" or not");
        let id = ClientMessageId(client_id.as_str().into());
        let patience = self.patience();
        let answer = self.world.call(patience, node.send(self.author(), room, draft, id)).await;
        self.told(&format!("reuses {client_id}"), &answer);
        // Of a deleted message nobody knows what it said.
        if let Answer::Done(ack) = answer
            && !ack.message.deleted
        {
            self.world.violation(format_args!("{client_id} is taken for another message: {:?}", ack.message));
        }
    }

    async fn edit(&mut self, node: &Node) {
        let Some((room, id, _)) = self.message() else {
            return;
        };
        self.sends += 1;
        let content = format!("{} edits {}", self.name, self.sends);
        let patience = self.patience();
        let answer = self.world.call(patience, node.edit(self.author(), id, &content, false, &[])).await;
        self.told(&format!("edits {id}"), &answer);
        let (acked, doubt) = match &answer {
            Answer::Done(message) => {
                if message.id != id || message.draft.content != content {
                    self.world.violation(format_args!("the edit of {id} is answered with {message:?}"));
                }
                (true, false)
            }
            Answer::Refused(_) => (false, false),
            Answer::Doubt(_) => (false, true),
        };
        self.world.book.borrow_mut().edits.push(EditRecord { room, id, content, acked, doubt });
    }

    async fn delete(&mut self, node: &Node) {
        let Some((_, id, _)) = self.message() else {
            return;
        };
        let patience = self.patience();
        let answer = self.world.call(patience, node.delete(self.author(), id)).await;
        self.told(&format!("deletes {id}"), &answer);
    }

    async fn react(&mut self, node: &Node) {
        let Some((_, id, _)) = self.message() else {
            return;
        };
        let reaction = pick(&mut self.random, &["+1", "-1", ":o"]);
        let remove = self.random.random_bool(0.3);
        let patience = self.patience();
        let react = node.react(self.author(), id, reaction, remove);
        let answer = self.world.call(patience, react).await;
        self.told(&format!("reacts to {id}"), &answer);
        if let Answer::Done(message) = answer {
            let mut names: Vec<&String> = message.reactions.iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            names.dedup();
            if names.len() != message.reactions.len() {
                self.world.violation(format_args!("reactions of {id}: {:?}", message.reactions));
            }
        }
    }

    async fn pin(&mut self, node: &Node) {
        let Some((_, id, _)) = self.message() else {
            return;
        };
        let pinned = self.random.random_bool(0.6);
        let patience = self.patience();
        let answer = self.world.call(patience, node.pin(self.author(), id, pinned)).await;
        self.told(&format!("pins {id}: {pinned}"), &answer);
    }

    async fn mark(&mut self, node: &Node) {
        let Some(room) = self.room() else { return };
        let head = self.world.inner.head(room).await.ok().flatten();
        let head = head.unwrap_or_default().seq;
        let to = if self.random.random_bool(0.4) || head.0 == 0 {
            None
        } else {
            let back = self.random.random_range(0..5).min(head.0 - 1);
            Some(tertulia::domain::ids::Seq(head.0 - back))
        };
        let delivered_only = self.random.random_bool(0.3);
        let patience = self.patience();
        let mark = node.mark(self.author(), room, to, delivered_only);
        let answer = self.world.call(patience, mark).await;
        self.told("marks", &answer);
        if let Answer::Done((position, _)) = answer {
            let mut book = self.world.book.borrow_mut();
            let read = book.read.entry((room, self.user)).or_default();
            *read = (*read).max(position.read_seq);
        }
    }

    fn somebody(&mut self) -> UserId {
        UserId(self.random.random_range(1..=self.world.plan.users))
    }

    async fn add_or_remove(&mut self, node: &Node, add: bool) {
        let Some(room) = self.room() else { return };
        let users = vec![self.somebody(), self.somebody()];
        let patience = self.patience();
        let author = self.author();
        let answer = if add {
            let call = node.add_members(author, room, users.clone());
            self.world.call(patience, call).await
        } else {
            let call = node.remove_members(author, room, users.clone());
            self.world.call(patience, call).await
        };
        self.told(&format!("adds ({add}) {users:?} in {room}"), &answer);
    }

    async fn leave(&mut self, node: &Node) {
        let Some(room) = self.room() else { return };
        let patience = self.patience();
        let answer = self.world.call(patience, node.leave(self.author(), room)).await;
        self.told(&format!("leaves {room}"), &answer);
    }

    pub(crate) async fn create(&mut self, node: &Node) {
        if self.world.book.borrow().rooms.len() > 8 {
            return;
        }
        let room_type = pick(&mut self.random, &[RoomType::Group, RoomType::Group, RoomType::Channel, RoomType::P2p]);
        let other = UserId(1 + self.user.0 % self.world.plan.users);
        let participants = if room_type == RoomType::P2p { vec![other] } else { vec![other, self.somebody()] };
        let new = NewRoom {
            room_type,
            participants,
            name: if room_type == RoomType::P2p { String::new() } else { self.name.clone() },
            description: String::new(),
            picture: String::new(),
            join_all_users: room_type == RoomType::Channel && self.random.random_bool(0.7),
            members_can_send: Some(self.random.random_bool(0.9)),
            history_visible: pick(&mut self.random, &[None, Some(true), Some(false)]),
            client_room_id: String::new(),
        };
        let patience = self.patience();
        let answer = self.world.call(patience, node.create_room(self.author(), new)).await;
        self.told(&format!("makes a {}", room_type.name()), &answer);
        if let Answer::Done((summary, _)) = answer {
            let room = summary.info.id;
            let mut book = self.world.book.borrow_mut();
            book.created.insert(room);
            if !book.rooms.contains(&room) {
                book.rooms.push(room);
            }
        }
    }

    /// Reads lists and pages, and checks what can be checked in passing.
    async fn look(&mut self, node: &Node) {
        let patience = self.patience();
        if self.random.random_bool(0.4) {
            let filter = ListFilter::default();
            let list = Box::pin(node.list(self.author(), &filter, "", None, 20));
            let answer = self.world.call(patience, list).await;
            self.told("lists", &answer);
            return;
        }
        let Some((room, id, _)) = self.message() else {
            return;
        };
        let at = pick(&mut self.random, &[PageAt::Newest, PageAt::Before(tertulia::domain::ids::Seq(9))]);
        let history = node.history(self.author(), room, at, 6);
        let answer = self.world.call(patience, history).await;
        self.told("reads", &answer);
        if let Answer::Done(page) = answer {
            let in_order = page.messages.windows(2).all(|pair| pair[0].seq < pair[1].seq && pair[0].id < pair[1].id);
            if !in_order {
                self.world.violation(format_args!("a page of {room} is out of order"));
            }
        }
        // What was acknowledged can be read by those who may read all.
        let nobody = Author { user: UserId(1_000_000), admin: true };
        let message = node.message(nobody, id);
        let answer = self.world.call(patience, message).await;
        self.told("reads one", &answer);
        match answer {
            Answer::Done(page) if page.messages.iter().any(|m| m.id == id) => {}
            Answer::Done(_) | Answer::Refused(CallError::Rejected(_)) => {
                self.world.violation(format_args!("message {id} of {room} was acknowledged and cannot be read"))
            }
            Answer::Refused(_) | Answer::Doubt(_) => {}
        }
    }

    /// Looks for what others said, in one room or in all.
    async fn search(&mut self, node: &Node) {
        let room = self.room().filter(|_| self.random.random_bool(0.5));
        let query = format!("u{}.", self.somebody());
        let patience = self.patience();
        let search = Box::pin(node.search(self.author(), room, &query, None, 5));
        let answer = self.world.call(patience, search).await;
        self.told(&format!("searches {query}"), &answer);
        if let Answer::Done(found) = answer {
            for message in &found.messages {
                if !message.draft.content.contains(&query) || room.is_some_and(|room| room != message.room) {
                    self.world.violation(format_args!("looking for {query} finds {message:?}"));
                }
            }
        }
    }

    async fn change(&mut self, node: &Node) {
        let Some(room) = self.room() else { return };
        let patience = self.patience();
        let author = self.author();
        if self.random.random_bool(0.5) {
            self.sends += 1;
            let patch = InfoPatch {
                name: Some(format!("{} {}", self.name, self.sends)),
                history_visible: Some(self.random.random_bool(0.5)),
                ..InfoPatch::default()
            };
            let answer = self.world.call(patience, node.update_room(author, room, patch)).await;
            self.told("changes a room", &answer);
        } else {
            let patch = MemberPatch {
                role: Some(pick(&mut self.random, &[Role::Owner, Role::Admin, Role::Member])),
                ..MemberPatch::default()
            };
            let (user, role) = (self.somebody(), patch.role);
            let answer = self.world.call(patience, node.change_member(author, room, user, patch)).await;
            self.told("changes a member", &answer);
            if let Answer::Done(person) = answer
                && person.member.as_ref().map(|member| member.role) != role
                && self.world.plan.users == 1
            {
                self.world.violation("a member's new role is not told");
            }
        }
    }

    async fn typing(&mut self, node: &Node) {
        let Some(room) = self.room() else { return };
        let patience = self.patience();
        let answer = self.world.call(patience, node.typing(self.author(), room, true)).await;
        self.told("types", &answer);
    }

    async fn preferences(&mut self, node: &Node) {
        let patience = self.patience();
        let author = self.author();
        if self.random.random_bool(0.5) {
            let Some((_, id, _)) = self.message() else {
                return;
            };
            let answer = self.world.call(patience, node.hide(author, id)).await;
            self.told("hides", &answer);
        } else {
            let Some(room) = self.room() else { return };
            let pinned = Some(self.random.random_bool(0.5));
            let prefs = node.set_prefs(author, room, pinned, None, Some(false));
            let answer = self.world.call(patience, prefs).await;
            self.told("prefers", &answer);
        }
    }

    async fn block(&mut self, node: &Node) {
        let whom = self.somebody();
        let blocked = self.random.random_bool(0.5);
        let patience = self.patience();
        let answer = self.world.call(patience, node.block(self.author(), whom, blocked)).await;
        self.told(&format!("blocks {whom}: {blocked}"), &answer);
    }

    async fn close(&mut self, node: &Node) {
        if self.random.random_bool(0.8) {
            return;
        }
        let Some(room) = self.room() else { return };
        let patience = self.patience();
        let answer = self.world.call(patience, node.delete_room(self.author(), room)).await;
        self.told(&format!("deletes room {room}"), &answer);
    }

    /// Sends again, with the same ids, what is in doubt: now an answer must come.
    async fn finish(&mut self) {
        for at in std::mem::take(&mut self.own) {
            let in_doubt = {
                let book = self.world.book.borrow();
                let record = &book.sends[at];
                record.doubt && record.acked.is_none()
            };
            if !in_doubt || self.random.random_bool(0.3) {
                continue;
            }
            let mut certain = false;
            for _ in 0..20 {
                let node = self.world.node_up().await;
                certain = self.send(&node, at, 60_000).await;
                if certain {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1_000)).await;
            }
            if !certain {
                self.world
                    .violation(format_args!("{} gets no certain answer though nothing fails any more", self.name));
            }
        }
    }
}
