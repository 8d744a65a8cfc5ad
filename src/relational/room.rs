//! One room: made, then message by message with those who came and went between, then how far everybody has read.

use std::{collections::HashMap, sync::Arc};

use xxhash_rust::xxh3::xxh3_64;

use super::{
    Result, Work,
    member::{Membership, Memberships},
    row::{SourceMessage, SourceRoom},
    source::RoomReader,
    writer::{Writer, one},
};
use crate::{
    domain::{
        event::{EventBody, Target},
        ids::{ClientMessageId, ExternalRef, MessageId, Seq, UserId},
        limits,
        message::{Draft, Message, MessageType},
        position::Position,
        room::{Change, Role, RoomInfo, RoomType},
        snowflake::EPOCH_MS,
    },
    storage::{RoomListEntry, RoomPrefs, codec, consumers},
};

/// The name that messages are known by in [`ExternalRef::source`].
const SOURCE: &str = "room_message";
/// Longest text that is brought.
const CONTENT_MAX: usize = 1 << 20;
/// Bits of a message id below the time.
const ID_BITS: u32 = 22;

/// What became of a room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Brought {
    pub(super) unchanged: bool,
    pub(super) messages: u64,
    pub(super) messages_before: u64,
    pub(super) reactions: u64,
}

/// A room under way.
struct Bring<'a> {
    work: &'a Work,
    room: SourceRoom,
    members: Memberships,
    writer: Writer<'a>,
    /// Whether something may have been brought before.
    looks: bool,
    /// Where the messages of this run are.
    ids: HashMap<String, MessageId>,
    done: Brought,
}

/// Brings one room, from wherever an earlier import left it.
pub(super) async fn bring(work: &Work, mut room: SourceRoom) -> Result<Brought> {
    let mut client = work.source.connect().await?;
    let mut reader = RoomReader::begin(&work.source, &mut client, room.id).await?;
    let count = reader.count().await?;
    let store = &*work.to;
    if store.head(room.id).await?.is_some() && store.cursor(consumers::RELATIONAL, room.id).await? == Seq(count + 1) {
        return Ok(Brought { unchanged: true, ..Brought::default() });
    }
    let rows = reader.members(&work.odd).await?;
    let times = reader.times().await?;
    work.rows(rows.len()).await;
    let members = Memberships::of(&room, rows, &times, work.now_ms, &work.odd);
    settle_type(work, &mut room, &members).await?;
    let writer = Writer::open(store, room.id).await?;
    let looks = !writer.is_fresh();
    let (ids, done) = (HashMap::new(), Brought::default());
    let mut this = Bring { work, room, members, writer, looks, ids, done };
    if !looks {
        this.create();
    }
    if this.writer.state.live_info().is_some() {
        this.log(&mut reader).await?;
        this.end().await?;
    }
    let (room, done) = (this.room.id, this.done);
    this.writer.close().await?;
    // One more than the rows: a room without any is done as well.
    store.put_cursor(consumers::RELATIONAL, room, Seq(count + 1)).await?;
    Ok(done)
}

/// A room of two has two, and the pair for itself.
async fn settle_type(work: &Work, room: &mut SourceRoom, members: &Memberships) -> Result<()> {
    if room.room_type == RoomType::P2p {
        let mut users = members.all.keys().copied();
        match (users.next(), users.next(), users.next()) {
            (Some(a), Some(b), None) => {
                if work.to.p2p_room(a, b, room.id).await? != room.id {
                    work.odd
                        .add("room: the pair has an older p2p room; both are brought, the older one is found", room.id);
                }
            }
            _ => {
                work.odd.add("room: p2p without exactly two members; brought as a group", room.id);
                room.room_type = RoomType::Group;
            }
        }
    }
    if room.room_type != RoomType::P2p && room.name.trim().is_empty() {
        work.odd.add("room: without a name; named after its id", room.id);
        room.name = format!("room {}", room.id.to_string().get(..8).unwrap_or_default());
    }
    for (what, text, max) in [
        ("name", &mut room.name, limits::NAME_BYTES_MAX),
        ("description", &mut room.description, limits::DESCRIPTION_BYTES_MAX),
        ("picture", &mut room.picture, limits::URL_BYTES_MAX),
    ] {
        if text.len() > max {
            work.odd.add(format!("room.{what}: longer than {max} bytes; cut"), room.id);
            let end = (0..=max).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
        }
    }
    Ok(())
}

impl Bring<'_> {
    fn create(&mut self) {
        let (room, work) = (&self.room, self.work);
        let encryption_data = match &room.encryption_data {
            Some(data) => {
                if !work.keys.opens(data) {
                    let rule = "room.encryption_data: no configured key opens it; kept, its content stays as it is";
                    work.odd.add(rule, room.id);
                }
                data.clone()
            }
            None => work.keys.fresh(room.id),
        };
        let founders = self.members.founders(room.room_type);
        if founders.is_empty() {
            work.odd.add("room: nobody was ever in it; brought without members", room.id);
        }
        let owner = founders.iter().find(|(_, role)| *role == Role::Owner).or_else(|| founders.first());
        let creator = room.creator.or_else(|| owner.map(|(user, _)| *user)).unwrap_or(UserId::SERVER);
        let info = RoomInfo {
            id: room.id,
            room_type: room.room_type,
            name: room.name.clone(),
            description: room.description.clone(),
            picture: room.picture.clone(),
            created_at_ms: room.created_ms.unwrap_or(self.members.began_ms),
            creator,
            members_can_send: room.members_can_send,
            join_all_users: room.join_all,
            // There, whoever was in a room saw all of it.
            history_visible: true,
            encryption_data,
            deleted: false,
        };
        let body = EventBody::Created { info: Arc::new(info), members: founders };
        self.writer.create(creator, self.members.began_ms, body);
    }

    async fn log(&mut self, reader: &mut RoomReader<'_>) -> Result<()> {
        loop {
            let page = reader.messages().await?;
            if page.is_empty() {
                return self.writer.flush().await;
            }
            self.work.rows(page.len()).await;
            let mut reactions = reader.reactions(&page).await?;
            for message in page {
                let reacted = reactions.remove(&message.id).unwrap_or_default();
                self.message(message, reacted).await?;
                self.writer.flush_if_full().await?;
            }
        }
    }

    fn external(&self, id: &str) -> ExternalRef {
        ExternalRef { source: SOURCE.to_owned(), chat: self.room.id.to_string(), message: id.to_owned() }
    }

    /// The message with this id of the source, if it was brought.
    async fn find(&self, id: &str) -> Result<Option<MessageId>> {
        if let Some(found) = self.ids.get(id) {
            return Ok(Some(*found));
        }
        if !self.looks || id.is_empty() || id.len() > limits::EXTERNAL_ID_BYTES_MAX {
            return Ok(None);
        }
        Ok(self.work.to.find_external(&self.external(id)).await?.map(|found| found.id))
    }

    async fn message(&mut self, source: SourceMessage, reacted: Vec<(UserId, String, Option<i64>)>) -> Result<()> {
        if let Some(found) = self.find(&source.id).await? {
            self.ids.insert(source.id, found);
            self.done.messages_before += 1;
            return Ok(());
        }
        let example = format!("{} message {}", self.room.id, source.id);
        if source.content.len() > CONTENT_MAX {
            self.work.odd.add("room_message.content: longer than 1 MiB; the message is not brought", example);
            return Ok(());
        }
        let at_ms = self.time(source.at_ms, &example);
        let is_system = source.is_system || source.sender.0 < 1;
        if is_system && !source.is_system {
            self.work.odd.add("room_message.sender_id: nobody; brought as a system message", &example);
        }
        let sender = if is_system { UserId::SERVER } else { source.sender };
        self.come_and_go(at_ms, sender).await?;
        let message = Arc::new(self.built(&source, sender, at_ms, &example).await?);
        let target = Target { id: message.id, seq: message.seq };
        let mut event = self.writer.event(sender, at_ms, EventBody::Message(Arc::clone(&message)));
        event.n = message.n;
        self.writer.write(one(event));
        self.ids.insert(source.id.clone(), message.id);
        self.done.messages += 1;
        self.work.progress.add_events(1);
        if source.deleted {
            let at_ms = source.deleted_ms.unwrap_or(at_ms).min(self.work.now_ms);
            let event = self.writer.event(sender, at_ms, EventBody::Deleted(target));
            let (touched, redacted) = (Some(Arc::new(message.erased())), vec![message.seq]);
            let change = Change { events: vec![event], touched, redacted, ..Change::default() };
            self.writer.write(change);
            return Ok(());
        }
        let mut now = Message::clone(&message);
        if let Some(edited_ms) = source.edited_ms {
            now.edited_at_ms = edited_ms.clamp(at_ms, self.work.now_ms.max(at_ms));
            now.edits.push(self.writer.state.head.seq.next());
            let (at_ms, edited) = (now.edited_at_ms, Arc::new(now.clone()));
            let event = self.writer.event(sender, at_ms, EventBody::Edited(Arc::clone(&edited)));
            let change = Change { events: vec![event], touched: Some(edited), ..Change::default() };
            self.writer.write(change);
        }
        self.reactions(now, reacted, at_ms, &example);
        Ok(())
    }

    fn reactions(&mut self, mut now: Message, reacted: Vec<(UserId, String, Option<i64>)>, at_ms: i64, example: &str) {
        let mut given = std::collections::HashSet::new();
        for (user, reaction, reacted_ms) in reacted {
            let fits = user.0 > 0 && (1..=limits::REACTION_BYTES_MAX).contains(&reaction.len());
            let is_new = !now.reactions.iter().any(|(name, _)| *name == reaction);
            if !fits || (is_new && now.reactions.len() >= limits::REACTIONS_MAX) {
                let rule = "room_message_reaction: of nobody, empty, longer than 64 bytes or more than 50; not brought";
                self.work.odd.add(rule, example);
                continue;
            }
            if !given.insert((user, reaction.clone())) {
                self.work.odd.add("room_message_reaction: the same twice; brought once", example);
                continue;
            }
            match now.reactions.iter_mut().find(|(name, _)| *name == reaction) {
                Some((_, count)) => *count += 1,
                None => now.reactions.push((reaction.clone(), 1)),
            }
            let at_ms = reacted_ms.unwrap_or(at_ms).min(self.work.now_ms);
            let target = Target { id: now.id, seq: now.seq };
            let event = self.writer.event(user, at_ms, EventBody::Reacted { target, reaction, removed: false });
            let touched = Some(Arc::new(now.clone()));
            self.writer.write(Change { events: vec![event], touched, ..Change::default() });
            self.done.reactions += 1;
        }
    }

    /// The message's time; one that is missing or lies ahead is replaced.
    fn time(&self, at_ms: Option<i64>, example: &str) -> i64 {
        match at_ms {
            None => {
                self.work.odd.add("room_message.created_at: none; the room's beginning", example);
                self.members.began_ms
            }
            Some(at_ms) if at_ms > self.work.now_ms => {
                self.work.odd.add("room_message.created_at: lies ahead; the time of the import", example);
                self.work.now_ms
            }
            Some(at_ms) => at_ms,
        }
    }

    async fn built(&self, source: &SourceMessage, sender: UserId, at_ms: i64, example: &str) -> Result<Message> {
        let head = self.writer.state.head;
        let reply_to = self.reply_to(source, example).await?;
        let mut draft = Draft {
            content: source.content.clone(),
            encrypted: self.is_encrypted(&source.content, example),
            reply_to,
            external: Some(self.external(&source.id)),
            message_type: if sender == UserId::SERVER { MessageType::System } else { MessageType::User },
            ..Draft::default()
        };
        let unknown = source.reply_to.as_ref().filter(|_| reply_to == MessageId(0));
        let rest = source.rest.iter().cloned().chain(unknown.map(|id| ("reply_to".to_owned(), id.clone())));
        for (column, value) in rest {
            let key = format!("room_message.{column}");
            let has_room = draft.metadata.len() < limits::METADATA_ENTRIES_MAX;
            if has_room
                && key.len() <= limits::METADATA_KEY_BYTES_MAX
                && value.len() <= limits::METADATA_VALUE_BYTES_MAX
            {
                self.work.odd.add(format!("{key}: no place of its own; kept in the message's metadata"), example);
                draft.metadata.insert(key, value);
            } else {
                self.work.odd.add(format!("{key}: too large for the message's metadata; not brought"), example);
            }
        }
        if source.content.is_empty() && !source.deleted {
            self.work.odd.add("room_message.content: empty; brought as it is", example);
        }
        if source.content.len() > limits::CONTENT_BYTES_MAX {
            self.work.odd.add("room_message.content: longer than clients may send; brought whole", example);
        }
        if source.deleted {
            (draft.content, draft.encrypted, draft.metadata) = (String::new(), false, Default::default());
        }
        Ok(Message {
            id: self.fresh_id(&source.id, at_ms, head.message_id).await?,
            room: self.room.id,
            seq: head.seq.next(),
            n: head.n.next(),
            sender,
            at_ms,
            client_id: self.client_id(source, sender, example).await?,
            hash: draft.hash(self.room.id),
            draft: Arc::new(draft),
            edited_at_ms: 0,
            edits: Vec::new(),
            deleted: false,
            reactions: Vec::new(),
            pinned: false,
            wire: Default::default(),
        })
    }

    async fn reply_to(&self, source: &SourceMessage, example: &str) -> Result<MessageId> {
        let Some(id) = &source.reply_to else { return Ok(MessageId(0)) };
        let found = self.find(id).await?;
        if found.is_none() {
            self.work.odd.add("room_message: answers a message that is not in the room before it; no reply", example);
        }
        Ok(found.unwrap_or(MessageId(0)))
    }

    /// Whether the content is what a client encrypted. Where no key opens the room's, its form has to tell.
    fn is_encrypted(&self, content: &str, example: &str) -> bool {
        let Some(data) = self.room.encryption_data.as_ref().filter(|_| !content.is_empty()) else { return false };
        if !self.work.keys.opens(data) {
            let in_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
            return content.len() >= 24 && content.len().is_multiple_of(4) && content.bytes().all(in_base64);
        }
        let decrypts = self.work.keys.decrypts(data, content);
        if !decrypts {
            self.work
                .odd
                .add("room_message.content: does not decrypt with the room's key; brought as plain text", example);
        }
        decrypts
    }

    /// The sender's own id, if it is the sender's alone; otherwise one made of the source's.
    async fn client_id(&self, source: &SourceMessage, sender: UserId, example: &str) -> Result<ClientMessageId> {
        let made = ClientMessageId(format!("{SOURCE}:{}", source.id).into());
        let Some(id) = source.client_id.as_ref().filter(|id| id.len() <= limits::CLIENT_ID_BYTES_MAX) else {
            return Ok(made);
        };
        let id = ClientMessageId(id.as_str().into());
        let gathered = self.writer.sent(sender, &id);
        if gathered || self.work.to.find_client_message(sender, &id).await?.is_some() {
            self.work.odd.add("room_message.sender_message_id: used twice by one sender; another one is made", example);
            return Ok(made);
        }
        Ok(id)
    }

    /// An id that tells the time, follows the room's last one, and that no message has. What is older than ids can tell
    /// shares the first minutes of their time, in order.
    async fn fresh_id(&self, source: &str, at_ms: i64, last: MessageId) -> Result<MessageId> {
        let ms = if at_ms >= EPOCH_MS {
            at_ms - EPOCH_MS
        } else {
            i64::try_from((i128::from(at_ms.max(0)) << 20) / i128::from(EPOCH_MS)).unwrap_or_default()
        };
        let low = xxh3_64(source.as_bytes()) & ((1 << ID_BITS) - 1);
        let mut id = ((ms << ID_BITS) | low.cast_signed()).max(last.0 + 1);
        while self.work.to.find_message(MessageId(id)).await?.is_some() {
            id += 1;
        }
        Ok(MessageId(id))
    }

    /// Lets those join and leave who did before `at_ms`, and `sender` join at the latest now.
    async fn come_and_go(&mut self, at_ms: i64, sender: UserId) -> Result<()> {
        let coming = |(user, member): (&UserId, &Membership)| {
            let comes = member.from_ms <= at_ms && !self.writer.joined.contains(user);
            comes.then_some((*user, member.role))
        };
        let mut joining: Vec<_> = self.members.all.iter().filter_map(coming).collect();
        let is_there =
            self.writer.state.members.contains_key(&sender) || joining.iter().any(|(user, _)| *user == sender);
        if sender != UserId::SERVER && !is_there {
            let role = self.members.all.get(&sender).map_or(Role::Member, |member| member.role);
            joining.push((sender, role));
        }
        if !joining.is_empty() {
            self.writer.join(joining, at_ms).await?;
        }
        self.let_go(|until| until < at_ms, at_ms, sender).await
    }

    async fn let_go(&mut self, is_over: impl Fn(i64) -> bool, at_ms: i64, staying: UserId) -> Result<()> {
        if self.room.room_type == RoomType::P2p {
            return Ok(());
        }
        let gone = |(user, member): (&UserId, &Membership)| {
            let until = member.until_ms.filter(|until| is_over(*until))?;
            (*user != staying && self.writer.state.members.contains_key(user)).then_some((until.min(at_ms), *user))
        };
        let mut leaving: Vec<_> = self.members.all.iter().filter_map(gone).collect();
        leaving.sort_unstable();
        for (until, user) in leaving {
            self.writer.leave(user, until).await?;
        }
        Ok(())
    }

    /// What comes after the last message.
    async fn end(&mut self) -> Result<()> {
        let now_ms = self.work.now_ms;
        self.come_and_go(now_ms, UserId::SERVER).await?;
        self.let_go(|_| true, now_ms, UserId::SERVER).await?;
        self.positions().await?;
        for (user, member) in &self.members.all {
            self.beside(*user, member).await?;
        }
        if self.room.deleted {
            let at_ms = self.room.deleted_ms.unwrap_or(now_ms).min(now_ms);
            let event = self.writer.event(UserId::SERVER, at_ms, EventBody::Closed);
            self.writer.write(one(event));
            self.writer.flush().await?;
        }
        Ok(())
    }

    /// Reading; and for who left a room of two, a floor under what they left behind.
    async fn positions(&mut self) -> Result<()> {
        let is_p2p = self.room.room_type == RoomType::P2p;
        let moved = |member: &Membership| member.read_ms.is_some() || (is_p2p && member.until_ms.is_some());
        if !self.members.all.values().any(moved) {
            return Ok(());
        }
        let places = self.writer.places().await?;
        let newest = |at_ms: i64| places.iter().rev().find(|(at, ..)| *at <= at_ms).map(|(_, seq, n)| (*seq, *n));
        let mut positions = Vec::new();
        for (user, member) in self.members.all.iter().filter(|(_, member)| moved(member)) {
            let mut position = Position::default();
            if let Some((seq, n)) = member.read_ms.and_then(newest) {
                (position.read_seq, position.read_n, position.delivered_seq) = (seq, n, seq);
            }
            if let Some((seq, n)) = member.until_ms.filter(|_| is_p2p).and_then(newest) {
                (position.floor_seq, position.floor_n) = (seq, n);
            }
            positions.push((*user, position));
        }
        self.writer.positions(positions).await
    }

    /// What belongs to the member and not to the room.
    async fn beside(&self, user: UserId, member: &Membership) -> Result<()> {
        let store = &*self.work.to;
        if store.profiles(&[user]).await?.first().is_none_or(Option::is_none) {
            // Known from now on; the name comes with the user's first call.
            store.put_profile(user, codec::encode_profile("", "")).await?;
        }
        let Some(row) = member.row.as_ref().filter(|_| self.writer.state.members.contains_key(&user)) else {
            return Ok(());
        };
        let is_p2p = self.room.room_type == RoomType::P2p;
        let hidden_at = member.until_ms.filter(|_| is_p2p).map(|_| self.writer.state.head.n);
        let prefs =
            RoomPrefs { pinned: row.pinned, muted_until_ms: row.muted_until_ms, hidden_at, ..RoomPrefs::default() };
        // What the user has set here since stays.
        let untouched = |entry: RoomListEntry| entry.prefs == RoomPrefs::default();
        let is_untouched = store.room_of(user, self.room.id).await?.is_some_and(untouched);
        if prefs != RoomPrefs::default() && is_untouched {
            store.put_prefs(user, self.room.id, prefs).await?;
        }
        let partner = self.members.all.keys().find(|other| **other != user);
        if let Some(partner) = partner.filter(|_| is_p2p && row.blocks_partner) {
            store.put_block(user, *partner, true).await?;
        }
        Ok(())
    }
}
